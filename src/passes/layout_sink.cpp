// SPDX-License-Identifier: Apache-2.0
#include "passes/layout_sink.h"

#include <algorithm>
#include <numeric>

#include "ops/arg_reduce.h"
#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/gather.h"
#include "ops/layer_norm.h"
#include "ops/pad.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "ops/softmax.h"

namespace lathe::passes {

namespace {

using rewrite::Perm;

/// One transpose that may sink past one node. Output dimension d of the transpose is dimension perm[d] of its source.
struct Site {
  const Graph& g;
  const Node& node;
  ValueId via;
  const Perm& perm;

  [[nodiscard]] size_t rank() const { return perm.size(); }
  [[nodiscard]] int64_t at(int64_t d) const { return perm[static_cast<size_t>(d)]; }
  /// `values`, one for each dimension of the result, in the order of the source's dimensions.
  template <class T>
  [[nodiscard]] std::vector<T> unpermuted(const std::vector<T>& values) const {
    std::vector<T> r(values.size());
    for (size_t d = 0; d < values.size(); ++d) r[static_cast<size_t>(perm[d])] = values[d];
    return r;
  }
  [[nodiscard]] Operand operand(ValueId v) const {
    Operand o{v, perm, g.value(v).shape};
    while (o.shape.size() < rank()) o.shape.insert(o.shape.begin(), Dim(1));
    return o;
  }
  [[nodiscard]] Operand as_is(ValueId v) const { return {v, {}, {}}; }
};

template <class T>
std::shared_ptr<T> copy_of(const Site& s) {
  return std::make_shared<T>(*s.node.as<T>());
}

std::optional<Sink> elementwise(const Site& s) {
  Sink r{s.node.op, {}, s.perm};
  if (s.g.value(s.node.outputs[0]).shape.size() != s.rank()) return std::nullopt;
  for (const ValueId v : s.node.inputs) {
    const bool scalar = v == kNoId || (v != s.via && product(s.g.value(v).shape).equals(1));
    r.operands.push_back(scalar ? s.as_is(v) : s.operand(v));
    if (!scalar && s.g.value(v).shape.size() < s.rank() &&
        !rewrite::can_reshape(s.g.value(v).shape, r.operands.back().shape))
      return std::nullopt;
  }
  return r;
}

std::optional<Sink> concat(const Site& s) {
  auto op = copy_of<ops::Concat>(s);
  op->axis = s.at(op->axis);
  Sink r{op, {}, s.perm};
  for (const ValueId v : s.node.inputs) r.operands.push_back(s.operand(v));
  return r;
}

std::optional<Sink> softmax(const Site& s) {
  auto op = copy_of<ops::Softmax>(s);
  op->axis = s.at(op->axis);
  return Sink{op, {s.operand(s.via)}, s.perm};
}

std::optional<Sink> layer_norm(const Site& s) {
  const auto* op = s.node.as<ops::LayerNorm>();
  if (s.node.inputs[0] != s.via) return std::nullopt;
  for (size_t d = static_cast<size_t>(op->axis); d < s.rank(); ++d)
    if (s.perm[d] != static_cast<int64_t>(d)) return std::nullopt;
  Sink r{s.node.op, {s.operand(s.via)}, s.perm};
  for (size_t i = 1; i < s.node.inputs.size(); ++i) r.operands.push_back(s.as_is(s.node.inputs[i]));
  return r;
}

// The permutation left when the dimensions `gone` of the result (their sources: perm[gone]) are removed.
Perm without(const Perm& perm, const std::vector<int64_t>& gone) {
  Perm r;
  std::vector<int64_t> removed;
  for (const int64_t d : gone) removed.push_back(perm[static_cast<size_t>(d)]);
  for (size_t d = 0; d < perm.size(); ++d) {
    if (std::find(gone.begin(), gone.end(), static_cast<int64_t>(d)) != gone.end()) continue;
    r.push_back(perm[d] - std::count_if(removed.begin(), removed.end(), [&](int64_t x) { return x < perm[d]; }));
  }
  return r;
}

std::optional<Sink> reduce(const Site& s) {
  auto op = copy_of<ops::Reduce>(s);
  const Perm left = op->keepdims ? s.perm : without(s.perm, op->axes);
  for (int64_t& a : op->axes) a = s.at(a);
  std::sort(op->axes.begin(), op->axes.end());
  return Sink{op, {s.operand(s.via)}, left};
}

std::optional<Sink> arg_reduce(const Site& s) {
  auto op = copy_of<ops::ArgReduce>(s);
  const Perm left = op->keepdims ? s.perm : without(s.perm, {op->axis});
  op->axis = s.at(op->axis);
  return Sink{op, {s.operand(s.via)}, left};
}

std::optional<Sink> resize(const Site& s) {
  auto op = copy_of<ops::Resize>(s);
  if (s.node.inputs.size() != 1) return std::nullopt;
  if (!op->scales.empty()) op->scales = s.unpermuted(op->scales);
  if (!op->sizes.empty()) op->sizes = s.unpermuted(op->sizes);
  if (op->roi.size() == 2 * s.rank()) {
    const auto middle = op->roi.begin() + static_cast<std::ptrdiff_t>(s.rank());
    auto begins = s.unpermuted(std::vector<double>(op->roi.begin(), middle));
    const auto ends = s.unpermuted(std::vector<double>(middle, op->roi.end()));
    begins.insert(begins.end(), ends.begin(), ends.end());
    op->roi = std::move(begins);
  } else if (!op->roi.empty()) {
    return std::nullopt;
  }
  return Sink{op, {s.operand(s.via)}, s.perm};
}

// Axes and pads are constant inputs: apply_sink permutes them.
std::optional<Sink> slice(const Site& s) {
  if (s.node.inputs[0] != s.via) return std::nullopt;
  const auto& in = s.node.inputs;
  const bool axes_known = in.size() < 4 || in[3] == kNoId || s.g.value(in[3]).constant;
  if (!axes_known || !s.g.value(in[1]).shape[0].is_const()) return std::nullopt;
  Sink r{s.node.op, {s.operand(s.via)}, s.perm};
  for (size_t i = 1; i < in.size(); ++i) r.operands.push_back(s.as_is(in[i]));
  return r;
}

std::optional<Sink> pad(const Site& s) {
  if (s.node.inputs[0] != s.via || !s.g.value(s.node.inputs[1]).constant) return std::nullopt;
  Sink r{s.node.op, {s.operand(s.via)}, s.perm};
  for (size_t i = 1; i < s.node.inputs.size(); ++i) r.operands.push_back(s.as_is(s.node.inputs[i]));
  return r;
}

std::optional<Sink> gather(const Site& s) {
  if (s.node.inputs[0] != s.via || s.node.inputs[1] == s.via) return std::nullopt;
  auto op = copy_of<ops::Gather>(s);
  const auto indices = static_cast<int64_t>(s.g.value(s.node.inputs[1]).shape.size());
  const int64_t axis = op->axis, from = s.at(axis), n = static_cast<int64_t>(s.rank());
  // Labels: a source dimension is itself, index dimension k is n + k.
  std::vector<int64_t> have, want;
  for (int64_t d = 0; d < n; ++d) {
    if (d == from)
      for (int64_t k = 0; k < indices; ++k) have.push_back(n + k);
    else
      have.push_back(d);
    if (d == axis)
      for (int64_t k = 0; k < indices; ++k) want.push_back(n + k);
    else
      want.push_back(s.at(d));
  }
  Perm left;
  for (const int64_t w : want) left.push_back(std::find(have.begin(), have.end(), w) - have.begin());
  op->axis = from;
  return Sink{op, {s.operand(s.via), s.as_is(s.node.inputs[1])}, left};
}

/// A reshape that merges and splits only dimensions that lie together in the source, too:
///     [N,H,W,C] --T--> [N,C,H,W] --reshape--> [N,C,H*W]   =   [N,H,W,C] --reshape--> [N,H*W,C] --T--> [N,C,H*W]
/// Ones of the result follow the group before them.
std::optional<Sink> reshape(const Site& s) {
  if (s.node.inputs[0] != s.via) return std::nullopt;
  const Shape &mid = s.g.value(s.via).shape, &out = s.g.value(s.node.outputs[0]).shape;
  const auto groups = rewrite::reshape_groups(mid, out);
  if (!groups || product(out).equals(0)) return std::nullopt;
  std::vector<int64_t> rank_in_source(s.rank());  // position among the source's non-unit dimensions
  int64_t next = 0;
  for (size_t x = 0; x < s.rank(); ++x) {
    const auto d =
        static_cast<size_t>(std::find(s.perm.begin(), s.perm.end(), static_cast<int64_t>(x)) - s.perm.begin());
    if (!mid[d].equals(1)) rank_in_source[d] = next++;
  }
  for (const rewrite::ReshapeGroup& group : *groups)
    for (size_t k = 1; k < group.from.size(); ++k)
      if (rank_in_source[group.from[k]] != rank_in_source[group.from[k - 1]] + 1) return std::nullopt;

  std::vector<std::vector<size_t>> pieces(1);  // of the result: leading ones, then each group with the ones after it
  std::vector<int64_t> key = {-1};
  size_t d = 0;
  auto ones = [&] {
    for (; d < out.size() && out[d].equals(1); ++d) pieces.back().push_back(d);
  };
  ones();
  for (const rewrite::ReshapeGroup& group : *groups) {
    pieces.emplace_back();
    key.push_back(rank_in_source[group.from[0]]);
    for (size_t k = 0; k < group.to.size(); ++k) {
      pieces.back().push_back(d++);
      ones();
    }
  }
  std::vector<size_t> sorted(pieces.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) { return key[a] < key[b]; });
  Shape moved;
  Perm left(out.size());
  for (const size_t p : sorted)
    for (const size_t dim : pieces[p]) {
      left[dim] = static_cast<int64_t>(moved.size());
      moved.push_back(out[dim]);
    }
  if (!rewrite::can_reshape(s.unpermuted(mid), moved)) return std::nullopt;
  Operand target;  // its shape is all that apply_sink needs
  target.shape = moved;
  return Sink{s.node.op, {s.operand(s.via), target}, left};
}

// A convolution of one tap is a product with each position's channels, wherever the positions stand.
std::optional<Sink> conv(const Site& s) {
  const auto* op = s.node.as<ops::Conv>();
  const ValueId w = s.node.inputs[1];
  if (s.node.inputs[0] != s.via || w == s.via || s.perm.back() != static_cast<int64_t>(s.rank()) - 1)
    return std::nullopt;
  const Shape& taps = s.g.value(w).shape;
  auto all = [](const std::vector<int64_t>& v, int64_t x) {
    return std::all_of(v.begin(), v.end(), [&](int64_t e) { return e == x; });
  };
  for (size_t d = 1; d + 1 < taps.size(); ++d)
    if (!taps[d].equals(1)) return std::nullopt;
  if (!all(op->strides, 1) || !all(op->pads, 0)) return std::nullopt;
  Sink r{s.node.op, {s.operand(s.via)}, s.perm};
  for (size_t i = 1; i < s.node.inputs.size(); ++i) r.operands.push_back(s.as_is(s.node.inputs[i]));
  return r;
}

struct Rule {
  std::string_view op;
  std::optional<Sink> (*plan)(const Site&);
};
constexpr Rule kRules[] = {
    {ops::Concat::kName, concat},
    {ops::Softmax::kName, softmax},
    {ops::LayerNorm::kName, layer_norm},
    {ops::Reduce::kName, reduce},
    {ops::ArgReduce::kName, arg_reduce},
    {ops::Resize::kName, resize},
    {ops::Slice::kName, slice},
    {ops::Pad::kName, pad},
    {ops::Gather::kName, gather},
    {ops::Reshape::kName, reshape},
    {ops::Conv::kName, conv},
};

// `v` as the moved node wants it.
Result<ValueId> unmove(Graph& g, const Operand& o, const std::string& name) {
  if (o.value == kNoId || o.perm.empty()) return o.value;
  LATHE_TRY(const ValueId full, rewrite::reshape(g, o.value, o.shape, name));
  return rewrite::transpose(g, full, rewrite::inverse(o.perm), name);
}

}  // namespace

