// SPDX-License-Identifier: Apache-2.0
// Graphs with branches and loops: read from their text form, verified, and run as generated code on every instruction
// set of this machine against the reference evaluation, before and after the passes.
#include <gtest/gtest.h>

#include "codegen_case.h"
#include "ir/evaluate.h"

namespace lathe::testing {
namespace {

struct Case {
  const char* name;
  const char* text;
  std::vector<std::vector<Tensor>> inputs;  ///< of several runs
};

Tensor flag(bool v) {
  Tensor t = Tensor::zeros(DType::kBool, {});
  t.set_i64(0, v);
  return t;
}
Tensor count(int64_t v) { return Tensor::scalar_i64(v); }
Tensor floats(std::vector<int64_t> dims, uint64_t seed = 1) { return random_f32(std::move(dims), seed); }

const Case kCases[] = {
    {"branches_of_one_shape",
     R"(graph "g"
input c: bool[]
input x: f32[4,8]
w: f32[4,8] = Relu(x)
y: f32[4,8] = If(c, x, w) {then_graph={
  graph "t"
  input x: f32[4,8]
  input w: f32[4,8]
  y: f32[4,8] = Add(x, w)
  output y
}, else_graph={
  graph "e"
  input x: f32[4,8]
  input w: f32[4,8]
  output w
}}
z: f32[4,8] = Neg(y)
output z
)",
     {{flag(true), floats({4, 8})}, {flag(false), floats({4, 8})}}},
    {"branches_of_different_shapes",
     R"(graph "g"
symbol n = 0 1 100
symbol if_0 = 0 1 100
input c: bool[]
input x: f32[n,3]
y: f32[if_0,3] = If(c, x) {then_graph={
  graph "t"
  input x: f32[n,3]
  y: f32[2*n,3] = Concat(x, x) {axis=0}
  output y
}, else_graph={
  graph "e"
  input x: f32[n,3]
  const from: i64[1] = [0]
  const to: i64[1] = [1]
  y: f32[min(1,n),3] = Slice(x, from, to)
  output y
}}
z: f32[if_0,3] = Exp(y)
output z
output y
)",
     {{flag(true), floats({5, 3})}, {flag(false), floats({5, 3})}, {flag(true), floats({2, 3})}}},
    {"branch_inside_a_branch_with_data_dependent_size",
     R"(graph "g"
symbol if_0 = 0 1 100
symbol if_1 = 0 1 100
symbol nonzero_2 = 0 1 100
input c: bool[]
input d: bool[]
input x: f32[7]
y: i64[1,if_0] = If(c, d, x) {then_graph={
  graph "t"
  symbol if_1 = 0 1 100
  input d: bool[]
  input x: f32[7]
  y: i64[1,if_1] = If(d, x) {then_graph={
    graph "tt"
    symbol nonzero_2 = 0 1 100
    input x: f32[7]
    r: f32[7] = Relu(x)
    y: i64[1,nonzero_2] = NonZero(r)
    output y
  }, else_graph={
    graph "te"
    input x: f32[7]
    const y: i64[1,2] = [5, 6]
    output y
  }}
  output y
}, else_graph={
  graph "e"
  input d: bool[]
  input x: f32[7]
  const y: i64[1,1] = [9]
  output y
}}
output y
)",
     {{flag(true), flag(true), floats({7})},
      {flag(true), flag(false), floats({7})},
      {flag(false), flag(false), floats({7})}}},
    {"carried_sum_with_scan_output",
     R"(graph "g"
input m: i64[]
input x: f32[4]
symbol trips_0 = 0 1 100
y: f32[4], all: f32[trips_0,4] = Loop(m, _, x, x) {carried=1, body={
  graph "b"
  input i: i64[]
  input go: bool[]
  input s: f32[4]
  input x: f32[4]
  n: f32[4] = Add(s, x)
  const limit: i64[] = [5]
  more: bool[] = Less(i, limit)
  output more
  output n
  output s
}}
output y
output all
)",
     {{count(3), floats({4})}, {count(0), floats({4})}, {count(100), floats({4})}}},
    {"carried_values_change_places",
     R"(graph "g"
input m: i64[]
input x: f32[4]
input y: f32[4]
a: f32[4], b: f32[4] = Loop(m, _, x, y) {carried=2, body={
  graph "b"
  input i: i64[]
  input go: bool[]
  input a: f32[4]
  input b: f32[4]
  output go
  output b
  output a
}}
output a
output b
)",
     {{count(3), floats({4}, 1), floats({4}, 2)}, {count(2), floats({4}, 1), floats({4}, 2)}}},
    {"carried_value_grows",
     R"(graph "g"
symbol n = 0 1 100
symbol loop_0 = 0 1 100
symbol carried_1 = 0 1 100
input m: i64[]
input x: f32[n,2]
y: f32[loop_0,2] = Loop(m, _, x, x) {carried=1, body={
  graph "b"
  symbol carried_1 = 0 1 100
  input i: i64[]
  input go: bool[]
  input s: f32[carried_1,2]
  input x: f32[n,2]
  t: f32[n,2] = Neg(x)
  y: f32[carried_1+n,2] = Concat(s, t) {axis=0}
  output go
  output y
}}
z: f32[loop_0,2] = Exp(y)
output z
)",
     {{count(3), floats({2, 2})}, {count(0), floats({2, 2})}, {count(40), floats({5, 2})}}},
    {"loop_inside_a_loop_with_a_branch",
     R"(graph "g"
symbol trips_0 = 0 1 100
input m: i64[]
input x: f32[3]
y: f32[3], all: f32[trips_0,3] = Loop(m, _, x, x) {carried=1, body={
  graph "b"
  input i: i64[]
  input go: bool[]
  input s: f32[3]
  input x: f32[3]
  r: f32[3] = Loop(i, _, s, x) {carried=1, body={
    graph "bb"
    input j: i64[]
    input more: bool[]
    input s: f32[3]
    input x: f32[3]
    const one: i64[] = [1]
    odd: bool[] = Equal(j, one)
    t: f32[3] = If(odd, s, x) {then_graph={
      graph "t"
      input s: f32[3]
      input x: f32[3]
      t: f32[3] = Sub(s, x)
      output t
    }, else_graph={
      graph "e"
      input s: f32[3]
      input x: f32[3]
      t: f32[3] = Add(s, x)
      output t
    }}
    output more
    output t
  }}
  output go
  output r
  output r
}}
output y
output all
)",
     {{count(4), floats({3})}, {count(1), floats({3})}}},
    {"known_number_of_iterations",
     R"(graph "g"
const m: i64[] = [6]
input x: f32[6,2]
const zero: f32[2] = [0, 0]
last: f32[2], sums: f32[6,2] = Loop(m, _, zero, x) {carried=1, body={
  graph "b"
  input i: i64[]
  input go: bool[]
  input s: f32[2]
  input x: f32[6,2]
  row: f32[2] = Gather(x, i) {axis=0}
  t: f32[2] = Add(s, row)
  output go
  output t
  output t
}}
output sums
output last
)",
     {{floats({6, 2})}}},
    {"elements_of_a_size_set_by_data",
     R"(graph "g"
symbol scan_0 = 0 1 100
symbol nonzero_1 = 0 1 100
input x: f32[9]
const m: i64[] = [3]
all: i64[3,1,scan_0] = Loop(m, _, x) {carried=0, body={
  graph "b"
  symbol nonzero_1 = 0 1 100
  input i: i64[]
  input go: bool[]
  input x: f32[9]
  r: f32[9] = Relu(x)
  y: i64[1,nonzero_1] = NonZero(r)
  output go
  output y
}}
output all
)",
     {{floats({9})}, {floats({9}, 5)}}},
    {"sizes_read_from_data",
     R"(graph "g"
symbol size_0 = 0 1 100
symbol size_1 = 0 1 100
input s: i64[2]
input x: f32[12]
sizes: i64[2] = ReadSizes(s) {symbols=["size_0","size_1"]}
y: f32[size_0,size_1] = Reshape(x, sizes)
z: f32[size_0,size_1] = Exp(y)
t: f32[size_1,size_0] = Transpose(z) {perm=[1,0]}
output t
)",
     {{Tensor::vector_i64({3, 4}), floats({12})}, {Tensor::vector_i64({2, 6}), floats({12})}}},
    {"slice_that_moves_with_the_iteration",
     R"(graph "g"
symbol size_0 = 0 1 100
symbol trips_1 = 0 1 100
input m: i64[]
input x: f32[9,2]
sums: f32[trips_1,2] = Loop(m, _, x) {carried=0, body={
  graph "b"
  symbol size_0 = 0 1 100
  input i: i64[]
  input go: bool[]
  input x: f32[9,2]
  const one: i64[1] = [1]
  const zero: i64[1] = [0]
  to: i64[1] = Reshape(i, one)
  next: i64[1] = Add(to, one)
  end: i64[1] = ReadSizes(next) {symbols=["size_0"]}
  part: f32[min(size_0,9),2] = Slice(x, zero, end)
  sum: f32[2] = Reduce(part) {kind="sum", axes=[0], keepdims=false}
  output go
  output sum
}}
output sums
)",
     {{count(4), floats({9, 2})}, {count(9), floats({9, 2})}}},
};

