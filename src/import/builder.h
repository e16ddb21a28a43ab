// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/graph.h"

namespace lathe::importer {

/// An attribute of an operator whose struct is private to its file.
struct NamedAttribute {
  std::string_view name;
  std::variant<int64_t, double, bool, std::string> value;
};

/// Adds canonical operators to a graph on behalf of one node of the user's model. Shared by all front ends.
/// The first error sticks: later calls do nothing and return kNoId, so that compositions read as expressions; check
/// status() at the end. Small results of constant inputs are folded at once.
class Builder {
 public:
  explicit Builder(Graph& graph, size_t max_tensor_bytes) : graph_(graph), max_tensor_bytes_(max_tensor_bytes) {}

  /// Nodes added from now on carry this name; forgets an earlier error.
  void begin_node(std::string name);
  [[nodiscard]] const std::string& node_name() const { return node_name_; }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] bool ok() const { return status_.has_value(); }
  void set_error(Error e);

  std::vector<ValueId> add_all(std::shared_ptr<const Op> op, std::vector<ValueId> inputs);
  ValueId add(std::shared_ptr<const Op> op, std::vector<ValueId> inputs);
  /// An operator given by its canonical name, with default attributes.
  ValueId op(std::string_view name, std::vector<ValueId> inputs);
  /// The same with some attributes; those the operator does not have under that name and type are ignored.
  ValueId op(std::string_view name, std::vector<ValueId> inputs, std::vector<NamedAttribute> attributes);
  /// A typed operator whose attributes `set` fills in.
  template <class T, class F>
  ValueId make(std::vector<ValueId> inputs, F&& set) {
    auto t = std::make_shared<T>();
    set(*t);
    return add(std::move(t), std::move(inputs));
  }

  ValueId constant(Tensor t);
  ValueId i64s(const std::vector<int64_t>& v) { return constant(Tensor::vector_i64(v)); }
  ValueId i64(int64_t v) { return constant(Tensor::scalar_i64(v)); }
  /// A scalar of the dtype.
  ValueId scalar(DType dtype, double value);

  ValueId transpose(ValueId x, std::vector<int64_t> perm);
  ValueId reshape(ValueId x, const Shape& target);
  ValueId cast(ValueId x, DType to);
  ValueId expand(ValueId x, const Shape& target);
  /// A 1-D i64 tensor holding `target`; symbols are read from the shapes of `sources` at run time. With `rest`, one
  /// size found nowhere in them may become -1; others are computed (dim_value).
  ValueId shape_value(const Shape& target, const std::vector<ValueId>& sources, bool rest);
  /// A size as an i64 tensor of one element ([1]), computed from the shapes of the values in the graph.
  ValueId dim_value(const Dim& d);
  /// `v` (integers, rank 0 or 1) for use in shapes: numbers that depend on data become symbols when the model runs.
  ValueId sizes(ValueId v);
  ValueId reduce(std::string_view kind, ValueId x, std::vector<int64_t> axes, bool keepdims);
  ValueId slice(ValueId x, int64_t axis, int64_t start, int64_t end);
  ValueId concat(std::vector<ValueId> xs, int64_t axis);
  /// 0, 1, … up to `count`, i64; the shapes of `sources` tell a symbolic count at run time.
  ValueId iota(const Dim& count, const std::vector<ValueId>& sources);

  [[nodiscard]] ValueInfo info(ValueId v) const { return graph_.info(v); }
  [[nodiscard]] Shape shape(ValueId v) const { return v < 0 ? Shape{} : graph_.value(v).shape; }
  [[nodiscard]] int64_t rank(ValueId v) const { return static_cast<int64_t>(shape(v).size()); }
  [[nodiscard]] DType dtype(ValueId v) const { return v < 0 ? DType::kUndefined : graph_.value(v).dtype; }
  [[nodiscard]] const Tensor* constant_of(ValueId v) const;
  [[nodiscard]] Graph& graph() { return graph_; }

 private:
  std::optional<std::vector<ValueId>> fold(const Op& op, const std::vector<ValueId>& inputs);
  [[nodiscard]] ValueId find_size(const Dim& d);
  ValueId shape_element(ValueId of, int64_t d);
  Graph& graph_;
  size_t max_tensor_bytes_;
  std::string node_name_;
  Status status_;
};

/// The bytes of a tensor, or nothing if it has a negative size or more than `most` bytes.
std::optional<size_t> checked_bytes(DType dtype, const std::vector<int64_t>& dims, size_t most);
/// A constant transposed.
Result<Tensor> transposed(const Tensor& x, const std::vector<int64_t>& perm);

}  // namespace lathe::importer
