// SPDX-License-Identifier: Apache-2.0
#include "ops/unpack.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kBytesPerTask = 16384;

}  // namespace

Status lower_unpack(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const DType type = lowering.dtype(in);
  const int bits = dtype_bits(type), each = 8 / bits;
  const bool sign = dtype_info(type).is_int && dtype_info(type).is_signed;
  const Dim count = product(lowering.shape(in)), bytes = ceil_div(count, each);
  Call call;
  call.scalars = Lowering::symbolic({count, bytes});
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.tasks = ceil_div(bytes, kBytesPerTask);
  call.kernel = lowering.kernel("unpack", call.scalars, [&](Emitter& e) {
    const int width = e.target.vector_bits / 8;
    // Element k of each byte of `v`.
    const auto field = [&](Val v, int k, int n) {
      Val high = e.b.CreateShl(v, e.constant_int(DType::kU8, 8 - bits * (k + 1), n));
      Val by = e.constant_int(DType::kU8, 8 - bits, n);
      return sign ? e.b.CreateAShr(high, by) : e.b.CreateLShr(high, by);
    };
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val from = e.mul(task, kBytesPerTask), to = e.imin(e.add(from, e.i64(kBytesPerTask)), e.dim(bytes));
      Val whole = e.imin(to, e.div(e.dim(count), e.i64(each)));  // bytes that are full
      Val blocks = e.add(from, e.mul(e.div(e.imax(e.sub(whole, from), e.i64(0)), e.i64(width)), width));
      e.for_each(from, blocks, width, [&](Val i) {
        Val v = e.load(DType::kU8, e.at(e.buf(0), i), width);
        Vals fields;
        for (int k = 0; k < each; ++k) fields.push_back(field(v, k, width));
        for (int part = 0; part < each; ++part) {
          std::vector<int> lanes;
          for (int j = 0; j < width; ++j) {
            const int flat = part * width + j;
            lanes.push_back(flat % each * width + flat / each);
          }
          e.store(DType::kU8, pick_lanes(e, fields, lanes), e.at(e.buf(1), e.add(e.mul(i, each), e.i64(part * width))));
        }
      });
      e.for_each(blocks, to, 1, [&](Val i) {
        Val v = e.load(DType::kU8, e.at(e.buf(0), i));
        for (int k = 0; k < each; ++k) {
          Val at = e.add(e.mul(i, each), e.i64(k));
          e.if_then(e.b.CreateICmpSLT(at, e.dim(count)),
                    [&] { e.store(DType::kU8, field(v, k, 1), e.at(e.buf(1), at)); });
        }
      });
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
