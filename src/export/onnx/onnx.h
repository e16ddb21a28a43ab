// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace lathe::onnx {

struct WriteOptions {
  /// Name of the file, beside the model's, that takes the weights where `inline_bytes` are not enough.
  std::string external_name = "model.onnx.data";
  /// Up to so many bytes of weights the model is one file; protobuf allows 2 GB.
  size_t inline_bytes = 1'900'000'000;
};

/// A model as ONNX stores it.
struct Model {
  std::string proto;                                  ///< a serialised ModelProto
  std::vector<std::pair<uint64_t, Tensor>> external;  ///< what the other file holds: offset and bytes; often nothing
  uint64_t external_bytes = 0;
  size_t nodes = 0;
};

/// Writes the graph in standard operators of ONNX opset 21: fused programs, epilogues, attention and channels-last
/// windows are taken apart; inputs, outputs, nodes and values keep their names. Any graph will do, optimised or not.
/// kUnsupported lists every node that ONNX cannot express.
Result<Model> write(const Graph& graph, const WriteOptions& options = {});

}  // namespace lathe::onnx
