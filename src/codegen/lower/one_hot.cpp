// SPDX-License-Identifier: Apache-2.0
#include "ops/one_hot.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_one_hot(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::OneHot>();
  const ValueId indices = node.inputs[0], values = node.inputs[2], out = node.outputs[0];
  const Shape& y = lowering.shape(out);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(values)));
  const DType index_type = lowering.dtype(indices);
  if (!Numeric::supports(index_type))
    return fail(Code::kUnsupported,
                "indices of type " + std::string(dtype_name(index_type)) + " are not generated yet");
  const Dim outer = product(Shape(y.begin(), y.begin() + op.axis)),
            inner = product(Shape(y.begin() + op.axis + 1, y.end()));
  const Dim& depth = y[static_cast<size_t>(op.axis)];
  if (fresh_dims(lowering, node)[static_cast<size_t>(op.axis)])
    LATHE_CHECK(lower_sizes(lowering, node,
                            {"lathe_count_size",
                             {lowering.buffer(node.inputs[1])},
                             {static_cast<int64_t>(lowering.dtype(node.inputs[1])), int64_t{1} << 40},
                             {},
                             {depth.symbol_name()}}));
  const bool small = bytes * lowering.typical(product(y)) <= kSmallBytes;
  const std::vector<Dim> grid{outer};
  Call call;
  call.scalars = Lowering::symbolic({outer, inner, depth});
  call.buffers = {lowering.buffer(indices), lowering.buffer(values), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : outer;
  call.kernel = lowering.kernel("one_hot", call.scalars, [&](Emitter& e) {
    const DType type = bits_type(bytes);
    Numeric num{e, index_type};
    Val size = e.dim(inner), count = e.dim(depth);
    Val off = e.load(type, e.buf(1)), on = e.load(type, e.at(e.buf(1), int64_t{bytes}));
    const auto task = [&](const Vals& at) {
      Val block = e.mul(size, count), to = e.at(e.buf(2), e.mul(e.mul(at[0], block), bytes));
      emit_fill(e, to, off, block, bytes);
      e.for_each(e.i64(0), size, 1, [&](Val i) {
        Val index = num.load(e.at(e.buf(0), e.mul(e.add(e.mul(at[0], size), i), num.bytes())), 1);
        Val whole = e.b.getTrue();
        if (num.fp()) {  // only an integer can be an index
          Val converted =
              e.b.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {e.b.getInt64Ty(), index->getType()}, {index});
          whole = e.b.CreateFCmpOEQ(e.b.CreateSIToFP(converted, index->getType()), index);
          index = converted;
        } else {
          index = e.b.CreateIntCast(index, e.b.getInt64Ty(), num.is_signed());
        }
        index = e.b.CreateSelect(e.b.CreateICmpSLT(index, e.i64(0)), e.b.CreateAdd(index, count), index);
        e.if_then(e.b.CreateAnd(whole, e.b.CreateICmpULT(index, count)),
                  [&] { e.store(type, on, e.at(to, e.mul(e.add(e.mul(index, size), i), bytes))); });
      });
    };
    if (small)
      for_nest(e, grid, task);
    else
      for_tasks(e, grid, task);
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
