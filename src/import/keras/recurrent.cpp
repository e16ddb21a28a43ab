// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU, SimpleRNN, and the layers that wrap others.
#include <nlohmann/json.hpp>

#include "import/keras/layer.h"
#include "ops/gru.h"
#include "ops/lstm.h"
#include "ops/rnn.h"

namespace lathe::keras {

namespace {

/// The weights of one direction as the operators have them: [1, gates * H, …], bias [1, 2 * gates * H].
struct Cell {
  ValueId w = kNoId, r = kNoId, bias = kNoId;
};

// Keras' gates: i f c o (here i o f c), z r h (the same), one.
ValueId ordered(Layer& n, ValueId v, int64_t gates, int64_t axis) {
  if (!n.b.ok() || gates != 4) return v;
  const auto size = n.b.shape(v)[static_cast<size_t>(axis)].as_const();
  if (!size || *size % 4 != 0) {
    n.fail_with(Code::kDamaged, "weights do not fit the gates");
    return v;
  }
  Values parts;
  for (const int64_t g : {0, 3, 1, 2}) parts.push_back(n.b.slice(v, axis, g * (*size / 4), (g + 1) * (*size / 4)));
  return n.b.concat(parts, axis);
}

Cell cell(Layer& n, std::string_view part, int64_t gates, int64_t hidden) {
  const bool bias = n.flag("use_bias", true);
  const Values all = n.weights(part, bias ? 3 : 2);
  Cell c;
  const auto matrix = [&](ValueId v) {
    const Shape s = n.b.shape(v);
    if (!n.b.ok() || s.size() != 2 || !s[1].equals(gates * hidden)) {
      n.fail_with(Code::kDamaged, "weights do not fit the units");
      return kNoId;
    }
    return n.b.reshape(n.b.transpose(ordered(n, v, gates, 1), {1, 0}), {1, s[1], s[0]});
  };
  c.w = matrix(all[0]);
  c.r = matrix(all[1]);
  if (!bias || !n.b.ok()) return c;
  const Shape s = n.b.shape(all[2]);
  if (s.size() == 2) {  // of GRU with reset_after: the input's and the state's
    if (!s[0].equals(2) || gates != 3) n.fail_with(Code::kDamaged, "a bias of two dimensions");
    c.bias = n.b.reshape(all[2], {1, 2 * gates * hidden});
  } else {
    const ValueId zeros = n.b.constant(Tensor::zeros(DType::kF32, {gates * hidden}));
    c.bias = n.b.reshape(n.b.concat({ordered(n, all[2], gates, 0), zeros}, 0), {1, 2 * gates * hidden});
  }
  return c;
}

std::string function(Layer& n, std::string_view key, std::string_view otherwise) {
  const Json* j = n.setting(key);
  std::string name(otherwise);
  if (j && j->is_string()) name = j->get<std::string>();
  if (j && j->is_object() && j->contains("config") && (*j)["config"].is_string())
    name = (*j)["config"].get<std::string>();
  if (name == "tanh") return "Tanh";
  if (name == "sigmoid") return "Sigmoid";
  if (name == "relu") return "Relu";
  n.fail_with(Code::kUnsupported, "activation \"" + name + "\" of a recurrent layer is not supported");
  return "Tanh";
}

/// Y [T, directions, N, H] and the final states [directions, N, H].
Values run(Layer& n, const std::vector<Cell>& cells, std::string_view direction, int64_t hidden) {
  const std::string_view kind = n.variant();
  const auto joined = [&](ValueId Cell::* member) {
    Values v;
    for (const Cell& c : cells) v.push_back(c.*member);
    return v.size() == 1 || v[0] == kNoId ? v[0] : n.b.concat(v, 0);
  };
  const Values in = {n.b.transpose(n.x(), {1, 0, 2}), joined(&Cell::w), joined(&Cell::r), joined(&Cell::bias)};
  const std::string outer = function(n, "activation", "tanh");
  const std::string inner = kind == "SimpleRNN" ? "" : function(n, "recurrent_activation", "sigmoid");
  std::vector<std::string> functions;
  for (size_t d = 0; d < cells.size(); ++d) {
    if (!inner.empty()) functions.push_back(inner);
    functions.push_back(outer);
    if (kind == "LSTM") functions.push_back(outer);
  }
  if (!n.b.ok()) return {};
  const auto make = [&](auto op) {
    op->direction = direction;
    op->hidden_size = hidden;
    op->activations = functions;
    return op;
  };
  if (kind == "LSTM") return n.b.add_all(make(std::make_shared<ops::Lstm>()), in);
  if (kind == "SimpleRNN") return n.b.add_all(make(std::make_shared<ops::Rnn>()), in);
  auto gru = make(std::make_shared<ops::Gru>());
  gru->linear_before_reset = n.flag("reset_after", true);
  return n.b.add_all(std::move(gru), in);
}

int64_t gates(std::string_view kind) { return kind == "LSTM" ? 4 : kind == "GRU" ? 3 : 1; }

Status check(Layer& n) {
  if (n.in.size() != 1) return unsupported("initial states that are inputs are not supported");
  if (n.b.rank(n.x()) != 3) return damaged("takes a tensor of rank 3");
  for (const char* key : {"stateful", "time_major", "return_state"})
    if (n.flag(key, false)) return unsupported(std::string(key) + " is not supported");
  return {};
}

}  // namespace

Result<Values> recurrent(Layer& n) {
  LATHE_CHECK(check(n));
  const bool sequences = n.flag("return_sequences", false), backwards = n.flag("go_backwards", false);
  if (sequences && backwards) return unsupported("go_backwards with return_sequences is not supported");
  const int64_t hidden = n.sizes("units", 1, 1)[0];
  const Values y = run(n, {cell(n, "cell", gates(n.variant()), hidden)}, backwards ? "reverse" : "forward", hidden);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(y[0]);
  if (sequences) return n.done(n.b.transpose(n.b.reshape(y[0], {s[0], s[2], s[3]}), {1, 0, 2}));
  return n.done(n.b.reshape(y[1], {s[2], s[3]}));
}

namespace {

/// The layer within a wrapper, as a call of its own on `in` with the same weights.
struct Inner {
  Layer layer;

