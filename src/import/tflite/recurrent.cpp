// SPDX-License-Identifier: Apache-2.0
// The fused recurrent operators on floats. Their state is in tensors marked as variable: a run goes on where the last
// one ended.
#include <functional>
#include <optional>

#include "import/tflite/handlers.h"
#include "import/tflite/importer.h"
#include "import/tflite/linear.h"
#include "ops/lstm.h"
#include "ops/rnn.h"

namespace lathe::tflite {

namespace {

constexpr int64_t kMaxSteps = 512;  // of sequences that are written out step by step

/// The activation's name in ONNX's recurrent operators, which the canonical ones have, too.
std::optional<std::string> recurrent_name(fb::Activation a) {
  if (a == fb::Activation::TANH) return "Tanh";
  if (a == fb::Activation::RELU) return "Relu";
  return std::nullopt;
}

Result<int64_t> constant_size(const Node& n, size_t i, size_t d, const char* what) {
  const Shape s = n.shape(i);
  if (!n.has(i) || d >= s.size()) return damaged(std::string("it lacks ") + what);
  const auto size = s[d].as_const();
  if (!size || *size < 1) return unsupported(std::string("the size of ") + what + " is not constant");
  return *size;
}

Status all_floats(const Node& n) {
  for (size_t i = 0; i < n.input_count(); ++i)
    if (n.has(i) && n.dtype(i) != DType::kF32)
      return unsupported("input " + std::to_string(i) + " is " + std::string(dtype_name(n.dtype(i))) +
                         "; only f32 is supported: convert the model without quantizing it");
  return {};
}

/// `x` [batch, size] with a dimension of 1 where the canonical operators have that of directions.
ValueId with_direction(Node& n, ValueId x, bool batch_first) {
  Shape s = n.b.shape(x);
  s.insert(batch_first ? s.begin() + 1 : s.begin(), Dim(1));
  return n.b.reshape(x, s);
}

ValueId stacked(Node& n, Values parts) {
  const ValueId all = parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), 0);
  Shape s = n.b.shape(all);
  s.insert(s.begin(), Dim(1));
  return n.b.reshape(all, s);
}

/// x w^T of matrices.
ValueId times(Node& n, ValueId x, ValueId w) { return product_of(n, x, w, false, true); }

/// Calls `step` for each time of `x` and joins the results as `x` is laid out. A matrix is one step.
Result<ValueId> step_by_step(Node& n, ValueId x, bool time_major, const std::function<ValueId(ValueId)>& step) {
  if (n.b.rank(x) == 2) return step(x);
  const int64_t axis = time_major ? 0 : 1;
  const Shape s = n.b.shape(x);
  const auto length = s[static_cast<size_t>(axis)].as_const();
  if (!length || *length < 1 || *length > kMaxSteps)
    return unsupported("a sequence of " + s[static_cast<size_t>(axis)].str() + " steps is not supported here: up to " +
                       std::to_string(kMaxSteps) + " are; give --shape");
  Values parts;
  for (int64_t t = 0; t < *length && n.b.ok(); ++t) {
    const ValueId y = step(n.b.reshape(n.b.slice(x, axis, t, t + 1), {s[time_major ? 1 : 0], s[2]}));
    Shape one = n.b.shape(y);
    one.insert(one.begin() + axis, Dim(1));
    parts.push_back(n.b.reshape(y, one));
  }
  return parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), axis);
}

/// Where LSTM's inputs stand, each four in the order input, forget, cell, output.
enum LstmInput : size_t {
  kX = 0,
  kW = 1,
  kR = 5,
  kPeephole = 9,
  kBias = 12,
  kProjection = 16,
  kH = 18,
  kC = 19,
  kNorm = 20
};

struct LstmFacts {
  fb::Activation activation = fb::Activation::NONE;
  double cell_clip = 0, projection_clip = 0;
  bool time_major = true;
  [[nodiscard]] bool batch_first(const Node& n) const { return n.rank(kX) == 3 && !time_major; }
};

