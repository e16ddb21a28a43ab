// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "engine/codec.h"
#include "engine/operator_call.h"
#include "engine/size_program.h"

namespace lathe {

template <class A, Is<CustomAttribute> T>
void describe(A& a, T& v) {
  a(v.name, v.kind, v.ints, v.floats, v.strings, v.dtype, v.data);
}
template <class A, Is<CustomOperator::Operand> T>
void describe(A& a, T& v) {
  a(v.dtype, v.rank);
}
template <class A, Is<CustomOperator> T>
void describe(A& a, T& v) {
  a(v.domain, v.name, v.attributes, v.inputs, v.outputs);
}

namespace {

/// Of the encoding; a later one has another number.
constexpr uint32_t kVersion = 1;

bool sized(const CustomOperator::Operand& x) {
  return dtype_bits(x.dtype) >= 8 && x.rank >= 0 && x.rank <= LATHE_MAX_RANK;
}
bool absent(const CustomOperator::Operand& x) { return x.dtype == DType::kUndefined && x.rank == 0; }

bool whole(const CustomAttribute& a) {
  if (a.kind != CustomAttribute::Kind::kTensor) return a.kind < CustomAttribute::Kind::kTensor;
  std::optional<int64_t> bits = dtype_bits(a.dtype);
  for (const int64_t d : a.ints) bits = bits && d >= 0 ? size_apply(SizeExpr::Kind::kMul, *bits, d) : std::nullopt;
  return bits && dtype_bits(a.dtype) > 0 && a.ints.size() <= LATHE_MAX_RANK &&
         static_cast<uint64_t>((*bits + 7) / 8) == a.data.size();
}

}  // namespace

std::vector<std::byte> encode_operator(const CustomOperator& op) {
  Encoder e;
  e(kVersion, op);
  return e.take();
}

Result<CustomOperator> decode_operator(std::span<const std::byte> bytes) {
  Decoder d(bytes);
  uint32_t version = 0;
  CustomOperator op;
  d(version, op);
  const bool good = d.complete() && version == kVersion && !op.name.empty() &&
                    std::all_of(op.inputs.begin(), op.inputs.end(), [](auto& x) { return sized(x) || absent(x); }) &&
                    std::all_of(op.outputs.begin(), op.outputs.end(), sized) &&
                    std::all_of(op.attributes.begin(), op.attributes.end(), whole);
  if (!good) return fail(Code::kDamaged, "the description of a custom operator is damaged");
  return op;
}

}  // namespace lathe
