// SPDX-License-Identifier: Apache-2.0
#include "codegen/channelwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

struct Shape2 {
  int lanes;           ///< output channels of a vector
  int inputs;          ///< input channels they read
  int64_t k, columns;  ///< per group
  int64_t channels;    ///< all output channels
  [[nodiscard]] int64_t vectors() const { return (channels + lanes - 1) / lanes; }
  /// First channel of vector v: the last one moves back to end with the channels.
  [[nodiscard]] int64_t first(int64_t v) const { return std::max<int64_t>(0, std::min(v * lanes, channels - lanes)); }
};

Shape2 shape_of(const Target& t, const Contraction& c) {
  const int lanes = t.vector_bits / dtype_bits(c.dtype);
  const int64_t k = c.k.value(), columns = c.columns.value();
  return {lanes, static_cast<int>(lanes / columns * k), k, columns, columns * c.groups};
}

class Generator {
 public:
  Generator(Emitter& emitter, const Contraction& contraction, const Schedule& schedule, const Epilogue& epi,
            DType a_dtype, int64_t a_zero, DType w_dtype)
      : e(emitter),
        c(contraction),
        s(schedule),
        epilogue(epi),
        shape(shape_of(e.target, c)),
        size(dtype_bits(c.dtype) / 8),
        a_type(a_dtype),
        w_type(w_dtype),
        zero(a_zero),
        a_size(dtype_bits(a_dtype) / 8),
        w_size(dtype_bits(w_dtype) / 8) {}