/// Without layer normalisation and projection: one canonical operator.
Result<Values> fused_lstm(Node& n, const LstmFacts& f, const std::string& activation, int64_t hidden) {
  const bool coupled = !n.has(kW);
  // In the canonical order: input, output, forget, cell. A coupled input gate is 1 - forget gate, which is the forget
  // gate's sigmoid of the negative sum.
  const auto four = [&](size_t first) {
    const ValueId input = coupled ? n.b.op("Neg", {n.in(first + 1)}) : n.in(first);
    return stacked(n, {input, n.in(first + 3), n.in(first + 1), n.in(first + 2)});
  };
  const ValueId zeros = n.b.constant(Tensor::zeros(DType::kF32, {4 * hidden}));
  const ValueId bias = n.b.concat({n.b.reshape(four(kBias), {Dim(4 * hidden)}), zeros}, 0);
  ValueId peephole = kNoId;
  if (n.has(kPeephole + 1)) {
    const ValueId input = coupled ? n.b.op("Neg", {n.in(kPeephole + 1)}) : n.in(kPeephole);
    peephole = stacked(n, {input, n.in(kPeephole + 2), n.in(kPeephole + 1)});
  }
  const bool batch_first = f.batch_first(n);
  ValueId x = n.in(kX);
  if (n.rank(kX) == 2) x = n.b.reshape(x, {Dim(1), n.shape(kX)[0], n.shape(kX)[1]});
  const auto op = std::make_shared<ops::Lstm>();
  op->hidden_size = hidden;
  op->activations = {"Sigmoid", activation, activation};
  op->cell_clip = f.cell_clip;
  op->layout = batch_first;
  op->input_forget = coupled;
  Values inputs = {x,
                   four(kW),
                   four(kR),
                   stacked(n, {bias}),
                   kNoId,
                   with_direction(n, n.in(kH), batch_first),
                   with_direction(n, n.in(kC), batch_first)};
  if (peephole != kNoId) inputs.push_back(peephole);
  const Values made = n.b.add_all(op, std::move(inputs));
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  Shape y = n.shape(kX);
  y.back() = Dim(hidden);
  return Values{n.b.reshape(made[0], y), n.b.reshape(made[1], n.shape(kH)), n.b.reshape(made[2], n.shape(kC))};
}

/// The same step by step, with all that the operator can have.
Result<Values> composed_lstm(Node& n, const LstmFacts& f) {
  ValueId h = n.in(kH), c = n.in(kC);
  const bool coupled = !n.has(kW);
  const auto limited = [&](ValueId v, double most) {
    return most > 0 ? n.b.op("Clip", {v, n.scalar(-most), n.scalar(most)}) : v;
  };
  const auto normalised = [&](ValueId v, size_t gate) {
    const int64_t axis = n.b.rank(v) - 1;
    const ValueId centred = n.b.op("Sub", {v, n.b.reduce("mean", v, {axis}, true)});
    const ValueId variance = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), {axis}, true);
    const ValueId deviation = n.b.op("Sqrt", {n.b.op("Add", {variance, n.scalar(1e-8)})});
    return n.b.op("Mul", {n.b.op("Div", {centred, deviation}), n.in(kNorm + gate)});
  };
  const auto sum = [&](ValueId x, size_t gate, ValueId cell) {
    ValueId v = n.b.op("Add", {times(n, x, n.in(kW + gate)), times(n, h, n.in(kR + gate))});
    // Peepholes: input, forget, output.
    const size_t peephole = kPeephole + (gate == 3 ? 2 : gate);
    if (gate != 2 && n.has(peephole)) v = n.b.op("Add", {v, n.b.op("Mul", {cell, n.in(peephole)})});
    if (n.has(kNorm + gate)) v = normalised(v, gate);
    return n.b.op("Add", {v, n.in(kBias + gate)});
  };
  const auto step = [&](ValueId x) {
    const ValueId forget = n.b.op("Sigmoid", {sum(x, 1, c)});
    const ValueId input = coupled ? n.b.op("Sub", {n.scalar(1), forget}) : n.b.op("Sigmoid", {sum(x, 0, c)});
    const ValueId fresh = activate(n, sum(x, 2, c), f.activation);
    c = limited(n.b.op("Add", {n.b.op("Mul", {forget, c}), n.b.op("Mul", {input, fresh})}), f.cell_clip);
    const ValueId output = n.b.op("Sigmoid", {sum(x, 3, c)});
    h = n.b.op("Mul", {output, activate(n, c, f.activation)});
    if (n.has(kProjection)) {
      h = times(n, h, n.in(kProjection));
      if (n.has(kProjection + 1)) h = n.b.op("Add", {h, n.in(kProjection + 1)});
      h = limited(h, f.projection_clip);
    }
    return h;
  };
  LATHE_TRY(const ValueId y, step_by_step(n, n.in(kX), f.time_major, step));
  return Values{y, h, c};
}

}  // namespace

