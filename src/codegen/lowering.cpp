// SPDX-License-Identifier: Apache-2.0
#include "codegen/lowering.h"

#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <ranges>
#include <set>
#include <tuple>

#include "base/arena_planner.h"
#include "codegen/custom.h"
#include "codegen/lower/lower.h"
#include "engine/size_program.h"

namespace lathe::codegen {

int WeightPool::add(std::shared_ptr<const std::vector<std::byte>> bytes) {
  const std::span<const std::byte> view(*bytes);
  return add_view(view, std::move(bytes));
}

int WeightPool::add_view(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  const size_t hash = std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const auto& known = blobs_[static_cast<size_t>(it->second)].bytes;
    if (known.size() == bytes.size() && (bytes.empty() || std::memcmp(known.data(), bytes.data(), bytes.size()) == 0))
      return it->second;
  }
  const auto id = static_cast<int>(blobs_.size());
  blobs_.push_back({bytes, std::move(owner)});
  by_hash_.emplace(hash, id);
  return id;
}

std::vector<std::span<const std::byte>> WeightPool::blobs() const {
  std::vector<std::span<const std::byte>> r;
  for (const Blob& b : blobs_) r.push_back(b.bytes);
  return r;
}

/// What is known of one graph: the outermost, or one that a node holds.
struct Lowering::Scope {
  const Graph* graph = nullptr;
  bool outermost = true;
  std::unordered_map<ValueId, BufferId> buffers;
  std::map<std::string, ExprId> sizes;  ///< symbols that stand for sizes of the graph around
};

struct Lowering::Impl {
  WeightPool* weights = nullptr;
  Plan plan;
  std::vector<Kernel> kernels;
  std::map<std::string, int> kernel_by_code;
  std::map<std::string, ExprId> expr_by_text;
  std::vector<bool> late;  // by expression: depends on a symbol that an instruction sets
  std::map<std::string, int32_t> symbol_ids;
  std::set<std::string> input_symbols;
  std::vector<double> buffer_typical;  // by buffer: bytes, for cost figures
  std::map<int, BufferId> weight_buffers;
  std::string failures;
  int failed = 0;