  void run() {
    a_x_ = e.dim(c.a_x);
    Val lines = e.dim(c.lines()), blocks = e.dim(ceil_div(c.lines(), s.row_block)), x_in = e.dim(c.x.in),
        x_out = e.dim(c.x.out);
    Val image_bytes = c.images.empty() ? e.i64(0) : e.dim(c.images[0].a), out_image = e.dim(c.out_image),
        out_first = e.dim(c.out_first);
    std::vector<std::array<Val, 4>> outer;
    for (size_t i = 0; i < c.outer.size(); ++i)
      outer.push_back({e.dim(c.outer[i].in), e.dim(c.outer[i].out), e.dim(c.a_outer[i]), e.dim(c.out_outer[i])});
    for (const auto& o : outer) outer_step_.push_back(o[2]);
    if (c.long_epilogue) spill_ = e.alloca_bytes(int64_t{s.rows} * shape.lanes * size);
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      Val block = e.rem(task, blocks), image = e.div(task, blocks);
      Val a_image = e.at(e.buf(0), e.mul(image, image_bytes)), row_image = e.add(out_first, e.mul(image, out_image));
      Val begin = e.mul(block, s.row_block);
      e.for_each(begin, e.imin(e.add(begin, e.i64(s.row_block)), lines), 1, [&](Val line) {
        Val a = a_image, row = row_image, rest = line;
        std::vector<Taps> taps(c.outer.size());
        for (size_t i = c.outer.size(); i-- > 0;) {
          Val at = i == 0 ? rest : e.rem(rest, outer[i][1]);
          if (i) rest = e.div(rest, outer[i][1]);
          a = e.at(a, e.mul(e.sub(e.mul(at, c.outer[i].stride), e.i64(c.outer[i].pad)), outer[i][2]));
          row = e.add(row, e.mul(at, outer[i][3]));
          taps[i] = clip_taps(e, c.outer[i], at, outer[i][0]);
        }
        walk_line(e, c.x, s.rows, e.i64(0), x_out, x_in, [&](const Site& site) { tile(site, a, row, taps); });
      });
    });
    e.ret();
  }

 private:
  void tile(const Site& site, Val a_line, Val row_line, const std::vector<Taps>& taps) {
    Val a_site = e.at(a_line, e.mul(e.sub(e.mul(site.x, c.x.stride), e.i64(c.x.pad)), a_x_));
    Val row0 = e.add(row_line, e.mul(site.x, c.out_x));
    const int64_t vector_bytes = int64_t{c.taps()} * shape.k * shape.lanes * w_size;
    Val mask = shape.channels < shape.lanes ? e.lane_mask(e.i64(shape.channels), shape.lanes) : nullptr;
    e.for_each(e.i64(0), e.i64(shape.vectors()), 1, [&](Val v) {
      Val column = e.mul(v, shape.lanes);
      if (shape.channels % shape.lanes && !mask) column = e.imin(column, e.i64(shape.channels - shape.lanes));
      if (mask) column = e.i64(0);
      Val a = e.at(a_site, shape.k == shape.columns ? e.mul(column, a_size)
                                                    : e.mul(e.div(column, e.i64(shape.columns)), shape.k * a_size));
      Val w = e.at(e.buf(1), e.mul(v, vector_bytes));
      Val start = c.bias ? e.load(c.dtype, e.at(e.buf(2), e.mul(column, size)), shape.lanes, mask)
                         : e.constant(c.dtype, 0, shape.lanes);
      const Vals cached = epilogue.column_values(e, 4, column, shape.lanes, mask);
      finish(site, row0, column, mask, cached,
             outer_taps(site, taps, 0, a, w, Vals(static_cast<size_t>(site.rows), start)));
    });
  }

  Vals outer_taps(const Site& site, const std::vector<Taps>& taps, size_t axis, Val a, Val w, Vals acc) {
    if (axis == taps.size()) return line_taps(site, a, w, std::move(acc));
    int64_t below = c.x.kernel;
    for (size_t i = axis + 1; i < taps.size(); ++i) below *= c.outer[i].kernel;
    Val step = e.mul(outer_step_[axis], c.outer[axis].dilation);
    return e.loop(taps[axis].lo, taps[axis].hi, 1, std::move(acc), [&](Val tap, const Vals& in) {
      return outer_taps(site, taps, axis + 1, e.at(a, e.mul(tap, step)), e.at(w, e.mul(tap, below * tap_bytes())), in);
    });
  }

  [[nodiscard]] int64_t tap_bytes() const { return shape.k * shape.lanes * w_size; }

  Vals line_taps(const Site& site, Val a, Val w, Vals acc) {
    const bool known =
        std::all_of(site.runs.begin(), site.runs.end(), [](const Site::Run& r) { return r.count.has_value(); });
    if (!known || s.unroll == 1) {  // one tap at a time
      for (const Site::Run& run : site.runs)
        acc = e.loop(run.taps.lo, run.taps.hi, 1, std::move(acc), [&](Val tap, Vals in) {
          Val from = e.at(a, e.mul(e.mul(a_x_, c.x.dilation), tap)), weights = e.at(w, e.mul(tap, tap_bytes()));
          for (int64_t j = 0; j < shape.k; ++j) {
            Val y = weight(weights, j);
            for (int m = 0; m < site.rows; ++m) {
              if (!run.rows.empty() && !run.rows[static_cast<size_t>(m)]) continue;
              Val x = spread(load_inputs(e.at(from, e.mul(a_x_, m * c.x.stride))), j);
              in[static_cast<size_t>(m)] = muladd(x, y, in[static_cast<size_t>(m)]);
            }
          }
          return in;
        });
      return acc;
    }
    // All taps at once, input by input. Rows of acc that each tap serves:
    std::vector<std::vector<bool>> serves(static_cast<size_t>(c.x.kernel),
                                          std::vector<bool>(static_cast<size_t>(site.rows), false));
    for (const Site::Run& run : site.runs) {
      const int64_t lo = llvm::cast<llvm::ConstantInt>(run.taps.lo)->getSExtValue();
      for (int64_t t = lo; t < lo + *run.count; ++t)
        serves[static_cast<size_t>(t)] =
            run.rows.empty() ? std::vector<bool>(static_cast<size_t>(site.rows), true) : run.rows;
    }
    Vals weights(static_cast<size_t>(c.x.kernel * shape.k), nullptr);
    for (int64_t q = 0; q <= (site.rows - 1) * c.x.stride + c.x.reach(); ++q) {
      Val input = nullptr;
      Vals spreads(static_cast<size_t>(shape.k), nullptr);
      for (int64_t t = 0; t < c.x.kernel; ++t) {
        const int64_t at = q - t * c.x.dilation;
        if (at < 0 || at % c.x.stride || at / c.x.stride >= site.rows) continue;
        const auto m = static_cast<size_t>(at / c.x.stride);
        if (!serves[static_cast<size_t>(t)][m]) continue;
        if (!input) input = load_inputs(e.at(a, e.mul(a_x_, q)));
        for (int64_t j = 0; j < shape.k; ++j) {
          Val& y = weights[static_cast<size_t>(t * shape.k + j)];
          Val& x = spreads[static_cast<size_t>(j)];
          if (!y) y = weight(e.at(w, t * tap_bytes()), j);
          if (!x) x = spread(input, j);
          acc[m] = muladd(x, y, acc[m]);
        }
      }
    }
    return acc;
  }

  Val weight(Val w, int64_t j) {
    return widened(w_type, e.load_aligned(w_type, e.at(w, j * shape.lanes * w_size), shape.lanes, shape.lanes * w_size),
                   shape.lanes);
  }

  [[nodiscard]] bool fp() const { return dtype_info(c.dtype).is_float; }
  Val muladd(Val x, Val y, Val z) { return fp() ? e.fma(x, y, z) : e.b.CreateAdd(z, e.b.CreateMul(x, y)); }
  Val widened(DType from, Val v, int n) {
    return fp() ? v : e.b.CreateIntCast(v, e.vec(c.dtype, n), dtype_info(from).is_signed);
  }

  Val load_inputs(Val p) {
    Val mask = shape.channels < shape.lanes ? e.lane_mask(e.i64(shape.channels / shape.columns * shape.k), shape.inputs)
                                            : nullptr;
    Val v = widened(a_type, e.load(a_type, p, shape.inputs, mask), shape.inputs);
    return zero ? e.b.CreateSub(v, e.constant_int(c.dtype, zero, shape.inputs)) : v;
  }

  /// Input channel j of each lane's group.
  Val spread(Val inputs, int64_t j) {
    if (shape.k == 1 && shape.columns == 1) return inputs;
    if (shape.inputs == 1) return e.splat(inputs, shape.lanes);
    std::vector<int> from;
    for (int l = 0; l < shape.lanes; ++l) from.push_back(static_cast<int>(l / shape.columns * shape.k + j));
    return e.b.CreateShuffleVector(inputs, from);
  }

  void finish(const Site& site, Val row0, Val column, Val mask, const Vals& cached, const Vals& acc) {
    const DType result = epilogue.result();
    const int64_t out_size = dtype_bits(result) / 8;
    const int64_t pitch = shape.channels * out_size;
    Val out = e.at(e.buf(3), e.add(e.mul(row0, pitch), e.mul(column, out_size)));
    const auto store = [&](Val m, Val v) {
      Val offset = e.mul(m, c.out_x);
      v = epilogue.apply(e, 4, v, e.add(row0, offset), column, shape.lanes, mask, &cached);
      e.store(result, v, e.at(out, e.mul(offset, pitch)), mask);
    };
    if (!c.long_epilogue || site.rows == 1) {
      for (int m = 0; m < site.rows; ++m) store(e.i64(m), acc[static_cast<size_t>(m)]);
      return;
    }
    const int64_t bytes = int64_t{shape.lanes} * size;
    for (size_t i = 0; i < acc.size(); ++i) e.store(c.dtype, acc[i], e.at(spill_, static_cast<int64_t>(i) * bytes));
    e.for_each(e.i64(0), e.i64(site.rows), 1,
               [&](Val m) { store(m, e.load(c.dtype, e.at(spill_, e.mul(m, bytes)), shape.lanes)); });
  }

  Emitter& e;
  const Contraction& c;
  const Schedule& s;
  const Epilogue& epilogue;
  const Shape2 shape;
  const int size;
  const DType a_type, w_type;
  const int64_t zero;
  const int a_size, w_size;
  Val a_x_ = nullptr, spill_ = nullptr;
  Vals outer_step_;
};

