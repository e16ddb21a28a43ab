// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "ir/graph.h"

namespace lathe::rewrite {

/// What rules and passes say in one word about a graph.

using Perm = std::vector<int64_t>;
[[nodiscard]] bool is_identity(const Perm& perm);
[[nodiscard]] Perm inverse(const Perm& perm);
/// The permutation of Transpose(second) after Transpose(first).
[[nodiscard]] Perm chain(const Perm& first, const Perm& second);
/// Whether `perm` of a tensor of this shape moves only dimensions of size 1, so that no data moves.
[[nodiscard]] bool moves_only_units(const Shape& shape, const Perm& perm);

/// The node that makes `v`, if its operator is a T and has no epilogue.
template <class T>
[[nodiscard]] const T* made_by(const Graph& g, ValueId v) {
  if (v == kNoId || g.value(v).producer == kNoId) return nullptr;
  const Node& n = g.node(g.value(v).producer);
  return n.epilogue.empty() ? n.as<T>() : nullptr;
}
/// Input `slot` of the node that makes `v`.
[[nodiscard]] inline ValueId source(const Graph& g, ValueId v, size_t slot = 0) {
  return g.node(g.value(v).producer).inputs[slot];
}
/// The only node that uses `v` (however often), if `v` is no output of the graph.
[[nodiscard]] NodeId sole_user(const Graph& g, ValueId v);
/// Elements, symbols taken at their typical size.
[[nodiscard]] double elements(const Graph& g, const Shape& shape);
/// The number that all elements of a constant are equal to.
[[nodiscard]] std::optional<double> uniform_value(const Graph& g, ValueId v);

/// x transposed: x itself for the identity, a new constant for a constant, one Transpose in place of two.
Result<ValueId> transpose(Graph& g, ValueId x, const Perm& perm, const std::string& name);
/// x in another shape of the same size; fails (kUnsupported) if more than one symbolic size would have to be told.
Result<ValueId> reshape(Graph& g, ValueId x, const Shape& shape, const std::string& name);
/// Whether reshape() can be told this shape.
[[nodiscard]] bool can_reshape(const Shape& from, const Shape& to);
/// Dimensions of the two sides of a reshape that hold the same elements; ones are left out.
struct ReshapeGroup {
  std::vector<size_t> from, to;
};
std::optional<std::vector<ReshapeGroup>> reshape_groups(const Shape& from, const Shape& to);

/// A Slice by steps of 1 along one axis with known bounds.
struct Range {
  int64_t axis = 0, begin = 0, end = 0;
};
std::optional<Range> slice_range(const Graph& g, NodeId slice);
Result<ValueId> slice(Graph& g, ValueId x, const Range& range, const std::string& name);
/// The result of a named operator with default attributes on constants, as a new constant.
Result<ValueId> fold(Graph& g, std::string_view op, const std::vector<ValueId>& constants);
/// A named operator with default attributes.
[[nodiscard]] std::shared_ptr<const Op> make_op(std::string_view name);
/// A constant with the elements of `c` if it is one number a channel (dimensions [1, …, 1, channels] or a scalar) for
/// results of `rank` dimensions: a vector of `channels`.
std::optional<Tensor> channel_vector(const Graph& g, ValueId c, int64_t channels, size_t rank);
/// Ends node `n`: users of its output use `v`.
void replace_node(Graph& g, NodeId n, ValueId v);

}  // namespace lathe::rewrite
