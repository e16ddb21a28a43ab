// SPDX-License-Identifier: Apache-2.0
// Random numbers. ONNX leaves the generator open; here the numbers depend on the attribute `seed`, or where that is not
// given on the node's name, and are the same on every run.
#include <bit>

#include "import/onnx/handlers.h"
#include "ops/cumsum.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

int64_t seed_of(const Node& n) {
  if (const auto* a = n.attr("seed"))
    return a->type == proto::AttributeType::kInt ? a->i : static_cast<int64_t>(std::bit_cast<uint32_t>(a->f));
  uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : n.b.node_name()) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return static_cast<int64_t>(hash);
}

// A permutation of the 32-bit numbers that leaves no trace of their order (the "lowbias32" family found by C. Wellons's
// hash prospector).
ValueId mixed(Node& n, ValueId h) {
  const auto folded = [&](ValueId x, double bits) {
    const ValueId shifted =
        n.b.op("BitShift", {x, n.b.scalar(DType::kU32, bits)}, {{"direction", std::string("RIGHT")}});
    return n.b.op("BitwiseXor", {x, shifted});
  };
  h = n.b.op("Mul", {folded(h, 16), n.b.scalar(DType::kU32, 0x21f0aaad)});
  h = n.b.op("Mul", {folded(h, 15), n.b.scalar(DType::kU32, 0xd35a2d97)});
  return folded(h, 15);
}

// Numbers in [0, 1), multiples of 2^-24, in the shape of `like`: the hashed number of each element, f32. All
// elementwise, so that it is fused with what is made of it. `stream` tells sequences of one seed apart.
ValueId uniform(Node& n, ValueId like, uint64_t stream = 0) {
  const Shape shape = n.b.shape(like);
  uint64_t key = static_cast<uint64_t>(seed_of(n)) + stream * 0x9E3779B97F4A7C15U;
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9U;  // splitmix64
  key = (key ^ (key >> 27)) * 0x94D049BB133111EBU;
  key ^= key >> 31;
  const auto added = [&](ValueId h, uint64_t k) {
    return n.b.op("Add", {h, n.b.scalar(DType::kU32, static_cast<double>(k & 0xffffffffU))});
  };
  const ValueId index = n.b.reshape(n.b.cast(n.b.iota(product(shape), {like}), DType::kU32), shape);
  const ValueId h = mixed(n, added(mixed(n, added(index, key)), key >> 32));
  const ValueId top = n.b.op("BitShift", {h, n.b.scalar(DType::kU32, 8)}, {{"direction", std::string("RIGHT")}});
  return n.b.op("Mul", {n.b.cast(top, DType::kF32), n.b.scalar(DType::kF32, 0x1p-24)});
}

// Box and Muller: of two uniform numbers a normal one. The first is in (0, 1].
ValueId normal(Node& n, ValueId like) {
  const auto f = [&](double v) { return n.b.scalar(DType::kF32, v); };
  const ValueId u = n.b.op("Sub", {f(1), uniform(n, like, 1)}), v = uniform(n, like, 2);
  const ValueId radius = n.b.op("Sqrt", {n.b.op("Mul", {n.b.op("Log", {u}), f(-2)})});
  return n.b.op("Mul", {radius, n.b.op("Cos", {n.b.op("Mul", {v, f(6.283185307179586)})})});
}

Result<DType> type_of(const Node& n, DType otherwise) {
  const int64_t t = n.i("dtype", static_cast<int64_t>(otherwise));
  if (t < 1 || !dtype_valid(static_cast<uint64_t>(t))) return damaged("dtype " + std::to_string(t) + " is not known");
  return static_cast<DType>(t);
}

}  // namespace

