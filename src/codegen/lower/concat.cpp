// SPDX-License-Identifier: Apache-2.0
#include "ops/concat.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {
constexpr size_t kMostInputs = 32;  // of one kernel
}

Status lower_concat(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Concat>();
  const auto axis = static_cast<size_t>(op.axis);
  const ValueId out = node.outputs[0];
  const Shape& y = lowering.shape(out);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(out)));

  // Seen as a matrix: a row of the output is the inputs' rows one after the other.
  const Dim rows = product(Shape(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(axis)));
  const Dim block = product(Shape(y.begin() + static_cast<std::ptrdiff_t>(axis) + 1, y.end()));
  const Dim width = y[axis] * block;
  struct Part {
    ValueId value;
    Dim width, offset;
  };
  std::vector<Part> parts;
  Dim offset = 0;
  for (const ValueId v : node.inputs) {
    const Dim w = lowering.shape(v)[axis] * block;
    if (!w.equals(0)) parts.push_back({v, w, offset});
    offset = offset + w;
  }
  if (parts.size() == 1) {
    lowering.alias(out, parts[0].value);
    return {};
  }
  const int64_t row_bytes = bytes * lowering.typical(width), total = row_bytes * lowering.typical(rows);
  if (parts.size() > kMostInputs ||
      (total > kSmallBytes && lowering.typical(rows) < 4 * lowering.options.threads_hint)) {
    for (const Part& p : parts) {
      StridedCopy copy;
      copy.bytes = bytes;
      copy.out_offset = p.offset;
      copy.axes = {{rows, p.width, width}, {p.width, 1, 1}};
      LATHE_CHECK(lower_copy(lowering, node, lowering.buffer(p.value), lowering.buffer(out), copy));
    }
    return {};
  }

  const int64_t rows_per_task = std::max<int64_t>(1, kSmallBytes / std::max<int64_t>(1, row_bytes));
  std::vector<Dim> dims{rows, width};
  for (const Part& p : parts) dims.insert(dims.end(), {p.width, p.offset});
  Call call;
  call.scalars = Lowering::symbolic(dims);
  for (const Part& p : parts) call.buffers.push_back(lowering.buffer(p.value));
  call.buffers.push_back(lowering.buffer(out));
  call.tasks = total <= kSmallBytes ? Dim(1) : ceil_div(rows, rows_per_task);
  const bool single = call.tasks.equals(1);
  call.kernel = lowering.kernel("concat", call.scalars, [&](Emitter& e) {
    Val first = single ? e.i64(0) : e.mul(e.begin(), rows_per_task);
    Val last = single ? e.dim(rows) : e.imin(e.mul(e.end(), rows_per_task), e.dim(rows));
    e.for_each(first, last, 1, [&](Val row) {
      Val to = e.at(e.buf(static_cast<int>(parts.size())), e.mul(e.mul(row, e.dim(width)), bytes));
      for (size_t i = 0; i < parts.size(); ++i) {
        Val w = e.dim(parts[i].width);
        emit_copy(e, e.at(to, e.mul(e.dim(parts[i].offset), bytes)),
                  e.at(e.buf(static_cast<int>(i)), e.mul(e.mul(row, w), bytes)), w, bytes);
      }
    });
    e.ret();
  });
  call.tactic = "rows";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
