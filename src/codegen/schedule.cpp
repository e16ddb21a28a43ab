// SPDX-License-Identifier: Apache-2.0
// Which tile and which tasks: a cost model in clock cycles of a core that starts two multiply-adds and two loads of a
// full vector per cycle. Only ratios matter.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "codegen/channelwise.h"
#include "codegen/contraction.h"

namespace lathe::codegen {

namespace {

constexpr double kLatency = 4;            // of a multiply-add: too few accumulators wait for each other
constexpr double kTileOverhead = 24;      // loop set-up and drain
constexpr double kL2Vectors = 0.4;        // per cycle: measured on Zen 3 with AVX2
constexpr double kLoads = 1.45;           // per cycle, most of them broadcasts: Zen 3 with AVX2
constexpr double kFarBytes = 10;          // per cycle
constexpr int64_t kLineBytes = 32 << 10;  // of the sums of a line that waits on the stack
constexpr int64_t kUnknownRows = 8;       // what a tile is chosen for where the number of rows may be any
constexpr double kCodedStep = 0.9;        // cycles to decode a vector and multiply: Zen 3 with AVX2

bool fits_registers(const Target& t, Steps steps, int rows, int vectors) {
  // Products of pairs pass through a register of their own.
  const int registers = t.vector_registers - (steps == Steps::kPairs ? 1 : 0);
  if (t.lane_fma) return rows * vectors + vectors + rows < registers;
  if (rows == 1) return vectors + 1 <= registers * 3 / 4;  // w can be a memory operand
  if (vectors == 1 && t.broadcast_operand && steps == Steps::kPlain) return rows + 2 <= registers;
  return rows * vectors + vectors + 1 <= registers;
}

struct Model {
  const Target& target;
  int lanes, size, w_size;
  ContractionSize n;
  int64_t taps;
  bool known_length, single_line, blockable;

  /// Steps of the reduction whose weights take half of L1, a multiple of `unroll`.
  [[nodiscard]] int64_t k_block(int vectors, int unroll) const {
    const int64_t most = std::max<int64_t>(unroll, target.l1_bytes / 2 / (int64_t{vectors} * lanes * size));
    const int64_t blocks = (n.k + most - 1) / most, even = (n.k + blocks - 1) / blocks;
    return (even + unroll - 1) / unroll * unroll;
  }

  /// One tile over the whole reduction, its weights from where they fit or a block after the other.
  [[nodiscard]] double tile(int rows, int vectors, bool blocks) const {
    // Narrow weights are widened in every step, or once for all rows of a block.
    const double widen = w_size == size ? 0 : vectors;
    const double fma = rows * vectors / 2.0 + (blocks ? 0 : widen);
    const double loads = (rows + vectors) / (target.broadcast_operand ? 2.0 : kLoads) * (target.lane_fma ? 0.6 : 1.0);
    double step = std::max({fma, loads, rows * vectors < 2 * kLatency ? kLatency : 0.0});
    const auto steps = static_cast<double>(taps * n.k), panel = steps * vectors * lanes * w_size;
    const auto l1 = static_cast<double>(target.l1_bytes);
    const bool many = n.lines * n.x > rows;
    // What comes from L2 (or farther), a step: weights, unless they stay in L1, and the input.
    double bytes = 0;
    if (many && !blocks && panel > l1 * 0.7) bytes += vectors * lanes * w_size;
    if (static_cast<double>(n.lines * n.x * taps * n.k * size) > l1 / 2) bytes += rows * size;
    step = std::max(step, bytes / (kL2Vectors * lanes * size));
    if (many && !blocks && panel > static_cast<double>(target.l2_bytes) / 2)
      step = std::max(step, vectors * lanes * w_size / kFarBytes);
    step += 0.01 * rows + 0.04 * vectors;  // of equals, the one with fewer loads of weights
    const double count =
        blocks
            ? static_cast<double>(taps * ((n.k * vectors * lanes * size * 2 + target.l1_bytes - 1) / target.l1_bytes))
            : 1;
    if (blocks) step += 2 * widen * rows / static_cast<double>(std::max<int64_t>(rows, n.lines * n.x));
    return step * steps + count * (rows * vectors * (blocks ? 2.0 : 1.0) + kTileOverhead);
  }