std::optional<Sink> plan_sink(const Graph& g, NodeId user, ValueId via, const Perm& perm) {
  const Node& n = g.node(user);
  if (!n.epilogue.empty() || n.outputs.size() != 1) return std::nullopt;
  const Site site{g, n, via, perm};
  if (n.as<ops::Elementwise>()) return elementwise(site);
  for (const Rule& r : kRules)
    if (r.op == n.op->name()) return r.plan(site);
  return std::nullopt;
}

Result<ValueId> apply_sink(Graph& g, NodeId user, const Sink& plan) {
  const std::string name = g.node(user).name;
  if (plan.op->name() == ops::Reshape::kName) {
    LATHE_TRY(const ValueId x, unmove(g, plan.operands[0], name));
    return rewrite::reshape(g, x, plan.operands[1].shape, name);
  }
  std::vector<ValueId> in;
  for (const Operand& o : plan.operands) {
    LATHE_TRY(const ValueId v, unmove(g, o, name));
    in.push_back(v);
  }
  const Perm& perm = plan.operands[0].perm;
  if (plan.op->name() == ops::Slice::kName) {
    const auto count = static_cast<size_t>(g.value(in[1]).shape[0].value());
    std::vector<int64_t> axes(count);
    std::iota(axes.begin(), axes.end(), int64_t{0});
    if (in.size() > 3 && in[3] != kNoId) axes = g.value(in[3]).constant->to_i64();
    for (int64_t& a : axes) a = perm[static_cast<size_t>(a < 0 ? a + static_cast<int64_t>(perm.size()) : a)];
    in.resize(std::max<size_t>(in.size(), 4), kNoId);
    in[3] = g.add_constant({}, Tensor::vector_i64(axes));
  }
  if (plan.op->name() == ops::Pad::kName) {
    const auto old = g.value(in[1]).constant->to_i64();
    std::vector<int64_t> pads(old.size());
    for (size_t d = 0; d < perm.size(); ++d) {
      pads[static_cast<size_t>(perm[d])] = old[d];
      pads[static_cast<size_t>(perm[d]) + perm.size()] = old[d + perm.size()];
    }
    in[1] = g.add_constant({}, Tensor::vector_i64(pads));
  }
  return g.add(plan.op, std::move(in), name);
}

}  // namespace lathe::passes
