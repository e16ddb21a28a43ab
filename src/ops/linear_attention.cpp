// SPDX-License-Identifier: Apache-2.0
#include "ops/linear_attention.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> LinearAttention::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 3, 6));
  const ValueInfo &q = inputs[0], &k = inputs[1], &v = inputs[2];
  if (q_heads < 1 || kv_heads < 1 || q_heads > 1 << 20 || q_heads % kv_heads != 0)
    return fail(Code::kUsage, "the query heads must be a multiple of the key heads");
  for (const ValueInfo& x : inputs.first(3))
    if (x.rank() != 3 || x.dtype != q.dtype || !dtype_info(x.dtype).is_float)
      return fail(Code::kUsage, "q, k and v must be of rank 3 and floats of one type");
  const auto dq = q.shape[2].as_const(), dk = k.shape[2].as_const(), dv = v.shape[2].as_const();
  if (!dq || !dk || !dv) return fail(Code::kUnsupported, "the sizes of the heads must be known");
  if (*dq % q_heads != 0 || *dk % kv_heads != 0 || *dv % kv_heads != 0 || *dq / q_heads != *dk / kv_heads)
    return fail(Code::kUsage, "q " + shape_str(q.shape) + ", k " + shape_str(k.shape) + " and v " + shape_str(v.shape) +
                                  " do not fit the heads");
  const auto last_is = [&](size_t i, int64_t a, int64_t b) {
    return !has(inputs, i) || (inputs[i].rank() == 3 && inputs[i].dtype == q.dtype &&
                               (inputs[i].shape[2].equals(a) || inputs[i].shape[2].equals(b)));
  };
  if (!last_is(4, kv_heads, *dk) || !last_is(5, kv_heads, 1))
    return fail(Code::kUsage, "decay or beta does not fit the heads");
  const Shape state = {q.shape[0], kv_heads, *dk / kv_heads, *dv / kv_heads};
  if (has(inputs, 3) && (inputs[3].rank() != 4 || inputs[3].dtype != q.dtype))
    return fail(Code::kUsage, "the state must be of rank 4 and of the type of q");
  for (size_t d = 1; has(inputs, 3) && d < 4; ++d)
    if (inputs[3].shape[d].is_const() && !(inputs[3].shape[d] == state[d]))
      return fail(Code::kUsage, "the state " + shape_str(inputs[3].shape) + " is not " + shape_str(state));
  return std::vector<ValueInfo>{{q.dtype, {q.shape[0], q.shape[1], *dv / kv_heads * q_heads}, nullptr, {}},
                                {q.dtype, state, nullptr, {}}};
}

Result<std::vector<Tensor>> LinearAttention::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
  const int64_t batch = q.dims()[0], steps = q.dims()[1], dk = k.dims()[2] / kv_heads, dv = v.dims()[2] / kv_heads;
  const int64_t group = q_heads / kv_heads;
  Tensor y = Tensor::zeros(q.dtype(), {batch, steps, q_heads * dv});
  Tensor last = Tensor::zeros(q.dtype(), {batch, kv_heads, dk, dv});
  std::vector<double> s(static_cast<size_t>(dk * dv)), u(static_cast<size_t>(dv));
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < kv_heads; ++h) {
      const auto at = [&](int64_t i, int64_t j) -> double& { return s[static_cast<size_t>(i * dv + j)]; };
      for (int64_t i = 0; i < dk * dv; ++i)
        s[static_cast<size_t>(i)] = has(inputs, 3) ? inputs[3].f64_at((b * kv_heads + h) * dk * dv + i) : 0;
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t row = b * steps + t;
        const auto key = [&](int64_t i) { return k.f64_at((row * kv_heads + h) * dk + i); };
        if (has(inputs, 4)) {
          const bool each = inputs[4].dims()[2] != kv_heads;
          for (int64_t i = 0; i < dk; ++i)
            for (int64_t j = 0; j < dv; ++j)
              at(i, j) *= inputs[4].f64_at(each ? (row * kv_heads + h) * dk + i : row * kv_heads + h);
        }
        for (int64_t j = 0; j < dv; ++j) {
          double w = v.f64_at((row * kv_heads + h) * dv + j);
          if (has(inputs, 5)) {
            for (int64_t i = 0; i < dk; ++i) w -= at(i, j) * key(i);
            w *= inputs[5].f64_at(inputs[5].dims()[2] == 1 ? row : row * kv_heads + h);
          }
          u[static_cast<size_t>(j)] = w;
        }
        for (int64_t i = 0; i < dk; ++i)
          for (int64_t j = 0; j < dv; ++j) at(i, j) += key(i) * u[static_cast<size_t>(j)];
        for (int64_t g = 0; g < group; ++g) {
          const int64_t head = h * group + g;
          for (int64_t j = 0; j < dv; ++j) {
            double sum = 0;
            for (int64_t i = 0; i < dk; ++i) sum += at(i, j) * q.f64_at((row * q_heads + head) * dk + i);
            y.set((row * q_heads + head) * dv + j, sum * scale);
          }
        }
      }
      for (int64_t i = 0; i < dk * dv; ++i) last.set((b * kv_heads + h) * dk * dv + i, s[static_cast<size_t>(i)]);
    }
  return std::vector<Tensor>{std::move(y), std::move(last)};
}

const OpInfo& op_linear_attention() { return op_info<LinearAttention>(); }

}  // namespace lathe::ops
