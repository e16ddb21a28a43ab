// SPDX-License-Identifier: Apache-2.0
#include "codegen/control.h"

#include "codegen/blocks.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

namespace {

Dim byte_count(DType t, const Shape& s) {
  const Dim n = product(s);
  const int bits = dtype_bits(t);
  return bits % 8 == 0 ? n * Dim(bits / 8) : ceil_div(n * Dim(bits), 8);
}

}  // namespace

Node label(const Node& node) {
  Node named;
  named.op = node.op;
  named.name = node.name;
  return named;
}

Result<Move> move_into(Lowering& from, ValueId value, Lowering& into, ValueId target, BufferId to) {
  const DType type = from.dtype(value);
  if (type == DType::kString) return fail(Code::kUnsupported, "strings do not pass into and out of graphs yet");
  const Shape &have = from.shape(value), &want = into.shape(target);
  Move m{from.buffer(value), to, byte_count(type, have), byte_count(type, have), {}};
  bool checked = false;
  for (size_t d = 0; d < have.size(); ++d) {
    if (from.same_size(have[d], into, want[d])) continue;
    const std::string symbol = want[d].symbol_name();
    // Sizes that cannot be told apart at build time are compared when the value moves.
    if (symbol.empty() || !into.sets(symbol))
      checked = true;
    else
      m.defines.emplace_back(symbol, have[d]);
  }
  if (checked && !m.defines.empty())
    return fail(Code::kUnsupported, "the shape " + shape_str(have) + " cannot be told to be a " + shape_str(want));
  if (checked) m.room = from.size_of(into, byte_count(type, want));
  return m;
}

Status lower_moves(Lowering& from, const Node& holder, std::span<const Move> moves) {
  const Node node = label(holder);
  std::vector<Move> together;
  for (const Move& m : moves) {
    if (m.from == m.to) continue;
    if (!m.defines.empty() || !(m.room == m.bytes)) {
      together.push_back(m);
      continue;
    }
    StridedCopy copy;
    copy.bytes = 1;
    copy.axes = {{m.bytes, 1, 1}};
    LATHE_CHECK(lower_copy(from, node, m.from, m.to, copy));
  }
  if (together.empty()) return {};
  Call call;
  std::vector<Dim> dims;
  std::vector<bool> grows;
  for (const Move& m : together) {
    call.buffers.insert(call.buffers.end(), {m.from, m.to});
    dims.insert(dims.end(), {m.bytes, m.room});
    for (const auto& [symbol, size] : m.defines) {
      call.defines.push_back(symbol);
      dims.push_back(size);
    }
    grows.push_back(!m.defines.empty() && from.can_grow(m.to));
    if (grows.back()) call.grows.push_back(m.to);
  }
  call.scalars = Lowering::symbolic(dims);
  call.tactic = "pass on";
  call.kernel = from.kernel("pass", call.scalars, [&](Emitter& e) {
    int slot = 0;
    for (size_t i = 0; i < together.size(); ++i) {
      const Move& m = together[i];
      Val bytes = e.dim(m.bytes);
      if (!(m.room == m.bytes)) e.fault_if(e.b.CreateICmpNE(bytes, e.dim(m.room)), LATHE_FAULT_SHAPE);
      const int at = 2 * static_cast<int>(i);
      Val to = grows[i] ? e.grow(at + 1, e.imax(bytes, e.i64(1))) : e.buf(at + 1);
      if (grows[i]) e.fault_if(e.b.CreateIsNull(to), LATHE_FAULT_MEMORY);
      emit_copy(e, to, e.buf(at), bytes, 1);
      for (const auto& [symbol, size] : m.defines) e.b.CreateStore(e.dim(size), e.symbol_slot(slot++));
    }
    e.ret();
  });
  return from.call(node, std::move(call));
}

}  // namespace lathe::codegen