  ExprId append(const SizeExpr& e, const std::string& text, bool is_late) {
    const auto [it, fresh] = expr_by_text.try_emplace(text, static_cast<ExprId>(plan.exprs.size()));
    if (!fresh) return it->second;
    plan.exprs.push_back(e);
    late.push_back(is_late);
    return it->second;
  }
  ExprId constant(int64_t v) { return append({SizeExpr::Kind::kConstant, v, kNone, kNone}, std::to_string(v), false); }
  [[nodiscard]] std::optional<int64_t> constant_of(ExprId e) const {
    const SizeExpr& x = plan.exprs[static_cast<size_t>(e)];
    return x.kind == SizeExpr::Kind::kConstant ? std::optional(x.value) : std::nullopt;
  }
  ExprId binary(SizeExpr::Kind kind, ExprId a, ExprId b) {
    // A symbol of a nested graph may stand for a constant of the graph around.
    if (const auto x = constant_of(a), y = constant_of(b); x && y)
      if (const auto folded = size_apply(kind, *x, *y)) return constant(*folded);
    return append({kind, 0, a, b},
                  "#" + std::to_string(static_cast<int>(kind)) + ":" + std::to_string(a) + "," + std::to_string(b),
                  late[static_cast<size_t>(a)] || late[static_cast<size_t>(b)]);
  }
  int32_t symbol(const std::string& name, const Graph& graph) {
    const auto [it, fresh] = symbol_ids.try_emplace(name, static_cast<int32_t>(plan.symbols.size()));
    if (fresh) {
      PlanSymbol s{name};
      if (const auto r = graph.symbols.find(name); r != graph.symbols.end()) {
        s.min = r->second.min;
        s.opt = r->second.opt;
        s.max = r->second.max;
      }
      plan.symbols.push_back(s);
    }
    return it->second;
  }
  ExprId symbol_expr(const std::string& name, const Scope& scope) {
    if (const auto it = scope.sizes.find(name); it != scope.sizes.end()) return it->second;
    const int32_t s = symbol(name, *scope.graph);
    return append({SizeExpr::Kind::kSymbol, s, kNone, kNone}, "$" + name, !input_symbols.contains(name));
  }
  ExprId expr(const Dim& d, const Scope& scope) {
    if (d.is_const()) return constant(d.value());
    ExprId sum = kNone;
    for (const auto& t : d.terms()) {
      ExprId p = kNone;
      for (const auto& a : t.atoms) {
        ExprId f = kNone;
        if (a->kind == Dim::AtomKind::kSymbol) {
          f = symbol_expr(a->key, scope);
        } else {
          static constexpr std::pair<Dim::AtomKind, SizeExpr::Kind> kKinds[] = {
              {Dim::AtomKind::kFloorDiv, SizeExpr::Kind::kFloorDiv},
              {Dim::AtomKind::kMod, SizeExpr::Kind::kMod},
              {Dim::AtomKind::kMin, SizeExpr::Kind::kMin},
              {Dim::AtomKind::kMax, SizeExpr::Kind::kMax}};
          const ExprId x = expr(a->args[0], scope), y = expr(a->args[1], scope);
          for (const auto& [atom, kind] : kKinds)
            if (atom == a->kind) f = binary(kind, x, y);
        }
        p = p == kNone ? f : binary(SizeExpr::Kind::kMul, p, f);
      }
      if (p == kNone)
        p = constant(t.coefficient);
      else if (t.coefficient != 1)
        p = binary(SizeExpr::Kind::kMul, constant(t.coefficient), p);
      sum = sum == kNone ? p : binary(SizeExpr::Kind::kAdd, sum, p);
    }
    return sum;
  }
  BufferId add_buffer(PlanBuffer b, int64_t typical_bytes) {
    plan.buffers.push_back(std::move(b));
    buffer_typical.push_back(static_cast<double>(typical_bytes));
    return static_cast<BufferId>(plan.buffers.size() - 1);
  }
  BufferId root(BufferId b) const {
    while (plan.buffers[static_cast<size_t>(b)].place == PlanBuffer::Place::kAlias)
      b = plan.buffers[static_cast<size_t>(b)].index;
    return b;
  }
  [[nodiscard]] bool known_when_bound(ExprId e) const { return !late[static_cast<size_t>(e)]; }
};

Lowering::Lowering(const Graph& g, const Target& t, const LoweringOptions& o, WeightPool& weights)
    : graph(g), target(t), options(o), impl_(std::make_shared<Impl>()), scope_(std::make_shared<Scope>()) {
  scope_->graph = &graph;
  impl_->weights = &weights;
  for (const ValueId v : graph.inputs)
    for (const Dim& d : shape(v)) d.collect_symbols(impl_->input_symbols);
  for (const auto& s : impl_->input_symbols) impl_->symbol(s, graph);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const BufferId b = buffer(graph.inputs[i]);
    const std::string& port = value(graph.inputs[i]).name;
    if (i < graph.inputs.size() - graph.states.size()) {
      impl_->plan.inputs.push_back({port, b});
      continue;
    }
    const Tensor& first = graph.states[impl_->plan.states.size()];
    const auto bytes = first.bytes();
    const bool zeros = std::ranges::all_of(bytes, [](std::byte x) { return x == std::byte{0}; });
    impl_->plan.states.push_back(
        {port, b, kNone, zeros ? kNone : weights.add_view(bytes, std::make_shared<Tensor>(first))});
  }
}

Lowering::Lowering(Lowering& around, const Graph& g)
    : graph(g), target(around.target), options(around.options), impl_(around.impl_), scope_(std::make_shared<Scope>()) {
  scope_->graph = &graph;
  scope_->outermost = false;
  scope_->sizes = around.scope_->sizes;
}

