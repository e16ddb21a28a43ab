// SPDX-License-Identifier: Apache-2.0
// Error of the elementary functions in units of the last place, over the whole range of floats.
#include <gtest/gtest.h>

#include <bit>
#include <cfloat>
#include <cmath>
#include <functional>

#include "kernel_harness.h"

namespace lathe {
namespace {

/// Distance of `got` from the exact value in units of the last place of a float there.
double ulps(float got, long double exact) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : INFINITY;
  const auto nearest = static_cast<float>(exact);
  if (got == nearest) return 0;
  if (std::isinf(got) || std::isinf(nearest)) return INFINITY;
  const float magnitude = std::abs(nearest);
  const long double unit =
      static_cast<long double>(std::nextafter(magnitude, INFINITY)) - static_cast<long double>(magnitude);
  return static_cast<double>(std::abs(static_cast<long double>(got) - exact) / unit);
}

struct MathCase {
  const char* op;
  long double (*exact)(long double);
  double bound;
  bool flushes = false;  ///< results below the smallest normal float may be anything below it
};

class Math : public ::testing::TestWithParam<MathCase> {};

TEST_P(Math, StaysWithinItsBound) {
  const MathCase& c = GetParam();
  std::vector<float> values{0.0F,   -0.0F,   INFINITY, -INFINITY, NAN,    1.0F,   -1.0F,  88.8F,
                            -87.4F, -103.9F, -105.0F,  1e30F,     -1e30F, 0.625F, 1e-45F, -1e-45F};
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4099)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (float x = -110; x < 110; x += 0.00731F) values.push_back(x);  // where exp is neither 0 nor infinite
  for (float x = -5; x < 5; x += 0.000131F) values.push_back(x);
  for (float x = -9000; x < 9000; x += 0.0713F) values.push_back(x);  // turns, where they are few and where many
  const auto n = static_cast<int64_t>(values.size());
  const Tensor x = Tensor::of<float>(DType::kF32, {n}, std::span<const float>(values));
  Graph graph;
  const ValueId in = graph.add_input("x", DType::kF32, {n});
  const OpInfo* info = find_op(c.op);
  ASSERT_NE(info, nullptr) << c.op;
  const auto out = graph.add(std::shared_ptr<const Op>(info->make()), {in}, "node");
  ASSERT_TRUE(out) << out.error().message;
  graph.outputs = {*out};
  graph.output_names = {"y"};
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = testing::CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << compiled.error().message;
    const auto y = (*compiled)->run(std::span(&x, 1));
    ASSERT_TRUE(y) << y.error().message;
    double worst = 0;
    float at = 0, got = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const float v = (*y)[0].as<float>()[i];
      const long double exact = c.exact(static_cast<long double>(values[i]));
      if (c.flushes && std::abs(exact) < FLT_MIN && std::abs(v) <= FLT_MIN) continue;
      const double error = ulps(v, exact);
      if (error > worst) {
        worst = error;
        at = values[i];
        got = v;
      }
    }
    EXPECT_LE(worst, c.bound) << c.op << "(" << std::hexfloat << at << ") = " << got << ", not "
                              << static_cast<double>(c.exact(static_cast<long double>(at))) << " on " << target->name;
    RecordProperty(std::string(c.op) + "_" + std::string(target->name), std::to_string(worst));
  }
}

/// A case's values through every target; `exact` of value i.
void expect_within(const Graph& graph, std::span<const Tensor> inputs, double bound,
                   const std::function<long double(size_t)>& exact, const std::function<std::string(size_t)>& name) {
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = testing::CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << compiled.error().message;
    const auto y = (*compiled)->run(inputs);
    ASSERT_TRUE(y) << y.error().message;
    const auto got = (*y)[0].as<float>();
    size_t wrong = 0;
    for (size_t i = 0; i < got.size() && wrong < 5; ++i) {
      const long double want = exact(i);
      if (ulps(got[i], want) <= bound && (std::isnan(want) || want != 0 || std::signbit(got[i]) == std::signbit(want)))
        continue;
      ADD_FAILURE() << name(i) << " = " << got[i] << ", not " << static_cast<double>(want) << " on " << target->name;
      ++wrong;
    }
  }
}

