// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace lathe::rewrite {

/// An expression over values, matched against a graph from a result upwards:
///
///     ValueId x;
///     const auto half = [](Pattern p) { return op("Mul", {p, number(0.5)}); };
///     if (!match(g, node, op("Mul", {half(any(x)), op("Add", {op("Erf", {…any(x)…}), number(1)})}))) return false;
///
/// A name met again must stand for the same value. Commutative operators match in either order. The nodes inside the
/// pattern (all but the root) may have no users outside it, so that they vanish when the root is replaced.
class Pattern {
 public:
  struct Impl;
  explicit Pattern(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

/// Any value; `into` must be kNoId before the match and is left so if it fails.
Pattern any(ValueId& into);
/// Any constant.
Pattern constant(ValueId& into);
/// A constant all of whose elements are `value`, to within a relative 1e-5 (exporters print numbers differently).
Pattern number(double value);
/// A constant with equal elements, whichever.
Pattern number_into(std::optional<double>& into);
/// The result of an operator without epilogue; as many inputs as given.
Pattern op(std::string_view name, std::vector<Pattern> inputs);
Pattern op(std::string_view name, std::vector<Pattern> inputs, NodeId& into);
/// The first of these that matches.
Pattern either(std::vector<Pattern> patterns);
/// `p` or Reshape(p), Cast(p) …: with or without a unary operator around it.
Pattern maybe(std::string_view name, Pattern p);

/// Whether the result of `root` is an instance of `p`.
bool match(const Graph& g, NodeId root, const Pattern& p);

}  // namespace lathe::rewrite