namespace {
Dim byte_count(DType t, const Shape& s) {
  const Dim n = product(s);
  const int bits = dtype_bits(t);
  return bits % 8 == 0 ? n * Dim(bits / 8) : ceil_div(n * Dim(bits), 8);
}
}  // namespace

/// The last of the graph's `count` inputs or outputs are state.
std::pair<PlanBuffer::Place, int32_t> Lowering::port_place(size_t i, size_t count, PlanBuffer::Place own,
                                                           PlanBuffer::Place state) const {
  const size_t owns = count - graph.states.size();
  return i < owns ? std::pair(own, static_cast<int32_t>(i)) : std::pair(state, static_cast<int32_t>(i - owns));
}

BufferId Lowering::buffer(ValueId v) {
  if (v == kNoId) return kNone;
  if (const auto it = scope_->buffers.find(v); it != scope_->buffers.end()) return it->second;
  const Value& x = value(v);
  BufferId id = kNone;
  if (x.constant && !x.constant->empty() && x.dtype != DType::kString) {
    // A mapped file's bytes end where they end; the engine's blobs have slack.
    const int blob = impl_->weights->add_view(x.constant->bytes(), std::make_shared<Tensor>(*x.constant));
    if (const auto it = impl_->weight_buffers.find(blob);
        it != impl_->weight_buffers.end() && impl_->plan.buffers[static_cast<size_t>(it->second)].dtype == x.dtype)
      id = it->second;
  }
  if (id == kNone) {
    PlanBuffer b;
    b.dtype = x.dtype;
    b.name = x.name.empty() || x.name[0] == '%' ? "" : x.name;
    for (const Dim& d : x.shape) b.dims.push_back(impl_->expr(d, *scope_));
    const Dim bytes = byte_count(x.dtype, x.shape);
    b.bytes = impl_->expr(bytes, *scope_);
    const auto input = std::find(graph.inputs.begin(), graph.inputs.end(), v);
    const auto output = std::find(graph.outputs.begin(), graph.outputs.end(), v);
    if (scope_->outermost && input != graph.inputs.end()) {
      std::tie(b.place, b.index) = port_place(static_cast<size_t>(input - graph.inputs.begin()), graph.inputs.size(),
                                              PlanBuffer::Place::kInput, PlanBuffer::Place::kState);
    } else if (x.constant) {
      b.place = PlanBuffer::Place::kWeight;
      b.index = impl_->weights->add_view(x.constant->bytes(), std::make_shared<Tensor>(*x.constant));
      impl_->weight_buffers.try_emplace(b.index, static_cast<BufferId>(impl_->plan.buffers.size()));
    } else if (scope_->outermost && output != graph.outputs.end()) {
      std::tie(b.place, b.index) = port_place(static_cast<size_t>(output - graph.outputs.begin()), graph.outputs.size(),
                                              PlanBuffer::Place::kOutput, PlanBuffer::Place::kNextState);
    } else if (!impl_->known_when_bound(b.bytes)) {
      b.place = PlanBuffer::Place::kDynamic;
    }
    id = impl_->add_buffer(std::move(b), typical(bytes));
  }
  scope_->buffers[v] = id;
  return id;
}

BufferId Lowering::weight(std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto size = static_cast<int64_t>(bytes->size());
  const int blob = impl_->weights->add(std::move(bytes));
  const auto [it, fresh] = impl_->weight_buffers.try_emplace(blob, static_cast<BufferId>(impl_->plan.buffers.size()));
  if (!fresh) return it->second;
  PlanBuffer b;
  b.place = PlanBuffer::Place::kWeight;
  b.dtype = DType::kU8;
  b.index = blob;
  b.bytes = impl_->constant(size);
  b.dims = {b.bytes};
  return impl_->add_buffer(std::move(b), size);
}

