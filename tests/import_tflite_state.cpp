// SPDX-License-Identifier: Apache-2.0
// TFLite models that remember: variables, and tensors that keep their value from one run to the next.
#include <gtest/gtest.h>

#include "import/import.h"
#include "ir/evaluate.h"
#include "onnx_model.h"
#include "tflite_import.h"

namespace {

using namespace lathe;  // NOLINT(google-build-using-namespace)
namespace fb = lathe::tflite::fb;
using tflite_model::bytes;
using tflite_model::file;
using tflite_model::Model;
using T = tflite_model::Tensor;

constexpr int32_t kAdd = 0, kRnn = 24, kSvdf = 27, kSequenceRnn = 35, kCallOnce = 129, kVarHandle = 142,
                  kReadVariable = 143, kAssignVariable = 144;

using ImportTfliteState = tflite_model::ImportTest;

/// Runs a graph as a session would: what its last outputs are, its last inputs become.
class Runs {
 public:
  explicit Runs(const Graph& g) : g_(g), states_(g.states) {}
  std::vector<float> operator()(const std::map<std::string, Tensor>& inputs) {
    std::vector<Tensor> all;
    for (size_t i = 0; i < g_.inputs.size() - states_.size(); ++i)
      all.push_back(inputs.at(g_.value(g_.inputs[i]).name));
    all.insert(all.end(), states_.begin(), states_.end());
    auto out = evaluate_subgraph(g_, all);
    if (!out) {
      ADD_FAILURE() << out.error().message;
      return {};
    }
    for (size_t i = 0; i < states_.size(); ++i) states_[i] = (*out)[out->size() - states_.size() + i];
    return (*out)[0].to_f32();
  }

