// SPDX-License-Identifier: Apache-2.0
// Weights are packed so that hidden units are vector lanes and the gates of a block of units lie side by side:
//
//   one panel:   k = 0: [gate 0: units u … u+B) [gate 1: same units) …   k = 1: …
//
// A step then reads R once, in order, and has every gate of a block of units in registers when it applies the cell.
#include "codegen/recurrent.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "codegen/blocks.h"

namespace lathe::codegen {

namespace {

/// How the columns (gate, unit) of W and R are laid out.
struct Packing {
  int gates = 1;
  int64_t hidden = 0, block = 16;  ///< units of a block, a multiple of the lanes
  int lanes = 16;

  [[nodiscard]] int64_t blocks() const { return (hidden + block - 1) / block; }
  [[nodiscard]] int64_t units() const { return blocks() * block; }
  [[nodiscard]] int64_t columns() const { return units() * gates; }
  /// Row of the ONNX weight (gate * hidden + unit) of a column, or -1 for padding.
  [[nodiscard]] int64_t source(int64_t column) const {
    const int64_t width = block * gates, unit = column / width * block + column % block;
    return unit < hidden ? column % width / block * hidden + unit : -1;
  }
};

struct Sizes {
  Dim steps, batch;
  int64_t directions = 1, inputs = 0;
};

/// [directions, rows, depth] to [directions][panel][depth][panel width]; weights known now are packed now.
Result<BufferId> pack_weight(Lowering& l, const Node& node, ValueId weight, const Packing& p, int64_t width,
                             int64_t depth, int64_t directions) {
  const int64_t panels = p.columns() / width, total = directions * p.columns() * depth, rows = p.gates * p.hidden;
  if (const auto& constant = l.value(weight).constant) {
    auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(total) * 4);
    const auto from = constant->to_f32();
    auto* to = reinterpret_cast<float*>(bytes->data());
    for (int64_t d = 0; d < directions; ++d)
      for (int64_t c = 0; c < p.columns(); ++c) {
        const int64_t row = p.source(c);
        for (int64_t k = 0; row >= 0 && k < depth; ++k)
          to[((d * panels + c / width) * depth + k) * width + c % width] =
              from[static_cast<size_t>((d * rows + row) * depth + k)];
      }
    return l.weight(std::move(bytes));
  }
  Call call;
  const BufferId out = l.temporary(total * 4);
  call.buffers = {l.buffer(weight), out};
  call.tasks = directions * panels;
  call.tactic = "pack";
  call.kernel = l.kernel("pack", {}, [&](Emitter& e) {
    for_tasks(e, {directions, panels}, [&](const Vals& at) {
      Val to = e.at(e.buf(1), e.mul(e.add(e.mul(at[0], panels), at[1]), width * depth * 4));
      Val from = e.at(e.buf(0), e.mul(at[0], rows * depth * 4));
      e.for_each(e.i64(0), e.i64(width), 1, [&](Val j) {
        Val column = e.add(e.mul(at[1], width), j), wide = e.i64(p.block * p.gates);
        Val unit = e.add(e.mul(e.div(column, wide), p.block), e.rem(column, e.i64(p.block)));
        Val gate = e.div(e.rem(column, wide), e.i64(p.block));
        Val row = e.at(from, e.mul(e.add(e.mul(gate, p.hidden), unit), depth * 4));
        Val real = e.b.CreateICmpSLT(unit, e.i64(p.hidden));
        e.for_each(e.i64(0), e.i64(depth), 1, [&](Val k) {
          Val v = e.if_else(
              real, [&] { return Vals{e.load(DType::kF32, e.at(row, e.mul(k, 4)))}; },
              [&] { return Vals{e.f32(0)}; })[0];
          e.store(DType::kF32, v, e.at(to, e.mul(e.add(e.mul(k, width), j), 4)));
        });
      });
    });
    e.ret();
  });
  LATHE_CHECK(l.call(node, std::move(call)));
  return out;
}

/// [directions][columns]: both biases added; `split_last`: of the last gate only the input's, and the recurrent one of
/// that gate as [directions][units] behind.
Result<BufferId> pack_bias(Lowering& l, const Node& node, ValueId bias, const Packing& p, int64_t directions,
                           bool split_last) {
  const int64_t columns = p.columns(), rows = p.gates * p.hidden,
                total = directions * (columns + (split_last ? p.units() : 0));
  const auto last = [&](int64_t c) { return c % (p.block * p.gates) / p.block == p.gates - 1; };
  if (bias == kNoId || l.value(bias).constant) {
    auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(total) * 4);
    auto* to = reinterpret_cast<float*>(bytes->data());
    const auto from = bias == kNoId ? std::vector<float>(static_cast<size_t>(directions * rows * 2))
                                    : l.value(bias).constant->to_f32();
    for (int64_t d = 0; d < directions; ++d)
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t row = p.source(c);
        if (row < 0) continue;
        const float input = from[static_cast<size_t>(d * rows * 2 + row)],
                    recurrent = from[static_cast<size_t>(d * rows * 2 + rows + row)];
        const bool apart = split_last && last(c);
        to[d * columns + c] = apart ? input : input + recurrent;
        if (apart)
          to[directions * columns + d * p.units() + c / (p.block * p.gates) * p.block + c % p.block] = recurrent;
      }
    return l.weight(std::move(bytes));
  }
  Call call;
  const BufferId out = l.temporary(total * 4);
  call.buffers = {l.buffer(bias), out};
  call.tactic = "pack";
  call.kernel = l.kernel("pack", {}, [&](Emitter& e) {
    for_nest(e, {directions, p.gates, p.units()}, [&](const Vals& at) {
      Val unit = at[2], real = e.b.CreateICmpSLT(unit, e.i64(p.hidden));
      Val row = e.add(e.mul(at[0], rows * 2), e.add(e.mul(at[1], p.hidden), e.b.CreateSelect(real, unit, e.i64(0))));
      const auto value = [&](int64_t offset) {
        return e.b.CreateSelect(real, e.load(DType::kF32, e.at(e.buf(0), e.mul(e.add(row, e.i64(offset)), 4))),
                                e.f32(0));
      };
      Val input = value(0), recurrent = value(rows);
      Val apart = split_last ? e.b.CreateICmpEQ(at[1], e.i64(p.gates - 1)) : Val(e.b.getFalse());
      Val column =
          e.add(e.mul(e.add(e.mul(e.div(unit, e.i64(p.block)), p.gates), at[1]), p.block), e.rem(unit, e.i64(p.block)));
      e.store(DType::kF32, e.b.CreateSelect(apart, input, e.b.CreateFAdd(input, recurrent)),
              e.at(e.buf(1), e.mul(e.add(e.mul(at[0], columns), column), 4)));
      e.if_then(apart, [&] {
        e.store(DType::kF32, recurrent,
                e.at(e.buf(1), e.mul(e.add(e.mul(at[0], p.units()), e.add(unit, e.i64(directions * columns))), 4)));
      });
    });
    e.ret();
  });
  LATHE_CHECK(l.call(node, std::move(call)));
  return out;
}

