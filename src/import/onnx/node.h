// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/builder.h"
#include "import/onnx/proto.h"

namespace lathe::onnx {

class Importer;

using Values = std::vector<ValueId>;

/// One ONNX node while it is translated: its inputs (already in the graph), attributes and opset, and the builder.
class Node {
 public:
  Node(const proto::Node& node, std::string_view canonical, int64_t opset, Values inputs, importer::Builder& builder,
       Importer& importer)
      : b(builder),
        importer_(importer),
        node_(node),
        canonical_(canonical),
        inputs_(std::move(inputs)),
        opset_(opset) {}

  /// The same node on other inputs: for handlers that build on others.
  [[nodiscard]] Node with_inputs(Values inputs) const {
    return {node_, canonical_, opset_, std::move(inputs), b, importer_};
  }

  [[nodiscard]] std::string_view op_type() const { return node_.op_type; }
  /// The table row's `name`, else op_type.
  [[nodiscard]] std::string_view canonical() const { return canonical_.empty() ? node_.op_type : canonical_; }
  /// Version of the node's domain.
  [[nodiscard]] int64_t opset() const { return opset_; }
  [[nodiscard]] Importer& importer() const { return importer_; }

  [[nodiscard]] size_t input_count() const { return inputs_.size(); }
  [[nodiscard]] bool has(size_t i) const { return i < inputs_.size() && inputs_[i] != kNoId; }
  /// Input i, kNoId if it is not given.
  [[nodiscard]] ValueId in(size_t i) const { return i < inputs_.size() ? inputs_[i] : kNoId; }
  [[nodiscard]] const Values& inputs() const { return inputs_; }
  [[nodiscard]] const Tensor* constant(size_t i) const { return b.constant_of(in(i)); }
  [[nodiscard]] size_t output_count() const { return node_.outputs.size(); }
  /// Whether somebody asks for output i.
  [[nodiscard]] bool wants(size_t i) const { return i < node_.outputs.size() && !node_.outputs[i].empty(); }
  [[nodiscard]] Shape shape(size_t i) const { return b.shape(in(i)); }
  [[nodiscard]] int64_t rank(size_t i) const { return b.rank(in(i)); }
  [[nodiscard]] DType dtype(size_t i) const { return b.dtype(in(i)); }
  /// Elements of an integer input, if they are known; error otherwise.
  Result<std::vector<int64_t>> integers(size_t i, std::string_view what) const;
  /// Elements of a numeric constant input.
  Result<std::vector<double>> numbers(size_t i, std::string_view what) const;

  [[nodiscard]] const proto::Attribute* attr(std::string_view name) const;
  [[nodiscard]] int64_t i(std::string_view name, int64_t otherwise) const;
  [[nodiscard]] double f(std::string_view name, double otherwise) const;
  [[nodiscard]] std::string s(std::string_view name, std::string_view otherwise) const;
  [[nodiscard]] std::optional<std::vector<int64_t>> ints(std::string_view name) const;
  [[nodiscard]] std::vector<double> floats(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> strings(std::string_view name) const;
  /// `axis` in [0, rank) from one that may be negative.
  static Result<int64_t> axis(int64_t axis, int64_t rank);
  static Result<std::vector<int64_t>> axes(std::vector<int64_t> axes, int64_t rank);
  /// Axes from attribute or, in later opsets, from input i; empty optional if there are none.
  Result<std::optional<std::vector<int64_t>>> axes_of(size_t i) const;
  /// Sets the attributes of `op` that the node has under the same name.
  void copy_attributes(Op& op) const;

  /// What a handler returns: the values, or the builder's error.
  Result<Values> done(Values values) const {
    if (!b.ok()) return std::unexpected(b.status().error());
    return values;
  }
  Result<Values> done(ValueId value) const { return done(Values{value}); }

  importer::Builder& b;

 private:
  Importer& importer_;
  const proto::Node& node_;
  std::string_view canonical_;
  Values inputs_;
  int64_t opset_;
};

/// Translates a node; returns a value for each output (kNoId where nobody asks for it).
using Handler = Result<Values> (*)(Node&);

/// Optional data for a handler: how one function serves several operators.
struct Row {
  std::string_view domain, op_type;
  Handler handler;
  std::string_view name = {};  ///< canonical operator or variant, if it is called otherwise than op_type
  bool aggregates = false;     ///< whether inputs may be sequences or optionals
};
/// The table of operators; nullptr if there is none.
const Row* find_row(std::string_view domain, std::string_view op_type);

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }
inline std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

}  // namespace lathe::onnx
