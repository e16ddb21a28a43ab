// SPDX-License-Identifier: Apache-2.0
// Runs generated kernels without an engine or a runtime: lowers a graph, compiles it and executes its plan on one
// thread. Every buffer ends at an unreadable page (weights and arena memory after the slack that kernels may read),
// and memory that no instruction has written yet holds NaNs.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "codegen/lowering.h"
#include "engine/kernel_abi.h"
#include "engine/size_program.h"
#include "ir/graph.h"

namespace lathe::testing {

/// Memory whose end is followed by an unreadable page.
class GuardedMemory {
 public:
  /// `slack` readable bytes follow; the start is a multiple of `align`, so up to align-1 more may be readable.
  explicit GuardedMemory(int64_t bytes, int64_t slack = 0, int64_t align = 1, int fill = 0xFF) {
    constexpr int64_t kPage = 4096;
    const int64_t need = (bytes + slack + align - 1) / align * align;
    length_ = static_cast<size_t>((need + kPage - 1) / kPage * kPage + kPage);
    base_ = static_cast<std::byte*>(
        mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base_ == MAP_FAILED) std::abort();
    std::byte* end = base_ + (length_ - static_cast<size_t>(kPage));
    mprotect(end, static_cast<size_t>(kPage), PROT_NONE);
    data_ = end - need;
    std::memset(data_, fill, static_cast<size_t>(need));
  }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory() { munmap(base_, length_); }
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::byte *base_ = nullptr, *data_ = nullptr;
  size_t length_ = 0;
};

/// A graph compiled for one target, ready to run any number of times.
class CompiledGraph {
 public:
  static Result<std::unique_ptr<CompiledGraph>> make(const Graph& graph, const Target& target,
                                                     codegen::LoweringOptions options = {}) {
    auto r = std::make_unique<CompiledGraph>();
    codegen::WeightPool pool;
    codegen::Lowering lowering(graph, target, options, pool);
    LATHE_CHECK(lowering.lower_all());
    std::vector<codegen::Lowering::Kernel> kernels;
    LATHE_TRY(r->plan, lowering.finish(kernels));
    LATHE_TRY(const auto code, codegen::compile_kernels(target, std::move(kernels), r->plan, 1, {}));
    r->code_bytes = code.size();
    r->code_size_ = (code.size() + 4095) / 4096 * 4096 + 4096;
    r->code_ = static_cast<std::byte*>(
        mmap(nullptr, r->code_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::memcpy(r->code_, code.data(), code.size());
    mprotect(r->code_, r->code_size_, PROT_READ | PROT_EXEC);
    for (const auto blob : pool.blobs()) {
      r->weights_.push_back(std::make_unique<GuardedMemory>(static_cast<int64_t>(blob.size()), 63, 64));
      r->weight_bytes += blob.size();
      if (!blob.empty()) std::memcpy(r->weights_.back()->data(), blob.data(), blob.size());
    }
    return r;
  }
  CompiledGraph() = default;
  CompiledGraph(const CompiledGraph&) = delete;
  CompiledGraph& operator=(const CompiledGraph&) = delete;
  ~CompiledGraph() {
    if (code_) munmap(code_, code_size_);
  }

  /// One tensor per graph input, in order. `backwards`: tasks one at a time from the last to the first, as another
  /// number of threads might do.
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs, bool backwards = false) {
    Sizes symbols(plan.symbols.size()), sizes(plan.exprs.size());
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const PlanBuffer& b = plan.buffers[static_cast<size_t>(plan.inputs[i].buffer)];
      for (size_t d = 0; d < b.dims.size(); ++d)
        if (const SizeExpr& e = plan.exprs[static_cast<size_t>(b.dims[d])]; e.kind == SizeExpr::Kind::kSymbol)
          symbols.set(static_cast<size_t>(e.value), inputs[i].dims()[d]);
    }
    LATHE_CHECK(size_evaluate_all(plan, symbols, sizes));
    memory_.clear();
    memory_.resize(plan.buffers.size());
    pointers_.assign(plan.buffers.size(), nullptr);
    bytes_.assign(plan.buffers.size(), 0);
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const auto b = static_cast<size_t>(plan.inputs[i].buffer);
      memory_[b] = std::make_unique<GuardedMemory>(static_cast<int64_t>(inputs[i].bytes().size()));
      if (!inputs[i].bytes().empty())
        std::memcpy(memory_[b]->data(), inputs[i].bytes().data(), inputs[i].bytes().size());
      pointers_[b] = memory_[b]->data();
    }
    size_t at = 0;
    for (int64_t steps = 0; at < plan.instrs.size(); ++steps) {
      if (steps > 1000000) return fail(Code::kFailed, "the plan does not end");
      const PlanInstr& in = plan.instrs[at];
      if (in.kind == PlanInstr::Kind::kJump) {
        at = static_cast<size_t>(in.target);
        continue;
      }
      if (in.kind == PlanInstr::Kind::kJumpIfFalse) {
        const auto* flag = static_cast<const std::byte*>(pointer(static_cast<size_t>(in.buffers[0]), sizes));
        at = *flag != std::byte{} ? at + 1 : static_cast<size_t>(in.target);
        continue;
      }
      LATHE_CHECK(execute(in, symbols, sizes, backwards));
      ++at;
    }
    std::vector<Tensor> outputs;
    for (const PlanPort& port : plan.outputs) {
      const auto b = static_cast<size_t>(port.buffer);
      std::vector<int64_t> dims;
      for (const ExprId e : plan.buffers[b].dims) dims.push_back(sizes.value[static_cast<size_t>(e)]);
      Tensor t = Tensor::zeros(plan.buffers[b].dtype, dims);
      if (!t.bytes().empty()) std::memcpy(t.mutable_bytes().data(), pointer(b, sizes), t.bytes().size());
      outputs.push_back(std::move(t));
    }
    return outputs;
  }

