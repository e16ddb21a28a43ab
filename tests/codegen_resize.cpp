// SPDX-License-Identifier: Apache-2.0
// Resampling and positions of extremes against their references.
#include <cmath>

#include "codegen_case.h"
#include "ops/arg_reduce.h"
#include "ops/resize.h"

namespace lathe {
namespace {

using testing::expect_as_reference;
using testing::input;
using testing::random;

TEST(Resize, NearestMovesAnyType) {
  struct Case {
    std::vector<int64_t> dims;
    std::vector<double> scales;
  };
  for (const Case& c : {Case{{1, 20, 20, 64}, {1, 2, 2, 1}},
                        {{1, 3, 21, 33}, {1, 1, 2, 2}},
                        {{1, 3, 21, 33}, {1, 1, 3, 4}},
                        {{2, 5, 7, 3}, {1, 0.6, 1.7, 1}},
                        {{1, 60, 60, 80}, {1, 2, 2, 1}}})
    for (const DType t : {DType::kU8, DType::kF32, DType::kI64})
      for (const char* rounding : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"})
        for (const char* coordinate : {"half_pixel", "asymmetric", "align_corners"}) {
          ops::Resize op;
          op.scales = c.scales;
          op.nearest_mode = rounding;
          op.coordinate = coordinate;
          expect_as_reference(op, {{random(t, c.dims, 3)}}, 0, shape_str(to_shape(c.dims)) + " " + attrs_str(op));
        }
}

TEST(Resize, LinearAndCubic) {
  for (const char* mode : {"linear", "cubic"})
    for (const char* coordinate : {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel",
                                   "half_pixel_symmetric", "tf_crop_and_resize"})
      for (const auto& [dims, scales] :
           {std::pair<std::vector<int64_t>, std::vector<double>>{{1, 9, 11, 33}, {1, 2, 1.5, 1}},
            {{2, 3, 9, 8}, {1, 1, 0.6, 2.5}}})
        for (const bool antialias : {false, true}) {
          ops::Resize op;
          op.mode = mode;
          op.coordinate = coordinate;
          op.scales = scales;
          op.antialias = antialias;
          op.extrapolation = 7;
          if (op.coordinate == "tf_crop_and_resize") op.roi = {0, 0.1, -0.2, 0, 1, 0.9, 1.1, 1};
          expect_as_reference(op, {input(dims, 5)}, 2e-6, shape_str(to_shape(dims)) + " " + attrs_str(op));
        }
}

TEST(Resize, SymbolicDimensions) {
  for (const char* mode : {"nearest", "linear"})
    for (const char* coordinate : {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"})
      for (const int64_t n : {1, 5, 40}) {
        ops::Resize op;
        op.mode = mode;
        op.coordinate = coordinate;
        op.scales = {1, 2, 1.5, 1};
        expect_as_reference(op, {input({1, n, 8, 6}, 5, {{1, "h"}, {2, "w"}})}, 2e-6,
                            std::to_string(n) + " " + attrs_str(op));
      }
}

TEST(ArgReduce, AxesTypesAndTies) {
  for (const char* kind : {"max", "min"})
    for (const bool last : {false, true})
      for (const DType t : {DType::kF32, DType::kI32, DType::kU8, DType::kF64})
        for (const auto& [dims, axis] : {std::pair<std::vector<int64_t>, int64_t>{{5, 33}, 1},
                                         {{5, 33}, 0},
                                         {{2, 80, 90}, 1},
                                         {{3, 1}, 1},
                                         {{1, 5000}, 1}}) {
          ops::ArgReduce op;
          op.kind = kind;
          op.select_last = last;
          op.axis = axis;
          Tensor x = random(t, dims, 3);
          for (int64_t i = 0; i < x.count(); ++i)  // ties
            if (dtype_info(t).is_float) x.set(i, std::round(x.f64_at(i) * 4));
          expect_as_reference(op, {{x}}, 0,
                              shape_str(to_shape(dims)) + " " + attrs_str(op) + " " + std::string(dtype_name(t)));
          if (t != DType::kF32) continue;
          for (const int64_t at : {int64_t{0}, x.count() / 2, x.count() - 1}) x.set(at, NAN);
          expect_as_reference(op, {{x, false, {{0, "n"}, {1, "m"}}}}, 0,
                              shape_str(to_shape(dims)) + " NaN " + attrs_str(op));
        }
}

}  // namespace
}  // namespace lathe