BufferId Lowering::temporary(const Dim& bytes, DType dtype) {
  PlanBuffer b;
  b.dtype = dtype;
  b.bytes = impl_->expr(bytes, *scope_);
  b.place = impl_->known_when_bound(b.bytes) ? PlanBuffer::Place::kArena : PlanBuffer::Place::kDynamic;
  b.dims = {impl_->expr(floor_div(bytes, std::max(dtype_bits(dtype) / 8, 1)), *scope_)};
  return impl_->add_buffer(std::move(b), typical(bytes));
}

void Lowering::alias(ValueId out, ValueId in, const Dim& byte_offset) {
  const BufferId parent = buffer(in);
  const Value& x = value(out);
  PlanBuffer b;
  b.place = PlanBuffer::Place::kAlias;
  b.dtype = x.dtype;
  b.index = parent;
  b.offset = impl_->expr(byte_offset, *scope_);
  b.align = 1;
  b.name = x.name.empty() || x.name[0] == '%' ? "" : x.name;
  for (const Dim& d : x.shape) b.dims.push_back(impl_->expr(d, *scope_));
  const Dim bytes = byte_count(x.dtype, x.shape);
  b.bytes = impl_->expr(bytes, *scope_);
  scope_->buffers[out] = impl_->add_buffer(std::move(b), typical(bytes));
}

void Lowering::bind(ValueId v, BufferId memory) { scope_->buffers[v] = memory; }

void Lowering::bind_sizes(ValueId v, const Lowering& around, ValueId given, const std::set<size_t>& except) {
  const Shape &inner = shape(v), &outer = around.shape(given);
  for (size_t d = 0; d < inner.size(); ++d)
    if (const std::string symbol = inner[d].symbol_name(); !symbol.empty() && !except.contains(d))
      scope_->sizes[symbol] = impl_->expr(outer[d], *around.scope_);
}

Dim Lowering::size_of(const Lowering& other, const Dim& d) {
  if (d.is_const()) return d;
  const ExprId e = impl_->expr(d, *other.scope_);
  if (const auto c = impl_->constant_of(e)) return *c;
  const std::string name = "~" + std::to_string(e);
  scope_->sizes[name] = e;
  return Dim::symbol(name);
}

bool Lowering::same_size(const Dim& d, const Lowering& other, const Dim& e) const {
  return impl_->expr(d, *scope_) == impl_->expr(e, *other.scope_);
}

bool Lowering::sets(const std::string& symbol) const {
  return !scope_->sizes.contains(symbol) && !impl_->input_symbols.contains(symbol);
}

BufferId Lowering::root(BufferId b) const { return impl_->root(b); }

bool Lowering::can_grow(BufferId b) const {
  const auto place = impl_->plan.buffers[static_cast<size_t>(b)].place;
  return place == PlanBuffer::Place::kDynamic || place == PlanBuffer::Place::kOutput;
}

int32_t Lowering::jump(const Node& node, int32_t to) {
  PlanInstr in;
  in.kind = PlanInstr::Kind::kJump;
  in.target = to;
  in.node = node.name;
  in.op = node.op->name();
  impl_->plan.instrs.push_back(std::move(in));
  return position() - 1;
}

int32_t Lowering::jump_if_false(const Node& node, BufferId condition) {
  const int32_t at = jump(node);
  PlanInstr& in = impl_->plan.instrs.back();
  in.kind = PlanInstr::Kind::kJumpIfFalse;
  in.buffers = {condition};
  return at;
}

int32_t Lowering::position() const { return static_cast<int32_t>(impl_->plan.instrs.size()); }

void Lowering::land(int32_t at) { impl_->plan.instrs[static_cast<size_t>(at)].target = position(); }