/// gates[row][direction][column] = x[row] · W + bias for all rows (time step, batch element).
Status project(Lowering& l, const Node& node, const Packing& p, const Sizes& s, int vectors, BufferId x, BufferId w,
               BufferId bias, BufferId out) {
  const int64_t width = int64_t{vectors} * p.lanes, panels = p.columns() / width;
  const Dim rows = s.steps * s.batch;
  const int registers = l.target.vector_registers;
  const int height = l.target.lane_fma ? (registers - 1 - vectors) / (vectors + 1)  // a vector of each row too
                                       : (registers >= 32 ? 24 : 12) / vectors;
  Call call;
  call.scalars = Lowering::symbolic({rows});
  call.buffers = {x, w, bias, out};
  call.tasks = s.directions * panels;
  call.tactic = "project " + std::to_string(height) + "x" + std::to_string(vectors);
  call.flops = 2.0 * static_cast<double>(l.typical(rows) * s.inputs * p.gates * p.hidden * s.directions);
  call.kernel = l.kernel("project", call.scalars, [&](Emitter& e) {
    const int n = p.lanes;
    for_tasks(e, {s.directions, panels}, [&](const Vals& at) {
      Val panel = e.add(e.mul(at[0], panels), at[1]);
      Val weight = e.at(e.buf(1), e.mul(panel, s.inputs * width * 4)), offset = e.at(e.buf(2), e.mul(panel, width * 4));
      const auto tile = [&](Val row, int many) {
        Val from = e.at(e.buf(0), e.mul(row, s.inputs * 4));
        Vals acc;
        for (int r = 0; r < many; ++r)
          for (int v = 0; v < vectors; ++v) acc.push_back(e.load(DType::kF32, e.at(offset, int64_t{v} * n * 4), n));
        const auto step = [&](Val k, const Vals& in, int steps) {
          Vals next = in, quads;
          const auto input = [&](int r, int u) { return e.at(e.at(from, e.mul(k, 4)), (r * s.inputs + u) * 4); };
          const bool lanes = e.target.lane_fma && steps == 4;
          for (int r = 0; lanes && r < many; ++r) quads.push_back(e.load(DType::kF32, input(r, 0), 4));
          for (int u = 0; u < steps; ++u) {
            Vals line;
            Val place = e.at(weight, e.mul(e.add(k, e.i64(u)), width * 4));
            for (int v = 0; v < vectors; ++v)
              line.push_back(e.load_aligned(DType::kF32, e.at(place, int64_t{v} * n * 4), n, 4 * n));
            for (int r = 0; r < many; ++r) {
              Val value = lanes ? e.b.CreateShuffleVector(quads[static_cast<size_t>(r)],
                                                          std::vector<int>(static_cast<size_t>(n), u))
                                : e.splat(e.load(DType::kF32, input(r, u)), n);
              for (int v = 0; v < vectors; ++v) {
                auto& sum = next[static_cast<size_t>(r * vectors + v)];
                sum = e.fma(value, line[static_cast<size_t>(v)], sum);
              }
            }
          }
          return next;
        };
        const int64_t whole = s.inputs / 4 * 4;
        acc = e.loop(e.i64(0), e.i64(whole), 4, acc, [&](Val k, const Vals& in) { return step(k, in, 4); });
        acc = e.loop(e.i64(whole), e.i64(s.inputs), 1, acc, [&](Val k, const Vals& in) { return step(k, in, 1); });
        Val to = e.at(e.buf(3),
                      e.mul(e.add(e.mul(e.add(e.mul(row, s.directions), at[0]), p.columns()), e.mul(at[1], width)), 4));
        for (int r = 0; r < many; ++r)
          for (int v = 0; v < vectors; ++v)
            e.store(DType::kF32, acc[static_cast<size_t>(r * vectors + v)],
                    e.at(to, (r * s.directions * p.columns() + int64_t{v} * n) * 4));
      };
      // The last tile is moved back to fit, and computes some rows once more.
      Val count = e.dim(rows);
      e.if_else(
          e.b.CreateICmpSGE(count, e.i64(height)),
          [&] {
            e.for_each(e.i64(0), count, height,
                       [&](Val row) { tile(e.imin(row, e.sub(count, e.i64(height))), height); });
            return Vals{};
          },
          [&] {
            e.for_each(e.i64(0), count, 1, [&](Val row) { tile(row, 1); });
            return Vals{};
          });
    });
    e.ret();
  });
  return l.call(node, std::move(call));
}