TEST(Pow, OfAllKindsOfNumbers) {
  // Given every pair of these, and pairs over the whole range whose power is finite
  const std::vector<float> special{0.0F, -0.0F,       1.0F,   -1.0F,   2.0F,       -2.0F,      0.5F,     -0.5F,
                                   3.0F, -3.0F,       1e-45F, -1e-45F, 1e38F,      -1e38F,     INFINITY, -INFINITY,
                                   NAN,  16777217.0F, 1e-30F, -7.5F,   0.9999999F, 1.0000001F, 1e9F,     2.5F};
  std::vector<float> bases, exponents;
  for (const float x : special)
    for (const float y : special) {
      bases.push_back(x);
      exponents.push_back(y);
    }
  uint32_t state = 1;
  for (int i = 0; i < 200000; ++i) {
    state = state * 1664525 + 1013904223;
    const auto x = std::bit_cast<float>(state & 0x7fffffff);
    state = state * 1664525 + 1013904223;
    const float place = static_cast<float>(state >> 8) * 0x1p-24F;
    const float log2 = std::log2(x);
    bases.push_back(x);
    exponents.push_back(log2 != 0 && std::isfinite(log2) ? (place * 290 - 155) / log2 : place);
  }
  const auto n = static_cast<int64_t>(bases.size());
  const std::vector<Tensor> inputs{Tensor::of<float>(DType::kF32, {n}, std::span<const float>(bases)),
                                   Tensor::of<float>(DType::kF32, {n}, std::span<const float>(exponents))};
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {n}), y = graph.add_input("y", DType::kF32, {n});
  const auto out = graph.add(std::shared_ptr<const Op>(find_op("Pow")->make()), {x, y}, "node");
  ASSERT_TRUE(out) << out.error().message;
  graph.outputs = {*out};
  graph.output_names = {"z"};
  // Then each is what C says, to the last place
  expect_within(
      graph, inputs, 1,
      [&](size_t i) { return std::pow(static_cast<long double>(bases[i]), static_cast<long double>(exponents[i])); },
      [&](size_t i) { return "pow(" + std::to_string(bases[i]) + ", " + std::to_string(exponents[i]) + ")"; });
}

TEST(Tanh, KeepsZerosAndNeverPassesOne) {
  std::vector<float> values{0.0F, -0.0F, 1e-45F, -1e-45F, 1e-38F, INFINITY, -INFINITY};
  for (float x = 8; x < 10; x += 1e-4F) values.insert(values.end(), {x, -x});
  const auto n = static_cast<int64_t>(values.size());
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {n});
  const auto out = graph.add(std::shared_ptr<const Op>(find_op("Tanh")->make()), {x}, "node");
  ASSERT_TRUE(out) << out.error().message;
  graph.outputs = {*out};
  graph.output_names = {"y"};
  const Tensor input = Tensor::of<float>(DType::kF32, {n}, std::span<const float>(values));
  expect_within(
      graph, std::span(&input, 1), 2, [&](size_t i) { return std::tanh(static_cast<long double>(values[i])); },
      [&](size_t i) { return "tanh(" + std::to_string(values[i]) + ")"; });
  for (const Target* target : testing::runnable_targets()) {
    auto compiled = testing::CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << compiled.error().message;
    const auto y = (*compiled)->run(std::span(&input, 1));
    ASSERT_TRUE(y) << y.error().message;
    for (const float v : (*y)[0].as<float>()) EXPECT_LE(std::abs(v), 1) << target->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, Math,
                         ::testing::Values(MathCase{"Exp", [](long double v) { return std::exp(v); }, 2},
                                           MathCase{"Log", [](long double v) { return std::log(v); }, 2},
                                           MathCase{"Erf", [](long double v) { return std::erf(v); }, 4},
                                           MathCase{"Tanh", [](long double v) { return std::tanh(v); }, 4},
                                           MathCase{"Sigmoid", [](long double v) { return 1 / (1 + std::exp(-v)); }, 3,
                                                    true},
                                           MathCase{"Sin", [](long double v) { return std::sin(v); }, 2},
                                           MathCase{"Cos", [](long double v) { return std::cos(v); }, 2},
                                           MathCase{"Tan", [](long double v) { return std::tan(v); }, 4},
                                           MathCase{"Asin", [](long double v) { return std::asin(v); }, 4},
                                           MathCase{"Acos", [](long double v) { return std::acos(v); }, 4},
                                           MathCase{"Atan", [](long double v) { return std::atan(v); }, 4},
                                           MathCase{"Sinh", [](long double v) { return std::sinh(v); }, 1},
                                           MathCase{"Cosh", [](long double v) { return std::cosh(v); }, 1},
                                           MathCase{"Asinh", [](long double v) { return std::asinh(v); }, 1},
                                           MathCase{"Acosh", [](long double v) { return std::acosh(v); }, 1},
                                           MathCase{"Atanh", [](long double v) { return std::atanh(v); }, 1}),
                         [](const auto& test) { return std::string(test.param.op); });

}  // namespace
}  // namespace lathe
