// SPDX-License-Identifier: Apache-2.0
// Without the library's own locale, which is not in its headers.
#define FLATBUFFERS_LOCALE_INDEPENDENT 0
#include <flatbuffers/flexbuffers.h>
#include <gtest/gtest.h>

#include <random>

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
using Op = tflite_model::Op;
using T = tflite_model::Tensor;

constexpr int32_t kAdd = 0, kFullyConnected = 9, kMul = 18, kRelu = 19, kReshape = 22, kCustom = 32, kLess = 58,
                  kIf = 118, kWhile = 119, kDilate = 203;

using ImportTflite = tflite_model::ImportTest;

// y = relu(x w^T + b): x [2, 3], w [2, 3].
Model dense() {
  return {{{{{"x", {2, 3}},
             {"w", {2, 3}, fb::TensorType::FLOAT32, bytes<float>({1, 2, 3, 4, 5, 6})},
             {"b", {2}, fb::TensorType::FLOAT32, bytes<float>({0.5f, -100})},
             {"y", {2, 2}}},
            {0},
            {3},
            {{kFullyConnected, {0, 1, 2}, {3}, fb::BuiltinOptions::FullyConnectedOptions, [](auto& b) {
                return fb::CreateFullyConnectedOptions(b, fb::Activation::RELU).Union();
              }}}}}};
}

Model one_op(int32_t code) { return {{{{{"x", {2}}, {"y", {2}}}, {0}, {1}, {{code, {0}, {1}}}}}}; }

TEST_F(ImportTflite, ImportsADenseLayer) {
  const auto g = import(file(dense()));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const std::vector<float> x = {1, 1, 1, 2, 2, 2};
  const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2, 3}, x)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{6.5f, 0, 12.5f, 0}));
  EXPECT_EQ((*g)->output_names, std::vector<std::string>{"y"});
}

TEST_F(ImportTflite, WeightsStayInTheFile) {
  Model m = dense();
  m.graphs[0].tensors[1].shape = {2, 30'000};
  m.graphs[0].tensors[1].data.assign(2 * 30'000 * 4, 0);
  m.graphs[0].tensors[0].shape = {2, 30'000};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  bool found = false;
  for (size_t i = 0; i < (*g)->value_count(); ++i) {
    Value& v = (*g)->value(static_cast<ValueId>(i));
    if (v.name != "w") continue;
    found = true;
    EXPECT_TRUE(v.constant->mutable_bytes().data() == nullptr) << "the weights were copied";
  }
  EXPECT_TRUE(found);
}

TEST_F(ImportTflite, OpenDimensionsAreSymbols) {
  Model m = dense();
  m.graphs[0].tensors[0].signature = {-1, 3};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(shape_str((*g)->value((*g)->outputs[0]).shape).find("[2,"), std::string::npos);
  ImportOptions options;
  options.shapes["x"] = {5, 3};
  const auto five = import(file(m), options);
  ASSERT_TRUE(five.has_value()) << five.error().message;
  EXPECT_EQ(shape_str((*five)->value((*five)->outputs[0]).shape), "[5,2]");
}

TEST_F(ImportTflite, SignaturesNameInputsAndOutputs) {
  Model m = dense();
  m.signature = "serve";
  ImportOptions options;
  options.signature = "serve";
  const auto g = import(file(m), options);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ((*g)->value((*g)->inputs[0]).name, "in0");
  EXPECT_EQ((*g)->output_names[0], "out0");
  options.signature = "other";
  expect_error(file(m), Code::kUsage, "there is no signature \"other\"; the model's are: serve", options);
}

TEST_F(ImportTflite, ExpandsSparseWeights) {
  Model m = dense();
  m.graphs[0].tensors[1].sparse = true;
  m.graphs[0].tensors[1].data = bytes<float>({7, 9});
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const std::vector<float> x = {1, 10, 100, 0, 0, 0};
  const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2, 3}, x)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{7.5f, 0, 0.5f, 0}));
  m.columns = {0, 3};
  expect_error(file(m), Code::kDamaged, "its sparsity does not fit");
  m.columns = {0, 1};
  m.segments = {0, 1, 1'000'000};
  expect_error(file(m), Code::kDamaged, "its sparsity does not fit");
}