Schedule choose(const Lowering& lowering, const Contraction& c, const Shape2& shape) {
  const Target& target = lowering.target;
  const ContractionSize n = typical_size(lowering, c);
  const int64_t taps = c.x.kernel * shape.k;
  int64_t outer_taps = 1;
  for (const Axis& a : c.outer) outer_taps *= a.kernel;
  Schedule best;
  for (int rows = 1; rows <= 16; ++rows) {
    if (rows > n.x && c.x.out.is_const()) break;
    // Integers have no fused multiply-add: products need a register, and so does the zero point.
    const bool integers = !dtype_info(c.dtype).is_float;
    const bool at_once = rows + taps + 2 + (shape.k > 1) + 2 * integers <= target.vector_registers;
    if (!at_once && rows > target.vector_registers / 2) break;
    const auto tile = [&](int m) {
      const double fma = static_cast<double>(m * taps) / 2;
      const double inputs =
          at_once ? static_cast<double>((m - 1) * c.x.stride + c.x.reach() + 1) : static_cast<double>(m * c.x.kernel);
      const double loads =
          (inputs + static_cast<double>(taps)) / 2 + (shape.columns > 1 ? inputs * static_cast<double>(shape.k) : 0);
      return static_cast<double>(outer_taps) *
                 (std::max({fma, loads, 4.0 * static_cast<double>(taps) * (m < 8 ? 8.0 - m : 0) / 16}) + 3) +
             m * 2 + 12;
    };
    const Tiles tiles = line_tiles(n.x, rows, c.x.out.is_const());
    double cycles = tile(rows) * static_cast<double>(tiles.whole);
    for (const int m : tiles.rest) cycles += tile(m);
    cycles *= static_cast<double>(n.lines * shape.vectors());
    if (best.cycles != 0 && cycles >= best.cycles) continue;
    best.rows = rows;
    best.unroll = at_once ? 2 : 1;
    best.cycles = cycles;
  }
  best.vectors = 1;
  best.cycles += c.epilogue_work / 2 * static_cast<double>(n.lines * n.x * shape.vectors());
  // Tasks: blocks of lines; few enough that rows shared by neighbours are not read too often.
  const int threads = std::max(1, lowering.options.threads_hint);
  double best_cost = 0;
  for (int64_t parts = 1; parts <= std::min<int64_t>(n.lines, 64); ++parts) {
    const int64_t block = (n.lines + parts - 1) / parts;
    const auto tasks = static_cast<double>(n.images * ((n.lines + block - 1) / block));
    const double task = best.cycles * static_cast<double>(block) / static_cast<double>(n.lines) + 600;
    const double cost = std::ceil(tasks / threads) * task + (tasks > 1 ? kUneven * task + kWakeOverhead : 0);
    if (best_cost != 0 && cost >= best_cost) continue;
    best_cost = cost;
    best.row_block = block;
  }
  return best;
}

