// SPDX-License-Identifier: Apache-2.0
// Control flow: cond, while_loop, map and scan of torch's higher-order operators. Their graphs take all they use as
// arguments, and become graphs that If and Loop hold.
#include <functional>

#include "import/pt2/importer.h"
#include "ops/gather.h"
#include "ops/if.h"
#include "ops/loop.h"

namespace lathe::pt2 {

namespace {

using schema::Argument;
using Kind = Argument::Kind;

// The arguments of a higher-order operator: single ones and lists, by position.
std::vector<const Argument*> list(const schema::Node& node, size_t i) {
  std::vector<const Argument*> r;
  if (i < node.inputs.size() && node.inputs[i].arg.kind == Kind::kList)
    for (const Argument& a : node.inputs[i].arg.items) r.push_back(&a);
  return r;
}

const schema::Graph* graph_argument(const schema::Node& node, size_t i) {
  return i < node.inputs.size() && node.inputs[i].arg.kind == Kind::kGraph ? node.inputs[i].arg.graph.get() : nullptr;
}

}  // namespace

/// A graph for a node to hold, while it is filled.
struct Importer::Inner {
  std::unique_ptr<Importer> importer;
  Values captured;  ///< of the graph around, in the order of the inner graph's inputs
};

Importer::Inner Importer::inner(const schema::Node& node) const {
  Inner in;
  in.importer = std::make_unique<Importer>(program_, weights_, options_, path_, graph_->nested());
  in.importer->depth_ = depth_ + 1;
  in.importer->graph_->symbols = graph_->symbols;
  in.importer->builder_.begin_node(label(node));
  return in;
}

// What an argument is inside: constants stay constants, tensors become inputs, numbers stay as they are.
Result<Importer::Binding> Importer::enter(Inner& in, const Argument& a) {
  if (a.kind != Kind::kTensor) return scalar(a);
  LATHE_TRY(const ValueId v, tensor(a.text));
  Importer& inside = *in.importer;
  if (const Tensor* constant = builder_.constant_of(v))
    return Binding{.value = inside.graph_->add_constant({}, *constant)};
  in.captured.push_back(v);
  const ValueId formal = inside.graph_->add_input({}, builder_.dtype(v), builder_.shape(v));
  inside.graph_->value(formal).content = graph_->value(v).content;
  return Binding{.value = formal};
}

// The nodes of `graph` under a prefix of their own; its results.
Result<Values> Importer::body(const schema::Graph& graph, std::vector<Binding> arguments) {
  if (arguments.size() != graph.inputs.size()) return damaged("the graph takes another number of inputs");
  const std::string outer = prefix_;
  prefix_ += "#" + std::to_string(inlined_++) + "::";
  for (size_t i = 0; i < arguments.size(); ++i) LATHE_CHECK(bind(graph.inputs[i].text, std::move(arguments[i])));
  const size_t before = unsupported_.size();
  LATHE_CHECK(import_nodes(graph));
  if (unsupported_.size() != before) return unsupported("");
  Values results;
  for (const Argument& o : graph.outputs) {
    if (o.kind != Kind::kTensor) return unsupported("a graph that gives numbers is not supported");
    LATHE_TRY(results.emplace_back(), tensor(o.text));
  }
  prefix_ = outer;
  return results;
}

Result<std::shared_ptr<Graph>> Importer::finish(Inner& in, const Result<Values>& outputs) {
  Importer& inside = *in.importer;
  for (std::string& line : inside.unsupported_) unsupported_.push_back(std::move(line));
  if (!outputs) return std::unexpected(outputs.error());
  if (!inside.builder_.ok()) return std::unexpected(inside.builder_.status().error());
  Graph& g = *inside.graph_;
  g.outputs = *outputs;
  for (const ValueId v : g.outputs) g.output_names.push_back(g.value(v).name);
  g.remove_dead();
  inside.drop_unused_constants();
  return std::shared_ptr<Graph>(std::move(inside.graph_));
}

Result<bool> Importer::control(const schema::Node& node, std::string_view op) {
  if (!op.starts_with("higher_order.")) return false;
  op.remove_prefix(13);
  Result<Values> results = Values{};
  if (op == "cond")
    results = conditional(node);
  else if (op == "while_loop")
    results = while_loop(node);
  else if (op == "map_impl" || op == "scan")
    results = scan(node, op == "scan");
  else
    return false;
  if (!results) return std::unexpected(results.error());
  const auto names = output_names(node);
  if (names.size() > results->size()) return damaged("it has fewer results than names");
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    name_value((*results)[i], prefix_ + names[i]);
    LATHE_CHECK(bind(names[i], {.value = (*results)[i]}));
  }
  return true;
}

