// SPDX-License-Identifier: Apache-2.0
// Archives of torch.export: what is not whole is refused as damaged, and changes in place reach what they should.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "import/pt2/importer.h"
#include "import/pt2/pickle.h"
#include "ir/evaluate.h"
#include "zip_file.h"

namespace lathe {
namespace {

using Entries = testing::ZipEntries;
using testing::zipped;

Result<std::unique_ptr<Graph>> import(const std::string& bytes, size_t max_bytes = size_t{1} << 30) {
  const auto owner = std::make_shared<const std::string>(bytes);
  ImportOptions options;
  options.max_tensor_bytes = max_bytes;
  return pt2::import_pt2({*owner, owner}, "model.pt2", options);
}

void expect_error(const Result<std::unique_ptr<Graph>>& r, Code code, const std::string& part) {
  ASSERT_FALSE(r.has_value()) << "expected: " << part;
  EXPECT_EQ(r.error().code, code) << r.error().message;
  EXPECT_NE(r.error().message.find(part), std::string::npos) << r.error().message;
}

std::string tensor(const std::string& name) { return R"({"as_tensor": {"name": ")" + name + R"("}})"; }
std::string named(const std::string& name, const std::string& arg) {
  return R"({"name": ")" + name + R"(", "arg": )" + arg + R"(, "kind": 1})";
}
std::string node(const std::string& target, const std::string& inputs, const std::string& output) {
  return R"({"target": "torch.ops.aten.)" + target + R"(", "inputs": [)" + inputs + R"(], "outputs": [)" +
         tensor(output) + R"(], "metadata": {"nn_module_stack": "L__self__,,M;L__self__a,a.b,N"}})";
}
std::string meta(const std::string& sizes, int dtype = 7) {
  return R"({"dtype": )" + std::to_string(dtype) + R"(, "sizes": [)" + sizes +
         R"(], "strides": [{"as_int": 3}, {"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7})";
}
constexpr const char* kTwoByThree = R"({"as_int": 2}, {"as_int": 3})";

// A program over x and the weight w, both f32[2,3].
std::string program(const std::string& nodes, const std::string& output, const std::string& x_sizes = kTwoByThree,
                    int major = 8) {
  return R"({"graph_module": {"graph": {"inputs": [)" + tensor("p_w") + ", " + tensor("x") + R"(], "outputs": [)" +
         tensor(output) + R"(], "nodes": [)" + nodes + R"(], "tensor_values": {"x": )" + meta(x_sizes) +
         R"(, "p_w": )" + meta(kTwoByThree) +
         R"(}}, "signature": {"input_specs": [{"parameter": {"arg": {"name": "p_w"},
         "parameter_name": "w"}}, {"user_input": {"arg": )" +
         tensor("x") + R"(}}], "output_specs": [{"user_output":
         {"arg": )" +
         tensor(output) + R"(}}]}}, "range_constraints": {}, "schema_version": {"major": )" + std::to_string(major) +
         R"(, "minor": 8}})";
}

std::string payloads(const std::string& sizes = kTwoByThree, const std::string& offset = "0") {
  std::string m = meta(sizes);
  m.replace(m.find(R"("storage_offset": {"as_int": 0})"), 31, R"("storage_offset": {"as_int": )" + offset + "}");
  return R"({"config": {"w": {"path_name": "weight_0", "is_param": true, "use_pickle": false, "tensor_meta": )" + m +
         "}}}";
}

std::string floats(std::initializer_list<float> v) {
  return {reinterpret_cast<const char*>(std::data(v)), v.size() * sizeof(float)};
}
const std::string kWeight = floats({10, 20, 30, 40, 50, 60});

Entries archive(const std::string& json, const std::string& config = payloads(), const std::string& weight = kWeight) {
  return {{"m/models/model.json", json},
          {"m/data/weights/model_weights_config.json", config},
          {"m/data/weights/weight_0", weight}};
}

std::vector<float> run(const Graph& graph, std::initializer_list<float> x) {
  const auto out =
      evaluate_graph(graph, {{"x", Tensor::of<float>(DType::kF32, {2, 3}, std::span(std::data(x), x.size()))}});
  EXPECT_TRUE(out.has_value()) << (out ? "" : out.error().message);
  return out ? (*out)[0].to_f32() : std::vector<float>{};
}

const std::string kAdd = node("add.Tensor", named("self", tensor("x")) + "," + named("other", tensor("p_w")), "y");

