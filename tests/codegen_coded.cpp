// SPDX-License-Identifier: Apache-2.0
// Matrix products with weights in codes: every kind of code, scale and zero point, sizes that fill nothing, few rows
// and many, against their reference on every instruction set of this machine.
#include <cmath>

#include "codegen_case.h"
#include "ops/coded_matmul.h"

namespace lathe {
namespace {

using testing::constant;
using testing::expect_as_reference;
using testing::random_f32;

enum class Kind : uint8_t { kSigned, kUnsigned, kFloat };

struct CodedCase {
  Kind kind = Kind::kSigned;
  int bits = 4;
  int64_t m = 1, k = 64, n = 32, block = 32;
  bool zeros = false;
  DType scale = DType::kF16;  ///< what holds all scales
  bool symbolic = false;
  [[nodiscard]] std::string str() const {
    static constexpr const char* kNames[] = {"i", "u", "f"};
    return kNames[static_cast<size_t>(kind)] + std::to_string(bits) + " " + std::to_string(m) + "x" +
           std::to_string(k) + "x" + std::to_string(n) + " by " + std::to_string(block) + (zeros ? " zeros" : "") +
           (symbolic ? " symbolic" : "") + " scales " + std::string(dtype_name(scale));
  }
};

/// Codes over all of their range.
Tensor codes(const CodedCase& c, std::vector<int64_t> dims, uint64_t seed) {
  const Tensor f = random_f32(dims, seed);
  const DType type = c.kind == Kind::kSigned ? DType::kI8 : c.kind == Kind::kUnsigned ? DType::kU8 : DType::kF8E4M3FN;
  Tensor t = Tensor::zeros(type, dims);
  static constexpr double kFours[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const double half = 1 << (c.bits - 1);
  for (int64_t i = 0; i < t.count(); ++i) {
    const double v = f.f64_at(i);
    if (c.kind == Kind::kFloat)
      t.set(i, c.bits == 4 ? std::copysign(kFours[static_cast<int>(std::abs(v) * 7.99)], v)
                           : std::copysign(std::pow(2.0, std::abs(v) * 17.8 - 9), v));
    else
      t.set_i64(i, static_cast<int64_t>(std::floor(v * half)) + (c.kind == Kind::kUnsigned ? 1 << (c.bits - 1) : 0));
  }
  return t;
}

void check(const CodedCase& c) {
  const int64_t blocks = (c.k + c.block - 1) / c.block;
  Tensor scale = random_f32({c.n, blocks}, 3);
  for (float& v : scale.mutable_as<float>()) {
    v = std::abs(v) + 0.01F;
    if (c.scale == DType::kF8E8M0) v = std::exp2(std::floor(std::log2(v)));
  }
  scale = testing::rounded(scale, c.scale == DType::kF8E8M0 ? DType::kF32 : c.scale);
  ops::CodedMatMul op;
  op.block = c.block;
  std::vector<testing::Given> given = {testing::input({c.m, c.k}, 1), constant(codes(c, {c.n, c.k}, 2)),
                                       constant(scale)};
  if (c.symbolic) given[0].symbols = {{0, "rows"}};
  if (c.zeros) given.push_back(constant(codes(c, {c.n, blocks}, 4)));
  expect_as_reference(op, given, 3e-5, c.str());
}

TEST(CodedMatMul, given_each_kind_of_code_and_scale) {
  for (const Kind kind : {Kind::kSigned, Kind::kUnsigned, Kind::kFloat})
    for (const int bits : {4, 8})
      for (const DType scale : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3FN, DType::kF8E8M0})
        for (const int64_t m : {1, 5})
          for (const bool zeros : {false, true}) {
            if (zeros && (kind == Kind::kFloat || scale == DType::kBF16)) continue;
            check({.kind = kind, .bits = bits, .m = m, .zeros = zeros, .scale = scale});
          }
}

TEST(CodedMatMul, given_odd_sizes_then_tails_are_right) {
  for (const int bits : {4, 8})
    for (const int64_t m : {1, 3, 4, 13})
      for (const int64_t n : {1, 33, 100})
        for (const int64_t k : {5, 43, 100})
          for (const int64_t block : {16, 1000}) check({.bits = bits, .m = m, .k = k, .n = n, .block = block});
  for (const Kind kind : {Kind::kUnsigned, Kind::kFloat})
    for (const int64_t m : {2, 9})
      check({.kind = kind, .m = m, .k = 83, .n = 50, .block = 16, .zeros = kind == Kind::kUnsigned});
}

TEST(CodedMatMul, given_long_reductions_and_many_columns) {
  for (const int64_t m : {1, 2, 40}) {
    check({.m = m, .k = 1536, .n = 200, .block = 128, .zeros = true});
    check({.bits = 8, .m = m, .k = 1500, .n = 130, .block = 1500});
    check({.kind = Kind::kFloat, .m = m, .k = 1501, .n = 130, .block = 16, .scale = DType::kF8E4M3FN});
  }
}

TEST(CodedMatMul, given_rows_that_are_known_when_the_engine_runs) {
  for (const int64_t m : {0, 1, 3, 4, 17})
    for (const int bits : {4, 8}) check({.bits = bits, .m = m, .k = 70, .n = 45, .block = 16, .symbolic = true});
}

TEST(CodedMatMul, given_leading_dimensions_and_nan_then_they_are_kept) {
  ops::CodedMatMul op;
  op.block = 16;
  Tensor a = random_f32({2, 3, 40}, 5);
  a.mutable_as<float>()[50] = std::nanf("");
  const CodedCase c{.k = 40, .n = 9, .block = 16};
  expect_as_reference(
      op,
      {{a, false, {}}, constant(codes(c, {9, 40}, 2)), constant(testing::rounded(random_f32({9, 3}, 3), DType::kF16))},
      1e-4, "rank 3 with a NaN");
}

}  // namespace
}  // namespace lathe
