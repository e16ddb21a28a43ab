// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/builder.h"
#include "import/tflite/model.h"

namespace lathe::tflite {

class Importer;
struct Row;

using Values = std::vector<ValueId>;

/// One operator of the file while it is translated: its inputs (already in the graph), options, the quantization of its
/// tensors, and the builder.
class Node {
 public:
  Node(const fb::Operator& op, const fb::SubGraph& graph, const Row& row, Values inputs, importer::Builder& builder,
       Importer& importer)
      : b(builder), importer_(importer), op_(op), graph_(graph), row_(row), inputs_(std::move(inputs)) {}

  [[nodiscard]] const fb::Operator& op() const { return op_; }
  [[nodiscard]] const Row& row() const { return row_; }
  /// The canonical operator or variant that the row names.
  [[nodiscard]] std::string_view canonical() const;
  [[nodiscard]] Importer& importer() const { return importer_; }

  [[nodiscard]] size_t input_count() const { return inputs_.size(); }
  [[nodiscard]] const Values& inputs() const { return inputs_; }
  [[nodiscard]] bool has(size_t i) const { return i < inputs_.size() && inputs_[i] != kNoId; }
  /// kNoId if absent.
  [[nodiscard]] ValueId in(size_t i) const { return i < inputs_.size() ? inputs_[i] : kNoId; }
  [[nodiscard]] size_t output_count() const { return length(op_.outputs()); }
  [[nodiscard]] Shape shape(size_t i) const { return b.shape(in(i)); }
  [[nodiscard]] int64_t rank(size_t i) const { return b.rank(in(i)); }
  [[nodiscard]] DType dtype(size_t i) const { return b.dtype(in(i)); }

  /// The tensor of an input or output in the file; the importer has checked that it exists (inputs: unless absent).
  [[nodiscard]] const fb::Tensor& in_tensor(size_t i) const;
  [[nodiscard]] const fb::Tensor& out_tensor(size_t i) const;
  [[nodiscard]] DType out_dtype(size_t i) const;
  /// The quantization of an integer tensor; nullptr if it is plain.
  [[nodiscard]] const Quantization* quant_in(size_t i) const;
  [[nodiscard]] const Quantization* quant_out(size_t i) const;

  /// The operator's options as its table; nullptr if they are absent, as all defaults.
  template <class T>
  [[nodiscard]] const T* options() const {
    return op_.builtin_options_type() == fb::BuiltinOptionsTraits<T>::enum_value
               ? static_cast<const T*>(op_.builtin_options())
               : nullptr;
  }

  /// Elements of an integer input, if they are known when shapes are; error otherwise.
  [[nodiscard]] Result<std::vector<int64_t>> integers(size_t i, std::string_view what) const;
  [[nodiscard]] Result<int64_t> integer(size_t i, std::string_view what) const;
  /// Integer input i as a vector of i64.
  [[nodiscard]] ValueId as_i64(size_t i) const;
  /// `axis` in [0, rank) from one that may be negative.
  static Result<int64_t> axis(int64_t axis, int64_t rank);
  /// Sorted, each once.
  static Result<std::vector<int64_t>> axes(std::vector<int64_t> axes, int64_t rank);

  [[nodiscard]] ValueId scalar(double v) const { return b.scalar(dtype(0), v); }

  /// What a handler returns: the values, or the builder's error.
  [[nodiscard]] Result<Values> done(Values values) const {
    if (!b.ok()) return std::unexpected(b.status().error());
    return values;
  }
  [[nodiscard]] Result<Values> done(ValueId value) const { return done(Values{value}); }

  importer::Builder& b;

 private:
  Importer& importer_;
  const fb::Operator& op_;
  const fb::SubGraph& graph_;
  const Row& row_;
  Values inputs_;
};

/// Translates an operator; returns a value for each output.
using Handler = Result<Values> (*)(Node&);

/// How an operator takes quantized integers.
enum class Quantized : uint8_t {
  kNo,     ///< not at all
  kMoves,  ///< the handler moves elements, whatever they stand for; inputs and outputs are quantized alike
  kOwn     ///< `integer` computes on them
};
struct Row {
  int32_t code;
  std::string_view op;  ///< the format's name
  Handler handler;
  std::string_view name = {};  ///< canonical operator, or variant of a handler that serves several
  Quantized quantized = Quantized::kNo;
  Handler integer = nullptr;
};
/// The table of operators; nullptr if there is none.
const Row* find_row(int32_t code);
/// The same for custom operators, which have names.
const Row* find_custom_row(std::string_view name);
/// The format's name of an operator, supported or not.
std::string op_name(int32_t code);

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }
inline std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

}  // namespace lathe::tflite
