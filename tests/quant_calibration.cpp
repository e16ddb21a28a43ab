// SPDX-License-Identifier: Apache-2.0
// Distributions, the ranges chosen from them, rounded weights, and where the pairs go in a graph.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "graph_testing.h"
#include "passes/passes.h"
#include "quant/agreement.h"
#include "quant/apply.h"
#include "quant/weights.h"

namespace lathe::quant {
namespace {

std::vector<float> normal(size_t count, float deviation, uint32_t seed = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> of(0, deviation);
  std::vector<float> v(count);
  for (float& x : v) x = of(rng);
  return v;
}

TEST(Histogram, given_the_same_elements_in_another_order_then_it_is_the_same) {
  std::vector<float> v = normal(10000, 1);
  for (size_t i = 0; i < v.size(); ++i) v[i] *= std::exp2(static_cast<float>(i % 9));
  Histogram at_once, in_pieces;
  at_once.add(v);
  std::ranges::sort(v, {}, [](float x) { return std::abs(x); });  // the bound doubles again and again
  for (size_t i = 0; i < v.size(); i += 100) in_pieces.add(std::span(v).subspan(i, 100));
  EXPECT_TRUE(std::ranges::equal(at_once.bins(), in_pieces.bins()));
  EXPECT_EQ(at_once.min(), in_pieces.min());
  EXPECT_EQ(at_once.max(), in_pieces.max());
  EXPECT_EQ(std::accumulate(at_once.bins().begin(), at_once.bins().end(), int64_t{0}), 10000);
}

TEST(Histogram, given_numbers_that_are_not_finite_then_they_are_counted_apart) {
  Histogram h;
  h.add(std::vector<float>{1, NAN, -2, INFINITY, 0});
  EXPECT_EQ(h.count(), 5);
  EXPECT_EQ(h.not_finite(), 2);
  EXPECT_EQ(h.min(), -2);
  EXPECT_EQ(h.max(), 1);
}

TEST(Histogram, given_extreme_numbers_then_every_element_has_a_bin) {
  for (const std::vector<float>& v : {std::vector<float>{0, 0}, {1e-40F, -1e-40F}, {3e38F, -3e38F}, {1e-30F, 3e38F}}) {
    Histogram h;
    for (const float x : v) h.add({&x, 1});
    EXPECT_EQ(std::accumulate(h.bins().begin(), h.bins().end(), int64_t{0}), 2) << v[0] << " " << v[1];
    EXPECT_EQ(h.max(), *std::ranges::max_element(v));
  }
}

struct RangeCase {
  const char* name;
  Calibrator calibrator;
  double low, high;  ///< what the range may be
};

TEST(ChooseRange, given_an_outlier_then_it_is_kept_by_minmax_and_clipped_by_the_others) {
  std::vector<float> v = normal(100000, 1);
  v.push_back(60);
  Histogram h;
  h.add(v);
  const RangeCase cases[] = {{"minmax", Calibrator::kMinMax, 60, 60},
                             {"percentile", Calibrator::kPercentile, 3, 5},
                             {"entropy", Calibrator::kEntropy, 2, 15},
                             {"mse", Calibrator::kMse, 3, 56}};
  for (const RangeCase& c : cases)
    for (const DType type : {DType::kU8, DType::kI8}) {
      const Range r = choose_range(h, c.calibrator, type, 99.9);
      EXPECT_GE(r.high, c.low) << c.name << " " << dtype_name(type);
      EXPECT_LE(r.high, c.high) << c.name << " " << dtype_name(type);
    }
}

TEST(ChooseRange, given_one_number_or_none_then_the_range_is_usable) {
  for (const std::vector<float>& v : {std::vector<float>{}, {0, 0}, {5, 5}, {-3}}) {
    Histogram h;
    h.add(v);
    for (const Calibrator c : kCalibrators)
      for (const DType type : {DType::kU8, DType::kI8}) {
        const Params p = params_of(choose_range(h, c, type, 99.99), type);
        EXPECT_GT(p.scale, 0);
        EXPECT_TRUE(std::isfinite(p.scale));
        if (!v.empty()) {
          EXPECT_NEAR((std::nearbyint(v[0] / p.scale)) * p.scale, v[0], p.scale / 2) << calibrator_name(c);
        }
      }
  }
}

TEST(ChooseRange, given_less_squared_error_asked_for_then_there_is_no_more_than_with_all_of_it) {
  for (const float power : {1.0F, 3.0F, 5.0F}) {
    std::vector<float> v = normal(20000, 1);
    for (float& x : v) x = std::copysign(std::pow(std::abs(x), power), x);
    Histogram h;
    h.add(v);
    double error[2];
    for (const int which : {0, 1}) {
      const Params p =
          params_of(choose_range(h, which ? Calibrator::kMse : Calibrator::kMinMax, DType::kU8, 0), DType::kU8);
      error[which] = 0;
      for (const float x : v) {
        const float q = std::clamp(std::nearbyint(x / p.scale) + static_cast<float>(p.zero), 0.0F, 255.0F);
        error[which] += std::pow(static_cast<double>((q - static_cast<float>(p.zero)) * p.scale - x), 2);
      }
    }
    EXPECT_LE(error[1], error[0] * 1.001) << power;
  }
}

TEST(QuantizeWeights, given_channels_of_different_size_then_each_has_its_scale) {
  const std::vector<float> w = {1, -2, 100, 50, 0, 0};
  const Tensor t = Tensor::of<float>(DType::kF32, {3, 2}, w);
  const ChannelWeights rows = quantize_weights(t, 0, {}, 1);
  EXPECT_EQ(rows.scale[0], 2.0F / 127);
  EXPECT_EQ(rows.scale[1], 100.0F / 127);
  EXPECT_GT(rows.scale[2], 0);
  EXPECT_EQ(rows.integers.i64_at(1), -127);
  EXPECT_EQ(rows.integers.i64_at(2), 127);
  EXPECT_EQ(rows.integers.i64_at(4), 0);
  const ChannelWeights columns = quantize_weights(t, 1, {}, 1);
  EXPECT_EQ(columns.scale[0], 100.0F / 127);
  EXPECT_EQ(columns.scale[1], 50.0F / 127);
}

TEST(QuantizeWeights, given_a_bias_that_is_large_beside_the_weights_then_it_fits_32_bits) {
  const float w = 1e-12F, bias = 1000;
  const ChannelWeights q =
      quantize_weights(Tensor::of<float>(DType::kF32, {1, 1}, std::span(&w, 1)), 0, {&bias, 1}, 0.01F);
  EXPECT_LT(bias / (q.scale[0] * 0.01F), 2147483648.0F);
}

TEST(MeanShift, given_groups_then_means_are_those_of_their_own_inputs) {
  // Two groups of one input and one output each: w = 0.3 beside 127 steps of 1/127 rounds to 38/127.
  const std::vector<float> w = {1, 0.3F, 1, 0.3F};  // OHWI [2, 1, 2, 1]
  const Tensor t = Tensor::of<float>(DType::kF32, {2, 1, 2, 1}, w);
  const ChannelWeights q = quantize_weights(t, 0, {}, 1);
  const double error = 38.0 / 127 - 0.3;
  const auto shift = mean_shift(t, q, 0, 3, 2, std::vector<double>{10, -5});
  EXPECT_NEAR(shift[0], error * 10, 1e-5);
  EXPECT_NEAR(shift[1], error * -5, 1e-5);
}

struct SchemeCase {
  const char* name;
  const char* graph;
  const char* roots;   ///< of each group, by name
  const char* layers;  ///< how many
};

TEST(FindScheme, given_data_that_only_moves_then_it_shares_a_scale_with_where_it_was_made) {
  const SchemeCase cases[] = {
      {"chain",
       "input x: f32[1,4,4,2]\nconst w: f32[2,1,1,2] = #\nc = Conv(x, w)\nr = Relu(c)\nd = Conv(r, w)\noutput d\n",
       "x / r / ", "2"},
      {"concat and maximum",
       "input x: f32[1,4,4,2]\nconst w: f32[2,1,1,2] = #\nconst v: f32[2,1,1,4] = #\nc = Conv(x, w)\na = Relu(c)\n"
       "m = Pool(a) {kind=\"max\", kernel=[1,1]}\nk = Concat(m, x) {axis=3}\nd = Conv(k, v)\noutput d\n",
       "x a / ", "2"},
      {"residual",
       "input x: f32[1,4,4,2]\nconst w: f32[2,1,1,2] = #\nc = Conv(x, w)\ns = Add(c, x)\nd = Conv(s, w)\noutput d\n",
       "x / s / ", "2"},
      {"products of activations are none", "input a: f32[2,2]\ninput b: f32[2,2]\nm = MatMul(a, b)\noutput m\n", "",
       "0"},
  };
  for (const SchemeCase& c : cases) {
    std::mt19937 rng(1);
    const auto g = testing::parse(c.graph, rng);
    const Scheme s = find_scheme(*g);
    EXPECT_EQ(std::to_string(s.layers.size()), c.layers) << c.name;
    std::string roots;
    for (const Group& group : s.groups) {
      for (const ValueId v : group.roots) roots += g->value(v).name + " ";
      roots += "/ ";
    }
    EXPECT_EQ(roots, c.roots) << c.name;
  }
}

TEST(Apply, given_a_float_network_then_it_multiplies_integers_and_stays_close) {
  std::mt19937 rng(3);
  const auto g = testing::parse(
      "input x: f32[2,6,6,3]\nconst w: f32[4,3,3,3] = #\nconst b: f32[4] = #\nconst u: f32[4,3,3,4] = #\n"
      "const p: f32[144,5] = #\n"
      "c = Conv(x, w, b) {pads=[1,1,1,1]}\nr = Relu(c)\nd = Conv(r, u) {pads=[1,1,1,1]}\ns = Add(d, r)\n"
      "const shape: i64[2] = [2,144]\nf = Reshape(s, shape)\ny = MatMul(f, p)\noutput y\n",
      rng);
  const auto inputs = testing::random_inputs(*g, rng);
  const Scheme scheme = find_scheme(*g);
  ASSERT_EQ(scheme.layers.size(), 3);
  // Observed by the reference.
  Graph watched = *g;
  std::vector<ValueId> values;
  for (const Group& group : scheme.groups) values.insert(values.end(), group.roots.begin(), group.roots.end());
  for (const Layer& l : scheme.layers) values.push_back(l.input);
  std::erase(values, g->inputs[0]);
  watched.outputs = values;
  watched.output_names.assign(values.size(), "v");
  const auto seen = evaluate_graph(watched, inputs);
  ASSERT_TRUE(seen) << seen.error().message;
  Observations observations;
  for (size_t i = 0; i < values.size(); ++i)
    observations[values[i]].add((*seen)[i].as<float>(), (*seen)[i].dims().back());
  observations[g->inputs[0]].add(inputs.at("x").as<float>(), 3);
  const auto wanted = evaluate_graph(*g, inputs);
  ASSERT_TRUE(wanted);
  for (const DType type : {DType::kU8, DType::kI8})
    for (const Calibrator c : kCalibrators) {
      ApplyOptions options;
      options.activations = type;
      options.calibrator = c;
      Graph q = *g;
      const auto params = choose_params(scheme, observations, options);
      const Status done = apply(q, scheme, {true, true, true}, params, observations, options);
      ASSERT_TRUE(done) << done.error().message;
      const Status sound = verify(q);
      ASSERT_TRUE(sound) << sound.error().message;
      const auto got = evaluate_graph(q, inputs);
      ASSERT_TRUE(got) << got.error().message;
      Agreement a;
      a.add((*wanted)[0].as<float>(), (*got)[0].as<float>());
      EXPECT_GT(a.snr(), 25) << calibrator_name(c) << " " << dtype_name(type);
      PassOptions passes;
      passes.verify = true;
      ASSERT_TRUE(optimize(q, passes));
      int integers = 0;
      for (const NodeId n : q.order())
        if (q.node(n).op->name() == "Conv" || q.node(n).op->name() == "MatMul")
          integers += q.value(q.node(n).inputs[0]).dtype == type && q.value(q.node(n).inputs[1]).dtype == DType::kI8;
      EXPECT_EQ(integers, 3) << print(q);
      const auto fused = evaluate_graph(q, inputs);
      ASSERT_TRUE(fused) << fused.error().message;
      testing::expect_close(*got, *fused, 0.02, std::string(calibrator_name(c)));
    }
}

TEST(Apply, given_layers_to_leave_then_they_stay_floats) {
  std::mt19937 rng(3);
  const auto g = testing::parse(
      "input x: f32[1,4,4,2]\nconst w: f32[2,1,1,2] = #\nc = Conv(x, w)\nr = Relu(c)\nd = Conv(r, w)\noutput d\n", rng);
  const Scheme scheme = find_scheme(*g);
  const ApplyOptions options;
  ASSERT_TRUE(apply(*g, scheme, {false, true}, choose_params(scheme, {}, options), {}, options));
  EXPECT_EQ(testing::op_names(*g), "Conv Relu Dequantize Quantize Dequantize Conv");
}

}  // namespace
}  // namespace lathe::quant
