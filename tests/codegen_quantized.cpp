// SPDX-License-Identifier: Apache-2.0
// Whole quantized networks: every integer that a generated engine makes against the reference evaluation of the same
// graph. Sums are exact; epilogues are floats, where a fused multiply-add may round to the other side of a step.
#include <gtest/gtest.h>

#include "codegen_case.h"
#include "graph_testing.h"
#include "ops/quantize.h"
#include "passes/passes.h"
#include "quant/apply.h"

namespace lathe {
namespace {

struct Network {
  const char* name;
  const char* graph;
};

const Network kNetworks[] = {
    {"residual",
     "input x: f32[2,13,11,3]\nconst w: f32[24,3,3,3] = #\nconst b: f32[24] = #\nconst u: f32[24,3,3,24] = #\n"
     "const v: f32[24] = #\nconst p: f32[24,10] = #\nconst shape: i64[2] = [2,24]\n"
     "c = Conv(x, w, b) {pads=[1,1,1,1], strides=[2,2]}\nr = Relu(c)\nd = Conv(r, u, v) {pads=[1,1,1,1]}\n"
     "s = Add(d, r)\nt = Relu(s)\nm = Reduce(t) {kind=\"mean\", axes=[1,2], keepdims=false}\n"
     "y = MatMul(m, p)\noutput y\n"},
    {"depthwise and concatenation",
     "input x: f32[1,12,10,8]\nconst w: f32[8,3,3,1] = #\nconst b: f32[8] = #\nconst u: f32[20,1,1,8] = #\n"
     "const p: f32[16,1,1,36] = #\n"
     "c = Conv(x, w, b) {pads=[1,1,1,1], group=8}\nr = Relu(c)\nd = Conv(r, u)\ng = Sigmoid(d)\ns = Mul(d, g)\n"
     "m = Pool(x) {kind=\"max\", kernel=[3,3], pads=[1,1,1,1]}\nk = Concat(s, m, r) {axis=3}\ny = Conv(k, p)\noutput "
     "y\n"},
    {"products",
     "input x: f32[3,7,32]\nconst w: f32[32,48] = #\nconst b: f32[48] = #\nconst u: f32[24,48] = #\n"
     "a = MatMul(x, w)\nc = Add(a, b)\ng = Gelu(c)\ny = MatMul(g, u) {trans_b=true}\noutput y\n"},
};

/// `text` in int8, ranges by what the reference makes of `inputs`; integers between layers become outputs too.
void quantize(Graph& g, const std::map<std::string, Tensor>& inputs, DType activations) {
  const quant::Scheme scheme = quant::find_scheme(g);
  Graph watched = g;
  watched.outputs.clear();
  watched.output_names.clear();
  for (const quant::Group& group : scheme.groups)
    for (const ValueId root : group.roots) watched.outputs.push_back(root);
  for (const quant::Layer& l : scheme.layers) watched.outputs.push_back(l.input);
  std::erase(watched.outputs, g.inputs[0]);
  watched.output_names.assign(watched.outputs.size(), "watched");
  const auto seen = evaluate_graph(watched, inputs);
  ASSERT_TRUE(seen) << seen.error().message;
  quant::Observations observations;
  for (size_t i = 0; i < watched.outputs.size(); ++i)
    observations[watched.outputs[i]].add((*seen)[i].as<float>(), (*seen)[i].dims().back());
  const Tensor& x = inputs.at("x");
  observations[g.inputs[0]].add(x.as<float>(), x.dims().back());
  quant::ApplyOptions options;
  options.activations = activations;
  const Status done = quant::apply(g, scheme, std::vector<bool>(scheme.layers.size(), true),
                                   quant::choose_params(scheme, observations, options), observations, options);
  ASSERT_TRUE(done) << done.error().message;
  for (const NodeId n : g.order())
    if (g.node(n).as<ops::Quantize>()) {
      g.outputs.push_back(g.node(n).outputs[0]);
      g.output_names.push_back("integers" + std::to_string(n));
    }
}

TEST(QuantizedNetwork, given_integers_between_layers_then_they_are_those_of_the_reference) {
  for (const Network& network : kNetworks)
    for (const DType type : {DType::kU8, DType::kI8}) {
      std::mt19937 rng(5);
      const auto g = testing::parse(network.graph, rng);
      const auto inputs = testing::random_inputs(*g, rng);
      ASSERT_NO_FATAL_FAILURE(quantize(*g, inputs, type)) << network.name;
      ASSERT_TRUE(optimize(*g)) << network.name;
      const auto expected = evaluate_graph(*g, inputs);
      ASSERT_TRUE(expected) << network.name << ": " << expected.error().message;
      const std::vector<Tensor> given = {inputs.at("x")};
      for (const Target* target : testing::runnable_targets()) {
        const std::string place =
            std::string(network.name) + " in " + std::string(dtype_name(type)) + " on " + std::string(target->name);
        const auto compiled = testing::CompiledGraph::make(*g, *target);
        ASSERT_TRUE(compiled) << place << ": " << compiled.error().message;
        const auto got = (*compiled)->run(given);
        ASSERT_TRUE(got) << place << ": " << got.error().message;
        int64_t integers = 0, different = 0;
        for (size_t o = 0; o < got->size(); ++o) {
          if ((*got)[o].dtype() != type) continue;
          for (int64_t i = 0; i < (*got)[o].count(); ++i) {
            const int64_t off = std::abs((*got)[o].i64_at(i) - (*expected)[o].i64_at(i));
            EXPECT_LE(off, 1) << place << ", " << g->output_names[o] << " element " << i;
            ++integers;
            different += off != 0;
          }
        }
        EXPECT_GT(integers, 0) << place;
        EXPECT_LE(different * 500, integers) << place << ": " << different << " of " << integers << " differ";
        testing::expect_close({(*expected)[0]}, {(*got)[0]}, 0.01, place);
      }
    }
}

}  // namespace
}  // namespace lathe
