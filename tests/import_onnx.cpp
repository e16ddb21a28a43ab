// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "import/import.h"
#include "ir/evaluate.h"
#include "onnx_model.h"

namespace {

using namespace lathe;       // NOLINT(google-build-using-namespace)
using namespace onnx_model;  // NOLINT(google-build-using-namespace)

class ImportOnnx : public ::testing::Test {
 protected:
  TempFolder folder;
  Result<std::unique_ptr<lathe::Graph>> import(const std::string& bytes, const ImportOptions& options = {}) {
    return import_model(folder.write("m.onnx", bytes), options);
  }
  void expect_error(const std::string& bytes, Code code, const std::string& text, const ImportOptions& options = {}) {
    const auto g = import(bytes, options);
    ASSERT_FALSE(g.has_value());
    EXPECT_EQ(static_cast<int>(g.error().code), static_cast<int>(code)) << g.error().message;
    EXPECT_NE(g.error().message.find(text), std::string::npos) << g.error().message;
  }
};

onnx_model::Graph mlp() {
  onnx_model::Graph g;
  g.inputs = {value("x", {"batch", "2"})};
  g.outputs = {value("y", {"batch", "3"})};
  g.initializers = {tensor_f32("w", {2, 3}, {1, 2, 3, 4, 5, 6}), tensor_f32("b", {3}, {0.5f, 0, -100})};
  g.nodes = {node("Gemm", {"x", "w", "b"}, {"h"}, {}, {}, "fc"), node("Relu", {"h"}, {"y"})};
  return g;
}

onnx_model::Graph one_node(const std::string& n) {
  onnx_model::Graph g;
  g.inputs = {value("x", {"2"})};
  g.outputs = {value("y", {"2"})};
  g.nodes = {n};
  return g;
}

Shape output_shape(const lathe::Graph& g) { return g.value(g.outputs[0]).shape; }

TEST_F(ImportOnnx, KeepsSymbolicBatch) {
  const auto g = import(model(mlp()));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(shape_str(output_shape(**g)), "[batch,3]");
  EXPECT_EQ((*g)->output_names, std::vector<std::string>{"y"});
  const std::vector<float> x = {1, 1};
  const auto y = evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {1, 2}, x)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{5.5f, 7, 0}));
}

TEST_F(ImportOnnx, ShapesCanBeGiven) {
  ImportOptions options;
  options.shapes["x"] = {4, 2};
  const auto g = import(model(mlp()), options);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(shape_str(output_shape(**g)), "[4,3]");
}

TEST_F(ImportOnnx, GivenShapesMustFit) {
  ImportOptions options;
  options.shapes["x"] = {4, 5};
  expect_error(model(mlp()), Code::kUsage, "does not fit", options);
  options.shapes = {{"nothing", {1}}};
  expect_error(model(mlp()), Code::kUsage, "there is no input \"nothing\"; the model's are: x", options);
}

TEST_F(ImportOnnx, AMissingFileIsAUsageError) {
  const auto g = import_model("/nonexistent/m.onnx");
  ASSERT_FALSE(g.has_value());
  EXPECT_EQ(g.error().code, Code::kUsage);
}

TEST_F(ImportOnnx, ListsEveryUnsupportedNode) {
  onnx_model::Graph g = one_node(node("Relu", {"x"}, {"a"}));
  g.nodes.push_back(node("Frobnicate", {"a"}, {"b"}, {}, {}, "first"));
  g.nodes.push_back(node("Relu", {"b"}, {"c"}));
  g.nodes.push_back(node("Mangle", {"c"}, {"y"}, {}, "my.domain", "second"));
  const auto r = import(model(g));
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().code, Code::kUnsupported);
  EXPECT_NE(r.error().message.find("2 nodes"), std::string::npos) << r.error().message;
  EXPECT_NE(r.error().message.find("node \"first\": ai.onnx.Frobnicate (opset 20)"), std::string::npos)
      << r.error().message;
  EXPECT_NE(r.error().message.find("node \"second\": my.domain.Mangle"), std::string::npos) << r.error().message;
}

TEST_F(ImportOnnx, ANewerOpsetIsRefused) { expect_error(model(mlp(), 1000), Code::kUnsupported, "opset 1000"); }

TEST_F(ImportOnnx, NodesMayBeOutOfOrder) {
  onnx_model::Graph g = mlp();
  std::swap(g.nodes[0], g.nodes[1]);
  EXPECT_TRUE(import(model(g)).has_value());
}

