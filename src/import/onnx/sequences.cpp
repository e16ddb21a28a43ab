// SPDX-License-Identifier: Apache-2.0
// Sequences and optionals: resolved here, so that a graph holds tensors alone (docs/adr/0006).
#include <algorithm>

#include "import/onnx/compose.h"
#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "ops/cumsum.h"
#include "ops/gather.h"
#include "ops/slice.h"

namespace lathe::onnx {

using Kind = Importer::Aggregate::Kind;

ValueId Importer::aggregate(Aggregate::Kind kind, Values elements) {
  aggregates_.push_back({kind, std::move(elements)});
  return kNoId - static_cast<ValueId>(aggregates_.size());
}

const Importer::Aggregate* Importer::aggregate_of(ValueId v) const {
  return v < kNoId ? &aggregates_[static_cast<size_t>(kNoId - v) - 1] : nullptr;
}

namespace {

// A letter for each kind, in their order; "t" is a tensor.
constexpr std::string_view kLetters = "skgo";

void flatten_one(const Importer& importer, ValueId v, Values& tensors, std::string& form) {
  const auto* a = importer.aggregate_of(v);
  if (!a) {
    tensors.push_back(v);
    form += 't';
    return;
  }
  form += kLetters[static_cast<size_t>(a->kind)];
  form += '(';
  const Values elements = a->elements;
  for (const ValueId e : elements) flatten_one(importer, e, tensors, form);
  form += ')';
}

Values assemble_all(Importer& importer, const Values& tensors, size_t& next, std::string_view& form) {
  Values all;
  while (!form.empty() && form[0] != ')') {
    const char letter = form[0];
    form.remove_prefix(1);
    if (letter == 't') {
      all.push_back(tensors[next++]);
      continue;
    }
    form.remove_prefix(1);
    Values elements = assemble_all(importer, tensors, next, form);
    form.remove_prefix(1);
    all.push_back(importer.aggregate(static_cast<Kind>(kLetters.find(letter)), std::move(elements)));
  }
  return all;
}

}  // namespace

Values Importer::flatten(const Values& values, std::string& form) const {
  Values tensors;
  form.clear();
  for (const ValueId v : values) flatten_one(*this, v, tensors, form);
  return tensors;
}

Values Importer::assemble(const Values& tensors, std::string_view form) {
  size_t next = 0;
  return assemble_all(*this, tensors, next, form);
}

ValueId stacked(importer::Builder& b, const Values& elements, int64_t axis) {
  Values parts;
  for (const ValueId e : elements) {
    Shape s = b.shape(e);
    s.insert(s.begin() + std::min<int64_t>(axis, static_cast<int64_t>(s.size())), 1);
    parts.push_back(b.reshape(e, s));
  }
  return parts.size() == 1 ? parts[0] : b.concat(std::move(parts), axis);
}

namespace {

constexpr int64_t kMostElements = 1 << 16;

Result<Importer::Aggregate> sequence(const Node& n, size_t i) {
  const auto* a = n.importer().aggregate_of(n.in(i));
  if (!a || a->kind == Kind::kOptional) return damaged("input " + std::to_string(i) + " is no sequence");
  return *a;
}

std::unexpected<Error> not_resolved(const char* what) {
  return unsupported(std::string(what) +
                     " of a sequence that a loop makes is not supported: lathe resolves sequences when it builds; what "
                     "is supported of such a sequence is SequenceAt, SequenceLength and ConcatFromSequence");
}

/// Input i as a place among `count`, counted from the end if negative.
Result<size_t> position(const Node& n, size_t i, size_t count) {
  LATHE_TRY(const auto given, n.integers(i, "the position"));
  if (given.size() != 1) return damaged("the position is no scalar");
  const auto most = static_cast<int64_t>(count);
  const int64_t at = given[0] < 0 ? given[0] + most : given[0];
  if (at < 0 || at >= most)
    return damaged("position " + std::to_string(given[0]) + " in a sequence of " + std::to_string(count));
  return static_cast<size_t>(at);
}

Result<Values> made(Node& n, Kind kind, Values elements) {
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  if (static_cast<int64_t>(elements.size()) > kMostElements) return unsupported("the sequence is too long");
  return Values{n.importer().aggregate(kind, std::move(elements))};
}

ValueId gathered(Node& n, ValueId x, ValueId index) {
  return n.b.make<ops::Gather>({x, n.b.rank(index) == 0 ? index : n.b.reshape(index, {})},
                               [](ops::Gather& g) { g.axis = 0; });
}

}  // namespace

Result<Values> sequence_empty(Node& n) { return made(n, Kind::kSequence, {}); }

Result<Values> sequence_construct(Node& n) {
  for (size_t i = 0; i < n.input_count(); ++i)
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is missing");
  return made(n, Kind::kSequence, n.inputs());
}

Result<Values> sequence_insert(Node& n) {
  LATHE_TRY(auto s, sequence(n, 0));
  if (!n.has(1) || n.importer().aggregate_of(n.in(1))) return damaged("there is no tensor to insert");
  if (s.kind == Kind::kStacked || (s.kind == Kind::kGrowing && n.has(2))) return not_resolved("SequenceInsert");
  size_t at = s.elements.size();
  if (n.has(2)) {
    LATHE_TRY(at, position(n, 2, s.elements.size() + 1));
    if (const auto given = n.integers(2, ""); given && (*given)[0] < 0) --at;  // before the element so counted
  }
  s.elements.insert(s.elements.begin() + static_cast<std::ptrdiff_t>(at), n.in(1));
  return made(n, s.kind, std::move(s.elements));
}

Result<Values> sequence_erase(Node& n) {
  LATHE_TRY(auto s, sequence(n, 0));
  if (s.kind != Kind::kSequence) return not_resolved("SequenceErase");
  if (s.elements.empty()) return damaged("the sequence is empty");
  size_t at = s.elements.size() - 1;
  if (n.has(1)) {
    LATHE_TRY(at, position(n, 1, s.elements.size()));
  }
  s.elements.erase(s.elements.begin() + static_cast<std::ptrdiff_t>(at));
  return made(n, Kind::kSequence, std::move(s.elements));
}

Result<Values> sequence_at(Node& n) {
  LATHE_TRY(const auto s, sequence(n, 0));
  if (!n.has(1)) return damaged("the position is missing");
  if (s.kind == Kind::kGrowing) return not_resolved("SequenceAt within the loop");
  if (s.kind == Kind::kStacked) return n.done(gathered(n, s.elements[0], n.in(1)));
  if (s.elements.empty()) return damaged("the sequence is empty");
  if (!computed(n, 1)) {
    LATHE_TRY(const size_t at, position(n, 1, s.elements.size()));
    return n.done(s.elements[at]);
  }
  // A position that is data: the tensors must be alike, and lie in one.
  for (const ValueId e : s.elements)
    if (n.b.dtype(e) != n.b.dtype(s.elements[0]) || n.b.shape(e) != n.b.shape(s.elements[0]))
      return unsupported("the position is known only when the model runs, and the tensors " +
                         shape_str(n.b.shape(s.elements[0])) + " and " + shape_str(n.b.shape(e)) +
                         " are not of one shape");
  return n.done(gathered(n, stacked(n.b, s.elements, 0), n.in(1)));
}

Result<Values> sequence_length(Node& n) {
  LATHE_TRY(const auto s, sequence(n, 0));
  if (s.kind == Kind::kGrowing) return not_resolved("SequenceLength within the loop");
  if (s.kind == Kind::kSequence) return n.done(n.b.i64(static_cast<int64_t>(s.elements.size())));
  return n.done(n.b.reshape(n.b.dim_value(n.b.shape(s.elements[0])[0]), {}));
}

Result<Values> concat_from_sequence(Node& n) {
  LATHE_TRY(const auto s, sequence(n, 0));
  if (s.kind == Kind::kGrowing) return not_resolved("ConcatFromSequence within the loop");
  if (s.elements.empty()) return damaged("the sequence is empty");
  if (!n.attr("axis")) return damaged("attribute \"axis\" is missing");
  const bool fresh = n.i("new_axis", 0) != 0, whole = s.kind == Kind::kStacked;
  const int64_t rank = n.b.rank(s.elements[0]) - (whole ? 1 : 0);
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), fresh ? rank + 1 : rank));
  if (!whole && fresh) return n.done(stacked(n.b, s.elements, axis));
  if (!whole) return n.done(s.elements.size() == 1 ? s.elements[0] : n.b.concat(s.elements, axis));
  // [length, …]: the length moves to the axis, and is part of it unless it is new.
  std::vector<int64_t> perm;
  for (int64_t d = 1; d <= rank; ++d) perm.push_back(d);
  perm.insert(perm.begin() + axis, 0);
  const ValueId y = n.b.transpose(s.elements[0], perm);
  if (!n.b.ok() || fresh) return n.done(y);
  Shape merged = n.b.shape(y);
  const auto at = merged.begin() + axis;
  *at = *at * *(at + 1);
  merged.erase(at + 1);
  return n.done(n.b.reshape(y, merged));
}

