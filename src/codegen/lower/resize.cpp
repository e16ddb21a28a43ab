// SPDX-License-Identifier: Apache-2.0
// Resampling. Nearest: a table of input positions for each resized dimension, and copies of what lies inside them.
// Otherwise one pass a dimension (the filters are separable): each output line is a weighted sum of input lines, whose
// positions and weights are tables. Tables of dimensions known at build time are constants; others are made by a
// kernel.
#include "ops/resize.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

namespace {

struct Table {
  size_t dim = 0;
  Dim in, out;
  int64_t taps = 1;
  BufferId index = kNone, weight = kNone;  ///< [out][taps], i32 and f32
  BufferId fixed = kNone;                  ///< [out] f32 added to the sum: the extrapolation value where outside
  int64_t repeat = 0;                      ///< every input position is taken this many times in turn
};

template <class T>
BufferId constant_table(Lowering& l, const std::vector<T>& values) {
  auto bytes = std::make_shared<std::vector<std::byte>>(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes->data(), values.data(), bytes->size());
  return l.weight(std::move(bytes));
}

/// A table for a dimension that is known when the model runs.
Status runtime_table(Lowering& l, const Node& node, const ops::Resize& op, double scale, Table& t) {
  const bool linear = op.mode == "linear";
  const bool plain = op.coordinate == "half_pixel" || op.coordinate == "asymmetric" ||
                     op.coordinate == "pytorch_half_pixel" || op.coordinate == "tf_half_pixel_for_nn" ||
                     op.coordinate == "align_corners";
  if (!plain || op.antialias || op.exclude_outside || op.mode == "cubic")
    return fail(Code::kUnsupported, "this resampling of the symbolic dimension " + t.in.str() +
                                        " is not generated yet; fix its size with --shape");
  t.taps = linear ? 2 : 1;
  t.index = l.temporary(t.out * Dim(4 * t.taps));
  if (linear) t.weight = l.temporary(t.out * Dim(4 * t.taps));
  Call call;
  call.scalars = Lowering::symbolic({t.in, t.out});
  call.buffers = {t.index, t.weight};
  call.tactic = "table";
  call.kernel = l.kernel("resize_table", call.scalars, [&](Emitter& e) {
    auto& b = e.b;
    const auto f = [&](double v) { return e.constant(DType::kF64, v); };
    Val last = e.sub(e.dim(t.in), e.i64(1));
    e.for_each(e.i64(0), e.dim(t.out), 1, [&](Val i) {
      Val at = b.CreateSIToFP(i, b.getDoubleTy()), in = b.CreateSIToFP(e.dim(t.in), b.getDoubleTy());
      Val out = b.CreateFMul(f(scale), in);
      Val single = b.CreateFCmpOEQ(out, f(1));
      Val x = nullptr;
      if (op.coordinate == "asymmetric")
        x = b.CreateFDiv(at, f(scale));
      else if (op.coordinate == "align_corners")
        x = b.CreateSelect(single, f(0),
                           b.CreateFDiv(b.CreateFMul(at, b.CreateFSub(in, f(1))), b.CreateFSub(out, f(1))));
      else
        x = b.CreateFDiv(b.CreateFAdd(at, f(0.5)), f(scale));
      if (op.coordinate == "half_pixel" || op.coordinate == "pytorch_half_pixel") x = b.CreateFSub(x, f(0.5));
      if (op.coordinate == "pytorch_half_pixel") x = b.CreateSelect(single, f(0), x);
      const auto put = [&](int64_t tap, Val position) {
        Val p = e.imax(e.i64(0), e.imin(b.CreateFPToSI(position, b.getInt64Ty()), last));
        e.store(DType::kI32, b.CreateTrunc(p, b.getInt32Ty()),
                e.at(e.buf(0), e.mul(e.add(e.mul(i, t.taps), e.i64(tap)), 4)));
      };
      const auto rounded = [&](llvm::Intrinsic::ID id, Val v) { return Val(b.CreateUnaryIntrinsic(id, v)); };
      if (!linear) {
        if (op.nearest_mode == "floor")
          x = rounded(llvm::Intrinsic::floor, x);
        else if (op.nearest_mode == "ceil")
          x = rounded(llvm::Intrinsic::ceil, x);
        else if (op.nearest_mode == "round_prefer_ceil")
          x = rounded(llvm::Intrinsic::floor, b.CreateFAdd(x, f(0.5)));
        else
          x = rounded(llvm::Intrinsic::ceil, b.CreateFSub(x, f(0.5)));
        return put(0, x);
      }
      Val low = rounded(llvm::Intrinsic::floor, x), part = b.CreateFSub(x, low);
      put(0, low);
      put(1, b.CreateFAdd(low, f(1)));
      Val at_weight = e.at(e.buf(1), e.mul(i, 8));
      e.store(DType::kF32, b.CreateFPTrunc(b.CreateFSub(f(1), part), b.getFloatTy()), at_weight);
      e.store(DType::kF32, b.CreateFPTrunc(part, b.getFloatTy()), e.at(at_weight, 4));
    });
    e.ret();
  });
  return l.call(node, std::move(call));
}

/// The tables of all resized dimensions.
Result<std::vector<Table>> make_tables(Lowering& l, const Node& node, const ops::Resize& op) {
  const Shape &x = l.shape(node.inputs[0]), &y = l.shape(node.outputs[0]);
  std::vector<Table> tables;
  for (size_t d = 0; d < x.size(); ++d) {
    Table t;
    t.dim = d;
    t.in = x[d];
    t.out = y[d];
    if (!x[d].is_const() || !y[d].is_const()) {
      if (x[d] == y[d] && (op.scales.empty() || op.scales[d] == 1) && op.roi.empty()) continue;
      if (op.scales.empty())
        return fail(Code::kUnsupported, "resizing the symbolic dimension " + x[d].str() +
                                            " to a fixed size is not generated yet; fix it with --shape");
      LATHE_CHECK(runtime_table(l, node, op, op.scales[d], t));
      tables.push_back(t);
      continue;
    }
    const auto taps = op.taps(d, x.size(), x[d].value(), y[d].value());
    if (taps.empty()) continue;
    bool outside = false;
    for (const auto& list : taps) {
      t.taps = std::max(t.taps, static_cast<int64_t>(list.size()));
      outside |= list.empty();
    }
    std::vector<int32_t> index(taps.size() * static_cast<size_t>(t.taps), 0);
    std::vector<float> weight(index.size(), 0), fixed(taps.size(), 0);
    t.repeat =
        y[d].value() % std::max<int64_t>(1, x[d].value()) == 0 ? y[d].value() / std::max<int64_t>(1, x[d].value()) : 0;
    for (size_t i = 0; i < taps.size(); ++i) {
      for (size_t k = 0; k < taps[i].size(); ++k) {
        index[i * static_cast<size_t>(t.taps) + k] = static_cast<int32_t>(taps[i][k].index);
        weight[i * static_cast<size_t>(t.taps) + k] = static_cast<float>(taps[i][k].weight);
      }
      if (taps[i].empty())
        fixed[i] = static_cast<float>(op.extrapolation);
      else if (t.repeat && taps[i][0].index != static_cast<int64_t>(i) / t.repeat)
        t.repeat = 0;
    }
    t.index = constant_table(l, index);
    if (op.mode != "nearest" || outside) t.weight = constant_table(l, weight);
    if (outside) t.fixed = constant_table(l, fixed);
    tables.push_back(t);
  }
  return tables;
}

Dim product_of(const Shape& s, size_t from, size_t to) {
  return product(Shape(s.begin() + static_cast<std::ptrdiff_t>(from), s.begin() + static_cast<std::ptrdiff_t>(to)));
}

/// Elements move, whatever their type.
Status lower_nearest(Lowering& l, const Node& node, const std::vector<Table>& tables, int bytes) {
  const Shape &x = l.shape(node.inputs[0]), &y = l.shape(node.outputs[0]);
  struct Level {
    Dim extent, in_stride, out_stride;
    const Table* table = nullptr;
    int buffer = 0;
  };
  // Untouched dimensions between resized ones are merged; what lies inside the last resized one is a block.
  std::vector<Level> levels;
  Call call;
  call.buffers = {l.buffer(node.inputs[0]), l.buffer(node.outputs[0])};
  size_t done = 0;
  for (const Table& t : tables) {
    const Dim inside_in = product_of(x, t.dim + 1, x.size()), inside_out = product_of(y, t.dim + 1, y.size());
    if (const Dim between = product_of(y, done, t.dim); !between.equals(1))
      levels.push_back({between, t.in * inside_in, t.out * inside_out, nullptr, 0});
    levels.push_back({t.out, inside_in, inside_out, &t, static_cast<int>(call.buffers.size())});
    call.buffers.push_back(t.index);
    done = t.dim + 1;
  }
  const Dim block = product_of(y, done, y.size());
  const Level last = levels.back();
  // Single elements repeated: shuffles of whole vectors.
  const int lanes = bytes == 1 ? 16 : std::min(16, l.target.vector_bits / 8 / std::max(4, bytes));
  const bool repeats = block.equals(1) && last.table->repeat >= 2 && last.table->repeat <= 4;
  const int64_t total = bytes * l.typical(product(y));
  std::vector<Dim> grid{1}, inside;
  int64_t unit = total;
  size_t split = 0;
  for (; split + 1 < levels.size() && unit > kSmallBytes; ++split) {
    grid.push_back(levels[split].extent);
    unit /= std::max<int64_t>(1, l.typical(levels[split].extent));
  }
  for (size_t i = split; i + 1 < levels.size(); ++i) inside.push_back(levels[i].extent);
  std::vector<Dim> dims{block, last.extent};
  for (const Level& v : levels) dims.insert(dims.end(), {v.extent, v.in_stride, v.out_stride});
  call.scalars = Lowering::symbolic(dims);
  call.tasks = product(grid);
  call.tactic = repeats ? "nearest by shuffles" : "nearest";
  call.kernel = l.kernel("resize", call.scalars, [&](Emitter& e) {
    const auto position = [&](const Level& v, Val i) {
      if (!v.table) return i;
      return Val(e.b.CreateZExt(e.load(DType::kI32, e.at(e.buf(v.buffer), e.mul(i, 4))), e.b.getInt64Ty()));
    };
    for_tasks(e, grid, [&](const Vals& task) {
      for_nest(e, inside, [&](const Vals& rest) {
        Val from = e.buf(0), to = e.buf(1);
        for (size_t i = 0; i + 1 < levels.size(); ++i) {
          Val at = i < split ? task[i + 1] : rest[i - split];
          from = e.at(from, e.mul(e.mul(position(levels[i], at), e.dim(levels[i].in_stride)), bytes));
          to = e.at(to, e.mul(e.mul(at, e.dim(levels[i].out_stride)), bytes));
        }
        Val begin = e.i64(0), count = e.dim(last.extent);
        if (repeats) {
          const int64_t times = last.table->repeat;
          const DType type = bits_type(bytes);
          Val whole = e.b.CreateAnd(e.dim(last.table->in), e.i64(-static_cast<int64_t>(lanes)));
          e.for_each(e.i64(0), whole, lanes, [&](Val i) {
            Val v = e.load(type, e.at(from, e.mul(i, bytes)), lanes);
            for (int64_t k = 0; k < times; ++k) {
              std::vector<int> pick;
              for (int j = 0; j < lanes; ++j) pick.push_back(static_cast<int>((k * lanes + j) / times));
              e.store(type, pick_lanes(e, {v}, pick), e.at(to, e.mul(e.add(e.mul(i, times), e.i64(k * lanes)), bytes)));
            }
          });
          begin = e.mul(whole, times);
        }
        e.for_each(begin, count, 1, [&](Val i) {
          Val source = e.at(from, e.mul(e.mul(position(last, i), e.dim(last.in_stride)), bytes));
          emit_copy(e, e.at(to, e.mul(e.mul(i, e.dim(last.out_stride)), bytes)), source, e.dim(block), bytes);
        });
      });
    });
    e.ret();
  });
  return l.call(node, std::move(call));
}

/// One dimension from `in` (shape x) to `out`.
Status lower_pass(Lowering& l, const Node& node, const Table& t, const Shape& x, BufferId in, DType in_type,
                  BufferId out, DType out_type) {
  const Dim outer = product_of(x, 0, t.dim), inner = product_of(x, t.dim + 1, x.size());
  Call call;
  call.buffers = {in, out, t.index, t.weight, t.fixed};
  const int64_t line = 4 * l.typical(inner);
  const bool small = line * l.typical(outer * t.out) <= kSmallBytes;
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / 2 / std::max<int64_t>(1, line));
  const std::vector<Dim> grid{outer, ceil_div(t.out, per_task)};
  call.scalars = Lowering::symbolic({outer, inner, t.in, t.out, grid[1]});
  call.tasks = small ? Dim(1) : product(grid);
  call.tactic = std::to_string(t.taps) + " taps along dimension " + std::to_string(t.dim);
  call.kernel = l.kernel("resize", call.scalars, [&](Emitter& e) {
    Numeric source{e, in_type}, target{e, out_type};
    const auto task = [&](const Vals& at) {
      Val size = e.dim(inner);
      Val from = e.at(e.buf(0), e.mul(e.mul(e.mul(at[0], e.dim(t.in)), size), source.bytes()));
      Val to = e.at(e.buf(1), e.mul(e.mul(e.mul(at[0], e.dim(t.out)), size), target.bytes()));
      Val first = e.mul(at[1], per_task);
      e.for_each(first, e.imin(e.add(first, e.i64(per_task)), e.dim(t.out)), 1, [&](Val i) {
        Vals lines, weights;
        for (int64_t k = 0; k < t.taps; ++k) {
          Val tap = e.mul(e.add(e.mul(i, t.taps), e.i64(k)), 4);
          Val index = e.b.CreateZExt(e.load(DType::kI32, e.at(e.buf(2), tap)), e.b.getInt64Ty());
          lines.push_back(e.at(from, e.mul(e.mul(index, size), source.bytes())));
          weights.push_back(t.weight == kNone ? e.f32(1) : e.load(DType::kF32, e.at(e.buf(3), tap)));
        }
        Val fixed = t.fixed == kNone ? nullptr : e.load(DType::kF32, e.at(e.buf(4), e.mul(i, 4)));
        e.for_vectors(size, e.lanes(), [&](Val c, int n, Val mask) {
          Val acc = fixed ? e.splat(fixed, n) : nullptr;
          for (size_t k = 0; k < lines.size(); ++k) {
            Val v = source.load(e.at(lines[k], e.mul(c, source.bytes())), n, mask), w = e.splat(weights[k], n);
            acc = acc ? e.fma(v, w, acc) : e.b.CreateFMul(v, w);
          }
          target.store(acc, e.at(to, e.mul(e.add(e.mul(i, size), c), target.bytes())), mask);
        });
      });
    };
    if (small)
      for_nest(e, grid, task);
    else
      for_tasks(e, grid, task);
    e.ret();
  });
  return l.call(node, std::move(call));
}

