// SPDX-License-Identifier: Apache-2.0
// Dequantize → operator → Quantize becomes integer arithmetic, and results stay within a step of the output's scale of
// what the float operators give.
#include "graph_testing.h"
#include "ops/conv.h"
#include "ops/matmul.h"
#include "passes/passes.h"

namespace lathe {
namespace {

struct Case {
  const char* name;
  const char* after;  ///< operators
  DType sums_of;      ///< what the contraction then multiplies
  const char* graph;
};

const Case kCases[] = {
    {"ConvWithScalesByChannel", "Quantize Transpose Conv+ Transpose", DType::kU8,
     "input x: f32[1,2,4,4]\nconst sx: f32[] = [0.02]\nconst zx: u8[] = [100]\n"
     "const w: i8[3,2,1,1] = [1,-2,3,100,-128,127]\nconst sw: f32[3,1,1,1] = [0.01,0.02,0.03]\n"
     "const b: i32[3] = [100,-200,300]\nconst sb: f32[3] = [0.0002,0.0004,0.0006]\n"
     "const sy: f32[] = [0.05]\nconst zy: u8[] = [120]\n"
     "q = Quantize(x, sx, zx)\nd = Dequantize(q, sx, zx)\nwd = Dequantize(w, sw)\nwt = Transpose(wd) {perm=[0,2,3,1]}\n"
     "bd = Dequantize(b, sb)\nt = Transpose(d) {perm=[0,2,3,1]}\nc = Conv(t, wt, bd)\n"
     "ct = Transpose(c) {perm=[0,3,1,2]}\ny = Quantize(ct, sy, zy)\noutput y\n"},
    {"MatMulWithSignedOperands", "Quantize MatMul+", DType::kI8,
     "input x: f32[3,4]\nconst sx: f32[] = [0.02]\nconst zx: i8[] = [-7]\n"
     "const w: i8[4,2] = [1,-2,3,100,-128,127,8,9]\nconst sw: f32[2] = [0.01,0.02]\nconst sy: f32[] = [0.05]\n"
     "const zy: i8[] = [3]\n"
     "q = Quantize(x, sx, zx) {to=i8}\nd = Dequantize(q, sx, zx)\nwd = Dequantize(w, sw)\nm = MatMul(d, wd)\n"
     "y = Quantize(m, sy, zy) {to=i8}\noutput y\n"},
    {"ConvWithZeroPointKnownWhenItRuns", "Pointwise Quantize Cast Mul Conv+", DType::kU8,
     "input x: f32[1,3,4,2]\ninput z: f32[]\nconst sx: f32[] = [0.02]\n"
     "const w: i8[2,2,1,2] = [1,-2,3,100,-128,127,8,9]\nconst sw: f32[] = [0.01]\n"
     "a = Abs(z)\nzx = Cast(a) {to=u8}\nq = Quantize(x, sx, zx)\nd = Dequantize(q, sx, zx)\nwd = Dequantize(w, sw)\n"
     "y = Conv(d, wd)\noutput y\n"},
    {"ZeroPointKnownWhenItRuns", "Pointwise Quantize Cast Mul MatMul+", DType::kU8,
     "input x: f32[3,4]\ninput z: f32[]\nconst sx: f32[] = [0.02]\nconst w: i8[4,2] = [1,-2,3,100,-128,127,8,9]\n"
     "const sw: f32[] = [0.01]\n"
     "a = Abs(z)\nzx = Cast(a) {to=u8}\nq = Quantize(x, sx, zx)\nd = Dequantize(q, sx, zx)\nwd = Dequantize(w, sw)\n"
     "y = MatMul(d, wd)\noutput y\n"},
};

TEST(IntegerArithmetic, given_dequantized_operands_then_they_are_multiplied_as_integers) {
  for (const Case& c : kCases) {
    std::mt19937 rng(1);
    auto g = testing::parse(c.graph, rng);
    const auto inputs = testing::random_inputs(*g, rng);
    const auto before = evaluate_graph(*g, inputs);
    ASSERT_TRUE(before) << c.name << ": " << before.error().message;
    PassOptions options;
    options.verify = true;
    const auto done = optimize(*g, options);
    ASSERT_TRUE(done) << c.name << ": " << done.error().message << "\n" << print(*g);
    EXPECT_EQ(testing::op_names(*g), c.after) << c.name << "\n" << print(*g);
    bool found = false;
    for (const NodeId n : g->order()) {
      const Node& node = g->node(n);
      if (node.as<ops::Conv>() || node.as<ops::MatMul>()) found |= g->value(node.inputs[0]).dtype == c.sums_of;
    }
    EXPECT_TRUE(found) << c.name << "\n" << print(*g);
    const auto after = evaluate_graph(*g, inputs);
    ASSERT_TRUE(after) << c.name << ": " << after.error().message;
    testing::expect_close(*before, *after, 0.012, c.name);
  }
}

TEST(IntegerArithmetic, given_scales_along_the_reduction_then_operands_stay_floats) {
  std::mt19937 rng(1);
  auto g = testing::parse(
      "input q: u8[3,4]\ninput s: f32[4]\nconst w: i8[4,2] = [1,-2,3,100,-128,127,8,9]\nconst sw: f32[] = [0.01]\n"
      "d = Dequantize(q, s)\nwd = Dequantize(w, sw)\ny = MatMul(d, wd)\noutput y\n",
      rng);
  PassOptions options;
  options.verify = true;
  ASSERT_TRUE(optimize(*g, options));
  for (const NodeId n : g->order()) {
    if (!g->node(n).as<ops::MatMul>()) continue;
    EXPECT_EQ(g->value(g->node(n).inputs[0]).dtype, DType::kF32) << print(*g);
  }
}

}  // namespace
}  // namespace lathe
