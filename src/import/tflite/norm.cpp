// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/handlers.h"
#include "ops/softmax.h"

namespace lathe::tflite {

// Over the last dimension; "log" takes no beta.
Result<Values> softmax(Node& n) {
  if (n.rank(0) < 1) return damaged("the input has no dimension");
  ValueId x = n.in(0);
  if (const auto* o = n.options<fb::SoftmaxOptions>(); o && o->beta() != 1)
    x = n.b.op("Mul", {x, n.scalar(static_cast<double>(o->beta()))});
  return n.done(n.b.make<ops::Softmax>({x}, [&](ops::Softmax& s) {
    s.axis = n.rank(0) - 1;
    s.log = n.canonical() == "log";
  }));
}

// x divided by its length along the last dimension, which is taken to be 1e-6 at least.
Result<Values> l2_normalization(Node& n) {
  if (n.rank(0) < 1) return damaged("the input has no dimension");
  const ValueId length = n.b.reduce("l2", n.in(0), {n.rank(0) - 1}, true);
  const ValueId y = n.b.op("Div", {n.in(0), n.b.op("Max", {length, n.scalar(1e-6f)})});
  const auto* o = n.options<fb::L2NormOptions>();
  return n.done(activate(n, y, o ? o->activation() : fb::Activation::NONE));
}

// x / (bias + alpha * sum of the squares of the channels up to `radius` away) ^ beta; the sum is a product with a band.
Result<Values> local_response_normalization(Node& n) {
  const auto* o = n.options<fb::LocalResponseNormalizationOptions>();
  if (!o || o->radius() < 0 || n.rank(0) < 2) return damaged("its options do not fit");
  const auto channels = n.shape(0).back().as_const();
  if (!channels || *channels > 1 << 13) return unsupported("the number of channels must be known and below 8192");
  Tensor band = Tensor::zeros(DType::kF32, {*channels, *channels});
  for (int64_t i = 0; i < *channels; ++i)
    for (int64_t j = 0; j < *channels; ++j)
      if (std::abs(i - j) <= o->radius()) band.mutable_as<float>()[static_cast<size_t>(i * *channels + j)] = 1;
  const ValueId sum = n.b.op("MatMul", {n.b.op("Mul", {n.in(0), n.in(0)}), n.b.constant(std::move(band))});
  const auto number = [&](float v) { return n.scalar(static_cast<double>(v)); };
  const ValueId base = n.b.op("Add", {n.b.op("Mul", {sum, number(o->alpha())}), number(o->bias())});
  return n.done(n.b.op("Mul", {n.in(0), n.b.op("Pow", {base, number(-o->beta())})}));
}

}  // namespace lathe::tflite
