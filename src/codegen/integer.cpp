// SPDX-License-Identifier: Apache-2.0
#include "codegen/integer.h"

#include <algorithm>
#include <cstring>

#include "codegen/blocks.h"
#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kElementsPerTask = 16384;

/// Runs body(i, lanes) over [0, count), `width` elements at a time, then 8, then single ones.
void in_runs(Emitter& e, Val count, int width, const std::function<void(Val, int)>& body) {
  Val from = e.i64(0);
  for (const int lanes : {width, 8, 1}) {
    if (lanes > width || (lanes == 8 && width == 8)) continue;
    Val to = lanes == 1 ? count : e.add(from, e.mul(e.div(e.sub(count, from), e.i64(lanes)), lanes));
    e.for_each(from, to, lanes, [&](Val i) { body(i, lanes); });
    from = to;
  }
}

/// How elements of `v` get into the steps of a contraction.
struct Conversion {
  DType from;
  int64_t zero;
  Steps steps;
  bool flip;
  int64_t fill;  ///< what padding holds

  static Conversion of(const Lowering& lowering, const Products& p, ValueId v) {
    const bool left = v == p.x;
    return {lowering.dtype(v), left ? p.x_zero : p.w_zero, p.steps, left && p.flip,
            p.steps == Steps::kQuads && left ? p.offset : 0};
  }
  [[nodiscard]] int bytes() const { return steps == Steps::kQuads ? 1 : 2; }
  [[nodiscard]] DType to() const { return steps == Steps::kQuads ? DType::kI8 : DType::kI16; }
  [[nodiscard]] int width(const Target& t) const { return t.vector_bits / 8 / bytes(); }
  Val load(Emitter& e, Val p, int n) const {
    Val x = e.load(from, p, n);
    if (steps == Steps::kQuads) return flip ? e.b.CreateXor(x, e.constant_int(DType::kI8, -128, n)) : x;
    x = e.b.CreateIntCast(x, e.vec(DType::kI16, n), dtype_info(from).is_signed);
    return zero ? e.b.CreateSub(x, e.constant_int(DType::kI16, zero, n)) : x;
  }
};

/// Pixels of groups × k elements become pixels of groups × length(k) steps.
struct PixelCopy {
  Emitter& e;
  Conversion c;
  int64_t groups;
  Dim k;

  [[nodiscard]] int64_t per() const { return per_step(c.steps); }
  [[nodiscard]] bool whole() const { return k.is_const() && k.value() % per() == 0; }
  Val in_bytes() { return e.mul(e.dim(k), groups); }
  Val steps() { return e.mul(e.div(e.add(e.dim(k), e.i64(per() - 1)), e.i64(per())), groups); }

  void elements(Val to, Val from, Val count) {
    in_runs(e, count, c.width(e.target),
            [&](Val i, int n) { e.store(c.to(), c.load(e, e.at(from, i), n), e.at(to, e.mul(i, c.bytes()))); });
  }
  void pixels(Val to, Val from, Val count) {
    if (whole()) return elements(to, from, e.mul(count, in_bytes()));
    Val length = e.mul(e.div(e.add(e.dim(k), e.i64(per() - 1)), e.i64(per())), 4);
    e.for_each(e.i64(0), e.mul(count, groups), 1,
               [&](Val i) { channels(e.at(to, e.mul(i, length)), e.at(from, e.mul(i, e.dim(k)))); });
  }
  void channels(Val to, Val from) {
    const auto known = k.as_const();
    if (known && *known <= 8) {
      for (int64_t j = 0; j < *known; ++j) e.store(c.to(), c.load(e, e.at(from, j), 1), e.at(to, j * c.bytes()));
    } else {
      elements(to, from, e.dim(k));
    }
    Val end = e.mul(e.div(e.add(e.dim(k), e.i64(per() - 1)), e.i64(per())), per());
    e.for_each(e.dim(k), end, 1,
               [&](Val j) { e.store(c.to(), e.constant_int(c.to(), 0), e.at(to, e.mul(j, c.bytes()))); });
  }
  void padding(Val to, Val count) {
    emit_fill(e, to, e.b.getIntN(static_cast<unsigned>(8 * c.bytes()), static_cast<uint64_t>(c.fill)),
              e.mul(count, e.mul(steps(), per())), c.bytes());
  }
};

