// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/builder.h"
#include "import/pt2/schema.h"

namespace lathe::pt2 {

class Importer;
struct Row;

using Values = std::vector<ValueId>;

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }
inline std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

/// One node of the exported graph while it is translated: its arguments by their names in ATen's schema, which are
/// absent where the default holds. The first wrong argument sticks in the builder, as its own errors do, so that
/// handlers read as expressions.
class Node {
 public:
  Node(const schema::Node& node, const Row& row, importer::Builder& builder, Importer& importer)
      : b(builder), node_(node), row_(row), importer_(importer) {}

  /// The table row's `name`: how one handler serves several operators.
  [[nodiscard]] std::string_view canonical() const;
  /// "aten.add"; the overload ("Tensor") apart.
  [[nodiscard]] std::string_view op() const;
  [[nodiscard]] std::string_view overload() const;
  [[nodiscard]] size_t output_count() const;

  /// Whether the argument is given and not None.
  [[nodiscard]] bool has(std::string_view name) const { return arg(name) != nullptr; }
  [[nodiscard]] const schema::Argument* arg(std::string_view name) const;
  [[nodiscard]] bool is_tensor(std::string_view name) const;
  ValueId tensor(std::string_view name);    ///< an error if it is not there
  ValueId optional(std::string_view name);  ///< kNoId if it is not there
  Values tensors(std::string_view name);    ///< kNoId for None in the list
  int64_t i(std::string_view name, int64_t otherwise);
  double f(std::string_view name, double otherwise);
  bool flag(std::string_view name, bool otherwise);
  std::string s(std::string_view name, std::string_view otherwise);
  std::vector<int64_t> ints(std::string_view name);  ///< a single number is a list of one; empty if it is not there
  std::vector<double> floats(std::string_view name);
  Dim dim(std::string_view name, const Dim& otherwise);
  Shape dims(std::string_view name);
  DType dtype(std::string_view name, DType otherwise);
  /// A number of the model as a scalar of its own type (i64, f32 or bool).
  ValueId number(std::string_view name);
  /// A tensor or a number as a scalar of `dtype`.
  ValueId as(std::string_view name, DType dtype);
  /// The argument `axis` (or the number given) counted from the front.
  int64_t axis(int64_t axis, int64_t rank);
  std::vector<int64_t> axes(std::vector<int64_t> axes, int64_t rank);  ///< sorted
  /// Tensors and numbers cast to the type that torch computes in.
  Values promoted(std::initializer_list<std::string_view> names);

  /// Takes tensor `name` to be `value`: how views are applied to something else.
  void replace(std::string_view name, ValueId value) {
    replaced_ = name;
    replacement_ = value;
  }

  void fail_with(Code code, std::string why) { b.set_error({code, std::move(why)}); }
  /// What a handler returns: the values, or the first error.
  Result<Values> done(Values values) const {
    if (!b.ok()) return std::unexpected(b.status().error());
    return values;
  }
  Result<Values> done(ValueId value) const { return done(Values{value}); }

  importer::Builder& b;

 private:
  ValueId resolve(const schema::Argument& a);
  Dim dim_of(const schema::Argument& a);
  int64_t int_of(const schema::Argument& a);
  double float_of(const schema::Argument& a);
  const schema::Node& node_;
  const Row& row_;
  Importer& importer_;
  std::string_view replaced_;
  ValueId replacement_ = kNoId;
};

/// Translates a node; returns a value for each output (kNoId where it cannot be had).
using Handler = Result<Values> (*)(Node&);

enum class Alias : uint8_t {
  kNo,
  kView,   ///< the result shares the input's elements
  kMaybe,  ///< it does if the input is contiguous
  kInput,  ///< it is the input, if the handler returns that
};

struct Row {
  std::string_view op;  ///< without "torch.ops." and overload
  Handler handler;
  std::string_view name = {};  ///< canonical operator or variant
  Alias alias = Alias::kNo;
  std::string_view base = "self";  ///< the argument that the result may share elements with
};
/// The table of operators; nullptr if there is none.
const Row* find_row(std::string_view op);

/// torch.promote_types.
DType promote_types(DType a, DType b);

}  // namespace lathe::pt2