// What may be wrong with a file that is a whole flatbuffer.
TEST_F(ImportTflite, RefusesInconsistentFiles) {
  struct Case {
    const char* name;
    std::function<void(Model&)> harm;
    Code code;
    const char* text;
  };
  const auto tensor = [](Model& m, size_t i) -> T& { return m.graphs[0].tensors[i]; };
  const Case cases[] = {
      {"version", [](Model& m) { m.version = 2; }, Code::kUnsupported, "schema version 2"},
      {"no graph", [](Model& m) { m.graphs.clear(); }, Code::kDamaged, "no subgraph"},
      {"input index", [](Model& m) { m.graphs[0].inputs = {9}; }, Code::kDamaged, "does not exist"},
      {"negative input", [](Model& m) { m.graphs[0].inputs = {-1}; }, Code::kDamaged, "does not exist"},
      {"input twice", [](Model& m) { m.graphs[0].inputs = {0, 0}; }, Code::kDamaged, "listed twice"},
      {"output index", [](Model& m) { m.graphs[0].outputs = {100}; }, Code::kDamaged, "does not exist"},
      {"no outputs", [](Model& m) { m.graphs[0].outputs = {}; }, Code::kDamaged, "no outputs"},
      {"operator input", [](Model& m) { m.graphs[0].ops[0].inputs = {0, 77, 2}; }, Code::kDamaged, "does not exist"},
      {"operator output", [](Model& m) { m.graphs[0].ops[0].outputs = {-1}; }, Code::kDamaged, "does not exist"},
      {"operator code", [](Model& m) { m.graphs[0].ops[0].code_index = 5; }, Code::kDamaged, "operator code 5"},
      {"too many outputs", [](Model& m) { m.graphs[0].ops[0].outputs = {3, 3}; }, Code::kDamaged, "outputs"},
      {"computed twice", [](Model& m) { m.graphs[0].ops.push_back(m.graphs[0].ops[0]); }, Code::kDamaged,
       "computed twice"},
      {"result is a constant", [](Model& m) { m.graphs[0].ops[0].outputs = {0}; }, Code::kDamaged, "computed twice"},
      {"uses itself", [](Model& m) { m.graphs[0].ops[0].inputs = {3, 1, 2}; }, Code::kDamaged,
       "used before it is computed"},
      {"buffer index", [&](Model& m) { tensor(m, 1).buffer = 50; }, Code::kDamaged, "does not exist"},
      {"short data", [&](Model& m) { tensor(m, 1).data.resize(20); }, Code::kDamaged, "holds 20 bytes"},
      {"long data", [&](Model& m) { tensor(m, 1).data.resize(28); }, Code::kDamaged, "holds 28 bytes"},
      {"negative size", [&](Model& m) { tensor(m, 1).shape = {-2, -3}; }, Code::kDamaged, "negative dimension"},
      {"huge size", [&](Model& m) { tensor(m, 0).shape = {INT32_MAX, INT32_MAX, INT32_MAX}; }, Code::kDamaged,
       "impossible size"},
      {"rank", [&](Model& m) { tensor(m, 0).shape.assign(40, 1); }, Code::kUnsupported, "rank above 32"},
      {"element type", [&](Model& m) { tensor(m, 1).type = static_cast<fb::TensorType>(99); }, Code::kDamaged,
       "unknown element type"},
      {"another file's data", [&](Model& m) { tensor(m, 1).external = 1; }, Code::kUnsupported, "another file"},
      {"data behind the end",
       [](Model& m) {
         m.buffer_offset = 1 << 20;
         m.buffer_size = 24;
       },
       Code::kDamaged, "beyond the end of the file"},
      {"data size wraps",
       [](Model& m) {
         m.buffer_offset = 64;
         m.buffer_size = ~uint64_t{0};
       },
       Code::kDamaged, "beyond the end of the file"},
      {"scales of the wrong number",
       [&](Model& m) {
         tensor(m, 1).scales = {1, 2, 3};
         tensor(m, 1).zero_points = {0, 0, 0};
       },
       Code::kDamaged, "3 scales along dimension 0"},
      {"quantized dimension",
       [&](Model& m) {
         tensor(m, 1).scales = {1, 2};
         tensor(m, 1).axis = 7;
       },
       Code::kDamaged, "along dimension 7"},
      {"zero points of another number",
       [&](Model& m) {
         tensor(m, 1).scales = {1, 2};
         tensor(m, 1).zero_points = {1, 2, 3};
       },
       Code::kDamaged, "2 scales and 3 zero points"},
      {"negative scale", [&](Model& m) { tensor(m, 1).scales = {-1}; }, Code::kDamaged, "negative or not finite"},
      {"zero point outside the type",
       [&](Model& m) {
         tensor(m, 1).type = fb::TensorType::INT8;
         tensor(m, 1).scales = {1};
         tensor(m, 1).zero_points = {1000};
       },
       Code::kDamaged, "zero point"},
      {"result of another type", [&](Model& m) { tensor(m, 3).type = fb::TensorType::INT32; }, Code::kDamaged,
       "the file says its result is i32"},
      {"weights do not fit", [&](Model& m) { tensor(m, 0).shape = {2, 4}; }, Code::kDamaged, "does not fit"},
      {"state",
       [&](Model& m) {
         tensor(m, 2).data = {};
         tensor(m, 2).shape = {1 << 30, 1 << 30};
         tensor(m, 2).variable = true;
       },
       Code::kDamaged, "impossible size"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Model m = dense();
    c.harm(m);
    expect_error(file(m), c.code, c.text);
  }
}

TEST_F(ImportTflite, ListsEveryUnsupportedNode) {
  Model m;
  m.graphs = {{{{"x", {2}}, {"h", {2}}, {"v", {2}}, {"y", {2}}},
               {0},
               {3},
               {{kCustom, {0}, {1}}, {kDilate, {}, {2}}, {kAdd, {1, 2}, {3}}}}};
  const auto g = import(file(m));
  ASSERT_FALSE(g.has_value());
  EXPECT_EQ(g.error().code, Code::kUnsupported);
  EXPECT_NE(g.error().message.find("2 nodes are not supported"), std::string::npos) << g.error().message;
  EXPECT_NE(g.error().message.find("node \"h\": custom operator \"Strange\""), std::string::npos) << g.error().message;
  EXPECT_NE(g.error().message.find("node \"v\": DILATE"), std::string::npos) << g.error().message;
  EXPECT_EQ(g.error().message.find("ADD"), std::string::npos) << "what depends on others is not listed";
}

TEST_F(ImportTflite, OperatorsWithoutARowAreNamed) {
  expect_error(file(one_op(203)), Code::kUnsupported, "DILATE");
  expect_error(file(one_op(170)), Code::kUnsupported, "STABLEHLO operator 170");
  expect_error(file(one_op(5000)), Code::kUnsupported, "operator 5000");
}

// while (i < rounds) { i += step; x *= 2 }
Model loop(int32_t rounds, int32_t step, int32_t body) {
  const auto i32 = fb::TensorType::INT32;
  return {{{{{"i", {}, i32, bytes<int32_t>({0})}, {"x", {2}}, {"end", {}, i32}, {"y", {2}}},
            {1},
            {3},
            {{kWhile,
              {0, 1},
              {2, 3},
              fb::BuiltinOptions::WhileOptions,
              [body](auto& b) { return fb::CreateWhileOptions(b, 1, body).Union(); }}}},
           {{{"i", {}, i32}, {"x", {2}}, {"n", {}, i32, bytes<int32_t>({rounds})}, {"go", {}, fb::TensorType::BOOL}},
            {0, 1},
            {3},
            {{kLess, {0, 2}, {3}}}},
           {{{"i", {}, i32},
             {"x", {2}},
             {"one", {}, i32, bytes<int32_t>({step})},
             {"two", {}, fb::TensorType::FLOAT32, bytes<float>({2})},
             {"next", {}, i32},
             {"twice", {2}}},
            {0, 1},
            {4, 5},
            {{kAdd, {0, 2}, {4}}, {kMul, {1, 3}, {5}}}}}};
}

TEST_F(ImportTflite, UnrollsLoopsThatCount) {
  const auto g = import(file(loop(3, 1, 2)));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const std::vector<float> x = {1, 3};
  const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{8, 24}));
}