Result<BufferId> call_copy(Lowering& lowering, const Node& node, const Conversion& c, ValueId v, const Dim& images,
                           const std::vector<Padded>& spatial, int64_t groups, const Dim& k) {
  Dim pixels_in = images, pixels_out = images;
  bool pads = false;
  std::vector<Dim> dims = {k, images};
  for (const Padded& s : spatial) {
    pixels_in = pixels_in * s.extent;
    pixels_out = pixels_out * (s.extent + Dim(s.before + s.after));
    pads |= s.before || s.after;
    dims.push_back(s.extent);
  }
  dims.push_back(pixels_in);
  const Dim bytes = pixels_out * Dim(groups) * ceil_div(k, per_step(c.steps)) * 4;
  Call call;
  std::vector<Dim> rows = {images};
  if (pads)
    for (size_t d = 0; d + 1 < spatial.size(); ++d)
      rows.push_back(spatial[d].extent + Dim(spatial[d].before + spatial[d].after));
  const int64_t block = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, lowering.typical(k) * groups));
  call.tasks = pads ? product(Shape(rows.begin(), rows.end())) : ceil_div(pixels_in, block);
  dims.insert(dims.end(), rows.begin(), rows.end());
  call.scalars = Lowering::symbolic(dims);
  call.kernel = lowering.kernel("arrange", call.scalars, [&](Emitter& e) {
    PixelCopy copy{e, c, groups, k};
    Val source = e.buf(0), target = e.buf(1), step_bytes = e.mul(copy.steps(), 4);
    if (!pads) {
      e.for_each(e.begin(), e.end(), 1, [&](Val task) {
        Val first = e.mul(task, block);
        copy.pixels(e.at(target, e.mul(first, step_bytes)), e.at(source, e.mul(first, copy.in_bytes())),
                    e.imin(e.sub(e.dim(pixels_in), first), e.i64(block)));
      });
    } else {
      const Padded& last = spatial.back();
      Val width = e.dim(last.extent), padded = e.add(width, e.i64(last.before + last.after));
      for_tasks(e, rows, [&](const Vals& at) {
        Val inside = e.b.getTrue(), from = at[0], row = at[0];
        for (size_t d = 0; d + 1 < spatial.size(); ++d) {
          Val y = e.sub(at[d + 1], e.i64(spatial[d].before));
          inside = e.b.CreateAnd(inside, e.b.CreateICmpULT(y, e.dim(spatial[d].extent)));
          from = e.add(e.mul(from, e.dim(spatial[d].extent)), y);
          row = e.add(e.mul(row, e.dim(rows[d + 1])), at[d + 1]);
        }
        Val to = e.at(target, e.mul(e.mul(row, padded), step_bytes));
        e.if_else(
            inside,
            [&] {
              copy.padding(to, e.i64(last.before));
              Val middle = e.at(to, e.mul(step_bytes, last.before));
              copy.pixels(middle, e.at(source, e.mul(e.mul(from, width), copy.in_bytes())), width);
              copy.padding(e.at(middle, e.mul(step_bytes, width)), e.i64(last.after));
              return Vals{};
            },
            [&] {
              copy.padding(to, padded);
              return Vals{};
            });
      });
    }
    e.ret();
  });
  const BufferId out = lowering.temporary(bytes);
  call.buffers = {lowering.buffer(v), out};
  call.tactic = "arrange";
  call.flops = 1;  // data movement, not the operator's own work
  LATHE_CHECK(lowering.call(node, std::move(call)));
  return out;
}

