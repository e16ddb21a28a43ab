// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <algorithm>
#include <cmath>

namespace lathe::ops {

namespace {

// Where batch, head, position and feature stand in the four dimensions of an operand.
struct Axes {
  size_t head, position, feature;
};
Axes axes_of(const Attention& op, bool is_k) {
  if (op.heads_last) return {2, 1, 3};
  return is_k && op.k_transposed ? Axes{1, 3, 2} : Axes{1, 2, 3};
}

bool may_equal(const Dim& a, const Dim& b) { return a == b || !a.is_const() || !b.is_const(); }

// An operand as f32 with a stride for each of batch, head, position and feature.
struct Operand {
  Operand(const Tensor& t, Axes a) : data(t.to_f32()), dims(t.dims()), axes(a) {
    int64_t s = 1;
    for (size_t d = 4; d-- > 0; s *= dims[d]) strides[d] = s;
  }
  [[nodiscard]] float at(int64_t b, int64_t h, int64_t l, int64_t d) const {
    return data[static_cast<size_t>(b * strides[0] + h * strides[axes.head] + l * strides[axes.position] +
                                    d * strides[axes.feature])];
  }
  std::vector<float> data;
  std::vector<int64_t> dims;
  Axes axes;
  int64_t strides[4] = {};
};

}  // namespace

Result<std::vector<ValueInfo>> Attention::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  if (inputs.size() < 3 || inputs.size() > 4) return fail(Code::kUsage, "takes q, k, v and perhaps a mask");
  if (heads_last && k_transposed) return fail(Code::kUsage, "heads_last and k_transposed exclude each other");
  const ValueInfo &q = inputs[0], &k = inputs[1], &v = inputs[2];
  for (const ValueInfo& x : inputs.first(3)) {
    if (x.rank() != 4) return fail(Code::kUsage, "q, k and v must have rank 4, not " + std::to_string(x.rank()));
    if (!dtype_info(x.dtype).is_float || x.dtype != q.dtype)
      return fail(Code::kUsage, "q, k and v must be floats of one type");
  }
  const Axes aq = axes_of(*this, false), ak = axes_of(*this, true), av = aq;
  const bool fits = may_equal(q.shape[0], k.shape[0]) && may_equal(q.shape[0], v.shape[0]) &&
                    may_equal(q.shape[aq.feature], k.shape[ak.feature]) &&
                    may_equal(k.shape[ak.position], v.shape[av.position]) &&
                    may_equal(k.shape[ak.head], v.shape[av.head]);
  const auto h = q.shape[aq.head].as_const(), hk = k.shape[ak.head].as_const();
  if (!fits || (h && hk && (*hk == 0 || *h % *hk != 0)))
    return fail(Code::kUsage, "q " + shape_str(q.shape) + ", k " + shape_str(k.shape) + " and v " + shape_str(v.shape) +
                                  " do not fit");
  if (inputs.size() == 4 && inputs[3].dtype != DType::kUndefined) {
    const Shape scores = {q.shape[0], q.shape[aq.head], q.shape[aq.position], k.shape[ak.position]};
    const Shape& m = inputs[3].shape;
    bool ok = inputs[3].dtype == q.dtype && m.size() <= 4;
    for (size_t d = 0; ok && d < m.size(); ++d) ok = m[d].equals(1) || may_equal(m[d], scores[4 - m.size() + d]);
    if (!ok) return fail(Code::kUsage, "mask " + shape_str(m) + " does not broadcast to " + shape_str(scores));
  }
  ValueInfo out;
  out.dtype = q.dtype;
  out.shape = q.shape;
  out.shape[3] = v.shape[3];
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> Attention::evaluate(std::span<const Tensor> inputs) const {
  const Axes aq = axes_of(*this, false), ak = axes_of(*this, true);
  const Operand q(inputs[0], aq), k(inputs[1], ak), v(inputs[2], aq);
  const int64_t batch = q.dims[0], heads = q.dims[aq.head], lq = q.dims[aq.position], depth = q.dims[3];
  const int64_t lk = k.dims[ak.position], group = heads / k.dims[ak.head], dv = v.dims[3];
  const bool masked = inputs.size() == 4 && !inputs[3].empty();
  int64_t mask_strides[4] = {};
  if (masked) {
    int64_t s = 1;
    const auto& dims = inputs[3].dims();
    for (size_t d = dims.size(); d-- > 0; s *= dims[d]) mask_strides[4 - dims.size() + d] = dims[d] == 1 ? 0 : s;
  }
  std::vector<int64_t> dims = q.dims;
  dims[3] = dv;
  Tensor out = Tensor::zeros(inputs[0].dtype(), dims);
  std::vector<double> score(static_cast<size_t>(lk));
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < lq; ++i) {
        const int64_t seen = causal ? std::clamp<int64_t>(i + lk - lq + 1, 0, lk) : lk;
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < seen; ++j) {
          double s = 0;
          for (int64_t d = 0; d < depth; ++d)
            s += static_cast<double>(q.at(b, h, i, d)) * static_cast<double>(k.at(b, h / group, j, d));
          s *= scale;
          if (masked)
            s +=
                inputs[3].f64_at(b * mask_strides[0] + h * mask_strides[1] + i * mask_strides[2] + j * mask_strides[3]);
          score[static_cast<size_t>(j)] = s;
          top = std::max(top, s);
        }
        for (int64_t j = 0; j < seen; ++j) {
          double& s = score[static_cast<size_t>(j)];
          s = std::exp(s - top);
          sum += s;
        }
        for (int64_t d = 0; d < dv; ++d) {
          double r = 0;
          for (int64_t j = 0; j < seen; ++j)
            r += score[static_cast<size_t>(j)] * static_cast<double>(v.at(b, h / group, j, d));
          const int64_t row = heads_last ? (b * lq + i) * heads + h : (b * heads + h) * lq + i;
          out.set(row * dv + d, seen > 0 ? r / sum : 0);
        }
      }
  return std::vector<Tensor>{std::move(out)};
}

double Attention::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const {
  const Axes aq = axes_of(*this, false), ak = axes_of(*this, true);
  const Shape& q = inputs[0].shape;
  const auto scores = (q[0] * q[aq.head] * q[aq.position] * inputs[1].shape[ak.position]).as_const();
  const auto width = (q[3] + outputs[0].shape[3]).as_const();
  // Two products and a softmax (5 an element).
  return scores && width ? static_cast<double>(*scores) * (2 * static_cast<double>(*width) + 5) : 0;
}

const OpInfo& op_attention() { return op_info<Attention>(); }

}  // namespace lathe::ops