// cond(predicate, true_graph, false_graph, operands)
Result<Values> Importer::conditional(const schema::Node& node) {
  const schema::Graph* graphs[] = {graph_argument(node, 1), graph_argument(node, 2)};
  if (!graphs[0] || !graphs[1]) return damaged("there are not two graphs");
  const auto operands = list(node, 3);
  const Argument& predicate = node.inputs[0].arg;
  if (predicate.kind != Kind::kTensor) {  // of sizes: known here or nowhere
    LATHE_TRY(const Binding b, scalar(predicate));
    if (b.kind != Binding::Kind::kSize || !b.dim.is_const())
      return unsupported("a condition on sizes that are not known before the model runs is not supported");
    std::vector<Binding> given;
    for (const Argument* a : operands) {
      LATHE_TRY(given.emplace_back(), a->kind == Kind::kTensor ? Binding{.alias = resolved(a->text)} : scalar(*a));
    }
    return body(*graphs[b.dim.value() != 0 ? 0 : 1], std::move(given));
  }
  LATHE_TRY(const ValueId condition, tensor(predicate.text));
  const auto made = std::make_shared<ops::If>();
  Values inputs;
  for (size_t branch = 0; branch < 2; ++branch) {
    Inner in = inner(node);
    std::vector<Binding> given;
    for (const Argument* a : operands) {
      LATHE_TRY(given.emplace_back(), enter(in, *a));
    }
    LATHE_TRY(auto graph, finish(in, in.importer->body(*graphs[branch], std::move(given))));
    (branch == 0 ? made->then_graph : made->else_graph) = std::move(graph);
    inputs = in.captured;  // the same for both
  }
  builder_.begin_node(label(node));
  inputs.insert(inputs.begin(), builder_.reshape(builder_.cast(condition, DType::kBool), {}));
  Values results = builder_.add_all(made, std::move(inputs));
  if (!builder_.ok()) return std::unexpected(builder_.status().error());
  return results;
}

// while_loop(cond_graph, body_graph, carried, additional)
Result<Values> Importer::while_loop(const schema::Node& node) {
  const schema::Graph *test = graph_argument(node, 0), *step = graph_argument(node, 1);
  if (!test || !step) return damaged("there are not two graphs");
  const auto carried = list(node, 2), additional = list(node, 3);
  Values first;
  std::vector<Binding> now;
  for (const Argument* a : carried) {
    if (a->kind != Kind::kTensor) return unsupported("a loop that carries numbers is not supported; carry tensors");
    LATHE_TRY(first.emplace_back(), tensor(a->text));
    now.push_back({.value = first.back()});
  }
  for (const Argument* a : additional) {
    LATHE_TRY(now.emplace_back(), a->kind == Kind::kTensor ? Binding{.alias = resolved(a->text)} : scalar(*a));
  }
  LATHE_TRY(const Values begin, body(*test, std::move(now)));
  if (begin.size() != 1) return damaged("the condition has not one result");
  const auto made = std::make_shared<ops::Loop>();
  made->carried = static_cast<int64_t>(first.size());
  Inner in = inner(node);
  Importer& inside = *in.importer;
  const auto fill = [&]() -> Result<Values> {
    importer::Builder& b = inside.builder_;
    inside.graph_->add_input({}, DType::kI64, {});
    inside.graph_->add_input({}, DType::kBool, {});
    std::vector<Binding> formal, more;
    for (const ValueId v : first)
      formal.push_back({.value = inside.graph_->add_input({}, builder_.dtype(v), builder_.shape(v))});
    for (const Argument* a : additional) {
      LATHE_TRY(more.emplace_back(), enter(in, *a));
    }
    formal.insert(formal.end(), more.begin(), more.end());
    LATHE_TRY(Values next, inside.body(*step, std::move(formal)));
    if (next.size() != first.size()) return damaged("the body gives another number of values than it takes");
    std::vector<Binding> after;
    for (const ValueId v : next) after.push_back({.value = v});
    after.insert(after.end(), more.begin(), more.end());
    LATHE_TRY(const Values again, inside.body(*test, std::move(after)));
    if (again.size() != 1) return damaged("the condition has not one result");
    b.begin_node(label(node));
    next.insert(next.begin(), b.reshape(b.cast(again[0], DType::kBool), {}));
    return next;
  };
  LATHE_TRY(made->body, finish(in, fill()));
  builder_.begin_node(label(node));
  Values inputs = {kNoId, builder_.reshape(builder_.cast(begin[0], DType::kBool), {})};
  inputs.insert(inputs.end(), first.begin(), first.end());
  inputs.insert(inputs.end(), in.captured.begin(), in.captured.end());
  Values results = builder_.add_all(made, std::move(inputs));
  if (!builder_.ok()) return std::unexpected(builder_.status().error());
  return results;
}