TEST_F(ImportOnnx, AConditionThatIsKnownChoosesABranch) {
  const auto branch = [](const std::string& op) {
    onnx_model::Graph b;
    b.nodes = {node(op, {"x"}, {"branch_out"})};
    b.outputs = {value("branch_out", {"2"})};
    return b.bytes();
  };
  onnx_model::Graph g = one_node(
      node("If", {"c"}, {"y"},
           {attribute_graph("then_branch", branch("Neg")), attribute_graph("else_branch", branch("Frobnicate"))}));
  g.initializers = {tensor_bool("c", true)};
  const auto r = import(model(g));
  ASSERT_TRUE(r.has_value()) << r.error().message;
  const std::vector<float> x = {1, -2};
  EXPECT_EQ((*evaluate_graph(**r, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}}))[0].to_f32(),
            (std::vector<float>{-1, 2}));
}

TEST_F(ImportOnnx, InputsCanBeFixed) {
  onnx_model::Graph g = one_node(node("Mul", {"x", "k"}, {"y"}));
  g.inputs.push_back(value("k", {}));
  ImportOptions options;
  options.values["k"] = Tensor::scalar_f32(3);
  const auto r = import(model(g), options);
  ASSERT_TRUE(r.has_value()) << r.error().message;
  EXPECT_EQ((*r)->inputs.size(), 1u);
  options.values["k"] = Tensor::scalar_i64(3);  // becomes the input's type
  EXPECT_TRUE(import(model(g), options).has_value());
  const std::vector<int64_t> two = {3, 4};
  options.values["k"] = Tensor::of<int64_t>(DType::kI64, {2}, two);
  expect_error(model(g), Code::kUsage, "does not fit the type or shape", options);
}

TEST_F(ImportOnnx, FunctionsAreExpanded) {
  const std::string body = node("LeakyRelu", {"a"}, {"b"}, {attribute_ref("alpha", "slope")});
  std::string f = message({{1, "Leaky"}, {4, "a"}, {5, "b"}, {6, "slope"}, {7, body}, {9, opset(20)}, {10, "local"}});
  std::string slope;
  pbf_writer w(slope);
  w.add_string(1, "slope");
  w.add_float(2, 0.5f);
  const onnx_model::Graph g = one_node(node("Leaky", {"x"}, {"y"}, {slope}, "local"));
  const auto r = import(model(g, 20, {f}, {opset(1, "local")}));
  ASSERT_TRUE(r.has_value()) << r.error().message;
  const std::vector<float> x = {4, -4};
  EXPECT_EQ((*evaluate_graph(**r, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}}))[0].to_f32(),
            (std::vector<float>{4, -2}));
}

TEST_F(ImportOnnx, ARecursiveFunctionIsRefused) {
  const std::string f = message({{1, "F"},
                                 {4, "a"},
                                 {5, "b"},
                                 {7, node("F", {"a"}, {"b"}, {}, "local")},
                                 {9, opset(20)},
                                 {9, opset(1, "local")},
                                 {10, "local"}});
  expect_error(model(one_node(node("F", {"x"}, {"y"}, {}, "local")), 20, {f}, {opset(1, "local")}), Code::kUnsupported,
               "nested");
}

TEST_F(ImportOnnx, SamePaddingOfUnknownSizesIsExplained) {
  onnx_model::Graph g;
  g.inputs = {value("x", {"1", "1", "h", "w"})};
  g.outputs = {value("y", {})};
  g.initializers = {tensor_f32("k", {1, 1, 1, 1}, {1})};
  g.nodes = {
      node("Conv", {"x", "k"}, {"y"}, {attribute_s("auto_pad", "SAME_UPPER"), attribute_ints("strides", {2, 2})})};
  expect_error(model(g), Code::kUnsupported, "give them with --shape");
}

// Damaged models.

TEST_F(ImportOnnx, GarbageIsOfNoKnownFormat) {
  expect_error("this is not a model at all", Code::kDamaged, "");
  expect_error("", Code::kDamaged, "too short");
  expect_error(std::string(64, '\0'), Code::kDamaged, "no known format");
}

TEST_F(ImportOnnx, EveryTruncationIsAnError) {
  const std::string whole = model(mlp());
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto g = import(whole.substr(0, n));
    EXPECT_FALSE(g.has_value() && n + 12 < whole.size()) << n;
  }
}

TEST_F(ImportOnnx, FlippedBytesDoNoHarm) {
  const std::string whole = model(mlp());
  for (size_t n = 0; n < whole.size(); ++n)
    for (const unsigned mask : {0x01u, 0x08u, 0x80u, 0xffu}) {
      std::string bad = whole;
      bad[n] = static_cast<char>(static_cast<unsigned char>(bad[n]) ^ mask);
      if (const auto g = import(bad)) {
        EXPECT_FALSE((*g)->outputs.empty());
      }
    }
}

TEST_F(ImportOnnx, UndefinedInputsAreNamed) {
  expect_error(model(one_node(node("Relu", {"ghost"}, {"y"}))), Code::kDamaged, "\"ghost\" is not defined");
}