int64_t place_of(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) - names.begin();
}

/// Scales, sizes or roi are inputs: everything is worked out when the model runs.
Status lower_computed(Lowering& l, const Node& node, const ops::Resize& op, bool moves) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const DType type = l.dtype(in);
  if (!moves && type != DType::kF32)
    return fail(Code::kUnsupported,
                op.mode + " resampling of " + std::string(dtype_name(type)) + " is not generated yet");
  const Shape &x = l.shape(in), &y = l.shape(out);
  const auto rank = static_cast<int64_t>(x.size());
  const auto input = [&](size_t i) { return i < node.inputs.size() ? l.buffer(node.inputs[i]) : kNone; };
  const BufferId scaling = l.temporary(24 * rank);
  const int64_t mode = place_of(op.mode, {"nearest", "linear", "cubic"});
  SizesCall sizes{"lathe_resize_sizes",
                  {input(1), input(2), input(3), scaling},
                  {rank, mode, op.antialias ? 1 : 0},
                  {x},
                  size_symbols(l, node)};
  std::vector<Table> tables;
  for (size_t d = 0; d < x.size(); ++d) {
    const Dim taps = local_symbol(node, "taps", d);
    sizes.symbols.push_back(taps.symbol_name());
    tables.push_back({d, x[d], y[d]});
  }
  LATHE_CHECK(lower_sizes(l, node, std::move(sizes)));
  std::vector<Dim> taps;
  for (Table& t : tables) {
    taps.push_back(moves ? Dim(1) : local_symbol(node, "taps", t.dim));
    t.index = l.temporary(t.out * taps.back() * Dim(4));
    if (!moves) {
      t.weight = l.temporary(t.out * taps.back() * Dim(4));
      t.fixed = l.temporary(t.out * Dim(4));
    }
    const std::vector<Dim> arguments{
        static_cast<int64_t>(t.dim),
        t.in,
        t.out,
        taps.back(),
        mode,
        place_of(op.coordinate, {"half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners",
                                 "tf_crop_and_resize", "tf_half_pixel_for_nn", "half_pixel_symmetric"}),
        place_of(op.nearest_mode, {"floor", "ceil", "round_prefer_ceil"}),
        std::bit_cast<int64_t>(op.cubic_coeff_a),
        op.exclude_outside ? 1 : 0,
        op.antialias ? 1 : 0,
        std::bit_cast<int64_t>(op.extrapolation)};
    Call call;
    call.scalars = Lowering::symbolic(arguments);
    call.buffers = {scaling, t.index, t.weight, t.fixed};
    call.kernel = l.longtail_kernel("lathe_resize_table", call.scalars, arguments);
    call.tactic = "table";
    LATHE_CHECK(l.call(node, std::move(call)));
  }
  if (moves) return lower_nearest(l, node, tables, dtype_bits(type) / 8);
  Shape shape = x;
  BufferId from = l.buffer(in);
  for (size_t i = 0; i < tables.size(); ++i) {
    const Table& t = tables[i];
    Shape next = shape;
    next[t.dim] = t.out;
    const BufferId to = i + 1 == tables.size() ? l.buffer(out) : l.temporary(product(next) * Dim(4));
    const std::vector<Dim> arguments{t.in, t.out, product_of(shape, t.dim + 1, shape.size()), taps[i]};
    Call call;
    call.scalars = Lowering::symbolic(arguments);
    call.buffers = {from, t.index, t.weight, t.fixed, to};
    call.tasks = product_of(shape, 0, t.dim) * t.out;
    call.kernel = l.longtail_kernel("lathe_resize_pass", call.scalars, arguments);
    call.tactic = "pass along dimension " + std::to_string(t.dim);
    LATHE_CHECK(l.call(node, std::move(call)));
    shape = next;
    from = to;
  }
  return {};
}

}  // namespace

