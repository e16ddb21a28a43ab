// SPDX-License-Identifier: Apache-2.0
#include "ops/pack.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kBytesPerTask = 16384;

}  // namespace

Status lower_pack(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const int bits = dtype_bits(lowering.dtype(out)), each = 8 / bits;
  const Dim count = product(lowering.shape(in)), bytes = ceil_div(count, each);
  Call call;
  call.scalars = Lowering::symbolic({count, bytes});
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.tasks = ceil_div(bytes, kBytesPerTask);
  call.kernel = lowering.kernel("pack", call.scalars, [&](Emitter& e) {
    const int width = e.target.vector_bits / 8;
    const auto placed = [&](Val v, int k, int n) {
      Val low = e.b.CreateAnd(v, e.constant_int(DType::kU8, (1 << bits) - 1, n));
      return e.b.CreateShl(low, e.constant_int(DType::kU8, bits * k, n));
    };
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val from = e.mul(task, kBytesPerTask), to = e.imin(e.add(from, e.i64(kBytesPerTask)), e.dim(bytes));
      Val whole = e.imin(to, e.div(e.dim(count), e.i64(each)));
      Val blocks = e.add(from, e.mul(e.div(e.imax(e.sub(whole, from), e.i64(0)), e.i64(width)), width));
      e.for_each(from, blocks, width, [&](Val i) {
        Vals parts;
        for (int part = 0; part < each; ++part)
          parts.push_back(e.load(DType::kU8, e.at(e.buf(0), e.add(e.mul(i, each), e.i64(part * width))), width));
        Val sum = nullptr;
        for (int k = 0; k < each; ++k) {
          std::vector<int> lanes;
          for (int j = 0; j < width; ++j) lanes.push_back(j * each + k);
          Val v = placed(pick_lanes(e, parts, lanes), k, width);
          sum = sum ? e.b.CreateOr(sum, v) : v;
        }
        e.store(DType::kU8, sum, e.at(e.buf(1), i));
      });
      e.for_each(blocks, to, 1, [&](Val i) {
        Val sum = e.constant_int(DType::kU8, 0);
        for (int k = 0; k < each; ++k) {
          Val at = e.add(e.mul(i, each), e.i64(k)), inside = e.b.CreateICmpSLT(at, e.dim(count));
          // Beyond the end the last element is read and left out.
          Val v = e.load(DType::kU8, e.at(e.buf(0), e.imin(at, e.sub(e.dim(count), e.i64(1)))));
          sum = e.b.CreateOr(sum, e.b.CreateSelect(inside, placed(v, k, 1), e.constant_int(DType::kU8, 0)));
        }
        e.store(DType::kU8, sum, e.at(e.buf(1), i));
      });
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