TEST_F(ImportOnnx, CyclesAreFound) {
  onnx_model::Graph g = one_node(node("Add", {"x", "b"}, {"a"}));
  g.nodes.push_back(node("Relu", {"a"}, {"b"}));
  g.nodes.push_back(node("Relu", {"b"}, {"y"}));
  expect_error(model(g), Code::kDamaged, "cycle");
}

TEST_F(ImportOnnx, NamesAreDefinedOnce) {
  onnx_model::Graph g = one_node(node("Relu", {"x"}, {"y"}));
  g.nodes.push_back(node("Neg", {"x"}, {"y"}));
  expect_error(model(g), Code::kDamaged, "\"y\" is defined twice");
}

TEST_F(ImportOnnx, OutputsMustBeComputed) {
  onnx_model::Graph g = one_node(node("Relu", {"x"}, {"z"}));
  expect_error(model(g), Code::kDamaged, "output \"y\" is not computed");
}

TEST_F(ImportOnnx, ImpossibleTensors) {
  const auto with = [](const std::string& tensor) {
    onnx_model::Graph g = one_node(node("Add", {"x", "w"}, {"y"}));
    g.initializers = {tensor};
    return model(g);
  };
  expect_error(with(tensor_f32("w", {-2}, {1, 2})), Code::kDamaged, "negative dimension");
  expect_error(with(tensor_f32("w", {3}, {1, 2})), Code::kDamaged, "holds 8 bytes, its shape needs 12");
  expect_error(with(tensor_f32("w", {int64_t{1} << 40, int64_t{1} << 40, 64}, {1})), Code::kDamaged, "impossible size");
  expect_error(with(tensor_header("w", {1}, 99)), Code::kDamaged, "unknown element type 99");
  expect_error(with(tensor_header("w", {int64_t{1} << 36}, 1)), Code::kDamaged, "0 values");
  expect_error(with(tensor_f32("w", {5}, {1, 2, 3, 4, 5})), Code::kDamaged, "do not broadcast");
}

TEST_F(ImportOnnx, ImpossibleInputs) {
  onnx_model::Graph g = one_node(node("Relu", {"x"}, {"y"}));
  g.inputs = {value("x", {"-7"})};
  expect_error(model(g), Code::kDamaged, "dimension -7");
  g.inputs = {value("x", {"1099511627776", "1099511627776"})};
  expect_error(model(g), Code::kDamaged, "impossible size");
  g.inputs = {value("x", {"2"}, 77)};
  expect_error(model(g), Code::kDamaged, "element type 77");
}

TEST_F(ImportOnnx, ExternalDataIsReadAndChecked) {
  const auto with = [](const std::string& location, const std::string& offset = "0") {
    onnx_model::Graph g = one_node(node("Add", {"x", "w"}, {"y"}));
    g.initializers = {tensor_external("w", {2}, location, offset)};
    return model(g);
  };
  const std::vector<float> w = {1, 2, 3, 4};
  (void)folder.write("w.bin", std::string(reinterpret_cast<const char*>(w.data()), sizeof(float) * w.size()));
  const auto g = import(with("w.bin", "8"));
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const std::vector<float> x = {10, 20};
  EXPECT_EQ((*evaluate_graph(**g, {{"x", Tensor::of<float>(DType::kF32, {2}, x)}}))[0].to_f32(),
            (std::vector<float>{13, 24}));
  expect_error(with("missing.bin"), Code::kDamaged, "missing.bin");
  expect_error(with("missing.bin"), Code::kDamaged, "tensor \"w\"");
  expect_error(with("w.bin", "12"), Code::kDamaged, "beyond the end");
  expect_error(with("w.bin", "18446744073709551615"), Code::kDamaged, "beyond the end");
  expect_error(with("w.bin", "-1"), Code::kDamaged, "not a number");
  expect_error(with("../w.bin"), Code::kDamaged, "inside the model's folder");
  expect_error(with("a/../../w.bin"), Code::kDamaged, "inside the model's folder");
  expect_error(with("/etc/passwd"), Code::kDamaged, "inside the model's folder");
  expect_error(with(""), Code::kDamaged, "inside the model's folder");
}

TEST_F(ImportOnnx, DeepNestingIsBounded) {
  std::string graph = one_node(node("Relu", {"x"}, {"y"})).bytes();
  for (int i = 0; i < 200; ++i)
    graph = one_node(node("If", {"x"}, {"y"}, {attribute_graph("then_branch", graph)})).bytes();
  onnx_model::Graph outer = one_node(node("If", {"x"}, {"y"}, {attribute_graph("then_branch", graph)}));
  expect_error(model(outer), Code::kDamaged, "deep");
}

}  // namespace