// The number of rounds is an input.
TEST_F(ImportTflite, LoopsWhoseEndDependsOnDataRun) {
  Model m = loop(3, 1, 2);
  const auto i32 = fb::TensorType::INT32;
  // while (i < n) { i += 1; x *= 2 }: n is handed on.
  m.graphs[0].tensors.push_back({"n", {}, i32});
  m.graphs[0].tensors.push_back({"n_end", {}, i32});
  m.graphs[0].inputs = {1, 4};
  m.graphs[0].ops[0].inputs = {0, 1, 4};
  m.graphs[0].ops[0].outputs = {2, 3, 5};
  m.graphs[1].tensors[2].data.clear();
  m.graphs[1].inputs = {0, 1, 2};
  m.graphs[2].tensors.push_back({"n", {}, i32});
  m.graphs[2].inputs = {0, 1, 6};
  m.graphs[2].outputs = {4, 5, 6};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_NE(print(**g).find("= Loop("), std::string::npos);
  for (const auto& [rounds, factor] : {std::pair{0, 1.f}, {1, 2.f}, {5, 32.f}}) {
    Tensor n = Tensor::zeros(DType::kI32, {});
    n.set_i64(0, rounds);
    const std::vector<float> x = {1, 3};
    const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}, {"n", n}});
    ASSERT_TRUE(y.has_value()) << y.error().message;
    EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{factor, 3 * factor}));
  }
}

