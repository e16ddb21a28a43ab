// SPDX-License-Identifier: Apache-2.0
// The text form of graphs: what is printed parses to the same graph, and what is wrong is told with its line.
#include <gtest/gtest.h>

#include "ir/evaluate.h"
#include "ir/graph.h"

namespace lathe {
namespace {

std::string round_trip(const std::string& text) {
  auto g = parse_graph(text);
  if (!g) return g.error().message;
  const auto v = verify(**g);
  return v ? print(**g) : v.error().message;
}

TEST(TextForm, PrintedGraphParsesToTheSameText) {
  const std::string text = R"(graph "all forms"
symbol batch = 1 4 16
input x: f32[batch,4]
input "my input": f32[batch,3]
const w: f32[4,3] = [1, 2, 3, 0.5, -1, 1e-07, inf, -inf, nan, 7, 8, 9]
const b: i64[2] = [-1, 3]
%0: f32[batch,3] = MatMul(x, w; "my input") {trans_a=false, trans_b=false} epilogue {inputs 2; f32 %0 = input 0; f32 %1 = input 1; f32 %2 = add %0 %1; return %2} @ "layer/mm"
"a value": f32[batch,3] = Clip(%0, _, _)
%1: i64[batch,3] = Cast("a value") {to=i64, saturate=true}
y: f32[batch,3] = Pointwise(%0) {function={inputs 1; f32 %0 = input 0; f32 %1 = constant 0.1; f32 %2 = mul %0 %1; return %2}} @ "say \"hi\""
output y as "probabilities"
output %1 as "%1"
)";
  const std::string once = round_trip(text);
  EXPECT_EQ(once, round_trip(once));
  EXPECT_NE(once.find("MatMul(x, w; \"my input\")"), std::string::npos) << once;
  EXPECT_NE(once.find("as \"probabilities\""), std::string::npos) << once;
}

TEST(TextForm, TypesOfResultsMayBeLeftOut) {
  const std::string out = round_trip("input x: f32[2,1]\ninput y: f32[3]\nz = Add(x, y)\noutput z\n");
  EXPECT_NE(out.find("z: f32[2,3] = Add(x, y)"), std::string::npos) << out;
}

TEST(TextForm, StateIsPrintedWithItsFirstValue) {
  const std::string text = R"(graph "sum"
input x: f32[2]
state s: f32[2] = [1, 2]
y: f32[2] = Add(x, s)
output y as "out"
output y as "s/next"
)";
  EXPECT_EQ(round_trip(text), text);
}

TEST(TextForm, LargeConstantsBecomeAHashAndParseAsZeros) {
  Graph g;
  const ValueId c = g.add_constant("c", Tensor::zeros(DType::kF32, {100}));
  g.outputs.push_back(c);
  g.output_names.emplace_back("c");
  const std::string text = print(g);
  EXPECT_NE(text.find("const c: f32[100] = #"), std::string::npos) << text;
  EXPECT_EQ(round_trip(text), text);
}

TEST(TextForm, NewNamesDifferFromThoseInTheText) {
  auto g = parse_graph("input x: f32[2]\n%7 = Relu(x)\noutput %7\n");
  ASSERT_TRUE(g) << g.error().message;
  EXPECT_EQ((*g)->fresh_name(), "%8");
}

struct Bad {
  const char* text;
  const char* message;
};

TEST(TextForm, ErrorsNameTheLine) {
  const Bad cases[] = {
      {"input x: f33[2]\n", "unknown type"},
      {"input x: f32[2]\ny = Foo(x)\n", "line 2: no operator \"Foo\""},
      {"y = Relu(x)\n", "\"x\" is not defined"},
      {"input x: f32[2]\ny = Cast(x) {too=f32}\n", "no attribute \"too\""},
      {"input x: f32[2]\ninput x: f32[2]\n", "defined twice"},
      {"input x: f32[2]\ny: f32[3] = Relu(x)\noutput y\n", "\"y\" is stored as f32[3] and inferred as f32[2]"},
      {"input x: f32[2]\ninput y: f32[3]\nz = Add(x, y)\n", "do not broadcast"},
      {"const c: f32[3] = [1, 2]\n", "expected ','"},
      {"graph \"open", "unterminated"},
      {"const c: f32[9999999,9999999] = #0\n", "too large"},
      {"state s: f32[2] = [1, 2]\ninput x: f32[2]\n", "inputs come before states"},
      {"state s: f32[2] = [1, 2]\n", "more states than inputs or outputs"},
      {"input x: f32[3]\nstate s: f32[2] = [1, 2]\noutput x\n", "is replaced by f32[3]"},
  };
  for (const Bad& c : cases) {
    const std::string message = round_trip(c.text);
    EXPECT_NE(message.find(c.message), std::string::npos) << c.text << "\n" << message;
  }
}

TEST(EvaluateGraph, EpilogueRunsOnTheAnchorsResult) {
  auto g = parse_graph(
      "input x: f32[1,2]\nconst w: f32[2,2] = [1, 2, 3, 4]\ninput r: f32[2]\n"
      "y = MatMul(x, w; r) epilogue {inputs 2; f32 %0 = input 0; f32 %1 = input 1; f32 %2 = add %0 %1; return %2}\n"
      "output y\n");
  ASSERT_TRUE(g) << g.error().message;
  const float x[] = {1, 1}, r[] = {10, 20};
  const auto out = evaluate_graph(
      **g, {{"x", Tensor::of<float>(DType::kF32, {1, 2}, x)}, {"r", Tensor::of<float>(DType::kF32, {2}, r)}});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ((*out)[0].to_f32(), (std::vector<float>{14, 26}));
}

}  // namespace
}  // namespace lathe
