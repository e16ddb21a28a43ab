// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>

#include "import/import.h"
#include "ir/evaluate.h"
#include "tensorflow_model.h"

namespace {

using namespace lathe;             // NOLINT(google-build-using-namespace)
using namespace tensorflow_model;  // NOLINT(google-build-using-namespace)

class ImportTensorflow : public ::testing::Test {
 protected:
  onnx_model::TempFolder folder;

  Result<std::unique_ptr<lathe::Graph>> frozen(const Bytes& bytes, const ImportOptions& options = {}) {
    return import_model(folder.write("frozen.pb", bytes), options);
  }
  /// The only output of a frozen graph whose input is `x`.
  std::vector<float> result(const std::vector<Bytes>& nodes, const std::vector<Function>& functions, const Tensor& x) {
    const auto g = frozen(graph(nodes, functions));
    if (!g) {
      ADD_FAILURE() << g.error().message;
      return {};
    }
    const auto y = evaluate_graph(**g, {{"x", x}});
    if (!y) {
      ADD_FAILURE() << y.error().message;
      return {};
    }
    return (*y)[0].to_f32();
  }
  /// A SavedModel: y = x + v, with `index` and `data` as its variables.
  std::string add_variable(const Bytes& index, const Bytes& data) {
    const auto model =
        saved_model(graph({placeholder("x", {-1, 2}), node("VarHandleOp", "v", {}, {{"shared_name", attr_s("v")}}),
                           node("ReadVariableOp", "read", {"v"}), node("AddV2", "sum", {"x", "read"})}),
                    {signature("serving_default", {{"in", "x:0", {-1, 2}}}, {{"out", "sum:0", {-1, 2}}})});
    const std::string file = folder.write("saved_model.pb", model);
    std::filesystem::create_directory(std::filesystem::path(file).parent_path() / "variables");
    (void)folder.write("variables/variables.index", index);
    (void)folder.write("variables/variables.data-00000-of-00001", data);
    return std::filesystem::path(file).parent_path().string();
  }
  static void expect_error(const Result<std::unique_ptr<lathe::Graph>>& g, Code code, const std::string& text) {
    ASSERT_FALSE(g.has_value());
    EXPECT_EQ(static_cast<int>(g.error().code), static_cast<int>(code)) << g.error().message;
    EXPECT_NE(g.error().message.find(text), std::string::npos) << g.error().message;
  }
};

const Tensor kX = Tensor::of<float>(DType::kF32, {2, 3}, std::vector<float>{1, -2, 3, 4, 5, -6});

TEST_F(ImportTensorflow, OperatorsGiveTensorFlowsResults) {
  const Bytes x = placeholder("x", {2, 3});
  struct Case {
    const char* name;
    std::vector<Bytes> nodes;
    std::vector<float> want;
  };
  const Case cases[] = {
      {"Relu6", {node("Relu6", "y", {"x"})}, {1, 0, 3, 4, 5, 0}},
      {"LeakyRelu's slope is 0.2", {node("LeakyRelu", "y", {"x"})}, {1, -0.4f, 3, 4, 5, -1.2f}},
      {"Mean", {constant("a", ints({1}, {1})), node("Mean", "y", {"x", "a"})}, {2.0f / 3, 1}},
      {"strided slice: [:, 1]",
       {constant("b", ints({2}, {0, 1})), constant("e", ints({2}, {0, 2})), constant("s", ints({2}, {1, 1})),
        node("StridedSlice", "y", {"x", "b", "e", "s"},
             {{"begin_mask", attr_i(1)}, {"end_mask", attr_i(1)}, {"shrink_axis_mask", attr_i(2)}})},
       {-2, 5}},
      {"strided slice: [..., ::-1]",
       {constant("b", ints({2}, {0, 0})), constant("e", ints({2}, {0, 0})), constant("s", ints({2}, {1, -1})),
        node("StridedSlice", "y", {"x", "b", "e", "s"},
             {{"ellipsis_mask", attr_i(1)}, {"begin_mask", attr_i(2)}, {"end_mask", attr_i(2)}})},
       {3, -2, 1, -6, 5, 4}},
      {"strided slice: x[-1]",
       {constant("b", ints({1}, {-1})), constant("e", ints({1}, {0})), constant("s", ints({1}, {1})),
        node("StridedSlice", "y", {"x", "b", "e", "s"}, {{"shrink_axis_mask", attr_i(1)}})},
       {4, 5, -6}},
      {"symmetric padding",
       {constant("p", ints({2, 2}, {0, 0, 2, 1})), node("MirrorPad", "y", {"x", "p"}, {{"mode", attr_s("SYMMETRIC")}})},
       {-2, 1, 1, -2, 3, 3, 5, 4, 4, 5, -6, -6}},
      {"DivNoNan",
       {constant("d", floats({3}, {0, 2, -1})), node("DivNoNan", "y", {"x", "d"})},
       {0, -1, -3, 0, 2.5f, 6}},
      {"a constant of one repeated value",
       {constant(
            "c", message({{2, shape({2, 3})}}) +
                     [] {
                       Bytes b;
                       pbf_writer w(b);
                       w.add_enum(1, kFloat);
                       w.add_float(5, 2);
                       return b;
                     }()),
        node("Mul", "y", {"x", "c"})},
       {2, -4, 6, 8, 10, -12}},
      {"reshape to [-1, 2] by a packed shape",
       {node("Shape", "shape", {"x"}), constant("b", ints({1}, {0})), constant("e", ints({1}, {1})),
        constant("s", ints({1}, {1})),
        node("StridedSlice", "rows", {"shape", "b", "e", "s"}, {{"shrink_axis_mask", attr_i(1)}}),
        constant("m", ints({}, {-1})), node("Pack", "target", {"m", "rows"}, {{"N", attr_i(2)}}),
        node("Reshape", "r", {"x", "target"}), constant("a", ints({}, {0})), node("Sum", "y", {"r", "a"})},
       {9, -4}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<Bytes> nodes = {x};
    nodes.insert(nodes.end(), c.nodes.begin(), c.nodes.end());
    const auto y = result(nodes, {}, kX);
    ASSERT_EQ(y.size(), c.want.size());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], c.want[i], 1e-6) << i;
  }
}