  /// Runs kernel instruction `i` again on the memory of the last run(): for benchmarks.
  void repeat(size_t i) {
    const Prepared& p = prepared_[i];
    p.entry(&context_, p.buffers.data(), p.scalars.data(), 0, p.tasks);
  }

  Plan plan;
  size_t code_bytes = 0, weight_bytes = 0;

 private:
  struct Prepared {
    LatheKernel entry = nullptr;
    std::vector<void*> buffers;
    std::vector<int64_t> scalars;
    int64_t tasks = 0;
  };

  void* pointer(size_t b, const Sizes& sizes) {
    const PlanBuffer& buffer = plan.buffers[b];
    const auto value = [&](ExprId e) { return e == kNone ? 0 : sizes.value[static_cast<size_t>(e)]; };
    // Memory that a kernel grew keeps what is in it; a loop's may need more in a later turn.
    const bool resizes = buffer.place == PlanBuffer::Place::kDynamic || buffer.place == PlanBuffer::Place::kOutput;
    if (pointers_[b] && resizes && value(buffer.bytes) > bytes_[b]) return resize(b, value(buffer.bytes), 0);
    if (pointers_[b]) return pointers_[b];
    switch (buffer.place) {
      case PlanBuffer::Place::kWeight:
        return weights_[static_cast<size_t>(buffer.index)]->data();
      case PlanBuffer::Place::kAlias:
        return static_cast<std::byte*>(pointer(static_cast<size_t>(buffer.index), sizes)) + value(buffer.offset);
      case PlanBuffer::Place::kArena:
        memory_[b] = std::make_unique<GuardedMemory>(value(buffer.bytes), 63, 64);
        break;
      default:
        return resize(b, value(buffer.bytes), 0);
    }
    return pointers_[b] = memory_[b]->data();
  }

  static void* grow(const LatheKernelContext* context, int64_t index, int64_t bytes) {
    auto* self = static_cast<CompiledGraph*>(context->owner);
    const auto b = static_cast<size_t>(self->current_->buffers[static_cast<size_t>(index)]);
    return self->resize(b, bytes, 63);
  }

  void* resize(size_t b, int64_t bytes, int64_t slack) {
    auto memory = std::make_unique<GuardedMemory>(bytes, slack, slack ? 64 : 1);
    if (memory_[b]) std::memcpy(memory->data(), memory_[b]->data(), static_cast<size_t>(std::min(bytes_[b], bytes)));
    memory_[b] = std::move(memory);
    bytes_[b] = bytes;
    return pointers_[b] = memory_[b]->data();
  }

