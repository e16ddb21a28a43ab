// SPDX-License-Identifier: Apache-2.0
// Elementwise operators: programs, the interpreter, shapes and contents.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/cast.h"
#include "ops/elementwise.h"
#include "ops/gelu.h"

namespace lathe {
namespace {

Tensor f32(std::vector<int64_t> dims, std::vector<float> v) {
  return Tensor::of<float>(DType::kF32, std::move(dims), std::span<const float>(v));
}

std::vector<float> run(const char* op, std::vector<Tensor> in) {
  const auto out = find_op(op)->make()->evaluate(in);
  EXPECT_TRUE(out) << out.error().message;
  return out ? (*out)[0].to_f32() : std::vector<float>{};
}

struct UnaryCase {
  const char* op;
  float x, y;
};

TEST(Elementwise, UnaryValues) {
  const float nan = NAN, inf = INFINITY;
  const UnaryCase cases[] = {
      {"Relu", -1, 0},
      {"Relu", nan, nan},
      {"LeakyRelu", -1, -0.01f},
      {"Sigmoid", 0, 0.5f},
      {"Sigmoid", -1000, 0},
      {"HardSigmoid", 1, 0.7f},
      {"HardSwish", 3, 3},
      {"HardSwish", -3, 0},
      {"Softplus", 1000, 1000},
      {"Softplus", 0, std::log(2.f)},
      {"Elu", -1, std::exp(-1.f) - 1},
      {"Gelu", 1, 0.8413447f},
      {"Round", 2.5f, 2},
      {"Round", 3.5f, 4},
      {"Round", -0.5f, -0.f},
      {"Sign", -3, -1},
      {"Erf", 0.5f, std::erf(0.5f)},
      {"Reciprocal", 4, 0.25f},
      {"Exp", -inf, 0},
      {"Log", 0, -inf},
      {"Sqrt", -1, nan},
      {"Mish", 1, 0.86509836f},
      {"Softsign", -1, -0.5f},
      {"Swish", 1, 0.7310586f},
      {"Selu", 1, 1.0507010f},
      {"ThresholdedRelu", 1, 0},
      {"Shrink", 1, 1},
      {"Shrink", 0.2f, 0},
      {"Celu", -1, std::exp(-1.f) - 1},
      {"Acosh", 1, 0},
  };
  for (const auto& c : cases) {
    const auto y = run(c.op, {f32({1}, {c.x})});
    if (std::isnan(c.y))
      EXPECT_TRUE(std::isnan(y[0])) << c.op << "(" << c.x << ")";
    else if (std::isinf(c.y))
      EXPECT_EQ(y[0], c.y) << c.op << "(" << c.x << ")";
    else
      EXPECT_NEAR(y[0], c.y, 1e-6) << c.op << "(" << c.x << ")";
  }
}

TEST(Elementwise, BroadcastsOverBlocks) {
  // 3 x 700 elements are several blocks, with an operand for each kind of stride.
  std::vector<float> wide(700), column = {1, 2, 3};
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = static_cast<float>(i);
  const auto y = run("Sum", {f32({700}, wide), f32({3, 1}, column), f32({}, {1000})});
  ASSERT_EQ(y.size(), 2100u);
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 700; ++c)
      ASSERT_EQ(y[r * 700 + c], static_cast<float>(c) + column[r] + 1000) << r << "," << c;
}

TEST(Elementwise, MinAndMaxPropagateNaN) {
  for (const char* op : {"Min", "Max"}) {
    EXPECT_TRUE(std::isnan(run(op, {f32({1}, {NAN}), f32({1}, {1})})[0])) << op;
    EXPECT_TRUE(std::isnan(run(op, {f32({1}, {1}), f32({1}, {NAN})})[0])) << op;
  }
}

TEST(Elementwise, IntegersWrapAndDivisionByZeroGivesZero) {
  const int8_t a[] = {127, -128, 7, -7, 5}, b[] = {1, -1, 2, 2, 0};
  const std::vector<Tensor> in = {Tensor::of<int8_t>(DType::kI8, {5}, a), Tensor::of<int8_t>(DType::kI8, {5}, b)};
  EXPECT_EQ(run("Add", in), (std::vector<float>{-128, 127, 9, -5, 5}));
  EXPECT_EQ(run("Div", in), (std::vector<float>{127, -128, 3, -3, 0}));
  EXPECT_EQ(run("Mod", in), (std::vector<float>{0, 0, 1, 1, 0}));
}

TEST(Elementwise, HalfPrecisionComputesInSinglePrecision) {
  Tensor a = Tensor::zeros(DType::kF16, {2}), b = Tensor::zeros(DType::kBF16, {1});
  a.set(0, 1000);
  a.set(1, 0.5);
  b.set(0, 3);
  const auto square = find_op("Mul")->make()->evaluate(std::vector<Tensor>{a, a});
  ASSERT_TRUE(square);
  EXPECT_EQ((*square)[0].dtype(), DType::kF16);
  EXPECT_TRUE(std::isinf((*square)[0].f64_at(0)));
  EXPECT_EQ((*square)[0].f64_at(1), 0.25);
  EXPECT_FALSE(find_op("Mul")->make()->evaluate(std::vector<Tensor>{a, b}));
}

TEST(Elementwise, CastSaturatesAndTruncates) {
  ops::Cast to_u8;
  to_u8.to = DType::kU8;
  const auto y = to_u8.evaluate(std::vector<Tensor>{f32({4}, {-1.5f, 3.99f, 300, NAN})});
  ASSERT_TRUE(y);
  EXPECT_EQ((*y)[0].to_i64(), (std::vector<int64_t>{0, 3, 255, 0}));
}

TEST(Elementwise, OptionalInputsMayBeAbsent) {
  EXPECT_EQ(run("Clip", {f32({3}, {-1, 0.5, 2}), Tensor(), f32({}, {1})}), (std::vector<float>{-1, 0.5, 1}));
  EXPECT_EQ(run("Clip", {f32({1}, {5})}), (std::vector<float>{5}));
}

ValueInfo info(DType t, Shape s) {
  ValueInfo v;
  v.dtype = t;
  v.shape = std::move(s);
  return v;
}
Dim no_symbols(std::string_view) { return 0; }

TEST(Broadcast, SymbolsFollowTheRules) {
  const Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  const struct {
    Shape a, b;
    const char* result;
  } cases[] = {
      {{n, 3}, {3}, "[n,3]"}, {{n, 1}, {n, 4}, "[n,4]"},   {{n}, {5}, "[5]"},
      {{1}, {n}, "[n]"},      {{n + 1}, {n + 1}, "[n+1]"}, {{n}, {m}, "[max(m,n)]"},
  };
  for (const auto& c : cases) {
    const auto r = ops::broadcast(c.a, c.b);
    ASSERT_TRUE(r);
    EXPECT_EQ(shape_str(*r), c.result);
  }
  EXPECT_FALSE(ops::broadcast(Shape{2}, Shape{3}));
}

TEST(Elementwise, ContentsOfShapesAreFollowed) {
  ValueInfo shape = info(DType::kI64, {2});
  shape.content = std::vector<Dim>{Dim::symbol("n"), 8};
  const Tensor two = Tensor::scalar_i64(2), minus_one = Tensor::vector_i64({-1, -1});
  ValueInfo half = info(DType::kI64, {});
  half.constant = &two;
  const auto out = find_op("Div")->make()->infer(std::vector<ValueInfo>{shape, half}, no_symbols);
  ASSERT_TRUE(out && (*out)[0].content);
  EXPECT_EQ((*(*out)[0].content)[1].value(), 4);
  // Where(Equal(shape, -1), 1, shape) is how exporters write Expand; sizes are never -1.
  ValueInfo wild = info(DType::kI64, {2});
  wild.constant = &minus_one;
  const auto equal = find_op("Equal")->make()->infer(std::vector<ValueInfo>{shape, wild}, no_symbols);
  ASSERT_TRUE(equal && (*equal)[0].content);
  const auto picked = find_op("Where")->make()->infer(std::vector<ValueInfo>{(*equal)[0], wild, shape}, no_symbols);
  ASSERT_TRUE(picked && (*picked)[0].content);
  EXPECT_EQ((*(*picked)[0].content)[0].str(), "n");
}

TEST(Program, ComposedProgramEqualsTheTwoInTurn) {
  const auto relu = find_op("Relu")->make()->program(std::vector<DType>{DType::kF32});
  const auto add = find_op("Add")->make()->program(std::vector<DType>{DType::kF32, DType::kF32});
  const Program both = compose(*relu, 0, *add);
  EXPECT_EQ(both.inputs, 2);
  const auto y = evaluate_program(both, std::vector<Tensor>{f32({2}, {1, -5}), f32({2}, {1, 2})}, {2});
  ASSERT_TRUE(y);
  EXPECT_EQ(y->to_f32(), (std::vector<float>{2, 0}));
  // x * sigmoid(x): composing sigmoid into the second operand and merging the inputs.
  const auto mul = find_op("Mul")->make()->program(std::vector<DType>{DType::kF32, DType::kF32});
  const auto sigmoid = find_op("Sigmoid")->make()->program(std::vector<DType>{DType::kF32});
  const int merged[] = {0, 0};
  const Program silu = remap_inputs(compose(*mul, 1, *sigmoid), merged, 1);
  const auto swish = find_op("Swish")->make()->program(std::vector<DType>{DType::kF32});
  EXPECT_EQ(silu.inputs, 1);
  const Tensor x = f32({3}, {-2, 0, 3});
  EXPECT_EQ(evaluate_program(silu, std::vector<Tensor>{x}, {3})->to_f32(),
            evaluate_program(*swish, std::vector<Tensor>{x}, {3})->to_f32());
}

TEST(Program, TextParsesBack) {
  ops::Gelu gelu;
  for (const char* kind : {"none", "tanh"}) {
    gelu.approximate = kind;
    const auto p = gelu.program(std::vector<DType>{DType::kF32});
    const auto q = parse_program(p->str());
    ASSERT_TRUE(q) << q.error().message;
    EXPECT_EQ(*p, *q) << p->str();
  }
  for (const char* bad :
       {"", "inputs 1", "inputs 1; f32 %0 = input 1; return %0", "inputs 1; f32 %0 = neg %0; return %0",
        "inputs 1; f32 %1 = input 0; return %1", "inputs 0; return %0"})
    EXPECT_FALSE(parse_program(bad)) << bad;
}

}  // namespace
}  // namespace lathe
