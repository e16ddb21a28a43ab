// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "export/onnx/onnx.h"

namespace lathe::onnx {

/// Attributes of one ONNX node: serialised AttributeProtos.
class Attributes {
 public:
  Attributes& i(std::string_view name, int64_t v);
  Attributes& f(std::string_view name, double v);
  Attributes& s(std::string_view name, std::string_view v);
  Attributes& ints(std::string_view name, const std::vector<int64_t>& v);
  Attributes& strings(std::string_view name, const std::vector<std::string>& v);
  Attributes& floats(std::string_view name, const std::vector<double>& v);
  /// All attributes of an operator under their names, but those in `skip` ("a b").
  static Attributes of(const Op& op, std::string_view skip = {});
  [[nodiscard]] const std::vector<std::string>& all() const { return all_; }

 private:
  std::vector<std::string> all_;
};

/// Builds a ModelProto node by node. Values are known by the names that they have in the file. Values of rank 4 that
/// windows made may so far exist channels first only; name() makes the other form when it is asked for, and first() the
/// reverse.
class Writer {
 public:
  Writer(const Graph& graph, const WriteOptions& options) : g(graph), options_(options) {}
  Result<Model> run();

  /// The name of a value in its own layout; "" for kNoId.
  std::string name(ValueId v);
  /// The name of a value of rank 4 with its last dimension moved to the second place.
  std::string first(ValueId v);
  [[nodiscard]] bool has_first(ValueId v) const { return first_.contains(v); }
  /// Says that output v exists channels first, under this name.
  void set_first(ValueId v, std::string name) { first_[v] = std::move(name); }
  /// The name that node outputs shall have.
  std::string output_name(ValueId v);

  /// Adds a node with one result, whose name is made up unless it is given, and returns that.
  std::string add(std::string_view op, const std::vector<std::string>& inputs, const Attributes& attributes = {},
                  std::string result = {});
  void add_all(std::string_view op, const std::vector<std::string>& inputs, const std::vector<std::string>& results,
               const Attributes& attributes);
  std::string initializer(const Tensor& t, const std::string& wanted = {});
  std::string i64s(const std::vector<int64_t>& v) { return initializer(Tensor::vector_i64(v)); }
  std::string scalar(DType dtype, double v);

  /// Names of the results of each step; inputs are names.
  Result<std::string> program(const Program& p, const std::vector<std::string>& inputs, const std::string& result = {});

  const Graph& g;

 private:
  Status node(const Node& n);
  std::string fresh(const std::string& stem);
  std::string value_info(ValueId v, const std::string& name) const;

  const WriteOptions& options_;
  Model model_;
  std::string graph_;  ///< the fields of GraphProto so far
  std::string node_name_;
  std::unordered_map<std::string, int> parts_;  ///< nodes written so far for one of the graph, by its name
  size_t weight_bytes_ = 0;
  bool external_ = false;
  std::unordered_map<ValueId, std::string> names_, first_;
  std::unordered_set<std::string> used_;
};

/// Writes one node of an operator; `result` is the name of its output before the epilogue. nullptr: by its program.
using NodeWriter = Status (*)(Writer& w, const Node& n, const std::vector<std::string>& results);
NodeWriter find_writer(const Op& op);

/// Along which dimension of its first input a Quantize or Dequantize has a scale for each index; -1: one scale for all.
/// None: neither is so, or ONNX has no such type (or `n` is another operator).
std::optional<int64_t> quantization_axis(const Graph& g, const Node& n);
/// The Dequantize of constants that makes `v` and that quantization_axis() is known of: it is written where it is used.
const Node* quantized_constant(const Graph& g, ValueId v);
/// Writes QuantizeLinear or DequantizeLinear of `x`, whose scales go along `axis`; returns the result's name.
std::string write_quantization(Writer& w, const Node& n, const std::string& x, int64_t axis, const std::string& result);

/// Operators on channels-last images, which ONNX has channels first: sets first() of the output instead of writing it.
bool writes_first(const Op& op);

}  // namespace lathe::onnx