TEST_F(ImportTensorflow, TransformOfARealSignalAndBack) {
  // irfft(rfft(x)) is x, for even and odd lengths, through complex arithmetic in between.
  for (const int length : {6, 7}) {
    std::vector<float> x;
    for (int i = 0; i < length; ++i) x.push_back(static_cast<float>(i * i % 5) - 1.5f);
    const auto y =
        result({placeholder("x", {1, length}), constant("n", ints({1}, {length})), node("RFFT", "f", {"x", "n"}),
                node("Add", "twice", {"f", "f"}), node("IRFFT", "y", {"twice", "n"})},
               {}, Tensor::of<float>(DType::kF32, {1, length}, x));
    ASSERT_EQ(y.size(), x.size());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], 2 * x[i], 1e-5) << length << " " << i;
  }
}

TEST_F(ImportTensorflow, FunctionsAreInlinedAndNodesKeepTheirNames) {
  const Function inner{"inner", {"a"}, {{"r", "square:z:0"}}, {node("Square", "square", {"a"})}};
  const Function outer{"outer",
                       {"a", "b"},
                       {{"r", "plus:z:0"}},
                       {node("PartitionedCall", "dense/PartitionedCall", {"a"}, {{"f", attr_function("inner")}}),
                        node("AddV2", "plus", {"dense/PartitionedCall:output:0", "b"})}};
  const std::vector<Bytes> nodes = {
      placeholder("x", {2, 3}), constant("one", floats({}, {1})),
      node("StatefulPartitionedCall", "StatefulPartitionedCall", {"x", "one"}, {{"f", attr_function("outer")}})};
  EXPECT_EQ(result(nodes, {inner, outer}, kX), (std::vector<float>{2, 5, 10, 17, 26, 37}));
  const auto g = frozen(graph(nodes, {inner, outer}));
  ASSERT_TRUE(g.has_value());
  EXPECT_NE(print(**g).find("dense/square"), std::string::npos) << print(**g);
}

