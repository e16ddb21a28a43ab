// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/linear.h"

#include "ops/matmul.h"

namespace lathe::tflite {

ValueId product_of(Node& n, ValueId a, ValueId b, bool trans_a, bool trans_b) {
  return n.b.make<ops::MatMul>({a, b}, [&](ops::MatMul& m) {
    m.trans_a = trans_a;
    m.trans_b = trans_b;
  });
}

Result<Dense> dense(const Node& n) {
  const auto* o = n.options<fb::FullyConnectedOptions>();
  if (o && o->weights_format() != fb::WeightsFormat::DEFAULT)
    return unsupported("weights in the shuffled format are not supported; convert the model again");
  const Shape x = n.shape(0), w = n.shape(1);
  if (w.size() != 2 || x.empty()) return damaged("the weights must be a matrix");
  const auto depth = w[1].as_const();
  if (!depth || *depth < 1) return unsupported("the size of the weights is not constant");
  Dense d{o ? o->activation() : fb::Activation::NONE, {}, {}};
  if (o && o->keep_num_dims()) {
    if (x.back().is_const() && !(x.back() == w[1]))
      return damaged("input " + shape_str(x) + " does not fit the weights " + shape_str(w));
    d.result = x;
    d.result.back() = w[0];
  }
  const Dim all = product(x);
  if (all.is_const() && all.value() % *depth != 0)
    return damaged("input " + shape_str(x) + " does not fit the weights " + shape_str(w));
  d.rows = {x.size() >= 2 && x.back() == w[1] ? product({x.begin(), x.end() - 1}) : floor_div(all, *depth), *depth};
  if (d.result.empty()) d.result = {d.rows[0], w[0]};
  return d;
}

// x as a matrix by the transposed weights [N, K], plus bias.
Result<Values> fully_connected(Node& n) {
  LATHE_TRY(const Dense d, dense(n));
  ValueId y = product_of(n, n.b.reshape(n.in(0), d.rows), n.in(1), false, true);
  if (n.has(2)) y = n.b.op("Add", {y, n.in(2)});
  return n.done(n.b.reshape(activate(n, y, d.activation), d.result));
}

Result<Values> batch_matmul(Node& n) {
  const auto* o = n.options<fb::BatchMatMulOptions>();
  return n.done(product_of(n, n.in(0), n.in(1), o && o->adj_x(), o && o->adj_y()));
}

}  // namespace lathe::tflite
