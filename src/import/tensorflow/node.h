// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/builder.h"
#include "import/tensorflow/proto.h"

namespace lathe::tensorflow {

class Importer;

using Values = std::vector<ValueId>;
struct TensorList;

/// What an edge of a TensorFlow graph carries.
struct Item {
  enum class Kind : uint8_t {
    kNone,      ///< no value: the element of a list that was never set
    kTensor,    ///< `value`
    kComplex,   ///< `value` + i `imaginary`
    kVariable,  ///< a handle
    kList,      ///< a TensorList
    kFailed     ///< depends on a node that could not be imported
  };
  Item() = default;
  Item(ValueId v) : kind(Kind::kTensor), value(v) {}  // NOLINT(google-explicit-constructor): a tensor is an item
  Item(ValueId re, ValueId im) : kind(Kind::kComplex), value(re), imaginary(im) {}

  Kind kind = Kind::kNone;
  ValueId value = kNoId, imaginary = kNoId;
  size_t variable = 0;
  std::shared_ptr<const TensorList> list;
};
using Items = std::vector<Item>;

/// The elements of a list while a graph is imported. Immutable: setting an element makes another list.
struct TensorList {
  Items elements;
  DType dtype = DType::kUndefined;
  std::optional<Shape> element;  ///< what is known of the shape of each
};

/// One TensorFlow node while it is translated: its inputs (already in the graph), attributes, and the builder.
class Node {
 public:
  Node(const proto::Node& node, std::string_view canonical, Items inputs, importer::Builder& builder,
       Importer& importer)
      : b(builder), importer_(importer), node_(node), canonical_(canonical), inputs_(std::move(inputs)) {}

  [[nodiscard]] const proto::Node& def() const { return node_; }
  [[nodiscard]] std::string_view op() const { return node_.op; }
  /// The table row's `name`, else op().
  [[nodiscard]] std::string_view canonical() const { return canonical_.empty() ? node_.op : canonical_; }
  [[nodiscard]] Importer& importer() const { return importer_; }

  [[nodiscard]] size_t input_count() const { return inputs_.size(); }
  [[nodiscard]] const Items& items() const { return inputs_; }
  [[nodiscard]] const Item& item(size_t i) const;
  /// The tensor of input i, kNoId if there is none.
  [[nodiscard]] ValueId in(size_t i) const { return item(i).value; }
  [[nodiscard]] Values values() const;
  [[nodiscard]] Shape shape(size_t i) const { return b.shape(in(i)); }
  [[nodiscard]] int64_t rank(size_t i) const { return b.rank(in(i)); }
  [[nodiscard]] DType dtype(size_t i) const { return b.dtype(in(i)); }
  /// The node needs this many inputs.
  [[nodiscard]] Status needs(size_t count) const;
  /// Elements of an integer input, if they are known; error otherwise.
  Result<std::vector<int64_t>> integers(size_t i, std::string_view what) const;
  /// One integer.
  Result<int64_t> integer(size_t i, std::string_view what) const;
  /// Elements of an integer input as expressions; error where they depend on data.
  Result<std::vector<Dim>> sizes(size_t i, std::string_view what) const;

  [[nodiscard]] const proto::Attr* attr(std::string_view name) const;
  [[nodiscard]] int64_t i(std::string_view name, int64_t otherwise) const;
  [[nodiscard]] bool flag(std::string_view name, bool otherwise = false) const { return i(name, otherwise) != 0; }
  [[nodiscard]] double f(std::string_view name, double otherwise) const;
  [[nodiscard]] std::string_view s(std::string_view name, std::string_view otherwise) const;
  [[nodiscard]] std::vector<int64_t> ints(std::string_view name) const;
  /// The element type that an attribute names.
  Result<DType> type(std::string_view name) const;
  static Result<int64_t> axis(int64_t axis, int64_t rank);
  /// Sets the attributes of `op` that the node has under the same name.
  void copy_attributes(Op& op) const;

  /// A scalar of the type of input `like`.
  ValueId number(double v, size_t like = 0) const { return b.scalar(dtype(like), v); }

  /// What a handler returns: the items, or the builder's error.
  Result<Items> done(Items items) const {
    if (!b.ok()) return std::unexpected(b.status().error());
    return items;
  }
  Result<Items> done(ValueId value) const { return done(Items{value}); }
  Result<Items> done(const Values& values) const { return done(Items(values.begin(), values.end())); }

  importer::Builder& b;

 private:
  Importer& importer_;
  const proto::Node& node_;
  std::string_view canonical_;
  Items inputs_;
};

/// Translates a node; returns an item for each output.
using Handler = Result<Items> (*)(Node&);

/// What kinds of inputs a handler can deal with.
enum class Takes : uint8_t {
  kTensors,  ///< tensors of numbers or truth values
  kParts,    ///< of complex ones, too: the handler is called for each part (moving data)
  kAny       ///< anything; the handler looks at it
};

struct Row {
  std::string_view op;
  Handler handler;
  std::string_view name = {};     ///< canonical operator or variant, if it is called otherwise than `op`
  Takes takes = Takes::kTensors;  ///< which inputs
  std::string_view outputs = {};  ///< names of the outputs ("values,indices") where there are several
};
/// The table of operators; nullptr if there is none.
const Row* find_row(std::string_view op);

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }
inline std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

}  // namespace lathe::tensorflow
