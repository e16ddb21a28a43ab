// SPDX-License-Identifier: Apache-2.0
// Operators whose sizes, places or order are data, and types that are stored but not computed in, against their
// reference.
#include "codegen_case.h"
#include "ops/bit_cast.h"
#include "ops/cast.h"
#include "ops/cumsum.h"
#include "ops/det.h"
#include "ops/dft.h"
#include "ops/expand.h"
#include "ops/grid_sample.h"
#include "ops/linear_attention.h"
#include "ops/one_hot.h"
#include "ops/pack.h"
#include "ops/pad.h"
#include "ops/permute.h"
#include "ops/reshape.h"
#include "ops/roi_align.h"
#include "ops/slice.h"
#include "ops/tile.h"
#include "ops/top_k.h"
#include "ops/unpack.h"

namespace lathe {
namespace {

using testing::expect_as_reference;
using testing::Given;
using testing::random;

Given data(const std::vector<int64_t>& v) { return {Tensor::vector_i64(v)}; }

TEST(ComputedSizes, Reshape) {
  struct Case {
    std::vector<int64_t> dims, shape;
    bool allow_zero;
  };
  for (const Case& c : {Case{{2, 3, 4}, {4, 6}, false},
                        {{2, 3, 4}, {0, -1}, false},
                        {{2, 3, 4}, {-1}, false},
                        {{0, 3}, {3, 0}, true},
                        {{1}, {1, 1, 1}, false}}) {
    ops::Reshape op;
    op.allow_zero = c.allow_zero;
    expect_as_reference(op, {{random(DType::kF32, c.dims, 1)}, data(c.shape)}, 0, shape_str(to_shape(c.shape)));
  }
}

TEST(ComputedSizes, ExpandTilePadSlice) {
  expect_as_reference(ops::Expand{}, {{random(DType::kI16, {3, 1}, 1)}, data({2, 1, 5})}, 0, "expand");
  expect_as_reference(ops::Expand{}, {{random(DType::kF32, {4}, 1)}, data({1})}, 0, "expand to less");
  expect_as_reference(ops::Expand{}, {{random(DType::kF32, {}, 1)}, data({0, 3})}, 0, "expand to nothing");
  expect_as_reference(ops::Tile{}, {{random(DType::kU8, {3, 5}, 2)}, data({2, 3})}, 0, "tile");
  expect_as_reference(ops::Tile{}, {{random(DType::kU8, {3, 5}, 2)}, data({0, 3})}, 0, "tile nothing");
  for (const char* mode : {"constant", "edge", "reflect", "wrap"}) {
    ops::Pad pad;
    pad.mode = mode;
    expect_as_reference(pad, {{random(DType::kF32, {4, 5}, 3)}, data({1, 2, 0, 3})}, 0, mode);
    expect_as_reference(pad, {{random(DType::kF32, {4, 5}, 3)}, data({-1, 2, 1, -2})}, 0, std::string(mode) + " crops");
  }
  struct Case {
    std::vector<int64_t> starts, ends, axes, steps;
  };
  for (const Case& c : {Case{{2}, {7}, {0}, {1}},
                        {{-5, 0}, {100, 7}, {0, 1}, {1, 1}},
                        {{-1}, {-100}, {1}, {-1}},
                        {{8, 19}, {0, 3}, {0, 1}, {-3, -5}},
                        {{5}, {5}, {-1}, {2}}})
    expect_as_reference(ops::Slice{},
                        {{random(DType::kF32, {10, 20}, 4)}, data(c.starts), data(c.ends), data(c.axes), data(c.steps)},
                        0, "slice " + shape_str(to_shape(c.starts)));
}

TEST(ComputedSizes, SelectionAndOrder) {
  for (const int64_t k : {0, 1, 4, 7}) {
    ops::TopK op;
    op.axis = 1;
    expect_as_reference(op, {{random(DType::kF32, {3, 7, 2}, 5)}, data({k})}, 0, "k " + std::to_string(k));
  }
  ops::OneHot hot;
  hot.axis = 1;
  expect_as_reference(hot, {{Tensor::vector_i64({0, -1, 5, 2})}, data({3}), {random(DType::kF32, {2}, 6)}}, 0, "depth");
  for (const std::vector<int64_t>& perm : {std::vector<int64_t>{2, 0, 1}, {0, 1, 2}, {2, 1, 0}})
    for (const DType t : {DType::kU8, DType::kF32, DType::kI64})
      expect_as_reference(ops::Permute{}, {{random(t, {3, 5, 17}, 7)}, data(perm)}, 0, shape_str(to_shape(perm)));
  for (const int64_t axis : {0, 1, -1})
    for (const bool product : {false, true}) {
      ops::CumSum op;
      op.product = product;
      op.exclusive = axis == 1;
      op.reverse = axis == -1;
      Tensor a = Tensor::scalar_i64(axis);
      expect_as_reference(op, {{random(DType::kF32, {3, 4, 5}, 8)}, {a}}, 1e-6, "axis " + std::to_string(axis));
    }
}

TEST(PackedTypes, PackAndUnpack) {
  for (const DType t : {DType::kU4, DType::kI4, DType::kU2, DType::kI2, DType::kF4E2M1})
    for (const int64_t n : {0, 1, 3, 130, 1000}) {
      Tensor bytes = Tensor::zeros(t, {n});
      uint32_t state = 7;
      for (auto& b : bytes.mutable_bytes()) b = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
      if (n > 0) set_packed(t, bytes.mutable_bytes().data(), n - 1, 1);
      const std::string what = std::string(dtype_name(t)) + " " + std::to_string(n);
      expect_as_reference(ops::Unpack{}, {{bytes}}, 0, what);
      ops::Pack pack;
      pack.to = t;
      Tensor values = (*ops::Unpack{}.evaluate({&bytes, 1}))[0];
      expect_as_reference(pack, {{values}}, 0, what);
    }
}

TEST(SmallFloats, CastsOnEveryTarget) {
  Tensor codes = Tensor::zeros(DType::kU8, {256});
  for (size_t i = 0; i < 256; ++i) codes.mutable_as<uint8_t>()[i] = static_cast<uint8_t>(i);
  Tensor values = random(DType::kF32, {777}, 9);
  for (size_t i = 0; i < 777; ++i) values.mutable_as<float>()[i] *= std::exp2(static_cast<float>(i % 48) - 24);
  const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 448, 464, 465, 57344, 61440, 0x1p-10f, 0x1.000002p-10f};
  std::copy(std::begin(special), std::end(special), values.mutable_as<float>().begin());
  for (const DType t : {DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kF8E8M0})
    for (const bool saturate : {true, false}) {
      ops::Cast up, down;
      down.to = t;
      down.saturate = saturate;
      const std::string what = std::string(dtype_name(t)) + (saturate ? " saturating" : "");
      const Tensor small = Tensor::view(t, {256}, codes.bytes().data(), std::make_shared<Tensor>(codes));
      expect_as_reference(up, {{small}}, 0, "from " + what);
      expect_as_reference(down, {{values}}, 0, "to " + what);
    }
  ops::BitCast bits;
  bits.to = DType::kF32;
  expect_as_reference(bits, {{random(DType::kI32, {37}, 10)}}, 0, "bits");
}

TEST(GridSample, ModesPaddingsAndRanks) {
  for (const char* mode : {"nearest", "linear", "cubic"})
    for (const char* padding : {"zeros", "border", "reflection"})
      for (const bool corners : {false, true})
        for (const DType t : {DType::kF32, DType::kF64}) {
          ops::GridSample op;
          op.mode = mode;
          op.padding = padding;
          op.align_corners = corners;
          const auto places = [&](std::vector<int64_t> dims) {
            Tensor g = random(t, std::move(dims), 12);
            for (int64_t i = 0; i < g.count(); ++i) g.set(i, g.f64_at(i) * 1.7);
            return g;
          };
          const std::string what = std::string(mode) + " " + padding + (corners ? " corners" : "");
          expect_as_reference(op, {{random(t, {2, 3, 5, 7}, 11)}, {places({2, 13, 11, 2})}}, 1e-5, what);
          expect_as_reference(op, {{random(t, {1, 2, 3, 4, 5}, 11)}, {places({1, 2, 3, 4, 3})}}, 1e-5, what + " 3d");
        }
}

TEST(RoiAlign, KindsSamplesAndRegions) {
  for (const char* kind : {"average", "max"})
    for (const int64_t samples : {0, 1, 2})
      for (const bool half : {false, true})
        for (const DType t : {DType::kF32, DType::kF64}) {
          ops::RoiAlign op;
          op.kind = kind;
          op.samples = samples;
          op.half_pixel = half;
          op.height = 3;
          op.width = 2;
          op.scale = 0.5;
          // Inside, over the edge, empty, far outside, of no image.
          const std::vector<double> boxes = {1, 2, 9, 8, -6, -3, 5, 30, 4, 4, 4, 4, 90, 90, 99, 99, 0, 0, 6, 6};
          Tensor rois = Tensor::zeros(t, {5, 4});
          for (size_t i = 0; i < boxes.size(); ++i) rois.set(static_cast<int64_t>(i), boxes[i]);
          expect_as_reference(op, {{random(t, {2, 70, 6, 7}, 15)}, {rois}, {Tensor::vector_i64({1, 0, 1, 0, 7})}}, 1e-5,
                              std::string(kind) + " samples " + std::to_string(samples) + (half ? " half" : ""));
        }
}

TEST(Dft, LengthsAndDirections) {
  for (const int64_t n : {1, 2, 7, 8, 12, 30, 49, 64, 97, 360})
    for (const int64_t parts : {1, 2})
      for (const bool inverse : {false, true})
        for (const bool onesided : {false, true}) {
          ops::Dft op;
          op.axis = 1;
          op.inverse = inverse;
          op.onesided = onesided;
          op.length = inverse && onesided && n % 2 ? 2 * n - 1 : 0;
          expect_as_reference(op, {{random(DType::kF32, {2, n, 3, parts}, 13)}}, 1e-4,
                              "n " + std::to_string(n) + " parts " + std::to_string(parts) + attrs_str(op));
        }
}

TEST(Det, Sizes) {
  for (const std::vector<int64_t>& dims : {std::vector<int64_t>{1, 1}, {3, 3}, {2, 5, 5}, {2, 0, 4, 4}, {7, 9, 9}})
    expect_as_reference(ops::Det{}, {{random(DType::kF32, dims, 14)}}, 1e-5, shape_str(to_shape(dims)));
  Tensor singular = Tensor::zeros(DType::kF64, {3, 3});
  expect_as_reference(ops::Det{}, {{singular}}, 0, "singular");
}

TEST(LinearAttention, RulesAndGroups) {
  for (const int64_t steps : {0, 1, 5})
    for (const int rule : {0, 1, 2, 3})
      for (const bool each : {false, true}) {
        ops::LinearAttention op;
        op.q_heads = 4;
        op.kv_heads = 2;
        op.scale = 0.5;
        Tensor decay = random(DType::kF32, {2, steps, each ? 2 * 3 : 2}, 15);
        for (int64_t i = 0; i < decay.count(); ++i) decay.set(i, std::abs(decay.f64_at(i)));
        expect_as_reference(op,
                            {{random(DType::kF32, {2, steps, 12}, 1)},
                             {random(DType::kF32, {2, steps, 6}, 2)},
                             {random(DType::kF32, {2, steps, 10}, 3)},
                             {each ? random(DType::kF32, {2, 2, 3, 5}, 4) : Tensor()},
                             {rule & 1 ? decay : Tensor()},
                             {rule & 2 ? random(DType::kF32, {2, steps, each ? 1 : 2}, 5) : Tensor()}},
                            1e-5, "steps " + std::to_string(steps) + " rule " + std::to_string(rule));
      }
}

}  // namespace
}  // namespace lathe
