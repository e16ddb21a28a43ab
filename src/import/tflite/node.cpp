// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/node.h"

#include <algorithm>

#include "import/tflite/importer.h"

namespace lathe::tflite {

std::string_view Node::canonical() const { return row_.name; }

const fb::Tensor& Node::in_tensor(size_t i) const {
  return *graph_.tensors()->Get(
      static_cast<flatbuffers::uoffset_t>(op_.inputs()->Get(static_cast<flatbuffers::uoffset_t>(i))));
}

const fb::Tensor& Node::out_tensor(size_t i) const {
  return *graph_.tensors()->Get(
      static_cast<flatbuffers::uoffset_t>(op_.outputs()->Get(static_cast<flatbuffers::uoffset_t>(i))));
}

DType Node::out_dtype(size_t i) const {
  return i < output_count() ? dtype_of(out_tensor(i)).value_or(DType::kUndefined) : DType::kUndefined;
}

const Quantization* Node::quant_in(size_t i) const {
  return has(i) && i < length(op_.inputs()) ? importer_.quantization(in_tensor(i)) : nullptr;
}

const Quantization* Node::quant_out(size_t i) const {
  return i < output_count() ? importer_.quantization(out_tensor(i)) : nullptr;
}

Result<std::vector<int64_t>> Node::integers(size_t i, std::string_view what) const {
  if (!has(i)) return damaged(std::string(what) + " is missing");
  const ValueInfo v = b.info(in(i));
  if (!dtype_info(v.dtype).is_int) return damaged(std::string(what) + " is not of an integer type");
  if (v.constant) {
    if (v.constant->count() > 1 << 20) return damaged(std::string(what) + " is too long");
    return v.constant->to_i64();
  }
  if (auto known = integers_of(v)) return *std::move(known);
  return unsupported(std::string(what) + " depends on data; only constants are supported");
}

Result<int64_t> Node::integer(size_t i, std::string_view what) const {
  LATHE_TRY(const auto v, integers(i, what));
  if (v.size() != 1) return damaged(std::string(what) + " is not one number");
  return v[0];
}

ValueId Node::as_i64(size_t i) const {
  const ValueId v = b.cast(in(i), DType::kI64);
  return b.ok() && b.rank(v) == 0 ? b.reshape(v, {1}) : v;
}

Result<int64_t> Node::axis(int64_t axis, int64_t rank) {
  const int64_t a = axis < 0 ? axis + rank : axis;
  if (a < 0 || a >= rank)
    return damaged("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  return a;
}

Result<std::vector<int64_t>> Node::axes(std::vector<int64_t> axes, int64_t rank) {
  for (int64_t& a : axes) {
    LATHE_TRY(a, axis(a, rank));
  }
  std::ranges::sort(axes);
  const auto twice = std::ranges::unique(axes);
  axes.erase(twice.begin(), twice.end());
  return axes;
}

}  // namespace lathe::tflite
