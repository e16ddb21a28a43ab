// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

// Without the library's own locale, which is not in its headers.
#ifndef FLATBUFFERS_LOCALE_INDEPENDENT
#define FLATBUFFERS_LOCALE_INDEPENDENT 0
#endif
#include "export/tflite/tflite.h"
#include "tflite/schema_generated.h"

namespace lathe::tflite {

/// Numbers of LiteRT's builtin operators.
enum class Builtin : int32_t {
  kAdd = 0,
  kAveragePool = 1,
  kConcatenation = 2,
  kConv = 3,
  kDepthwiseConv = 4,
  kFloor = 8,
  kFullyConnected = 9,
  kLogistic = 14,
  kMaxPool = 17,
  kMul = 18,
  kRelu = 19,
  kRelu6 = 21,
  kReshape = 22,
  kResizeBilinear = 23,
  kSoftmax = 25,
  kTanh = 28,
  kPad = 34,
  kGather = 36,
  kTranspose = 39,
  kMean = 40,
  kSub = 41,
  kDiv = 42,
  kStridedSlice = 45,
  kExp = 47,
  kLogSoftmax = 50,
  kCast = 53,
  kMaximum = 55,
  kArgMax = 56,
  kMinimum = 57,
  kLess = 58,
  kNeg = 59,
  kPadV2 = 60,
  kLessEqual = 63,
  kSin = 66,
  kTransposeConv = 67,
  kTile = 69,
  kEqual = 71,
  kLog = 73,
  kSum = 74,
  kSqrt = 75,
  kRsqrt = 76,
  kPow = 78,
  kArgMin = 79,
  kReduceProd = 81,
  kReduceMax = 82,
  kLogicalOr = 84,
  kLogicalAnd = 86,
  kLogicalNot = 87,
  kReduceMin = 89,
  kResizeNearest = 97,
  kLeakyRelu = 98,
  kMirrorPad = 100,
  kAbs = 101,
  kCeil = 104,
  kCos = 108,
  kElu = 111,
  kRound = 116,
  kHardSwish = 117,
  kSelectV2 = 123,
  kBatchMatMul = 126,
  kBroadcastTo = 130,
  kGelu = 150,
  kSign = 158,
};

using Dims = std::vector<int64_t>;
/// A tensor of the file by its number; kAbsent where an operator is given none.
using TensorId = int32_t;
inline constexpr TensorId kAbsent = -1;

/// Builds the flatbuffer while the nodes of a graph are written one after another.
class Writer {
 public:
  explicit Writer(const Graph& graph) : g(graph) {}
  Result<Written> run();

  const Graph& g;
  flatbuffers::FlatBufferBuilder b;

  /// The tensor of a value that has been written, or of a constant.
  TensorId tensor(ValueId v);
  /// A tensor for the node's own intermediate results.
  TensorId temporary(DType dtype, Dims dims);
  TensorId constant(const Tensor& t, const std::string& name = {});
  TensorId scalar(DType dtype, double v);
  TensorId i32s(const Dims& v);
  [[nodiscard]] const Dims& dims(TensorId t) const { return tensors_[static_cast<size_t>(t)].dims; }
  [[nodiscard]] DType dtype(TensorId t) const { return tensors_[static_cast<size_t>(t)].dtype; }
  [[nodiscard]] Dims dims_of(ValueId v) const { return *static_dims(g.value(v).shape); }

  /// Adds an operator that makes `out`.
  template <class Options>
  TensorId add(Builtin op, std::vector<TensorId> inputs, TensorId out, flatbuffers::Offset<Options> options) {
    add_operator(op, std::move(inputs), out, fb::BuiltinOptionsTraits<Options>::enum_value, options.Union());
    return out;
  }
  TensorId add(Builtin op, std::vector<TensorId> inputs, TensorId out) {
    add_operator(op, std::move(inputs), out, fb::BuiltinOptions::NONE, 0);
    return out;
  }
  TensorId reshape(TensorId x, const Dims& to, TensorId out = kAbsent);
  TensorId transpose(TensorId x, const Dims& perm, TensorId out = kAbsent);
  /// Steps of a program over tensors that broadcast; the result is `out`.
  Status program(const Program& p, const std::vector<TensorId>& inputs, TensorId out);

 private:
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    Dims dims;
    uint32_t buffer = 0;
  };
  TensorId add_tensor(std::string name, DType dtype, Dims dims, uint32_t buffer = 0);
  void add_operator(Builtin op, std::vector<TensorId> inputs, TensorId out, fb::BuiltinOptions type,
                    flatbuffers::Offset<void> options);
  Status check_types() const;
  Status node(const Node& n);
  std::string fresh(const std::string& stem);

  std::vector<Entry> tensors_;
  std::unordered_map<ValueId, TensorId> by_value_;
  std::map<std::pair<DType, std::vector<std::byte>>, TensorId> small_;  ///< constants without a name
  std::set<std::string> used_;
  std::string node_name_;
  std::vector<flatbuffers::Offset<fb::Buffer>> buffers_;
  std::vector<flatbuffers::Offset<fb::Operator>> operators_;
  std::vector<flatbuffers::Offset<fb::OperatorCode>> codes_;
  std::map<Builtin, uint32_t> code_index_;
  size_t bytes_ = 0;
};

/// Writes a node whose result is `out`.
using NodeWriter = Status (*)(Writer& w, const Node& n, TensorId out);
/// nullptr: there is none; what is elementwise is then written by its program.
NodeWriter find_writer(const Node& n);

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }

}  // namespace lathe::tflite
