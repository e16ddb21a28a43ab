// SPDX-License-Identifier: Apache-2.0
// Pooling, reductions, softmax, normalisation and attention against their references.
#include <cmath>

#include "codegen_case.h"
#include "ops/attention.h"
#include "ops/layer_norm.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace lathe {
namespace {

using testing::expect_as_reference;
using testing::Given;
using testing::input;
using testing::random;
using testing::random_f32;

std::string text(const std::vector<int64_t>& dims) { return shape_str(to_shape(dims)); }

/// A NaN, infinities and both zeros at places that depend on the size.
Tensor with_specials(const Tensor& x) {
  Tensor t = Tensor::of<float>(DType::kF32, x.dims(), x.as<float>());
  const auto v = t.mutable_as<float>();
  const float specials[] = {NAN, INFINITY, -INFINITY, 0.0F, -0.0F};
  for (size_t i = 0; i < std::size(specials) && !v.empty(); ++i) v[(i * 37 + 11) % v.size()] = specials[i];
  return t;
}

ops::Pool pool(const char* kind, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation = 1) {
  ops::Pool op;
  op.kind = kind;
  op.kernel = {kernel, kernel};
  op.strides = {stride, stride};
  op.pads = {pad, pad, pad, pad};
  op.dilations = {dilation, dilation};
  return op;
}

TEST(Pool, WindowsAndSizes) {
  const ops::Pool windows[] = {pool("max", 3, 2, 1),    pool("max", 5, 1, 2),     pool("max", 2, 2, 0),
                               pool("max", 13, 1, 6),   pool("max", 3, 1, 1, 2),  pool("max", 1, 2, 0),
                               pool("max", 40, 1, 20),  pool("average", 3, 1, 1), pool("average", 2, 2, 0),
                               pool("average", 3, 2, 1)};
  const std::vector<int64_t> sizes[] = {
      {1, 20, 20, 64}, {2, 9, 31, 3}, {1, 14, 14, 17}, {1, 6, 5, 100}, {1, 30, 66, 16}};
  for (ops::Pool op : windows)
    for (const auto& dims : sizes) {
      const double tolerance = op.kind == "max" ? 0 : 1e-6;
      expect_as_reference(op, {input(dims)}, tolerance, text(dims) + " " + attrs_str(op));
      op.count_include_pad = true;
      if (op.kind == "average") expect_as_reference(op, {input(dims)}, tolerance, text(dims) + " " + attrs_str(op));
      op.ceil_mode = true;
      expect_as_reference(op, {input(dims, 1, {{1, "h"}, {2, "w"}})}, tolerance,
                          text(dims) + " symbolic " + attrs_str(op));
      expect_as_reference(op, {input(dims)}, tolerance, text(dims) + " " + attrs_str(op));
    }
}

TEST(Pool, TypesAndSpecialValues) {
  for (const DType t : {DType::kU8, DType::kI8, DType::kF64, DType::kF16, DType::kI32})
    expect_as_reference(pool("max", 3, 2, 1), {{random(t, {1, 9, 9, 37}, 3)}}, 0,
                        "max of " + std::string(dtype_name(t)));
  expect_as_reference(pool("max", 3, 2, 1), {{with_specials(random_f32({1, 19, 23, 8}, 3))}}, 1e-9, "NaN wins");
  expect_as_reference(pool("average", 3, 2, 1), {{with_specials(random_f32({1, 19, 23, 8}, 3))}}, 1e-6, "NaN spreads");
}

TEST(Reduce, KindsAndAxes) {
  struct Case {
    std::vector<int64_t> dims, axes;
  };
  const Case cases[] = {{{7, 33}, {1}},           {{7, 33}, {0}},
                        {{2, 7, 7, 100}, {1, 2}}, {{1, 7, 7, 2048}, {1, 2}},
                        {{3, 4, 5, 6}, {0, 2}},   {{3, 4, 5, 6}, {1, 3}},
                        {{3, 4, 5}, {0, 1, 2}},   {{5}, {}},
                        {{1, 1, 1}, {0}},         {{2, 0, 3}, {1}},
                        {{4, 1000}, {1}},         {{9, 300, 3}, {1}},
                        {{1, 300, 64}, {1}},      {{2, 56, 56, 24}, {1, 2}},
                        {{16, 4}, {1}},           {{100, 130}, {1}},
                        {{100, 130}, {0}},        {{19, 1030}, {0}},
                        {{2, 37, 600}, {1}},      {{3, 5, 7, 777}, {0, 2}}};
  for (const char* kind : {"sum", "mean", "max", "min", "prod", "sum_square", "l1", "l2", "log_sum", "log_sum_exp"})
    for (const Case& c : cases) {
      ops::Reduce op;
      op.kind = kind;
      op.axes = c.axes;
      op.keepdims = c.dims.size() % 2 == 0;
      std::vector<std::pair<size_t, std::string>> symbols;
      for (size_t d = 0; d < c.dims.size(); ++d) symbols.emplace_back(d, "s" + std::to_string(d));
      const std::string what = text(c.dims) + " " + attrs_str(op);
      // log_sum of values of both signs is NaN where the sum is near 0 on either side.
      const Tensor x = random_f32(c.dims, 4);
      Tensor positive = Tensor::of<float>(DType::kF32, x.dims(), x.as<float>());
      if (op.kind == "log_sum")
        for (float& v : positive.mutable_as<float>()) v = std::abs(v) + 0.1F;
      expect_as_reference(op, {{positive}}, 2e-6, what);
      expect_as_reference(op, {{positive, false, symbols}}, 2e-6, what + " symbolic");
    }
}

TEST(Reduce, TypesAndSpecialValues) {
  for (const DType t : {DType::kF64, DType::kI32, DType::kI64, DType::kU8, DType::kF16})
    for (const char* kind : {"sum", "mean", "max", "min", "prod"})
      for (const int64_t axis : {0, 1}) {
        ops::Reduce op;
        op.kind = kind;
        op.axes = {axis};
        if (t == DType::kU8 && op.kind != "max" && op.kind != "min") continue;
        expect_as_reference(op, {{random(t, {9, 35}, 3)}}, dtype_info(t).is_float ? 1e-3 : 0,
                            attrs_str(op) + " of " + std::string(dtype_name(t)));
      }
  for (const DType t : {DType::kF64, DType::kI32, DType::kF16}) {  // bands of columns
    ops::Reduce op;
    op.kind = "sum";
    op.axes = {0};
    expect_as_reference(op, {{random(t, {27, 1029}, 3)}}, dtype_info(t).is_float ? 1e-3 : 0,
                        "bands of " + std::string(dtype_name(t)));
  }
  for (const char* kind : {"sum", "max", "min", "log_sum_exp"})
    for (const int64_t axis : {0, 1}) {
      ops::Reduce op;
      op.kind = kind;
      op.axes = {axis};
      expect_as_reference(op, {{with_specials(random_f32({13, 70}, 3))}}, 1e-6,
                          attrs_str(op) + " with NaN and infinities");
    }
}

TEST(Softmax, AxesAndLengths) {
  struct Case {
    std::vector<int64_t> dims;
    int64_t axis;
  };
  const Case cases[] = {{{3, 5}, 1},    {{4, 16}, 1},   {{2, 197}, 1},        {{2, 1000}, 1},    {{3, 1}, 1},
                        {{50, 128}, 1}, {{5, 33}, 0},   {{1, 4, 16, 100}, 2}, {{2, 40, 7}, 1},   {{1, 3, 1, 50000}, 3},
                        {{2, 3, 4}, 0}, {{7, 5, 1}, 1}, {{0, 5}, 1},          {{2, 3, 80, 9}, 1}};
  for (const bool log : {false, true})
    for (const Case& c : cases) {
      ops::Softmax op;
      op.axis = c.axis;
      op.log = log;
      std::vector<std::pair<size_t, std::string>> symbols;
      for (size_t d = 0; d < c.dims.size(); ++d) symbols.emplace_back(d, "s" + std::to_string(d));
      Tensor x = random_f32(c.dims, 4);
      for (float& v : x.mutable_as<float>()) v *= 20;
      expect_as_reference(op, {{x}}, 2e-6, text(c.dims) + " " + attrs_str(op));
      expect_as_reference(op, {{x, false, symbols}}, 2e-6, text(c.dims) + " symbolic " + attrs_str(op));
    }
}

TEST(LayerNorm, ShapesAndOptionalInputs) {
  struct Case {
    std::vector<int64_t> dims;
    int64_t axis;
  };
  for (const Case& c :
       {Case{{3, 768}, 1}, {{197, 192}, 1}, {{2, 5, 33}, 2}, {{2, 5, 33}, 1}, {{4, 1}, 1}, {{1, 7}, 1}, {{2, 5000}, 1}})
    for (const bool rms : {false, true})
      for (const int inputs : {1, 2, 3}) {
        ops::LayerNorm op;
        op.axis = c.axis;
        op.rms = rms;
        const std::vector<int64_t> trailing(c.dims.begin() + c.axis, c.dims.end());
        std::vector<Given> given{input(c.dims, 5)};
        if (inputs > 1) given.push_back(testing::constant(random_f32(trailing, 6)));
        if (inputs > 2) given.push_back(testing::constant(random_f32(trailing, 7)));
        expect_as_reference(op, given, 3e-6, text(c.dims) + " " + attrs_str(op));
        given[0].symbols = {{0, "n"}};
        expect_as_reference(op, given, 3e-6, text(c.dims) + " symbolic " + attrs_str(op));
      }
}

struct AttentionCase {
  int64_t batch, heads, key_heads, queries, keys, depth, value_depth;
  std::vector<int64_t> mask = {};
  bool causal = false, k_transposed = false, heads_last = false;
};

TEST(Attention, ShapesMasksAndLayouts) {
  const AttentionCase cases[] = {
      {1, 2, 2, 32, 32, 64, 64},
      {1, 2, 2, 128, 128, 64, 64, {1, 1, 1, 128}},
      {2, 4, 2, 37, 53, 32, 16},
      {1, 3, 1, 50, 197, 24, 40, {3, 50, 197}},
      {1, 2, 2, 70, 70, 8, 8, {70, 70}, true},
      {1, 2, 2, 65, 300, 64, 64, {}, true},
      {1, 1, 1, 40, 20, 16, 16, {}, true},
      {1, 2, 2, 33, 45, 20, 20, {}, false, true},
      {1, 4, 4, 48, 48, 64, 64, {1, 1, 48, 48}, false, false, true},
      {1, 12, 12, 1, 256, 64, 64},
      {1, 4, 2, 1, 77, 64, 64, {1, 1, 1, 77}},
      {2, 2, 2, 3, 19, 10, 7, {2, 1, 3, 19}, true},
      {1, 2, 2, 2, 50, 64, 32, {}, false, true},
      {1, 2, 1, 4, 9, 128, 100, {}, false, false, true},
      {1, 1, 1, 5, 1, 64, 64},
  };
  for (const AttentionCase& c : cases) {
    ops::Attention op;
    op.scale = 1 / std::sqrt(static_cast<double>(c.depth));
    op.causal = c.causal;
    op.k_transposed = c.k_transposed;
    op.heads_last = c.heads_last;
    const auto dims = [&](int64_t heads, int64_t positions, int64_t depth, bool transposed = false) {
      if (c.heads_last) return std::vector<int64_t>{c.batch, positions, heads, depth};
      if (transposed) return std::vector<int64_t>{c.batch, heads, depth, positions};
      return std::vector<int64_t>{c.batch, heads, positions, depth};
    };
    std::vector<Given> given{input(dims(c.heads, c.queries, c.depth), 1),
                             input(dims(c.key_heads, c.keys, c.depth, c.k_transposed), 2),
                             input(dims(c.key_heads, c.keys, c.value_depth), 3)};
    if (!c.mask.empty()) {
      Tensor m = random_f32(c.mask, 4);
      const auto v = m.mutable_as<float>();
      for (size_t i = 0; i < v.size(); ++i)
        if (i % 5 == 3) v[i] = -INFINITY;
      given.push_back({m});
    }
    const std::string what = "q " + text(given[0].tensor.dims()) + " k " + text(given[1].tensor.dims()) + " mask " +
                             text(c.mask) + " " + attrs_str(op);
    expect_as_reference(op, given, 2e-6, what);
    const size_t position = c.heads_last ? 1 : 2;
    if (c.queries == c.keys) continue;  // one symbol for both is another model
    given[0].symbols = {{position, "lq"}};
    given[1].symbols = {{c.k_transposed ? 3 : position, "lk"}};
    given[2].symbols = {{position, "lk"}};
    for (Given* g = given.data() + 3; g < given.data() + given.size(); ++g) {
      const size_t rank = g->tensor.dims().size();
      if (g->tensor.dims()[rank - 1] == c.keys && c.keys != 1) g->symbols.emplace_back(rank - 1, "lk");
      if (g->tensor.dims()[rank - 2] == c.queries && c.queries != 1) g->symbols.emplace_back(rank - 2, "lq");
    }
    expect_as_reference(op, given, 2e-6, what + " symbolic");
  }
}

}  // namespace
}  // namespace lathe
