// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

/// The messages of TensorFlow's saved_model.proto, graph.proto, function.proto and tensor_bundle.proto that the
/// importer reads, as plain structs. Strings and raw data are views into the bytes that were parsed.
namespace lathe::tensorflow::proto {

struct Shape {
  bool known_rank = true;
  std::vector<int64_t> dims;  ///< -1: not known
};

struct Tensor {
  int64_t dtype = 0;
  Shape shape;
  std::string_view content;
  std::vector<double> floats;  ///< float_val, double_val, and scomplex_val, dcomplex_val as pairs
  std::vector<int64_t> ints;   ///< int_val, int64_val, bool_val, uint32_val, uint64_val (bits), half_val
  std::vector<std::string_view> strings;
};

struct Attr;
using Attrs = std::map<std::string_view, Attr>;

struct Attr {
  enum class Kind : uint8_t { kNone, kString, kInt, kFloat, kBool, kType, kShape, kTensor, kList, kFunction, kOther };
  Kind kind = Kind::kNone;
  std::string_view s;                       ///< kString; the function's name for kFunction
  int64_t i = 0;                            ///< kInt, kBool, kType
  double f = 0;                             ///< kFloat
  Shape shape;                              ///< kShape
  std::string_view tensor;                  ///< kTensor: the serialised TensorProto
  std::vector<int64_t> ints;                ///< kList: of integers, booleans or types
  std::vector<double> floats;               ///< kList
  std::vector<std::string_view> strings;    ///< kList: of strings, or names of functions
  std::vector<Shape> shapes;                ///< kList
  std::shared_ptr<const Attrs> attributes;  ///< of kFunction
};

struct Node {
  std::string_view name, op;
  std::vector<std::string_view> inputs;
  Attrs attrs;
};

struct Argument {
  std::string_view name;
  int64_t type = 0;
};

struct Function {
  std::string_view name;
  std::vector<Argument> inputs, outputs;
  std::vector<Node> nodes;
  std::map<std::string_view, std::string_view> returns;  ///< output argument → "node:output:index" or an input
  std::vector<std::string_view> control_returns;         ///< nodes that run for their effects
};

struct Graph {
  std::vector<Node> nodes;
  std::vector<Function> functions;
};

struct TensorInfo {
  std::string_view key, name;
  bool plain = true;  ///< neither sparse nor composite
  int64_t dtype = 0;
  Shape shape;
};

struct Signature {
  std::string_view key;
  std::vector<TensorInfo> inputs, outputs;  ///< by key
};

struct MetaGraph {
  std::vector<std::string_view> tags;
  std::string_view version;
  Graph graph;
  std::vector<Signature> signatures;
  std::string_view restore_op;  ///< SaverDef: the node that restores the variables
};

struct SavedModel {
  int64_t schema_version = 0;
  std::vector<MetaGraph> meta_graphs;
};

struct BundleEntry {
  int64_t dtype = 0;
  Shape shape;
  int64_t shard = 0, offset = 0, size = 0;
  uint32_t crc = 0;
  bool sliced = false;
};

struct BundleHeader {
  int64_t shards = 0;
  bool big_endian = false;
};

/// One object of a checkpoint's graph: where its variables are stored.
struct Attribute {
  std::string_view full_name, checkpoint_key;
};

/// Each parses a serialised message, whose bytes must outlive the result. kDamaged where it is not one.
Result<SavedModel> parse_saved_model(std::string_view bytes);
Result<Graph> parse_graph(std::string_view bytes);
Result<Tensor> parse_tensor(std::string_view bytes);
Result<BundleHeader> parse_bundle_header(std::string_view bytes);
Result<BundleEntry> parse_bundle_entry(std::string_view bytes);
/// The variables of a TrackableObjectGraph.
Result<std::vector<Attribute>> parse_object_graph(std::string_view bytes);

/// Whether the bytes begin like a SavedModel, or like a GraphDef: field by field, without reading the nested ones.
bool looks_like_saved_model(std::string_view bytes);
bool looks_like_graph(std::string_view bytes);

}  // namespace lathe::tensorflow::proto