TEST_F(ImportTflite, ConditionsThatDependOnDataChooseABranch) {
  const auto boolean = fb::TensorType::BOOL;
  Model m;
  const auto branch = [](int32_t code) {
    return tflite_model::Graph{{{"x", {2}}, {"y", {2}}}, {0}, {1}, {{code, {0, 0}, {1}}}};
  };
  m.graphs = {{{{"go", {}, boolean}, {"x", {2}}, {"y", {2}}},
               {0, 1},
               {2},
               {{kIf,
                 {0, 1},
                 {2},
                 fb::BuiltinOptions::IfOptions,
                 [](auto& b) { return fb::CreateIfOptions(b, 1, 2).Union(); }}}},
              branch(kAdd),
              branch(kMul)};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  for (const bool go : {true, false}) {
    Tensor condition = Tensor::zeros(DType::kBool, {});
    condition.set_i64(0, go);
    const std::vector<float> x = {3, 5};
    const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}, {"go", condition}});
    ASSERT_TRUE(y.has_value()) << y.error().message;
    EXPECT_EQ((*y)[0].to_f32(), go ? (std::vector<float>{6, 10}) : (std::vector<float>{9, 25}));
  }
}

TEST_F(ImportTflite, RefusesLoopsWithoutAnEnd) {
  expect_error(file(loop(3, 0, 2)), Code::kUnsupported, "rounds");
  expect_error(file(loop(3, 1, 0)), Code::kDamaged, "inputs");  // a body that is the graph itself
  expect_error(file(loop(3, 1, 7)), Code::kDamaged, "subgraph 7 does not exist");
}

// A subgraph that calls itself.
TEST_F(ImportTflite, RefusesEndlessCalls) {
  Model m;
  m.graphs = {{{{"x", {2}}, {"y", {2}}}, {0}, {1}, {{31, {0}, {1}, fb::BuiltinOptions::CallOptions, [](auto& b) {
                                                       return fb::CreateCallOptions(b, 0).Union();
                                                     }}}}};
  expect_error(file(m), Code::kUnsupported, "deep");
}

TEST_F(ImportTflite, AReshapeMustHoldAsManyElements) {
  Model m;
  m.graphs = {{{{"x", {2, 3}}, {"s", {2}, fb::TensorType::INT32, bytes<int32_t>({4, 4})}, {"y", {4, 4}}},
               {0},
               {2},
               {{kReshape, {0, 1}, {2}}}}};
  expect_error(file(m), Code::kDamaged, "cannot be reshaped");
}

