// SPDX-License-Identifier: Apache-2.0
#include "import/einsum.h"
#include "import/tensorflow/handlers.h"
#include "ops/matmul.h"

namespace lathe::tensorflow {

// MatMul (transpose_a, transpose_b) and BatchMatMul (adj_x, adj_y), whose real cases are the same.
Result<Items> matmul(Node& n) {
  LATHE_CHECK(n.needs(2));
  if (n.rank(0) < 2 || n.rank(1) < 2) return damaged("operands must be matrices");
  return n.done(n.b.make<ops::MatMul>({n.in(0), n.in(1)}, [&](ops::MatMul& m) {
    m.trans_a = n.flag("transpose_a") || n.flag("adj_x");
    m.trans_b = n.flag("transpose_b") || n.flag("adj_y");
  }));
}

Result<Items> einsum(Node& n) {
  LATHE_TRY(const ValueId y, importer::einsum(n.b, std::string(n.s("equation", "")), n.values()));
  return n.done(y);
}

Result<Items> bias_add(Node& n) {
  LATHE_CHECK(n.needs(2));
  ValueId bias = n.in(1);
  if (n.s("data_format", "NHWC").starts_with("NC") && n.rank(0) > 2) {
    Shape s(static_cast<size_t>(n.rank(0) - 1), Dim(1));
    s[0] = n.shape(1).empty() ? Dim(1) : n.shape(1)[0];
    bias = n.b.reshape(bias, s);
  }
  return n.done(n.b.op("Add", {n.in(0), bias}));
}

}  // namespace lathe::tensorflow
