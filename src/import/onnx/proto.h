// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

/// The messages of onnx.proto that the importer reads, as plain structs. Strings and raw data are views into the bytes
/// that were parsed.
namespace lathe::onnx::proto {

struct Tensor {
  std::string_view name;
  std::vector<int64_t> dims;
  int64_t data_type = 0;
  std::string_view raw;
  bool has_raw = false;
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<int64_t> ints;  ///< int32_data, int64_data and (bits of) uint64_data
  std::vector<std::string_view> strings;
  bool external = false;
  std::vector<std::pair<std::string_view, std::string_view>> external_data;
};

struct Graph;

enum class AttributeType : int64_t {
  kUndefined = 0,
  kFloat,
  kInt,
  kString,
  kTensor,
  kGraph,
  kFloats,
  kInts,
  kStrings,
  kTensors,
  kGraphs
};

struct Attribute {
  std::string_view name, ref_name;
  AttributeType type = AttributeType::kUndefined;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<Tensor> tensors;  ///< one for kTensor
  std::vector<Graph> graphs;    ///< one for kGraph
};

struct Node {
  std::vector<std::string_view> inputs, outputs;
  std::string_view name, op_type, domain;
  std::vector<Attribute> attributes;
};

struct Dimension {
  int64_t value = -1;  ///< -1: not given
  std::string_view param;
};

struct ValueInfo {
  std::string_view name;
  /// The type from the outside in: "tensor"; "optional", "sequence", "tensor" …
  std::vector<std::string_view> kinds;
  [[nodiscard]] bool is_tensor() const { return kinds.size() == 1 && kinds[0] == "tensor"; }
  int64_t elem_type = 0;  ///< of the tensor, as all that follows
  bool has_shape = false;
  std::vector<Dimension> dims;
};

struct Graph {
  std::string_view name;
  std::vector<Node> nodes;
  std::vector<Tensor> initializers;
  std::vector<ValueInfo> inputs, outputs;
  bool sparse_initializers = false;
};

struct OperatorSet {
  std::string_view domain;
  int64_t version = 0;
};

struct Function {
  std::string_view name, domain;
  std::vector<std::string_view> inputs, outputs, attributes;
  std::vector<Attribute> defaults;
  std::vector<Node> nodes;
  std::vector<OperatorSet> opsets;
};

struct Model {
  int64_t ir_version = 0;
  std::string_view producer;
  std::vector<OperatorSet> opsets;
  Graph graph;
  bool has_graph = false;
  std::vector<Function> functions;
};

/// Parses a serialised ModelProto, whose bytes must outlive the result. kDamaged where it is not one.
Result<Model> parse_model(std::string_view bytes);
/// Parses a serialised TensorProto.
Result<Tensor> parse_tensor(std::string_view bytes);

}  // namespace lathe::onnx::proto
