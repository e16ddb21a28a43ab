// SPDX-License-Identifier: Apache-2.0
// Hand-made engines for the tests of engine, runtime and C ABI.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/kernel_abi.h"
#include "engine/operator_call.h"
#include "engine/write.h"
#include "engine_support/kernels.h"

namespace lathe::test {

#if defined(__x86_64__)
inline constexpr bool kHaveKernels = true;
#else
inline constexpr bool kHaveKernels = false;
#endif
#define LATHE_NEEDS_KERNELS() \
  if (!lathe::test::kHaveKernels) GTEST_SKIP() << "the hand-made kernels are x86-64 machine code"

/// Builds a Plan in a few lines; methods return ids.
struct Builder {
  Plan plan;

  ExprId constant(int64_t v) { return push({SizeExpr::Kind::kConstant, v, kNone, kNone}); }
  int32_t symbol(std::string name, int64_t min, int64_t max) {
    plan.symbols.push_back({std::move(name), min, min, max});
    return static_cast<int32_t>(plan.symbols.size() - 1);
  }
  ExprId value_of(int32_t s) { return push({SizeExpr::Kind::kSymbol, s, kNone, kNone}); }
  ExprId op(SizeExpr::Kind kind, ExprId a, ExprId b) { return push({kind, 0, a, b}); }
  ExprId times(ExprId a, int64_t b) { return op(SizeExpr::Kind::kMul, a, constant(b)); }

  BufferId buffer(PlanBuffer::Place place, DType dtype, ExprId elements, ExprId offset = kNone, int32_t index = kNone) {
    PlanBuffer b;
    b.place = place;
    b.dtype = dtype;
    b.index = index;
    b.offset = offset;
    b.dims = {elements};
    b.bytes = times(elements, dtype_bits(dtype) / 8);
    plan.buffers.push_back(b);
    return static_cast<BufferId>(plan.buffers.size() - 1);
  }
  BufferId input(std::string name, DType dtype, ExprId elements) {
    const BufferId b =
        buffer(PlanBuffer::Place::kInput, dtype, elements, kNone, static_cast<int32_t>(plan.inputs.size()));
    plan.inputs.push_back({std::move(name), b});
    return b;
  }
  BufferId output(std::string name, DType dtype, ExprId elements) {
    const BufferId b =
        buffer(PlanBuffer::Place::kOutput, dtype, elements, kNone, static_cast<int32_t>(plan.outputs.size()));
    plan.outputs.push_back({std::move(name), b});
    return b;
  }
  PlanInstr& call(std::string kernel, int64_t code_offset, std::vector<BufferId> buffers, std::vector<ExprId> scalars,
                  ExprId tasks) {
    plan.kernels.push_back({kernel, code_offset});
    PlanInstr i;
    i.kernel = static_cast<int32_t>(plan.kernels.size() - 1);
    i.buffers = std::move(buffers);
    i.scalars = std::move(scalars);
    i.tasks = tasks;
    i.node = "node_" + std::to_string(plan.instrs.size());
    i.op = std::move(kernel);
    plan.instrs.push_back(i);
    return plan.instrs.back();
  }
  /// Lifetimes cover the whole plan: the tests of the arena set their own.
  Plan take() {
    for (PlanBuffer& b : plan.buffers) b.last = static_cast<int32_t>(plan.instrs.empty() ? 0 : plan.instrs.size() - 1);
    return std::move(plan);
  }

