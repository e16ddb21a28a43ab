// SPDX-License-Identifier: Apache-2.0
// Matrix products of many shapes against their reference, on every instruction set of this machine.
#include <gtest/gtest.h>

#include "kernel_harness.h"
#include "ops/matmul.h"

namespace lathe {
namespace {

using testing::CompiledGraph;

struct MatMulCase {
  std::vector<int64_t> a, b;
  bool trans_a = false, trans_b = false, constant_b = false, constant_a = false;
  std::vector<std::pair<size_t, std::string>> symbols_a = {}, symbols_b = {};  ///< dimension and its name
  DType dtype = DType::kF32;
  DType exact_in = DType::kF32;  ///< a narrower type that holds b's elements
  [[nodiscard]] std::string str() const {
    return shape_str(to_shape(a)) + (trans_a ? "^T" : "") + " * " + shape_str(to_shape(b)) + (trans_b ? "^T" : "") +
           (constant_b ? " constant b" : "") + (symbols_a.empty() && symbols_b.empty() ? "" : " symbolic");
  }
};

Tensor typed(const Tensor& t, DType dtype) {
  if (dtype == DType::kF32) return t;
  Tensor r = Tensor::zeros(dtype, t.dims());
  for (int64_t i = 0; i < t.count(); ++i)
    r.set(i, dtype_info(dtype).is_float ? t.f64_at(i) : std::floor(t.f64_at(i) * 100));
  return r;
}

void check(const MatMulCase& c) {
  ops::MatMul op;
  op.trans_a = c.trans_a;
  op.trans_b = c.trans_b;
  const Tensor a = typed(testing::random_f32(c.a, 1), c.dtype),
               b = testing::rounded(typed(testing::random_f32(c.b, 2), c.dtype), c.exact_in);
  const std::vector<Tensor> operands = {a, b};
  const auto expected = op.evaluate(operands);
  ASSERT_TRUE(expected) << expected.error().message;
  Graph graph;
  std::vector<Tensor> inputs;
  const auto operand = [&](const char* name, const Tensor& t, bool constant, const auto& symbols) {
    if (constant) return graph.add_constant(name, t);
    Shape shape = to_shape(t.dims());
    for (const auto& [d, symbol] : symbols) shape[d] = Dim::symbol(symbol);
    inputs.push_back(t);
    return graph.add_input(name, c.dtype, shape);
  };
  const ValueId ia = operand("a", a, c.constant_a, c.symbols_a), ib = operand("b", b, c.constant_b, c.symbols_b);
  const auto node = graph.add_node(std::make_shared<ops::MatMul>(op), {ia, ib}, {"y"}, "node");
  ASSERT_TRUE(node) << node.error().message;
  graph.node(*node).anchor_inputs = 2;
  graph.outputs = {graph.node(*node).outputs[0]};
  graph.output_names = {"y"};
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << c.str() << ": " << compiled.error().message;
    const auto got = (*compiled)->run(inputs);
    ASSERT_TRUE(got) << c.str() << ": " << got.error().message;
    EXPECT_LT(testing::scaled_difference((*got)[0], (*expected)[0]), 2e-5)
        << target->name << " " << (*compiled)->plan.instrs.back().tactic << " " << c.str();
    const auto again = (*compiled)->run(inputs, true);
    ASSERT_TRUE(again);
    EXPECT_TRUE(std::ranges::equal((*again)[0].bytes(), (*got)[0].bytes()))
        << "the order of tasks matters: " << c.str();
  }
}

TEST(MatMul, given_odd_sizes_then_tails_are_right) {
  for (const int64_t m : {1, 2, 5, 13, 16, 31})
    for (const int64_t n : {1, 7, 16, 33, 100})
      for (const bool constant : {false, true}) check({.a = {m, 19}, .b = {19, n}, .constant_b = constant});
}

TEST(MatMul, given_transposed_operands) {
  for (const bool constant : {false, true})
    for (const int64_t m : {1, 18})
      for (const int64_t n : {5, 48}) {
        check({.a = {m, 20}, .b = {n, 20}, .trans_b = true, .constant_b = constant});
        check({.a = {20, m}, .b = {20, n}, .trans_a = true, .constant_b = constant});
        check({.a = {20, m}, .b = {n, 20}, .trans_a = true, .trans_b = true, .constant_b = constant});
      }
}

TEST(MatMul, given_batches_then_they_broadcast) {
  for (const bool constant : {false, true}) {
    check({.a = {3, 10, 20}, .b = {3, 20, 17}, .constant_b = constant});
    check({.a = {2, 3, 10, 20}, .b = {3, 20, 17}, .constant_b = constant});
    check({.a = {2, 1, 10, 20}, .b = {1, 3, 20, 17}, .constant_b = constant});
    check({.a = {3, 10, 20}, .b = {20, 17}, .constant_b = constant});
    check({.a = {10, 20}, .b = {4, 20, 17}, .constant_b = constant});
    check({.a = {2, 1, 20, 10}, .b = {2, 3, 17, 20}, .trans_a = true, .trans_b = true, .constant_b = constant});
  }
  check({.a = {10, 20}, .b = {4, 20, 17}, .constant_a = true});
}

TEST(MatMul, given_large_sizes_then_blocks_join) {
  check({.a = {200, 300}, .b = {300, 270}, .constant_b = true});
  check({.a = {200, 300}, .b = {300, 270}});
  check({.a = {1, 700}, .b = {700, 1000}, .constant_b = true});
  check({.a = {1, 700}, .b = {700, 1000}});
}

TEST(MatMul, given_a_long_reduction_then_blocks_of_it_join) {
  for (const int64_t k : {600, 1100, 2309, 4096})
    for (const int64_t m : {7, 13, 40, 128}) check({.a = {m, k}, .b = {k, 50}, .constant_b = true});
  check({.a = {3, 300, 1500}, .b = {3, 1500, 33}, .constant_b = true});
  check({.a = {40, 1100}, .b = {1100, 50}, .constant_b = true, .symbols_a = {{0, "m"}}});
}

TEST(MatMul, given_weights_that_a_half_float_holds_then_they_are_stored_so) {
  for (const DType narrow : {DType::kF16, DType::kBF16}) {
    for (const int64_t m : {1, 2, 5, 13, 128})
      for (const int64_t n : {1, 7, 33, 100}) {
        check({.a = {m, 19}, .b = {19, n}, .constant_b = true, .exact_in = narrow});
        check({.a = {m, 700}, .b = {n, 700}, .trans_b = true, .constant_b = true, .exact_in = narrow});
      }
    check({.a = {3, 50, 600}, .b = {3, 600, 40}, .constant_b = true, .exact_in = narrow});
    check({.a = {40, 600}, .b = {600, 50}, .constant_b = true, .symbols_a = {{0, "m"}}, .exact_in = narrow});
    Graph graph;
    const auto x = graph.add_input("x", DType::kF32, {4, 64});
    const auto w = graph.add_constant("w", testing::rounded(testing::random_f32({64, 48}, 1), narrow));
    const auto node = graph.add_node(std::make_shared<ops::MatMul>(), {x, w}, {"y"}, "node");
    ASSERT_TRUE(node);
    graph.node(*node).anchor_inputs = 2;
    graph.outputs = {graph.node(*node).outputs[0]};
    graph.output_names = {"y"};
    for (const Target* target : testing::runnable_targets()) {
      auto compiled = CompiledGraph::make(graph, *target);
      ASSERT_TRUE(compiled) << compiled.error().message;
      EXPECT_EQ((*compiled)->weight_bytes, 64U * 48 * 2) << target->name;
    }
  }
}

TEST(MatMul, given_symbolic_sizes) {
  for (const int64_t m : {1, 14, 29}) {
    check({.a = {m, 20}, .b = {20, 40}, .constant_b = true, .symbols_a = {{0, "m"}}});
    check({.a = {2, m, 64}, .b = {2, 64, m}, .symbols_a = {{1, "m"}}, .symbols_b = {{2, "m"}}});
    check({.a = {2, m, 64}, .b = {2, m, 64}, .trans_b = true, .symbols_a = {{1, "m"}}, .symbols_b = {{1, "m"}}});
    check({.a = {2, m, m}, .b = {2, m, 64}, .symbols_a = {{1, "m"}, {2, "m"}}, .symbols_b = {{1, "m"}}});
    check({.a = {2, 20, m},
           .b = {2, 20, 33},
           .trans_a = true,
           .symbols_a = {{0, "n"}, {2, "m"}},
           .symbols_b = {{0, "n"}}});
  }
}

TEST(MatMul, given_other_types) {
  for (const DType t : {DType::kF64, DType::kI32, DType::kI64, DType::kU32})
    for (const bool trans_b : {false, true})
      check({.a = {7, 20}, .b = {trans_b ? 35 : 20, trans_b ? 20 : 35}, .trans_b = trans_b, .dtype = t});
}

}  // namespace
}  // namespace lathe
