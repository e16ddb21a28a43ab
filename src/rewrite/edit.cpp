// SPDX-License-Identifier: Apache-2.0
#include "rewrite/edit.h"

#include <algorithm>

#include "ops/reshape.h"
#include "ops/slice.h"
#include "ops/transpose.h"

namespace lathe::rewrite {

bool is_identity(const Perm& perm) {
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return true;
}

Perm inverse(const Perm& perm) {
  Perm r(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) r[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return r;
}

Perm chain(const Perm& first, const Perm& second) {
  Perm r;
  for (const int64_t p : second) r.push_back(first[static_cast<size_t>(p)]);
  return r;
}

bool moves_only_units(const Shape& shape, const Perm& perm) {
  int64_t last = -1;
  for (const int64_t p : perm) {
    if (shape[static_cast<size_t>(p)].equals(1)) continue;
    if (p < last) return false;
    last = p;
  }
  return true;
}

NodeId sole_user(const Graph& g, ValueId v) {
  const auto& users = g.value(v).users;
  if (users.empty() || g.is_output(v)) return kNoId;
  const bool same = std::all_of(users.begin(), users.end(), [&](NodeId u) { return u == users[0]; });
  return same ? users[0] : kNoId;
}

double elements(const Graph& g, const Shape& shape) {
  std::map<std::string, Dim> typical;
  for (const auto& [name, range] : g.symbols) typical.emplace(name, range.opt);
  double n = 1;
  for (const Dim& d : shape) n *= static_cast<double>(d.substitute(typical).as_const().value_or(1));
  return n;
}

std::optional<double> uniform_value(const Graph& g, ValueId v) {
  if (v == kNoId) return std::nullopt;
  const auto& c = g.value(v).constant;
  if (!c || c->dtype() == DType::kString || c->count() == 0) return std::nullopt;
  const double first = c->f64_at(0);
  for (int64_t i = 1; i < c->count(); ++i)
    if (c->f64_at(i) != first) return std::nullopt;
  return first;
}

Result<ValueId> transpose(Graph& g, ValueId x, const Perm& perm, const std::string& name) {
  Perm whole = perm;
  if (const auto* t = made_by<ops::Transpose>(g, x)) {
    whole = chain(t->perm, perm);
    x = source(g, x);
  }
  if (is_identity(whole)) return x;
  auto op = std::make_shared<ops::Transpose>();
  op->perm = whole;
  if (const auto& c = g.value(x).constant) {
    LATHE_TRY(auto moved, op->evaluate(std::span(&*c, 1)));
    return g.add_constant({}, std::move(moved[0]));
  }
  return g.add(op, {x}, name);
}

namespace {

// Sizes for a Reshape: 0 copies the input's, -1 is what is left.
std::optional<std::vector<int64_t>> told(const Shape& from, const Shape& to) {
  std::vector<int64_t> sizes;
  bool rest = false;
  for (size_t d = 0; d < to.size(); ++d) {
    if (const auto c = to[d].as_const()) {
      if (*c == 0) return std::nullopt;
      sizes.push_back(*c);
    } else if (d < from.size() && from[d] == to[d]) {
      sizes.push_back(0);
    } else if (!rest) {
      sizes.push_back(-1);
      rest = true;
    } else {
      return std::nullopt;
    }
  }
  return sizes;
}

}  // namespace

bool can_reshape(const Shape& from, const Shape& to) { return told(from, to).has_value(); }

Result<ValueId> reshape(Graph& g, ValueId x, const Shape& shape, const std::string& name) {
  if (g.value(x).shape == shape) return x;
  const auto sizes = told(g.value(x).shape, shape);
  if (!sizes) return fail(Code::kUnsupported, "a reshape to " + shape_str(shape) + " cannot be written");
  if (const auto& c = g.value(x).constant) return g.add_constant({}, c->reshaped(*static_dims(shape)));
  const ValueId to = g.add_constant({}, Tensor::vector_i64(*sizes));
  return g.add(std::make_shared<ops::Reshape>(), {x, to}, name);
}

std::optional<std::vector<ReshapeGroup>> reshape_groups(const Shape& from, const Shape& to) {
  std::vector<ReshapeGroup> groups;
  size_t i = 0, j = 0;
  auto skip = [](const Shape& s, size_t k) {
    while (k < s.size() && s[k].equals(1)) ++k;
    return k;
  };
  i = skip(from, i);
  j = skip(to, j);
  while (i < from.size() && j < to.size()) {
    ReshapeGroup group{{i}, {j}};
    Dim a = from[i], b = to[j];
    i = skip(from, i + 1);
    j = skip(to, j + 1);
    while (!(a == b)) {
      // The smaller side grows; with symbols the side that does not contain them.
      const auto d = (a - b).as_const();
      const auto ca = a.as_const(), cb = b.as_const();
      const bool grow_from = d ? *d < 0 : ca && !cb ? true : cb && !ca ? false : group.from.size() <= group.to.size();
      if (grow_from) {
        if (i >= from.size()) return std::nullopt;
        group.from.push_back(i);
        a = a * from[i];
        i = skip(from, i + 1);
      } else {
        if (j >= to.size()) return std::nullopt;
        group.to.push_back(j);
        b = b * to[j];
        j = skip(to, j + 1);
      }
    }
    groups.push_back(std::move(group));
  }
  if (i < from.size() || j < to.size()) return std::nullopt;
  return groups;
}

std::optional<Range> slice_range(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.as<ops::Slice>() || !n.epilogue.empty()) return std::nullopt;
  auto numbers = [&](size_t slot, int64_t absent) -> std::optional<int64_t> {
    if (slot >= n.inputs.size() || n.inputs[slot] == kNoId) return absent;
    const auto& c = g.value(n.inputs[slot]).constant;
    return c && c->count() == 1 ? std::optional(c->i64_at(0)) : std::nullopt;
  };
  const auto begin = numbers(1, 0), end = numbers(2, 0), axis = numbers(3, 0), step = numbers(4, 1);
  if (!begin || !end || !axis || step != std::optional<int64_t>(1)) return std::nullopt;
  const Shape& shape = g.value(n.inputs[0]).shape;
  Range r;
  r.axis = *axis < 0 ? *axis + static_cast<int64_t>(shape.size()) : *axis;
  const auto size = shape[static_cast<size_t>(r.axis)].as_const();
  if (!size) return std::nullopt;
  r.begin = std::clamp<int64_t>(*begin < 0 ? *begin + *size : *begin, 0, *size);
  r.end = std::clamp<int64_t>(*end < 0 ? *end + *size : *end, r.begin, *size);
  return r;
}

Result<ValueId> slice(Graph& g, ValueId x, const Range& r, const std::string& name) {
  const auto op = std::make_shared<ops::Slice>();
  const std::vector<Tensor> bounds = {Tensor::vector_i64({r.begin}), Tensor::vector_i64({r.end}),
                                      Tensor::vector_i64({r.axis})};
  if (const auto& c = g.value(x).constant) {
    LATHE_TRY(auto cut, op->evaluate(std::vector<Tensor>{*c, bounds[0], bounds[1], bounds[2]}));
    return g.add_constant({}, std::move(cut[0]));
  }
  std::vector<ValueId> inputs = {x};
  for (const Tensor& t : bounds) inputs.push_back(g.add_constant({}, t));
  return g.add(op, std::move(inputs), name);
}

std::shared_ptr<const Op> make_op(std::string_view name) { return find_op(name)->make(); }

Result<ValueId> fold(Graph& g, std::string_view op, const std::vector<ValueId>& constants) {
  std::vector<Tensor> in;
  for (const ValueId v : constants) in.push_back(*g.value(v).constant);
  LATHE_TRY(auto out, make_op(op)->evaluate(in));
  return g.add_constant({}, std::move(out[0]));
}

std::optional<Tensor> channel_vector(const Graph& g, ValueId v, int64_t channels, size_t rank) {
  const auto& c = g.value(v).constant;
  if (!c || c->dims().size() > rank || (c->count() != 1 && c->count() != channels)) return std::nullopt;
  if (c->count() == channels && channels != 1 && c->dims().back() != channels) return std::nullopt;
  if (c->count() == channels) return c->reshaped({channels});
  Tensor t = Tensor::zeros(c->dtype(), {channels});
  for (int64_t i = 0; i < channels; ++i) t.set(i, c->f64_at(0));
  return t;
}

void replace_node(Graph& g, NodeId n, ValueId v) {
  g.replace_uses(g.node(n).outputs[0], v);
  g.remove_node(n);
}

}  // namespace lathe::rewrite