TEST(Pt2, ReadsStoredAndCompressedArchives) {
  for (const bool compress : {false, true}) {
    const auto graph = import(zipped(archive(program(kAdd, "y")), compress));
    ASSERT_TRUE(graph.has_value()) << graph.error().message;
    EXPECT_EQ(run(**graph, {1, 2, 3, 4, 5, 6}), (std::vector<float>{11, 22, 33, 44, 55, 66}));
    EXPECT_EQ((*graph)->output_names[0], "y");
  }
}

TEST(Pt2, NodesCarryTheModulePath) {
  const auto graph = import(zipped(archive(program(kAdd, "y"))));
  ASSERT_TRUE(graph.has_value()) << graph.error().message;
  EXPECT_EQ((*graph)->node((*graph)->order()[0]).name, "a.b/y");
}

// A change of a row of a copy is seen in the copy and in other views of it, not in what was copied.
TEST(Pt2, ChangesInPlaceReachViewsAndWhatTheyView) {
  const std::string nodes =
      node("clone.default", named("self", tensor("x")), "c") + "," +
      node("view.default", named("self", tensor("c")) + "," + named("size", R"({"as_ints": [3, 2]})"), "v") + "," +
      node("select.int",
           named("self", tensor("c")) + "," + named("dim", R"({"as_int": 0})") + "," +
               named("index", R"({"as_int": 1})"),
           "row") +
      "," +
      node("add_.Tensor", named("self", tensor("row")) + "," + named("other", R"({"as_float": 100.0})"), "changed") +
      "," + node("view.default", named("self", tensor("v")) + "," + named("size", R"({"as_ints": [2, 3]})"), "w") +
      "," + node("add.Tensor", named("self", tensor("w")) + "," + named("other", tensor("x")), "y");
  const auto graph = import(zipped(archive(program(nodes, "y"))));
  ASSERT_TRUE(graph.has_value()) << graph.error().message;
  EXPECT_EQ(run(**graph, {1, 2, 3, 4, 5, 6}), (std::vector<float>{2, 4, 6, 108, 110, 112}));
}

TEST(Pt2, ChangesOfWeightsAndInputsAreRefused) {
  for (const char* name : {"x", "p_w"}) {
    const auto change =
        node("mul_.Tensor", named("self", tensor(name)) + "," + named("other", R"({"as_float": 2.0})"), "y");
    expect_error(import(zipped(archive(program(change, "y")))), Code::kUnsupported, "in place");
  }
}

TEST(Pt2, AllUnsupportedNodesAreListed) {
  const std::string nodes = node("nothing.default", named("self", tensor("x")), "a") + "," +
                            node("relu.default", named("self", tensor("a")), "b") + "," +
                            node("nowhere.default", named("self", tensor("x")), "y");
  const auto r = import(zipped(archive(program(nodes, "y"))));
  expect_error(r, Code::kUnsupported, "2 nodes are not supported");
  expect_error(r, Code::kUnsupported, "a.b/a");
  expect_error(r, Code::kUnsupported, "aten.nowhere.default");
  EXPECT_EQ(r.error().message.find("relu"), std::string::npos);
}

TEST(Pt2, DamagedArchives) {
  const std::string good = zipped(archive(program(kAdd, "y")));
  for (const size_t keep : {size_t{4}, size_t{30}, good.size() / 2, good.size() - 1})
    expect_error(import(good.substr(0, keep)), Code::kDamaged, "model.pt2");
  std::string flipped = good;
  flipped[flipped.find(kWeight)] ^= 1;
  expect_error(import(flipped), Code::kDamaged, "weight_0");
  expect_error(import(zipped({{"../models/model.json", "{}"}})), Code::kDamaged, "not a file inside");
  expect_error(import(zipped({{"/models/model.json", "{}"}})), Code::kDamaged, "not a file inside");
  expect_error(import(zipped({{"data.pkl", "x"}})), Code::kDamaged, "torch.export.save");
  Entries twice = archive(program(kAdd, "y"));
  twice.emplace_back("m/models/model.jsoN", "{}");
  std::string doubled = zipped(twice);
  for (size_t at; (at = doubled.find("model.jsoN")) != std::string::npos;) doubled.replace(at, 10, "model.json");
  expect_error(import(doubled), Code::kDamaged, "two entries");
  const std::string bomb = zipped({{"m/models/model.json", std::string(1 << 24, ' ')}}, true);
  expect_error(import(bomb, 1 << 20), Code::kUnsupported, "limit");
}