struct StepEmitter {
  Emitter& e;
  const Recurrence& r;
  const Packing& p;
  const Sizes& s;
  int together;                          ///< batch elements of a task
  std::vector<std::string> activations;  ///< of all directions
  int per_direction;
  bool has_lengths, has_h, has_c, has_peephole;
  std::array<bool, 3> stores;  ///< Y, Y_h, Y_c

  enum Buffer { kGates, kR, kBias, kLengths, kH0, kC0, kY, kYh, kYc, kPeephole, kState };

  int n = p.lanes;
  // of the task; `direction` is known when the kernel is generated
  int64_t direction = 0;
  Val element = nullptr;  ///< first batch element
  Val weight = nullptr, memory = nullptr, cells = nullptr, reset = nullptr, update = nullptr;
  Val first_block = nullptr, last_block = nullptr;  ///< those this call computes

  Val f(double v) { return e.constant(DType::kF32, v, n); }
  Val at(Val base, Val index) { return e.at(base, e.mul(index, 4)); }
  [[nodiscard]] int vectors() const { return static_cast<int>(p.block / n); }
  [[nodiscard]] int64_t state() const { return together * p.units(); }

  Val activate(int which, Val x) {
    const std::string& name = activations[static_cast<size_t>(direction * per_direction + which)];
    if (name == "sigmoid") return e.sigmoid(x);
    if (name == "tanh") return e.tanh(x);
    if (name == "relu") return e.fmax(x, f(0));
    return e.b.CreateFDiv(x, e.b.CreateFAdd(f(1), e.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x)));  // softsign
  }
  Val clipped(Val x) { return limited(x, r.clip); }
  Val limited(Val x, double most) {
    if (most <= 0) return x;
    x = e.b.CreateSelect(e.b.CreateFCmpOGT(x, f(most)), f(most), x);
    return e.b.CreateSelect(e.b.CreateFCmpOLT(x, f(-most)), f(-most), x);
  }

  /// acc[m][gate of `gates`][v] += sum over k of h[m][k] * R[k][gate][units of `block`]
  Vals recur(Vals acc, Val h, Val block, const std::vector<int>& gates) {
    const int64_t line = p.block * p.gates * 4;
    Val panel = e.at(weight, e.mul(block, line * p.hidden));
    const auto step = [&](Val k, const Vals& in, int steps) {
      Vals next = in;
      for (int u = 0; u < steps; ++u) {
        Val row = e.at(e.at(panel, e.mul(k, line)), u * line);
        Vals x;
        for (int m = 0; m < together; ++m)
          x.push_back(e.splat(e.load(DType::kF32, e.at(at(h, k), (m * p.units() + u) * 4)), n));
        size_t i = 0;
        for (const int g : gates)
          for (int v = 0; v < vectors(); ++v, ++i) {
            Val w = e.load_aligned(DType::kF32, e.at(row, (g * p.block + int64_t{v} * n) * 4), n, 4 * n);
            for (size_t m = 0; m < x.size(); ++m) {
              auto& sum = next[m * gates.size() * static_cast<size_t>(vectors()) + i];
              sum = e.fma(x[m], w, sum);
            }
          }
      }
      return next;
    };
    const int64_t whole = p.hidden / 4 * 4;
    acc = e.loop(e.i64(0), e.i64(whole), 4, acc, [&](Val k, const Vals& in) { return step(k, in, 4); });
    return e.loop(e.i64(whole), e.i64(p.hidden), 1, acc, [&](Val k, const Vals& in) { return step(k, in, 1); });
  }

  /// The input's part of a gate.
  Val given(Val row, Val block, int gate, int v) {
    Val index =
        e.add(e.mul(e.add(e.mul(row, s.directions), e.i64(direction)), p.columns()), e.mul(block, p.block * p.gates));
    return e.load(DType::kF32, e.at(at(e.buf(kGates), index), (gate * p.block + int64_t{v} * n) * 4), n);
  }
  Val unit(Val base, Val block, int m, int v) {
    return e.at(at(base, e.mul(block, p.block)), (m * p.units() + int64_t{v} * n) * 4);
  }

  /// body(acc of (m, gate, v)) for every block of units, where acc starts from the input's part.
  void blocks(const std::vector<int>& gates, const Vals& rows, Val h, const std::function<Val(Val, int, int)>& start,
              const std::function<void(Val, int, int, const std::function<Val(int)>&)>& body) {
    e.for_each(first_block, last_block, 1, [&](Val block) {
      Vals acc;
      for (int m = 0; m < together; ++m)
        for (const int g : gates)
          for (int v = 0; v < vectors(); ++v) {
            Val own = start ? start(block, g, v) : nullptr;
            acc.push_back(own ? own : given(rows[static_cast<size_t>(m)], block, g, v));
          }
      acc = recur(acc, h, block, gates);
      for (int m = 0; m < together; ++m)
        for (int v = 0; v < vectors(); ++v)
          body(block, m, v, [&](int g) {
            return acc[static_cast<size_t>((m * static_cast<int>(gates.size()) + g) * vectors() + v)];
          });
    });
  }

  /// One time step from `h` to `next`; `rows`: of each batch element in the input's part.
  void step(const Vals& rows, Val h, Val next) {
    const auto load = [&](Val base, Val block, int m, int v) {
      return e.load(DType::kF32, unit(base, block, m, v), n);
    };
    const auto store = [&](Val x, Val base, Val block, int m, int v) {
      e.store(DType::kF32, x, unit(base, block, m, v));
    };
    if (r.cell == Cell::kRnn) {
      blocks({0}, rows, h, {}, [&](Val block, int m, int v, const auto& gate) {
        store(activate(0, clipped(gate(0))), next, block, m, v);
      });
      return;
    }
    if (r.cell == Cell::kLstm) {
      blocks({0, 1, 2, 3}, rows, h, {}, [&](Val block, int m, int v, const auto& gate) {
        Val old = load(cells, block, m, v);
        const auto peek = [&](Val x, int which, Val cell) {  // peepholes lie in the order i, o, f
          if (!has_peephole) return x;
          return e.fma(e.load(DType::kF32,
                              e.at(unit(e.buf(kPeephole), block, 0, v), (direction * 3 + which) * p.units() * 4), n),
                       cell, x);
        };
        Val in = activate(0, clipped(peek(gate(0), 0, old)));
        Val forget = r.input_forget ? e.b.CreateFSub(f(1), in) : activate(0, clipped(peek(gate(2), 2, old)));
        Val cell = e.fma(forget, old, e.b.CreateFMul(in, activate(1, clipped(gate(3)))));
        cell = limited(cell, r.cell_clip);
        store(cell, cells, block, m, v);
        store(e.b.CreateFMul(activate(0, clipped(peek(gate(1), 1, cell))), activate(2, clipped(cell))), next, block, m,
              v);
      });
      return;
    }
    const auto blend = [&](Val z, Val fresh, Val old) { return e.fma(z, e.b.CreateFSub(old, fresh), fresh); };
    if (r.linear_before_reset) {
      Val recurrent = e.at(e.buf(kBias), (s.directions * p.columns() + direction * p.units()) * 4);
      const auto start = [&](Val block, int g, int v) -> Val {
        return g == 2 ? e.load(DType::kF32, unit(recurrent, block, 0, v), n) : nullptr;
      };
      blocks({0, 1, 2}, rows, h, start, [&](Val block, int m, int v, const auto& gate) {
        Val z = activate(0, clipped(gate(0))), reset_gate = activate(0, clipped(gate(1)));
        Val fresh = activate(1, clipped(e.fma(reset_gate, gate(2), given(rows[static_cast<size_t>(m)], block, 2, v))));
        store(blend(z, fresh, load(h, block, m, v)), next, block, m, v);
      });
      return;
    }
    blocks({0, 1}, rows, h, {}, [&](Val block, int m, int v, const auto& gate) {
      store(activate(0, clipped(gate(0))), update, block, m, v);
      store(e.b.CreateFMul(activate(0, clipped(gate(1))), load(h, block, m, v)), reset, block, m, v);
    });
    blocks({2}, rows, reset, {}, [&](Val block, int m, int v, const auto& gate) {
      store(blend(load(update, block, m, v), activate(1, clipped(gate(0))), load(h, block, m, v)), next, block, m, v);
    });
  }

  /// Element index of [direction][batch element] in the states, of [time][direction][batch element] in Y.
  Val state_index(Val b) {
    return r.layout ? e.add(e.mul(b, s.directions), e.i64(direction)) : e.add(e.mul(e.dim(s.batch), direction), b);
  }
  Val y_index(Val t, Val b) {
    if (r.layout) return e.add(e.mul(e.add(e.mul(b, e.dim(s.steps)), t), s.directions), e.i64(direction));
    return e.add(e.mul(e.add(e.mul(t, s.directions), e.i64(direction)), e.dim(s.batch)), b);
  }
  Val row_index(Val t, Val b) {
    return r.layout ? e.add(e.mul(b, e.dim(s.steps)), t) : e.add(e.mul(t, e.dim(s.batch)), b);
  }
  Val member(int m) { return e.add(element, e.i64(m)); }

  /// Where the state lies: h twice (steps alternate), the cells, and what a GRU keeps within a step.
  void place(Val base) {
    const int64_t size = state() * 4;
    weight = e.at(e.buf(kR), direction * p.columns() * p.hidden * 4);
    memory = base;
    cells = e.at(memory, 2 * size);
    reset = e.at(memory, 3 * size);
    update = e.at(memory, 4 * size);
    first_block = e.i64(0);
    last_block = e.i64(p.blocks());
  }
  [[nodiscard]] bool backwards() const { return r.direction == "reverse" || direction == 1; }

  void begin_sequence() {
    const int64_t size = state() * 4;
    Val zero = e.b.getInt32(0);
    const auto begin = [&](Val to, bool has, int buffer) {
      emit_fill(e, to, zero, e.i64(state()), 4);
      for (int m = 0; has && m < together; ++m)
        emit_copy(e, e.at(to, m * p.units() * 4), at(e.buf(buffer), e.mul(state_index(member(m)), p.hidden)),
                  e.i64(p.hidden), 4);
    };
    begin(memory, has_h, kH0);
    emit_fill(e, e.at(memory, size), zero, e.i64(state()), 4);
    if (r.cell == Cell::kLstm) begin(cells, has_c, kC0);
  }

  /// Step `i` of the sequence, which is time `t`; Y gets the units of [first_block, last_block).
  void one_step(Val i, Val t) {
    const int64_t size = state() * 4;
    Val odd = e.b.CreateAnd(i, e.i64(1));
    Val h = e.at(memory, e.mul(odd, size)), next = e.at(memory, e.mul(e.sub(e.i64(1), odd), size));
    Vals rows;
    for (int m = 0; m < together; ++m) rows.push_back(row_index(t, member(m)));
    step(rows, h, next);
    Val first = e.mul(first_block, p.block);
    Val count = e.sub(e.imin(e.mul(last_block, p.block), e.i64(p.hidden)), first);
    for (int m = 0; stores[0] && m < together; ++m)
      emit_copy(e, at(at(e.buf(kY), e.mul(y_index(t, member(m)), p.hidden)), first),
                at(e.at(next, m * p.units() * 4), first), count, 4);
  }

  void end_sequence(Val length) {
    Val last = e.at(memory, e.mul(e.b.CreateAnd(length, e.i64(1)), state() * 4));
    for (int m = 0; m < together; ++m) {
      Val index = e.mul(state_index(member(m)), p.hidden);
      if (stores[1]) emit_copy(e, at(e.buf(kYh), index), e.at(last, m * p.units() * 4), e.i64(p.hidden), 4);
      if (stores[2]) emit_copy(e, at(e.buf(kYc), index), e.at(cells, m * p.units() * 4), e.i64(p.hidden), 4);
    }
  }

  void sequence() {
    place(e.scratch());
    begin_sequence();
    Val steps = e.dim(s.steps), length = steps;
    if (has_lengths) {
      length = e.b.CreateSExt(e.load(DType::kI32, at(e.buf(kLengths), element)), e.b.getInt64Ty());
      length = e.imax(e.imin(length, steps), e.i64(0));
    }
    e.for_each(e.i64(0), length, 1, [&](Val i) { one_step(i, backwards() ? e.sub(e.sub(length, e.i64(1)), i) : i); });
    if (stores[0] && has_lengths)
      e.for_each(length, steps, 1, [&](Val t) {
        emit_fill(e, at(e.buf(kY), e.mul(y_index(t, element), p.hidden)), e.b.getInt32(0), e.i64(p.hidden), 4);
      });
    end_sequence(length);
  }
};

