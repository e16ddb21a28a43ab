// SPDX-License-Identifier: Apache-2.0
// LiteRT's fixed-point arithmetic: programs in i32 and i64 give what the scalar functions give, for any number, by the
// reference evaluation and as generated code.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "codegen_case.h"
#include "import/tflite/fixed_point.h"
#include "ops/pointwise.h"

namespace lathe {
namespace {

namespace fixed = tflite::fixed;

constexpr int32_t kMost = std::numeric_limits<int32_t>::max();

/// What is near a change of sign, a tie or a limit, and much in between.
std::vector<int32_t> numbers() {
  std::vector<int32_t> v = {0, kMost, -kMost, kMost - 1, 1 << 30, -(1 << 30), (1 << 30) - 1};
  for (int bit = 0; bit < 31; ++bit)
    for (const int64_t off : {-2, -1, 0, 1, 2})
      for (const int64_t sign : {-1, 1}) {
        const int64_t x = sign * ((int64_t{1} << bit) + off);
        if (x >= -kMost && x <= kMost) v.push_back(static_cast<int32_t>(x));
      }
  uint32_t state = 12345;
  for (int i = 0; i < 700; ++i) {
    state = state * 1664525 + 1013904223;
    const int64_t x = int64_t{state >> (i % 20 + 1)} * (i % 2 ? 1 : -1);
    v.push_back(static_cast<int32_t>(x));
  }
  return v;
}

Tensor tensor(DType type, const std::vector<int32_t>& v) {
  Tensor t = Tensor::zeros(type, {static_cast<int64_t>(v.size())});
  for (size_t i = 0; i < v.size(); ++i) t.set_i64(static_cast<int64_t>(i), v[i]);
  return t;
}

template <class F>
Program program(DType type, F&& f) {
  ProgramBuilder b;
  const Expr x = b.input(type);
  return b.finish(f(x));
}

TEST(FixedPoint, MultiplyInI32AndI64GivesWhatTheScalarGives) {
  const auto all = numbers();
  for (const int shift : {0, -1, -2, -7, -15, -30, -31})
    for (const int32_t value : {1 << 30, kMost, 1518500250, (1 << 30) + 1}) {
      const fixed::Multiplier m{value, shift};
      for (const DType type : {DType::kI32, DType::kI64}) {
        const Program p = program(type, [&](Expr x) { return fixed::multiply(x, m); });
        const Tensor x = tensor(type, all);
        const auto y = evaluate_program(p, {&x, 1}, x.dims());
        ASSERT_TRUE(y);
        for (size_t i = 0; i < all.size(); ++i)
          ASSERT_EQ(y->i64_at(static_cast<int64_t>(i)), fixed::multiply(all[i], m))
              << all[i] << " times " << value << " shifted by " << shift << " in " << dtype_name(type);
      }
    }
}

TEST(FixedPoint, VaryingShiftsOfWhichSomeAreNone) {
  auto all = numbers();
  for (int32_t& x : all) x = std::min(x, kMost - 1);  // more high_mul never gives
  std::vector<int32_t> by;
  for (size_t i = 0; i < all.size(); ++i) by.push_back(static_cast<int32_t>(i % 32) - 1);
  ProgramBuilder b;
  const Expr x = b.input(DType::kI32), e = b.input(DType::kI32);
  const Program p = b.finish(fixed::divide_by_power(x, e, true));
  const Tensor in[] = {tensor(DType::kI32, all), tensor(DType::kI32, by)};
  const auto y = evaluate_program(p, in, in[0].dims());
  ASSERT_TRUE(y);
  for (size_t i = 0; i < all.size(); ++i)
    ASSERT_EQ(y->i64_at(static_cast<int64_t>(i)), fixed::divide_by_power(all[i], by[i] + 1))
        << all[i] << " >> " << by[i] + 1;
}

TEST(FixedPoint, GeneratedCodeAgrees) {
  const auto all = numbers();
  for (const int shift : {0, -7, -31}) {
    ops::Pointwise op;
    op.function = program(DType::kI32, [&](Expr x) { return fixed::multiply(x, {1518500250, shift}); });
    testing::expect_as_reference(op, {testing::Given{tensor(DType::kI32, all)}}, 0, "shift " + std::to_string(shift));
  }
}

}  // namespace
}  // namespace lathe