TEST(Pt2, DamagedPrograms) {
  const auto with = [](const std::string& json, const std::string& config = payloads(),
                       const std::string& weight = kWeight) { return import(zipped(archive(json, config, weight))); };
  expect_error(with("{"), Code::kDamaged, "not a JSON object");
  expect_error(with(std::string(100000, '[')), Code::kDamaged, "nested");
  expect_error(with("{}"), Code::kDamaged, "schema_version");
  expect_error(with(program(kAdd, "y", kTwoByThree, 9)), Code::kUnsupported, "version 9");
  expect_error(with(program(kAdd, "z")), Code::kDamaged, "\"z\"");
  expect_error(with(program(kAdd + "," + kAdd, "y")), Code::kDamaged, "twice");
  expect_error(with(program(kAdd, "y", R"({"as_int": -1}, {"as_int": 3})")), Code::kDamaged, "negative");
  expect_error(with(program(kAdd, "y"), payloads(), kWeight.substr(4)), Code::kDamaged, "beyond");
  expect_error(with(program(kAdd, "y"), payloads(kTwoByThree, "1")), Code::kDamaged, "beyond");
  expect_error(with(program(kAdd, "y"), payloads(R"({"as_int": 2}, {"as_int": 2})")), Code::kDamaged, "another size");
  const auto wrong = node("relu.default", named("self", R"({"as_int": 3})"), "y");
  expect_error(with(program(wrong, "y")), Code::kDamaged, "not a tensor");
  const auto far = node("unsqueeze.default", named("self", tensor("x")) + "," + named("dim", R"({"as_int": 9})"), "y");
  expect_error(with(program(far, "y")), Code::kDamaged, "out of range");
}

TEST(Pt2, SymbolicSizesAreNamedAsTorchNamesThem) {
  const std::string batch =
      R"-({"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)"}}, {"as_int": 3})-";
  const auto relu = node("relu.default", named("self", tensor("x")), "y");
  const auto graph = import(zipped(archive(program(relu, "y", batch))));
  ASSERT_TRUE(graph.has_value()) << graph.error().message;
  EXPECT_EQ(shape_str((*graph)->value((*graph)->outputs[0]).shape), "[s0,3]");
}

// PROTO 2, dict { "w": _rebuild_tensor_v2(("storage", torch.FloatStorage, "0", "cpu", 6), 0, (2, 3), (3, 1)) }
std::string pickled(char count = 3) {
  using namespace std::string_literals;
  return "\x80\x02}X\x01\x00\x00\x00w"
         "ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
         "0X\x03\x00\x00\x00"
         "cpuK\x06tQK\x00K\x02K"s +
         count + "\x86K\x03K\x01\x86\x89}tRs."s;
}

TEST(Pt2, ReadsWeightsThatTorchSavePickled) {
  const std::string file = zipped({{"archive/data.pkl", pickled()}, {"archive/data/0", kWeight}});
  const Entries old = {
      {"serialized_exported_program.json", program(kAdd, "y")}, {"serialized_state_dict.pt", file}, {"version", "8.3"}};
  const auto graph = import(zipped(old));
  ASSERT_TRUE(graph.has_value()) << graph.error().message;
  EXPECT_EQ(run(**graph, {1, 2, 3, 4, 5, 6}), (std::vector<float>{11, 22, 33, 44, 55, 66}));
}

TEST(Pt2, HostilePicklesAreRefused) {
  const auto read = [](const std::string& pickle) {
    static std::vector<std::shared_ptr<const std::string>> keep;
    keep.push_back(std::make_shared<const std::string>(zipped({{"a/data.pkl", pickle}, {"a/data/0", kWeight}})));
    return pt2::read_tensors({*keep.back(), keep.back()}, 1 << 20);
  };
  ASSERT_TRUE(read(pickled()).has_value());
  const std::string good = pickled();
  for (size_t n = 0; n < good.size(); ++n) {
    const auto r = read(good.substr(0, n));
    ASSERT_FALSE(r.has_value());
    EXPECT_EQ(r.error().code, Code::kDamaged);
  }
  for (const std::string& bad :
       {std::string("cos\nsystem\n(X\x02\x00\x00\x00lstR.", 21), pickled(9), std::string("R."), std::string("h\x05."),
        std::string("t."), std::string("]K\x01s."), std::string("P1\n.")}) {
    const auto r = read(bad);
    ASSERT_FALSE(r.has_value()) << bad;
    EXPECT_EQ(r.error().code, Code::kDamaged);
  }
}

}  // namespace
}  // namespace lathe