Result<Values> split_to_sequence(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0)));
  const Dim whole = n.shape(0)[static_cast<size_t>(axis)];
  Values parts;
  if (n.has(1) && n.rank(1) == 1 && computed(n, 1)) {  // as many parts as there are sizes, which are data
    const auto count = n.shape(1)[0].as_const();
    if (!count || *count > kMostElements) return unsupported("the number of parts must be known");
    const ValueId ends = n.b.make<ops::CumSum>({n.b.cast(n.in(1), DType::kI64), n.b.i64(0)}, [](ops::CumSum&) {});
    ValueId start = n.b.i64s({0});
    for (int64_t i = 0; i < *count; ++i) {
      const ValueId end = n.b.slice(ends, 0, i, i + 1);
      parts.push_back(n.b.add(std::make_shared<ops::Slice>(), {n.in(0), start, end, n.b.i64s({axis})}));
      start = end;
    }
    return made(n, Kind::kSequence, std::move(parts));
  }
  if (n.has(1) && computed(n, 1))
    return unsupported(
        "the size of a part is known only when the model runs, and with it how many tensors the sequence "
        "holds; make split a constant of the model");
  std::vector<int64_t> sizes;
  const bool single = !n.has(1);
  if (!single) {
    LATHE_TRY(sizes, n.integers(1, "split"));
  }
  if (single || n.rank(1) == 0) {
    const int64_t part = single ? 1 : sizes[0];
    const auto size = whole.as_const();
    if (!size)
      return unsupported("the size " + whole.str() + " of axis " + std::to_string(axis) +
                         " must be known, for it tells how many tensors the sequence holds; give it with --shape");
    if (part < 1 || *size / part >= kMostElements) return damaged("split is " + std::to_string(part));
    sizes.clear();
    for (int64_t at = 0; at < *size; at += part) sizes.push_back(std::min(part, *size - at));
  }
  int64_t total = 0;
  for (const int64_t s : sizes)
    if (s < 0 || __builtin_add_overflow(total, s, &total)) return damaged("sizes must not be negative");
  if (const auto size = whole.as_const(); size && total != *size)
    return damaged("sizes add up to " + std::to_string(total) + ", the dimension is " + std::to_string(*size));
  int64_t at = 0;
  for (const int64_t s : sizes) {
    ValueId part = n.b.slice(n.in(0), axis, at, at + s);
    at += s;
    if (single && n.i("keepdims", 1) == 0 && n.b.ok()) {
      Shape squeezed = n.b.shape(part);
      squeezed.erase(squeezed.begin() + axis);
      part = n.b.reshape(part, squeezed);
    }
    parts.push_back(part);
  }
  return made(n, Kind::kSequence, std::move(parts));
}