int Lowering::kernel(const std::string& name, std::vector<Dim> scalars, const std::function<void(Emitter&)>& emit) {
  Emitter e(target, "kernel", std::move(scalars));
  emit(e);
  e.module->setModuleIdentifier("kernel");
#ifndef NDEBUG
  std::string problem;
  llvm::raw_string_ostream stream(problem);
  if (llvm::verifyModule(*e.module, &stream))
    llvm::report_fatal_error(llvm::Twine("generated kernel is malformed: ") + problem);
#endif
  llvm::SmallVector<char, 0> code;
  llvm::raw_svector_ostream out(code);
  llvm::WriteBitcodeToFile(*e.module, out);
  const auto [it, fresh] =
      impl_->kernel_by_code.try_emplace(std::string(code.begin(), code.end()), static_cast<int>(impl_->kernels.size()));
  if (fresh) {
    Kernel k;
    k.name = "k" + std::to_string(it->second) + "_" + name;
    e.function->setName(k.name);
    // The builder refers to the context: it must not outlive the Emitter's body, which ends here.
    k.context = std::move(e.context);
    k.module = std::move(e.module);
    impl_->kernels.push_back(std::move(k));
    impl_->plan.kernels.push_back({impl_->kernels.back().name, 0});
  } else {
    e.module.reset();
  }
  return it->second;
}

int Lowering::longtail_kernel(const std::string& function, std::vector<Dim> scalars, std::vector<Dim> arguments) {
  return kernel(function, std::move(scalars), [&](Emitter& e) {
    auto& b = e.b;
    std::vector<llvm::Type*> types{b.getPtrTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty()};
    std::vector<Val> values{e.function->getArg(0), e.function->getArg(1), e.function->getArg(2), e.begin(), e.end()};
    for (const Dim& d : arguments) {
      types.push_back(b.getInt64Ty());
      values.push_back(e.dim(d));
    }
    auto callee = e.module->getOrInsertFunction(function, llvm::FunctionType::get(b.getVoidTy(), types, false));
    b.CreateCall(callee, values);
    e.ret();
  });
}

int64_t Lowering::typical(const Dim& d) const {
  std::map<std::string, Dim> at;
  std::set<std::string> names;
  d.collect_symbols(names);
  for (const auto& n : names) {
    const auto it = graph.symbols.find(n);
    at[n] = it == graph.symbols.end() ? Dim(1) : Dim(it->second.opt);
  }
  return d.substitute(at).as_const().value_or(1);
}

size_t Lowering::choose(const Node& node, std::string_view what, bool any_target,
                        std::span<const std::string> tactics) {
  if (!options.chooser || tactics.size() < 2) return 0;
  std::string key = std::string(what) + " for " + (any_target ? "any" : std::string(target.name)) + ", " +
                    std::to_string(options.threads_hint) + " threads: " + std::string(node.op->name()) + "(";
  const auto add_value = [&](ValueId v) {
    if (v == kNoId) {
      key += "_ ";
      return;
    }
    key += dtype_name(dtype(v));
    for (const Dim& d : shape(v)) key += (d.is_const() ? " " : " ~") + std::to_string(typical(d));
    key += value(v).constant ? "; const " : "; ";
  };
  for (const ValueId v : node.inputs) add_value(v);
  key += ") {" + attrs_str(*node.op) + "}";
  if (!node.epilogue.empty()) key += " epilogue {" + node.epilogue.str() + "}";
  return std::min(options.chooser->choose(graph, node, key, tactics), tactics.size() - 1);
}

std::vector<Dim> Lowering::symbolic(std::span<const Dim> dims) {
  std::vector<Dim> r;
  for (const Dim& d : dims)
    if (!d.is_const() && std::find(r.begin(), r.end(), d) == r.end()) r.push_back(d);
  return r;
}

std::vector<Dim> Lowering::symbolic(std::initializer_list<Dim> dims) {
  return symbolic(std::span<const Dim>(dims.begin(), dims.size()));
}

