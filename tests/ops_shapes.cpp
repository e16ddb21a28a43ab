// SPDX-License-Identifier: Apache-2.0
// Shape rules of contractions, windows and data movement, with symbolic dimensions; and a few reference values that the
// ONNX backend suite does not cover.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/graph.h"
#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "ops/nonzero.h"
#include "ops/pool.h"
#include "ops/reshape.h"
#include "ops/resize.h"
#include "ops/shape.h"
#include "ops/slice.h"
#include "ops/transpose.h"

namespace lathe {
namespace {

const Dim n = Dim::symbol("n"), h = Dim::symbol("h");

ValueInfo f32(Shape shape) { return {DType::kF32, std::move(shape), nullptr, {}}; }
ValueInfo i64(std::vector<Dim> content) {
  return {DType::kI64, {static_cast<int64_t>(content.size())}, nullptr, std::move(content)};
}

std::string infer(const Op& op, const std::vector<ValueInfo>& in) {
  int fresh = 0;
  const auto out =
      op.infer(in, [&](std::string_view stem) { return Dim::symbol(std::string(stem) + std::to_string(fresh++)); });
  return out ? shape_str((*out)[0].shape) : "error: " + out.error().message;
}

template <class T, class F>
T with(F&& set) {
  T op;
  set(op);
  return op;
}

bool is_error(const std::string& s) { return s.starts_with("error: "); }

TEST(Shapes, MatMulBroadcastsBatches) {
  EXPECT_EQ(infer(ops::MatMul(), {f32({n, 1, 2, 3}), f32({4, 3, 5})}), "[n,4,2,5]");
  const auto b = with<ops::MatMul>([](auto& m) { m.trans_b = true; });
  EXPECT_EQ(infer(b, {f32({n, 3}), f32({5, 3})}), "[n,5]");
  EXPECT_TRUE(is_error(infer(ops::MatMul(), {f32({2, 3}), f32({4, 5})})));
  EXPECT_TRUE(is_error(infer(ops::MatMul(), {f32({3}), f32({3, 5})})));
}

TEST(Shapes, ConvolutionsOfSymbolicSizes) {
  const auto c = with<ops::Conv>([](auto& o) {
    o.strides = {2, 2};
    o.pads = {1, 1, 1, 1};
  });
  EXPECT_EQ(infer(c, {f32({n, 224, 224, 3}), f32({64, 3, 3, 3})}), "[n,112,112,64]");
  EXPECT_EQ(infer(c, {f32({n, h, 2 * h, 3}), f32({64, 3, 3, 3})}), "[n,floordiv(h-1,2)+1,h,64]");
  EXPECT_TRUE(is_error(infer(c, {f32({n, 224, 224, 4}), f32({64, 3, 3, 3})})));
  EXPECT_TRUE(is_error(infer(c, {f32({n, 0, 0, 3}), f32({64, 7, 7, 3})})));
  EXPECT_EQ(
      infer(with<ops::ConvTranspose>([](auto& o) { o.strides = {2, 2}; }), {f32({n, h, 8, 16}), f32({4, 2, 2, 16})}),
      "[n,2*h,16,4]");
}

TEST(Shapes, PoolsThatRoundUpDoNotStartInThePadding) {
  const auto pool = [](int64_t kernel, int64_t stride, int64_t pad) {
    return with<ops::Pool>([&](auto& o) {
      o.kernel = {kernel, kernel};
      o.strides = {stride, stride};
      o.pads = {pad, pad, pad, pad};
      o.ceil_mode = true;
    });
  };
  EXPECT_EQ(infer(pool(3, 2, 0), {f32({1, 4, 4, 1})}), "[1,2,2,1]");
  EXPECT_EQ(infer(pool(1, 2, 1), {f32({1, 2, 2, 1})}), "[1,2,2,1]");
}

TEST(Shapes, ReshapeResolvesItsPlaceholders) {
  const ops::Reshape r;
  EXPECT_EQ(infer(r, {f32({n, 3, 4}), i64({0, -1})}), "[n,12]");
  EXPECT_EQ(infer(r, {f32({n, 3, 4}), i64({-1, 4})}), "[3*n,4]");
  EXPECT_EQ(infer(r, {f32({2, 3, 4}), i64({6, 4})}), "[6,4]");
  EXPECT_TRUE(is_error(infer(r, {f32({2, 3}), i64({4, 2})})));
  EXPECT_TRUE(is_error(infer(r, {f32({2, 3}), i64({-1, -1})})));
  EXPECT_TRUE(is_error(infer(r, {f32({2, 3}), i64({-1, 4})})));
  EXPECT_TRUE(is_error(infer(r, {f32({2, 3}), i64({-2, 3})})));
  const ValueInfo unknown{DType::kI64, {2}, nullptr, {}};
  EXPECT_EQ(infer(r, {f32({2, 3}), unknown}), "[reshape0,reshape1]");
}

TEST(Shapes, SlicesOfSymbolicDimensions) {
  const ops::Slice s;
  const auto slice = [&](Dim start, Dim end, int64_t step) {
    return infer(s, {f32({n}), i64({start}), i64({end}), i64({0}), i64({step})});
  };
  EXPECT_EQ(slice(0, INT64_MAX, 1), "[n]");
  EXPECT_EQ(slice(-1, INT64_MAX, -1), "[slice0]");  // the end is beyond the last element, not the first
  EXPECT_EQ(slice(-1, INT64_MIN, -1), "[n]");
  EXPECT_EQ(slice(0, 10, 1), "[min(10,n)]");
  EXPECT_EQ(slice(0, n, 1), "[n]");
  EXPECT_EQ(slice(1, INT64_MAX, 1), "[max(0,n-1)]");
  EXPECT_TRUE(is_error(slice(0, 1, 0)));
  EXPECT_EQ(infer(s, {f32({10}), i64({-3}), i64({100})}), "[3]");
  EXPECT_EQ(infer(s, {f32({10}), i64({8}), i64({INT64_MIN}), i64({0}), i64({-3})}), "[3]");
}

TEST(Shapes, DataDependentSizesAreFreshSymbols) { EXPECT_EQ(infer(ops::NonZero(), {f32({n, 3})}), "[2,nonzero0]"); }

TEST(Shapes, ResizeOfSymbolicDimensions) {
  const auto r = with<ops::Resize>([](auto& o) { o.scales = {1, 2, 0.5}; });
  EXPECT_EQ(infer(r, {f32({n, h, h})}), "[n,2*h,floordiv(h,2)]");
  EXPECT_TRUE(is_error(infer(with<ops::Resize>([](auto& o) { o.scales = {1, 3.14159265}; }), {f32({n, h})})));
}

// The idiom that exporters write for x.reshape(x.shape[0], -1).
TEST(Shapes, FlowThroughShapeArithmetic) {
  Graph g;
  const ValueId x = g.add_input("x", DType::kF32, {n, 3, h});
  const auto add = [&](std::shared_ptr<Op> op, std::vector<ValueId> in) {
    return g.add(std::move(op), std::move(in), "test").value();
  };
  const ValueId shape = add(std::make_shared<ops::ShapeOf>(), {x});
  const ValueId batch = add(std::make_shared<ops::Gather>(), {shape, g.add_constant("i", Tensor::vector_i64({0}))});
  const ValueId wanted =
      add(std::make_shared<ops::Concat>(), {batch, g.add_constant("rest", Tensor::vector_i64({-1}))});
  const ValueId y = add(std::make_shared<ops::Reshape>(), {x, wanted});
  EXPECT_EQ(shape_str(g.value(y).shape), "[n,3*h]");
}

TEST(Evaluate, TransposeMovesPackedNibbles) {
  Tensor x = Tensor::zeros(DType::kU4, {2, 3});  // 1 2 3 / 4 5 6
  x.mutable_bytes()[0] = std::byte{0x21};
  x.mutable_bytes()[1] = std::byte{0x43};
  x.mutable_bytes()[2] = std::byte{0x65};
  const auto t = with<ops::Transpose>([](auto& o) { o.perm = {1, 0}; });
  const auto y = t.evaluate({&x, 1});
  ASSERT_TRUE(y);
  EXPECT_EQ((*y)[0].bytes()[0], std::byte{0x41});
  EXPECT_EQ((*y)[0].bytes()[1], std::byte{0x52});
  EXPECT_EQ((*y)[0].bytes()[2], std::byte{0x63});
}

TEST(Evaluate, GatherChecksItsIndices) {
  const std::vector<float> values = {1, 2, 3};
  const Tensor in[] = {Tensor::of<float>(DType::kF32, {3}, values), Tensor::vector_i64({-1, 3})};
  EXPECT_FALSE(ops::Gather().evaluate(in));
}

TEST(Evaluate, MaximumKeepsNaN) {
  const std::vector<float> values = {1, NAN, 3, 0};
  const Tensor x = Tensor::of<float>(DType::kF32, {1, 2, 2, 1}, values);
  const auto p = with<ops::Pool>([](auto& o) { o.kernel = {2, 2}; });
  EXPECT_TRUE(std::isnan((*p.evaluate({&x, 1}))[0].to_f32()[0]));
}

}  // namespace
}  // namespace lathe