Result<BufferId> call_widen(Lowering& lowering, const Node& node, ValueId v, int64_t zero, DType to) {
  const DType from = lowering.dtype(v);
  const Dim count = product(lowering.shape(v));
  const int64_t in_size = dtype_bits(from) / 8, out_size = dtype_bits(to) / 8;
  Call call;
  call.scalars = Lowering::symbolic({count});
  call.kernel = lowering.kernel("widen", call.scalars, [&](Emitter& e) {
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val first = e.mul(task, kElementsPerTask);
      Val n = e.imin(e.sub(e.dim(count), first), e.i64(kElementsPerTask));
      Val source = e.at(e.buf(0), e.mul(first, in_size)), target = e.at(e.buf(1), e.mul(first, out_size));
      in_runs(e, n, e.target.vector_bits / dtype_bits(to), [&](Val i, int lanes) {
        Val x = e.load(from, e.at(source, e.mul(i, in_size)), lanes);
        x = e.b.CreateIntCast(x, e.vec(to, lanes), dtype_info(from).is_signed);
        e.store(to, e.b.CreateSub(x, e.constant_int(to, zero, lanes)), e.at(target, e.mul(i, out_size)));
      });
    });
    e.ret();
  });
  const BufferId wide = lowering.temporary(count * Dim(out_size));
  call.buffers = {lowering.buffer(v), wide};
  call.tasks = ceil_div(count, kElementsPerTask);
  call.tactic = "widen";
  call.flops = 1;
  LATHE_CHECK(lowering.call(node, std::move(call)));
  return wide;
}

/// Operand `v` of plain steps.
Result<Operand> plain_operand(Lowering& lowering, const Node& node, const Products& p, ValueId v) {
  const auto& constant = lowering.value(v).constant;
  if (!p.integers) return Operand{constant, v};
  const int64_t zero = v == p.x ? p.x_zero : p.w_zero;
  if (constant) return Operand{ops::wrapped(ops::centred(*constant, zero), p.sum)};
  LATHE_TRY(const BufferId wide, call_widen(lowering, node, v, zero, p.sum));
  return Operand{std::nullopt, kNoId, wide};
}

bool fits_signed_bytes(const Tensor& w, int64_t zero) {
  const auto bytes = w.bytes();
  const bool is_signed = dtype_info(w.dtype()).is_signed;
  return std::ranges::all_of(bytes, [&](std::byte b) {
    const auto raw = std::to_integer<uint8_t>(b);
    const int64_t v = (is_signed ? int64_t{static_cast<int8_t>(raw)} : int64_t{raw}) - zero;
    return v >= -128 && v <= 127;
  });
}

}  // namespace

BufferId Operand::memory(Lowering& lowering) const {
  if (value != kNoId) return lowering.buffer(value);
  if (!constant) return computed;
  const auto bytes = constant->bytes();
  return lowering.weight(std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end()));
}

Products choose_products(const Lowering& lowering, ValueId x, ValueId w, int64_t x_zero, int64_t w_zero,
                         bool corrects) {
  Products p{.x = x, .w = w, .x_zero = x_zero, .w_zero = w_zero, .weights = lowering.value(w).constant};
  const DType x_type = lowering.dtype(x);
  p.sum = ops::sum_type(x_type, lowering.dtype(w));
  p.integers = ops::is_small_integer(x_type);
  if (!p.integers || p.sum != DType::kI32) return p;
  p.steps = Steps::kPairs;
  const Dot8 dot8 = lowering.target.dot8;
  if (dot8 == Dot8::kNone || !p.weights || !fits_signed_bytes(*p.weights, w_zero)) return p;
  const bool is_signed = dtype_info(x_type).is_signed;
  const bool flip = is_signed != (dot8 == Dot8::kSignedBySigned);
  const int64_t offset = x_zero + (!flip ? 0 : is_signed ? 128 : -128);
  if (offset != 0 && !corrects) return p;
  p.steps = Steps::kQuads;
  p.flip = flip;
  p.offset = offset;
  return p;
}

Result<Operand> image_operand(Lowering& lowering, const Node& node, const Products& p, const Dim& images,
                              const std::vector<Padded>& spatial, int64_t groups, const Dim& k, bool copies) {
  if (p.steps == Steps::kPlain) return plain_operand(lowering, node, p, p.x);
  if (!copies) return Operand{std::nullopt, p.x};
  LATHE_TRY(const BufferId b,
            call_copy(lowering, node, Conversion::of(lowering, p, p.x), p.x, images, spatial, groups, k));
  return Operand{std::nullopt, kNoId, b};
}

