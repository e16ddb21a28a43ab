// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "import/file_bytes.h"
#include "ir/tensor.h"
#include "tflite/schema_generated.h"

namespace lathe::tflite {

/// How the integers of a tensor stand for reals: real = scale * (q - zero_point), one pair for all or one for each
/// index along `axis`.
struct Quantization {
  std::vector<float> scales;
  std::vector<int64_t> zero_points;
  int64_t axis = 0;
  [[nodiscard]] bool per_axis() const { return scales.size() > 1; }
  [[nodiscard]] float scale() const { return scales[0]; }
  [[nodiscard]] int64_t zero_point() const { return zero_points[0]; }
  [[nodiscard]] int64_t zero_point(size_t i) const { return zero_points[zero_points.size() > 1 ? i : 0]; }
  friend bool operator==(const Quantization&, const Quantization&) = default;
};

/// A verified flatbuffer: every offset in it may be followed. What the tables say is not checked beyond that.
class Model {
 public:
  /// kDamaged: not a whole flatbuffer of this format.
  static Result<Model> open(const std::string& path, size_t max_tensor_bytes);

  [[nodiscard]] const fb::Model& root() const { return *root_; }
  /// The operator's number in the format, and its name as the format has it (custom operators: theirs).
  [[nodiscard]] Result<int32_t> code(const fb::Operator& op) const;
  [[nodiscard]] std::string custom_name(const fb::Operator& op) const;
  /// True if the tensor's elements are in the file.
  [[nodiscard]] bool has_data(const fb::Tensor& t) const;
  /// The elements, where they lie in the file if they are aligned there. Sparse tensors are expanded.
  [[nodiscard]] Result<Tensor> constant(const fb::Tensor& t) const;

 private:
  [[nodiscard]] Result<std::span<const char>> data(const fb::Tensor& t) const;
  importer::FileBytes file_;
  const fb::Model* root_ = nullptr;
  size_t max_bytes_ = 0;
};

/// "conv2d/BiasAdd"
std::string name_of(const fb::Tensor& t);
/// The element type; kUnsupported for those lathe has none for.
Result<DType> dtype_of(const fb::Tensor& t);
/// `t`'s fixed sizes, non-negative.
Result<std::vector<int64_t>> dims_of(const fb::Tensor& t);
/// Empty optional: the tensor is not quantized. kDamaged where scales, zero points and axis do not fit its shape.
Result<std::optional<Quantization>> quantization_of(const fb::Tensor& t);

/// A vector of the flatbuffer that may be absent.
template <class T>
size_t length(const flatbuffers::Vector<T>* v) {
  return v ? v->size() : 0;
}
template <class T>
std::vector<int64_t> integers(const flatbuffers::Vector<T>* v) {
  std::vector<int64_t> r;
  for (size_t i = 0; i < length(v); ++i) r.push_back(v->Get(static_cast<flatbuffers::uoffset_t>(i)));
  return r;
}

}  // namespace lathe::tflite
