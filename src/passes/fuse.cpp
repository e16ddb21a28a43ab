// SPDX-License-Identifier: Apache-2.0
// Elementwise work joins the kernel next to it, so that its operand is never written to memory:
//     Conv → Add(b) → Sigmoid ─┐
//                  └──────────Mul →      becomes      Conv{epilogue: t = x + b; t * sigmoid(t)} →
#include <algorithm>

#include "ops/coded_matmul.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/elementwise.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "passes/passes.h"
#include "rewrite/edit.h"

namespace lathe::passes {

namespace {

// Beyond these a program costs more registers than memory traffic saved.
constexpr size_t kMaxSteps = 96;
constexpr int kMaxInputs = 8;

/// Operators whose kernels take an epilogue.
constexpr std::string_view kAnchors[] = {ops::Conv::kName,        ops::ConvTranspose::kName, ops::MatMul::kName,
                                         ops::CodedMatMul::kName, ops::Pool::kName,          ops::LayerNorm::kName};

std::string join_names(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty() || a == b) return a.empty() ? b : a;
  return a + " + " + b;
}

/// A program with the values it is applied to.
struct Call {
  Program program;
  std::vector<ValueId> args;
};

// Arguments that are the same value become one; unused ones go.
Call merge_args(const Call& call) {
  Call r;
  std::vector<bool> used(call.args.size(), false);
  for (const Step& s : call.program.steps)
    if (s.prim == Prim::kInput) used[static_cast<size_t>(s.integer)] = true;
  std::vector<int> map(call.args.size(), 0);
  for (size_t i = 0; i < call.args.size(); ++i) {
    if (!used[i]) continue;
    const auto it = std::find(r.args.begin(), r.args.end(), call.args[i]);
    map[i] = static_cast<int>(it - r.args.begin());
    if (it == r.args.end()) r.args.push_back(call.args[i]);
  }
  r.program = remap_inputs(call.program, map, static_cast<int>(r.args.size()));
  return r;
}

// Constants of one element become steps.
Call inline_scalars(const Graph& g, Call call) {
  for (size_t i = 0; i < call.args.size();) {
    const ValueId v = call.args[i];
    const auto& c = v == kNoId ? std::nullopt : g.value(v).constant;
    if (!c || c->count() != 1 || c->dtype() == DType::kString) {
      ++i;
      continue;
    }
    ProgramBuilder b;
    const Expr e = dtype_info(c->dtype()).is_float ? b.constant(c->dtype(), c->f64_at(0))
                                                   : b.constant(c->dtype(), static_cast<double>(c->i64_at(0)));
    Program constant = b.finish(e);
    constant.steps.back().integer = dtype_info(c->dtype()).is_float ? 0 : c->i64_at(0);
    call.program = compose(call.program, static_cast<int>(i), constant);
    call.args.erase(call.args.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return call;
}

// outer(…, inner(…), …) for every argument that is `at`.
Call substitute(const Call& outer, ValueId at, const Call& inner) {
  Call r = outer;
  for (auto it = std::find(r.args.begin(), r.args.end(), at); it != r.args.end();
       it = std::find(r.args.begin(), r.args.end(), at)) {
    r.program = compose(r.program, static_cast<int>(it - r.args.begin()), inner.program);
    r.args.erase(it);
    r.args.insert(r.args.end(), inner.args.begin(), inner.args.end());
  }
  return merge_args(r);
}

class Fuser {
 public:
  explicit Fuser(Graph& g) : g_(g) {}

  Result<int> run() {
    int changes = 0;
    // Consumers first, so that chains grow upwards.
    auto order = g_.order();
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      if (!g_.node(*it).alive()) continue;
      LATHE_TRY(const int joined, join_producers(*it));
      changes += joined;
    }
    for (bool again = true; again;) {
      again = false;
      order = g_.order();
      position_.assign(g_.node_count(), 0);
      for (size_t i = 0; i < order.size(); ++i) position_[static_cast<size_t>(order[i])] = i;
      for (const NodeId n : order) {
        if (!into_anchor(n)) continue;
        ++changes;
        again = true;
        break;  // the order has changed
      }
    }
    return changes;
  }

 private:
  [[nodiscard]] std::optional<Call> call_of(NodeId id) const {
    const Node& n = g_.node(id);
    if (!n.alive() || !n.epilogue.empty() || n.outputs.size() != 1 || !n.as<ops::Elementwise>()) return std::nullopt;
    std::vector<DType> types;
    for (const ValueId v : n.inputs) types.push_back(v == kNoId ? DType::kUndefined : g_.value(v).dtype);
    auto p = n.op->program(types);
    if (!p) return std::nullopt;
    return inline_scalars(g_, merge_args({*std::move(p), n.inputs}));
  }

  // Takes into `id` the elementwise nodes of the same shape that only it uses.
  Result<int> join_producers(NodeId id) {
    auto call = call_of(id);
    if (!call) return 0;
    int joined = 0;
    std::string name = g_.node(id).name;
    const Shape shape = g_.value(g_.node(id).outputs[0]).shape;
    for (bool again = true; again;) {
      again = false;
      for (const ValueId v : call->args) {
        const NodeId producer = g_.value(v).producer;
        if (producer == kNoId || rewrite::sole_user(g_, v) != id || !(g_.value(v).shape == shape)) continue;
        const auto inner = call_of(producer);
        if (!inner) continue;
        const Call both = inline_scalars(g_, substitute(*call, v, *inner));
        if (both.program.steps.size() > kMaxSteps || both.program.inputs > kMaxInputs || both.args.empty()) continue;
        name = join_names(g_.node(producer).name, name);
        LATHE_TRY(id, rebuild(id, both, name));
        call = both;
        ++joined;
        again = true;
        break;
      }
    }
    return joined;
  }

  // Replaces `id` by a Pointwise of `call`; what it no longer uses dies.
  Result<NodeId> rebuild(NodeId id, const Call& call, const std::string& name) {
    auto op = std::make_shared<ops::Pointwise>();
    op->function = call.program;
    LATHE_TRY(const NodeId fresh, g_.add_node(op, call.args, {}, name));
    const ValueId from = g_.node(id).outputs[0], to = g_.node(fresh).outputs[0];
    g_.value(to).shape = g_.value(from).shape;
    const auto old_inputs = g_.node(id).inputs;
    rewrite::replace_node(g_, id, to);
    for (const ValueId v : old_inputs) remove_unused(v);
    return fresh;
  }

  void remove_unused(ValueId v) {
    if (v == kNoId || !g_.value(v).users.empty() || g_.is_output(v)) return;
    const NodeId n = g_.value(v).producer;
    if (n == kNoId || !g_.node(n).alive() || g_.node(n).outputs.size() != 1) return;
    const auto inputs = g_.node(n).inputs;
    g_.remove_node(n);
    for (const ValueId i : inputs) remove_unused(i);
  }

  [[nodiscard]] bool takes_epilogue(NodeId n) const {
    const Node& node = g_.node(n);
    return node.outputs.size() == 1 &&
           std::find(std::begin(kAnchors), std::end(kAnchors), node.op->name()) != std::end(kAnchors);
  }

  // Whether `v` is computed from the result of `anchor`.
  [[nodiscard]] bool depends_on(ValueId v, NodeId anchor) const {
    std::vector<NodeId> stack;
    std::vector<bool> seen(g_.node_count(), false);
    auto push = [&](ValueId x) {
      const NodeId p = x == kNoId ? kNoId : g_.value(x).producer;
      if (p == kNoId || seen[static_cast<size_t>(p)] ||
          position_[static_cast<size_t>(p)] < position_[static_cast<size_t>(anchor)])
        return;
      seen[static_cast<size_t>(p)] = true;
      stack.push_back(p);
    };
    push(v);
    while (!stack.empty()) {
      const NodeId n = stack.back();
      stack.pop_back();
      if (n == anchor) return true;
      for (const ValueId i : g_.node(n).inputs) push(i);
    }
    return false;
  }

  // Moves elementwise node `id` into the epilogue of the last of its producers that can take it.
  bool into_anchor(NodeId id) {
    const auto call = call_of(id);
    if (!call) return false;
    const ValueId out = g_.node(id).outputs[0];
    std::vector<ValueId> candidates;
    for (const ValueId v : call->args) {
      const NodeId p = g_.value(v).producer;
      if (p == kNoId || !takes_epilogue(p) || rewrite::sole_user(g_, v) != id) continue;
      if (g_.value(v).shape == g_.value(out).shape) candidates.push_back(v);
    }
    std::sort(candidates.begin(), candidates.end(), [&](ValueId a, ValueId b) { return position(a) > position(b); });
    for (const ValueId v : candidates) {
      const NodeId anchor = g_.value(v).producer;
      const bool free = std::none_of(call->args.begin(), call->args.end(),
                                     [&](ValueId x) { return x != v && depends_on(x, anchor); });
      if (free && attach(anchor, v, *call, id)) return true;
    }
    return false;
  }

  [[nodiscard]] size_t position(ValueId v) const { return position_[static_cast<size_t>(g_.value(v).producer)]; }

  bool attach(NodeId anchor, ValueId result, const Call& call, NodeId consumer) {
    // What the epilogue computes, over (result, inputs…): value `result` stands for the anchor's own output.
    Node& a = g_.node(anchor);
    Call inner;
    inner.args = {result};
    inner.args.insert(inner.args.end(), a.inputs.begin() + a.anchor_inputs, a.inputs.end());
    Call both;
    if (a.epilogue.empty()) {
      both = call;
    } else {
      inner.program = a.epilogue;
      both = substitute(call, result, inner);
    }
    // The anchor's output first.
    const auto it = std::find(both.args.begin(), both.args.end(), result);
    if (it == both.args.end()) return false;
    const auto at = it - both.args.begin();
    std::vector<int> map(both.args.size());
    for (size_t i = 0; i < map.size(); ++i)
      map[i] = static_cast<std::ptrdiff_t>(i) == at
                   ? 0
                   : static_cast<int>(i) + (static_cast<std::ptrdiff_t>(i) < at ? 1 : 0);
    const Program epilogue = remap_inputs(both.program, map, static_cast<int>(both.args.size()));
    if (epilogue.steps.size() > kMaxSteps || epilogue.inputs > kMaxInputs) return false;
    both.args.erase(it);

    const ValueId out = g_.node(consumer).outputs[0];
    std::vector<ValueId> inputs(a.inputs.begin(), a.inputs.begin() + a.anchor_inputs);
    inputs.insert(inputs.end(), both.args.begin(), both.args.end());
    const auto old = g_.node(consumer).inputs;
    a.name = join_names(a.name, g_.node(consumer).name);
    g_.set_inputs(consumer, {});
    g_.set_inputs(anchor, std::move(inputs));
    g_.node(anchor).epilogue = epilogue;
    g_.take_output(anchor, out);
    g_.remove_node(consumer);
    for (const ValueId v : old)
      if (v != result) remove_unused(v);
    return true;
  }

  Graph& g_;
  std::vector<size_t> position_;
};

}  // namespace

Result<int> fuse(Graph& g, const PassOptions&) { return Fuser(g).run(); }

}  // namespace lathe::passes
