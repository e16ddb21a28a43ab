// SPDX-License-Identifier: Apache-2.0
#include "codegen/coded.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace lathe::codegen {

namespace {

/// The bits of f4e2m1 that hold v, or -1.
int float4_bits(float v) {
  const auto at = std::ranges::find(kFloat4Twice, std::abs(v) * 2);
  return at == kFloat4Twice.end() ? -1 : static_cast<int>(at - kFloat4Twice.begin()) | (std::signbit(v) ? 8 : 0);
}

bool holds(DType type, std::span<const float> values) {
  Tensor t = Tensor::zeros(type, {1});
  return std::ranges::all_of(values, [&](float v) {
    switch (type) {
      case DType::kF8E8M0: {
        const auto bits = std::bit_cast<uint32_t>(v);
        return (bits & 0x807FFFFF) == 0 && bits >> 23 != 0 && bits >> 23 != 255;
      }
      case DType::kF16:
        return half_to_float(float_to_half(v)) == v;
      case DType::kBF16:
        return bf16_to_float(float_to_bf16(v)) == v;
      case DType::kF8E4M3FN:
        if (!(v >= 0 && v <= 448)) return false;
        t.set(0, static_cast<double>(v));
        return static_cast<float>(t.f64_at(0)) == v;
      default:
        return true;
    }
  });
}

/// The code as it is stored, unsigned.
uint8_t stored(CodeKind code, DType dtype, std::byte raw, float value) {
  const auto bits = std::to_integer<uint8_t>(raw);
  switch (code) {
    case CodeKind::kInt4:
      return dtype == DType::kI8 ? static_cast<uint8_t>((bits + 8) & 15) : bits;
    case CodeKind::kInt8:
      return dtype == DType::kI8 ? static_cast<uint8_t>(bits ^ 0x80) : bits;
    case CodeKind::kFloat4:
      return static_cast<uint8_t>(float4_bits(value));
    case CodeKind::kFloat8:
      return bits;
  }
  return 0;
}

}  // namespace

int64_t Coding::panel_bytes() const { return (zeros_at() + (own_zeros ? blocks() * panel : 0) + 63) / 64 * 64; }

float Coding::factor(int position) const {
  if (code == CodeKind::kFloat8) return 1;
  const int bits = code == CodeKind::kInt4 ? 4 : 8, at = code == CodeKind::kFloat4 ? position / 2 : position;
  return at * bits + bits == 32 ? 1.0F : std::ldexp(1.0F, at * bits);  // the highest is shifted down
}

std::string Coding::str() const {
  static constexpr const char* kNames[] = {"i4", "i8", "f4", "f8"};
  return std::string(kNames[static_cast<size_t>(code)]) + (block < k ? " by " + std::to_string(block) : "");
}

Result<Coding> choose_coding(const Tensor& code, const Tensor& scale, const Tensor& zero, int64_t block, int panel) {
  Coding c;
  c.k = code.dims()[1];
  c.block = std::min(block, c.k);
  c.panel = panel;
  if (c.block < c.k && c.block % kBlockUnit != 0)
    return fail(Code::kUnsupported, "blocks of " + std::to_string(block) + " steps are not generated yet");
  const DType type = code.dtype();
  const std::vector<float> values = code.to_f32();
  if (type == DType::kF8E4M3FN) {
    if (std::ranges::any_of(values, [](float v) { return std::isnan(v); }))
      return fail(Code::kUnsupported, "a weight is NaN");
    if (!zero.empty() && std::ranges::any_of(zero.to_f32(), [](float v) { return v != 0; }))
      return fail(Code::kUnsupported, "zero points of floats are not generated yet");
    const bool four = std::ranges::all_of(values, [](float v) { return float4_bits(v) >= 0; });
    c.code = four ? CodeKind::kFloat4 : CodeKind::kFloat8;
    c.zero = four ? kFloat4Zero : 0;
  } else {
    const float low = type == DType::kI8 ? -8.0F : 0.0F;
    const auto small = [&](float v) { return v >= low && v < low + 16; };
    const std::vector<float> zeros = zero.empty() ? std::vector<float>{0} : zero.to_f32();
    c.code =
        std::ranges::all_of(values, small) && std::ranges::all_of(zeros, small) ? CodeKind::kInt4 : CodeKind::kInt8;
    const int shift = type != DType::kI8 ? 0 : c.code == CodeKind::kInt4 ? 8 : 128;
    c.own_zeros = std::ranges::adjacent_find(zeros, std::not_equal_to<>()) != zeros.end();
    if (!c.own_zeros && !zeros.empty()) c.zero = static_cast<int>(zeros[0]) + shift;
  }
  const std::vector<float> scales = scale.to_f32();
  for (const DType t : {DType::kF8E8M0, DType::kF8E4M3FN, DType::kF16, DType::kBF16, DType::kF32})
    if (holds(t, scales)) {
      c.scale = t;
      break;
    }
  return c;
}

std::shared_ptr<const std::vector<std::byte>> pack_codes(const Coding& c, const Tensor& code, const Tensor& scale,
                                                         const Tensor& zero) {
  const int64_t columns = code.dims()[0], panels = (columns + c.panel - 1) / c.panel;
  const int64_t bits = 32 / c.per_word(), scale_bytes = dtype_bits(c.scale) / 8;
  auto out = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(panels * c.panel_bytes()));
  const bool floats = c.code == CodeKind::kFloat4;
  const std::vector<float> values = floats ? code.to_f32() : std::vector<float>();
  Tensor scales = Tensor::zeros(c.scale, scale.dims());
  const std::vector<float> given = scale.to_f32();
  for (int64_t i = 0; i < scales.count(); ++i) scales.set(i, static_cast<double>(given[static_cast<size_t>(i)]));
  for (int64_t column = 0; column < columns; ++column) {
    std::byte* panel = out->data() + column / c.panel * c.panel_bytes();
    const int64_t at = column % c.panel;
    for (int64_t w = 0; w < c.words(); ++w) {
      uint32_t word = 0;
      for (int64_t i = w * c.per_word(), end = std::min(c.k, i + c.per_word()), p = 0; i < end; ++i, ++p) {
        const auto from = static_cast<size_t>(column * c.k + i);
        word |= uint32_t{stored(c.code, code.dtype(), code.bytes()[from], floats ? values[from] : 0)} << (p * bits);
      }
      std::memcpy(panel + (w * c.panel + at) * 4, &word, 4);
    }
    for (int64_t g = 0; g < c.blocks(); ++g) {
      const auto from = static_cast<size_t>(column * c.blocks() + g);
      std::memcpy(panel + c.scales_at() + (g * c.panel + at) * scale_bytes,
                  scales.bytes().data() + from * static_cast<size_t>(scale_bytes), static_cast<size_t>(scale_bytes));
      if (c.own_zeros)
        panel[c.zeros_at() + g * c.panel + at] = std::byte{stored(c.code, code.dtype(), zero.bytes()[from], 0)};
    }
  }
  return out;
}

}  // namespace lathe::codegen
