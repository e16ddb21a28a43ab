// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "codegen/emitter.h"
#include "codegen/tactics.h"
#include "engine/plan.h"
#include "ir/graph.h"
#include "passes/passes.h"

namespace lathe::codegen {

struct LoweringOptions {
  Math math = Math::kDefault;
  int threads_hint = 2;  ///< how many threads the engine is likely to run on; affects task sizes, never results
  TacticChooser* chooser = nullptr;  ///< null: the cost model decides
  /// Of several targets that share an engine's weights, the one with the widest vectors: it decides how they are laid
  /// out. Null: the target itself.
  const Target* layout = nullptr;
};

/// Packed constants of all targets of one engine, by content.
class WeightPool {
 public:
  /// Index of a blob equal to `bytes` (kept, not copied).
  int add(std::shared_ptr<const std::vector<std::byte>> bytes);
  int add_view(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  [[nodiscard]] std::vector<std::span<const std::byte>> blobs() const;

 private:
  struct Blob {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };
  std::vector<Blob> blobs_;
  std::unordered_multimap<size_t, int> by_hash_;
};

/// One kernel call as a lowering describes it; becomes a PlanInstr.
struct Call {
  int kernel = kNone;
  std::vector<BufferId> buffers;
  std::vector<Dim> scalars;  ///< those the kernel was emitted with, in that order
  Dim tasks = 1;
  Dim scratch_bytes = 0;             ///< per thread
  std::vector<std::string> defines;  ///< symbols that the kernel writes
  std::vector<BufferId> grows;       ///< buffers it allocates
  std::string tactic;
  double flops = 0;  ///< 0: taken from the operator
};

/// Turns the nodes of an optimised graph into a Plan for one target. Each operator has one file src/codegen/lower/
/// <stem>.cpp that defines `Status lower_<stem>(Lowering&, const Node&)` in namespace lathe::codegen; the stem is that
/// of the operator's file in src/ops. Elementwise operators go to lower/pointwise.cpp.
class Lowering {
 public:
  Lowering(const Graph& graph, const Target& target, const LoweringOptions& options, WeightPool& weights);
  /// For `graph`, which a node of `around`'s graph holds: adds to the same plan. Bind the graph's inputs first.
  Lowering(Lowering& around, const Graph& graph);

  const Graph& graph;
  const Target& target;
  const LoweringOptions& options;

  /// The value's memory. Constants become weights (row-major, as in the graph); absent inputs kNone.
  BufferId buffer(ValueId v);
  /// A constant made at build time, e.g. packed; 64-byte aligned, 64 bytes of readable slack.
  BufferId weight(std::shared_ptr<const std::vector<std::byte>> bytes);
  /// Memory of this call alone (or of several: it lives from its first to its last use).
  BufferId temporary(const Dim& bytes, DType dtype = DType::kU8);
  /// Makes `out` the memory of `in` from `byte_offset` on (Reshape; Slice of leading dimensions). Call before
  /// buffer(out).
  void alias(ValueId out, ValueId in, const Dim& byte_offset = 0);

  // --- graphs that a node holds
  /// `v` lives in `memory`, whatever made it. Call before buffer(v).
  void bind(ValueId v, BufferId memory);
  /// Input `v` of this graph is `given` of the graph around: symbols that are whole dimensions of `v` stand for the
  /// dimensions given to it, but for those in `except`.
  void bind_sizes(ValueId v, const Lowering& around, ValueId given, const std::set<size_t>& except = {});
  /// `d` of another graph's lowering in the terms of this one.
  Dim size_of(const Lowering& other, const Dim& d);
  /// Whether `d` and dimension `e` of `other` are the same expression of the plan.
  [[nodiscard]] bool same_size(const Dim& d, const Lowering& other, const Dim& e) const;
  /// Whether `symbol` is one that an instruction sets, not a size of an input or of the graph around.
  [[nodiscard]] bool sets(const std::string& symbol) const;
  /// The memory that `b` is part of.
  [[nodiscard]] BufferId root(BufferId b) const;
  /// Whether a kernel can grow `b`.
  [[nodiscard]] bool can_grow(BufferId b) const;
  /// Appends a jump to be landed later (or to an instruction that is there already) and returns its index.
  int32_t jump(const Node& node, int32_t target = kNone);
  int32_t jump_if_false(const Node& node, BufferId condition);
  /// The next instruction: where a jump may lead.
  [[nodiscard]] int32_t position() const;
  /// Makes the jump lead to the next instruction.
  void land(int32_t jump);
  /// Lowers every node of the graph; those that cannot be are collected.
  Status lower_nodes();