// UNIDIRECTIONAL_SEQUENCE_LSTM, and LSTM, which is one step.
Result<Values> lstm(Node& n) {
  LstmFacts f;
  if (n.canonical() == "sequence") {
    if (const auto* o = n.options<fb::UnidirectionalSequenceLSTMOptions>()) {
      if (o->diagonal_recurrent_tensors()) return unsupported("diagonal recurrent weights are not supported");
      f = {o->activation(), static_cast<double>(o->cell_clip()), static_cast<double>(o->proj_clip()), o->time_major()};
    }
  } else if (const auto* o = n.options<fb::LSTMOptions>()) {
    if (o->kernel_type() != 0) return unsupported("the basic kernel is not supported; the full one is");
    f = {o->activation(), static_cast<double>(o->cell_clip()), static_cast<double>(o->proj_clip()), true};
  }
  LATHE_CHECK(all_floats(n));
  if (n.rank(kX) != (n.canonical() == "sequence" ? 3 : 2)) return damaged("its input has another rank");
  for (const size_t i : {kW + 1, kW + 2, kW + 3, kR + 1, kR + 2, kR + 3, kBias + 1, kBias + 2, kBias + 3})
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is absent");
  if (n.has(kW) != n.has(kR) || n.has(kW) != n.has(kBias)) return damaged("its input gate is there in part");
  if (n.has(kPeephole + 1) != n.has(kPeephole + 2) || (n.has(kW) && n.has(kPeephole) != n.has(kPeephole + 1)))
    return damaged("its peepholes are there in part");
  if (n.output_count() != 1) return damaged("it has " + std::to_string(n.output_count()) + " outputs");
  LATHE_TRY(const int64_t hidden, constant_size(n, kW + 1, 0, "the weights"));
  if (n.rank(kH) != 2 || n.rank(kC) != 2) return damaged("its state tensors are not matrices");
  bool norm = false;
  for (size_t i = 0; i < 4; ++i) norm = norm || n.has(kNorm + i);
  const auto name = recurrent_name(f.activation);
  LATHE_TRY(const Values made,
            !norm && !n.has(kProjection) && name ? fused_lstm(n, f, *name, hidden) : composed_lstm(n, f));
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  LATHE_CHECK(n.importer().set_state(n.in_tensor(kH), made[1]));
  LATHE_CHECK(n.importer().set_state(n.in_tensor(kC), made[2]));
  return n.done(made[0]);
}

