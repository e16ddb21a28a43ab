// SPDX-License-Identifier: Apache-2.0
// Elementwise programs over broadcast inputs: dimensions that all operands walk as one are merged, the innermost is
// vectorised, the others are rows.
#include "ops/pointwise.h"

#include <algorithm>

#include "codegen/elementary.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {

struct Axis {
  Dim extent;
  std::vector<Dim> strides;  ///< elements, per operand; the output is last
};

/// Axes of the output, outermost first, with the strides of every operand; neighbours that are contiguous for all
/// operands are one axis.
std::vector<Axis> merged_axes(const Lowering& lowering, std::span<const ValueId> operands, const Shape& out) {
  std::vector<Axis> axes;
  std::vector<std::vector<Dim>> strides;
  for (const ValueId v : operands) {
    const Shape& in = lowering.shape(v);
    std::vector<Dim> s(out.size(), 0);
    Dim step = 1;
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t d = in.size() - 1 - i, o = out.size() - 1 - i;
      if (!in[d].equals(1)) s[o] = step;
      step = step * in[d];
    }
    strides.push_back(std::move(s));
  }
  for (size_t d = 0; d < out.size(); ++d) {
    if (out[d].equals(1)) continue;
    Axis a{out[d], {}};
    for (const auto& s : strides) a.strides.push_back(s[d]);
    if (!axes.empty()) {
      Axis& outer = axes.back();
      bool joins = true;
      for (size_t k = 0; k < a.strides.size(); ++k) joins &= outer.strides[k] == a.strides[k] * a.extent;
      if (joins) {
        outer.extent = outer.extent * a.extent;
        outer.strides = a.strides;
        continue;
      }
    }
    axes.push_back(std::move(a));
  }
  if (axes.empty()) axes.push_back({1, std::vector<Dim>(operands.size(), 0)});
  return axes;
}

constexpr int64_t kElementsPerTask = 16384;

}  // namespace

