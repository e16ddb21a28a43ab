// SPDX-License-Identifier: Apache-2.0
#include "import/einsum.h"
#include "import/pt2/handlers.h"
#include "ops/matmul.h"

namespace lathe::pt2 {

namespace {

ValueId product_of(Node& n, ValueId a, ValueId b, bool transposed = false) {
  return n.b.make<ops::MatMul>({a, b}, [&](ops::MatMul& m) { m.trans_b = transposed; });
}

// Products of integers: the kernels are for floats, which are exact where torch's models use them.
ValueId scaled(Node& n, ValueId v, std::string_view by) {
  if (!n.has(by) || n.f(by, 1) == 1) return v;
  return n.b.op("Mul", {v, n.as(by, n.b.dtype(v))});
}

// numpy.matmul: a vector on the left is a row, one on the right a column; that dimension is dropped again.
ValueId general(Node& n, ValueId a, ValueId b) {
  if (!n.b.ok()) return kNoId;
  if (n.b.rank(a) == 0 || n.b.rank(b) == 0) {
    n.fail_with(Code::kDamaged, "operands must not be scalars");
    return kNoId;
  }
  const bool row = n.b.rank(a) == 1, column = n.b.rank(b) == 1;
  if (row) a = n.b.reshape(a, {1, n.b.shape(a)[0]});
  if (column) b = n.b.reshape(b, {n.b.shape(b)[0], 1});
  const ValueId y = product_of(n, a, b);
  if (!n.b.ok() || (!row && !column)) return y;
  Shape s = n.b.shape(y);
  if (row) s.erase(s.end() - 2);
  if (column) s.pop_back();
  return n.b.reshape(y, s);
}

}  // namespace

// x w^T + b
Result<Values> linear(Node& n) {
  ValueId x = n.tensor("input");
  const ValueId w = n.tensor("weight"), bias = n.optional("bias");
  if (!n.b.ok()) return n.done(kNoId);
  if (n.b.rank(w) != 2) {  // a vector
    const ValueId y = general(n, x, w);
    return n.done(bias == kNoId ? y : n.b.op("Add", {y, bias}));
  }
  const bool vector = n.b.rank(x) == 1;
  if (vector) x = n.b.reshape(x, {1, n.b.shape(x)[0]});
  ValueId y = product_of(n, x, w, true);
  if (bias != kNoId) y = n.b.op("Add", {y, bias});
  if (vector && n.b.ok()) y = n.b.reshape(y, {n.b.shape(y)[1]});
  return n.done(y);
}

// matmul, mm, bmm, mv, dot
Result<Values> matmul(Node& n) {
  const ValueId a = n.tensor("self");
  for (const char* name : {"other", "mat2", "vec", "tensor"})
    if (n.has(name)) return n.done(general(n, a, n.tensor(name)));
  return damaged("there is no second operand");
}

// beta * self + alpha * a b: addmm, baddbmm, addmv
Result<Values> addmm(Node& n) {
  const bool batched = n.has("batch1"), vector = n.has("vec");
  const ValueId a = n.tensor(batched ? "batch1" : vector ? "mat" : "mat1");
  const ValueId b = n.tensor(batched ? "batch2" : vector ? "vec" : "mat2");
  const ValueId y = scaled(n, general(n, a, b), "alpha");
  if (n.has("beta") && n.f("beta", 1) == 0) return n.done(y);
  return n.done(n.b.op("Add", {y, scaled(n, n.tensor("self"), "beta")}));
}

Result<Values> outer(Node& n) {
  const ValueId a = n.tensor("self"), b = n.tensor("vec2");
  if (!n.b.ok()) return n.done(kNoId);
  return n.done(
      n.b.op("Mul", {n.b.reshape(a, {product(n.b.shape(a)), 1}), n.b.reshape(b, {1, product(n.b.shape(b))})}));
}

Result<Values> einsum(Node& n) {
  const Values xs = n.tensors("tensors");
  if (!n.b.ok()) return n.done(kNoId);
  LATHE_TRY(const ValueId y, importer::einsum(n.b, n.s("equation", ""), xs));
  return n.done(y);
}

// inner: over the last dimensions of both.
Result<Values> inner(Node& n) {
  const ValueId a = n.tensor("self"), b = n.tensor("other");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape left = n.b.shape(a), right = n.b.shape(b);
  if (left.empty() || right.empty()) return n.done(n.b.op("Mul", {a, b}));
  const ValueId x = n.b.reshape(a, {product({left.begin(), left.end() - 1}), left.back()});
  const ValueId y = n.b.reshape(b, {product({right.begin(), right.end() - 1}), right.back()});
  Shape s(left.begin(), left.end() - 1);
  s.insert(s.end(), right.begin(), right.end() - 1);
  const ValueId z = product_of(n, x, y, true);
  return n.done(n.b.ok() ? n.b.reshape(z, s) : kNoId);
}

// x1 [.., i], x2 [.., j], weight [o, i, j] → [.., o]
Result<Values> bilinear(Node& n) {
  const ValueId a = n.tensor("input1"), b = n.tensor("input2"), w = n.tensor("weight"), bias = n.optional("bias");
  if (!n.b.ok()) return n.done(kNoId);
  LATHE_TRY(ValueId y, importer::einsum(n.b, "...i,oij,...j->...o", {a, w, b}));
  if (bias != kNoId) y = n.b.op("Add", {y, bias});
  return n.done(y);
}

}  // namespace lathe::pt2
