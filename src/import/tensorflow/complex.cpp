// SPDX-License-Identifier: Apache-2.0
// Complex numbers are pairs of real tensors. Fourier transforms of a known length are products with its matrix.
#include <cmath>

#include "import/tensorflow/handlers.h"
#include "ops/matmul.h"
#include "ops/pad.h"

namespace lathe::tensorflow {

namespace {

bool is_complex(const Item& i) { return i.kind == Item::Kind::kComplex; }

}  // namespace

// Operators of real numbers that complex ones have, too; both operands are of one kind.
Result<Items> arithmetic(Node& n) {
  for (const Item& i : n.items())
    if (i.kind != Item::Kind::kTensor && i.kind != Item::Kind::kComplex) return unsupported("takes tensors only");
  if (!is_complex(n.item(0))) {
    for (const Item& i : n.items())
      if (is_complex(i)) return damaged("a real and a complex operand");
    if (n.dtype(0) == DType::kString) return unsupported("strings are not supported");
    return n.done(n.b.op(n.canonical(), n.values()));
  }
  const ValueId a = n.item(0).value, b = n.item(0).imaginary;
  if (n.input_count() == 1) {
    if (n.canonical() == "Neg") return n.done(Items{Item(n.b.op("Neg", {a}), n.b.op("Neg", {b}))});
    if (n.canonical() != "Exp") return unsupported("not of complex numbers");
    const ValueId size = n.b.op("Exp", {a});
    return n.done(Items{Item(n.b.op("Mul", {size, n.b.op("Cos", {b})}), n.b.op("Mul", {size, n.b.op("Sin", {b})}))});
  }
  if (n.input_count() != 2 || !is_complex(n.item(1))) return damaged("a real and a complex operand");
  const ValueId c = n.item(1).value, d = n.item(1).imaginary;
  const auto op = [&](std::string_view name, ValueId x, ValueId y) { return n.b.op(name, {x, y}); };
  if (n.canonical() == "Add" || n.canonical() == "Sub")
    return n.done(Items{Item(op(n.canonical(), a, c), op(n.canonical(), b, d))});
  if (n.canonical() == "Mul")
    return n.done(
        Items{Item(op("Sub", op("Mul", a, c), op("Mul", b, d)), op("Add", op("Mul", a, d), op("Mul", b, c)))});
  if (n.canonical() == "Div") {
    const ValueId size = op("Add", op("Mul", c, c), op("Mul", d, d));
    return n.done(Items{Item(op("Div", op("Add", op("Mul", a, c), op("Mul", b, d)), size),
                             op("Div", op("Sub", op("Mul", b, c), op("Mul", a, d)), size))});
  }
  return unsupported("not of complex numbers");
}

Result<Items> complex_parts(Node& n) {
  LATHE_CHECK(n.needs(1));
  if (n.op() == "Complex") {
    LATHE_CHECK(n.needs(2));
    return Items{Item(n.in(0), n.in(1))};
  }
  const Item x = n.item(0);
  if (!is_complex(x)) return unsupported("takes complex numbers only");
  if (n.op() == "Real") return Items{x.value};
  if (n.op() == "Imag") return Items{x.imaginary};
  if (n.op() == "Conj") return n.done(Items{Item(x.value, n.b.op("Neg", {x.imaginary}))});
  if (n.op() == "ComplexAbs")
    return n.done(n.b.op(
        "Sqrt", {n.b.op("Add", {n.b.op("Mul", {x.value, x.value}), n.b.op("Mul", {x.imaginary, x.imaginary})})}));
  // Angle
  const proto::Node atan2{"", "Atan2", {}, {}};
  Node inner(atan2, {}, {x.imaginary, x.value}, n.b, n.importer());
  return composed(inner);
}

namespace {

constexpr int64_t kMaxLength = 16384;  // the matrices of longer ones would be of 1 GiB and more

// rows × columns of f(2π · row · column / length): the angle is reduced exactly before it is rounded.
template <class F>
Tensor matrix(int64_t rows, int64_t columns, int64_t length, F&& f) {
  constexpr double kTurn = 6.28318530717958647692;
  Tensor t = Tensor::zeros(DType::kF32, {rows, columns});
  const auto out = t.mutable_as<float>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const double angle = kTurn * static_cast<double>(r * c % length) / static_cast<double>(length);
      out[static_cast<size_t>(r * columns + c)] = static_cast<float>(f(angle, r, c));
    }
  return t;
}

// x cut or padded with zeros to `length` elements in the last dimension.
ValueId resized(Node& n, ValueId x, int64_t length) {
  const auto rank = static_cast<size_t>(n.b.rank(x));
  const auto have = n.b.shape(x).back().as_const();
  if (have && *have == length) return x;
  if (!have || *have > length) x = n.b.slice(x, static_cast<int64_t>(rank) - 1, 0, length);
  if (have && *have > length) return x;
  std::vector<int64_t> pads(2 * rank, 0);
  pads.back() = length - *have;
  return n.b.make<ops::Pad>({x, n.b.i64s(pads)}, [](ops::Pad&) {});
}

}  // namespace

Result<Items> fft(Node& n) {
  LATHE_CHECK(n.needs(1));
  const bool real_in = n.op() == "RFFT", real_out = n.op() == "IRFFT";
  const bool inverse = n.op() == "IFFT" || real_out;
  const Item x = n.item(0);
  if ((x.kind != Item::Kind::kTensor && x.kind != Item::Kind::kComplex) || n.b.rank(x.value) < 1 ||
      is_complex(x) == real_in)
    return damaged("the input is of another kind");
  if (n.b.dtype(x.value) != DType::kF32) return unsupported("transforms are supported in single precision only");
  int64_t length = n.b.shape(x.value).back().as_const().value_or(0);
  if (real_in || real_out) {
    LATHE_TRY(length, n.integer(1, "the length of the transform"));
  }
  if (length < 1 || length > kMaxLength)
    return unsupported("transforms of length " + std::to_string(length) + " are not supported");
  if (!n.b.shape(x.value).back().is_const()) return unsupported("the transformed dimension is not constant");
  const int64_t half = length / 2 + 1;
  const int64_t rows = real_out ? half : length, columns = real_in ? half : length;
  const double scale = inverse ? 1 / static_cast<double>(length) : 1;
  const double sign = inverse ? 1 : -1;
  // Of a real result, each frequency but the first and (of an even length) the last stands for two.
  const auto weight = [&](int64_t r) { return scale * (real_out && r != 0 && 2 * r != length ? 2 : 1); };
  const ValueId cosines = n.b.constant(
      matrix(rows, columns, length, [&](double a, int64_t r, int64_t) { return weight(r) * std::cos(a); }));
  const ValueId sines = n.b.constant(
      matrix(rows, columns, length, [&](double a, int64_t r, int64_t) { return sign * weight(r) * std::sin(a); }));
  const auto product = [&](ValueId part, ValueId m) {
    ValueId y = resized(n, part, rows);
    const bool vector = n.b.rank(y) == 1;
    if (vector) y = n.b.reshape(y, {1, rows});
    y = n.b.add(std::make_shared<ops::MatMul>(), {y, m});
    return vector ? n.b.reshape(y, {columns}) : y;
  };
  if (real_in) return n.done(Items{Item(product(x.value, cosines), product(x.value, sines))});
  const ValueId re = n.b.op("Sub", {product(x.value, cosines), product(x.imaginary, sines)});
  if (real_out) return n.done(re);
  return n.done(Items{Item(re, n.b.op("Add", {product(x.value, sines), product(x.imaginary, cosines)}))});
}

}  // namespace lathe::tensorflow
