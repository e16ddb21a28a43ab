// SPDX-License-Identifier: Apache-2.0
// Data movement against its reference, to the bit.
#include "codegen_case.h"
#include "ops/concat.h"
#include "ops/expand.h"
#include "ops/gather.h"
#include "ops/pad.h"
#include "ops/slice.h"
#include "ops/transpose.h"

namespace lathe {
namespace {

using testing::constant;
using testing::expect_as_reference;
using testing::Given;
using testing::integers;
using testing::random;

constexpr DType kAnySize[] = {DType::kU8, DType::kF16, DType::kF32, DType::kI64, DType::kBool};

TEST(Transpose, EveryElementSizeAndForm) {
  struct Case {
    std::vector<int64_t> dims, perm;
  };
  const Case cases[] = {
      {{3, 50, 41}, {1, 2, 0}},  // few planes to pixels
      {{50, 41, 3}, {2, 0, 1}},
      {{2, 4, 33}, {0, 2, 1}},
      {{1, 2, 5}, {0, 2, 1}},
      {{64, 64}, {1, 0}},
      {{70, 19}, {1, 0}},
      {{17, 33}, {1, 0}},
      {{7, 7}, {1, 0}},
      {{5, 1000}, {1, 0}},
      {{1000, 5}, {1, 0}},
      {{2, 9, 12, 64}, {0, 2, 1, 3}},
      {{2, 9, 3, 7}, {3, 2, 1, 0}},
      {{1, 600, 700}, {0, 2, 1}},
      {{4, 1, 8}, {1, 0, 2}},
      {{0, 3}, {1, 0}},
      {{6}, {0}},
      {{2, 3, 4, 5, 6}, {4, 1, 3, 0, 2}},
      {{3, 224, 224}, {1, 2, 0}},
      {{1, 129, 300, 3}, {0, 3, 1, 2}},
  };
  for (const Case& c : cases)
    for (const DType t : kAnySize) {
      ops::Transpose op;
      op.perm = c.perm;
      expect_as_reference(op, {{random(t, c.dims, 3)}}, 0,
                          shape_str(to_shape(c.dims)) + " " + attrs_str(op) + " " + std::string(dtype_name(t)));
    }
}

TEST(Transpose, SymbolicDimensions) {
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{2, 40, 37}, {2, 3, 37}, {1, 16, 2}, {1, 700, 90}, {0, 4, 4}}) {
    ops::Transpose op;
    op.perm = {0, 2, 1};
    expect_as_reference(op, {{testing::random_f32(dims, 5), false, {{0, "n"}, {1, "h"}, {2, "w"}}}}, 0,
                        shape_str(to_shape(dims)) + " symbolic");
    op.perm = {1, 0, 2};
    expect_as_reference(op, {{testing::random_f32(dims, 5), false, {{1, "h"}, {2, "w"}}}}, 0,
                        shape_str(to_shape(dims)) + " symbolic rows");
  }
}

TEST(Slice, StartsStepsAndClamping) {
  struct Case {
    std::vector<int64_t> dims, starts, ends, axes, steps;
  };
  const Case cases[] = {
      {{10, 20}, {2}, {7}, {0}, {1}},
      {{10, 20}, {3}, {-2}, {1}, {1}},
      {{10, 20}, {-5, 0}, {100, 7}, {0, 1}, {1, 1}},
      {{10, 20}, {1}, {20}, {1}, {2}},
      {{10, 20}, {-1}, {-100}, {1}, {-1}},
      {{10, 20}, {8, 19}, {0, 3}, {0, 1}, {-3, -5}},
      {{4, 300, 70}, {5}, {290}, {1}, {1}},
      {{4, 300, 70}, {1}, {68}, {2}, {1}},
      {{4, 5}, {3}, {3}, {0}, {1}},
      {{1, 8, 8, 12}, {0}, {100}, {1}, {2}},
      {{2, 8, 8, 64}, {32}, {64}, {3}, {1}},
      {{5}, {4}, {5}, {0}, {1}},
      {{640, 640}, {0, 0}, {640, 640}, {0, 1}, {2, 2}},
  };
  for (const Case& c : cases)
    for (const DType t : kAnySize)
      expect_as_reference(
          ops::Slice{},
          {{random(t, c.dims, 7)}, integers(c.starts), integers(c.ends), integers(c.axes), integers(c.steps)}, 0,
          shape_str(to_shape(c.dims)) + " from " + shape_str(to_shape(c.starts)) + " " + std::string(dtype_name(t)));
}

