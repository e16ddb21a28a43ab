// SPDX-License-Identifier: Apache-2.0
#include "ops/pad.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

namespace {

/// One dimension: output [0, before) and [before + copied, out) are padding, input [skip, skip + copied) is copied.
struct PadAxis {
  Dim before, copied, skip, out, in, pad;  ///< pad: as given, may be negative
  Dim in_stride, out_stride;
  [[nodiscard]] bool whole() const { return before.equals(0) && skip.equals(0) && copied == out && in == out; }
};

struct PadEmitter {
  Emitter& e;
  const std::vector<PadAxis>& axes;
  const std::string& mode;
  int bytes;
  Val fill = nullptr;

  Val element(Val base, Val index) { return e.at(base, e.mul(index, bytes)); }

  /// The input index that output index `i` repeats.
  Val source(const PadAxis& a, Val i) {
    Val n = e.dim(a.in);
    Val at = e.sub(i, e.dim(a.pad));
    if (mode == "edge") return e.imax(e.i64(0), e.imin(at, e.sub(n, e.i64(1))));
    const auto modulo = [&](Val period) {
      Val r = e.b.CreateSRem(at, period);
      return Val(e.b.CreateSelect(e.b.CreateICmpSLT(r, e.i64(0)), e.add(r, period), r));
    };
    if (mode == "wrap") return modulo(e.imax(n, e.i64(1)));
    Val period = e.imax(e.mul(e.sub(n, e.i64(1)), 2), e.i64(1));
    Val r = modulo(period);
    return e.b.CreateSelect(e.b.CreateICmpSGE(r, n), e.sub(period, r), r);
  }

  /// Everything below dimension d: `to` and `from` are where its index 0 lies.
  void level(size_t d, Val to, Val from) {
    if (d == axes.size()) return e.store(bits_type(bytes), e.load(bits_type(bytes), from), to);
    const PadAxis& a = axes[d];
    Val in = e.dim(a.in_stride), out = e.dim(a.out_stride);
    const bool last = d + 1 == axes.size();
    const bool repeats = mode != "constant" && !a.whole();
    const auto repeat = [&, to, from](Val begin, Val end) {
      e.for_each(begin, end, 1,
                 [&](Val i) { level(d + 1, element(to, e.mul(i, out)), element(from, e.mul(source(a, i), in))); });
    };
    if (repeats && !last) return repeat(e.i64(0), e.dim(a.out));
    Val before = e.dim(a.before), copied = e.dim(a.copied);
    if (repeats) {
      repeat(e.i64(0), before);
      repeat(e.add(before, copied), e.dim(a.out));
    } else if (!a.before.equals(0)) {
      emit_fill(e, to, fill, e.mul(before, out), bytes);
    }
    from = element(from, e.mul(e.dim(a.skip), in));
    to = element(to, e.mul(before, out));
    if (last)
      emit_copy(e, to, from, copied, bytes);
    else
      e.for_each(e.i64(0), copied, 1,
                 [&](Val i) { level(d + 1, element(to, e.mul(i, out)), element(from, e.mul(i, in))); });
    if (!repeats) after(a, element(to, e.mul(copied, out)));
  }
  void after(const PadAxis& a, Val to) {
    const Dim rest = a.out - a.before - a.copied;
    if (!rest.equals(0))
      emit_fill(e, to, fill, e.mul(e.sub(e.sub(e.dim(a.out), e.dim(a.before)), e.dim(a.copied)), e.dim(a.out_stride)),
                bytes);
  }
};

}  // namespace