// Requantized sums are exact: 1000 * 2^-8, rounded halves away from zero.
TEST_F(ImportTflite, IntegersAreExact) {
  const auto i8 = fb::TensorType::INT8;
  Model m;
  m.graphs = {{{{"x", {4}, i8, {}, {0.5f}, {0}}, {"y", {4}, i8, {}, {1.0f}, {3}}}, {0}, {1}, {{kRelu, {0}, {1}}}}};
  const auto g = import(file(m));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const std::vector<int8_t> x = {-5, 0, 5, 127};
  const auto y = evaluate_graph(**g, {{"x", Tensor::of<int8_t>(DType::kI8, {4}, x)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_i64(), (std::vector<int64_t>{3, 3, 6, 67}));
}

// Three boxes, two of which overlap, and two classes; the scores have a background in front.
Model detection(bool by_class) {
  flexbuffers::Builder options;
  options.Map([&] {
    options.Int("max_detections", 3);
    options.Int("max_classes_per_detection", 1);
    options.Int("num_classes", 2);
    options.Bool("use_regular_nms", by_class);
    options.Float("nms_score_threshold", 0.25f);
    options.Float("nms_iou_threshold", 0.5f);
    for (const char* scale : {"y_scale", "x_scale", "h_scale", "w_scale"}) options.Float(scale, 1.0f);
  });
  options.Finish();
  Op op{kCustom, {0, 1, 2}, {3, 4, 5, 6}};
  op.custom = options.GetBuffer();
  op.custom_name = "TFLite_Detection_PostProcess";
  const std::vector<float> anchors = {0.5f, 0.5f, 1, 1, 0.5f, 0.625f, 1, 1, 4, 4, 2, 2};
  return {{{{{"boxes", {1, 3, 4}},
             {"scores", {1, 3, 3}},
             {"anchors", {3, 4}, fb::TensorType::FLOAT32, bytes(anchors)},
             {"where", {1, 3, 4}},
             {"what", {1, 3}},
             {"how_sure", {1, 3}},
             {"count", {1}}},
            {0, 1},
            {3, 4, 5, 6},
            {op}}}};
}

TEST_F(ImportTflite, DetectionsAreSuppressedAndSorted) {
  const std::vector<float> boxes(12, 0), scores = {0.9f, 0.5f, 0.1f, 0.9f, 0.25f, 0.75f, 0.9f, 0, 0.3f};
  for (const bool by_class : {false, true}) {
    SCOPED_TRACE(by_class);
    const auto g = import(file(detection(by_class)));
    ASSERT_TRUE(g.has_value()) << g.error().message;
    const auto y = evaluate_graph(**g, {{"boxes", Tensor::of<float>(DType::kF32, {1, 3, 4}, boxes)},
                                        {"scores", Tensor::of<float>(DType::kF32, {1, 3, 3}, scores)}});
    ASSERT_TRUE(y.has_value()) << y.error().message;
    // At once, the second box ousts the first; by class, the first stays for its own class.
    const std::vector<float> second = {0, 0.125f, 1, 1.125f}, third = {3, 3, 5, 5};
    std::vector<float> where = second;
    if (by_class) where.insert(where.end(), {0, 0, 1, 1});
    where.insert(where.end(), third.begin(), third.end());
    where.resize(12);
    EXPECT_EQ((*y)[0].to_f32(), where);
    EXPECT_EQ((*y)[1].to_f32(), by_class ? (std::vector<float>{1, 0, 1}) : (std::vector<float>{1, 1, 0}));
    EXPECT_EQ((*y)[2].to_f32(),
              by_class ? (std::vector<float>{0.75f, 0.5f, 0.3f}) : (std::vector<float>{0.75f, 0.3f, 0}));
    EXPECT_EQ((*y)[3].to_f32(), (std::vector<float>{by_class ? 3.0f : 2.0f}));
  }
}

TEST_F(ImportTflite, DetectionOptionsMustMakeSense) {
  Model m = detection(false);
  m.graphs[0].ops[0].custom = {1, 2, 3, 200};
  expect_error(file(m), Code::kDamaged, "flexbuffer");
  m.graphs[0].ops[0].custom = {};
  expect_error(file(m), Code::kDamaged, "flexbuffer");
  m = detection(false);
  m.graphs[0].tensors[1].shape = {1, 3, 9};
  expect_error(file(m), Code::kDamaged, "do not fit");
}

TEST_F(ImportTflite, CutFilesAreDamaged) {
  const std::string whole = file(dense());
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto g = import(whole.substr(0, size));
    if (g) continue;  // padding at the end
    EXPECT_TRUE(g.error().code == Code::kDamaged) << size << ": " << g.error().message;
  }
}

// Any byte may be anything: an error or a graph, never a crash.
TEST_F(ImportTflite, ChangedBytesNeverCrash) {
  std::string models[] = {file(dense()), file(loop(3, 1, 2)), file(detection(true))};
  std::mt19937 random(1);
  for (const std::string& whole : models)
    for (int round = 0; round < 600; ++round) {
      std::string harmed = whole;
      for (int k = 0; k <= round % 3; ++k)
        harmed[random() % harmed.size()] = static_cast<char>(round % 2 == 0 ? random() : 1u << (random() % 8));
      const auto g = import(harmed);
      EXPECT_TRUE(g || g.error().code != Code::kFailed) << g.error().message;
    }
}

}  // namespace