Status Lowering::call(const Node& node, Call call) {
  PlanInstr in;
  in.kernel = call.kernel;
  in.buffers = std::move(call.buffers);
  for (const Dim& d : call.scalars) in.scalars.push_back(impl_->expr(d, *scope_));
  in.tasks = impl_->expr(call.tasks, *scope_);
  in.serial = call.tasks.equals(1);
  if (!call.scratch_bytes.equals(0)) in.scratch = impl_->expr(call.scratch_bytes, *scope_);
  for (const auto& s : call.defines) in.defines.push_back(impl_->symbol(s, graph));
  if (!call.grows.empty())
    for (const BufferId b : in.buffers)
      in.grows.push_back(std::find(call.grows.begin(), call.grows.end(), b) != call.grows.end());
  in.node = node.name;
  if (node.op) {
    in.op = std::string(node.op->name()) + (node.epilogue.empty() ? "" : "+epilogue");
    const auto infos_in = graph.infos(std::span(node.inputs).first(static_cast<size_t>(node.anchor_inputs)));
    const auto infos_out = graph.infos(node.outputs);
    in.flops = call.flops > 0 ? call.flops : node.op->flops(infos_in, infos_out);
  }
  in.tactic = std::move(call.tactic);
  std::set<BufferId> seen;
  for (const BufferId b : in.buffers)
    if (b != kNone && seen.insert(b).second) in.traffic += impl_->buffer_typical[static_cast<size_t>(b)];
  impl_->plan.instrs.push_back(std::move(in));
  return {};
}

namespace {

struct LowerEntry {
  std::string_view stem;
  LowerFunction function;
};

const LowerEntry kLowerings[] = {
#define LATHE_LOWER_ENTRY(stem) {#stem, lower_##stem},
#include "lower_list.inc"
#undef LATHE_LOWER_ENTRY
};

/// The file stem of an operator: "LayerNorm" → "layer_norm"; runs of capitals stay together ("TopK" → "topk").
bool stem_matches(std::string_view stem, std::string_view op) {
  std::string a, b;
  for (const char c : stem)
    if (c != '_') a += c;
  for (const char c : op) b += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return a == b;
}

}  // namespace

LowerFunction find_lowering(const Node& node, const Graph& graph) {
  std::vector<DType> types;
  for (const ValueId v : node.inputs) types.push_back(v == kNoId ? DType::kUndefined : graph.value(v).dtype);
  if (node.op->program(types)) return lower_pointwise;
  if (node.as<ops::Custom>()) return lower_custom;
  for (const LowerEntry& e : kLowerings)
    if (stem_matches(e.stem, node.op->name())) return e.function;
  return nullptr;
}

Status Lowering::lower_nodes() {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    const LowerFunction lower = find_lowering(node, graph);
    Status s = lower ? lower(*this, node) : fail(Code::kUnsupported, "no code generation for this operator yet");
    if (s) continue;
    if (s.error().code != Code::kUnsupported) return s;
    ++impl_->failed;
    impl_->failures += "\n  [" + std::string(node.op->name()) + "] node \"" + node.name + "\": " + s.error().message;
  }
  return {};
}

Status Lowering::lower_all() {
  LATHE_CHECK(lower_nodes());
  if (impl_->failed)
    return fail(Code::kUnsupported, std::to_string(impl_->failed) + " node(s) cannot be compiled for " +
                                        std::string(target.name) + ":" + impl_->failures);
  return {};
}