 private:
  const Graph& g_;
  std::vector<Tensor> states_;
};

Tensor floats(std::vector<int64_t> dims, const std::vector<float>& v) {
  return Tensor::of<float>(DType::kF32, std::move(dims), v);
}

// sum += x, with or without an initializer that makes it 10, 20.
Model counter(bool initialized, bool reads_first = true) {
  const auto resource = fb::TensorType::RESOURCE;
  const auto handle = [](auto& b) { return fb::CreateVarHandleOptionsDirect(b, "", "sum").Union(); };
  Model m;
  m.graphs = {{{{"x", {2}}, {"handle", {}, resource}, {"old", {2}}, {"new", {2}}}, {0}, {3}, {}}};
  auto& ops = m.graphs[0].ops;
  if (initialized)
    ops.push_back({kCallOnce, {}, {}, fb::BuiltinOptions::CallOnceOptions, [](auto& b) {
                     return fb::CreateCallOnceOptions(b, 1).Union();
                   }});
  ops.push_back({kVarHandle, {}, {1}, fb::BuiltinOptions::VarHandleOptions, handle});
  if (!reads_first) ops.push_back({kAssignVariable, {1, 0}, {}});
  ops.push_back({kReadVariable, {1}, {2}});
  ops.push_back({kAdd, {0, 2}, {3}});
  if (reads_first) ops.push_back({kAssignVariable, {1, 3}, {}});
  m.graphs.push_back(
      {{{"handle", {}, resource}, {"first", {2}, fb::TensorType::FLOAT32, bytes<float>({10, 20})}},
       {},
       {},
       {{kVarHandle, {}, {0}, fb::BuiltinOptions::VarHandleOptions, handle}, {kAssignVariable, {0, 1}, {}}}});
  return m;
}

TEST_F(ImportTfliteState, VariablesAreState) {
  const auto g = import(file(counter(true)));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  ASSERT_EQ((*g)->states.size(), 1u);
  EXPECT_EQ((*g)->value((*g)->inputs[1]).name, "sum");
  EXPECT_EQ((*g)->output_names, (std::vector<std::string>{"new", "sum/next"}));
  Runs run(**g);
  EXPECT_EQ(run({{"x", floats({2}, {1, 2})}}), (std::vector<float>{11, 22}));
  EXPECT_EQ(run({{"x", floats({2}, {5, 5})}}), (std::vector<float>{16, 27}));

  expect_error(file(counter(false)), Code::kUnsupported, "variable \"sum\" is read before anything sets it");
  const auto scratch = import(file(counter(false, false)));  // each run sets it first: nothing to remember
  ASSERT_TRUE(scratch.has_value()) << scratch.error().message;
  EXPECT_TRUE((*scratch)->states.empty());
}

TEST_F(ImportTfliteState, VariablesThatNothingChangesAreConstants) {
  Model m = counter(true);
  m.graphs[0].ops.pop_back();
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_TRUE((*g)->states.empty());
  EXPECT_EQ((*g)->inputs.size(), 1u);
}

TEST_F(ImportTfliteState, ReadingWhatIsNoVariableIsRefused) {
  Model m = counter(true);
  m.graphs[0].ops[2].inputs = {0};
  expect_error(file(m), Code::kDamaged, "is no variable");
}

// h = relu(x w^T + h r^T + b), one unit.
Model rnn(bool sequence, bool variable) {
  const auto f32 = fb::TensorType::FLOAT32;
  T state{"h", {1, 1}};
  state.variable = variable;
  const std::vector<int32_t> x = sequence ? std::vector<int32_t>{1, 3, 2} : std::vector<int32_t>{1, 2};
  const std::vector<int32_t> y = sequence ? std::vector<int32_t>{1, 3, 1} : std::vector<int32_t>{1, 1};
  Model m;
  m.graphs = {{{{"x", x},
                {"w", {1, 2}, f32, bytes<float>({1, 10})},
                {"r", {1, 1}, f32, bytes<float>({2})},
                {"b", {1}, f32, bytes<float>({0.5f})},
                state,
                {"y", y}},
               {0},
               {5},
               {}}};
  if (sequence)
    m.graphs[0].ops = {{kSequenceRnn, {0, 1, 2, 3, 4}, {5}, fb::BuiltinOptions::SequenceRNNOptions, [](auto& b) {
                          return fb::CreateSequenceRNNOptions(b, false, fb::Activation::RELU).Union();
                        }}};
  else
    m.graphs[0].ops = {{kRnn, {0, 1, 2, 3, 4}, {5}, fb::BuiltinOptions::RNNOptions, [](auto& b) {
                          return fb::CreateRNNOptions(b, fb::Activation::RELU).Union();
                        }}};
  return m;
}

TEST_F(ImportTfliteState, RecurrentOperatorsGoOnWhereTheLastRunEnded) {
  const auto one = import(file(rnn(false, true)));
  ASSERT_TRUE(one.has_value()) << one.error().message;
  Runs step(**one);
  EXPECT_EQ(step({{"x", floats({1, 2}, {1, 0})}}), (std::vector<float>{1.5f}));
  EXPECT_EQ(step({{"x", floats({1, 2}, {0, 1})}}), (std::vector<float>{13.5f}));
  const auto all = import(file(rnn(true, true)));
  ASSERT_TRUE(all.has_value()) << all.error().message;
  Runs sequence(**all);
  EXPECT_EQ(sequence({{"x", floats({1, 3, 2}, {1, 0, 0, 1, 0, 0})}}), (std::vector<float>{1.5f, 13.5f, 27.5f}));
  EXPECT_EQ(sequence({{"x", floats({1, 3, 2}, {0, 0, 0, 0, 0, 0})}})[0], 55.5f);
  expect_error(file(rnn(false, false)), Code::kDamaged, "\"h\"");
}

// Two filters of rank 2 with a memory of 3 over one feature.
TEST_F(ImportTfliteState, SvdfKeepsItsLastFeatures) {
  const auto f32 = fb::TensorType::FLOAT32;
  T state{"state", {1, 6}};
  state.variable = true;
  Model m;
  m.graphs = {{{{"x", {1, 1}},
                {"feature", {2, 1}, f32, bytes<float>({1, -1})},
                {"time", {2, 3}, f32, bytes<float>({1, 10, 100, 1, 1, 1})},
                {"b", {1}, f32, bytes<float>({0.5f})},
                state,
                {"y", {1, 1}}},
               {0},
               {5},
               {{kSvdf, {0, 1, 2, 3, 4}, {5}, fb::BuiltinOptions::SVDFOptions, [](auto& b) {
                   return fb::CreateSVDFOptions(b, 2, fb::Activation::NONE).Union();
                 }}}}};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  Runs run(**g);
  EXPECT_EQ(run({{"x", floats({1, 1}, {1})}}), (std::vector<float>{99.5f}));
  EXPECT_EQ(run({{"x", floats({1, 1}, {2})}}), (std::vector<float>{210 - 3 + 0.5f}));
  EXPECT_EQ(run({{"x", floats({1, 1}, {0})}}), (std::vector<float>{21 - 3 + 0.5f}));
  m.graphs[0].tensors[1].shape = {3, 1};
  m.graphs[0].tensors[1].data = bytes<float>({1, 1, 1});
  expect_error(file(m), Code::kDamaged, "does not divide");
}

}  // namespace
