// SPDX-License-Identifier: Apache-2.0
// Indexed movement, running sums and operators whose output size depends on data, against their references.
#include <cmath>

#include "codegen_case.h"
#include "ops/cumsum.h"
#include "ops/gather_elements.h"
#include "ops/gather_nd.h"
#include "ops/non_max_suppression.h"
#include "ops/nonzero.h"
#include "ops/one_hot.h"
#include "ops/range.h"
#include "ops/scatter_elements.h"
#include "ops/scatter_nd.h"
#include "ops/tile.h"
#include "ops/top_k.h"
#include "ops/trilu.h"

namespace lathe {
namespace {

using testing::constant;
using testing::expect_as_reference;
using testing::Given;
using testing::input;
using testing::integers;
using testing::random;
using testing::random_f32;

constexpr DType kAnySize[] = {DType::kU8, DType::kF16, DType::kF32, DType::kI64};

/// Indices into a dimension of `size`, some negative.
Tensor indices(DType type, std::vector<int64_t> dims, int64_t size, uint64_t seed = 1) {
  const Tensor f = random_f32(dims, seed);
  Tensor t = Tensor::zeros(type, dims);
  for (int64_t i = 0; i < t.count(); ++i)
    t.set_i64(i, static_cast<int64_t>(std::floor(f.f64_at(i) * static_cast<double>(size))));
  return t;
}

template <class T>
Tensor scalar(DType type, T v) {
  return Tensor::of<T>(type, {}, {&v, 1});
}

TEST(Tile, Repeats) {
  for (const DType t : kAnySize)
    for (const auto& [dims, repeats] : {std::pair<std::vector<int64_t>, std::vector<int64_t>>{{2, 3}, {2, 2}},
                                        {{5}, {1}},
                                        {{4, 1, 70}, {1, 9, 2}},
                                        {{1}, {1000}},
                                        {{2, 3}, {0, 1}}})
      expect_as_reference(ops::Tile{}, {{random(t, dims, 3)}, integers(repeats)}, 0,
                          shape_str(to_shape(dims)) + " times " + shape_str(to_shape(repeats)));
}

TEST(Trilu, DiagonalsAndTypes) {
  for (const bool upper : {true, false})
    for (const int64_t k : {0, 1, -2, 100, -100})
      for (const DType t : kAnySize) {
        ops::Trilu op;
        op.upper = upper;
        expect_as_reference(op, {{random(t, {2, 9, 13}, 3)}, constant(scalar<int64_t>(DType::kI64, k))}, 0,
                            attrs_str(op) + " " + std::to_string(k));
        expect_as_reference(op, {{random(t, {70, 33}, 3)}, {scalar<int64_t>(DType::kI64, k)}}, 0,
                            attrs_str(op) + " given " + std::to_string(k));
      }
}

TEST(OneHot, AxesAndIndicesOutOfRange) {
  for (const int64_t axis : {0, 1, 2})
    for (const DType t : {DType::kI32, DType::kI64, DType::kF32}) {
      ops::OneHot op;
      op.axis = axis;
      Tensor at = indices(t, {3, 7}, 12);
      expect_as_reference(op, {{at}, constant(scalar<int64_t>(DType::kI64, 9)), constant(random_f32({2}, 5))}, 0,
                          attrs_str(op));
    }
}

TEST(CumSum, AxesDirectionsAndTypes) {
  for (const DType t : {DType::kF32, DType::kF64, DType::kI32, DType::kI64})
    for (const int64_t axis : {0, 1, -1})
      for (const bool exclusive : {false, true})
        for (const bool reverse : {false, true}) {
          ops::CumSum op;
          op.exclusive = exclusive;
          op.reverse = reverse;
          expect_as_reference(op, {{random(t, {5, 40, 33}, 3)}, constant(scalar<int64_t>(DType::kI64, axis))},
                              dtype_info(t).is_float ? 1e-6 : 0, attrs_str(op) + " axis " + std::to_string(axis));
        }
}

TEST(GatherElements, AxesAndTypes) {
  for (const DType t : kAnySize)
    for (const DType i : {DType::kI32, DType::kI64})
      for (const int64_t axis : {0, 1, 2}) {
        ops::GatherElements op;
        op.axis = axis;
        const std::vector<int64_t> dims{5, 6, 7};
        expect_as_reference(op, {{random(t, dims, 3)}, {indices(i, {4, 3, 6}, dims[static_cast<size_t>(axis)])}}, 0,
                            attrs_str(op));
      }
}

TEST(GatherND, TuplesAndSharedDimensions) {
  for (const DType t : kAnySize) {
    expect_as_reference(ops::GatherND{}, {{random(t, {5, 6, 70}, 3)}, {indices(DType::kI64, {3, 4, 1}, 5)}}, 0,
                        "slices");
    expect_as_reference(ops::GatherND{}, {{random(t, {5, 6, 70}, 3)}, {indices(DType::kI32, {9, 2}, 5)}}, 0, "rows");
    expect_as_reference(ops::GatherND{}, {{random(t, {5, 5, 5}, 3)}, {indices(DType::kI64, {9, 3}, 5)}}, 0, "elements");
    ops::GatherND op;
    op.batch_dims = 1;
    expect_as_reference(op, {{random(t, {2, 6, 7}, 3)}, {indices(DType::kI64, {2, 4, 1}, 6)}}, 0, "shared");
  }
}

TEST(Scatter, ReductionsAndTypes) {
  for (const char* reduction : {"none", "add", "mul", "min", "max"})
    for (const DType t : {DType::kF32, DType::kI32, DType::kI64, DType::kF64}) {
      const double tolerance = dtype_info(t).is_float ? 1e-6 : 0;
      for (const int64_t axis : {0, 1}) {
        ops::ScatterElements op;
        op.axis = axis;
        op.reduction = reduction;
        expect_as_reference(
            op, {{random(t, {6, 9}, 3)}, {indices(DType::kI64, {6, 5}, axis ? 9 : 6)}, {random(t, {6, 5}, 4)}},
            tolerance, attrs_str(op));
      }
      ops::ScatterND op;
      op.reduction = reduction;
      expect_as_reference(op,
                          {{random(t, {6, 9, 40}, 3)}, {indices(DType::kI64, {7, 1}, 6)}, {random(t, {7, 9, 40}, 4)}},
                          tolerance, "slices " + attrs_str(op));
      expect_as_reference(op, {{random(t, {6, 9}, 3)}, {indices(DType::kI32, {7, 2}, 6)}, {random(t, {7}, 4)}},
                          tolerance, "elements " + attrs_str(op));
    }
}

TEST(NonZero, CountDependsOnData) {
  for (const DType t : {DType::kF32, DType::kBool, DType::kI64, DType::kU8, DType::kF16})
    for (const std::vector<int64_t>& dims : {std::vector<int64_t>{3, 5, 7}, {100}, {1, 1}, {0, 4}}) {
      Tensor x = random(t, dims, 3);
      for (int64_t i = 0; i < x.count(); i += 3) x.set(i, i % 2 ? 0.0 : -0.0);
      expect_as_reference(ops::NonZero{}, {{x}}, 0, shape_str(to_shape(dims)) + " " + std::string(dtype_name(t)));
    }
  expect_as_reference(ops::NonZero{}, {{Tensor::zeros(DType::kF32, {4, 4})}}, 0, "none");
}

TEST(Range, KnownAndDataDependentLengths) {
  const auto check = [](auto start, auto limit, auto delta, DType t, const std::string& what) {
    for (const bool known : {true, false})
      expect_as_reference(
          ops::Range{}, {{scalar(t, start), known}, {scalar(t, limit), known}, {scalar(t, delta), known}}, 1e-7, what);
  };
  check(0.0F, 5.0F, 0.7F, DType::kF32, "f32");
  check(10.0, -3.0, -1.5, DType::kF64, "f64 down");
  check(int64_t{0}, int64_t{17}, int64_t{3}, DType::kI64, "i64");
  check(int32_t{5}, int32_t{5}, int32_t{1}, DType::kI32, "empty");
}

TEST(TopK, AxesTypesAndTies) {
  for (const DType t : {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kU8})
    for (const bool largest : {true, false})
      for (const auto& [dims, axis, k] : {std::tuple<std::vector<int64_t>, int64_t, int64_t>{{3, 50}, 1, 5},
                                          {{50, 3}, 0, 50},
                                          {{2, 300, 4}, 1, 100},
                                          {{4, 6}, 1, 0},
                                          {{1, 8400}, 1, 300}}) {
        ops::TopK op;
        op.axis = axis;
        op.largest = largest;
        Tensor x = random(t, dims, 3);
        if (dtype_info(t).is_float)
          for (int64_t i = 0; i < x.count(); ++i) x.set(i, std::round(x.f64_at(i) * 50));
        expect_as_reference(op, {{x}, integers({k})}, 0,
                            shape_str(to_shape(dims)) + " " + attrs_str(op) + " k " + std::to_string(k) + " " +
                                std::string(dtype_name(t)));
      }
}

TEST(NonMaxSuppression, BoxesOfBothKinds) {
  for (const bool center : {false, true})
    for (const auto& [batch, classes, n] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 6}, {2, 3, 200}}) {
      ops::NonMaxSuppression op;
      op.center_point_box = center;
      Tensor boxes = random_f32({batch, n, 4}, 3);
      for (float& v : boxes.mutable_as<float>()) v = std::abs(v) * 0.5F + 0.2F;
      const Given b{boxes}, s{random_f32({batch, classes, n}, 4)};
      const std::string what = attrs_str(op) + " " + std::to_string(n) + " boxes";
      expect_as_reference(op, {b, s}, 0, what + ", none wanted");
      expect_as_reference(op, {b, s, constant(scalar<int64_t>(DType::kI64, 10))}, 0, what + ", ten");
      expect_as_reference(op,
                          {b,
                           s,
                           {scalar<int64_t>(DType::kI64, 1000)},
                           constant(scalar(DType::kF32, 0.5F)),
                           constant(scalar(DType::kF32, 0.1F))},
                          0, what + ", thresholds");
    }
}

}  // namespace
}  // namespace lathe