Result<Plan> Lowering::finish(std::vector<Kernel>& kernels) {
  Plan& plan = impl_->plan;
  // Outputs and what states become: their own memory where one instruction writes all of it, else a copy.
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const auto [place, index] =
        port_place(i, graph.outputs.size(), PlanBuffer::Place::kOutput, PlanBuffer::Place::kNextState);
    const auto is_port = [&, place = place, index = index](const std::string& name, BufferId b) {
      if (place == PlanBuffer::Place::kOutput)
        plan.outputs.push_back({name, b});
      else
        plan.states[static_cast<size_t>(index)].next = b;
    };
    const ValueId v = graph.outputs[i];
    const std::string& port = i < graph.output_names.size() ? graph.output_names[i] : value(v).name;
    const BufferId have = buffer(v);
    const BufferId top = impl_->root(have);
    PlanBuffer& r = plan.buffers[static_cast<size_t>(top)];
    const bool own = have == top && r.place == place && r.index == index;
    const bool whole = r.bytes == plan.buffers[static_cast<size_t>(have)].bytes;
    const bool takes = r.place == PlanBuffer::Place::kArena ||
                       (r.place == PlanBuffer::Place::kDynamic && place == PlanBuffer::Place::kOutput);
    if (!own && whole && takes) {
      // A view of a whole intermediate (a final Reshape): the intermediate itself becomes the output's memory.
      r.place = place;
      r.index = index;
      r.dims = plan.buffers[static_cast<size_t>(have)].dims;
      r.dtype = plan.buffers[static_cast<size_t>(have)].dtype;
      is_port(port, top);
    } else if (own) {
      is_port(port, top);
    } else {
      PlanBuffer b = plan.buffers[static_cast<size_t>(have)];
      b.place = place;
      b.index = index;
      b.offset = kNone;
      b.align = 64;
      b.name = port;
      const Dim bytes = byte_count(value(v).dtype, shape(v));
      const BufferId copy = impl_->add_buffer(std::move(b), typical(bytes));
      is_port(port, copy);
      const auto scalars = symbolic({bytes});
      Call c;
      c.kernel = kernel("copy", scalars, [&](Emitter& e) {
        Val from = e.buf(0), to = e.buf(1);
        e.for_vectors(e.dim(bytes), 64, [&](Val at, int n, Val mask) {
          e.store(DType::kU8, e.load(DType::kU8, e.at(from, at), n, mask), e.at(to, at), mask);
        });
        e.ret();
      });
      c.buffers = {have, copy};
      c.scalars = scalars;
      Node n;
      n.name = port;
      LATHE_CHECK(call(n, std::move(c)));
      plan.instrs.back().op = "Copy";
    }
  }
  // Lifetimes, counted on the roots.
  for (PlanBuffer& b : plan.buffers) {
    b.first = INT32_MAX;
    b.last = -1;
  }
  for (size_t i = 0; i < plan.instrs.size(); ++i)
    for (const BufferId b : plan.instrs[i].buffers) {
      if (b == kNone) continue;
      for (BufferId x = b;; x = plan.buffers[static_cast<size_t>(x)].index) {
        PlanBuffer& p = plan.buffers[static_cast<size_t>(x)];
        p.first = std::min(p.first, static_cast<int32_t>(i));
        p.last = std::max(p.last, static_cast<int32_t>(i));
        if (p.place != PlanBuffer::Place::kAlias) break;
      }
    }
  // What is there before a loop and used in it is used until the loop's last turn. Inner loops end first.
  for (size_t i = 0; i < plan.instrs.size(); ++i) {
    const auto at = static_cast<int32_t>(i);
    if (plan.instrs[i].kind != PlanInstr::Kind::kJump || plan.instrs[i].target > at) continue;
    for (PlanBuffer& b : plan.buffers)
      if (b.first < plan.instrs[i].target && b.last >= plan.instrs[i].target) b.last = std::max(b.last, at);
  }
  for (PlanBuffer& b : plan.buffers)
    if (b.last < 0) b.first = b.last = 0;
  // The arena, where every size in it is known now.
  std::vector<ArenaItem> items;
  std::vector<size_t> owners;
  bool all_known = true;
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const PlanBuffer& b = plan.buffers[i];
    if (b.place != PlanBuffer::Place::kArena) continue;
    const auto bytes = impl_->constant_of(b.bytes);
    all_known &= bytes.has_value();
    items.push_back({bytes.value_or(0) + 64, b.align, b.first, b.last});
    owners.push_back(i);
  }
  if (all_known) {
    std::vector<int64_t> offsets(items.size());
    plan.arena_bytes = plan_arena(items, offsets);
    for (size_t i = 0; i < owners.size(); ++i) plan.buffers[owners[i]].offset = impl_->constant(offsets[i]);
  }
  kernels = std::move(impl_->kernels);
  return std::move(plan);
}

}  // namespace lathe::codegen