/// Vectors of a block of units: little padding first, then as many as the registers hold.
int block_vectors(const Target& t, int gates, int64_t hidden, int together) {
  const int64_t whole = (hidden + t.f32_lanes() - 1) / t.f32_lanes();
  const int most = std::max(1, (t.vector_registers >= 32 ? 24 : 12) / (gates * together));
  int best = 1;
  for (int v = 1; v <= std::min(most, 8); ++v) {
    const auto padded = [&](int k) { return (whole + k - 1) / k * k; };
    // Fewer than 8 accumulators wait for each other: worth some padding.
    const bool short_chain = best * gates * together < 8;
    if (padded(v) <= padded(best) || (short_chain && padded(v) * 4 <= padded(best) * 5)) best = v;
  }
  return best;
}

}  // namespace

Status lower_recurrence(Lowering& lowering, const Node& node, const Recurrence& r) {
  const auto input = [&](size_t i) { return i < node.inputs.size() ? node.inputs[i] : kNoId; };
  const auto output = [&](size_t i) { return i < node.outputs.size() ? node.outputs[i] : kNoId; };
  const bool lstm = r.cell == Cell::kLstm;
  const ValueId x = input(0), w = input(1), recurrent = input(2), bias = input(3), lengths = input(4), h0 = input(5),
                c0 = lstm ? input(6) : kNoId, peephole = lstm ? input(7) : kNoId;
  if (lowering.dtype(x) != DType::kF32) return fail(Code::kUnsupported, "only f32 is generated yet");
  if (lengths != kNoId && lowering.dtype(lengths) != DType::kI32)
    return fail(Code::kUnsupported, "sequence_lens must be i32");
  const Shape &xs = lowering.shape(x), &rs = lowering.shape(recurrent);
  if (!xs[2].is_const() || !rs[0].is_const() || !rs[2].is_const())
    return fail(Code::kUnsupported, "input and hidden sizes must be known at build time");

  Packing p;
  p.gates = lstm ? 4 : r.cell == Cell::kGru ? 3 : 1;
  p.hidden = rs[2].value();
  p.lanes = lowering.target.f32_lanes();
  Sizes s{xs[r.layout ? 1 : 0], xs[r.layout ? 0 : 1], rs[0].value(), xs[2].value()};
  if (product(xs).equals(0)) return fail(Code::kUnsupported, "an empty sequence");

  // Some batch elements share each read of R.
  int together = 1;
  if (s.batch.is_const() && lengths == kNoId)
    for (const int k : {2, 3})
      if (s.batch.value() % k == 0) together = k;
  const int vectors = block_vectors(lowering.target, p.gates, p.hidden, together);
  p.block = int64_t{vectors} * p.lanes;

  const std::vector<std::string> defaults = lstm                   ? std::vector<std::string>{"sigmoid", "tanh", "tanh"}
                                            : r.cell == Cell::kGru ? std::vector<std::string>{"sigmoid", "tanh"}
                                                                   : std::vector<std::string>{"tanh"};
  std::vector<std::string> activations;
  for (int64_t d = 0; d < s.directions; ++d)
    for (size_t i = 0; i < defaults.size(); ++i) {
      const size_t at = static_cast<size_t>(d) * defaults.size() + i;
      std::string name = at < r.activations.size() ? r.activations[at] : defaults[i];
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (name != "sigmoid" && name != "tanh" && name != "relu" && name != "softsign")
        return fail(Code::kUnsupported,
                    "activation \"" + name + "\" is not generated yet; sigmoid, tanh, relu and softsign are");
      activations.push_back(std::move(name));
    }

  const int panel = p.columns() / p.lanes % 2 == 0 ? 2 : 1;
  const bool split = r.cell == Cell::kGru && r.linear_before_reset;
  LATHE_TRY(const BufferId packed_w,
            pack_weight(lowering, node, w, p, int64_t{panel} * p.lanes, s.inputs, s.directions));
  LATHE_TRY(const BufferId packed_r,
            pack_weight(lowering, node, recurrent, p, p.block * p.gates, p.hidden, s.directions));
  LATHE_TRY(const BufferId packed_bias, pack_bias(lowering, node, bias, p, s.directions, split));
  BufferId packed_peephole = kNone;
  if (peephole != kNoId) {
    packed_peephole = lowering.temporary(s.directions * 3 * p.units() * 4);
    StridedCopy copy;
    copy.axes = {{s.directions * 3, p.hidden, p.units()}, {p.hidden, 1, 1}};
    LATHE_CHECK(lower_copy(lowering, node, lowering.buffer(peephole), packed_peephole, copy));
  }
  const BufferId gates = lowering.temporary(s.steps * s.batch * Dim(s.directions * p.columns() * 4));
  LATHE_CHECK(project(lowering, node, p, s, panel, lowering.buffer(x), packed_w, packed_bias, gates));

  Call call;
  call.scalars = Lowering::symbolic({s.steps, s.batch});
  call.buffers = {gates,
                  packed_r,
                  packed_bias,
                  lowering.buffer(lengths),
                  lowering.buffer(h0),
                  lowering.buffer(c0),
                  lowering.buffer(output(0)),
                  lowering.buffer(output(1)),
                  lowering.buffer(lstm ? output(2) : kNoId),
                  packed_peephole};
  const Dim groups = s.batch.is_const() ? Dim(s.batch.value() / together) : s.batch;
  call.tasks = Dim(s.directions) * groups;
  call.scratch_bytes = 5 * together * p.units() * 4;
  call.flops =
      2.0 * static_cast<double>(lowering.typical(s.steps * s.batch) * p.hidden * p.gates * p.hidden * s.directions);
  call.tactic = "steps " + std::to_string(together) + "x" + std::to_string(p.gates * vectors);
  const auto make = [&](Emitter& e) {
    return StepEmitter{e,
                       r,
                       p,
                       s,
                       together,
                       activations,
                       static_cast<int>(defaults.size()),
                       lengths != kNoId,
                       h0 != kNoId,
                       c0 != kNoId,
                       peephole != kNoId,
                       {output(0) != kNoId, output(1) != kNoId, lstm && output(2) != kNoId}};
  };

  // One sequence alone cannot be split over time, so its steps are: each step is an instruction whose tasks are runs of
  // units. A task must be worth a fork and a join.
  const double step_flops = 2.0 * static_cast<double>(p.hidden * p.gates * p.hidden * together);
  constexpr double kWorthSplitting = 256e3;
  constexpr int64_t kMostSteps = 1024;
  const bool one_pass = r.cell != Cell::kGru || r.linear_before_reset;
  if (lowering.options.threads_hint > 1 && call.tasks.equals(1) && s.steps.is_const() &&
      s.steps.value() <= kMostSteps && lengths == kNoId && one_pass && step_flops >= kWorthSplitting &&
      p.blocks() >= 2) {
    call.scratch_bytes = 0;
    call.buffers.push_back(lowering.temporary(5 * together * p.units() * 4));
    const auto whole = [&](const char* name, const std::function<void(StepEmitter&)>& part) -> Status {
      Call c = call;
      c.tactic = name;
      c.flops = 1;
      c.kernel = lowering.kernel(name, {}, [&](Emitter& e) {
        StepEmitter emitter = make(e);
        emitter.element = e.i64(0);
        emitter.place(e.buf(StepEmitter::kState));
        part(emitter);
        e.ret();
      });
      return lowering.call(node, std::move(c));
    };
    LATHE_CHECK(whole("begin", [](StepEmitter& emitter) { emitter.begin_sequence(); }));
    const Dim index = Dim::symbol("step");  // a number for each call
    const int64_t parts = std::min<int64_t>(p.blocks(), std::max(2, lowering.options.threads_hint));
    const int kernel = lowering.kernel("step", {index}, [&](Emitter& e) {
      StepEmitter emitter = make(e);
      emitter.element = e.i64(0);
      emitter.place(e.buf(StepEmitter::kState));
      emitter.first_block = e.div(e.mul(e.begin(), p.blocks()), e.i64(parts));
      emitter.last_block = e.div(e.mul(e.end(), p.blocks()), e.i64(parts));
      Val i = e.dim(index);
      emitter.one_step(i, emitter.backwards() ? e.sub(e.i64(s.steps.value() - 1), i) : i);
      e.ret();
    });
    for (int64_t i = 0; i < s.steps.value(); ++i) {
      Call c = call;
      c.kernel = kernel;
      c.scalars = {Dim(i)};
      c.tasks = parts;
      c.flops = step_flops;
      LATHE_CHECK(lowering.call(node, std::move(c)));
    }
    return whole("end", [&](StepEmitter& emitter) { emitter.end_sequence(emitter.e.i64(s.steps.value())); });
  }

  call.kernel = lowering.kernel("steps", call.scalars, [&](Emitter& e) {
    StepEmitter emitter = make(e);
    for_tasks(e, {s.directions, groups}, [&](const Vals& at) {
      emitter.element = e.mul(at[1], together);
      for (int64_t d = 0; d < s.directions; ++d)
        e.if_then(s.directions == 1 ? Val(e.b.getTrue()) : e.b.CreateICmpEQ(at[0], e.i64(d)), [&] {
          emitter.direction = d;
          emitter.sequence();
        });
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