TEST(Slice, SymbolicDimensions) {
  for (const int64_t n : {3, 8, 40})
    expect_as_reference(ops::Slice{},
                        {testing::input({n, 9}, 1, {{0, "n"}}), integers({-3, 1}), integers({1000, 9}),
                         integers({0, 1}), integers({1, 2})},
                        0, "last three of " + std::to_string(n));
}

TEST(Concat, AxesAndSizes) {
  struct Case {
    std::vector<std::vector<int64_t>> dims;
    int64_t axis;
  };
  const Case cases[] = {
      {{{2, 3}, {2, 5}}, 1},
      {{{2, 3}, {4, 3}}, 0},
      {{{9, 9, 64}, {9, 9, 32}, {9, 9, 3}}, 2},
      {{{100, 80}, {300, 80}}, 0},
      {{{3, 1}, {3, 1}}, 1},
      {{{2, 0}, {2, 4}}, 1},
      {{{5}, {7}, {1}}, 0},
      {{{1, 40, 40, 128}, {1, 40, 40, 256}}, 3},
      {{{1, 1000}, {1, 9}}, 1},
      {{{2, 30000}, {2, 7}}, 1},
  };
  for (const Case& c : cases)
    for (const DType t : kAnySize) {
      std::vector<Given> inputs;
      for (const auto& d : c.dims) inputs.push_back({random(t, d, inputs.size() + 1)});
      ops::Concat op;
      op.axis = c.axis;
      expect_as_reference(op, inputs, 0,
                          shape_str(to_shape(c.dims[0])) + " … " + attrs_str(op) + " " + std::string(dtype_name(t)));
    }
}

TEST(Concat, SymbolicAndConstantInputs) {
  ops::Concat op;
  op.axis = 1;
  for (const int64_t n : {0, 1, 5, 33})
    expect_as_reference(
        op,
        {testing::input({4, n}, 1, {{1, "n"}}), constant(testing::random_f32({4, 3}, 2)), testing::input({4, 8}, 3)}, 0,
        "joined with " + std::to_string(n));
}

TEST(Expand, RepeatsAnyDimension) {
  struct Case {
    std::vector<int64_t> dims, shape;
  };
  for (const Case& c : {Case{{3, 1}, {3, 50}},
                        {{1, 50}, {7, 50}},
                        {{1}, {100000}},
                        {{2, 1, 3}, {4, 2, 5, 3}},
                        {{4, 4}, {1, 1}},
                        {{1, 3}, {0, 3}},
                        {{}, {9}}})
    for (const DType t : kAnySize)
      expect_as_reference(
          ops::Expand{}, {{random(t, c.dims, 2)}, integers(c.shape)}, 0,
          shape_str(to_shape(c.dims)) + " to " + shape_str(to_shape(c.shape)) + " " + std::string(dtype_name(t)));
}

