// SPDX-License-Identifier: Apache-2.0
// If, Loop and Scan: graphs within nodes.
#include <algorithm>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "ops/gather.h"
#include "ops/if.h"
#include "ops/loop.h"
#include "ops/require.h"
#include "ops/shape.h"
#include "ops/slice.h"

namespace lathe::onnx {

namespace {

Result<const proto::Graph*> graph_of(const Node& n, const char* attribute) {
  const auto* a = n.attr(attribute);
  if (!a || a->graphs.size() != 1) return damaged("attribute \"" + std::string(attribute) + "\" is no graph");
  return &a->graphs[0];
}

// One bool or number in the shape of a scalar.
ValueId scalar(Node& n, ValueId v) { return n.b.rank(v) == 0 ? v : n.b.reshape(v, {}); }

// Gives both graphs the same captured inputs, in one order; returns what they capture.
Values unite(Importer::Nested& a, Importer::Nested& b) {
  Values all = a.captured;
  for (const ValueId v : b.captured)
    if (std::ranges::find(all, v) == all.end()) all.push_back(v);
  const auto arrange = [&](Importer::Nested& g, const Importer::Nested& other) {
    std::vector<ValueId> inputs;
    for (const ValueId v : all) {
      const auto at = std::ranges::find(g.captured, v);
      if (at != g.captured.end()) {
        inputs.push_back(g.graph->inputs[static_cast<size_t>(at - g.captured.begin())]);
        continue;
      }
      const auto theirs = std::ranges::find(other.captured, v) - other.captured.begin();
      const Value& x = other.graph->value(other.graph->inputs[static_cast<size_t>(theirs)]);
      inputs.push_back(g.graph->add_input({}, x.dtype, x.shape));
    }
    g.graph->inputs = std::move(inputs);
  };
  const Importer::Nested first = {std::make_shared<Graph>(*a.graph), a.captured};
  arrange(a, b);
  arrange(b, first);
  return all;
}

// PyTorch writes squeeze(x, d) as `If d is 1: Squeeze(x) else: x`, whose two results differ in rank, which is fixed in
// an engine. Of the two only the squeezed one makes sense where d is 1, as the code after it takes for granted: that
// branch, or null if these are not such branches.
const proto::Graph* rank_assumption(const proto::Graph& a, const proto::Graph& b) {
  const auto only = [](const proto::Graph& g, std::string_view op) {
    size_t found = 0;
    for (const auto& n : g.nodes) {
      if (n.op_type != op && n.op_type != "Constant") return false;
      found += n.op_type == op;
    }
    return found == 1 && g.outputs.size() == 1;
  };
  if (only(a, "Squeeze") && only(b, "Identity")) return &a;
  if (only(b, "Squeeze") && only(a, "Identity")) return &b;
  return nullptr;
}

}  // namespace

Result<Values> branch(Node& n) {
  LATHE_TRY(const auto* then_graph, graph_of(n, "then_branch"));
  LATHE_TRY(const auto* else_graph, graph_of(n, "else_branch"));
  if (n.dtype(0) != DType::kBool) return damaged("the condition is no bool");
  if (const Tensor* condition = n.constant(0); condition && condition->count() == 1)
    return n.importer().inline_graph(condition->i64_at(0) != 0 ? *then_graph : *else_graph);

  if (const auto* squeeze = rank_assumption(*then_graph, *else_graph)) {
    const bool then_taken = squeeze == then_graph;
    const ValueId holds = then_taken ? n.in(0) : n.b.op("Not", {n.in(0)});
    LATHE_TRY(Values values, n.importer().inline_graph(*squeeze));
    for (ValueId& v : values) v = n.b.add(std::make_shared<ops::Require>(), {holds, v});
    return n.done(std::move(values));
  }

  std::string form, other_form;
  const auto import_branch = [&](const proto::Graph& g, std::string& what) {
    auto nested = n.importer().nest({}, [&](const Values&) -> Result<Values> {
      LATHE_TRY(const Values values, n.importer().inline_graph(g));
      return n.importer().flatten(values, what);
    });
    if (nested) nested->graph->name = g.name;
    return nested;
  };
  auto taken = import_branch(*then_graph, form);
  auto other = import_branch(*else_graph, other_form);
  if (!taken) return std::unexpected(taken.error());
  if (!other) return std::unexpected(other.error());
  if (form != other_form)
    return unsupported(
        "the branches give sequences of different lengths, or only one gives an optional value, and which "
        "of them is taken is known only when the model runs");
  Values inputs = {n.in(0)};
  const Values captured = unite(*taken, *other);
  inputs.insert(inputs.end(), captured.begin(), captured.end());
  const auto op = std::make_shared<ops::If>();
  op->then_graph = taken->graph;
  op->else_graph = other->graph;
  LATHE_TRY(const Values results, n.done(n.b.add_all(op, std::move(inputs))));
  return n.importer().assemble(results, form);
}

namespace {

/// Fills the body of a loop: takes the iteration's number, the condition and the carried values; returns the next
/// condition, the next carried values and elements of scan outputs.
using Body = std::function<Result<Values>(const Values&)>;

/// A Loop of `most` iterations and first `condition` (either may be kNoId) over the values `carried`.
Result<Values> add_loop(Importer& importer, ValueId most, ValueId condition, const Values& carried, const Body& fill) {
  importer::Builder& b = importer.builder();
  std::vector<Importer::Type> types = {{DType::kI64, {}}, {DType::kBool, {}}};
  for (const ValueId v : carried) types.push_back({b.dtype(v), b.shape(v)});
  // Sizes that an iteration changes become symbols of the body, until none does that is not one.
  std::vector<std::vector<bool>> changing;
  for (const auto& t : types) changing.emplace_back(t.shape.size(), false);
  for (;;) {
    LATHE_TRY(auto nested, importer.nest(types, fill));
    const Graph& g = *nested.graph;
    if (g.outputs.size() < 1 + carried.size()) return damaged("the body gives fewer values than it carries");
    bool settled = true;
    for (size_t k = 0; k < carried.size(); ++k) {
      const Shape& next = g.value(g.outputs[1 + k]).shape;
      Shape& now = types[2 + k].shape;
      if (next.size() != now.size()) break;  // the shape rule says what is wrong
      for (size_t d = 0; d < now.size(); ++d) {
        if (next[d] == now[d] || changing[2 + k][d]) continue;
        now[d] = b.graph().fresh_symbol("carried");
        changing[2 + k][d] = true;
        settled = false;
      }
    }
    if (!settled) continue;
    const auto op = std::make_shared<ops::Loop>();
    op->body = nested.graph;
    op->carried = static_cast<int64_t>(carried.size());
    Values inputs = {most, condition};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    inputs.insert(inputs.end(), nested.captured.begin(), nested.captured.end());
    Values results = b.add_all(op, std::move(inputs));
    if (!b.ok()) return std::unexpected(b.status().error());
    return results;
  }
}

/// The size of `x` along `axis`, as a scalar.
ValueId extent(importer::Builder& b, ValueId x, int64_t axis) {
  if (const Dim d = b.shape(x)[static_cast<size_t>(axis)]; d.is_const()) return b.i64(d.value());
  return b.reshape(b.make<ops::ShapeOf>({x},
                                        [&](auto& s) {
                                          s.start = axis;
                                          s.end = axis + 1;
                                        }),
                   {});
}

ValueId take(importer::Builder& b, ValueId x, ValueId index, int64_t axis) {
  return b.make<ops::Gather>({x, index}, [&](auto& g) { g.axis = axis; });
}

struct ScanInput {
  ValueId value = kNoId;
  int64_t axis = 0;
  bool reverse = false;
};

/// Scan-9: states and slices in, states and elements out.
Result<Values> scan_over(Importer& importer, const proto::Graph& body, const Values& states,
                         const std::vector<ScanInput>& inputs, const std::vector<ScanInput>& outputs) {
  importer::Builder& b = importer.builder();
  const ValueId length = extent(b, inputs[0].value, inputs[0].axis);
  LATHE_TRY(Values results, add_loop(importer, length, kNoId, states, [&](const Values& formal) -> Result<Values> {
              importer::Builder& in = importer.builder();
              Values given(formal.begin() + 2, formal.end());
              for (const ScanInput& x : inputs) {
                ValueId index = formal[0];
                if (x.reverse) index = in.op("Sub", {in.op("Sub", {importer.here(length), index}), in.i64(1)});
                given.push_back(take(in, importer.here(x.value), index, x.axis));
              }
              LATHE_TRY(const Values made, importer.inline_graph(body, given));
              Values all = {formal[1]};
              all.insert(all.end(), made.begin(), made.end());
              return all;
            }));
  if (results.size() != states.size() + outputs.size()) return damaged("the body gives another number of values");
  for (size_t k = 0; k < outputs.size(); ++k) {
    ValueId& y = results[states.size() + k];
    if (outputs[k].reverse)
      y = b.add(std::make_shared<ops::Slice>(), {y, b.i64s({-1}), b.i64s({INT64_MIN}), b.i64s({0}), b.i64s({-1})});
    LATHE_TRY(const int64_t axis, Node::axis(outputs[k].axis, b.rank(y)));
    if (axis == 0) continue;
    std::vector<int64_t> perm;
    for (int64_t d = 1; d < b.rank(y); ++d) perm.push_back(d);
    perm.insert(perm.begin() + axis, 0);
    y = b.transpose(y, std::move(perm));
  }
  return results;
}

/// Element k of a list attribute, 0 where it is not given.
int64_t element(const std::optional<std::vector<int64_t>>& list, size_t k) {
  return list && k < list->size() ? (*list)[k] : 0;
}

constexpr int64_t kMostTurns = 1 << 14;

/// A Loop that carries sequences or optionals and whose number of iterations is known: one after the other.
Result<Values> unrolled(Node& n, const proto::Graph& body, int64_t count, Values carried) {
  if (body.outputs.size() < 1 + carried.size()) return damaged("the body gives fewer values than it carries");
  std::vector<Values> scans(body.outputs.size() - 1 - carried.size());
  for (int64_t i = 0; i < count; ++i) {
    Values given = {n.b.i64(i), n.b.scalar(DType::kBool, 1)};
    given.insert(given.end(), carried.begin(), carried.end());
    LATHE_TRY(const Values made, n.importer().inline_graph(body, given));
    const auto first_scan = made.begin() + 1 + static_cast<std::ptrdiff_t>(carried.size());
    carried.assign(made.begin() + 1, first_scan);
    for (size_t k = 0; k < scans.size(); ++k) scans[k].push_back(first_scan[static_cast<std::ptrdiff_t>(k)]);
    const Tensor* go_on = n.b.constant_of(made[0]);
    if (!go_on)
      return unsupported("the loop carries a sequence, and whether it goes on is known only when the model runs");
    if (go_on->i64_at(0) == 0) break;
  }
  for (const Values& s : scans) {
    if (s.empty()) return unsupported("the loop makes no iteration, so the shape of its scan outputs is not known");
    carried.push_back(stacked(n.b, s, 0));
  }
  return n.done(std::move(carried));
}

/// A Loop that adds one tensor to the end of each sequence it carries, as often as the run tells: these tensors are
/// scan outputs, and the sequence lies in one tensor.
Result<Values> growing(Node& n, const proto::Graph& body, ValueId most, ValueId condition, const Values& carried) {
  using Kind = Importer::Aggregate::Kind;
  Importer& importer = n.importer();
  Values tensors;
  for (const ValueId v : carried) {
    const auto* a = importer.aggregate_of(v);
    if (!a) tensors.push_back(v);
    if (a && (a->kind != Kind::kSequence || !a->elements.empty()))
      return unsupported(
          "the loop's number of iterations is known only when the model runs, and it carries " +
          std::string(a->kind == Kind::kOptional ? "an optional" : "a sequence that is not empty at first"));
  }
  if (body.outputs.size() < 1 + carried.size()) return damaged("the body gives fewer values than it carries");
  const auto fill = [&](const Values& formal) -> Result<Values> {
    Values given(formal.begin(), formal.begin() + 2), marks;
    auto tensor = formal.begin() + 2;
    for (const ValueId v : carried) {
      const bool sequence = importer.aggregate_of(v) != nullptr;
      marks.push_back(sequence ? importer.builder().i64(0) : kNoId);
      given.push_back(sequence ? importer.aggregate(Kind::kGrowing, {marks.back()}) : *tensor++);
    }
    LATHE_TRY(const Values made, importer.inline_graph(body, given));
    Values next = {made[0]}, added;
    for (size_t k = 0; k < carried.size(); ++k) {
      const auto* a = importer.aggregate_of(made[1 + k]);
      if (marks[k] == kNoId && !a) next.push_back(made[1 + k]);
      if (marks[k] == kNoId && !a) continue;
      if (!a || a->kind != Kind::kGrowing || a->elements.size() != 2 || a->elements[0] != marks[k])
        return unsupported(
            "the loop's number of iterations is known only when the model runs; of a sequence that it carries it may "
            "then add one tensor to the end in each iteration, and nothing else");
      added.push_back(a->elements[1]);
    }
    next.insert(next.end(), made.begin() + 1 + static_cast<std::ptrdiff_t>(carried.size()), made.end());
    next.insert(next.end(), added.begin(), added.end());
    return next;
  };
  LATHE_TRY(const Values results, add_loop(importer, most, condition, tensors, fill));
  Values all;
  const size_t scans = body.outputs.size() - 1 - carried.size();
  size_t tensor = 0, sequence = tensors.size() + scans;
  for (const ValueId v : carried)
    all.push_back(importer.aggregate_of(v) ? importer.aggregate(Kind::kStacked, {results[sequence++]})
                                           : results[tensor++]);
  for (size_t k = 0; k < scans; ++k) all.push_back(results[tensors.size() + k]);
  return all;
}

}  // namespace

Result<Values> loop(Node& n) {
  LATHE_TRY(const auto* body, graph_of(n, "body"));
  if (n.input_count() < 2) return damaged("needs a number of iterations and a condition, which may be empty");
  const ValueId most = n.has(0) ? scalar(n, n.b.cast(n.in(0), DType::kI64)) : kNoId;
  const ValueId condition = n.has(1) ? scalar(n, n.in(1)) : kNoId;
  Values carried;
  for (size_t i = 2; i < n.input_count(); ++i) {
    if (!n.has(i)) return damaged("a carried value has no first value");
    carried.push_back(n.in(i));
  }
  if (std::ranges::any_of(carried, [&](ValueId v) { return n.importer().aggregate_of(v) != nullptr; })) {
    const Tensor *count = n.b.constant_of(most), *start = n.constant(1);
    if (!count || (n.has(1) && !start)) return growing(n, *body, most, condition, carried);
    if (count->i64_at(0) > kMostTurns)
      return unsupported("the loop carries a sequence through more than " + std::to_string(kMostTurns) + " iterations");
    return unrolled(n, *body, start && start->i64_at(0) == 0 ? 0 : count->i64_at(0), std::move(carried));
  }
  return add_loop(n.importer(), most, condition, carried,
                  [&](const Values& formal) { return n.importer().inline_graph(*body, formal); });
}

Result<Values> scan(Node& n) {
  LATHE_TRY(const auto* body, graph_of(n, "body"));
  const bool batched = n.opset() < 9;
  const size_t first = batched ? 1 : 0;  // Scan-8: the lengths of the sequences, and a batch dimension everywhere
  if (batched && n.has(0)) return unsupported("sequences of different lengths in a batch are not supported");
  const auto count = n.i("num_scan_inputs", 0);
  if (count < 1 || static_cast<size_t>(count) + first > n.input_count())
    return damaged("num_scan_inputs is " + std::to_string(count));
  const auto scans = static_cast<size_t>(count), states = n.input_count() - first - scans;
  if (body->outputs.size() < states) return damaged("the body gives fewer values than there are states");
  for (size_t i = first; i < n.input_count(); ++i)
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is missing");
  const auto axes_in = n.ints("scan_input_axes"), axes_out = n.ints("scan_output_axes"),
             out_directions = n.ints("scan_output_directions"),
             in_directions = n.ints(batched ? "directions" : "scan_input_directions");
  std::vector<ScanInput> inputs, outputs;
  for (size_t k = 0; k < scans; ++k) {
    const ValueId v = n.in(first + states + k);
    LATHE_TRY(const int64_t axis, Node::axis(element(axes_in, k), n.b.rank(v) - static_cast<int64_t>(first)));
    inputs.push_back({v, axis, element(in_directions, k) != 0});
  }
  for (size_t k = 0; k < body->outputs.size() - states; ++k)
    outputs.push_back({kNoId, element(axes_out, k), element(out_directions, k) != 0});
  Values initial(n.inputs().begin() + static_cast<std::ptrdiff_t>(first),
                 n.inputs().begin() + static_cast<std::ptrdiff_t>(first + states));
  Importer& importer = n.importer();
  if (!batched) return scan_over(importer, *body, initial, inputs, outputs);

  // One scan for each member of the batch.
  for (const ValueId v : initial)
    if (n.b.rank(v) < 1) return damaged("a state has no batch dimension");
  return add_loop(importer, extent(n.b, inputs[0].value, 0), kNoId, {}, [&](const Values& formal) -> Result<Values> {
    importer::Builder& in = importer.builder();
    Values own = initial;
    for (ValueId& v : own) v = take(in, importer.here(v), formal[0], 0);
    std::vector<ScanInput> sequences = inputs;
    for (ScanInput& x : sequences) x.value = take(in, importer.here(x.value), formal[0], 0);
    LATHE_TRY(const Values made, scan_over(importer, *body, own, sequences, outputs));
    Values all = {formal[1]};
    all.insert(all.end(), made.begin(), made.end());
    return all;
  });
}

}  // namespace lathe::onnx