 private:
  ExprId push(SizeExpr e) {
    plan.exprs.push_back(e);
    return static_cast<ExprId>(plan.exprs.size() - 1);
  }
};

inline std::vector<std::byte> kernel_code() {
  std::vector<std::byte> code(sizeof test_kernels::kCode);
  std::memcpy(code.data(), test_kernels::kCode, code.size());
  return code;
}

inline EngineTarget target_of(Plan plan, std::string name = "x86-64", std::vector<std::string> features = {}) {
  return {std::move(name), "x86_64", std::move(features), std::move(plan), kernel_code()};
}

inline constexpr std::array<float, 4> kFirst = {1, 2, 3, 4};

/// A running sum: out[4] and the next state are x[4] plus the state, which begins with kFirst.
inline EngineContents sum_engine() {
  Builder b;
  const ExprId four = b.constant(4), one = b.constant(1);
  const BufferId x = b.input("x", DType::kF32, four);
  const BufferId out = b.output("out", DType::kF32, four);
  const BufferId now = b.buffer(PlanBuffer::Place::kState, DType::kF32, four, kNone, 0);
  const BufferId next = b.buffer(PlanBuffer::Place::kNextState, DType::kF32, four, kNone, 0);
  b.plan.states.push_back({"sum", now, next, 0});
  b.call("add_f32", test_kernels::add_f32, {x, now, next}, {four}, one);
  b.call("add_f32", test_kernels::add_f32, {x, now, out}, {four}, one);
  EngineContents c;
  c.targets.push_back(target_of(b.take()));
  c.weights = {std::as_bytes(std::span(kFirst))};
  return c;
}

inline constexpr std::array<float, 4> kBias = {10, 20, 30, 40};

/// out[n,4] = 3 x[n,4], n symbolic: two adds, a task for each row, through an arena buffer; a weight nobody reads.
inline EngineContents bias_engine() {
  Builder b;
  const ExprId four = b.constant(4);
  const int32_t n = b.symbol("n", 1, 1000);
  const ExprId rows = b.value_of(n);
  const ExprId elements = b.op(SizeExpr::Kind::kMul, rows, four);
  const BufferId x = b.input("x", DType::kF32, elements);
  b.plan.buffers.back().dims = {rows, four};
  const BufferId out = b.output("out", DType::kF32, elements);
  b.plan.buffers.back().dims = {rows, four};
  const BufferId w = b.buffer(PlanBuffer::Place::kWeight, DType::kF32, four, kNone, 0);
  const BufferId tmp = b.buffer(PlanBuffer::Place::kArena, DType::kF32, elements);
  (void)w;
  b.call("add_f32", test_kernels::add_f32, {x, x, tmp}, {four}, rows);
  b.call("add_f32", test_kernels::add_f32, {tmp, x, out}, {four}, rows);
  EngineContents c;
  c.provenance = {{"model", "test"}, {"options", "none"}};
  c.targets.push_back(target_of(b.take()));
  c.weights = {std::as_bytes(std::span(kBias))};
  return c;
}

/// The elements of x[n] that are above a limit, and their number's doubles: y[m] = Above(x) {limit: 2.5}, z[m] = y + y;
/// m is known once Above's shape function has looked at x.
inline EngineContents custom_engine(const std::function<void(CustomOperator&, Plan&)>& change = {}) {
  Builder b;
  const ExprId one = b.constant(1);
  const ExprId n = b.value_of(b.symbol("n", 0, 1000));
  const int32_t m_symbol = b.symbol("m", 0, 1000);
  const ExprId m = b.value_of(m_symbol);
  const BufferId x = b.input("x", DType::kF32, n);
  const BufferId z = b.output("z", DType::kF32, m);
  const BufferId y = b.buffer(PlanBuffer::Place::kDynamic, DType::kF32, m);
  CustomOperator op;
  op.domain = "com.example";
  op.name = "Above";
  CustomAttribute limit;
  limit.name = "limit";
  limit.kind = CustomAttribute::Kind::kFloats;
  limit.floats = {2.5};
  CustomAttribute text;
  text.name = "text";
  text.kind = CustomAttribute::Kind::kStrings;
  text.strings = {"a", std::string("b\0c", 3)};
  op.attributes = {limit, text};
  op.inputs = {{DType::kF32, 1}, {}};
  op.outputs = {{DType::kF32, 1}};
  static std::vector<std::byte> bytes;
  if (change) change(op, b.plan);
  bytes = encode_operator(op);
  const BufferId description =
      b.buffer(PlanBuffer::Place::kWeight, DType::kU8, b.constant(static_cast<int64_t>(bytes.size())), kNone, 0);
  PlanInstr& call = b.call("custom", test_kernels::add_f32, {description, x, kNone, y}, {n, m}, one);
  call.defines = {m_symbol};
  call.node = "node_above";
  call.tactic = "custom com.example.Above";
  b.call("add_f32", test_kernels::add_f32, {y, y, z}, {m}, one);
  EngineContents c;
  c.targets.push_back(target_of(b.take()));
  c.weights = {bytes};
  return c;
}

}  // namespace lathe::test