TEST(Gather, RowsOfAnyAxis) {
  const auto indices = [](DType t, std::vector<int64_t> dims, const std::vector<int64_t>& v) {
    Tensor r = Tensor::zeros(t, std::move(dims));
    for (size_t i = 0; i < v.size(); ++i) r.set_i64(static_cast<int64_t>(i), v[i]);
    return r;
  };
  for (const DType t : kAnySize)
    for (const DType index : {DType::kI32, DType::kI64})
      for (int64_t axis = 0; axis < 3; ++axis) {
        ops::Gather op;
        op.axis = axis;
        const Tensor x = random(t, {5, 6, 70}, 4);
        const std::string what = "axis " + std::to_string(axis) + " " + std::string(dtype_name(t));
        expect_as_reference(op, {{x}, {indices(index, {2, 2}, {0, -1, 4, -5})}}, 0, what);
        expect_as_reference(op, {{x}, constant(indices(index, {}, {-2}))}, 0, what + " scalar");
        expect_as_reference(op, {{x}, constant(indices(index, {1}, {3}))}, 0, what + " one");
      }
  expect_as_reference(
      ops::Gather{},
      {{testing::random_f32({100, 768}, 1)}, {indices(DType::kI64, {1, 128}, std::vector<int64_t>(128, 99))}}, 0,
      "embedding");
  expect_as_reference(ops::Gather{},
                      {{testing::random_f32({100, 8}, 1)}, {indices(DType::kI64, {3}, {5, 6, 7}), false, {{0, "n"}}}},
                      0, "symbolic");
}

TEST(Gather, AnIndexOutOfRangeIsAFault) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {4, 3}), i = graph.add_input("i", DType::kI64, {2});
  const auto y = graph.add(std::make_shared<ops::Gather>(), {x, i}, "node");
  ASSERT_TRUE(y);
  graph.outputs = {*y};
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = testing::CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled);
    for (const int64_t bad : {int64_t{4}, int64_t{-5}, INT64_MIN, INT64_MAX})
      EXPECT_FALSE((*compiled)->run(std::vector{testing::random_f32({4, 3}, 1), Tensor::vector_i64({0, bad})})) << bad;
  }
}

TEST(Pad, EveryMode) {
  struct Case {
    std::vector<int64_t> dims, pads;
  };
  const Case cases[] = {
      {{3, 4}, {0, 1, 0, 2}},
      {{3, 4}, {1, 0, 2, 0}},
      {{2, 5, 6, 3}, {0, 1, 2, 0, 0, 3, 1, 0}},
      {{2, 5, 6}, {0, -1, 2, 0, 1, -2}},
      {{1, 60, 60, 64}, {0, 1, 1, 0, 0, 1, 1, 0}},
      {{7}, {3, 2}},
      {{4, 4}, {0, 0, 0, 0}},
      {{2, 3, 64, 64}, {0, 0, 3, 3, 0, 0, 3, 3}},
      {{1, 300, 200}, {1, 2, 3, 0, 1, 0}},
      {{7}, {-9, 4}},  // removes more than there is
      {{7}, {4, -9}},
      {{3, 7}, {0, -8, 0, 3}},
      {{3, 7, 2}, {-1, 3, 0, 2, -8, 0}},
  };
  for (const char* mode : {"constant", "reflect", "edge", "wrap"})
    for (const Case& c : cases) {
      if (std::string(mode) != "constant" && c.dims[0] == 1) continue;
      ops::Pad op;
      op.mode = mode;
      for (const DType t : kAnySize) {
        std::vector<Given> inputs{{random(t, c.dims, 9)}, integers(c.pads)};
        const std::string what = shape_str(to_shape(c.dims)) + " by " + shape_str(to_shape(c.pads)) + " " + mode + " " +
                                 std::string(dtype_name(t));
        expect_as_reference(op, inputs, 0, what);
        if (op.mode != "constant") continue;
        inputs.push_back({random(t, {}, 11)});
        expect_as_reference(op, inputs, 0, what + " with a value");
      }
    }
}

TEST(Pad, SymbolicDimensions) {
  for (const char* mode : {"constant", "reflect", "edge", "wrap"})
    for (const int64_t n : {3, 9, 200}) {
      ops::Pad op;
      op.mode = mode;
      expect_as_reference(op, {testing::input({2, n, 5}, 1, {{1, "n"}}), integers({0, 2, 1, 0, 1, 2})}, 0,
                          std::to_string(n) + " " + mode);
    }
}

}  // namespace
}  // namespace lathe
