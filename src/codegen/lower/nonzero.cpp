// SPDX-License-Identifier: Apache-2.0
#include "ops/nonzero.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

Status lower_nonzero(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  LATHE_TRY(const int bytes, element_bytes(type));
  const bool real = dtype_info(type).is_float && type != DType::kBF16 && dtype_bits(type) >= 16;
  if (dtype_info(type).is_float && !real && type != DType::kBF16)
    return fail(Code::kUnsupported, "zeros of " + std::string(dtype_name(type)) + " are not generated yet");
  std::vector<Dim> dims(x.begin(), x.end());
  const Dim total = product(x);
  dims.push_back(total);
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.defines = {lowering.shape(out)[1].symbol_name()};
  call.grows = {call.buffers[1]};
  call.kernel = lowering.kernel("nonzero", call.scalars, [&](Emitter& e) {
    // Everything but the sign bit of a float tells zero from the rest.
    const auto found = [&](Val i) {
      Val v = e.load(bits_type(bytes), e.at(e.buf(0), e.mul(i, bytes)));
      if (dtype_info(type).is_float) v = e.b.CreateShl(v, 1);
      return e.b.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType()));
    };
    Val n = e.dim(total);
    Val count = e.loop(e.i64(0), n, 1, {e.i64(0)}, [&](Val i, const Vals& a) {
      return Vals{e.add(a[0], e.b.CreateZExt(found(i), e.b.getInt64Ty()))};
    })[0];
    e.b.CreateStore(count, e.symbol_slot(0));
    Val to = e.grow(1, e.imax(e.mul(count, std::max<int64_t>(1, 8 * static_cast<int64_t>(x.size()))), e.i64(8)));
    e.fault_if(e.b.CreateIsNull(to), LATHE_FAULT_MEMORY);
    e.loop(e.i64(0), n, 1, {e.i64(0)}, [&](Val i, const Vals& a) {
      return e.if_else(
          found(i),
          [&] {
            Val rest = i;
            for (size_t d = x.size(); d-- > 0;) {
              Val extent = e.dim(x[d]);
              Val index = d == 0 ? rest : e.rem(rest, extent);
              if (d > 0) rest = e.div(rest, extent);
              e.store(DType::kI64, index, e.at(to, e.mul(e.add(e.mul(count, static_cast<int64_t>(d)), a[0]), 8)));
            }
            return Vals{e.add(a[0], e.i64(1))};
          },
          [&] { return a; });
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