Status lower_pad(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Pad>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  const DType type = lowering.dtype(in);
  LATHE_TRY(const int bytes, element_bytes(type));
  auto pads = content_of(lowering.graph.info(node.inputs[1]));
  if (!pads) {
    SizesCall sizes{"lathe_pad_sizes",
                    {lowering.buffer(node.inputs[1])},
                    {static_cast<int64_t>(lowering.dtype(node.inputs[1])), static_cast<int64_t>(x.size())},
                    {x},
                    size_symbols(lowering, node)};
    pads.emplace();
    for (size_t i = 0; i < 2 * x.size(); ++i) {
      const Dim pad = local_symbol(node, "pad", i);
      sizes.symbols.push_back(pad.symbol_name());
      pads->push_back(pad - kSignedBias);
    }
    LATHE_CHECK(lower_sizes(lowering, node, std::move(sizes)));
  }
  if (pads->size() != 2 * x.size()) return fail(Code::kUsage, "the pads do not fit the input");
  const bool has_value = node.inputs.size() > 2 && node.inputs[2] != kNoId;

  // Dimensions without padding join the one outside them.
  std::vector<PadAxis> axes;
  for (size_t d = 0; d < x.size(); ++d) {
    const Dim &front = (*pads)[d], &back = (*pads)[d + x.size()];
    PadAxis a{max(front, 0), x[d] + min(front, 0) + min(back, 0), max(0 - front, 0), y[d], x[d], front, 1, 1};
    const auto grows = [](const Dim& pad) { return pad.is_const() && pad.value() >= 0; };
    if (!grows(front) || !grows(back)) {  // one side may remove more than there is, and the other add it again
      a.before = min(a.before, a.out);
      a.copied = max(a.copied, 0);
    }
    if (!axes.empty() && a.whole()) {
      PadAxis& o = axes.back();
      if (op.mode == "constant" || o.whole()) {
        for (Dim* v : {&o.before, &o.copied, &o.skip, &o.out, &o.in, &o.pad}) *v = *v * x[d];
        continue;
      }
    }
    axes.push_back(a);
  }
  if (axes.empty()) axes.push_back({0, 1, 0, 1, 1, 0, 1, 1});
  for (size_t d = axes.size(); d-- > 1;) {
    axes[d - 1].in_stride = axes[d].in_stride * axes[d].in;
    axes[d - 1].out_stride = axes[d].out_stride * axes[d].out;
  }
  if (axes.size() == 1 && axes[0].whole()) {
    lowering.alias(out, in);
    return {};
  }

  // Tasks: the outermost dimensions, until a task is small enough.
  const int64_t total = bytes * lowering.typical(product(y));
  size_t split = 0;
  for (int64_t unit = total; split + 1 < axes.size() && unit > kSmallBytes; ++split)
    unit /= std::max<int64_t>(1, lowering.typical(axes[split].out));
  std::vector<Dim> grid{1};
  for (size_t d = 0; d < split; ++d) grid.push_back(axes[d].out);
  std::vector<Dim> dims;
  for (const PadAxis& a : axes)
    dims.insert(dims.end(), {a.before, a.copied, a.skip, a.out, a.in, a.pad, a.in_stride, a.out_stride});
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(out), has_value ? lowering.buffer(node.inputs[2]) : kNone};
  call.tasks = product(grid);
  call.kernel = lowering.kernel("pad", call.scalars, [&](Emitter& e) {
    PadEmitter p{e, axes, op.mode, bytes};
    p.fill = has_value ? e.load(bits_type(bytes), e.buf(2)) : e.constant_int(bits_type(bytes), 0);
    for_tasks(e, grid, [&](const Vals& task) {
      // Padding met on the way down ends the task.
      const std::function<void(size_t, Val, Val)> descend = [&](size_t d, Val to, Val from) {
        if (d == split) return p.level(d, to, from);
        const PadAxis& a = axes[d];
        Val i = task[d + 1];
        Val to_i = p.element(to, e.mul(i, e.dim(a.out_stride)));
        if (op.mode != "constant")
          return descend(d + 1, to_i, p.element(from, e.mul(a.whole() ? i : p.source(a, i), e.dim(a.in_stride))));
        Val at = e.sub(i, e.dim(a.before));
        e.if_else(
            e.b.CreateICmpULT(at, e.dim(a.copied)),
            [&] {
              descend(d + 1, to_i, p.element(from, e.mul(e.add(at, e.dim(a.skip)), e.dim(a.in_stride))));
              return Vals{};
            },
            [&] {
              // The part of this padding that is this task's.
              Val size = e.dim(axes[split - 1].out_stride), place = e.i64(0);
              for (size_t k = d + 1; k < split; ++k)
                place = e.add(place, e.mul(task[k + 1], e.dim(axes[k].out_stride)));
              emit_fill(e, p.element(to_i, place), p.fill, size, bytes);
              return Vals{};
            });
      };
      descend(0, e.buf(1), e.buf(0));
    });
    e.ret();
  });
  call.tactic = op.mode;
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
