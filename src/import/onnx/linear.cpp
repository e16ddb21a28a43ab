// SPDX-License-Identifier: Apache-2.0
#include "import/einsum.h"
#include "import/onnx/handlers.h"
#include "ops/matmul.h"

namespace lathe::onnx {

// numpy.matmul: a vector on the left is a row, one on the right a column; that dimension is dropped again.
Result<Values> matmul(Node& n) {
  ValueId a = n.in(0), b = n.in(1);
  if (n.rank(0) == 0 || n.rank(1) == 0) return damaged("operands must not be scalars");
  const bool row = n.rank(0) == 1, column = n.rank(1) == 1;
  if (row) a = n.b.reshape(a, {1, n.shape(0)[0]});
  if (column) b = n.b.reshape(b, {n.shape(1)[0], 1});
  ValueId y = n.b.add(std::make_shared<ops::MatMul>(), {a, b});
  if (n.b.ok() && (row || column)) {
    Shape s = n.b.shape(y);
    if (row) s.erase(s.end() - 2);
    if (column) s.pop_back();
    y = n.b.reshape(y, s);
  }
  return n.done(y);
}

// alpha * a b + beta * c
Result<Values> gemm(Node& n) {
  if (n.rank(0) != 2 || n.rank(1) != 2) return damaged("operands must be matrices");
  ValueId y = n.b.make<ops::MatMul>({n.in(0), n.in(1)}, [&](ops::MatMul& m) {
    m.trans_a = n.i("transA", 0) != 0;
    m.trans_b = n.i("transB", 0) != 0;
  });
  const double alpha = n.f("alpha", 1), beta = n.f("beta", 1);
  if (alpha != 1) y = n.b.op("Mul", {y, n.b.scalar(n.dtype(0), alpha)});
  if (n.has(2) && beta != 0) {
    ValueId c = n.in(2);
    if (beta != 1) c = n.b.op("Mul", {c, n.b.scalar(n.dtype(0), beta)});
    y = n.b.op("Add", {y, c});
  }
  return n.done(y);
}

Result<Values> einsum(Node& n) {
  LATHE_TRY(const ValueId y, importer::einsum(n.b, n.s("equation", ""), n.inputs()));
  return n.done(y);
}

}  // namespace lathe::onnx
