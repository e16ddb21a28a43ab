// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "codegen/emitter.h"
#include "ir/tensor.h"

namespace lathe::codegen {

/// What a code of constant weights is in memory. Integers are stored unsigned, f4e2m1 as its own bits; kernels see the
/// latter as twice its value plus 12, an unsigned integer, too.
enum class CodeKind : uint8_t { kInt4, kInt8, kFloat4, kFloat8 };

/// Constant weights of a matrix product in codes (ops/coded_matmul.h) as kernels read them. Neighbouring steps of a
/// column share a word of 32 bits, a lane is a column:
///
///     [panel] words [k / per_word][panel width], scales [block][panel width], zero points u8 [block][panel width]
///
/// A panel is filled up with zeros to whole columns, words and 64 bytes.
struct Coding {
  CodeKind code = CodeKind::kInt8;
  int64_t k = 0, block = 0;   ///< block: whole words, or k
  int panel = 0;              ///< columns
  DType scale = DType::kF32;  ///< f32, f16, bf16, f8e4m3fn, f8e8m0: what holds all scales exactly
  int zero = 0;               ///< zero point of the stored codes, where blocks do not have their own
  bool own_zeros = false;

  [[nodiscard]] int per_word() const { return code == CodeKind::kInt4 || code == CodeKind::kFloat4 ? 8 : 4; }
  [[nodiscard]] int64_t words() const { return (k + per_word() - 1) / per_word(); }
  [[nodiscard]] int64_t words_per_block() const { return (block + per_word() - 1) / per_word(); }
  [[nodiscard]] int64_t blocks() const { return (k + block - 1) / block; }
  [[nodiscard]] bool has_zeros() const { return own_zeros || zero != 0; }
  [[nodiscard]] int64_t scales_at() const { return words() * panel * 4; }
  [[nodiscard]] int64_t zeros_at() const { return scales_at() + blocks() * panel * dtype_bits(scale) / 8; }
  [[nodiscard]] int64_t panel_bytes() const;
  /// What a code counts for: value = (code - zero) * unit * scale.
  [[nodiscard]] float unit() const { return code == CodeKind::kFloat4 ? 0.5F : 1.0F; }
  /// decode() yields the code times this (a power of two).
  [[nodiscard]] float factor(int position) const;
  [[nodiscard]] std::string str() const;  ///< "i4 by 32"
};

/// Twice the magnitude of f4e2m1 by its low three bits, and what is added to make all of them unsigned.
constexpr std::array<int, 8> kFloat4Twice = {0, 1, 2, 3, 4, 6, 8, 12};
constexpr int kFloat4Zero = 12;

/// Blocks of more than one to a column are multiples of this.
constexpr int64_t kBlockUnit = 16;

/// The coding of weights code [columns, k], scale and zero (empty: none) [columns, blocks], blocks of `block` steps.
Result<Coding> choose_coding(const Tensor& code, const Tensor& scale, const Tensor& zero, int64_t block, int panel);
std::shared_ptr<const std::vector<std::byte>> pack_codes(const Coding& c, const Tensor& code, const Tensor& scale,
                                                         const Tensor& zero);

/// Columns of one panel: `vectors` of them from `within` on.
struct CodedStrip {
  Val panel = nullptr, within = nullptr;
  int vectors = 1;
};

/// Weights [from, from + length) as the model means them, in f32: rows of the strip's columns at `wide`, to whole
/// words.
void widen_codes(Emitter& e, const Coding& c, const CodedStrip& strip, Val from, Val length, Val wide);

/// The row at `from` (contiguous f32) as multiply_codes reads it: prepared_bytes at `to`.
void prepare_row(Emitter& e, const Coding& c, Val from, Val to);
int64_t prepared_bytes(const Coding& c);
/// sums (a vector each of the strip's) plus a prepared row times the strip's weights, decoded in registers.
Vals multiply_codes(Emitter& e, const Coding& c, const CodedStrip& strip, Val row, Vals sums);

}  // namespace lathe::codegen
