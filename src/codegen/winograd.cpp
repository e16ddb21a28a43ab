// SPDX-License-Identifier: Apache-2.0
#include "codegen/winograd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "codegen/channelwise.h"
#include "codegen/pack.h"

namespace lathe::codegen {

namespace {

constexpr double kMemoryBytes = 6;  // per cycle: what one core reads from memory
constexpr int64_t kMinChannels = 24;

/// Filters in the transformed domain: G g Gᵀ. Rows of G for the points 0, ±1, (±2,) ∞.
std::vector<std::array<double, 3>> filter_matrix(int m) {
  if (m == 2) return {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
  return {{.25, 0, 0},
          {-1. / 6, -1. / 6, -1. / 6},
          {-1. / 6, 1. / 6, -1. / 6},
          {1. / 24, 1. / 12, 1. / 6},
          {1. / 24, -1. / 12, 1. / 6},
          {0, 0, 1}};
}

/// Bᵀ d for one column of the input tile.
Vals input_transform(Emitter& e, int m, const Vals& d) {
  auto& b = e.b;
  const int n = e.lanes();
  const auto fma = [&](double k, Val x, Val y) { return e.fma(e.constant(DType::kF32, k, n), x, y); };
  if (m == 2)
    return {b.CreateFSub(d[0], d[2]), b.CreateFAdd(d[1], d[2]), b.CreateFSub(d[2], d[1]), b.CreateFSub(d[1], d[3])};
  Val p = fma(-4, d[2], d[4]), q = fma(-4, d[1], d[3]), r = b.CreateFSub(d[4], d[2]), s = b.CreateFSub(d[3], d[1]);
  return {fma(4, d[0], fma(-5, d[2], d[4])), b.CreateFAdd(p, q), b.CreateFSub(p, q), fma(2, s, r), fma(-2, s, r),
          fma(4, d[1], fma(-5, d[3], d[5]))};
}

/// Aᵀ t for one column of the product tile.
Vals output_transform(Emitter& e, int m, const Vals& t) {
  auto& b = e.b;
  const int n = e.lanes();
  const auto fma = [&](double k, Val x, Val y) { return e.fma(e.constant(DType::kF32, k, n), x, y); };
  Val s1 = b.CreateFAdd(t[1], t[2]), d1 = b.CreateFSub(t[1], t[2]);
  if (m == 2) return {b.CreateFAdd(t[0], s1), b.CreateFSub(d1, t[3])};
  Val s2 = b.CreateFAdd(t[3], t[4]), d2 = b.CreateFSub(t[3], t[4]);
  return {b.CreateFAdd(b.CreateFAdd(t[0], s1), s2), fma(2, d2, d1), fma(4, s2, s1), b.CreateFAdd(fma(8, d2, d1), t[5])};
}

/// f applied to the columns of a rows × rows tile, then to the rows of the result.
template <class F>
std::vector<Vals> both_ways(const std::vector<Vals>& tile, F f) {
  const size_t n = tile.size();
  std::vector<Vals> columns;  // columns[j] = f(column j)
  for (size_t j = 0; j < n; ++j) {
    Vals column;
    for (size_t i = 0; i < n; ++i) column.push_back(tile[i][j]);
    columns.push_back(f(column));
  }
  std::vector<Vals> result;
  for (size_t i = 0; i < columns[0].size(); ++i) {
    Vals row;
    for (size_t j = 0; j < n; ++j) row.push_back(columns[j][i]);
    result.push_back(f(row));
  }
  return result;
}

struct Plane {
  int m, side;            ///< output and input tile
  Dim across, per_image;  ///< tiles of a line, and of one image
  Dim tiles, rows;        ///< of all images; rows of a plane: odd, so that planes do not share cache sets
  int64_t block;          ///< tiles per transform task
  /// What kernels need to know of sizes.
  [[nodiscard]] std::vector<Dim> dims() const { return {across, per_image, tiles, rows}; }
};

Plane plane_of(const Lowering& lowering, const Contraction& c, int m) {
  const auto count = [m](const Dim& size) { return max(ceil_div(size, m), 0); };
  Plane p{m, m + 2, count(c.x.out), count(c.outer[0].out) * count(c.x.out), 0, 0, 0};
  p.tiles = c.image_count() * p.per_image;
  p.rows = p.tiles.is_const() ? Dim(p.tiles.value() | 1) : p.tiles + Dim(1);
  // Some 10 µs a task, and four for each thread if that leaves enough for a task to do.
  const int64_t tile_cycles = std::max(c.k.value(), c.columns.value()) / lowering.target.f32_lanes() * 100 + 50;
  const int64_t share = lowering.typical(p.tiles) / (4 * std::max(1, lowering.options.threads_hint));
  p.block =
      std::clamp<int64_t>(share, std::max<int64_t>(1, 8000 / tile_cycles), std::max<int64_t>(1, 80000 / tile_cycles));
  return p;
}

/// The matrix products: one image per point of the transformed tile.
Contraction products(const Contraction& c, const Plane& p, int panel) {
  Contraction r;
  r.k = c.k;
  r.columns = c.columns;
  r.a_k = 4;
  r.a_x = c.k * Dim(4);
  r.x.in = r.x.out = p.tiles;
  r.out_image = p.rows;
  const Dim image = panel ? ceil_div(c.columns, panel) * Dim(panel) * c.k * Dim(4) : Dim(0);
  r.images = {{p.side * p.side, p.rows * r.a_x, image}};
  return r;
}

std::shared_ptr<const std::vector<std::byte>> transformed_weights(const Contraction& c, const Tensor& weights,
                                                                  const Plane& p, int panel) {
  const auto g = filter_matrix(p.m);
  const int64_t k = c.k.value(), columns = c.columns.value();
  const auto side = static_cast<size_t>(p.side);
  Tensor u = Tensor::zeros(DType::kF32, {p.side * p.side, columns, k});
  auto to = u.mutable_as<float>();
  std::vector<float> from(static_cast<size_t>(columns * 9 * k));
  std::memcpy(from.data(), weights.bytes().data(), from.size() * sizeof(float));
  for (int64_t o = 0; o < columns; ++o)
    for (int64_t i = 0; i < k; ++i) {
      double half[6][3] = {};
      for (size_t r = 0; r < side; ++r)
        for (size_t x = 0; x < 3; ++x)
          for (size_t y = 0; y < 3; ++y)
            half[r][x] += g[r][y] * static_cast<double>(
                                        from[static_cast<size_t>((o * 9 + static_cast<int64_t>(y * 3 + x)) * k + i)]);
      for (size_t r = 0; r < side; ++r)
        for (size_t s = 0; s < side; ++s) {
          double sum = 0;
          for (size_t x = 0; x < 3; ++x) sum += half[r][x] * g[s][x];
          to[(r * side + s) * static_cast<size_t>(columns * k) + static_cast<size_t>(o * k + i)] =
              static_cast<float>(sum);
        }
    }
  PackSource source;
  source.images = {{p.side * p.side, c.k * c.columns}};
  source.k = c.k;
  source.k_stride = 1;
  source.columns = c.columns;
  source.column_stride = c.k;
  return pack(source, u, panel);
}

/// Tile `t` of all images: where it begins in the output (y, x) and its image.
struct TilePlace {
  Val image, y, x;
};
/// `place(t)` once the sizes are loaded.
std::function<TilePlace(Val)> places(Emitter& e, const Plane& p) {
  Val per_image = e.dim(p.per_image), across = e.dim(p.across);
  return [&e, m = p.m, per_image, across](Val t) {
    Val within = e.rem(t, per_image);
    return TilePlace{e.div(t, per_image), e.mul(e.div(within, across), m), e.mul(e.rem(within, across), m)};
  };
}

void for_tiles(Emitter& e, const Plane& p, const std::function<void(Val)>& body) {
  Val tiles = e.dim(p.tiles);
  e.for_each(e.begin(), e.end(), 1, [&](Val task) {
    Val first = e.mul(task, p.block);
    e.for_each(first, e.imin(e.add(first, e.i64(p.block)), tiles), 1, body);
  });
  e.ret();
}

/// body(channel, mask) for whole vectors, then the rest.
void for_channels(Emitter& e, int64_t channels, const std::function<void(Val, Val)>& body) {
  const int n = e.lanes();
  const int64_t whole = channels / n * n;
  e.for_each(e.i64(0), e.i64(whole), n, [&](Val ch) { body(ch, nullptr); });
  if (whole < channels) body(e.i64(whole), e.lane_mask(e.i64(channels - whole), n));
}

// Buffers: x, zeros (as many as channels), V.
void emit_input(Emitter& e, const Contraction& c, const Plane& p) {
  const int64_t channels = c.k.value(), pixel = channels * 4;
  const auto side = static_cast<size_t>(p.side);
  const auto place_of = places(e, p);
  Val height = e.dim(c.outer[0].in), width = e.dim(c.x.in), line = e.mul(width, pixel);
  Val plane = e.mul(e.dim(p.rows), pixel);
  Val table = e.alloca_bytes(static_cast<int64_t>(side * side) * 8);
  for_tiles(e, p, [&](Val t) {
    const TilePlace at = place_of(t);
    Val y0 = e.sub(at.y, e.i64(c.outer[0].pad)), x0 = e.sub(at.x, e.i64(c.x.pad));
    Val origin = e.at(e.buf(0), e.mul(e.add(e.mul(e.add(e.mul(at.image, height), y0), width), x0), pixel));
    Val to = e.at(e.buf(2), e.mul(t, pixel));
    const auto transform = [&](const std::function<Val(size_t, size_t)>& pointer) {
      for_channels(e, channels, [&](Val ch, Val mask) {
        Val offset = e.mul(ch, 4);
        std::vector<Vals> d(side, Vals(side));
        for (size_t j = 0; j < side; ++j)
          for (size_t i = 0; i < side; ++i) d[i][j] = e.load(DType::kF32, e.at(pointer(i, j), offset), e.lanes(), mask);
        const auto v = both_ways(d, [&](const Vals& column) { return input_transform(e, p.m, column); });
        for (size_t i = 0; i < side; ++i)
          for (size_t j = 0; j < side; ++j)
            e.store(DType::kF32, v[i][j], e.at(e.at(to, e.mul(plane, static_cast<int64_t>(i * side + j))), offset),
                    mask);
      });
    };
    const auto direct = [&](size_t i, size_t j) {
      return e.at(origin, e.add(e.mul(line, static_cast<int64_t>(i)), e.i64(static_cast<int64_t>(j) * pixel)));
    };
    auto& b = e.b;
    Val inside =
        b.CreateAnd(b.CreateAnd(b.CreateICmpSGE(y0, e.i64(0)), b.CreateICmpSLE(y0, e.sub(height, e.i64(p.side)))),
                    b.CreateAnd(b.CreateICmpSGE(x0, e.i64(0)), b.CreateICmpSLE(x0, e.sub(width, e.i64(p.side)))));
    e.if_else(
        inside,
        [&] {
          transform(direct);
          return Vals{};
        },
        [&] {
          // Pixels outside are read from a row of zeros.
          for (size_t i = 0; i < side; ++i)
            for (size_t j = 0; j < side; ++j) {
              Val y = e.add(y0, e.i64(static_cast<int64_t>(i))), x = e.add(x0, e.i64(static_cast<int64_t>(j)));
              Val in = b.CreateAnd(b.CreateICmpULT(y, height), b.CreateICmpULT(x, width));
              b.CreateStore(b.CreateSelect(in, direct(i, j), e.buf(1)),
                            e.at(table, static_cast<int64_t>(i * side + j) * 8));
            }
          transform([&](size_t i, size_t j) {
            return b.CreateLoad(b.getPtrTy(), e.at(table, static_cast<int64_t>(i * side + j) * 8));
          });
          return Vals{};
        });
  });
}

// Buffers: M, bias (may be null), y, those of the epilogue.
void emit_output(Emitter& e, const Contraction& c, const Plane& p, const Epilogue& epilogue) {
  const int64_t columns = c.columns.value();
  const auto side = static_cast<size_t>(p.side);
  const auto place_of = places(e, p);
  Val height = e.dim(c.outer[0].out), width = e.dim(c.x.out);
  const int64_t vector_bytes = int64_t{e.lanes()} * 4;
  Val plane = e.mul(e.dim(p.rows), columns * 4);
  Val buffer = e.alloca_bytes(int64_t{p.m} * p.m * vector_bytes);
  for_tiles(e, p, [&](Val t) {
    const TilePlace at = place_of(t);
    Val from = e.at(e.buf(0), e.mul(t, columns * 4));
    Val row0 = e.add(e.mul(e.add(e.mul(at.image, height), at.y), width), at.x);
    Val down = e.imin(e.sub(height, at.y), e.i64(p.m)), across = e.imin(e.sub(width, at.x), e.i64(p.m));
    for_channels(e, columns, [&](Val column, Val mask) {
      Val offset = e.mul(column, 4);
      std::vector<Vals> d(side, Vals(side));
      for (size_t j = 0; j < side; ++j)
        for (size_t i = 0; i < side; ++i)
          d[i][j] = e.load(DType::kF32, e.at(e.at(from, e.mul(plane, static_cast<int64_t>(i * side + j))), offset),
                           e.lanes(), mask);
      const auto o = both_ways(d, [&](const Vals& line) { return output_transform(e, p.m, line); });
      Val bias = c.bias ? e.load(DType::kF32, e.at(e.buf(1), offset), e.lanes(), mask) : nullptr;
      const Vals cached = epilogue.column_values(e, 3, column, e.lanes(), mask);
      const auto store = [&](Val v, Val row) {
        v = epilogue.apply(e, 3, v, row, column, e.lanes(), mask, &cached);
        e.store(DType::kF32, v, e.at(e.buf(2), e.add(e.mul(row, columns * 4), offset)), mask);
      };
      const auto value = [&](size_t i, size_t j) { return bias ? e.b.CreateFAdd(o[i][j], bias) : o[i][j]; };
      const auto rolled = [&] {
        for (size_t i = 0; i < o.size(); ++i)
          for (size_t j = 0; j < o.size(); ++j)
            e.store(DType::kF32, value(i, j), e.at(buffer, static_cast<int64_t>(i * o.size() + j) * vector_bytes));
        e.for_each(e.i64(0), down, 1, [&](Val i) {
          e.for_each(e.i64(0), across, 1, [&](Val j) {
            Val v = e.load(DType::kF32, e.at(buffer, e.mul(e.add(e.mul(i, p.m), j), vector_bytes)), e.lanes());
            store(v, e.add(row0, e.add(e.mul(i, width), j)));
          });
        });
        return Vals{};
      };
      if (c.long_epilogue) {
        rolled();
        return;
      }
      Val full = e.b.CreateAnd(e.b.CreateICmpEQ(down, e.i64(p.m)), e.b.CreateICmpEQ(across, e.i64(p.m)));
      const auto whole = [&](const Dim& size) { return size.is_const() && size.value() % p.m == 0; };
      if (whole(c.outer[0].out) && whole(c.x.out)) full = e.b.getTrue();
      e.if_else(
          full,
          [&] {
            for (size_t i = 0; i < o.size(); ++i)
              for (size_t j = 0; j < o.size(); ++j)
                store(value(i, j),
                      e.add(row0, e.add(e.mul(width, static_cast<int64_t>(i)), e.i64(static_cast<int64_t>(j)))));
            return Vals{};
          },
          rolled);
    });
  });
}

}  // namespace

int winograd_tile(Lowering& lowering, const Node& node, const Contraction& c, const Tensor* weights) {
  if (lowering.options.math == Math::kStrict || !weights || c.dtype != DType::kF32 ||
      lowering.dtype(node.outputs[0]) != DType::kF32)
    return 0;
  if (c.groups != 1 || c.outer.size() != 1 || !c.k.is_const() || !c.columns.is_const()) return 0;
  for (const Axis* a : {&c.outer[0], &c.x})
    if (a->kernel != 3 || a->stride != 1 || a->dilation != 1) return 0;
  const int64_t k = c.k.value(), columns = c.columns.value();
  if (k < kMinChannels || columns < kMinChannels) return 0;
  const Target& target = layout_target(lowering);
  const int lanes = target.f32_lanes();
  int best = 0;
  // Weights come from memory in most models, while the arithmetic goes on. There are more of them than in a direct
  // convolution, so a small gain is not worth it.
  const auto with_weights = [&](double cycles, double points) {
    return std::max(cycles, points * static_cast<double>(k * columns * 4) / kMemoryBytes);
  };
  const auto images = static_cast<double>(lowering.typical(c.image_count()));
  double best_cost = 0.9 * with_weights(candidates(lowering, c, target, 0).front().cycles * images, 9);
  for (const int m : {4, 2}) {
    const Plane p = plane_of(lowering, c, m);
    const Contraction products_ = products(c, p, 0);
    const auto tiles = static_cast<double>(lowering.typical(p.tiles));
    const double points = p.side * p.side;
    const double transforms = tiles * static_cast<double>((k + lanes - 1) / lanes) * points * 3.5 +
                              tiles * static_cast<double>((columns + lanes - 1) / lanes) * points * 3.5;
    const double traffic = tiles * points * static_cast<double>(k + columns) * 4 * 2 / 24;
    const double cost = with_weights(candidates(lowering, products_, target, 0).front().cycles * points, points) +
                        transforms + traffic + 20000;
    if (cost < best_cost) {
      best_cost = cost;
      best = m;
    }
  }
  std::vector<int> ways{best};
  for (const int m : {0, 4, 2})
    if (m != best) ways.push_back(m);
  std::vector<std::string> names;
  for (const int m : ways) names.push_back(m ? "winograd " + std::to_string(m) : "direct");
  return ways[lowering.choose(node, "algorithm", true, names)];
}

Status call_winograd(Lowering& lowering, const Node& node, const Contraction& contraction, const Tensor& weights,
                     BufferId a, BufferId bias, int tile) {
  Contraction c = contraction;
  c.bias = bias != kNone;
  c.long_epilogue = is_long_epilogue(node.epilogue);
  const Plane p = plane_of(lowering, c, tile);
  const std::string name = "winograd " + std::to_string(tile);
  const Dim points = p.side * p.side, tasks = ceil_div(p.tiles, p.block);
  const int panel = shared_panel(lowering, products(c, p, 0));
  const Contraction product = products(c, p, panel);
  const BufferId v = lowering.temporary(points * p.rows * c.k * Dim(4)),
                 m = lowering.temporary(points * p.rows * c.columns * Dim(4));

  Call in;
  std::vector<Dim> sizes = p.dims();
  sizes.insert(sizes.end(), {c.outer[0].in, c.x.in});
  in.scalars = Lowering::symbolic(sizes);
  in.kernel = lowering.kernel("winograd_in", in.scalars, [&](Emitter& e) { emit_input(e, c, p); });
  in.buffers = {a, lowering.weight(std::make_shared<std::vector<std::byte>>(static_cast<size_t>(c.k.value() * 4))), v};
  in.tasks = tasks;
  in.tactic = name + " input";
  in.flops = 1;
  LATHE_CHECK(lowering.call(node, std::move(in)));

  const Schedule s = pick_schedule(lowering, node, product, panel, name + " tile");
  LATHE_CHECK(call_contraction(lowering, node, product, s, v,
                               lowering.weight(transformed_weights(c, weights, p, panel)), kNone, name, m));

  const Epilogue epilogue(lowering, node);
  Call out;
  std::vector<Dim> dims = p.dims();
  dims.insert(dims.end(), {c.outer[0].out, c.x.out});
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  out.scalars = Lowering::symbolic(dims);
  out.kernel = lowering.kernel("winograd_out", out.scalars, [&](Emitter& e) { emit_output(e, c, p, epilogue); });
  out.buffers = {m, bias, lowering.buffer(node.outputs[0])};
  out.buffers.insert(out.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  out.tasks = tasks;
  out.tactic = name + " output";
  out.flops = 1;
  return lowering.call(node, std::move(out));
}

}  // namespace lathe::codegen
