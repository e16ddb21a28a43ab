// SPDX-License-Identifier: Apache-2.0
#include "codegen/integer.h"

#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kElementsPerTask = 16384;

Result<BufferId> call_widen(Lowering& lowering, const Node& node, ValueId v, int64_t zero, DType to) {
  const DType from = lowering.dtype(v);
  const Dim count = product(lowering.shape(v));
  const int64_t in_size = dtype_bits(from) / 8, out_size = dtype_bits(to) / 8;
  Call call;
  call.scalars = Lowering::symbolic({count});
  call.kernel = lowering.kernel("widen", call.scalars, [&](Emitter& e) {
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val first = e.mul(task, kElementsPerTask);
      Val n = e.imin(e.sub(e.dim(count), first), e.i64(kElementsPerTask));
      Val source = e.at(e.buf(0), e.mul(first, in_size)), target = e.at(e.buf(1), e.mul(first, out_size));
      e.for_vectors(n, e.target.vector_bits / dtype_bits(to), [&](Val i, int lanes, Val mask) {
        Val x = e.load(from, e.at(source, e.mul(i, in_size)), lanes, mask);
        x = e.b.CreateIntCast(x, e.vec(to, lanes), dtype_info(from).is_signed);
        e.store(to, e.b.CreateSub(x, e.constant_int(to, zero, lanes)), e.at(target, e.mul(i, out_size)), mask);
      });
    });
    e.ret();
  });
  const BufferId wide = lowering.temporary(count * Dim(out_size));
  call.buffers = {lowering.buffer(v), wide};
  call.tasks = ceil_div(count, kElementsPerTask);
  call.tactic = "widen";
  call.flops = 1;  // data movement, not the operator's own work
  LATHE_CHECK(lowering.call(node, std::move(call)));
  return wide;
}

}  // namespace

BufferId Operand::memory(Lowering& lowering) const {
  if (value != kNoId) return lowering.buffer(value);
  if (!constant) return widened;
  const auto bytes = constant->bytes();
  return lowering.weight(std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end()));
}

Result<Operand> contraction_operand(Lowering& lowering, const Node& node, ValueId v, int64_t zero, DType sum) {
  const auto& constant = lowering.value(v).constant;
  if (!ops::is_small_integer(lowering.dtype(v))) return Operand{constant, v};
  if (constant) return Operand{ops::wrapped(ops::centred(*constant, zero), sum)};
  LATHE_TRY(const BufferId wide, call_widen(lowering, node, v, zero, sum));
  return Operand{std::nullopt, kNoId, wide};
}

}  // namespace lathe::codegen
