// SPDX-License-Identifier: Apache-2.0
// Weights that a model holds in few bits stay so:
//
//     codes → Dequantize(scale, zero) → Transpose, Reshape, Slice … ─┐
//                                                     x ─────────── MatMul      becomes      CodedMatMul(x, codes, …)
//
// Scales and zero points go the same way as the codes, spread over all of them; blocks are then found by where they
// change, however the model spelled them.
#include "passes/coded_weights.h"

#include <numeric>

#include "ir/evaluate.h"
#include "ops/cast.h"
#include "ops/coded_matmul.h"
#include "ops/dequantize.h"
#include "ops/expand.h"
#include "ops/matmul.h"
#include "ops/reshape.h"
#include "ops/slice.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"

namespace lathe::passes {

namespace {

constexpr int64_t kLeastSteps = 32, kLeastWeights = 1024;  // less is folded
constexpr int64_t kBlockUnit = 16;                         // what kernels take
constexpr int kDeepest = 16;                               // nodes between a constant and its use

std::optional<Tensor> constant_of(const Graph& g, ValueId v, int depth = 0) {
  if (v == kNoId) return std::nullopt;
  if (g.value(v).constant) return g.value(v).constant;
  if (depth > kDeepest || g.value(v).producer == kNoId) return std::nullopt;
  const Node& n = g.node(g.value(v).producer);
  if (!n.op->foldable() || n.outputs.size() != 1) return std::nullopt;
  std::vector<Tensor> in;
  for (const ValueId i : n.inputs) {
    auto c = i == kNoId ? Tensor() : constant_of(g, i, depth + 1);
    if (!c) return std::nullopt;
    in.push_back(*std::move(c));
  }
  auto out = evaluate_node(n, in);
  if (!out) return std::nullopt;
  return std::move((*out)[0]);
}

bool moves(const Node& n) { return n.as<ops::Transpose>() || n.as<ops::Reshape>() || n.as<ops::Slice>(); }

DType code_type(DType t) {
  switch (t) {
    case DType::kI2:
    case DType::kI4:
    case DType::kI8:
      return DType::kI8;
    case DType::kU2:
    case DType::kU4:
    case DType::kU8:
      return DType::kU8;
    case DType::kF4E2M1:
    case DType::kF8E4M3FN:
      return DType::kF8E4M3FN;
    default:
      return DType::kUndefined;
  }
}

Tensor converted(const Tensor& t, DType type) {
  if (t.dtype() == type) return t;
  Tensor r = Tensor::zeros(type, t.dims());
  for (int64_t i = 0; i < t.count(); ++i) r.set(i, t.f64_at(i));
  return r;
}

/// t as large as `dims`.
std::optional<Tensor> spread(const Tensor& t, const std::vector<int64_t>& dims) {
  if (t.dims() == dims) return t;
  const Tensor in[] = {t, Tensor::vector_i64(dims)};
  auto r = ops::Expand().evaluate(in);
  if (!r || (*r)[0].dims() != dims) return std::nullopt;
  return std::move((*r)[0]);
}

Tensor transposed(const Tensor& t) {
  const int64_t rows = t.dims()[0], columns = t.dims()[1], size = dtype_bits(t.dtype()) / 8;
  Tensor r = Tensor::zeros(t.dtype(), {columns, rows});
  const std::byte* from = t.bytes().data();
  std::byte* to = r.mutable_bytes().data();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      std::copy_n(from + (i * columns + j) * size, size, to + (j * rows + i) * size);
  return r;
}

/// What a product multiplies by: [columns, k] each.
struct Weights {
  Tensor code, scale, zero;
};

std::optional<Weights> find_weights(const Graph& g, ValueId b, bool columns_first, bool bytes) {
  std::vector<NodeId> path;  // from the product up
  ValueId v = b;
  while (g.value(v).producer != kNoId && static_cast<int>(path.size()) < kDeepest) {
    const NodeId id = g.value(v).producer;
    const Node& n = g.node(id);
    const bool same =
        n.as<ops::Cast>() && dtype_info(g.value(n.inputs[0]).dtype).is_float && dtype_info(g.value(v).dtype).is_float;
    if (!moves(n) && !same) break;
    if (!same) path.push_back(id);
    v = n.inputs[0];
  }
  if (!rewrite::made_by<ops::Dequantize>(g, v)) return std::nullopt;
  const Node& dequantize = g.node(g.value(v).producer);
  const auto code = constant_of(g, dequantize.inputs[0]), scale = constant_of(g, dequantize.inputs[1]);
  const bool has_zero = dequantize.inputs.size() > 2 && dequantize.inputs[2] != kNoId;
  const auto zero = has_zero ? constant_of(g, dequantize.inputs[2]) : Tensor();
  if (!code || !scale || !zero) return std::nullopt;
  const DType type = code_type(code->dtype());
  if (!bytes && (code->dtype() == DType::kI8 || code->dtype() == DType::kU8)) return std::nullopt;
  if (type == DType::kUndefined || !dtype_info(scale->dtype()).is_float) return std::nullopt;
  Weights w{converted(*code, type), converted(*scale, DType::kF32), has_zero ? converted(*zero, type) : Tensor()};
  if (type == DType::kF8E4M3FN) {
    const auto is = [](const Tensor& t, auto test) {
      for (int64_t i = 0; i < t.count(); ++i)
        if (!test(t.f64_at(i))) return false;
      return true;
    };
    if (!is(w.code, [](double x) { return x == x; })) return std::nullopt;
    if (has_zero && !is(w.zero, [](double x) { return x == 0; })) return std::nullopt;
    w.zero = Tensor();
  }
  for (Tensor* t : {&w.code, &w.scale, &w.zero}) {
    if (t->empty()) continue;
    auto all = spread(*t, code->dims());
    if (!all) return std::nullopt;
    for (size_t i = path.size(); i-- > 0;) {
      const Node& n = g.node(path[i]);
      std::vector<Tensor> in = {*std::move(all)};
      for (size_t k = 1; k < n.inputs.size(); ++k) {
        auto c = n.inputs[k] == kNoId ? Tensor() : constant_of(g, n.inputs[k]);
        if (!c) return std::nullopt;
        in.push_back(*std::move(c));
      }
      auto out = n.op->evaluate(in);
      if (!out) return std::nullopt;
      all = std::move((*out)[0]);
    }
    if (all->dims().size() != 2) return std::nullopt;
    *t = columns_first ? *std::move(all) : transposed(*all);
  }
  return w;
}

/// The largest number of steps such that scales and zero points change only at its multiples.
int64_t block_of(const Weights& w) {
  const int64_t columns = w.code.dims()[0], k = w.code.dims()[1];
  int64_t block = 0;
  for (const Tensor* t : {&w.scale, &w.zero}) {
    if (t->empty()) continue;
    const int64_t size = dtype_bits(t->dtype()) / 8;
    const std::byte* p = t->bytes().data();
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t i = 1; i < k; ++i) {
        const std::byte* at = p + (c * k + i) * size;
        if (!std::equal(at, at + size, at - size)) block = std::gcd(block, i);
      }
  }
  return block == 0 ? k : block;
}

/// One element of each block: [columns, blocks].
Tensor of_blocks(const Tensor& t, int64_t block) {
  const int64_t columns = t.dims()[0], k = t.dims()[1], blocks = (k + block - 1) / block;
  const int64_t size = dtype_bits(t.dtype()) / 8;
  Tensor r = Tensor::zeros(t.dtype(), {columns, blocks});
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t g = 0; g < blocks; ++g)
      std::copy_n(t.bytes().data() + (c * k + g * block) * size, size,
                  r.mutable_bytes().data() + (c * blocks + g) * size);
  return r;
}

