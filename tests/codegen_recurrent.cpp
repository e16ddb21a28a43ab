// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN against their references.
#include "codegen_case.h"
#include "ops/gru.h"
#include "ops/lstm.h"
#include "ops/rnn.h"

namespace lathe {
namespace {

using testing::expect_as_reference;
using testing::Given;
using testing::random_f32;

struct RecurrentCase {
  int64_t steps, batch, inputs, hidden;
  std::string direction = "forward";
  int64_t layout = 0;
  bool constant = true, bias = true, lengths = false, states = false, symbolic = false;
  double clip = 0;
  bool peephole = false;
  [[nodiscard]] std::string str() const {
    return "T=" + std::to_string(steps) + " N=" + std::to_string(batch) + " I=" + std::to_string(inputs) +
           " H=" + std::to_string(hidden) + " " + direction + (layout ? " batch first" : "") +
           (constant ? "" : " weights given") + (bias ? "" : " no bias") + (lengths ? " lengths" : "") +
           (states ? " states" : "");
  }
};

const RecurrentCase kCases[] = {
    {5, 1, 8, 16},
    {7, 1, 128, 256},
    {4, 3, 10, 33},
    {3, 2, 5, 20, "reverse"},
    {6, 4, 12, 40, "bidirectional", 0, true, true, false, true},
    {6, 4, 12, 40, "bidirectional", 0, false, true, true, true},
    {3, 2, 7, 9, "forward", 0, false, false},
    {5, 3, 6, 8, "forward", 0, true, true, false, true, true},
    {5, 1, 3, 70, "reverse", 0, true, true, true, true, false, 0.3},
    {1, 5, 4, 4},
    {4, 2, 6, 21, "bidirectional", 0, true, true, false, true, false, 0, true},
    {5, 2, 20, 211, "reverse", 0, true, true, false, true, false, 0, true},  // large enough to be split within a step
};

template <class Op>
void check(Op op, int64_t gates, const RecurrentCase& c) {
  const int64_t directions = c.direction == "bidirectional" ? 2 : 1;
  op.hidden_size = c.hidden;
  op.direction = c.direction;
  op.layout = c.layout;
  op.clip = c.clip;
  const auto weight = [&](std::vector<int64_t> dims, uint64_t seed) {
    Tensor t = random_f32(std::move(dims), seed);
    for (float& v : t.mutable_as<float>()) v *= 0.3F;
    return Given{t, c.constant};
  };
  std::vector<Given> given{testing::input(c.layout ? std::vector<int64_t>{c.batch, c.steps, c.inputs}
                                                   : std::vector<int64_t>{c.steps, c.batch, c.inputs},
                                          1),
                           weight({directions, gates * c.hidden, c.inputs}, 2),
                           weight({directions, gates * c.hidden, c.hidden}, 3)};
  if (c.symbolic) given[0].symbols = {{c.layout ? 1 : 0, "t"}, {c.layout ? 0 : 1, "n"}};
  given.push_back(c.bias ? weight({directions, 2 * gates * c.hidden}, 4) : Given{});
  Tensor lengths = Tensor::zeros(DType::kI32, {c.batch});
  for (int64_t i = 0; i < c.batch; ++i) lengths.set_i64(i, std::max<int64_t>(1, c.steps - i));
  given.push_back(c.lengths ? Given{lengths} : Given{});
  if (c.states) {
    const std::vector<int64_t> dims = c.layout ? std::vector<int64_t>{c.batch, directions, c.hidden}
                                               : std::vector<int64_t>{directions, c.batch, c.hidden};
    given.push_back({random_f32(dims, 5)});
    if (gates == 4) given.push_back({random_f32(dims, 6)});
    if (c.symbolic)
      for (Given* g = given.data() + 5; g < given.data() + given.size(); ++g) g->symbols = {{c.layout ? 0 : 1, "n"}};
  }
  if (c.peephole && gates == 4) given.push_back(weight({directions, 3 * c.hidden}, 7));
  while (!given.empty() && given.back().tensor.empty()) given.pop_back();
  expect_as_reference(op, given, 3e-5, c.str() + " " + attrs_str(op));
}

TEST(Recurrent, Lstm) {
  for (RecurrentCase c : kCases)
    for (const int64_t layout : {0, 1}) {
      c.layout = layout;
      check(ops::Lstm{}, 4, c);
    }
  ops::Lstm op;
  op.input_forget = true;
  check(op, 4, kCases[0]);
  op.activations = {"Relu", "Softsign", "Sigmoid"};
  check(op, 4, kCases[0]);
}

TEST(Recurrent, Gru) {
  for (const bool linear : {false, true})
    for (RecurrentCase c : kCases)
      for (const int64_t layout : {0, 1}) {
        c.layout = layout;
        ops::Gru op;
        op.linear_before_reset = linear;
        check(op, 3, c);
      }
}

TEST(Recurrent, Rnn) {
  for (RecurrentCase c : kCases)
    for (const int64_t layout : {0, 1}) {
      c.layout = layout;
      check(ops::Rnn{}, 1, c);
    }
}

}  // namespace
}  // namespace lathe
