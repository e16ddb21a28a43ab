// SPDX-License-Identifier: Apache-2.0
#include "codegen/blocks.h"

#include <algorithm>
#include <bit>

#include "engine/kernel_abi.h"

namespace lathe::codegen {

namespace {

constexpr int kUnroll = 4;
constexpr int64_t kStraightVectors = 8;  // a copy of up to this many vectors is emitted without a loop

llvm::Type* byte_vector(Emitter& e, int64_t bytes) {
  if (bytes <= 8) return e.b.getIntNTy(static_cast<unsigned>(bytes * 8));
  return llvm::FixedVectorType::get(e.b.getInt8Ty(), static_cast<unsigned>(bytes));
}

void move_bytes(Emitter& e, Val to, Val from, int64_t bytes) {
  e.b.CreateAlignedStore(e.b.CreateAlignedLoad(byte_vector(e, bytes), from, llvm::Align(1)), to, llvm::Align(1));
}

/// Visits [0, total) in pieces (offset, size), size a power of two up to `widest`; pieces may overlap.
void known_pieces(int64_t total, int64_t widest, const std::function<void(int64_t, int64_t)>& piece) {
  int64_t at = 0;
  while (total - at >= widest) {
    piece(at, widest);
    at += widest;
  }
  if (at == total) return;
  if (total >= widest) return piece(total - widest, widest);
  const auto size = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(total)));
  piece(0, size);
  if (total > size) {
    const auto rest = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(total - size)));
    piece(total - rest, rest);
  }
}

/// The same for a count that is known when the kernel runs; all in units of which pieces are powers of two.
void counted_pieces(Emitter& e, Val total, int64_t widest, const std::function<void(Val, int64_t)>& piece) {
  if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(total)) {
    const int64_t n = c->getSExtValue();
    const int64_t block = kUnroll * widest, looped = n > kStraightVectors * widest ? n / block * block : 0;
    e.for_each(e.i64(0), e.i64(looped), block, [&](Val i) {
      for (int u = 0; u < kUnroll; ++u) piece(e.add(i, e.i64(u * widest)), widest);
    });
    // A remainder shorter than a vector overlaps what the loop did.
    const int64_t rest = n - looped;
    if (looped > 0 && rest > 0 && rest < widest) return piece(e.i64(n - widest), widest);
    known_pieces(rest, widest, [&](int64_t at, int64_t size) { piece(e.i64(looped + at), size); });
    return;
  }
  e.if_else(
      e.b.CreateICmpSGE(total, e.i64(widest)),
      [&] {
        const int64_t block = kUnroll * widest;
        Val blocks = e.b.CreateAnd(total, e.i64(-block));
        e.for_each(e.i64(0), blocks, block, [&](Val i) {
          for (int u = 0; u < kUnroll; ++u) piece(e.add(i, e.i64(u * widest)), widest);
        });
        Val whole = e.b.CreateAnd(total, e.i64(-widest));
        e.for_each(blocks, whole, widest, [&](Val i) { piece(i, widest); });
        e.if_then(e.b.CreateICmpSLT(whole, total), [&] { piece(e.sub(total, e.i64(widest)), widest); });
        return Vals{};
      },
      [&] {
        for (int64_t size = widest / 2; size >= 1; size /= 2) {
          Val at = e.b.CreateAnd(total, e.i64(-2 * size));
          e.if_then(e.b.CreateICmpNE(e.b.CreateAnd(total, e.i64(size)), e.i64(0)), [&] { piece(at, size); });
        }
        return Vals{};
      });
}

}  // namespace

DType bits_type(int bytes) {
  switch (bytes) {
    case 1:
      return DType::kU8;
    case 2:
      return DType::kU16;
    case 4:
      return DType::kU32;
    default:
      return DType::kU64;
  }
}

Result<int> element_bytes(DType t) {
  const int bits = dtype_bits(t);
  if (bits == 8 || bits == 16 || bits == 32 || bits == 64) return bits / 8;
  return fail(Code::kUnsupported, "moving elements of type " + std::string(dtype_name(t)) + " is not generated yet");
}

void emit_copy(Emitter& e, Val to, Val from, Val count, int bytes) {
  counted_pieces(e, e.mul(count, bytes), e.target.vector_bits / 8,
                 [&](Val at, int64_t size) { move_bytes(e, e.at(to, at), e.at(from, at), size); });
}

