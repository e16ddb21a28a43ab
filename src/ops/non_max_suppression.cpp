// SPDX-License-Identifier: Apache-2.0
#include "ops/non_max_suppression.h"

#include <algorithm>
#include <array>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

struct Box {
  float y1, x1, y2, x2;
  [[nodiscard]] float area() const { return (y2 - y1) * (x2 - x1); }
};

Box box_at(const Tensor& boxes, int64_t i, bool center) {
  std::array<float, 4> v;
  for (int64_t k = 0; k < 4; ++k) v[static_cast<size_t>(k)] = boxes.as<float>()[static_cast<size_t>(4 * i + k)];
  if (center) return {v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
  return {std::min(v[0], v[2]), std::min(v[1], v[3]), std::max(v[0], v[2]), std::max(v[1], v[3])};
}

float overlap(const Box& a, const Box& b) {
  const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1), w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (h <= 0 || w <= 0) return 0;
  const float both = h * w, either = a.area() + b.area() - both;
  return either > 0 ? both / either : 0;
}

}  // namespace

Result<std::vector<ValueInfo>> NonMaxSuppression::infer(std::span<const ValueInfo> inputs,
                                                        const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 5));
  if (inputs[0].dtype != DType::kF32 || inputs[1].dtype != DType::kF32)
    return fail(Code::kUnsupported, "boxes and scores must be f32");
  if (inputs[0].rank() != 3 || inputs[1].rank() != 3 ||
      (inputs[0].shape[2].is_const() && !inputs[0].shape[2].equals(4)))
    return fail(Code::kUsage, "boxes must be [batch, n, 4] and scores [batch, classes, n]");
  for (const size_t d : {size_t{0}, size_t{1}}) {
    const Dim &a = inputs[0].shape[d], &b = inputs[1].shape[2 * d];
    if (a.is_const() && b.is_const() && !(a == b))
      return fail(Code::kUsage,
                  "boxes " + shape_str(inputs[0].shape) + " and scores " + shape_str(inputs[1].shape) + " do not fit");
  }
  return one(DType::kI64, {fresh("nms"), 3});
}

Result<std::vector<Tensor>> NonMaxSuppression::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &boxes = inputs[0], &scores = inputs[1];
  const int64_t batches = scores.dims()[0], classes = scores.dims()[1], n = scores.dims()[2];
  const int64_t most = has(inputs, 2) ? inputs[2].i64_at(0) : 0;
  const double iou = has(inputs, 3) ? inputs[3].f64_at(0) : 0;
  const bool limited = has(inputs, 4);
  const double lowest = limited ? inputs[4].f64_at(0) : 0;
  std::vector<int64_t> found;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t c = 0; c < classes; ++c) {
      const float* score = scores.as<float>().data() + (b * classes + c) * n;
      std::vector<int64_t> order, kept;
      for (int64_t i = 0; i < n; ++i)
        if (!limited || static_cast<double>(score[i]) > lowest) order.push_back(i);
      std::ranges::stable_sort(order, [&](int64_t i, int64_t j) { return score[i] > score[j]; });
      for (const int64_t i : order) {
        if (static_cast<int64_t>(kept.size()) >= most) break;
        const Box box = box_at(boxes, b * n + i, center_point_box);
        const bool suppressed = std::ranges::any_of(kept, [&](int64_t k) {
          return static_cast<double>(overlap(box, box_at(boxes, b * n + k, center_point_box))) > iou;
        });
        if (suppressed) continue;
        kept.push_back(i);
        found.insert(found.end(), {b, c, i});
      }
    }
  return one(Tensor::of<int64_t>(DType::kI64, {static_cast<int64_t>(found.size() / 3), 3}, found));
}

const OpInfo& op_non_max_suppression() { return op_info<NonMaxSuppression>(); }

}  // namespace lathe::ops
