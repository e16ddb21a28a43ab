// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "ir/dim.h"

/// What of PyTorch's export schema (torch/_export/serde/schema.py, major version 8) is of use, as plain structs. The
/// one place that reads the JSON; unknown fields are ignored, wrong ones are kDamaged.
namespace lathe::pt2::schema {

struct Graph;

/// An argument or result of a node. Lists of any element type are kList.
struct Argument {
  enum class Kind : uint8_t {
    kNone,
    kTensor,
    kSymInt,
    kSymFloat,
    kSymBool,
    kInt,
    kFloat,
    kBool,
    kString,
    kDType,
    kList,
    kGraph,
    kOther
  };
  Kind kind = Kind::kNone;
  std::string text = {};  ///< a name (tensors and Sym…), the string, or the JSON field of kOther
  int64_t i = 0;          ///< kInt, kBool; kDType: the scalar type's number
  double f = 0;
  std::vector<Argument> items = {};
  std::shared_ptr<const Graph> graph = {};
};

struct NamedArgument {
  std::string name;
  Argument arg;
};

struct Node {
  std::string target, name;
  std::vector<NamedArgument> inputs;
  std::vector<Argument> outputs;
  std::string module;  ///< path of the module it belongs to ("layer1.0.conv1"), from its metadata
};

/// Types and sizes of a tensor before the model runs.
struct TensorMeta {
  DType dtype = DType::kUndefined;
  std::optional<Shape> sizes;  ///< empty: an expression in them is not known
  std::vector<int64_t> strides;
  int64_t offset = 0;
  bool fixed = true;  ///< strides and offset are plain numbers
  bool strided = true;
};

struct Graph {
  std::vector<Argument> inputs, outputs;
  std::vector<Node> nodes;
  std::map<std::string, TensorMeta, std::less<>> tensors;
};

struct InputSpec {
  enum class Kind : uint8_t { kUser, kState, kConstant, kOther };
  Kind kind = Kind::kOther;  ///< kState: parameter or buffer; kConstant: a lifted tensor
  std::string what;          ///< the JSON field
  Argument arg;
  std::string target;  ///< name in the state dictionary or among the constants
};

struct OutputSpec {
  bool user = false;
  std::string what;  ///< the JSON field
  Argument arg;
  std::string target;  ///< of a mutation: what is changed
};

struct Range {
  std::optional<int64_t> min, max;
};

struct Program {
  Graph graph;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::vector<std::string> output_keys;  ///< where the model returns a dictionary, a name for each user output
  std::map<std::string, Range> ranges;
  std::string torch_version;
};

/// A stored tensor: weights, buffers, constants.
struct Payload {
  std::string path;
  bool pickled = false;
  std::optional<TensorMeta> meta;  ///< absent for objects that are not tensors
};

Result<Program> parse_program(std::string_view json);
Result<std::map<std::string, Payload>> parse_payloads(std::string_view json);

/// The element type that a ScalarType of the schema stands for; kUndefined if lathe has none.
DType dtype_of(int64_t scalar_type);

}  // namespace lathe::pt2::schema
