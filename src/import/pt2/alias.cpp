// SPDX-License-Identifier: Apache-2.0
// Changes in place: a change of a view is one of what it views.
#include <algorithm>
#include <limits>

#include "import/pt2/importer.h"
#include "ops/concat.h"
#include "ops/scatter_elements.h"

namespace lathe::pt2 {

namespace {

// Views with the elements of their input in the same order.
bool same_order(std::string_view op) {
  for (const std::string_view name : {"aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten",
                                      "aten.unflatten", "aten.squeeze", "aten.unsqueeze", "aten.view_as"})
    if (op == name) return true;
  return false;
}

constexpr int64_t kMostIndices = int64_t{1} << 22;

}  // namespace

Status Importer::mutate(const std::string& name, ValueId value) {
  Binding& b = names_.at(name);
  if (b.view) {
    LATHE_TRY(const ValueId parent, current(names_.at(b.parent)));
    LATHE_TRY(const ValueId changed, write_back(b, parent, value));
    LATHE_CHECK(mutate(b.parent, changed));
    LATHE_TRY(b.seen, version_of(b.parent));
  }
  b.value = value;
  ++b.version;
  return {};
}

// `parent` with the elements that the view shows replaced by those of `value`.
Result<ValueId> Importer::write_back(const Binding& view, ValueId parent, ValueId value) {
  const schema::Node& node = *view.view;
  const Row& row = *find_row(std::string_view(node.target).substr(10, node.target.rfind('.') - 10));
  const Shape shape = builder_.shape(parent);
  builder_.begin_node(label(node));
  const auto done = [&](ValueId v) -> Result<ValueId> {
    if (!builder_.ok()) return std::unexpected(builder_.status().error());
    return v;
  };
  if (same_order(row.op)) return done(builder_.reshape(value, shape));
  Node n(node, row, builder_, *this);
  if (row.op == "aten.slice" || row.op == "aten.select") {
    const int64_t axis = n.axis(n.i("dim", 0), builder_.rank(parent));
    if (!builder_.ok()) return done(kNoId);
    const auto size = shape[static_cast<size_t>(axis)].as_const();
    const bool select = row.op == "aten.select";
    const auto position = [&](std::string_view name, int64_t otherwise) {
      int64_t v = n.i(name, otherwise);
      if (size && v < 0) v += *size;
      return size ? std::clamp<int64_t>(v, 0, *size) : v;
    };
    int64_t start = position(select ? "index" : "start", 0);
    int64_t end = select ? start + 1 : position("end", std::numeric_limits<int64_t>::max());
    if (size && (select || n.i("step", 1) == 1)) {
      if (start == 0 && end >= *size) return done(builder_.reshape(value, shape));
      Shape part = shape;
      part[static_cast<size_t>(axis)] = std::max<int64_t>(end - start, 0);
      Values parts;
      if (start > 0) parts.push_back(builder_.slice(parent, axis, 0, start));
      if (end > start) parts.push_back(builder_.reshape(value, part));
      if (end < *size) parts.push_back(builder_.slice(parent, axis, std::max(start, end), *size));
      return done(builder_.concat(std::move(parts), axis));
    }
  }
  // Any other view: what it does with the positions of the elements tells where each comes from.
  const auto dims = static_dims(shape);
  if (!dims || product(shape).value() > kMostIndices)
    return unsupported("a change in place through " + node.target + " of " + shape_str(shape) + " is not supported");
  const int64_t count = product(shape).value();
  std::vector<int64_t> positions(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) positions[static_cast<size_t>(i)] = i;
  const ValueId iota = builder_.constant(Tensor::vector_i64(positions).reshaped(*dims));
  LATHE_TRY(const Values made, call(node, row, iota));
  if (view.output >= made.size()) return damaged("a view has fewer results than its node");
  const ValueId flat = builder_.reshape(parent, {count});
  const Dim shown = product(builder_.shape(value));
  const ValueId written = builder_.make<ops::ScatterElements>(
      {flat, builder_.reshape(made[view.output], {shown}), builder_.reshape(value, {shown})}, [](auto&) {});
  return done(builder_.ok() ? builder_.reshape(written, shape) : kNoId);
}

}  // namespace lathe::pt2