class Control : public ::testing::TestWithParam<Case> {};

void expect_outputs(const Graph& graph, const std::vector<std::vector<Tensor>>& runs,
                    const std::vector<std::vector<Tensor>>& expected, double tolerance, const std::string& what) {
  for (const Target* target : runnable_targets()) {
    auto compiled = CompiledGraph::make(graph, *target);
    ASSERT_TRUE(compiled) << what << ": " << compiled.error().message;
    for (size_t r = 0; r < runs.size(); ++r) {
      const std::string place = what + " on " + std::string(target->name) + ", run " + std::to_string(r);
      const auto got = (*compiled)->run(runs[r]);
      ASSERT_TRUE(got) << place << ": " << got.error().message;
      for (size_t i = 0; i < got->size(); ++i) {
        EXPECT_EQ((*got)[i].dims(), expected[r][i].dims()) << place << ", output " << i;
        if ((*got)[i].dims() != expected[r][i].dims()) continue;
        EXPECT_LE(scaled_difference((*got)[i], expected[r][i]), tolerance) << place << ", output " << i;
      }
    }
  }
}

TEST_P(Control, text_form_is_read_verified_and_printed_again) {
  auto graph = parse_graph(GetParam().text);
  ASSERT_TRUE(graph) << graph.error().message;
  const auto ok = verify(**graph);
  EXPECT_TRUE(ok) << ok.error().message;
  const std::string once = print(**graph);
  auto again = parse_graph(once);
  ASSERT_TRUE(again) << again.error().message << "\n" << once;
  EXPECT_EQ(print(**again), once);
}

TEST_P(Control, generated_code_agrees_with_the_reference) {
  auto graph = parse_graph(GetParam().text);
  ASSERT_TRUE(graph) << graph.error().message;
  std::vector<std::vector<Tensor>> expected;
  for (const auto& run : GetParam().inputs) {
    std::map<std::string, Tensor> named;
    for (size_t i = 0; i < run.size(); ++i) named[(*graph)->value((*graph)->inputs[i]).name] = run[i];
    auto out = evaluate_graph(**graph, named);
    ASSERT_TRUE(out) << out.error().message;
    expected.push_back(*std::move(out));
  }
  expect_outputs(**graph, GetParam().inputs, expected, 1e-6, "as written");
  PassOptions options;
  options.verify = true;
  const auto ok = optimize(**graph, options);
  ASSERT_TRUE(ok) << ok.error().message;
  expect_outputs(**graph, GetParam().inputs, expected, 1e-6, "optimised");
}

INSTANTIATE_TEST_SUITE_P(Cases, Control, ::testing::ValuesIn(kCases),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace lathe::testing
