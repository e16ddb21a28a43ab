// SPDX-License-Identifier: Apache-2.0
#include "ops/slice.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

namespace {

/// Where a slice starts along a dimension of `size`, as ONNX clamps it.
Dim first_index(const Dim& start, int64_t step, const Dim& size) {
  const Dim last = step > 0 ? size : size - 1;
  if (start.is_const()) {
    if (start.value() >= 0) return size.is_const() || start.value() > 0 || step < 0 ? min(start, last) : Dim(0);
    return max(size + start, step > 0 ? 0 : -1);
  }
  return min(start, last);
}

/// Bounds that are data: a kernel reads them and tells sizes, first indices and steps.
Status lower_computed(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto input = [&](size_t i) { return i < node.inputs.size() ? node.inputs[i] : kNoId; };
  const auto type = [&](size_t i) {
    return input(i) == kNoId ? int64_t{0} : static_cast<int64_t>(lowering.dtype(input(i)));
  };
  SizesCall sizes{
      "lathe_slice_sizes",
      {lowering.buffer(input(1)), lowering.buffer(input(2)), lowering.buffer(input(3)), lowering.buffer(input(4))},
      {type(1), type(3), type(4), lowering.shape(input(1))[0], static_cast<int64_t>(x.size())},
      {x},
      {}};
  const auto names = size_symbols(lowering, node);
  const auto from = row_strides(x), to = row_strides(y);
  for (size_t d = 0; d < y.size(); ++d) {
    const Dim start = local_symbol(node, "start", d), step = local_symbol(node, "step", d);
    sizes.symbols.insert(sizes.symbols.end(), {names[d], start.symbol_name(), step.symbol_name()});
    copy.in_offset = copy.in_offset + start * from[d];
    copy.axes.push_back({y[d], from[d] * (step - kSignedBias), to[d]});
  }
  LATHE_CHECK(lower_sizes(lowering, node, std::move(sizes)));
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), std::move(copy));
}

}  // namespace

Status lower_slice(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  const auto content = [&](size_t i) -> std::optional<std::vector<Dim>> {
    if (i >= node.inputs.size() || node.inputs[i] == kNoId) return std::nullopt;
    return content_of(lowering.graph.info(node.inputs[i]));
  };
  const auto starts = content(1), axes = content(3), steps = content(4);
  const auto given = [&](size_t i) { return i < node.inputs.size() && node.inputs[i] != kNoId; };
  if (!starts || (given(3) && !axes) || (given(4) && !steps) || any_fresh(lowering, node))
    return lower_computed(lowering, node);

  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(x), to = row_strides(y);
  for (size_t d = 0; d < y.size(); ++d) copy.axes.push_back({y[d], from[d], to[d]});
  for (size_t i = 0; i < starts->size(); ++i) {
    const Dim axis = axes ? (*axes)[i] : Dim(static_cast<int64_t>(i)), step = steps ? (*steps)[i] : Dim(1);
    if (!axis.is_const() || !step.is_const())
      return fail(Code::kUnsupported, "the axes and steps of a slice must be constants");
    const auto d = static_cast<size_t>(axis.value() < 0 ? axis.value() + static_cast<int64_t>(x.size()) : axis.value());
    copy.in_offset = copy.in_offset + first_index((*starts)[i], step.value(), x[d]) * from[d];
    copy.axes[d].in_stride = from[d] * step;
  }
  copy.simplify();
  if (copy.contiguous()) {
    lowering.alias(out, in, copy.in_offset * Dim(copy.bytes));
    return {};
  }
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), copy);
}

}  // namespace lathe::codegen
