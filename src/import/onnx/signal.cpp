// SPDX-License-Identifier: Apache-2.0
// Windows and transforms of signals.
#include <cmath>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "ops/dft.h"
#include "ops/gather.h"
#include "ops/permute.h"
#include "ops/slice.h"
#include "ops/top_k.h"

namespace lathe::onnx {

namespace {

constexpr double kPi = 3.14159265358979323846;

// A scalar of one value, whatever shape it was given in.
ValueId scalar_of(Node& n, size_t i, DType type) { return n.b.cast(n.b.reshape(n.in(i), {}), type); }

// x cut or padded with zeros to `length` (an i64 vector of one element) along `axis`.
ValueId resized(Node& n, ValueId x, ValueId length, int64_t axis) {
  const int64_t rank = n.b.rank(x);
  const ValueId axes = n.b.i64s({axis});
  const ValueId cut = n.b.add(std::make_shared<ops::Slice>(), {x, n.b.i64s({0}), length, axes});
  if (!n.b.ok()) return kNoId;
  const ValueId have = n.b.slice(shape_of(n, cut), 0, axis, axis + 1);
  const ValueId missing = n.b.op("Sub", {length, have});
  const ValueId pads = spread(n, n.b.i64s({axis + rank}), missing, repeated(n, 0, 2 * rank));
  return n.b.op("Pad", {cut, pads});
}

}  // namespace

// a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N), N = size, or size - 1 where it is not periodic. ONNX HannWindow-17 and
// so on; the row names the kind.
Result<Values> window(Node& n) {
  const int64_t to = n.i("output_datatype", 1);
  if (to < 1 || !dtype_valid(static_cast<uint64_t>(to)) || !dtype_info(static_cast<DType>(to)).is_float)
    return unsupported("windows of element type " + std::to_string(to) + " are not supported");
  const std::string_view kind = n.canonical();
  const double alpha = 25.0 / 46.0;
  const double a0 = kind == "hann"      ? 0.5
                    : kind == "hamming" ? alpha
                                        : 0.42,
               a1 = kind == "hann"      ? 0.5
                    : kind == "hamming" ? 1 - alpha
                                        : 0.5,
               a2 = kind == "blackman" ? 0.08 : 0;
  const auto f = [&](double v) { return n.b.scalar(DType::kF64, v); };
  const ValueId size = scalar_of(n, 0, DType::kI64);
  const ValueId steps = n.i("periodic", 1) != 0 ? size : n.b.op("Sub", {size, n.b.i64(1)});
  const ValueId i = n.b.cast(n.b.op("Range", {n.b.i64(0), size, n.b.i64(1)}), DType::kF64);
  const ValueId turn = n.b.op("Div", {n.b.op("Mul", {i, f(2 * kPi)}), n.b.cast(steps, DType::kF64)});
  ValueId y = n.b.op("Sub", {f(a0), n.b.op("Mul", {f(a1), n.b.op("Cos", {turn})})});
  if (a2 != 0) y = n.b.op("Add", {y, n.b.op("Mul", {f(a2), n.b.op("Cos", {n.b.op("Mul", {turn, f(2)})})})});
  return n.done(n.b.cast(y, static_cast<DType>(to)));
}

// x [..., n, ..., 1 or 2], dft_length?, axis (an attribute before opset 20).
Result<Values> dft(Node& n) {
  const int64_t rank = n.rank(0);
  if (rank < 2) return damaged("the input must have a dimension for real and imaginary parts");
  ValueId x = n.in(0), order = kNoId;
  int64_t axis = n.i("axis", 1);
  if (n.opset() >= 20) axis = -2;
  if (n.opset() >= 20 && computed(n, 2)) {
    // The axis to the end, then before the parts.
    Node inner = n.with_inputs({n.in(0), n.b.reshape(n.in(2), {1})});
    LATHE_TRY(const ComputedAxes a, computed_axes(inner, 1, rank));
    order = a.order;
    std::vector<int64_t> swap;
    for (int64_t d = 0; d < rank; ++d) swap.push_back(d < rank - 2 ? d : 2 * rank - 3 - d);
    x = n.b.transpose(n.b.add(std::make_shared<ops::Permute>(), {x, order}), swap);
    const auto parts = n.shape(0).back().as_const();
    if (!parts) return unsupported("whether the signal is real or complex depends on the model's inputs");
    x = n.b.op("Reshape", {x, n.b.concat({n.b.slice(shape_of(n, x), 0, 0, rank - 1), n.b.i64s({*parts})}, 0)});
    axis = rank - 2;
  } else if (n.opset() >= 20 && n.has(2)) {
    LATHE_TRY(const auto given, n.integers(2, "axis"));
    if (given.size() != 1) return damaged("the axis must be one number");
    axis = given[0];
  }
  LATHE_TRY(axis, Node::axis(axis, rank));
  const bool inverse = n.i("inverse", 0) != 0, onesided = n.i("onesided", 0) != 0;
  int64_t length = 0;
  if (n.has(1)) {
    if (inverse && onesided) {
      LATHE_TRY(const auto given, n.integers(1, "dft_length of a one-sided inverse"));
      if (given.size() != 1 || given[0] < 1) return damaged("dft_length must be one positive number");
      length = given[0];
    } else {
      x = resized(n, x, n.b.reshape(n.b.cast(n.in(1), DType::kI64), {1}), axis);
    }
  }
  ValueId y = n.b.make<ops::Dft>({x}, [&](ops::Dft& d) {
    d.axis = axis;
    d.inverse = inverse;
    d.onesided = onesided;
    d.length = length;
  });
  if (order != kNoId && n.b.ok()) {
    std::vector<int64_t> swap;
    for (int64_t d = 0; d < rank; ++d) swap.push_back(d < rank - 2 ? d : 2 * rank - 3 - d);
    auto sort = std::make_shared<ops::TopK>();
    sort->largest = false;
    const auto back = n.b.add_all(std::move(sort), {order, n.b.i64s({rank})});
    if (!n.b.ok()) return n.done(kNoId);
    y = n.b.add(std::make_shared<ops::Permute>(), {n.b.transpose(y, swap), back[1]});
  }
  return n.done(y);
}

// signal [batch, n, 1 or 2], frame_step, window?, frame_length? → [batch, frames, bins, 2]. ONNX STFT-17.
Result<Values> stft(Node& n) {
  if (n.rank(0) != 3) return damaged("the signal must be of rank 3");
  const ValueId step = scalar_of(n, 1, DType::kI64);
  ValueId length = kNoId;
  if (n.has(3))
    length = scalar_of(n, 3, DType::kI64);
  else if (n.has(2))
    length = n.b.reshape(shape_of(n, n.in(2)), {});
  else
    return damaged("there is neither a window nor a frame_length");
  const auto range = [&](ValueId count) { return n.b.op("Range", {n.b.i64(0), count, n.b.i64(1)}); };
  const ValueId total = n.b.reshape(n.b.slice(shape_of(n, n.in(0)), 0, 1, 2), {});
  const ValueId frames = n.b.op("Add", {n.b.op("Div", {n.b.op("Sub", {total, length}), step}), n.b.i64(1)});
  const ValueId starts = n.b.op("Mul", {range(frames), step}), within = range(length);
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId places = n.b.op("Add", {n.b.reshape(starts, {n.b.shape(starts)[0], 1}), within});
  ValueId x = n.b.make<ops::Gather>({n.in(0), places}, [](ops::Gather& g) { g.axis = 1; });
  if (n.has(2)) x = n.b.op("Mul", {x, n.b.reshape(n.in(2), {n.shape(2)[0], 1})});
  return n.done(n.b.make<ops::Dft>({x}, [&](ops::Dft& d) {
    d.axis = 2;
    d.onesided = n.i("onesided", 1) != 0;
  }));
}

// Triangles over the bins of a transform, evenly spaced on the mel scale. num_mel_bins, dft_length, sample_rate,
// lower_edge_hertz, upper_edge_hertz → [dft_length / 2 + 1, num_mel_bins]. ONNX MelWeightMatrix-17.
Result<Values> mel_weights(Node& n) {
  const int64_t to = n.i("output_datatype", 1);
  if (to < 1 || !dtype_valid(static_cast<uint64_t>(to)))
    return damaged("output_datatype " + std::to_string(to) + " is not known");
  const auto f = [&](double v) { return n.b.scalar(DType::kF64, v); };
  const auto op = [&](const char* name, ValueId a, ValueId b) { return n.b.op(name, {a, b}); };
  for (size_t i = 0; i < 5; ++i)
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is missing");
  const ValueId bands = scalar_of(n, 0, DType::kI64), length = scalar_of(n, 1, DType::kI64);
  const auto mel = [&](size_t i) {
    const ValueId log = n.b.op("Log", {op("Add", f(1), op("Div", scalar_of(n, i, DType::kF64), f(700)))});
    return op("Mul", log, f(2595 / std::log(10.0)));
  };
  const ValueId low = mel(3);
  const ValueId step = op("Div", op("Sub", mel(4), low), n.b.cast(op("Add", bands, n.b.i64(2)), DType::kF64));
  // The bin of the edge with number `band`, a whole number.
  const auto edge = [&](ValueId band) {
    const ValueId m = op("Add", op("Mul", band, step), low);
    const ValueId hertz = op("Mul", f(700), op("Sub", op("Pow", f(10), op("Div", m, f(2595))), f(1)));
    const ValueId points = n.b.cast(op("Add", length, n.b.i64(1)), DType::kF64);
    return n.b.op("Floor", {op("Div", op("Mul", points, hertz), scalar_of(n, 2, DType::kF64))});
  };
  const ValueId band = n.b.cast(n.b.op("Range", {n.b.i64(0), bands, n.b.i64(1)}), DType::kF64);
  const ValueId last = op("Add", op("Div", length, n.b.i64(2)), n.b.i64(1));
  const ValueId row = n.b.cast(n.b.op("Range", {n.b.i64(0), last, n.b.i64(1)}), DType::kF64);
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId bin = n.b.reshape(row, {n.b.shape(row)[0], 1});
  const ValueId lower = edge(band), center = edge(op("Add", band, f(1))), higher = edge(op("Add", band, f(2)));
  const ValueId rise = op("Sub", center, lower), fall = op("Sub", higher, center);
  const auto within = [&](ValueId from, const char* below, ValueId to_bin) {
    return op("And", op("GreaterOrEqual", bin, from), op(below, bin, to_bin));
  };
  const ValueId rising = n.b.op(
      "Where", {within(lower, "LessOrEqual", center), op("Div", op("Sub", bin, lower), op("Max", rise, f(1))), f(0)});
  const ValueId left =
      n.b.op("Where", {op("Equal", rise, f(0)), n.b.cast(op("Equal", bin, center), DType::kF64), rising});
  const ValueId y =
      n.b.op("Where", {within(center, "Less", higher), op("Div", op("Sub", higher, bin), op("Max", fall, f(1))), left});
  return n.done(n.b.cast(y, static_cast<DType>(to)));
}

}  // namespace lathe::onnx