  static Result<Inner> of(Layer& n, Values in, std::string_view part) {
    const Json* j = n.setting("layer");
    if (!j || !j->is_object() || !j->contains("class_name") || !(*j)["class_name"].is_string() ||
        !j->contains("config") || !(*j)["config"].is_object())
      return damaged("a wrapper without a layer");
    const std::string name = (*j)["class_name"].get<std::string>();
    const Row* row = find_row(name);
    if (!row) return unsupported("layer " + name + " is not supported");
    Inner i{Layer(*row, (*j)["config"], std::move(in), n.place(), n.file(), n.b)};
    i.layer.prefix = (n.prefix.empty() ? "" : n.prefix + "/") + std::string(part);
    i.layer.keras2 = n.keras2;
    return i;
  }
};

}  // namespace

Result<Values> bidirectional(Layer& n) {
  LATHE_TRY(Inner inner, Inner::of(n, n.in, "forward_layer"));
  Layer& f = inner.layer;
  if (f.row().handler != recurrent) return unsupported("around " + std::string(f.row().name) + " it is not supported");
  LATHE_CHECK(check(f));
  if (f.flag("go_backwards", false)) return unsupported("go_backwards is not supported");
  const int64_t hidden = f.sizes("units", 1, 1)[0];
  const Cell ahead = cell(f, "cell", gates(f.variant()), hidden);
  f.prefix = (n.prefix.empty() ? "" : n.prefix + "/") + std::string("backward_layer");
  const Cell back = cell(f, "cell", gates(f.variant()), hidden);
  const Values y = run(f, {ahead, back}, "bidirectional", hidden);
  if (!n.b.ok()) return n.done(kNoId);
  // [T, N, H] or [N, H] of each direction
  const bool sequences = f.flag("return_sequences", false);
  const Shape s = n.b.shape(y[0]);
  const auto side = [&](int64_t d) {
    if (!sequences) return n.b.reshape(n.b.slice(y[1], 0, d, d + 1), {s[2], s[3]});
    return n.b.transpose(n.b.reshape(n.b.slice(y[0], 1, d, d + 1), {s[0], s[2], s[3]}), {1, 0, 2});
  };
  const std::string mode = n.s("merge_mode", n.setting("merge_mode") ? "" : "none");
  if (mode == "none") return n.done(Values{side(0), side(1)});
  if (mode == "concat") return n.done(n.b.concat({side(0), side(1)}, sequences ? 2 : 1));
  if (mode == "mul") return n.done(n.b.op("Mul", {side(0), side(1)}));
  const ValueId sum = n.b.op("Add", {side(0), side(1)});
  if (mode == "sum") return n.done(sum);
  if (mode == "ave") return n.done(n.b.op("Mul", {sum, n.number(0.5)}));
  return unsupported("merge_mode \"" + mode + "\" is not supported");
}

// The layer on each step: time joins the batch meanwhile.
Result<Values> time_distributed(Layer& n) {
  const Shape s = n.b.shape(n.x());
  if (s.size() < 3) return damaged("takes a batch of sequences");
  Shape each = {s[0] * s[1]};
  each.insert(each.end(), s.begin() + 2, s.end());
  LATHE_TRY(Inner inner, Inner::of(n, {n.b.reshape(n.x(), each)}, "layer"));
  if (inner.layer.row().handler == time_distributed) return unsupported("around itself it is not supported");
  LATHE_TRY(const Values y, inner.layer.row().handler(inner.layer));
  if (!n.b.ok() || y.size() != 1) return n.done(kNoId);
  Shape r = n.b.shape(y[0]);
  if (r.empty()) return damaged("its layer has no batch");
  r[0] = s[1];
  r.insert(r.begin(), s[0]);
  return n.done(n.b.reshape(y[0], r));
}

}  // namespace lathe::keras