  [[nodiscard]] double line(int rows, int vectors, bool blocks) const {
    const Tiles tiles = line_tiles(n.x, rows, known_length);
    double sum = tile(rows, vectors, blocks) * static_cast<double>(tiles.whole);
    for (const int rest : tiles.rest) sum += tile(rest, vectors, blocks);
    return sum;
  }

  [[nodiscard]] double total(int rows, int vectors, bool blocks) const {
    const int64_t width = int64_t{vectors} * lanes, whole = n.columns / width, tail = n.columns % width;
    double sum = line(rows, vectors, blocks) * static_cast<double>(whole);
    if (tail) sum += line(rows, static_cast<int>((tail + lanes - 1) / lanes), blocks);
    return sum * static_cast<double>(n.lines);
  }
};

/// Splits the work into tasks: `cycles` for one image and group.
void split(Schedule& s, const Model& m, const Contraction& c, const Target& target, int64_t outer, double cycles,
           int threads) {
  const int64_t tiles = (m.n.columns + s.vectors * m.lanes - 1) / (s.vectors * m.lanes);
  const int64_t units = m.single_line ? (m.n.x + s.rows - 1) / s.rows : m.n.lines;
  const double positions = m.single_line ? s.rows : static_cast<double>(m.n.x);
  const double a_unit = positions * static_cast<double>(m.n.k * m.size) * static_cast<double>(c.x.stride) *
                        (c.outer.empty() ? 1.0 : static_cast<double>(c.outer.back().stride));
  const double a_halo =
      c.outer.empty() ? 0 : static_cast<double>(c.outer.back().reach() * m.n.x * m.n.k * m.size * c.x.stride);
  // As wide as they become: to share weights that are narrow is to share the work of widening them, too.
  const double w_tile = static_cast<double>(m.taps * m.n.k * s.vectors * m.lanes * m.size);
  const auto l2 = static_cast<double>(target.l2_bytes);
  double best = 0;
  for (int64_t row_parts = 1; row_parts <= std::min<int64_t>(units, 128); ++row_parts) {
    const int64_t row_block = (units + row_parts - 1) / row_parts;
    const int64_t row_tasks = (units + row_block - 1) / row_block;
    if (row_tasks != row_parts) continue;
    for (int64_t column_parts = 1; column_parts <= std::min<int64_t>(tiles, 128); ++column_parts) {
      const int64_t column_block = (tiles + column_parts - 1) / column_parts;
      const int64_t column_tasks = (tiles + column_block - 1) / column_block;
      if (column_tasks != column_parts) continue;
      const auto tasks = static_cast<double>(outer * row_tasks * column_tasks);
      const double share = static_cast<double>(row_block * column_block) / static_cast<double>(units * tiles);
      double task = cycles * share + kTaskOverhead;
      const double a = a_unit * static_cast<double>(row_block) + a_halo, w = w_tile * static_cast<double>(column_block);
      task += a / kFarBytes * (a > l2 * 0.7 ? static_cast<double>(column_block) : 1) * 0.5;
      task += w / kFarBytes * (w > l2 * 0.7 ? 1.0 : 1.0 / static_cast<double>(row_tasks)) * 0.5;
      const double rounds = std::ceil(tasks / threads);
      const double cost = rounds * task + (tasks > 1 ? kUneven * task + kWakeOverhead : 0);
      if (best != 0 && cost >= best) continue;
      best = cost;
      s.row_block = m.single_line ? row_block * s.rows : row_block;
      s.column_block = column_block;
    }
  }
}

int pick_unroll(const Contraction& c, const Model& m, int rows, int vectors) {
  int limit = rows * vectors >= 20 ? 4 : 8;
  // Unrolled steps of one row must not reach the next row's elements: the compiler would keep them in registers that
  // the accumulators need.
  if (const auto step = (c.a_x * Dim(c.x.stride)).as_const(); step && c.x.kernel > 1)
    limit = static_cast<int>(std::clamp<int64_t>(*step / m.size, 1, limit));
  const auto k = c.k.as_const();
  // Four steps share one vector of each row of a; of eight the compiler would load both at once.
  if (m.target.lane_fma && limit >= 4) return rows * vectors >= 8 || (k && *k % 8 != 0) ? 4 : 8;
  if (!k || *k % limit == 0) return limit;
  const bool dense = c.x.kernel > 1 && c.x.dilation == 1 && c.a_x == c.k * c.a_k;
  const int64_t length = dense ? *k * c.x.kernel : *k;
  if (length <= limit) return static_cast<int>(length);
  for (int u = limit; u >= std::max(2, limit / 2); --u)
    if (length % u == 0) return u;
  return limit;
}

}  // namespace

ContractionSize typical_size(const Lowering& lowering, const Contraction& c) {
  const auto at_least_1 = [&](const Dim& d) { return std::max<int64_t>(1, lowering.typical(d)); };
  return {at_least_1(c.image_count()), at_least_1(c.lines()), at_least_1(c.x.out), at_least_1(c.k),
          at_least_1(c.columns)};
}

std::vector<Schedule> candidates(const Lowering& lowering, const Contraction& c, const Target& target, int panel) {
  const int size = dtype_bits(c.dtype) / 8, lanes = target.vector_bits / 8 / size;
  const Model m{target,
                lanes,
                size,
                c.coding ? 1 : dtype_bits(c.weights()) / 8,
                typical_size(lowering, c),
                std::max<int64_t>(1, c.taps()),
                c.x.out.is_const(),
                c.single_line(),
                c.packed && c.k.is_const() && (c.single_line() || c.x.out.is_const())};
  // Tiles of several rows lose a tenth on one row; tiles of one row take twice as long on many.
  Model tiles = m;
  if (!m.known_length) tiles.n.x = std::max(m.n.x, kUnknownRows);
  std::vector<Schedule> list;
  if (c.few_rows()) {
    // Two sets of sums, and the codes that become them, stay in registers.
    int vectors = std::min(4, panel / lanes);
    while (panel % (vectors * lanes) != 0) --vectors;
    Schedule s{1, vectors, 1, panel};
    s.cycles = kCodedStep * static_cast<double>(m.n.x * m.n.k) * std::ceil(static_cast<double>(m.n.columns) / lanes);
    split(s, m, c, target, 1, s.cycles, std::max(1, lowering.options.threads_hint));
    return {s};
  }
  for (int vectors = 1; vectors <= 12; ++vectors) {
    if (panel && panel % (vectors * lanes) != 0) continue;
    if (vectors > 1 && int64_t{vectors - 1} * lanes >= m.n.columns) break;
    for (int rows = 1; rows <= 28 && (rows <= m.n.x || rows == 1 || !m.known_length); ++rows) {
      if (!fits_registers(target, c.steps, rows, vectors)) break;
      Schedule s{rows, vectors, pick_unroll(c, m, rows, vectors), panel ? panel : vectors * lanes};
      s.cycles = tiles.total(rows, vectors, false);
      const int64_t line = m.single_line ? 0 : m.n.x * vectors * lanes * size;
      if (const double blocked = m.blockable && line <= kLineBytes ? tiles.total(rows, vectors, true) : s.cycles;
          blocked < s.cycles || c.coding) {
        s.cycles = blocked;
        s.k_block = m.k_block(vectors, c.coding ? std::lcm(s.unroll, c.coding->per_word()) : s.unroll);
      }
      list.push_back(s);
    }
  }
  std::stable_sort(list.begin(), list.end(), [](const Schedule& a, const Schedule& b) { return a.cycles < b.cycles; });
  if (list.size() > 16) list.resize(16);
  const double epilogue = c.epilogue_work / 2 * static_cast<double>(m.n.lines * m.n.x) *
                          static_cast<double>((m.n.columns + lanes - 1) / lanes);
  for (Schedule& s : list)
    split(s, m, c, target, m.n.images * c.groups, s.cycles + epilogue, std::max(1, lowering.options.threads_hint));
  return list;
}

Schedule pick_schedule(Lowering& lowering, const Node& node, const Contraction& c, int panel, std::string_view what) {
  Contraction whole = c;
  whole.epilogue_work = epilogue_work(node.epilogue);
  const std::vector<Schedule> list = candidates(lowering, whole, lowering.target, panel);
  std::vector<std::string> names;
  names.reserve(list.size());
  for (const Schedule& s : list) names.push_back(s.str());
  return list[lowering.choose(node, what, false, names)];
}

const Target& layout_target(const Lowering& lowering) {
  return lowering.options.layout ? *lowering.options.layout : lowering.target;
}

int shared_panel(const Lowering& lowering, const Contraction& c) {
  return candidates(lowering, c, layout_target(lowering), 0).front().panel;
}

}  // namespace lathe::codegen
