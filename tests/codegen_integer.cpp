// SPDX-License-Identifier: Apache-2.0
// Convolutions, matrix products and pools of integers: to the bit, on every instruction set of this machine, with
// operands that take their extreme values.
#include <gtest/gtest.h>

#include <tuple>

#include "codegen_case.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/matmul.h"
#include "ops/pool.h"

namespace lathe {
namespace {

using testing::constant;
using testing::expect_as_reference;
using testing::Given;

/// All values of the type, the lowest and the highest a quarter of the time.
Tensor extreme(DType dtype, std::vector<int64_t> dims, uint64_t seed) {
  const Tensor f = testing::random_f32(std::move(dims), seed);
  Tensor t = Tensor::zeros(dtype, f.dims());
  const int bits = dtype_bits(dtype);
  const int64_t low = dtype_info(dtype).is_signed ? -(int64_t{1} << (bits - 1)) : 0;
  const int64_t high = low + (int64_t{1} << bits) - 1;
  for (int64_t i = 0; i < t.count(); ++i) {
    const double v = (f.f64_at(i) + 1) / 2;
    t.set_i64(i, v < 0.125  ? low
                 : v < 0.25 ? high
                            : low + static_cast<int64_t>((v - 0.25) / 0.75 * static_cast<double>(high - low + 1)));
  }
  return t;
}

/// What this machine runs as if it had instructions that it may lack: the tiles, packings and corrections of other
/// targets, with their byte products in plain arithmetic.
std::span<const Target* const> stand_ins() {
  static const std::vector<Target> targets = [] {
    std::vector<Target> r;
    const Target* own = testing::runnable_targets().front();
    for (const auto& [name, dot8, bits] :
         {std::tuple{"as VNNI", Dot8::kUnsignedBySigned, 512}, std::tuple{"as SDOT", Dot8::kSignedBySigned, 128}}) {
      Target t = *own;
      t.name = name;
      t.dot8 = dot8;
      t.dot8_emulated = true;
      t.vector_bits = bits;
      t.lane_fma = dot8 == Dot8::kSignedBySigned;
      t.masked_access = bits >= 256;
      r.push_back(t);
    }
    return r;
  }();
  static const std::vector<const Target*> pointers = [] {
    std::vector<const Target*> r;
    for (const Target& t : targets) r.push_back(&t);
    return r;
  }();
  return pointers;
}
/// A third of all combinations of cases and types run on the stand-ins, too.
std::span<const Target* const> stand_ins(size_t combination) {
  return combination % 3 == 0 ? stand_ins() : std::span<const Target* const>{};
}

struct Types {
  DType x, w;
  int64_t x_zero, w_zero;
};
constexpr Types kTypes[] = {
    {DType::kU8, DType::kI8, 0, 0},    {DType::kU8, DType::kI8, 137, 0},   {DType::kI8, DType::kI8, 0, 0},
    {DType::kI8, DType::kI8, -128, 0}, {DType::kU8, DType::kU8, 3, 128},   {DType::kI8, DType::kU8, 127, 77},
    {DType::kU8, DType::kI8, 255, -9}, {DType::kI16, DType::kI8, 0, 0},    {DType::kU16, DType::kU8, 40000, 128},
    {DType::kI8, DType::kI16, 5, 0},   {DType::kI16, DType::kI16, -7, 11},
};
std::string str(const Types& t) {
  return std::string(dtype_name(t.x)) + " zero " + std::to_string(t.x_zero) + " by " + std::string(dtype_name(t.w)) +
         " zero " + std::to_string(t.w_zero);
}

struct ConvCase {
  std::vector<int64_t> input;
  int64_t filters;
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides = {1, 1}, pads = {0, 0, 0, 0}, dilations = {1, 1};
  int64_t group = 1;
  bool bias = true, constant_weights = true;
  std::vector<std::pair<size_t, std::string>> symbols = {};
};

template <class Op>
void check_conv(Op op, const ConvCase& c, const Types& t, size_t combination) {
  op.strides = c.strides;
  op.pads = c.pads;
  op.dilations = c.dilations;
  op.group = c.group;
  op.x_zero = t.x_zero;
  op.w_zero = t.w_zero;
  std::vector<int64_t> w_dims = {c.filters};
  w_dims.insert(w_dims.end(), c.kernel.begin(), c.kernel.end());
  w_dims.push_back(c.input.back() / c.group);
  std::vector<Given> given = {{extreme(t.x, c.input, 1), false, c.symbols},
                              {extreme(t.w, w_dims, 2), c.constant_weights, {}}};
  const bool wide = dtype_bits(t.x) == 16 || dtype_bits(t.w) == 16;
  if (c.bias) given.push_back(constant(testing::random(wide ? DType::kI64 : DType::kI32, {c.filters}, 3)));
  expect_as_reference(op, given, 0,
                      shape_str(to_shape(c.input)) + " by " + shape_str(to_shape(w_dims)) + " group " +
                          std::to_string(c.group) + ", " + str(t),
                      stand_ins(combination));
}

const ConvCase kConvs[] = {
    {{1, 7, 9, 16}, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}},
    {{2, 9, 8, 3}, 20, {3, 3}, {2, 2}, {1, 1, 1, 1}},
    {{1, 6, 6, 33}, 70, {1, 1}},
    {{2, 40, 1, 12}, 40, {5, 1}, {1, 1}, {2, 0, 1, 0}},  // a sequence
    {{1, 30, 1, 16}, 16, {3, 1}, {2, 1}, {1, 0, 1, 0}, {1, 1}, 16},
    {{1, 5, 5, 64}, 31, {1, 1}, {2, 2}},
    {{1, 9, 9, 8}, 16, {5, 5}, {1, 1}, {4, 4, 4, 4}, {2, 2}},
    {{1, 8, 8, 12}, 8, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 4},
    {{1, 8, 10, 40}, 40, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 40},
    {{1, 11, 10, 19}, 19, {5, 5}, {2, 2}, {2, 2, 2, 2}, {1, 1}, 19, false},
    {{1, 8, 8, 6}, 12, {3, 3}, {1, 1}, {0, 1, 2, 1}, {1, 1}, 6},
    {{1, 7, 9, 16}, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, true, false},
    {{1, 7, 9, 20}, 24, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, true, true, {{1, "h"}, {2, "w"}}},
    {{1, 12, 40, 5}, 17, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, true, true, {{0, "n"}, {2, "w"}}},
};

TEST(IntegerConv, given_shapes_and_types_then_sums_are_exact) {
  size_t combination = 0;
  for (const ConvCase& c : kConvs)
    for (const Types& t : kTypes) check_conv(ops::Conv{}, c, t, combination++);
}

TEST(IntegerConvTranspose, given_shapes_and_types_then_sums_are_exact) {
  const ConvCase cases[] = {
      {{1, 5, 6, 16}, 24, {2, 2}, {2, 2}},
      {{1, 5, 4, 10}, 9, {3, 3}, {2, 2}, {1, 1, 1, 1}},
      {{1, 5, 4, 8}, 8, {4, 4}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 8},
  };
  size_t combination = 0;
  for (const ConvCase& c : cases)
    for (const Types& t : kTypes) check_conv(ops::ConvTranspose{}, c, t, combination++);
}

TEST(IntegerMatMul, given_shapes_and_types_then_sums_are_exact) {
  struct Case {
    std::vector<int64_t> a, b;
    bool trans_a = false, trans_b = false, constant_b = true;
    std::vector<std::pair<size_t, std::string>> symbols = {};
  };
  const Case cases[] = {
      {{5, 19}, {19, 40}},
      {{1, 256}, {256, 130}},
      {{17, 64}, {33, 64}, false, true},
      {{20, 6}, {20, 9}, true},
      {{2, 3, 7, 12}, {12, 18}},
      {{2, 3, 7, 12}, {3, 12, 18}, false, false, false},
      {{3, 9, 20}, {3, 20, 11}, false, false, false},
      {{3, 9, 20}, {3, 11, 20}, false, true, false},
      {{60, 520}, {520, 600}, false, false, false},
      {{9, 30}, {30, 50}, false, false, true, {{0, "m"}}},
      {{9, 1}, {1, 5}},
      {{9, 2}, {2, 5}, false, false, false},
  };
  size_t combination = 0;
  for (const Case& c : cases)
    for (const Types& t : kTypes) {
      ops::MatMul op;
      op.trans_a = c.trans_a;
      op.trans_b = c.trans_b;
      op.a_zero = t.x_zero;
      op.b_zero = t.w_zero;
      expect_as_reference(op, {{extreme(t.x, c.a, 1), false, c.symbols}, {extreme(t.w, c.b, 2), c.constant_b, {}}}, 0,
                          shape_str(to_shape(c.a)) + " by " + shape_str(to_shape(c.b)) + ", " + str(t),
                          stand_ins(combination++));
    }
}

TEST(IntegerPool, given_types_then_maxima_and_sums_are_exact) {
  for (const DType type : {DType::kU8, DType::kI8, DType::kI16, DType::kI32})
    for (const char* kind : {"max", "sum"})
      for (const int64_t channels : {1, 5, 40, 64}) {
        ops::Pool op;
        op.kind = kind;
        op.kernel = {3, 2};
        op.strides = {2, 2};
        op.pads = {1, 1, 1, 0};
        expect_as_reference(op, {{extreme(type, {1, 9, 10, channels}, 1), false, {}}}, 0,
                            std::string(kind) + " of " + std::string(dtype_name(type)));
      }
}

}  // namespace
}  // namespace lathe
