// SPDX-License-Identifier: Apache-2.0
#include "ops/range.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

Status lower_range(Lowering& lowering, const Node& node) {
  const ValueId out = node.outputs[0];
  const DType type = lowering.dtype(out);
  if (!Numeric::supports(type))
    return fail(Code::kUnsupported, "a range of " + std::string(dtype_name(type)) + " is not generated yet");
  const Dim& length = lowering.shape(out)[0];
  // The length is either an expression of the shapes, or found by the kernel, which names it and makes the memory.
  const auto known = [&](size_t i) { return content_of(lowering.graph.info(node.inputs[i])).has_value(); };
  const auto step_size = integers_of(lowering.graph.info(node.inputs[2]));
  const bool fresh =
      !length.is_const() && !(known(0) && known(1) && step_size && step_size->size() == 1 && (*step_size)[0] > 0);
  Call call;
  if (!fresh) call.scalars = Lowering::symbolic({length});
  call.buffers = {lowering.buffer(node.inputs[0]), lowering.buffer(node.inputs[1]), lowering.buffer(node.inputs[2]),
                  lowering.buffer(out)};
  if (fresh) {
    call.defines = {length.symbol_name()};
    call.grows = {call.buffers[3]};
  }
  call.kernel = lowering.kernel("range", call.scalars, [&](Emitter& e) {
    Numeric num{e, type};
    Val start = num.load(e.buf(0), 1), step = num.load(e.buf(2), 1);
    auto* wide = e.b.getDoubleTy();
    const auto real = [&](Val v) {
      if (!num.fp()) return num.is_signed() ? e.b.CreateSIToFP(v, wide) : e.b.CreateUIToFP(v, wide);
      return type == DType::kF64 ? v : e.b.CreateFPExt(v, wide);
    };
    Val count = fresh ? nullptr : e.dim(length), to = nullptr;
    if (fresh) {
      Val zero = llvm::ConstantFP::get(wide, 0);
      e.fault_if(e.b.CreateFCmpOEQ(real(step), zero), LATHE_FAULT_VALUE);
      Val n = e.b.CreateFDiv(e.b.CreateFSub(real(num.load(e.buf(1), 1)), real(start)), real(step));
      n = e.b.CreateUnaryIntrinsic(llvm::Intrinsic::ceil, n);
      e.fault_if(e.b.CreateFCmpUGE(n, llvm::ConstantFP::get(wide, 0x1p40)), LATHE_FAULT_VALUE);
      n = e.b.CreateSelect(e.b.CreateFCmpOLT(n, zero), zero, n);
      count = e.b.CreateFPToSI(n, e.b.getInt64Ty());
      e.b.CreateStore(count, e.symbol_slot(0));
      to = e.grow(3, e.imax(e.mul(count, num.bytes()), e.i64(8)));
      e.fault_if(e.b.CreateIsNull(to), LATHE_FAULT_MEMORY);
    } else {
      to = e.buf(3);
    }
    e.for_each(e.i64(0), count, 1, [&](Val i) {
      Val v = nullptr;
      if (num.fp()) {
        v = e.b.CreateFAdd(real(start), e.b.CreateFMul(e.b.CreateSIToFP(i, wide), real(step)));
        if (num.type != DType::kF64) v = e.b.CreateFPTrunc(v, e.type(num.type));
      } else {
        v = num.add(start, num.mul(num.from_index(i), step));
      }
      num.store(v, e.at(to, e.mul(i, num.bytes())));
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
