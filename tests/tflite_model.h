// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tflite/schema_generated.h"

/// Small TFLite files made in memory, sane or not.
namespace tflite_model {

namespace fb = lathe::tflite::fb;

struct Tensor {
  std::string name;
  std::vector<int32_t> shape;
  fb::TensorType type = fb::TensorType::FLOAT32;
  std::vector<uint8_t> data = {};
  std::vector<float> scales = {};
  std::vector<int64_t> zero_points = {};
  int32_t axis = 0;
  bool variable = false;
  int32_t buffer = -1;  ///< -1: one of its own where there is data
  std::vector<int32_t> signature = {};
  bool sparse = false;  ///< rows compressed: see sparse_rows
  uint32_t external = 0;
};

struct Op {
  int32_t code;
  std::vector<int32_t> inputs, outputs;
  fb::BuiltinOptions type = fb::BuiltinOptions::NONE;
  std::function<flatbuffers::Offset<void>(flatbuffers::FlatBufferBuilder&)> options = {};
  int32_t code_index = -1;  ///< of the operator codes; -1: its own
  std::vector<uint8_t> custom = {};
  std::string custom_name = "Strange";
};

struct Graph {
  std::vector<Tensor> tensors;
  std::vector<int32_t> inputs, outputs;
  std::vector<Op> ops;
};

struct Model {
  std::vector<Graph> graphs;
  uint32_t version = 3;
  uint64_t buffer_offset = 0, buffer_size = 0;  ///< of the first buffer with data, if not 0
  std::vector<int32_t> segments = {0, 1, 2};    ///< of sparse tensors
  std::vector<int32_t> columns = {0, 1};
  std::string signature = {};  ///< of the first graph; its tensors are called in0, …, out0, …
};

template <class T>
std::vector<uint8_t> bytes(const std::vector<T>& values) {
  std::vector<uint8_t> r(values.size() * sizeof(T));
  if (!r.empty()) std::memcpy(r.data(), values.data(), r.size());
  return r;
}

inline std::string file(const Model& m) {
  flatbuffers::FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<fb::Buffer>> buffers = {fb::CreateBuffer(b)};
  std::vector<flatbuffers::Offset<fb::OperatorCode>> codes;
  std::vector<flatbuffers::Offset<fb::SubGraph>> graphs;
  for (const Graph& g : m.graphs) {
    std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
    for (const Tensor& t : g.tensors) {
      uint32_t buffer = 0;
      if (t.buffer >= 0) {
        buffer = static_cast<uint32_t>(t.buffer);
      } else if (!t.data.empty()) {
        buffer = static_cast<uint32_t>(buffers.size());
        const bool outside = m.buffer_offset != 0 && buffer == 1;
        buffers.push_back(outside ? fb::CreateBuffer(b, 0, m.buffer_offset, m.buffer_size)
                                  : fb::CreateBufferDirect(b, &t.data));
      }
      flatbuffers::Offset<fb::QuantizationParameters> q = 0;
      if (!t.scales.empty())
        q = fb::CreateQuantizationParametersDirect(b, nullptr, nullptr, &t.scales, &t.zero_points,
                                                   fb::QuantizationDetails::NONE, 0, t.axis);
      flatbuffers::Offset<fb::SparsityParameters> s = 0;
      if (t.sparse) {
        const std::vector<flatbuffers::Offset<fb::DimensionMetadata>> levels = {
            fb::CreateDimensionMetadata(b, fb::DimensionType::DENSE, t.shape[0]),
            fb::CreateDimensionMetadata(b, fb::DimensionType::SPARSE_CSR, 0, fb::SparseIndexVector::Int32Vector,
                                        fb::CreateInt32VectorDirect(b, &m.segments).Union(),
                                        fb::SparseIndexVector::Int32Vector,
                                        fb::CreateInt32VectorDirect(b, &m.columns).Union())};
        const std::vector<int32_t> order = {0, 1};
        s = fb::CreateSparsityParametersDirect(b, &order, nullptr, &levels);
      }
      tensors.push_back(fb::CreateTensorDirect(b, &t.shape, t.type, buffer, t.name.c_str(), q, t.variable, s,
                                               t.signature.empty() ? nullptr : &t.signature, false, t.external));
    }
    std::vector<flatbuffers::Offset<fb::Operator>> ops;
    for (const Op& op : g.ops) {
      const auto index = static_cast<uint32_t>(op.code_index >= 0 ? op.code_index : static_cast<int32_t>(codes.size()));
      codes.push_back(fb::CreateOperatorCodeDirect(b, static_cast<int8_t>(std::min(op.code, 127)),
                                                   op.code == 32 ? op.custom_name.c_str() : nullptr, 1, op.code));
      const auto options = op.options ? op.options(b) : flatbuffers::Offset<void>(0);
      ops.push_back(fb::CreateOperatorDirect(b, index, &op.inputs, &op.outputs, op.type, options,
                                             op.custom.empty() ? nullptr : &op.custom));
    }
    graphs.push_back(fb::CreateSubGraphDirect(b, &tensors, &g.inputs, &g.outputs, &ops, "main"));
  }
  std::vector<flatbuffers::Offset<fb::SignatureDef>> signatures;
  if (!m.signature.empty()) {
    const auto maps = [&](const std::vector<int32_t>& list, const std::string& stem) {
      std::vector<flatbuffers::Offset<fb::TensorMap>> r;
      for (const int32_t i : list)
        r.push_back(fb::CreateTensorMapDirect(b, (stem + std::to_string(r.size())).c_str(), static_cast<uint32_t>(i)));
      return r;
    };
    const auto in = maps(m.graphs[0].inputs, "in"), out = maps(m.graphs[0].outputs, "out");
    signatures.push_back(fb::CreateSignatureDefDirect(b, &in, &out, m.signature.c_str(), 0));
  }
  const auto root = fb::CreateModelDirect(b, m.version, &codes, &graphs, "test", &buffers, nullptr, nullptr,
                                          signatures.empty() ? nullptr : &signatures);
  fb::FinishModelBuffer(b, root);
  return {reinterpret_cast<const char*>(b.GetBufferPointer()), b.GetSize()};
}

}  // namespace tflite_model
