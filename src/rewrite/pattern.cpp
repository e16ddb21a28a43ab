// SPDX-License-Identifier: Apache-2.0
#include "rewrite/pattern.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "rewrite/edit.h"

namespace lathe::rewrite {

struct Pattern::Impl {
  enum class Kind : uint8_t { kAny, kConstant, kNumber, kNumberInto, kOp, kEither };
  Kind kind = Kind::kAny;
  ValueId* value = nullptr;
  NodeId* node = nullptr;
  std::optional<double>* number_into = nullptr;
  double number = 0;
  std::string_view name = {};
  std::vector<Pattern> children = {};
};

namespace {

using Kind = Pattern::Impl::Kind;

Pattern make(Pattern::Impl impl) { return Pattern(std::make_shared<const Pattern::Impl>(std::move(impl))); }

constexpr std::string_view kCommutative[] = {"Add", "Mul", "Min", "Max", "And", "Or", "Xor", "Equal", "Sum"};

/// Depth-first with backtracking. What a try has bound is undone when it fails: bindings are logged as undo actions.
class Matcher {
 public:
  explicit Matcher(const Graph& g) : g_(g) {}

  using Next = std::function<bool()>;

  // Matches `v`, then whatever is left (`next`); continuation passing lets an earlier choice be revised.
  bool value(ValueId v, const Pattern& p, const Next& next) {
    const auto& i = p.impl();
    if (v == kNoId) return false;
    switch (i.kind) {
      case Kind::kAny:
        return bind(*i.value, v, kNoId, next);
      case Kind::kConstant:
        return g_.value(v).constant && bind(*i.value, v, kNoId, next);
      case Kind::kNumber: {
        const auto u = uniform_value(g_, v);
        return u && std::abs(*u - i.number) <= 1e-5 * std::abs(i.number) && next();
      }
      case Kind::kNumberInto: {
        const auto u = uniform_value(g_, v);
        if (!u) return false;
        if (*i.number_into) return **i.number_into == *u && next();
        *i.number_into = u;
        if (next()) return true;
        i.number_into->reset();
        return false;
      }
      case Kind::kEither:
        return std::any_of(i.children.begin(), i.children.end(), [&](const Pattern& c) { return value(v, c, next); });
      case Kind::kOp:
        return node(v, i, next);
    }
    return false;
  }

  [[nodiscard]] bool closed(NodeId root) const {
    return std::all_of(inside_.begin(), inside_.end(), [&](NodeId n) {
      if (n == root) return true;
      const ValueId out = g_.node(n).outputs[0];
      const auto& users = g_.value(out).users;
      return !g_.is_output(out) && std::all_of(users.begin(), users.end(), [&](NodeId u) {
        return std::find(inside_.begin(), inside_.end(), u) != inside_.end();
      });
    });
  }

 private:
  template <class Id>
  bool bind(Id& slot, Id v, Id unbound, const Next& next) {
    if (slot != unbound) return slot == v && next();
    slot = v;
    if (next()) return true;
    slot = unbound;
    return false;
  }

  bool node(ValueId v, const Pattern::Impl& p, const Next& next) {
    const NodeId id = g_.value(v).producer;
    if (id == kNoId) return false;
    const Node& n = g_.node(id);
    if (!n.epilogue.empty() || n.op->name() != p.name || n.outputs.size() != 1 || n.inputs.size() != p.children.size())
      return false;
    inside_.push_back(id);
    auto enter = [&] { return inputs(n, p, 0, next) || (swaps(p) && swapped(n, p, next)); };
    const bool ok = p.node ? bind(*p.node, id, kNoId, enter) : enter();
    if (!ok) inside_.pop_back();
    return ok;
  }

  static bool swaps(const Pattern::Impl& p) {
    return p.children.size() == 2 &&
           std::find(std::begin(kCommutative), std::end(kCommutative), p.name) != std::end(kCommutative);
  }
  bool inputs(const Node& n, const Pattern::Impl& p, size_t at, const Next& next) {
    if (at == p.children.size()) return next();
    return value(n.inputs[at], p.children[at], [&] { return inputs(n, p, at + 1, next); });
  }
  bool swapped(const Node& n, const Pattern::Impl& p, const Next& next) {
    return value(n.inputs[1], p.children[0], [&] { return value(n.inputs[0], p.children[1], next); });
  }

  const Graph& g_;
  std::vector<NodeId> inside_;
};

}  // namespace

Pattern any(ValueId& into) { return make({.kind = Kind::kAny, .value = &into}); }
Pattern constant(ValueId& into) { return make({.kind = Kind::kConstant, .value = &into}); }
Pattern number(double v) { return make({.kind = Kind::kNumber, .number = v}); }
Pattern number_into(std::optional<double>& into) { return make({.kind = Kind::kNumberInto, .number_into = &into}); }
Pattern op(std::string_view name, std::vector<Pattern> inputs) {
  return make({.kind = Kind::kOp, .name = name, .children = std::move(inputs)});
}
Pattern op(std::string_view name, std::vector<Pattern> inputs, NodeId& into) {
  return make({.kind = Kind::kOp, .node = &into, .name = name, .children = std::move(inputs)});
}
Pattern either(std::vector<Pattern> patterns) { return make({.kind = Kind::kEither, .children = std::move(patterns)}); }
Pattern maybe(std::string_view name, Pattern p) { return either({p, op(name, {p})}); }

bool match(const Graph& g, NodeId root, const Pattern& p) {
  const Node& n = g.node(root);
  if (!n.alive() || n.outputs.size() != 1) return false;
  Matcher m(g);
  return m.value(n.outputs[0], p, [&] { return m.closed(root); });
}

}  // namespace lathe::rewrite