TEST_F(ImportTensorflow, LoopsOfKnownLengthAreUnrolled) {
  // for i in range(3): list[i] = x[i] * i; the sum of the list.
  const Function condition{"cond",
                           {"i", "l", "x"},
                           {{"r", "less:z:0"}},
                           {constant("n", ints({}, {3})), node("Less", "less", {"i", "n:output:0"})}};
  const Function body{
      "body",
      {"i", "l", "x"},
      {{"o0", "next:z:0"}, {"o1", "set:output_handle:0"}, {"o2", "x"}},
      {constant("one", ints({}, {1})), node("AddV2", "next", {"i", "one:output:0"}), constant("axis", ints({}, {0})),
       node("GatherV2", "row", {"x", "i", "axis:output:0"}), node("Cast", "f", {"i"}, {{"DstT", attr_type(kFloat)}}),
       node("Mul", "scaled", {"row:output:0", "f:y:0"}), node("TensorListSetItem", "set", {"l", "i", "scaled:z:0"})}};
  const auto y =
      result({placeholder("x", {3, 2}), constant("zero", ints({}, {0})), constant("three", ints({}, {3})),
              constant("element", ints({1}, {2})),
              node("TensorListReserve", "list", {"element", "three"}, {{"element_dtype", attr_type(kFloat)}}),
              node("StatelessWhile", "loop", {"zero", "list", "x"},
                   {{"cond", attr_function("cond")}, {"body", attr_function("body")}}),
              node("TensorListStack", "stack", {"loop:1", "element"}), node("Sum", "y", {"stack", "zero"})},
             {condition, body}, Tensor::of<float>(DType::kF32, {3, 2}, std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(y, (std::vector<float>{13, 16}));
}

TEST_F(ImportTensorflow, EveryUnsupportedNodeIsListed) {
  const auto g =
      frozen(graph({placeholder("x", {2}), node("Frobnicate", "layer/one", {"x"}), node("Relu", "after", {"layer/one"}),
                    node("Defenestrate", "two", {"x"}), node("AddV2", "sum", {"after", "two"})}));
  expect_error(g, Code::kUnsupported, "2 nodes are not supported");
  EXPECT_NE(g.error().message.find("node \"layer/one\": Frobnicate"), std::string::npos) << g.error().message;
  EXPECT_NE(g.error().message.find("node \"two\": Defenestrate"), std::string::npos) << g.error().message;
}

TEST_F(ImportTensorflow, DamagedGraphs) {
  const Function forever{
      "f", {"a"}, {{"r", "c:output:0"}}, {node("PartitionedCall", "c", {"a"}, {{"f", attr_function("f")}})}};
  const Bytes x = placeholder("x", {2});
  struct Case {
    Bytes bytes;
    Code code;
    const char* text;
  };
  const Case cases[] = {
      {graph({x, node("Relu", "y", {"nowhere"})}), Code::kDamaged, "\"nowhere\" is not defined"},
      {graph({x, node("Relu", "y", {"x:3"})}), Code::kDamaged, "has no output 3"},
      {graph({x, x, node("Relu", "y", {"x"})}), Code::kDamaged, "defined twice"},
      {graph({x, node("AddV2", "a", {"x", "b"}), node("Relu", "b", {"a"}), node("Relu", "y", {"b"})}), Code::kDamaged,
       "cycle"},
      {graph({x, node("PartitionedCall", "y", {"x"}, {{"f", attr_function("f")}})}, {forever}), Code::kUnsupported,
       "deep"},
      {graph({x, node("PartitionedCall", "y", {"x"}, {{"f", attr_function("g")}})}), Code::kDamaged, "no function"},
      {graph({x, constant("c", floats({1 << 30, 1 << 30}, {1})), node("Mul", "y", {"x", "c"})}), Code::kDamaged,
       "impossible size"},
      {graph({x, constant("c", floats({4}, {1})), node("Mul", "y", {"x", "c"})}), Code::kDamaged, "its shape needs"},
      {graph({x, constant("c", floats({3}, {1, 2, 3})), node("Mul", "y", {"x", "c"})}), Code::kDamaged, "Mul"},
      {graph({x, constant("p", ints({1}, {7})), node("ExpandDims", "y", {"x", "p"})}), Code::kDamaged, "out of range"},
      {graph({node("Relu", "y", {"x"})}).substr(0, 9), Code::kDamaged, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    expect_error(frozen(c.bytes), c.code, c.text);
  }
}

const Bytes kData = raw(std::vector<float>{10, 20});
Entry whole() { return {{2}, 0, 8, tensorflow::masked_crc32c(kData)}; }

TEST_F(ImportTensorflow, VariablesAreReadFromTheBundle) {
  for (const bool snappy : {false, true}) {
    const auto path = add_variable(table({{"", bundle_header()}, {"v", entry(whole())}}, snappy), kData);
    const auto g = import_model(path);
    ASSERT_TRUE(g.has_value()) << g.error().message;
    EXPECT_EQ((*g)->output_names, std::vector<std::string>{"out"});
    EXPECT_EQ(shape_str((*g)->value((*g)->outputs[0]).shape), "[batch,2]");
    const auto y = evaluate_graph(**g, {{"in", Tensor::of<float>(DType::kF32, {1, 2}, std::vector<float>{1, 2})}});
    ASSERT_TRUE(y.has_value()) << y.error().message;
    EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{11, 22}));
  }
}

// y = x + v; v = y. The assignment is needed by nothing but the output's control input.
TEST_F(ImportTensorflow, VariablesThatTheModelChangesAreState) {
  const auto path = add_variable(table({{"", bundle_header()}, {"v", entry(whole())}}), kData);
  const auto write = [&](const std::vector<int64_t>& dims) {
    (void)folder.write(
        "saved_model.pb",
        saved_model(
            graph({placeholder("x", dims), node("VarHandleOp", "v", {}, {{"shared_name", attr_s("v")}}),
                   node("ReadVariableOp", "read", {"v"}), node("AddV2", "sum", {"x", "read"}),
                   node("AssignVariableOp", "assign", {"v", "sum"}), node("Identity", "out", {"sum", "^assign"})}),
            {signature("serving_default", {{"in", "x:0", dims}}, {{"out", "out:0", dims}})}));
  };
  write({2});
  const auto g = import_model(path);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  ASSERT_EQ((*g)->states.size(), 1u);
  EXPECT_EQ((*g)->states[0].to_f32(), (std::vector<float>{10, 20}));
  EXPECT_EQ((*g)->value((*g)->inputs[1]).name, "v");
  EXPECT_EQ((*g)->output_names, (std::vector<std::string>{"out", "v/next"}));
  const auto pair = [](float a, float b) { return Tensor::of<float>(DType::kF32, {2}, std::vector<float>{a, b}); };
  const auto y = evaluate_graph(**g, {{"in", pair(1, 2)}, {"v", pair(5, 6)}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{6, 8}));
  EXPECT_EQ((*y)[1].to_f32(), (std::vector<float>{6, 8}));

  write({3, 2});
  expect_error(import_model(path), Code::kUnsupported, "only states that keep their type and shape");
}

TEST_F(ImportTensorflow, DamagedBundles) {
  const auto with = [](auto change) {
    Entry e = whole();
    change(e);
    return table({{"", bundle_header()}, {"v", entry(e)}});
  };
  const Bytes good = table({{"", bundle_header()}, {"v", entry(whole())}});
  Bytes flipped = good;
  flipped[3] = static_cast<char>(flipped[3] ^ 1);
  struct Case {
    const char* name;
    Bytes index, data;
    const char* text;
  };
  const Case cases[] = {
      {"shard cut short", good, kData.substr(0, 5), "beyond the end"},
      {"flipped value", good, raw(std::vector<float>{10, 21}), "checksum"},
      {"flipped index", flipped, kData, "checksum"},
      {"index cut short", good.substr(0, 20), kData, "too short"},
      {"not a table", Bytes(100, 'x'), kData, "not a table"},
      {"offset outside", with([](Entry& e) { e.offset = 1 << 30; }), kData, "beyond the end"},
      {"negative offset", with([](Entry& e) { e.offset = -4; }), kData, "beyond the end"},
      {"huge size", with([](Entry& e) { e.size = INT64_MAX; }), kData, "beyond the end"},
      {"absurd shape", with([](Entry& e) { e.dims = {INT64_MAX, 16}; }), kData, "impossible size"},
      {"negative shape", with([](Entry& e) { e.dims = {-2}; }), kData, "impossible size"},
      {"another shape", with([](Entry& e) { e.dims = {3}; }), kData, "its shape needs 12"},
      {"no such shard", with([](Entry& e) { e.shard = 7; }), kData, "does not exist"},
      {"no header", table({{"v", entry(whole())}}), kData, "header"},
      {"no entry", table({{"", bundle_header()}}), kData, "\"v\" is not in the checkpoint"},
      {"absurd number of shards", table({{"", bundle_header(1 << 30)}}), kData, "shards"},
      {"keys not in order", table({{"", bundle_header()}, {"v", entry(whole())}, {"a", entry(whole())}}), kData,
       "order"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    expect_error(import_model(add_variable(c.index, c.data)), Code::kDamaged, c.text);
  }
}

TEST_F(ImportTensorflow, TablesWithLyingLengthsAreRefused) {
  const Bytes lies[] = {
      varint(0) + varint(200) + varint(0) + "short" + fixed32(0) + fixed32(1),
      varint(5) + varint(1) + varint(1) + "kv" + fixed32(0) + fixed32(1),
      varint(0) + varint(1) + varint(1) + "kv" + fixed32(0) + fixed32(1u << 31),
      Bytes(12, '\xff'),
  };
  for (const Bytes& lie : lies) {
    const Bytes handle = varint(0) + varint(lie.size());
    const Bytes file = stored(lie);
    const Bytes index = block({{"~", handle}});
    Bytes footer = varint(0) + varint(0) + varint(file.size()) + varint(index.size());
    footer.resize(40, '\0');
    const auto t =
        tensorflow::read_table(file + stored(index) + footer + raw(std::vector<uint64_t>{0xdb4775248b80fb57u}));
    EXPECT_FALSE(t.has_value());
  }
}

TEST_F(ImportTensorflow, RestoredByTheKeyThatTheGraphNames) {
  // The variable's own name is not in the checkpoint, and a decoy has it: the graph's restoring part decides.
  const Bytes names = [] {
    Bytes b;
    pbf_writer w(b);
    w.add_enum(1, kString);
    w.add_message(2, shape({1}));
    w.add_bytes(8, "model/.ATTRIBUTES/VARIABLE_VALUE");
    return b;
  }();
  const Function restore{
      "restore",
      {"prefix", "handle"},
      {},
      {constant("names", names), node("RestoreV2", "read", {"prefix", "names:output:0", "names:output:0"}),
       node("Identity", "pass", {"read:tensors:0"}), node("AssignVariableOp", "assign", {"handle", "pass:output:0"})}};
  const auto model = saved_model(
      graph({placeholder("x", {-1, 2}), node("VarHandleOp", "v", {}), node("ReadVariableOp", "read", {"v"}),
             node("AddV2", "sum", {"x", "read"}), node("Placeholder", "prefix", {}),
             node("StatefulPartitionedCall", "restore_all", {"prefix", "v"}, {{"f", attr_function("restore")}})},
            {restore}),
      {signature("serving_default", {{"in", "x:0", {-1, 2}}}, {{"out", "sum:0", {-1, 2}}})}, "restore_all");
  const Bytes data = kData + raw(std::vector<float>{3, 4});
  Entry other = whole();
  other.offset = 8;
  other.crc = tensorflow::masked_crc32c(data.substr(8));
  const auto path = add_variable(
      table({{"", bundle_header()}, {"model/.ATTRIBUTES/VARIABLE_VALUE", entry(whole())}, {"v", entry(other)}}), data);
  (void)folder.write("saved_model.pb", model);
  const auto g = import_model(path);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  const auto y = evaluate_graph(**g, {{"in", Tensor::of<float>(DType::kF32, {1, 2}, std::vector<float>{1, 2})}});
  ASSERT_TRUE(y.has_value()) << y.error().message;
  EXPECT_EQ((*y)[0].to_f32(), (std::vector<float>{11, 22}));
}

TEST_F(ImportTensorflow, SignaturesAreChosenByName) {
  const auto model = saved_model(graph({placeholder("x", {2}), node("Relu", "a", {"x"}), node("Neg", "b", {"x"})}),
                                 {signature("first", {{"x", "x:0", {2}}}, {{"y", "a:0", {2}}}),
                                  signature("second", {{"x", "x:0", {2}}}, {{"y", "b:0", {2}}})});
  const std::string file = folder.write("saved_model.pb", model);
  expect_error(import_model(file), Code::kUsage, "first, second");
  ImportOptions options;
  options.signature = "third";
  expect_error(import_model(file, options), Code::kUsage, "no signature \"third\"");
  options.signature = "second";
  const auto g = import_model(file, options);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_NE(print(**g).find("Neg"), std::string::npos);
}

TEST_F(ImportTensorflow, FoldersThatAreNoSavedModels) {
  const std::string file = folder.write("something.txt", "");
  expect_error(import_model(std::filesystem::path(file).parent_path().string()), Code::kDamaged, "not a SavedModel");
}

}  // namespace