Result<int> find_all(Graph& g, bool bytes) {
  int changes = 0;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    const auto* product = n.as<ops::MatMul>();
    if (!product || product->trans_a || !n.epilogue.empty()) continue;
    const Value &a = g.value(n.inputs[0]), &b = g.value(n.inputs[1]);
    if (a.constant || a.dtype != DType::kF32 || b.constant || b.dtype != DType::kF32 || b.shape.size() != 2) continue;
    const auto dims = static_dims(b.shape);
    if (!dims || (*dims)[0] * (*dims)[1] < kLeastWeights || (*dims)[product->trans_b ? 1 : 0] < kLeastSteps) continue;
    const auto w = find_weights(g, n.inputs[1], product->trans_b, bytes);
    if (!w) continue;
    const int64_t block = block_of(*w);
    if (block != w->code.dims()[1] && block % kBlockUnit != 0) continue;
    auto op = std::make_shared<ops::CodedMatMul>();
    op->block = block;
    const std::string name = n.name, weights = b.name;  // both move when the graph grows
    std::vector<ValueId> in = {n.inputs[0], g.add_constant(weights, w->code),
                               g.add_constant({}, of_blocks(w->scale, block))};
    if (!w->zero.empty()) in.push_back(g.add_constant({}, of_blocks(w->zero, block)));
    LATHE_TRY(const ValueId y, g.add(std::move(op), std::move(in), name));
    rewrite::replace_node(g, id, y);
    ++changes;
  }
  if (changes) g.remove_dead();
  return changes;
}

}  // namespace

Result<int> coded_weights_early(Graph& g, const PassOptions&) { return find_all(g, false); }
Result<int> coded_weights(Graph& g, const PassOptions&) { return find_all(g, true); }

}  // namespace lathe::passes