  /// Emits a kernel now; equal code is shared. `scalars`: symbolic dimensions it receives. Name: a few letters for
  /// profiles.
  int kernel(const std::string& name, std::vector<Dim> scalars, const std::function<void(Emitter&)>& emit);
  /// Emits a kernel that calls a long-tail function (src/codegen/longtail) with constants folded in: `arguments` are
  /// passed after (context, bufs, scalars, begin, end) as i64.
  int longtail_kernel(const std::string& function, std::vector<Dim> scalars, std::vector<Dim> arguments);
  Status call(const Node& node, Call call);
  /// Which of several ways to take at `node`; `what` tells its decisions apart. `any_target`: the decision is one for
  /// all targets of an engine (it shapes the weights they share).
  size_t choose(const Node& node, std::string_view what, bool any_target, std::span<const std::string> tactics);

  /// All symbolic (non-constant) dimensions among `dims`, without duplicates: what to pass as scalars.
  static std::vector<Dim> symbolic(std::span<const Dim> dims);
  static std::vector<Dim> symbolic(std::initializer_list<Dim> dims);

  [[nodiscard]] const Value& value(ValueId v) const { return graph.value(v); }
  [[nodiscard]] const Shape& shape(ValueId v) const { return graph.value(v).shape; }
  [[nodiscard]] DType dtype(ValueId v) const { return graph.value(v).dtype; }
  /// Integer value of a dimension at the opt point of the symbols' ranges: for cost models.
  [[nodiscard]] int64_t typical(const Dim& d) const;

  // --- what the build does with the result
  struct Kernel {
    std::string name;
    std::unique_ptr<llvm::LLVMContext> context;
    std::unique_ptr<llvm::Module> module;
  };
  Status lower_all();                                 ///< every node; unsupported ones are all listed in one error
  Result<Plan> finish(std::vector<Kernel>& kernels);  ///< plan without code offsets; kernels by id
 private:
  struct Impl;
  struct Scope;
  [[nodiscard]] std::pair<PlanBuffer::Place, int32_t> port_place(size_t i, size_t count, PlanBuffer::Place own,
                                                                 PlanBuffer::Place state) const;
  std::shared_ptr<Impl> impl_;
  std::shared_ptr<Scope> scope_;
};

/// The epilogue of an anchor (Node::epilogue) seen as a function of the output's coordinates. Every output is addressed
/// as a matrix [rows × columns], columns = the last dimension.
class Epilogue {
 public:
  Epilogue(Lowering& lowering, const Node& node);
  [[nodiscard]] bool empty() const;
  /// Buffers to append to the call, in order; in the kernel they start at index `first_buffer`.
  [[nodiscard]] const std::vector<BufferId>& buffers() const { return buffers_; }
  /// Symbolic dimensions that apply() needs.
  [[nodiscard]] const std::vector<Dim>& scalars() const { return scalars_; }
  [[nodiscard]] DType result() const { return result_; }
  /// Values that do not depend on the row (per-channel vectors), loaded once for columns [column, column+n): pass them
  /// to apply() to keep them out of an inner loop over rows.
  [[nodiscard]] Vals column_values(Emitter& e, int first_buffer, Val column, int n, Val mask) const;
  /// The epilogue of `v` (n lanes, the operator's own result) at (row, column … column+n).
  [[nodiscard]] Val apply(Emitter& e, int first_buffer, Val v, Val row, Val column, int n, Val mask,
                          const Vals* cached = nullptr) const;

 private:
  struct Input {
    DType dtype;
    bool column_only = false;  ///< row stride 0 everywhere
    Dim column_stride;         ///< 0 or 1 elements
    bool row_major = false;    ///< row stride is constant: `row_stride` elements per row
    Dim row_stride;
    std::vector<std::pair<Dim, Dim>> outer;  ///< (extent, element stride) of leading dimensions, inner first
  };
  Val load(Emitter& e, int first_buffer, size_t i, Val row, Val column, int n, Val mask) const;
  const Program* program_ = nullptr;
  std::vector<Input> inputs_;
  std::vector<BufferId> buffers_;
  std::vector<Dim> scalars_;
  DType result_ = DType::kF32;
};

/// Compiles kernels for `target` on `jobs` threads and links them into one position-independent blob without
/// relocations; sets the plan's code offsets. `progress(done, total)` may be empty; returning false from `keep_going`
/// stops with kInterrupted.
Result<std::vector<std::byte>> compile_kernels(const Target& target, std::vector<Lowering::Kernel> kernels, Plan& plan,
                                               int jobs, const std::function<bool(size_t, size_t)>& progress);

}  // namespace lathe::codegen
