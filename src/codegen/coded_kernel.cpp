// SPDX-License-Identifier: Apache-2.0
// Kernels' parts that read weights in codes.
//
// A word holds the codes of neighbouring steps; a code is masked where it lies and converted, which makes it too large
// by a power of two: the row of a is divided by that beforehand. So a vector of weights costs three instructions:
//
//     word: | c7 | c6 | c5 | c4 | c3 | c2 | c1 | c0 |   & 0x0000f000 → to float = c3 * 16^3;   sum += (a3 / 16^3) *
//     that
//
// Zero points and scales follow once a block: sum of a * (code - zero) * scale = scale * (sum of a * code - zero * sum
// of a).
#include <llvm/IR/IntrinsicsAArch64.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>

#include "codegen/coded.h"

namespace lathe::codegen {

namespace {

/// table[byte] of bytes below 16.
Val look_up(Emitter& e, const std::array<int, 16>& table, Val bytes) {
  const auto count = llvm::cast<llvm::FixedVectorType>(bytes->getType())->getNumElements();
  const auto constant = [&](unsigned n) {
    std::vector<llvm::Constant*> all;
    for (unsigned i = 0; i < n; ++i) all.push_back(e.b.getInt8(static_cast<uint8_t>(table[i % 16])));
    return llvm::ConstantVector::get(all);
  };
  if (e.target.arch == Arch::kX86_64) {
    const auto id = count == 64   ? llvm::Intrinsic::x86_avx512_pshuf_b_512
                    : count == 32 ? llvm::Intrinsic::x86_avx2_pshuf_b
                                  : llvm::Intrinsic::x86_ssse3_pshuf_b_128;
    return e.b.CreateIntrinsic(id, {}, {constant(count), bytes});
  }
  return e.b.CreateIntrinsic(llvm::Intrinsic::aarch64_neon_tbl1, {bytes->getType()}, {constant(16), bytes});
}

int lanes_of(Val v) { return static_cast<int>(llvm::cast<llvm::FixedVectorType>(v->getType())->getNumElements()); }

Vals stage_words(Emitter& e, const Coding& c, Val words) {
  if (c.code != CodeKind::kFloat4) return {words};
  const int lanes = lanes_of(words);
  auto* bytes = llvm::FixedVectorType::get(e.b.getInt8Ty(), static_cast<unsigned>(lanes * 4));
  Val mask = e.constant_int(DType::kI32, 0x0F0F0F0F, lanes);
  std::array<int, 16> table{};
  for (size_t i = 0; i < 8; ++i) {
    table[i] = kFloat4Zero + kFloat4Twice[i];
    table[i + 8] = kFloat4Zero - kFloat4Twice[i];
  }
  Vals r;
  for (Val half : {words, e.b.CreateLShr(words, e.constant_int(DType::kI32, 4, lanes))})
    r.push_back(
        e.b.CreateBitCast(look_up(e, table, e.b.CreateBitCast(e.b.CreateAnd(half, mask), bytes)), words->getType()));
  return r;
}

Val decode(Emitter& e, const Coding& c, const Vals& staged, int position) {
  const int lanes = lanes_of(staged[0]);
  const auto number = [&](int64_t v) { return e.constant_int(DType::kI32, v, lanes); };
  auto* floats = e.vec(DType::kF32, lanes);
  if (c.code == CodeKind::kFloat8) {
    // Sign and exponent where f32 has them; the exponent's bias is 120 less.
    Val v = position == 3 ? staged[0] : e.b.CreateShl(staged[0], number(24 - 8 * position));
    v = e.b.CreateAnd(e.b.CreateAShr(v, number(4)), number(static_cast<int32_t>(0x87F00000)));
    return e.b.CreateFMul(e.b.CreateBitCast(v, floats), e.constant(DType::kF32, 0x1p120, lanes));
  }
  Val words = staged[c.code == CodeKind::kFloat4 ? static_cast<size_t>(position % 2) : 0];
  const int bits = c.code == CodeKind::kInt4 ? 4 : 8,
            at = (c.code == CodeKind::kFloat4 ? position / 2 : position) * bits;
  Val v = at + bits == 32 ? e.b.CreateLShr(words, number(at)) : e.b.CreateAnd(words, number(((1 << bits) - 1) << at));
  return e.b.CreateSIToFP(v, floats);
}

Val load_scales(Emitter& e, const Coding& c, Val p, int lanes) {
  auto* wide = e.vec(DType::kI32, lanes);
  auto* floats = e.vec(DType::kF32, lanes);
  const auto as_float = [&](int shift) {
    Val bits = e.b.CreateZExt(e.load(DType::kU8, p, lanes), wide);
    return e.b.CreateBitCast(e.b.CreateShl(bits, e.constant_int(DType::kI32, shift, lanes)), floats);
  };
  if (c.scale == DType::kF32) return e.load(DType::kF32, p, lanes);
  if (c.scale == DType::kF8E8M0) return as_float(23);
  if (c.scale == DType::kF8E4M3FN) return e.b.CreateFMul(as_float(20), e.constant(DType::kF32, 0x1p120, lanes));
  ProgramBuilder widen;
  Val v = e.load(c.scale, p, lanes);
  return e.program(widen.finish(cast(widen.input(c.scale), DType::kF32)), {&v, 1}, lanes);
}

Vals load_words(Emitter& e, const Coding& c, const CodedStrip& strip, Val word) {
  const int lanes = e.lanes();
  Vals r;
  Val at = e.mul(e.add(e.mul(word, c.panel), strip.within), 4);
  for (int n = 0; n < strip.vectors; ++n)
    r.push_back(
        e.load_aligned(DType::kI32, e.at(strip.panel, e.add(at, e.i64(int64_t{n} * lanes * 4))), lanes, lanes * 4));
  return r;
}

/// Scales (zero points) of vector n in a block.
Val block_scales(Emitter& e, const Coding& c, const CodedStrip& strip, Val block, int n) {
  Val i = e.add(e.add(e.mul(block, c.panel), strip.within), e.i64(int64_t{n} * e.lanes()));
  Val at = e.add(e.mul(i, dtype_bits(c.scale) / 8), e.i64(c.scales_at()));
  return load_scales(e, c, e.at(strip.panel, at), e.lanes());
}
Val block_zeros(Emitter& e, const Coding& c, const CodedStrip& strip, Val block, int n) {
  const int lanes = e.lanes();
  if (!c.own_zeros) return e.constant(DType::kF32, c.zero, lanes);
  Val i = e.add(e.add(e.mul(block, c.panel), strip.within), e.i64(int64_t{n} * lanes + c.zeros_at()));
  Val bytes = e.load(DType::kU8, e.at(strip.panel, i), lanes);
  return e.b.CreateSIToFP(e.b.CreateZExt(bytes, e.vec(DType::kI32, lanes)), e.vec(DType::kF32, lanes));
}

// A prepared row is its elements, each divided by its position's Coding::factor, and their sums by blocks; both are
// filled up to whole vectors and words.
int64_t sums_at(const Coding& c) { return (c.k + 63) / 64 * 256; }

}  // namespace

int64_t prepared_bytes(const Coding& c) { return sums_at(c) + (c.blocks() + 15) / 16 * 64; }

void widen_codes(Emitter& e, const Coding& c, const CodedStrip& strip, Val from, Val length, Val wide) {
  const int per = c.per_word(), lanes = e.lanes();
  const int64_t vector_bytes = int64_t{lanes} * 4, row_bytes = vector_bytes * strip.vectors;
  Val first = e.div(from, e.i64(per));
  e.for_each(e.i64(0), e.div(e.add(length, e.i64(per - 1)), e.i64(per)), 1, [&](Val i) {
    Val word = e.add(first, i), block = e.div(word, e.i64(c.words_per_block()));
    const Vals words = load_words(e, c, strip, word);
    for (int n = 0; n < strip.vectors; ++n) {
      const Vals staged = stage_words(e, c, words[static_cast<size_t>(n)]);
      Val scale = block_scales(e, c, strip, block, n), zero = nullptr;
      if (c.has_zeros())
        zero = e.b.CreateFMul(block_zeros(e, c, strip, block, n),
                              e.constant(DType::kF32, static_cast<double>(c.unit()), lanes));
      for (int p = 0; p < per; ++p) {
        Val v = decode(e, c, staged, p);
        if (const auto by = static_cast<double>(c.unit() / c.factor(p)); by != 1)
          v = e.b.CreateFMul(v, e.constant(DType::kF32, by, lanes));
        if (zero) v = e.b.CreateFSub(v, zero);
        Val to = e.add(e.mul(i, row_bytes * per), e.i64(p * row_bytes + n * vector_bytes));
        e.store(DType::kF32, e.b.CreateFMul(v, scale), e.at(wide, to));
      }
    }
  });
}

void prepare_row(Emitter& e, const Coding& c, Val from, Val to) {
  const int per = c.per_word(), lanes = e.lanes(), chunk = std::max(lanes, per);
  const auto unit = static_cast<double>(c.unit());
  Vals by;
  for (int j = 0; j < chunk; j += lanes) {
    std::vector<llvm::Constant*> all;
    for (int i = 0; i < lanes; ++i)
      all.push_back(llvm::cast<llvm::Constant>(e.f32(unit / static_cast<double>(c.factor((j + i) % per)))));
    by.push_back(llvm::ConstantVector::get(all));
  }
  const auto piece = [&](Val at, int64_t count, Val sum) {
    for (int j = 0; j < chunk; j += lanes) {
      const int64_t here = std::clamp<int64_t>(count - j, 0, lanes);
      Val offset = e.mul(e.add(at, e.i64(j)), 4);
      Val v = here == 0 ? e.constant(DType::kF32, 0, lanes)
                        : e.load(DType::kF32, e.at(from, offset), lanes,
                                 here == lanes ? nullptr : e.lane_mask(e.i64(here), lanes));
      e.store(DType::kF32, e.b.CreateFMul(v, by[static_cast<size_t>(j / lanes)]), e.at(to, offset));
      sum = e.b.CreateFAdd(sum, v);
    }
    return sum;
  };
  const auto block = [&](Val index, int64_t length) {
    Val at = e.mul(index, c.block);
    const int64_t whole = length / chunk * chunk;
    Val sum = e.loop(e.i64(0), e.i64(whole), chunk, {e.constant(DType::kF32, 0, lanes)},
                     [&](Val i, const Vals& in) { return Vals{piece(e.add(at, i), chunk, in[0])}; })[0];
    if (whole < length) sum = piece(e.add(at, e.i64(whole)), length - whole, sum);
    e.store(DType::kF32, e.b.CreateFMul(e.reduce_add(sum), e.f32(unit)),
            e.at(to, e.add(e.mul(index, 4), e.i64(sums_at(c)))));
  };
  const int64_t whole = c.k / c.block;
  e.for_each(e.i64(0), e.i64(whole), 1, [&](Val g) { block(g, c.block); });
  if (c.k % c.block) block(e.i64(whole), c.k % c.block);
}

Vals multiply_codes(Emitter& e, const Coding& c, const CodedStrip& strip, Val row, Vals sums) {
  constexpr size_t kSets = 2;  // of sums, for neighbouring positions: one set alone waits for its latency
  const int per = c.per_word(), lanes = e.lanes();
  const auto vectors = static_cast<size_t>(strip.vectors);
  const auto block = [&](Val index, int64_t words, const Vals& before) {
    Val first = e.mul(index, c.words_per_block());
    Vals acc(kSets * vectors, e.constant(DType::kF32, 0, lanes));
    acc = e.loop(e.i64(0), e.i64(words), 1, acc, [&](Val i, Vals in) {
      Val word = e.add(first, i);
      std::vector<Vals> staged;
      for (Val w : load_words(e, c, strip, word)) staged.push_back(stage_words(e, c, w));
      for (int p = 0; p < per; ++p) {
        Val x = e.splat(e.load(DType::kF32, e.at(row, e.mul(e.add(e.mul(word, per), e.i64(p)), 4))), lanes);
        for (size_t n = 0; n < vectors; ++n) {
          Val& sum = in[static_cast<size_t>(p) % kSets * vectors + n];
          sum = e.fma(x, decode(e, c, staged[n], p), sum);
        }
      }
      return in;
    });
    Vals after;
    for (size_t n = 0; n < vectors; ++n) {
      Val sum = e.b.CreateFAdd(acc[n], acc[vectors + n]);
      if (c.has_zeros()) {
        Val all = e.splat(e.load(DType::kF32, e.at(row, e.add(e.mul(index, 4), e.i64(sums_at(c))))), lanes);
        sum = e.fma(e.b.CreateFNeg(block_zeros(e, c, strip, index, static_cast<int>(n))), all, sum);
      }
      after.push_back(e.fma(sum, block_scales(e, c, strip, index, static_cast<int>(n)), before[n]));
    }
    return after;
  };
  const int64_t whole = c.k / c.block, rest = c.k % c.block;
  sums = e.loop(e.i64(0), e.i64(whole), 1, std::move(sums),
                [&](Val g, const Vals& in) { return block(g, c.words_per_block(), in); });
  return rest ? block(e.i64(whole), (rest + per - 1) / per, sums) : sums;
}

}  // namespace lathe::codegen
