// SPDX-License-Identifier: Apache-2.0
// Error of the elementary functions in units of the last place, over the whole range of floats.
#include <gtest/gtest.h>

#include <bit>
#include <cfloat>
#include <cmath>

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
                                           MathCase{"Atan", [](long double v) { return std::atan(v); }, 4}),
                         [](const auto& test) { return std::string(test.param.op); });

}  // namespace
}  // namespace lathe