Result<Values> sequence_map(Node& n) {
  const auto* body = n.attr("body");
  if (!body || body->graphs.size() != 1) return damaged("attribute \"body\" is no graph");
  LATHE_TRY(const auto first, sequence(n, 0));
  if (first.kind != Kind::kSequence) return not_resolved("SequenceMap");
  std::vector<Values> results(n.output_count());
  for (size_t k = 0; k < first.elements.size(); ++k) {
    Values given;
    for (size_t i = 0; i < n.input_count(); ++i) {
      const auto* a = n.importer().aggregate_of(n.in(i));
      if (a && (a->kind != Kind::kSequence || a->elements.size() != first.elements.size()))
        return damaged("the sequences are of different lengths");
      given.push_back(a ? a->elements[k] : n.in(i));
    }
    LATHE_TRY(const Values values, n.importer().inline_graph(body->graphs[0], given));
    if (values.size() < results.size()) return damaged("the body gives fewer values than the node");
    for (size_t i = 0; i < results.size(); ++i) results[i].push_back(values[i]);
  }
  Values outputs;
  for (Values& r : results) {
    LATHE_TRY(const Values whole, made(n, Kind::kSequence, std::move(r)));
    outputs.push_back(whole[0]);
  }
  return outputs;
}

Result<Values> optional(Node& n) { return made(n, Kind::kOptional, n.has(0) ? Values{n.in(0)} : Values{}); }

Result<Values> optional_has_element(Node& n) {
  const auto* a = n.importer().aggregate_of(n.in(0));
  const bool there = n.has(0) && !(a && a->kind == Kind::kOptional && a->elements.empty());
  return n.done(n.b.scalar(DType::kBool, there ? 1 : 0));
}

Result<Values> optional_get_element(Node& n) {
  const auto* a = n.importer().aggregate_of(n.in(0));
  if (!n.has(0) || (a && a->kind == Kind::kOptional && a->elements.empty())) return damaged("the optional is empty");
  return n.done(a && a->kind == Kind::kOptional ? a->elements[0] : n.in(0));
}

}  // namespace lathe::onnx
