// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN: torch gives all layers in one node and its gates in another order than the operators.
#include <cstring>

#include "import/pt2/handlers.h"
#include "ops/gru.h"
#include "ops/lstm.h"
#include "ops/rnn.h"

namespace lathe::pt2 {

namespace {

// i f g o → i o f g; r z n → z r n
std::vector<int64_t> gate_order(std::string_view kind) {
  if (kind == "lstm") return {0, 3, 1, 2};
  if (kind == "gru") return {1, 0, 2};
  return {0};
}

// Blocks of rows of a constant or computed weight in another order.
ValueId reordered(Node& n, ValueId w, const std::vector<int64_t>& order) {
  if (!n.b.ok() || order.size() == 1) return w;
  const auto gates = static_cast<int64_t>(order.size());
  const auto rows = n.b.shape(w)[0].as_const();
  if (!rows || *rows % gates != 0) {
    n.fail_with(Code::kDamaged, "the weights' rows are not a multiple of the gates");
    return kNoId;
  }
  if (const Tensor* t = n.b.constant_of(w)) {
    Tensor r = Tensor::zeros(t->dtype(), t->dims());
    const size_t block = t->bytes().size() / order.size();
    for (size_t i = 0; i < order.size(); ++i)
      std::memcpy(r.mutable_bytes().data() + i * block, t->bytes().data() + static_cast<size_t>(order[i]) * block,
                  block);
    return n.b.constant(std::move(r));
  }
  Values parts;
  for (const int64_t g : order) parts.push_back(n.b.slice(w, 0, g * (*rows / gates), (g + 1) * (*rows / gates)));
  return n.b.concat(std::move(parts), 0);
}

// With a dimension for the directions in front, both joined along it.
ValueId joined(Node& n, const Values& each) {
  Values parts;
  for (const ValueId v : each) {
    if (!n.b.ok()) return kNoId;
    Shape s = n.b.shape(v);
    s.insert(s.begin(), Dim(1));
    parts.push_back(n.b.reshape(v, s));
  }
  if (parts.size() == 1) return parts[0];
  bool constant = true;
  for (const ValueId v : parts) constant = constant && n.b.constant_of(v);
  if (constant && n.b.ok()) {
    const Tensor first = *n.b.constant_of(parts[0]);
    auto dims = first.dims();
    dims[0] = static_cast<int64_t>(parts.size());
    Tensor r = Tensor::zeros(first.dtype(), dims);
    for (size_t i = 0; i < parts.size(); ++i) {
      const Tensor& t = *n.b.constant_of(parts[i]);
      if (t.bytes().size() != first.bytes().size()) {
        n.fail_with(Code::kDamaged, "the directions' weights differ in size");
        return kNoId;
      }
      std::memcpy(r.mutable_bytes().data() + i * first.bytes().size(), t.bytes().data(), t.bytes().size());
    }
    return n.b.constant(std::move(r));
  }
  return n.b.concat(std::move(parts), 0);
}

template <class T>
std::vector<ValueId> cell(Node& n, Values in, bool both, int64_t hidden, std::string_view activation) {
  auto op = std::make_shared<T>();
  op->direction = both ? "bidirectional" : "forward";
  op->hidden_size = hidden;
  if constexpr (std::is_same_v<T, ops::Gru>) op->linear_before_reset = true;
  if constexpr (std::is_same_v<T, ops::Rnn>) op->activations.assign(both ? 2 : 1, std::string(activation));
  return n.b.add_all(std::move(op), std::move(in));
}

}  // namespace

// (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
Result<Values> recurrent(Node& n) {
  const std::string_view kind = n.canonical();
  const bool lstm = kind == "lstm", gru = kind == "gru";
  const std::vector<int64_t> order = gate_order(kind);
  if (n.has("data") || n.has("batch_sizes")) return unsupported("packed sequences are not supported");
  if (n.flag("train", false) && n.f("dropout", 0) > 0)
    return unsupported("the model was exported for training; call eval() first");
  ValueId x = n.tensor("input");
  const Values states = lstm ? n.tensors("hx") : Values{n.tensor("hx")};
  const Values params = n.tensors("params");
  const bool biases = n.flag("has_biases", true), both = n.flag("bidirectional", false);
  const bool batch_first = n.flag("batch_first", false);
  const int64_t layers = n.i("num_layers", 1), directions = both ? 2 : 1, per = biases ? 4 : 2;
  if (!n.b.ok()) return n.done(kNoId);
  if (layers < 1 || layers > 1024 || static_cast<int64_t>(params.size()) != layers * directions * per)
    return static_cast<int64_t>(params.size()) == layers * directions * (per + 1)
               ? Result<Values>(unsupported("projections (proj_size) are not supported"))
               : Result<Values>(damaged("the number of weights does not fit the layers"));
  if (states.size() != (lstm ? 2u : 1u)) return damaged("the number of states does not fit");
  const bool unbatched = n.b.rank(x) == 2;
  const auto add_batch = [&](ValueId v, int64_t axis) {
    Shape s = n.b.shape(v);
    s.insert(s.begin() + axis, Dim(1));
    return n.b.reshape(v, s);
  };
  Values initial = states;
  if (unbatched) {
    x = add_batch(x, 1);
    for (ValueId& s : initial) s = add_batch(s, 1);
  } else if (batch_first) {
    x = n.b.transpose(x, {1, 0, 2});
  }
  Values finals[2];
  for (int64_t layer = 0; layer < layers; ++layer) {
    Values w, r, bias;
    for (int64_t d = 0; d < directions; ++d) {
      const auto at = static_cast<size_t>((layer * directions + d) * per);
      w.push_back(reordered(n, params[at], order));
      r.push_back(reordered(n, params[at + 1], order));
      if (biases) {
        const ValueId b = reordered(n, params[at + 2], order), rb = reordered(n, params[at + 3], order);
        bias.push_back(n.b.concat({b, rb}, 0));
      }
    }
    if (!n.b.ok()) return n.done(kNoId);
    const auto hidden = n.b.shape(r[0]).size() == 2 ? n.b.shape(r[0])[1].as_const() : std::nullopt;
    if (!hidden) return unsupported("the hidden size is not known");
    Values in = {x, joined(n, w), joined(n, r), biases ? joined(n, bias) : kNoId, kNoId};
    for (const ValueId s : initial) in.push_back(n.b.slice(s, 0, layer * directions, (layer + 1) * directions));
    const auto out = lstm  ? cell<ops::Lstm>(n, std::move(in), both, *hidden, "")
                     : gru ? cell<ops::Gru>(n, std::move(in), both, *hidden, "")
                           : cell<ops::Rnn>(n, std::move(in), both, *hidden, kind == "relu" ? "Relu" : "Tanh");
    if (!n.b.ok() || out.size() < states.size() + 1) return n.done(kNoId);
    // [T, directions, N, H] → [T, N, directions * H]
    const Shape s = n.b.shape(out[0]);
    x = n.b.reshape(n.b.transpose(out[0], {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
    for (size_t i = 0; i < states.size(); ++i) finals[i].push_back(out[1 + i]);
  }
  if (!n.b.ok()) return n.done(kNoId);
  const auto without_batch = [&](ValueId v, int64_t axis) {
    Shape s = n.b.shape(v);
    s.erase(s.begin() + axis);
    return n.b.reshape(v, s);
  };
  Values result = {unbatched ? without_batch(x, 1) : batch_first ? n.b.transpose(x, {1, 0, 2}) : x};
  for (size_t i = 0; i < states.size(); ++i) {
    ValueId v = finals[i].size() == 1 ? finals[i][0] : n.b.concat(finals[i], 0);
    result.push_back(unbatched && n.b.ok() ? without_batch(v, 1) : v);
  }
  return n.done(std::move(result));
}

// One step: lstm_cell, gru_cell, rnn_tanh_cell, rnn_relu_cell.
Result<Values> recurrent_cell(Node& n) {
  const std::string_view kind = n.canonical();
  const bool lstm = kind == "lstm", gru = kind == "gru";
  const std::vector<int64_t> order = gate_order(kind);
  const ValueId x = n.tensor("input"), w = n.tensor("w_ih"), r = n.tensor("w_hh");
  const ValueId b = n.optional("b_ih"), rb = n.optional("b_hh");
  const Values states = lstm ? n.tensors("hx") : Values{n.tensor("hx")};
  if (!n.b.ok()) return n.done(kNoId);
  if (states.size() != (lstm ? 2u : 1u) || n.b.rank(x) != 2 || n.b.rank(r) != 2)
    return damaged("input, weights or states do not fit");
  const auto hidden = n.b.shape(r)[1].as_const();
  if (!hidden) return unsupported("the hidden size is not known");
  const auto first = [&](ValueId v) { return joined(n, {v}); };
  const ValueId bias =
      b == kNoId || rb == kNoId ? kNoId : first(n.b.concat({reordered(n, b, order), reordered(n, rb, order)}, 0));
  Values in = {first(x), first(reordered(n, w, order)), first(reordered(n, r, order)), bias, kNoId};
  for (const ValueId s : states) in.push_back(first(s));
  const auto out = lstm  ? cell<ops::Lstm>(n, std::move(in), false, *hidden, "")
                   : gru ? cell<ops::Gru>(n, std::move(in), false, *hidden, "")
                         : cell<ops::Rnn>(n, std::move(in), false, *hidden, kind == "relu" ? "Relu" : "Tanh");
  if (!n.b.ok() || out.size() < states.size() + 1) return n.done(kNoId);
  Values result;
  for (size_t i = 0; i < states.size(); ++i) result.push_back(n.b.reshape(out[1 + i], n.b.shape(states[i])));
  return n.done(std::move(result));
}

}  // namespace lathe::pt2
