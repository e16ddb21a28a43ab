// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul.h"

#include <type_traits>

#include "ops/_data.h"
#include "ops/_integer.h"
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

struct Sides {
  size_t m, k_a, k_b, n;  ///< which dimension of a, a, b, b
};

Sides sides(const MatMul& op, size_t rank_a, size_t rank_b) {
  return {rank_a - (op.trans_a ? 1 : 2), rank_a - (op.trans_a ? 2 : 1), rank_b - (op.trans_b ? 1 : 2),
          rank_b - (op.trans_b ? 2 : 1)};
}

}  // namespace

Result<std::vector<ValueInfo>> MatMul::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &a = inputs[0], &b = inputs[1];
  if (a.rank() < 2 || b.rank() < 2) return fail(Code::kUsage, "operands must be matrices");
  LATHE_CHECK(check_operands(a, b, a_zero, b_zero));
  const Sides s = sides(*this, a.shape.size(), b.shape.size());
  const Dim &ka = a.shape[s.k_a], &kb = b.shape[s.k_b];
  if (ka.is_const() && kb.is_const() && !(ka == kb))
    return fail(Code::kUsage, "inner dimensions differ: " + shape_str(a.shape) + " by " + shape_str(b.shape));
  LATHE_TRY(Shape y, broadcast(Shape(a.shape.begin(), a.shape.end() - 2), Shape(b.shape.begin(), b.shape.end() - 2)));
  y.push_back(a.shape[s.m]);
  y.push_back(b.shape[s.n]);
  return one(sum_type(a.dtype, b.dtype), std::move(y));
}

Result<std::vector<Tensor>> MatMul::evaluate(std::span<const Tensor> inputs) const {
  auto wide = widened(inputs);
  const bool small = is_small_integer(inputs[0].dtype());
  if (small) wide = {centred(inputs[0], a_zero), centred(inputs[1], b_zero)};
  const Tensor &a = wide[0], &b = wide[1];
  const Sides s = sides(*this, a.dims().size(), b.dims().size());
  const auto sa = strides_of(a.dims()), sb = strides_of(b.dims());
  const int64_t m = a.dims()[s.m], k = a.dims()[s.k_a], n = b.dims()[s.n];
  const auto fresh = [](std::string_view) { return Dim(0); };
  MatMul plain = *this;
  plain.a_zero = plain.b_zero = 0;
  const ValueInfo in[] = {{a.dtype(), to_shape(a.dims()), nullptr, {}}, {b.dtype(), to_shape(b.dims()), nullptr, {}}};
  LATHE_TRY(const auto out, plain.infer(in, fresh));
  const auto dims = *static_dims(out[0].shape);
  const std::vector<int64_t> batch(dims.begin(), dims.end() - 2);
  // Offset of the batch `index` in an operand: its leading dimensions are aligned to the right and broadcast.
  const auto offset = [&](const Tensor& t, const std::vector<int64_t>& strides, const std::vector<int64_t>& index) {
    int64_t at = 0;
    const size_t lead = t.dims().size() - 2, skip = index.size() - lead;
    for (size_t d = 0; d < lead; ++d)
      if (t.dims()[d] != 1) at += index[skip + d] * strides[d];
    return at;
  };
  Tensor y = Tensor::zeros(a.dtype(), dims);
  const bool known = with_type(a.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using Sum = std::conditional_t<std::is_same_v<T, float>, float,
                                   std::conditional_t<std::is_same_v<T, double>, double, uint64_t>>;
    const T* pa = a.as<T>().data();
    const T* pb = b.as<T>().data();
    T* py = y.mutable_as<T>().data();
    std::vector<Sum> row(static_cast<size_t>(n));
    for_each_index(batch, [&](const std::vector<int64_t>& index, int64_t at) {
      const int64_t oa = offset(a, sa, index), ob = offset(b, sb, index);
      for (int64_t i = 0; i < m; ++i) {
        std::fill(row.begin(), row.end(), Sum{});
        for (int64_t l = 0; l < k; ++l) {
          const auto left = static_cast<Sum>(pa[oa + i * sa[s.m] + l * sa[s.k_a]]);
          for (int64_t j = 0; j < n; ++j)
            row[static_cast<size_t>(j)] += left * static_cast<Sum>(pb[ob + l * sb[s.k_b] + j * sb[s.n]]);
        }
        for (int64_t j = 0; j < n; ++j) py[(at * m + i) * n + j] = static_cast<T>(row[static_cast<size_t>(j)]);
      }
    });
  });
  if (!known) return fail(Code::kUnsupported, "no reference for " + std::string(dtype_name(a.dtype())));
  const DType type = sum_type(inputs[0].dtype(), inputs[1].dtype());
  return one(small ? wrapped(y, type) : convert(y, type));
}

double MatMul::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const {
  const Sides s = sides(*this, inputs[0].shape.size(), inputs[1].shape.size());
  const auto work = (product(outputs[0].shape) * inputs[0].shape[s.k_a]).as_const();
  return work ? 2.0 * static_cast<double>(*work) : 0;
}

const OpInfo& op_matmul() { return op_info<MatMul>(); }

}  // namespace lathe::ops