// UNIDIRECTIONAL_SEQUENCE_RNN, and RNN, which is one step. Inputs: x, weights, recurrent weights, bias, state.
Result<Values> rnn(Node& n) {
  fb::Activation activation = fb::Activation::NONE;
  bool time_major = true;
  if (const auto* o = n.options<fb::SequenceRNNOptions>()) {
    activation = o->activation();
    time_major = o->time_major();
  } else if (const auto* single = n.options<fb::RNNOptions>()) {
    activation = single->activation();
  }
  LATHE_CHECK(all_floats(n));
  for (size_t i = 0; i < 5; ++i)
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is absent");
  if (n.rank(0) != (n.canonical() == "sequence" ? 3 : 2) || n.rank(4) != 2) return damaged("an input has another rank");
  LATHE_TRY(const int64_t hidden, constant_size(n, 1, 0, "the weights"));
  ValueId y = kNoId, h = n.in(4);
  if (const auto name = recurrent_name(activation)) {
    const bool batch_first = n.rank(0) == 3 && !time_major;
    ValueId x = n.in(0);
    if (n.rank(0) == 2) x = n.b.reshape(x, {Dim(1), n.shape(0)[0], n.shape(0)[1]});
    const auto op = std::make_shared<ops::Rnn>();
    op->hidden_size = hidden;
    op->activations = {*name};
    op->layout = batch_first;
    const ValueId bias = n.b.concat({n.in(3), n.b.constant(Tensor::zeros(DType::kF32, {hidden}))}, 0);
    const Values made = n.b.add_all(op, {x, stacked(n, {n.in(1)}), stacked(n, {n.in(2)}), stacked(n, {bias}), kNoId,
                                         with_direction(n, h, batch_first)});
    if (!n.b.ok()) return std::unexpected(n.b.status().error());
    Shape shape = n.shape(0);
    shape.back() = Dim(hidden);
    y = n.b.reshape(made[0], shape);
    h = n.b.reshape(made[1], n.shape(4));
  } else {
    LATHE_TRY(y, step_by_step(n, n.in(0), time_major, [&](ValueId x) {
                const ValueId both = n.b.op("Add", {times(n, x, n.in(1)), times(n, h, n.in(2))});
                return h = activate(n, n.b.op("Add", {both, n.in(3)}), activation);
              }));
  }
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  LATHE_CHECK(n.importer().set_state(n.in_tensor(4), h));
  return n.done(y);
}

// Inputs: x [batch, size], weights of features [filters, size], weights of time [filters, memory], bias [units], state
// [batch, filters × memory]. Each filter keeps its last `memory` features; `rank` filters make a unit.
Result<Values> svdf(Node& n) {
  const auto* o = n.options<fb::SVDFOptions>();
  LATHE_CHECK(all_floats(n));
  for (const size_t i : {0, 1, 2, 4})
    if (!n.has(i)) return damaged("input " + std::to_string(i) + " is absent");
  if (n.rank(0) != 2 || n.rank(1) != 2 || n.rank(2) != 2 || n.rank(4) != 2) return damaged("it takes matrices");
  LATHE_TRY(const int64_t filters, constant_size(n, 1, 0, "the weights"));
  LATHE_TRY(const int64_t memory, constant_size(n, 2, 1, "the memory"));
  const int64_t rank = o ? o->rank() : 0;
  if (rank < 1 || filters % rank != 0)
    return damaged("rank " + std::to_string(rank) + " does not divide " + std::to_string(filters) + " filters");
  const Dim batch = n.shape(0)[0];
  const ValueId feature = n.b.reshape(times(n, n.in(0), n.in(1)), {batch, Dim(filters), Dim(1)});
  const ValueId before = n.b.reshape(n.in(4), {batch, Dim(filters), Dim(memory)});
  const ValueId now = memory == 1 ? feature : n.b.concat({n.b.slice(before, 2, 1, memory), feature}, 2);
  const ValueId over_time = n.b.reduce("sum", n.b.op("Mul", {now, n.in(2)}), {2}, false);
  ValueId y = n.b.reduce("sum", n.b.reshape(over_time, {batch, Dim(filters / rank), Dim(rank)}), {2}, false);
  if (n.has(3)) y = n.b.op("Add", {y, n.in(3)});
  y = activate(n, y, o->activation());
  const ValueId state = n.b.reshape(now, n.shape(4));
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  LATHE_CHECK(n.importer().set_state(n.in_tensor(4), state));
  return n.done(y);
}

}  // namespace lathe::tflite