std::vector<int64_t> tap_offsets(const PackSource& s) {
  std::vector<int64_t> r = {s.first.value()};
  for (const auto& level : s.taps) {
    std::vector<int64_t> next;
    for (const int64_t at : r)
      for (int64_t i = 0; i < level.extent.value(); ++i) next.push_back(at + i * level.stride.value());
    r = std::move(next);
  }
  return r;
}

/// [vector][tap][j][lane]
std::shared_ptr<const std::vector<std::byte>> pack_channelwise(const PackSource& s, const Tensor& weights,
                                                               const Shape2& shape) {
  const auto taps = tap_offsets(s);
  const auto size = static_cast<size_t>(dtype_bits(s.dtype) / 8);
  auto out = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(shape.vectors()) * taps.size() *
                                                      static_cast<size_t>(shape.k * shape.lanes) * size);
  std::byte* to = out->data();
  for (int64_t v = 0; v < shape.vectors(); ++v)
    for (const int64_t tap : taps)
      for (int64_t j = 0; j < shape.k; ++j)
        for (int l = 0; l < shape.lanes; ++l, to += size) {
          const int64_t channel = shape.first(v) + l;
          if (channel >= shape.channels) continue;
          const int64_t at = tap + channel / shape.columns * s.group_stride.value() +
                             channel % shape.columns * s.column_stride.value() + j * s.k_stride.value();
          std::memcpy(to, weights.bytes().data() + static_cast<size_t>(at) * size, size);
        }
  return out;
}

}  // namespace