// map_impl(graph, sequences, additional) and scan(graph, states, sequences, additional): the graph takes the states, an
// element of each sequence and the rest; it gives the next states and an element of each result.
Result<Values> Importer::scan(const schema::Node& node, bool states) {
  const schema::Graph* step = graph_argument(node, 0);
  if (!step) return damaged("there is no graph");
  const auto initial = states ? list(node, 1) : std::vector<const Argument*>{};
  const auto sequences = list(node, states ? 2 : 1), additional = list(node, states ? 3 : 2);
  if (sequences.empty()) return damaged("there is no sequence");
  Values first;
  for (const Argument* a : initial) {
    if (a->kind != Kind::kTensor) return unsupported("states that are numbers are not supported");
    LATHE_TRY(first.emplace_back(), tensor(a->text));
  }
  const auto made = std::make_shared<ops::Loop>();
  made->carried = static_cast<int64_t>(first.size());
  Inner in = inner(node);
  Importer& inside = *in.importer;
  Dim length = 0;
  const auto fill = [&]() -> Result<Values> {
    importer::Builder& b = inside.builder_;
    const ValueId at = inside.graph_->add_input({}, DType::kI64, {});
    const ValueId going = inside.graph_->add_input({}, DType::kBool, {});
    std::vector<Binding> formal;
    for (const ValueId v : first)
      formal.push_back({.value = inside.graph_->add_input({}, builder_.dtype(v), builder_.shape(v))});
    for (const Argument* a : sequences) {
      LATHE_TRY(Binding whole, enter(in, *a));
      if (whole.kind != Binding::Kind::kTensor || b.rank(whole.value) < 1)
        return damaged("a sequence has no dimension");
      length = b.shape(whole.value)[0];
      formal.push_back({.value = b.make<ops::Gather>({whole.value, at}, [](ops::Gather&) {})});
    }
    if (!b.ok()) return std::unexpected(b.status().error());
    for (const Argument* a : additional) {
      LATHE_TRY(formal.emplace_back(), enter(in, *a));
    }
    LATHE_TRY(Values next, inside.body(*step, std::move(formal)));
    if (next.size() < first.size()) return damaged("the graph gives fewer values than there are states");
    next.insert(next.begin(), going);
    return next;
  };
  LATHE_TRY(made->body, finish(in, fill()));
  builder_.begin_node(label(node));
  Values inputs = {builder_.reshape(builder_.dim_value(length), {}), kNoId};
  inputs.insert(inputs.end(), first.begin(), first.end());
  inputs.insert(inputs.end(), in.captured.begin(), in.captured.end());
  Values results = builder_.add_all(made, std::move(inputs));
  if (!builder_.ok()) return std::unexpected(builder_.status().error());
  return results;
}

}  // namespace lathe::pt2