Status lower_pointwise(Lowering& lowering, const Node& node) {
  std::vector<DType> types;
  for (const ValueId v : node.inputs) types.push_back(v == kNoId ? DType::kUndefined : lowering.dtype(v));
  const auto program = node.op->program(types);
  if (!program) return fail(Code::kUnsupported, "has no elementwise program for these types");
  for (const Step& s : program->steps) {
    const bool half = s.dtype == DType::kF16 || s.dtype == DType::kBF16;  // storage: converted, never computed in
    const bool computes = s.prim != Prim::kInput && s.prim != Prim::kCast && s.prim != Prim::kBitcast;
    const DTypeInfo& t = dtype_info(s.dtype);
    if ((!t.is_float && !t.is_int && s.dtype != DType::kBool) || ((half || dtype_storage_only(s.dtype)) && computes))
      return fail(Code::kUnsupported,
                  "elementwise work in " + std::string(dtype_name(s.dtype)) + " is not generated yet");
  }

  for (const ValueId v : node.inputs)
    if (v != kNoId && dtype_packed(lowering.dtype(v)))
      return fail(Code::kUnsupported, "packed operands must be unpacked first");
  if (dtype_packed(lowering.dtype(node.outputs[0])))
    return fail(Code::kUnsupported, "packed results must be packed apart");

  std::vector<ValueId> operands;
  for (const ValueId v : node.inputs)
    if (v != kNoId) operands.push_back(v);
  const size_t inputs = operands.size();
  operands.push_back(node.outputs[0]);
  const Shape& out = lowering.shape(node.outputs[0]);
  const std::vector<Axis> axes = merged_axes(lowering, operands, out);
  const Axis& inner = axes.back();

  // A task is a run of rows, or a part of the only row.
  Dim rows = 1;
  for (size_t a = 0; a + 1 < axes.size(); ++a) rows = rows * axes[a].extent;
  const bool single_row = axes.size() == 1;
  const int64_t row_size = std::max<int64_t>(1, lowering.typical(inner.extent));
  const int64_t rows_per_task = std::max<int64_t>(1, kElementsPerTask / row_size);
  const Dim tasks = single_row ? ceil_div(inner.extent, kElementsPerTask) : ceil_div(rows, rows_per_task);

  std::vector<Dim> dims{inner.extent, rows};
  for (const Axis& a : axes) {
    dims.push_back(a.extent);
    dims.insert(dims.end(), a.strides.begin(), a.strides.end());
  }
  Call call;
  call.scalars = Lowering::symbolic(dims);
  for (const ValueId v : operands) call.buffers.push_back(lowering.buffer(v));
  call.tasks = tasks;

  std::vector<DType> operand_types;
  int widest = 1;  // bytes
  for (const ValueId v : operands) operand_types.push_back(lowering.dtype(v));
  for (const Step& s : program->steps)
    if (s.prim != Prim::kConstant) widest = std::max(widest, dtype_bits(s.dtype) / 8);
  // f32 work fills a register; wider types use two; byte-only work still goes by 32-bit lanes' count times four.
  const int width = std::max(1, lowering.target.vector_bits / 8 / std::clamp(widest, 1, 4));
  const int registers = width > 1 ? registers_together(*program) : 1;
  const bool cheap = program->steps.size() <= 8;

  call.kernel = lowering.kernel("pointwise", call.scalars, [&](Emitter& e) {
    // `offsets`: element offset of each operand at the row's start.
    auto run = [&](const Vals& offsets, Val from, Val to) {
      auto body = [&](Val i, int n, Val mask) {
        Vals in;
        for (size_t k = 0; k < inputs; ++k) {
          const int size = dtype_bits(operand_types[k]) / 8;
          const Dim& stride = inner.strides[k];
          Val base = e.buf(static_cast<int>(k));
          if (stride.equals(0)) {
            in.push_back(e.splat(e.load(operand_types[k], e.at(base, e.mul(offsets[k], size))), n));
          } else {
            in.push_back(e.load(operand_types[k], e.at(base, e.mul(e.add(offsets[k], i), size)), n, mask));
          }
        }
        Val v = e.program(*program, in, n);
        const int size = dtype_bits(operand_types[inputs]) / 8;
        e.store(operand_types[inputs], v, e.at(e.buf(static_cast<int>(inputs)), e.mul(e.add(offsets[inputs], i), size)),
                mask);
      };
      Val count = e.sub(to, from);
      if ((cheap || registers > 1) && width > 1) {  // several vectors in flight hide latencies
        const int64_t block = int64_t{registers > 1 ? registers : 4} * width;
        Val blocks = e.mul(e.div(count, e.i64(block)), block);
        e.for_each(e.i64(0), blocks, block, [&](Val i) {
          if (registers > 1) return body(e.add(from, i), static_cast<int>(block), nullptr);
          for (int u = 0; u < 4; ++u) body(e.add(e.add(from, i), e.i64(int64_t{u} * width)), width, nullptr);
        });
        Val start = e.add(from, blocks);
        e.for_vectors(e.sub(to, start), width, [&](Val i, int n, Val mask) { body(e.add(start, i), n, mask); });
      } else {
        e.for_vectors(count, width, [&](Val i, int n, Val mask) { body(e.add(from, i), n, mask); });
      }
    };
    if (single_row) {
      e.for_each(e.begin(), e.end(), 1, [&](Val t) {
        Val from = e.mul(t, kElementsPerTask);
        run(Vals(operands.size(), e.i64(0)), from, e.imin(e.add(from, e.i64(kElementsPerTask)), e.dim(inner.extent)));
      });
    } else {
      Val first = e.mul(e.begin(), rows_per_task);
      Val last = e.imin(e.mul(e.end(), rows_per_task), e.dim(rows));
      e.for_each(first, last, 1, [&](Val row) {
        Vals offsets(operands.size(), e.i64(0));
        Val rest = row;
        for (size_t a = axes.size() - 1; a-- > 0;) {
          Val index = a == 0 ? rest : e.rem(rest, e.dim(axes[a].extent));
          if (a > 0) rest = e.div(rest, e.dim(axes[a].extent));
          for (size_t k = 0; k < operands.size(); ++k)
            if (!axes[a].strides[k].equals(0)) offsets[k] = e.add(offsets[k], e.mul(index, e.dim(axes[a].strides[k])));
        }
        run(offsets, e.i64(0), e.dim(inner.extent));
      });
    }
    e.ret();
  });
  call.tactic = single_row ? "flat" : "rows";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
