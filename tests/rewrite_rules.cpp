// SPDX-License-Identifier: Apache-2.0
// Every rule: a graph it changes, to which operators, with equal results; and one it must leave alone.
#include <algorithm>

#include "graph_testing.h"
#include "rewrite/rule.h"

namespace lathe {
namespace {

struct Case {
  const char* rule;
  const char* after;   ///< operators left after the rule (and dead code), in order
  const char* before;  ///< the graph
  const char* no;      ///< a graph on which the rule does nothing; "" if one of the others serves
};

const Case kCases[] = {
    {"bias_into_conv", "Conv",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,2] = #r\nconst c: f32[3] = [1, 2, 3]\ny = Conv(x, w)\nz = Add(c, "
     "y)\noutput z\n",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,2] = #r\nconst c: f32[2,2,1] = [1, 2, 3, 4]\ny = Conv(x, w)\nz = "
     "Add(c, y)\noutput z\n"},
    {"scale_into_weights", "Conv",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,2] = #r\nconst b: f32[3] = [4, 5, 6]\nconst c: f32[3] = [1, 2, 3]\ny = "
     "Conv(x, w, b)\nz = Mul(y, c)\noutput z\n",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,2] = #r\nconst c: f32[3] = [1, 2, 3]\ny = Conv(x, w)\nz = Mul(y, "
     "c)\noutput z\noutput y\n"},
    {"scale_into_weights", "MatMul",
     "input x: f32[n,4]\nconst w: f32[3,4] = #r\nconst c: f32[1,3] = [1, 2, 3]\ny = MatMul(x, w) {trans_b=true}\nz = "
     "Mul(y, c)\noutput z\n",
     "input x: f32[3,4]\nconst w: f32[4,3] = #r\nconst c: f32[3,1] = [1, 2, 3]\ny = MatMul(x, w)\nz = Mul(y, "
     "c)\noutput z\n"},
    {"scale_over_bias", "MatMul Mul Add",
     "input x: f32[2,4]\nconst w: f32[4,3] = #r\nconst b: f32[3] = [4, 5, 6]\nconst c: f32[3] = [1, 2, 3]\nm = "
     "MatMul(x, w)\ny = Add(m, b)\nz = Mul(y, c)\noutput z\n",
     "input x: f32[2,4]\ninput w: f32[4,3]\nconst b: f32[3] = [4, 5, 6]\nconst c: f32[3] = [1, 2, 3]\nm = MatMul(x, "
     "w)\ny = Add(m, b)\nz = Mul(y, c)\noutput z\n"},
    {"div_to_mul", "Mul", "input x: f32[2]\nconst c: f32[2] = [3, 4]\ny = Div(x, c)\noutput y\n",
     "input x: f32[2]\nconst c: f32[2] = [3, 0]\ny = Div(x, c)\noutput y\n"},
    {"sub_to_add", "Add", "input x: f32[2]\nconst c: f32[2] = [3, 4]\ny = Sub(x, c)\noutput y\n",
     "input x: u8[2]\nconst c: u8[2] = [3, 4]\ny = Sub(x, c)\noutput y\n"},
    {"pow_by_constant", "Mul Mul", "input x: f32[2]\nconst c: f32[] = [3]\ny = Pow(x, c)\noutput y\n",
     "input x: f32[2]\nconst c: f32[] = [2.5]\ny = Pow(x, c)\noutput y\n"},
    {"identity_arithmetic", "Relu", "input x: f32[2]\nconst c: f32[] = [0]\ny = Add(x, c)\nz = Relu(y)\noutput z\n",
     "input x: f32[2]\nconst c: f32[3,1] = [0, 0, 0]\ny = Add(x, c)\nz = Relu(y)\noutput z\n"},
    {"identity_movement", "Relu", "input x: f32[2,3]\ny = Transpose(x) {perm=[0,1]}\nz = Relu(y)\noutput z\n",
     "input x: f32[2,2]\ny = Transpose(x) {perm=[1,0]}\nz = Relu(y)\noutput z\n"},
    {"identity_movement", "Relu",
     "input x: f32[5]\nconst a: i64[1] = [0]\nconst b: i64[1] = [9]\ny = Slice(x, a, b)\nz = Relu(y)\noutput z\n",
     "input x: f32[5]\nconst a: i64[1] = [4]\nconst b: i64[1] = [-9]\nconst s: i64[1] = [-1]\ny = Slice(x, a, b, _, "
     "s)\nz = Relu(y)\noutput z\n"},
    {"transpose_of_transpose", "Transpose",
     "input x: f32[2,3,4]\ny = Transpose(x) {perm=[1,2,0]}\nz = Transpose(y) {perm=[1,0,2]}\noutput z\n", ""},
    {"reshape_of_reshape", "Reshape",
     "input x: f32[2,3,4]\nconst a: i64[1] = [24]\nconst b: i64[2] = [4,6]\ny = Reshape(x, a)\nz = Reshape(y, "
     "b)\noutput z\n",
     ""},
    {"reshape_of_reduce", "Reduce",
     "input x: f32[2,3,4]\nconst b: i64[2] = [2,4]\ny = Reduce(x) {kind=\"mean\", axes=[1], keepdims=true}\nz = "
     "Reshape(y, b)\noutput z\n",
     "input x: f32[2,3,4]\nconst b: i64[2] = [4,2]\ny = Reduce(x) {kind=\"mean\", axes=[1], keepdims=true}\nz = "
     "Reshape(y, b)\noutput z\n"},
    {"transpose_into_matmul", "MatMul",
     "input x: f32[2,3]\ninput y: f32[4,3]\nt = Transpose(y) {perm=[1,0]}\nz = MatMul(x, t)\noutput z\n",
     "input x: f32[2,3]\ninput y: f32[4,3,2]\nt = Transpose(y) {perm=[2,1,0]}\nz = MatMul(x, t)\noutput z\n"},
    {"gelu_erf", "Gelu",
     "input x: f32[5]\nconst r: f32[] = [0.70710678]\nconst one: f32[] = [1]\nconst half: f32[] = [0.5]\na = Mul(r, "
     "x)\nb = Erf(a)\nc = Add(one, b)\nd = Mul(half, c)\ny = Mul(d, x)\noutput y\n",
     "input x: f32[5]\nconst r: f32[] = [0.8]\nconst one: f32[] = [1]\nconst half: f32[] = [0.5]\na = Mul(r, x)\nb = "
     "Erf(a)\nc = Add(one, b)\nd = Mul(half, c)\ny = Mul(d, x)\noutput y\n"},
    {"gelu_tanh", "Gelu",
     "input x: f32[5]\nconst c: f32[] = [0.044715]\nconst s: f32[] = [0.7978845608]\nconst one: f32[] = [1]\nconst "
     "half: f32[] = [0.5]\nx2 = Mul(x, x)\nx3 = Mul(x2, x)\nt = Mul(x3, c)\nu = Add(x, t)\nv = Mul(s, u)\nw = "
     "Tanh(v)\np = Add(w, one)\nq = Mul(x, p)\ny = Mul(half, q)\noutput y\n",
     "input x: f32[5]\nconst c: f32[] = [0.044715]\nconst s: f32[] = [0.7978845608]\nconst one: f32[] = [1]\nconst "
     "half: f32[] = [0.5]\nx2 = Mul(x, x)\nx3 = Mul(x2, x)\nt = Mul(x3, c)\nu = Add(x, t)\nv = Mul(s, u)\nw = "
     "Tanh(v)\np = Add(w, one)\nq = Mul(x, p)\ny = Mul(half, q)\noutput y\noutput w\n"},
    {"layer_norm", "LayerNorm",
     "input x: f32[2,5]\nconst e: f32[] = [1e-5]\nconst s: f32[5] = #r\nconst b: f32[5] = #r\nm = Reduce(x) "
     "{kind=\"mean\", axes=[1]}\nd = Sub(x, m)\nq = Mul(d, d)\nv = Reduce(q) {kind=\"mean\", axes=[1]}\nw = Add(v, "
     "e)\nr = Sqrt(w)\nn = Div(d, r)\nt = Mul(n, s)\ny = Add(t, b)\noutput y\n",
     "input x: f32[2,5]\nconst e: f32[] = [1e-5]\nm = Reduce(x) {kind=\"mean\", axes=[0]}\nd = Sub(x, m)\nq = Mul(d, "
     "d)\nv = Reduce(q) {kind=\"mean\", axes=[0]}\nw = Add(v, e)\nr = Sqrt(w)\nn = Div(d, r)\noutput n\n"},
    {"softmax", "Softmax",
     "input x: f32[2,5]\nm = Reduce(x) {kind=\"max\", axes=[1]}\nd = Sub(x, m)\ne = Exp(d)\ns = Reduce(e) "
     "{kind=\"sum\", axes=[1]}\ny = Div(e, s)\noutput y\n",
     "input x: f32[2,5]\nm = Reduce(x) {kind=\"max\", axes=[0]}\nd = Sub(x, m)\ne = Exp(d)\ns = Reduce(e) "
     "{kind=\"sum\", axes=[1]}\ny = Div(e, s)\noutput y\n"},
    {"attention", "Attention",
     "input q: f32[1,2,3,4]\ninput k: f32[1,2,4,5]\ninput v: f32[1,2,5,6]\ninput mask: f32[1,1,3,5]\nconst a: f32[] = "
     "[0.7]\nconst b: f32[] = [0.6]\nconst c: f32[] = [1.5]\nqs = Mul(q, a)\nks = Mul(b, k)\ns = MatMul(qs, ks)\nt = "
     "Mul(s, c)\nu = Add(mask, t)\np = Softmax(u) {axis=3}\ny = MatMul(p, v)\noutput y\n",
     "input q: f32[1,2,3,4]\ninput k: f32[1,2,4,5]\ninput v: f32[1,2,5,6]\ns = MatMul(q, k)\np = Softmax(s) "
     "{axis=2}\ny = MatMul(p, v)\noutput y\n"},
    {"attention", "Transpose Reshape Reshape Reshape Attention Reshape",
     "input q: f32[2,3,4]\ninput k: f32[4,2,5]\ninput v: f32[2,5,6]\nkt = Transpose(k) {perm=[1,0,2]}\ns = MatMul(q, "
     "kt)\np = Softmax(s) {axis=2}\ny = MatMul(p, v)\noutput y\n",
     "input q: f32[2,3,4]\ninput k: f32[2,4,5]\ninput v: f32[2,5,6]\ns = MatMul(q, k)\np = Softmax(s) {axis=2}\ny = "
     "MatMul(p, v)\noutput y\noutput s\n"},
    {"attention_key_transposed", "Attention",
     "input q: f32[1,2,3,4]\ninput k: f32[1,2,5,4]\ninput v: f32[1,2,5,6]\nkt = Transpose(k) {perm=[0,1,3,2]}\ny = "
     "Attention(q, kt, v) {k_transposed=true}\noutput y\n",
     ""},
    {"attention_heads_last", "Attention",
     "input q: f32[1,3,2,4]\ninput k: f32[1,5,2,4]\ninput v: f32[1,5,2,6]\nqt = Transpose(q) {perm=[0,2,1,3]}\nkt = "
     "Transpose(k) {perm=[0,2,1,3]}\nvt = Transpose(v) {perm=[0,2,1,3]}\na = Attention(qt, kt, vt) {scale=0.5}\ny = "
     "Transpose(a) {perm=[0,2,1,3]}\noutput y\n",
     "input q: f32[1,2,3,4]\ninput k: f32[1,5,2,4]\ninput v: f32[1,5,2,6]\nkt = Transpose(k) {perm=[0,2,1,3]}\nvt = "
     "Transpose(v) {perm=[0,2,1,3]}\na = Attention(q, kt, vt) {scale=0.5}\ny = Transpose(a) {perm=[0,2,1,3]}\noutput "
     "y\n"},
    {"pad_into_window", "Conv",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,2] = #r\nconst p: i64[8] = [0,1,2,0,0,3,0,0]\np1 = Pad(x, p)\ny = "
     "Conv(p1, w)\noutput y\n",
     "input x: f32[1,4,4,2]\nconst w: f32[3,3,3,3] = #r\nconst p: i64[8] = [0,1,2,0,0,3,0,1]\np1 = Pad(x, p)\ny = "
     "Conv(p1, w)\noutput y\n"},
    {"pad_into_window", "Pool",
     "input x: f32[1,4,4,2]\nconst p: i64[8] = [0,1,1,0,0,1,1,0]\np1 = Pad(x, p)\ny = Pool(p1) {kind=\"average\", "
     "kernel=[2,2]}\noutput y\n",
     "input x: f32[1,4,4,2]\nconst p: i64[8] = [0,1,1,0,0,1,1,0]\np1 = Pad(x, p)\ny = Pool(p1) {kind=\"max\", "
     "kernel=[2,2]}\noutput y\n"},
    {"elementwise_before_reshape", "MatMul Add Reshape",
     "input x: f32[2,4]\nconst w: f32[4,3] = #r\nconst b: f32[3] = [1, 2, 3]\nconst s: i64[3] = [2,1,3]\nm = MatMul(x, "
     "w)\nr = Reshape(m, s)\ny = Add(r, b)\noutput y\n",
     "input x: f32[2,4]\nconst w: f32[4,6] = #r\nconst b: f32[3] = [1, 2, 3]\nconst s: i64[3] = [2,2,3]\nm = MatMul(x, "
     "w)\nr = Reshape(m, s)\ny = Add(r, b)\noutput y\n"},
    {"elementwise_before_reshape", "MatMul Mul Reshape",
     "input x: f32[2,4]\ninput z: f32[2,6]\nconst w: f32[4,6] = #r\nconst s: i64[3] = [2,2,3]\nm = MatMul(x, w)\nr = "
     "Reshape(m, s)\nq = Reshape(z, s)\ny = Mul(q, r)\noutput y\n",
     "input x: f32[2,6]\nconst s: i64[3] = [2,2,3]\nr = Reshape(x, s)\ny = Relu(r)\noutput y\n"},
    {"reshape_by_constant", "Reshape",
     "input x: f32[n,6]\nconst a: i64[2] = [2,3]\ns = Shape(x) {start=0, end=1}\nt = Concat(s, a)\ny = Reshape(x, "
     "t)\noutput y\n",
     "input x: f32[n,m,6]\nconst a: i64[1] = [6]\ns = Shape(x) {start=1, end=2}\nu = Shape(x) {start=0, end=1}\nt = "
     "Concat(s, u, a)\ny = Reshape(x, t)\noutput y\n"},
    {"gather_one", "Slice Reshape", "input x: f32[2,3,4]\nconst i: i64[] = [-2]\ny = Gather(x, i) {axis=1}\noutput y\n",
     "input x: f32[2,3,4]\nconst i: i64[2] = [-2,0]\ny = Gather(x, i) {axis=1}\noutput y\n"},
    {"slice_before_reshape", "Slice Reshape",
     "input x: f32[2,12]\nconst s: i64[4] = [2,3,2,2]\nconst a: i64[1] = [1]\nconst b: i64[1] = [2]\nr = Reshape(x, "
     "s)\ny = Slice(r, a, b, a)\noutput y\n",
     "input x: f32[2,12]\nconst s: i64[4] = [2,3,2,2]\nconst a: i64[1] = [1]\nconst b: i64[1] = [2]\nr = Reshape(x, "
     "s)\ny = Slice(r, a, b, b)\noutput y\n"},
    {"slice_before_elementwise", "Slice Add Slice Add",
     "input x: f32[2,4]\nconst c: f32[4] = [1,2,3,4]\nconst z: i64[1] = [0]\nconst a: i64[1] = [1]\nconst b: i64[1] = "
     "[4]\ns = Add(x, c)\nu = Slice(s, z, a, a)\nv = Slice(s, a, b, a)\noutput u\noutput v\n",
     "input x: f32[2,4]\nconst c: f32[4] = [1,2,3,4]\nconst z: i64[1] = [0]\nconst a: i64[1] = [1]\ns = Add(x, c)\nu = "
     "Slice(s, z, a, a)\noutput u\noutput s\n"},
    {"slice_into_matmul", "MatMul MatMul",
     "input x: f32[2,4]\nconst w: f32[4,5] = #r\nconst z: i64[1] = [0]\nconst a: i64[1] = [2]\nconst b: i64[1] = "
     "[5]\nconst one: i64[1] = [1]\nm = MatMul(x, w)\nu = Slice(m, z, a, one)\nv = Slice(m, a, b, one)\noutput "
     "u\noutput v\n",
     "input x: f32[2,4]\nconst w: f32[4,5] = #r\nconst z: i64[1] = [0]\nconst a: i64[1] = [3]\nconst b: i64[1] = "
     "[5]\nconst one: i64[1] = [1]\nm = MatMul(x, w)\nu = Slice(m, z, a, one)\nv = Slice(m, one, b, one)\noutput "
     "u\noutput v\n"},
    {"expand_into_elementwise", "Add",
     "input x: f32[1,3]\ninput y: f32[2,3]\nconst s: i64[2] = [2,3]\ne = Expand(x, s)\nz = Add(e, y)\noutput z\n",
     "input x: f32[1,3]\ninput y: f32[1,3]\nconst s: i64[2] = [2,3]\ne = Expand(x, s)\nz = Add(e, y)\noutput z\n"},
    {"slice_of_concat", "Relu",
     "input x: f32[2]\ninput y: f32[3]\nconst a: i64[1] = [2]\nconst b: i64[1] = [5]\nc = Concat(x, y)\ns = Slice(c, "
     "a, b)\nz = Relu(s)\noutput z\n",
     "input x: f32[2]\ninput y: f32[3]\nconst a: i64[1] = [1]\nconst b: i64[1] = [5]\nc = Concat(x, y)\ns = Slice(c, "
     "a, b)\nz = Relu(s)\noutput z\n"},
    {"concat_of_slices", "Relu",
     "input x: f32[5]\nconst z: i64[1] = [0]\nconst a: i64[1] = [2]\nconst b: i64[1] = [5]\nu = Slice(x, z, a)\nv = "
     "Slice(x, a, b)\nc = Concat(u, v)\ny = Relu(c)\noutput y\n",
     "input x: f32[5]\nconst z: i64[1] = [0]\nconst a: i64[1] = [2]\nconst b: i64[1] = [5]\nu = Slice(x, z, a)\nv = "
     "Slice(x, a, b)\nc = Concat(v, u)\ny = Relu(c)\noutput y\n"},
    {"concat_of_slices", "Concat",
     "input x: f32[5]\ninput r: f32[2]\nconst z: i64[1] = [0]\nconst a: i64[1] = [2]\nconst b: i64[1] = [5]\nu = "
     "Slice(x, z, a)\nv = Slice(x, a, b)\nc = Concat(r, u, v)\noutput c\n",
     ""},
    {"concat_of_concat", "Concat",
     "input x: f32[5]\ninput y: f32[2]\na = Concat(x, y)\nb = Concat(y, a, x)\noutput b\n",
     "input x: f32[5]\ninput y: f32[2]\na = Concat(x, y)\nb = Concat(y, a, x)\noutput b\noutput a\n"},
    {"slice_before_concat", "Slice Slice Concat Slice Slice Concat",
     "input x: f32[2,4]\ninput y: f32[3,4]\nconst z: i64[1] = [0]\nconst a: i64[1] = [1]\nconst b: i64[1] = [4]\nc = "
     "Concat(x, y) {axis=0}\nu = Slice(c, z, a, a)\nv = Slice(c, a, b, a)\noutput u\noutput v\n",
     "input x: f32[2,4]\ninput y: f32[3,4]\nconst z: i64[1] = [0]\nconst a: i64[1] = [1]\nc = Concat(x, y) {axis=0}\nu "
     "= Slice(c, z, a, a)\noutput u\noutput c\n"},
    {"unary_before_concat", "MatMul MatMul Sigmoid Sigmoid Concat",
     "input x: f32[2,3]\nconst w: f32[3,4] = #r\nconst v: f32[3,2] = #r\na = MatMul(x, w)\nb = MatMul(x, v)\nc = "
     "Concat(a, b) {axis=1}\ny = Sigmoid(c)\noutput y\n",
     "input x: f32[2,3]\nconst w: f32[3,4] = #r\na = MatMul(x, w)\nc = Concat(a, x) {axis=1}\ny = Sigmoid(c)\noutput "
     "y\n"},
    {"transpose_into_flat_matmul", "Reshape MatMul",
     "input x: f32[2,2,3,4]\nconst w: f32[24,5] = #r\nconst s: i64[2] = [2,24]\nt = Transpose(x) {perm=[0,3,1,2]}\nf = "
     "Reshape(t, s)\ny = MatMul(f, w)\noutput y\n",
     "input x: f32[2,2,3,4]\ninput w: f32[24,5]\nconst s: i64[2] = [2,24]\nt = Transpose(x) {perm=[0,3,1,2]}\nf = "
     "Reshape(t, s)\ny = MatMul(f, w)\noutput y\n"},
};