namespace {

int cost(const Step& step) {
  if (step.prim == Prim::kInput || step.prim == Prim::kConstant) return 0;
  return step.prim >= Prim::kSqrt && step.prim <= Prim::kAtanh ? 20 : step.prim == Prim::kPow ? 40 : 1;
}

}  // namespace

bool is_long_epilogue(const Program& p) {
  int sum = 0;
  for (const Step& step : p.steps) sum += cost(step);
  return sum > 8;
}

double epilogue_work(const Program& p) {
  double sum = 0;
  for (const Step& step : p.steps) sum += cost(step) * (dtype_bits(step.dtype) > 32 ? 3 : 1);
  return sum;
}

bool channelwise_fits(const Target& target, const Contraction& c) {
  if (!c.k.is_const() || !c.columns.is_const() || c.groups == 1 || c.images.size() > 1 ||
      !(dtype_info(c.dtype).is_float || c.dtype == DType::kI32))
    return false;
  const int lanes = target.vector_bits / dtype_bits(c.dtype);
  const int64_t k = c.k.value(), columns = c.columns.value();
  return columns < lanes && lanes % columns == 0 && lanes / columns * k <= lanes && k >= 1 && (k & (k - 1)) == 0;
}

Status call_channelwise(Lowering& lowering, const Node& node, const Contraction& contraction, const PackSource& source,
                        const Products& products, BufferId bias) {
  Tensor weights = *products.weights;
  if (products.integers) {
    const Tensor centred = ops::centred(weights, products.w_zero);
    weights = Tensor::zeros(source.dtype, centred.dims());
    for (int64_t i = 0; i < centred.count(); ++i) weights.set_i64(i, centred.i64_at(i));
  }
  const DType a_type = lowering.dtype(products.x);
  const int64_t a_zero = products.integers ? products.x_zero : 0;
  Contraction c = contraction;
  c.bias = bias != kNone;
  c.long_epilogue = is_long_epilogue(node.epilogue);
  c.epilogue_work = epilogue_work(node.epilogue);
  const Shape2 shape = shape_of(lowering.target, c);
  const Schedule s = choose(lowering, c, shape);
  const Epilogue epilogue(lowering, node);
  std::vector<Dim> dims = c.dims();
  const Dim blocks = ceil_div(c.lines(), s.row_block);
  dims.insert(dims.end(), {blocks, c.lines()});
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.kernel = lowering.kernel("channelwise", call.scalars,
                                [&](Emitter& e) { Generator(e, c, s, epilogue, a_type, a_zero, source.dtype).run(); });
  call.buffers = {lowering.buffer(products.x), lowering.weight(pack_channelwise(source, weights, shape)), bias,
                  lowering.buffer(node.outputs[0])};
  call.buffers.insert(call.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  call.tasks = blocks * c.image_count();
  call.tactic = "channelwise " + s.str();
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
