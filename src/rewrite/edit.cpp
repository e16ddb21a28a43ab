// SPDX-License-Identifier: Apache-2.0
#include "rewrite/edit.h"

#include <algorithm>

#include "ops/reshape.h"
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