// RandomUniform, RandomNormal and the two that take the shape of an input; the row names the kind.
Result<Values> random_numbers(Node& n) {
  const bool even = n.canonical() == "uniform";
  ValueId like = n.in(0);
  DType otherwise = DType::kF32;
  if (n.op_type().ends_with("Like")) {
    otherwise = n.dtype(0);
  } else {
    const auto shape = n.ints("shape");
    if (!shape) return damaged("attribute \"shape\" is missing");
    like = n.b.expand(n.b.scalar(DType::kBool, 0), to_shape(*shape));
  }
  LATHE_TRY(const DType to, type_of(n, otherwise));
  if (!dtype_info(to).is_float) return unsupported("random " + std::string(dtype_name(to)) + " are not supported");
  const double shift = even ? n.f("low", 0) : n.f("mean", 0);
  const double factor = even ? n.f("high", 1) - shift : n.f("scale", 1);
  ValueId y = even ? uniform(n, like) : normal(n, like);
  if (factor != 1) y = n.b.op("Mul", {y, n.b.scalar(DType::kF32, factor)});
  if (shift != 0) y = n.b.op("Add", {y, n.b.scalar(DType::kF32, shift)});
  return n.done(n.b.cast(y, to));
}

Result<Values> bernoulli(Node& n) {
  LATHE_TRY(const DType to, type_of(n, n.dtype(0)));
  const ValueId one = n.b.op("Less", {uniform(n, n.in(0)), n.b.cast(n.in(0), DType::kF32)});
  return n.done(n.b.cast(one, to));
}

// The number of classes whose cumulated probability a uniform number reaches.
Result<Values> multinomial(Node& n) {
  LATHE_TRY(const DType to, type_of(n, DType::kI32));
  const Shape s = n.shape(0);
  const int64_t samples = n.i("sample_size", 1);
  if (s.size() != 2 || samples < 1 || samples > 1 << 24)
    return damaged("the input is no matrix, or sample_size is < 1");
  const ValueId p = n.b.make<ops::Softmax>({n.b.cast(n.in(0), DType::kF32)}, [](ops::Softmax& o) { o.axis = 1; });
  const ValueId sums = n.b.make<ops::CumSum>({p, n.b.i64(1)}, [](ops::CumSum&) {});
  const ValueId u = uniform(n, n.b.expand(n.b.scalar(DType::kBool, 0), {s[0], Dim(samples), Dim(1)}));
  const ValueId reached = n.b.op("GreaterOrEqual", {u, n.b.reshape(sums, {s[0], 1, s[1]})});
  const ValueId index = n.b.reduce("sum", n.b.cast(reached, DType::kI64), {2}, false);
  const ValueId last = n.b.op("Sub", {n.b.dim_value(s[1]), n.b.i64s({1})});  // rounding may leave the sum below 1
  return n.done(n.b.cast(n.b.op("Min", {index, last}), to));
}

// Dropout-12 on: x, ratio?, training_mode?. Before, training is an attribute and not supported.
Result<Values> dropout(Node& n) {
  const Tensor* training = n.constant(2);
  if (n.opset() < 7 && n.i("is_test", 0) == 0 && n.wants(1)) return unsupported("training is not supported");
  if (!n.has(2) || (training && training->i64_at(0) == 0)) {
    Values out = {n.in(0)};
    if (n.wants(1)) out.push_back(n.b.expand(n.b.scalar(DType::kBool, 1), n.shape(0)));
    return n.done(std::move(out));
  }
  if (!dtype_info(n.dtype(0)).is_float) return damaged("the input is not of floats");
  const ValueId given = n.has(1) ? n.b.cast(n.b.reshape(n.in(1), {}), DType::kF32) : n.b.scalar(DType::kF32, 0.5);
  const ValueId ratio = n.b.op("Where", {n.b.reshape(n.in(2), {}), given, n.b.scalar(DType::kF32, 0)});
  const ValueId kept = n.b.op("GreaterOrEqual", {uniform(n, n.in(0)), ratio});
  const ValueId factor = n.b.op("Reciprocal", {n.b.op("Sub", {n.b.scalar(DType::kF32, 1), ratio})});
  const ValueId y = n.b.op("Mul", {n.in(0), n.b.cast(factor, n.dtype(0))});
  return n.done({n.b.op("Where", {kept, y, n.b.scalar(n.dtype(0), 0)}), kept});
}

}  // namespace lathe::onnx