std::vector<rewrite::Change> apply(Graph& g, const rewrite::Rule* rule) {
  const auto log = rewrite::apply_rules(g, std::span(&rule, 1), rewrite::Exactness::kApproximates);
  EXPECT_TRUE(log) << log.error().message;
  return log.value_or(std::vector<rewrite::Change>{});
}

class Rules : public ::testing::TestWithParam<Case> {};

TEST_P(Rules, ChangesWhatItShouldAndKeepsTheResults) {
  const Case& c = GetParam();
  const rewrite::Rule* rule = rewrite::find_rule(c.rule);
  ASSERT_NE(rule, nullptr) << c.rule;
  std::mt19937 rng(1);
  const auto g = testing::parse(c.before, rng);
  const auto inputs = testing::random_inputs(*g, rng);
  const auto before = evaluate_graph(*g, inputs);
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_FALSE(apply(*g, rule).empty()) << c.before;
  const std::string text = print(*g);
  const auto valid = verify(*g);
  ASSERT_TRUE(valid) << valid.error().message << "\n" << text;
  EXPECT_EQ(testing::op_names(*g), c.after) << text;
  const auto after = evaluate_graph(*g, inputs);
  ASSERT_TRUE(after) << after.error().message << "\n" << text;
  testing::expect_close(*before, *after, rule->exactness == rewrite::Exactness::kExact ? 0 : 2e-6, text);
}

TEST_P(Rules, LeavesAloneWhatItMustNotTouch) {
  const Case& c = GetParam();
  if (*c.no == '\0') return;
  std::mt19937 rng(1);
  const auto g = testing::parse(c.no, rng);
  EXPECT_TRUE(apply(*g, rewrite::find_rule(c.rule)).empty()) << print(*g);
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.rule) + "_" + std::to_string(info.index);
}
INSTANTIATE_TEST_SUITE_P(All, Rules, ::testing::ValuesIn(kCases), case_name);

TEST(RuleList, EveryRuleHasACase) {
  for (const rewrite::Rule* rule : rewrite::all_rules())
    EXPECT_TRUE(std::any_of(std::begin(kCases), std::end(kCases), [&](const Case& c) { return rule->name == c.rule; }))
        << rule->name;
}

}  // namespace
}  // namespace lathe