Result<Operand> weight_operand(Lowering& lowering, const Node& node, const Products& p, const Dim& rows, const Dim& k) {
  if (p.steps == Steps::kPlain) return plain_operand(lowering, node, p, p.w);
  if (!p.weights) {
    LATHE_TRY(const BufferId b, call_copy(lowering, node, Conversion::of(lowering, p, p.w), p.w, rows, {}, 1, k));
    return Operand{std::nullopt, kNoId, b};
  }
  const Tensor w = ops::centred(*p.weights, p.w_zero);
  const auto from = w.as<int64_t>();
  const int64_t n = k.value(), steps = p.length(k).value(), per = per_step(p.steps), count = n ? w.count() / n : 0;
  Tensor packed = Tensor::zeros(DType::kI32, {count, steps});
  const auto put = [&]<class T>(T* to) {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < n; ++i) to[r * steps * per + i] = static_cast<T>(from[static_cast<size_t>(r * n + i)]);
  };
  if (p.steps == Steps::kQuads)
    put(reinterpret_cast<int8_t*>(packed.mutable_bytes().data()));
  else
    put(reinterpret_cast<int16_t*>(packed.mutable_bytes().data()));
  return Operand{packed};
}

Result<Operand> interleaved_operand(Lowering& lowering, const Node& node, const Products& p, ValueId v,
                                    const Dim& images, const Dim& k, const Dim& columns) {
  if (p.steps == Steps::kPlain) return plain_operand(lowering, node, p, v);
  const Conversion c = Conversion::of(lowering, p, v);
  const Dim steps = p.length(k);
  Call call;
  call.scalars = Lowering::symbolic({k, columns, steps, images});
  call.kernel = lowering.kernel("interleave", call.scalars, [&](Emitter& e) {
    Val n = e.dim(columns), depth = e.dim(k);
    for_tasks(e, {images, steps}, [&](const Vals& at) {
      Val first = e.mul(at[1], 2);
      Val upper = e.at(e.buf(0), e.mul(e.add(e.mul(at[0], depth), first), n));
      Val to = e.at(e.buf(1), e.mul(e.mul(e.add(e.mul(at[0], e.dim(steps)), at[1]), n), 4));
      const auto row = [&](bool both) {
        in_runs(e, n, c.width(e.target), [&](Val i, int lanes) {
          Val x = c.load(e, e.at(upper, i), lanes);
          Val y = both ? c.load(e, e.at(upper, e.add(n, i)), lanes) : e.constant_int(DType::kI16, 0, lanes);
          Val place = e.at(to, e.mul(i, 4));
          if (lanes == 1) {
            e.store(DType::kI16, x, place);
            e.store(DType::kI16, y, e.at(place, 2));
            return;
          }
          std::vector<int> from;
          for (int l = 0; l < lanes; ++l) from.insert(from.end(), {l, lanes + l});
          e.store(DType::kI16, e.b.CreateShuffleVector(x, y, from), place);
        });
        return Vals{};
      };
      e.if_else(
          e.b.CreateICmpSLT(e.add(first, e.i64(1)), depth), [&] { return row(true); }, [&] { return row(false); });
    });
    e.ret();
  });
  const BufferId out = lowering.temporary(images * steps * columns * 4);
  call.buffers = {lowering.buffer(v), out};
  call.tasks = images * steps;
  call.tactic = "interleave";
  call.flops = 1;
  LATHE_CHECK(lowering.call(node, std::move(call)));
  return Operand{std::nullopt, kNoId, out};
}

BufferId corrected_bias(Lowering& lowering, const Products& p, ValueId bias, const Dim& rows) {
  if (p.steps != Steps::kQuads || p.offset == 0) return lowering.buffer(bias);
  const Tensor w = ops::centred(*p.weights, p.w_zero);
  const auto from = w.as<int64_t>();
  const int64_t count = rows.value(), length = count ? w.count() / count : 0;
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count) * sizeof(int32_t));
  for (int64_t r = 0; r < count; ++r) {
    int64_t sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += from[static_cast<size_t>(r * length + i)];
    const int64_t old = bias == kNoId ? 0 : lowering.value(bias).constant->i64_at(r);
    const auto value = static_cast<uint32_t>(old - p.offset * sum);
    std::memcpy(bytes->data() + r * 4, &value, sizeof value);
  }
  return lowering.weight(std::move(bytes));
}

}  // namespace lathe::codegen
