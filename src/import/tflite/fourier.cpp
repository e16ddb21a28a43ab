// SPDX-License-Identifier: Apache-2.0
// Complex numbers: a complex tensor is kept as f32 with one dimension more, of the real and the imaginary part.
#include <cmath>
#include <numbers>

#include "import/tflite/handlers.h"

namespace lathe::tflite {

namespace {

// Both parts of the first `count` coefficients of `size` samples, as matrices [size, count].
std::pair<Tensor, Tensor> coefficients(int64_t size, int64_t count) {
  std::pair<Tensor, Tensor> m{Tensor::zeros(DType::kF32, {size, count}), Tensor::zeros(DType::kF32, {size, count})};
  for (int64_t i = 0; i < size; ++i)
    for (int64_t k = 0; k < count; ++k) {
      const double angle = -2 * std::numbers::pi * static_cast<double>(i * k % size) / static_cast<double>(size);
      m.first.set(i * count + k, std::cos(angle));
      m.second.set(i * count + k, std::sin(angle));
    }
  return m;
}

ValueId part(Node& n, ValueId x, int64_t which) {
  Shape s = n.b.shape(x);
  if (s.empty()) return kNoId;
  s.pop_back();
  return n.b.reshape(n.b.slice(x, n.b.rank(x) - 1, which, which + 1), s);
}

}  // namespace

// x cut or padded to the given two lengths, then products with the matrices of the transform: along the last dimension
// from real numbers (half of the spectrum), along the one before from complex ones.
Result<Values> rfft_2d(Node& n) {
  LATHE_TRY(const auto lengths, n.integers(1, "the lengths"));
  const int64_t rank = n.rank(0);
  if (rank < 2 || lengths.size() != 2) return damaged("it takes two dimensions at least and two lengths");
  const auto have = static_dims({n.shape(0)[static_cast<size_t>(rank) - 2], n.shape(0).back()});
  if (!have) return unsupported("the transform of an open size is not supported; give it with --shape");
  ValueId x = n.in(0);
  std::vector<int64_t> pads(static_cast<size_t>(2 * rank), 0);
  bool padded = false;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t axis = rank - 2 + static_cast<int64_t>(d), size = lengths[d];
    if (size < 1 || size > 1 << 13) return unsupported("lengths above 8192 are not supported");
    if ((*have)[d] > size) x = n.b.slice(x, axis, 0, size);
    if ((*have)[d] >= size) continue;
    pads[static_cast<size_t>(rank + axis)] = size - (*have)[d];
    padded = true;
  }
  if (padded) x = n.b.op("Pad", {x, n.b.i64s(pads)});
  const auto [across_re, across_im] = coefficients(lengths[1], lengths[1] / 2 + 1);
  ValueId re = n.b.op("MatMul", {x, n.b.constant(across_re)}), im = n.b.op("MatMul", {x, n.b.constant(across_im)});
  if (lengths[0] > 1) {
    const auto [down_re, down_im] = coefficients(lengths[0], lengths[0]);  // symmetric
    const ValueId c = n.b.constant(down_re), s = n.b.constant(down_im);
    const ValueId real = n.b.op("Sub", {n.b.op("MatMul", {c, re}), n.b.op("MatMul", {s, im})});
    im = n.b.op("Add", {n.b.op("MatMul", {c, im}), n.b.op("MatMul", {s, re})});
    re = real;
  }
  Shape s = n.b.shape(re);
  s.emplace_back(1);
  return n.done(n.b.concat({n.b.reshape(re, s), n.b.reshape(im, s)}, rank));
}

Result<Values> complex_abs(Node& n) {
  const ValueId re = part(n, n.in(0), 0), im = part(n, n.in(0), 1);
  return n.done(n.b.op("Sqrt", {n.b.op("Add", {n.b.op("Mul", {re, re}), n.b.op("Mul", {im, im})})}));
}

Result<Values> complex_part(Node& n) { return n.done(part(n, n.in(0), n.canonical() == "imaginary" ? 1 : 0)); }

}  // namespace lathe::tflite