  Status execute(const PlanInstr& in, Sizes& symbols, Sizes& sizes, bool backwards) {
    const auto value = [&](ExprId e) { return e == kNone ? 0 : sizes.value[static_cast<size_t>(e)]; };
    Prepared p;
    p.entry = reinterpret_cast<LatheKernel>(code_ + plan.kernels[static_cast<size_t>(in.kernel)].code_offset);
    for (size_t i = 0; i < in.buffers.size(); ++i) {
      const bool grows = i < in.grows.size() && in.grows[i];
      p.buffers.push_back(in.buffers[i] == kNone || grows ? nullptr
                                                          : pointer(static_cast<size_t>(in.buffers[i]), sizes));
    }
    for (const ExprId e : in.scalars) p.scalars.push_back(value(e));
    p.tasks = value(in.tasks);
    scratch_ = std::make_unique<GuardedMemory>(value(in.scratch), 0, 64);
    int64_t fault = 0;
    std::vector<int64_t> defined(in.defines.size(), -1);
    current_ = &in;
    context_ = {0, scratch_->data(), defined.data(), grow, this, &fault};
    if (!backwards)
      p.entry(&context_, p.buffers.data(), p.scalars.data(), 0, p.tasks);
    else
      for (int64_t t = p.tasks; t-- > 0;) p.entry(&context_, p.buffers.data(), p.scalars.data(), t, t + 1);
    if (fault)
      return fail(Code::kFailed, "kernel fault " + std::to_string(fault) + " in " + in.op + " \"" + in.node + "\"");
    if (!in.defines.empty()) {
      for (size_t i = 0; i < in.defines.size(); ++i) symbols.set(static_cast<size_t>(in.defines[i]), defined[i]);
      LATHE_CHECK(size_evaluate_all(plan, symbols, sizes));
    }
    prepared_.push_back(std::move(p));
    return {};
  }

  std::byte* code_ = nullptr;
  size_t code_size_ = 0;
  std::vector<std::unique_ptr<GuardedMemory>> weights_, memory_;
  std::unique_ptr<GuardedMemory> scratch_;
  std::vector<void*> pointers_;
  std::vector<int64_t> bytes_;  ///< of the memory of buffers that are resized
  std::vector<Prepared> prepared_;
  LatheKernelContext context_{};
  const PlanInstr* current_ = nullptr;
};

/// The targets whose code this machine can run.
inline std::vector<const Target*> runnable_targets() {
  std::vector<const Target*> r;
  for (const Target& t : all_targets())
    if (runs_here(t)) r.push_back(&t);
  return r;
}

/// Values in [-1, 1) that depend only on `seed`.
inline Tensor random_f32(std::vector<int64_t> dims, uint64_t seed) {
  Tensor t = Tensor::zeros(DType::kF32, std::move(dims));
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (float& v : t.mutable_as<float>()) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    v = static_cast<float>(static_cast<double>(state >> 11) * 0x1p-52 - 1.0);
  }
  return t;
}

/// The values of `t` as far as `narrow` holds them.
inline Tensor rounded(const Tensor& t, DType narrow) {
  if (narrow == t.dtype()) return t;
  Tensor low = Tensor::zeros(narrow, t.dims()), r = Tensor::zeros(t.dtype(), t.dims());
  for (int64_t i = 0; i < t.count(); ++i) {
    low.set(i, t.f64_at(i));
    r.set(i, low.f64_at(i));
  }
  return r;
}

/// max |a - b| / max(|b|, 1), NaN-safe: infinite where one is NaN and the other is not, or shapes differ.
inline double scaled_difference(const Tensor& a, const Tensor& b) {
  if (a.dims() != b.dims()) return INFINITY;
  double worst = 0, scale = 1;
  for (int64_t i = 0, n = b.count(); i < n; ++i) {
    const double x = a.f64_at(i), y = b.f64_at(i);
    if (x != x || y != y) {
      if ((x != x) != (y != y)) return INFINITY;
      continue;
    }
    if (x == y) continue;
    worst = std::max(worst, std::abs(x - y));
    scale = std::max(scale, std::abs(y));
  }
  return worst / scale;
}

}  // namespace lathe::testing