void emit_fill(Emitter& e, Val to, Val value, Val count, int bytes) {
  const int lanes = e.target.vector_bits / 8 / bytes;
  counted_pieces(e, count, lanes, [&](Val at, int64_t n) {
    e.store(bits_type(bytes), e.splat(value, static_cast<int>(n)), e.at(to, e.mul(at, bytes)));
  });
}

Val load_index(Emitter& e, DType type, Val place, Val limit) {
  Val index = e.load(type, place);
  if (dtype_bits(type) < 64) index = e.b.CreateSExt(index, e.b.getInt64Ty());
  index = e.b.CreateSelect(e.b.CreateICmpSLT(index, e.i64(0)), e.b.CreateAdd(index, limit), index);
  e.fault_if(e.b.CreateICmpUGE(index, limit), LATHE_FAULT_INDEX);
  return index;
}

Vals transpose_tile(Emitter& e, Vals rows) {
  // Interleaving the two halves of the tile rotates the bits of an element's index by one; log2(n) times exchange row
  // and column.
  const size_t n = rows.size();
  std::vector<int> low, high;
  for (size_t i = 0; i < n; ++i) {
    const int lane = static_cast<int>(i / 2 + (i % 2) * n);
    low.push_back(lane);
    high.push_back(lane + static_cast<int>(n / 2));
  }
  for (size_t round = n; round > 1; round /= 2) {
    Vals next;
    for (size_t i = 0; i < n / 2; ++i) {
      next.push_back(e.b.CreateShuffleVector(rows[i], rows[i + n / 2], low));
      next.push_back(e.b.CreateShuffleVector(rows[i], rows[i + n / 2], high));
    }
    rows = std::move(next);
  }
  return rows;
}

Val pick_lanes(Emitter& e, const Vals& sources, const std::vector<int>& lanes) {
  const auto n = static_cast<int>(llvm::cast<llvm::FixedVectorType>(sources[0]->getType())->getNumElements());
  Val acc = nullptr;
  for (size_t s = 0; s < sources.size(); ++s) {
    std::vector<int> mask;
    bool used = false;
    for (size_t i = 0; i < lanes.size(); ++i) {
      const int from = lanes[i] / n, lane = lanes[i] % n;
      const bool mine = static_cast<size_t>(from) == s;
      used |= mine;
      if (!acc)
        mask.push_back(mine ? lane : -1);
      else
        mask.push_back(mine ? n + lane : static_cast<size_t>(from) < s ? static_cast<int>(i) : -1);
    }
    if (!used) continue;
    acc = acc ? e.b.CreateShuffleVector(acc, sources[s], mask) : e.b.CreateShuffleVector(sources[s], mask);
  }
  return acc;
}

Vals fold_vectors(Emitter& e, Val length, int width, int unroll, Vals init, const VectorStep& body) {
  const int64_t block = int64_t{unroll} * width;
  Val blocks = e.mul(e.div(length, e.i64(block)), block);
  Vals r = e.loop(e.i64(0), blocks, block, std::move(init),
                  [&](Val i, const Vals& a) { return body(i, unroll, width, nullptr, a); });
  Val whole = e.b.CreateAnd(length, e.i64(-static_cast<int64_t>(width)));
  if (unroll > 1)
    r = e.loop(blocks, whole, width, r, [&](Val i, const Vals& a) { return body(i, 1, width, nullptr, a); });
  if (e.target.masked_access) {
    return e.if_else(
        e.b.CreateICmpSLT(whole, length),
        [&] { return body(whole, 1, width, e.lane_mask(e.sub(length, whole), width), r); }, [&] { return r; });
  }
  return e.loop(whole, length, 1, r, [&](Val i, const Vals& a) { return body(i, 1, 1, nullptr, a); });
}

Val join_pairs(Vals values, const std::function<Val(Val, Val)>& join) {
  while (values.size() > 1) {
    Vals next;
    for (size_t i = 0; i + 1 < values.size(); i += 2) next.push_back(join(values[i], values[i + 1]));
    if (values.size() % 2) next.push_back(values.back());
    values = std::move(next);
  }
  return values[0];
}

Val join_lanes(Emitter& e, Val v, const std::function<Val(Val, Val)>& join) {
  for (auto n = llvm::cast<llvm::FixedVectorType>(v->getType())->getNumElements(); n > 1; n /= 2) {
    std::vector<int> low, high;
    for (unsigned i = 0; i < n / 2; ++i) {
      low.push_back(static_cast<int>(i));
      high.push_back(static_cast<int>(i + n / 2));
    }
    v = join(e.b.CreateShuffleVector(v, low), e.b.CreateShuffleVector(v, high));
  }
  return e.b.CreateExtractElement(v, uint64_t{0});
}

