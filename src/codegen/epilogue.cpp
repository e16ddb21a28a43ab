// SPDX-License-Identifier: Apache-2.0
#include "codegen/lowering.h"

namespace lathe::codegen {

namespace {

/// Element strides of a row-major input broadcast to `out` (0 where it repeats), outermost first.
std::vector<Dim> broadcast_strides(const Shape& in, const Shape& out) {
  std::vector<Dim> strides(out.size(), 0);
  Dim stride = 1;
  for (size_t i = 0; i < in.size(); ++i) {
    const size_t d = in.size() - 1 - i, o = out.size() - 1 - i;
    if (!in[d].equals(1) || out[o].equals(1)) strides[o] = in[d].equals(1) ? Dim(0) : stride;
    stride = stride * in[d];
  }
  return strides;
}

}  // namespace

Epilogue::Epilogue(Lowering& lowering, const Node& node) {
  result_ = lowering.dtype(node.outputs[0]);
  if (node.epilogue.empty()) return;
  program_ = &node.epilogue;
  const Shape& out = lowering.shape(node.outputs[0]);
  std::vector<Dim> dims;
  for (size_t i = static_cast<size_t>(node.anchor_inputs); i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    buffers_.push_back(lowering.buffer(v));
    Input in;
    in.dtype = lowering.dtype(v);
    const auto strides = broadcast_strides(lowering.shape(v), out);
    in.column_stride = out.empty() ? Dim(0) : strides.back();
    // Leading dimensions that walk memory as one are merged, so that most inputs need no coordinates.
    std::vector<std::pair<Dim, Dim>> outer;  // innermost first
    for (size_t k = out.size(); k-- > 1;) {
      const size_t d = k - 1;
      if (out[d].equals(1)) continue;
      if (!outer.empty() && strides[d] == outer.back().first * outer.back().second)
        outer.back().first = outer.back().first * out[d];
      else
        outer.emplace_back(out[d], strides[d]);
    }
    in.column_only = outer.empty() || (outer.size() == 1 && outer[0].second.equals(0));
    in.row_major = outer.size() <= 1;
    in.row_stride = outer.empty() ? Dim(0) : outer[0].second;
    in.outer = outer;
    for (const auto& [extent, stride] : outer) {
      dims.push_back(extent);
      dims.push_back(stride);
    }
    inputs_.push_back(std::move(in));
  }
  scalars_ = Lowering::symbolic(dims);
}

bool Epilogue::empty() const { return program_ == nullptr; }

Val Epilogue::load(Emitter& e, int first_buffer, size_t i, Val row, Val column, int n, Val mask) const {
  const Input& in = inputs_[i];
  Val offset = e.i64(0);
  if (!in.column_only) {
    if (in.row_major) {
      offset = e.mul(row, e.dim(in.row_stride));
    } else {
      Val rest = row;
      for (size_t k = 0; k < in.outer.size(); ++k) {
        const auto& [extent, stride] = in.outer[k];
        const bool last = k + 1 == in.outer.size();
        Val index = last ? rest : e.rem(rest, e.dim(extent));
        if (!stride.equals(0)) offset = e.add(offset, e.mul(index, e.dim(stride)));
        if (!last) rest = e.div(rest, e.dim(extent));
      }
    }
  }
  const int size = dtype_bits(in.dtype) / 8;
  if (in.column_stride.equals(0)) {
    Val p = e.at(e.buf(first_buffer + static_cast<int>(i)), e.mul(offset, size));
    return e.splat(e.load(in.dtype, p), n);
  }
  Val p = e.at(e.buf(first_buffer + static_cast<int>(i)), e.mul(e.add(offset, column), size));
  return e.load(in.dtype, p, n, mask);
}

Vals Epilogue::column_values(Emitter& e, int first_buffer, Val column, int n, Val mask) const {
  Vals values(inputs_.size(), nullptr);
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i].column_only) values[i] = load(e, first_buffer, i, nullptr, column, n, mask);
  return values;
}

Val Epilogue::apply(Emitter& e, int first_buffer, Val v, Val row, Val column, int n, Val mask,
                    const Vals* cached) const {
  if (empty()) return v;
  Vals inputs{v};
  for (size_t i = 0; i < inputs_.size(); ++i)
    inputs.push_back(cached && (*cached)[i] ? (*cached)[i] : load(e, first_buffer, i, row, column, n, mask));
  return e.program(*program_, inputs, n);
}

}  // namespace lathe::codegen