Status lower_resize(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Resize>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const DType type = lowering.dtype(in);
  const bool nearest = op.mode == "nearest" && op.coordinate != "tf_crop_and_resize";
  if (node.inputs.size() > 1 && !lowering.shape(in).empty()) return lower_computed(lowering, node, op, nearest);
  if (nearest)
    LATHE_CHECK(element_bytes(type));
  else if (type != DType::kF32 && type != DType::kF16 && type != DType::kBF16)
    return fail(Code::kUnsupported,
                op.mode + " resampling of " + std::string(dtype_name(type)) + " is not generated yet");
  if (op.aspect_policy != "stretch")
    return fail(Code::kUnsupported, "keep_aspect_ratio_policy \"" + op.aspect_policy + "\" is not generated yet");
  if (product(lowering.shape(out)).equals(0)) return {};
  LATHE_TRY(const std::vector<Table> tables, make_tables(lowering, node, op));
  if (tables.empty()) {
    lowering.alias(out, in);
    return {};
  }
  if (nearest) return lower_nearest(lowering, node, tables, dtype_bits(type) / 8);
  Shape shape = lowering.shape(in);
  BufferId from = lowering.buffer(in);
  DType from_type = type;
  for (size_t i = 0; i < tables.size(); ++i) {
    const bool last = i + 1 == tables.size();
    Shape next = shape;
    next[tables[i].dim] = tables[i].out;
    const BufferId to = last ? lowering.buffer(out) : lowering.temporary(product(next) * Dim(4));
    LATHE_CHECK(lower_pass(lowering, node, tables[i], shape, from, from_type, to, last ? type : DType::kF32));
    shape = next;
    from = to;
    from_type = DType::kF32;
  }
  return {};
}

}  // namespace lathe::codegen