void for_tasks(Emitter& e, const std::vector<Dim>& counts, const std::function<void(const Vals&)>& body) {
  e.for_each(e.begin(), e.end(), 1, [&](Val task) {
    Vals index(counts.size(), nullptr);
    Val rest = task;
    for (size_t i = counts.size(); i-- > 0;) {
      if (i == 0) {
        index[0] = rest;
      } else if (counts[i].equals(1)) {
        index[i] = e.i64(0);
      } else {
        Val n = e.dim(counts[i]);
        index[i] = e.rem(rest, n);
        rest = e.div(rest, n);
      }
    }
    body(index);
  });
}

void for_nest(Emitter& e, const std::vector<Dim>& counts, const std::function<void(const Vals&)>& body) {
  Vals index;
  const std::function<void()> level = [&] {
    if (index.size() == counts.size()) return body(index);
    e.for_each(e.i64(0), e.dim(counts[index.size()]), 1, [&](Val i) {
      index.push_back(i);
      level();
      index.pop_back();
    });
  };
  level();
}

std::vector<Dim> row_strides(const Shape& shape) {
  std::vector<Dim> strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

void StridedCopy::simplify() {
  std::vector<Axis> merged;
  for (const Axis& a : axes) {
    if (a.extent.equals(1)) continue;
    if (!merged.empty()) {
      Axis& outer = merged.back();
      if (outer.in_stride == a.in_stride * a.extent && outer.out_stride == a.out_stride * a.extent) {
        outer = {outer.extent * a.extent, a.in_stride, a.out_stride};
        continue;
      }
    }
    merged.push_back(a);
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  axes = std::move(merged);
}

bool StridedCopy::contiguous() const {
  return axes.size() == 1 && axes[0].in_stride.equals(1) && axes[0].out_stride.equals(1);
}

namespace {

enum class Form { kRows, kFill, kElements, kPack, kUnpack, kTiles };

constexpr int64_t kTileColumns = 512;  // output columns of a task of kTiles
constexpr int64_t kLongBlock = 4096;   // positions of a task of kPack, kUnpack

/// What the kernel does in one step, and the axes it does it along.
struct CopyPlan {
  Form form = Form::kElements;
  StridedCopy::Axis row;     ///< the innermost axis of the output
  StridedCopy::Axis column;  ///< kPack, kUnpack, kTiles: the innermost axis of the input
  std::vector<StridedCopy::Axis> outer;
  int lanes = 1;
};

CopyPlan plan_copy(const Target& target, const StridedCopy& c) {
  CopyPlan p;
  p.row = c.axes.back();
  p.outer = c.axes;
  p.outer.pop_back();
  p.lanes = c.bytes == 1 ? 16 : std::min(16, target.vector_bits / 8 / std::max(4, c.bytes));
  if (!p.row.out_stride.equals(1)) return p;
  if (p.row.in_stride.equals(1))
    p.form = Form::kRows;
  else if (p.row.in_stride.equals(0))
    p.form = Form::kFill;
  if (p.form != Form::kElements) return p;
  const auto at = std::find_if(p.outer.begin(), p.outer.end(), [](const auto& a) { return a.in_stride.equals(1); });
  if (at == p.outer.end()) return p;
  p.column = *at;
  p.outer.erase(at);
  const auto few = [](const Dim& d) { return d.is_const() && d.value() <= 4 && d.value() > 1; };
  const auto fits = [&](const Dim& d) {
    return !d.is_const() || d.value() >= p.lanes || (target.masked_access && c.bytes >= 4);
  };
  if (few(p.row.extent) && p.column.out_stride == p.row.extent)
    p.form = Form::kPack;
  else if (few(p.column.extent) && p.row.in_stride == p.column.extent)
    p.form = Form::kUnpack;
  else if (fits(p.row.extent) && fits(p.column.extent))
    p.form = Form::kTiles;
  else
    p.outer.push_back(p.column);
  return p;
}

struct CopyEmitter {
  Emitter& e;
  const CopyPlan& p;
  int bytes;
  DType type = bits_type(bytes);

  Val element(Val base, Val index) { return e.at(base, e.mul(index, bytes)); }

  void elements(Val to, Val from, Val begin, Val end) {
    Val in = e.dim(p.row.in_stride), out = e.dim(p.row.out_stride);
    e.for_each(begin, end, 1,
               [&](Val i) { e.store(type, e.load(type, element(from, e.mul(i, in))), element(to, e.mul(i, out))); });
  }

  void rows(Val to, Val from, Val begin, Val end) {
    Val n = e.sub(end, begin);
    if (p.form == Form::kRows)
      emit_copy(e, element(to, begin), element(from, begin), n, bytes);
    else if (p.form == Form::kFill)
      emit_fill(e, element(to, begin), e.load(type, from), n, bytes);
    else
      elements(to, from, begin, end);
  }

  /// in[few][long] → out[long][few], both contiguous along their last dimension, or the reverse.
  void interleave(Val to, Val from, Val begin, Val end) {
    const bool pack = p.form == Form::kPack;
    const auto few = static_cast<int>((pack ? p.row : p.column).extent.value());
    Val apart = e.dim(pack ? p.row.in_stride : p.column.out_stride);
    const int n = p.lanes;
    Val whole = e.sub(end, e.rem(e.sub(end, begin), e.i64(n)));
    e.for_each(begin, whole, n, [&](Val i) {
      Vals in;
      for (int k = 0; k < few; ++k)
        in.push_back(e.load(
            type, pack ? element(from, e.add(e.mul(apart, k), i)) : element(from, e.add(e.mul(i, few), e.i64(k * n))),
            n));
      for (int k = 0; k < few; ++k) {
        std::vector<int> lanes;
        for (int j = 0; j < n; ++j) {
          const int flat = k * n + j;
          lanes.push_back(pack ? flat % few * n + flat / few : j * few + k);
        }
        Val v = pick_lanes(e, in, lanes);
        e.store(type, v,
                pack ? element(to, e.add(e.mul(i, few), e.i64(k * n))) : element(to, e.add(e.mul(apart, k), i)));
      }
    });
    e.for_each(whole, end, 1, [&](Val i) {
      for (int k = 0; k < few; ++k) {
        Val dense = e.add(e.mul(i, few), e.i64(k)), spread = e.add(e.mul(apart, k), i);
        e.store(type, e.load(type, element(from, pack ? spread : dense)), element(to, pack ? dense : spread));
      }
    });
  }

  /// The tile of output rows [a, a + lanes) (input columns) and output columns [b, b + lanes). Tiles at the end are
  /// moved back to fit; only an extent known to be shorter than a tile is cut.
  void tile(Val to, Val from, Val a, Val b, int na, int nb) {
    Val in = e.dim(p.row.in_stride), out = e.dim(p.column.out_stride);
    Val load_mask = na < p.lanes ? e.lane_mask(e.i64(na), p.lanes) : nullptr;
    Val store_mask = nb < p.lanes ? e.lane_mask(e.i64(nb), p.lanes) : nullptr;
    Vals rows;
    for (int i = 0; i < p.lanes; ++i)
      rows.push_back(i < nb ? e.load(type, element(from, e.add(e.mul(e.add(b, e.i64(i)), in), a)), p.lanes, load_mask)
                            : llvm::PoisonValue::get(e.vec(type, p.lanes)));
    rows = transpose_tile(e, rows);
    for (int i = 0; i < na; ++i)
      e.store(type, rows[static_cast<size_t>(i)], element(to, e.add(e.mul(e.add(a, e.i64(i)), out), b)), store_mask);
  }

  void tiles(Val to, Val from, Val block, Val begin, Val end) {
    const int n = p.lanes;
    Val na = e.dim(p.column.extent), nb = e.dim(p.row.extent);
    const auto known = [&](const Dim& d) { return d.is_const() && d.value() < n ? static_cast<int>(d.value()) : n; };
    const int ta = known(p.column.extent), tb = known(p.row.extent);
    Val enough = e.b.getTrue();
    if (!p.column.extent.is_const()) enough = e.b.CreateICmpSGE(na, e.i64(n));
    if (!p.row.extent.is_const()) enough = e.b.CreateAnd(enough, e.b.CreateICmpSGE(nb, e.i64(n)));
    Val a0 = e.mul(block, n);
    e.if_else(
        enough,
        [&] {
          Val a = ta < n ? e.i64(0) : e.imin(a0, e.sub(na, e.i64(n)));
          e.for_each(begin, end, n,
                     [&](Val b) { tile(to, from, a, tb < n ? e.i64(0) : e.imin(b, e.sub(nb, e.i64(n))), ta, tb); });
          return Vals{};
        },
        [&] {
          Val out = e.dim(p.column.out_stride);
          e.for_each(a0, e.imin(e.add(a0, e.i64(n)), na), 1,
                     [&](Val a) { elements(element(to, e.mul(a, out)), element(from, a), begin, end); });
          return Vals{};
        });
  }
};

/// Leading axes that make tasks: the others stay inside so that a task moves enough.
size_t task_axes(const Lowering& l, const std::vector<StridedCopy::Axis>& outer, int64_t inner_bytes) {
  size_t count = outer.size();
  int64_t bytes = inner_bytes;
  while (count > 0) {
    bytes *= std::max<int64_t>(1, l.typical(outer[count - 1].extent));
    if (bytes > kSmallBytes) break;
    --count;
  }
  return count;
}

}  // namespace

Status lower_copy(Lowering& lowering, const Node& node, BufferId in, BufferId out, StridedCopy copy) {
  copy.simplify();
  for (const auto& a : copy.axes)
    if (a.extent.equals(0)) return {};
  const CopyPlan p = plan_copy(lowering.target, copy);
  const bool paired = p.form == Form::kPack || p.form == Form::kUnpack || p.form == Form::kTiles;

  // The grid of tasks: some outer axes, then blocks of columns (kTiles), then blocks of the row.
  const Dim& span = p.form == Form::kPack ? p.column.extent : p.row.extent;
  int64_t block = p.form == Form::kTiles ? kTileColumns : paired ? kLongBlock : 2 * kSmallBytes / copy.bytes;
  const int64_t unit = copy.bytes * lowering.typical(p.row.extent) * (paired ? lowering.typical(p.column.extent) : 1);
  const size_t split = task_axes(lowering, p.outer, unit);
  Dim spans = ceil_div(span, block),
      column_blocks = p.form == Form::kTiles ? ceil_div(p.column.extent, p.lanes) : Dim(1);
  if (unit <= 2 * kSmallBytes && !(span.is_const() && span.value() > block)) spans = 1;
  std::vector<Dim> grid, inside;
  for (size_t i = 0; i < p.outer.size(); ++i) (i < split ? grid : inside).push_back(p.outer[i].extent);
  const bool column_tasks = unit > kSmallBytes;
  (column_tasks ? grid : inside).push_back(column_blocks);
  if (!spans.equals(1)) grid.push_back(spans);

  std::vector<Dim> dims = grid;
  dims.insert(dims.end(), inside.begin(), inside.end());
  for (const auto& a : copy.axes) dims.insert(dims.end(), {a.extent, a.in_stride, a.out_stride});
  dims.insert(dims.end(), {copy.in_offset, copy.out_offset});
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {in, out};
  call.tasks = product(grid);
  call.kernel = lowering.kernel("copy", call.scalars, [&](Emitter& e) {
    CopyEmitter emitter{e, p, copy.bytes};
    Val from0 = emitter.element(e.buf(0), e.dim(copy.in_offset)),
        to0 = emitter.element(e.buf(1), e.dim(copy.out_offset));
    const std::vector<Dim> counts = grid.empty() ? std::vector<Dim>{1} : grid;
    for_tasks(e, counts, [&](const Vals& task) {
      for_nest(e, inside, [&](const Vals& rest) {
        Val from = from0, to = to0;
        for (size_t i = 0; i < p.outer.size(); ++i) {
          Val index = i < split ? task[i] : rest[i - split];
          from = emitter.element(from, e.mul(index, e.dim(p.outer[i].in_stride)));
          to = emitter.element(to, e.mul(index, e.dim(p.outer[i].out_stride)));
        }
        Val column = column_tasks ? task[split] : rest.back();
        Val begin = e.i64(0), end = e.dim(span);
        if (!spans.equals(1)) {
          begin = e.mul(task.back(), block);
          end = e.imin(e.add(begin, e.i64(block)), end);
        }
        if (p.form == Form::kTiles)
          emitter.tiles(to, from, column, begin, end);
        else if (paired)
          emitter.interleave(to, from, begin, end);
        else
          emitter.rows(to, from, begin, end);
      });
    });
    e.ret();
  });
  static constexpr const char* kTactics[] = {"rows", "fill", "elements", "pack", "unpack", "tiles"};
  call.tactic = kTactics[static_cast<int>(p.form)];
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
