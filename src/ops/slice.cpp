// SPDX-License-Identifier: Apache-2.0
#include "ops/slice.h"

#include <algorithm>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

struct Cut {
  int64_t start = 0, step = 1, size = 0;
};

// numpy's rule for one dimension of `n`.
Cut cut(int64_t n, int64_t start, int64_t end, int64_t step) {
  const auto bound = [&](int64_t v, int64_t lo, int64_t hi) {
    return std::clamp(v < 0 ? std::max(v + n, int64_t{-1}) : v, lo, hi);
  };
  if (step > 0) {
    const int64_t a = bound(start, 0, n), b = bound(end, 0, n);
    return {a, step, b > a ? (b - a - 1) / step + 1 : 0};
  }
  const int64_t a = bound(start, -1, n - 1), b = bound(end, -1, n - 1);
  return {
      a, step,
      a > b ? static_cast<int64_t>((static_cast<uint64_t>(a - b) - 1) / (uint64_t{0} - static_cast<uint64_t>(step))) + 1
            : 0};
}

// The axes a slice works on, non-negative and each at most once.
Result<std::vector<int64_t>> resolve_axes(const std::optional<std::vector<int64_t>>& given, size_t count,
                                          int64_t rank) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < count; ++i) {
    int64_t a = given ? (*given)[i] : static_cast<int64_t>(i);
    if (a < 0) a += rank;
    LATHE_CHECK(check_axis(a, rank));
    if (std::ranges::find(axes, a) != axes.end())
      return fail(Code::kUsage, "axis " + std::to_string(a) + " is given twice");
    axes.push_back(a);
  }
  return axes;
}

// How converters write "up to the end": this or more.
constexpr int64_t kToTheEnd = 1'000'000'000;

// Output size of a dimension of symbolic size or with symbolic bounds, if it can be told. Symbolic bounds are taken to
// be non-negative; sizes are.
std::optional<Dim> symbolic_size(const Dim& n, const Dim& start, const Dim& end, int64_t step) {
  if (step <= 0) {
    if (step == -1 && start.equals(-1) && end.is_const() && end.value() <= -INT32_MAX) return n;
    return std::nullopt;
  }
  // "Up to the end" is a huge constant.
  if (end.is_const() && end.value() >= kToTheEnd) {
    Dim length = n;
    if (!start.equals(0)) length = start.is_const() && start.value() < 0 ? min(n, Dim(0) - start) : max(n - start, 0);
    return ceil_div(length, step);
  }
  const auto bound = [&](const Dim& v) {
    return v.equals(0) ? v : v.is_const() && v.value() < 0 ? max(n + v, 0) : min(v, n);
  };
  const Dim a = bound(start), b = bound(end);
  if (const auto length = (b - a).as_const()) return *length > 0 ? Dim((*length - 1) / step + 1) : Dim(0);
  return ceil_div(a.equals(0) ? b : max(b - a, 0), step);
}

}  // namespace

Result<std::vector<ValueInfo>> Slice::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 3, 5));
  const ValueInfo& x = inputs[0];
  for (size_t i = 1; i < inputs.size(); ++i)
    if (has(inputs, i) && inputs[i].rank() != 1)
      return fail(Code::kUsage, "starts, ends, axes and steps must be vectors");
  const auto count = inputs[1].shape[0].as_const();
  if (!count) return fail(Code::kUnsupported, "the number of sliced axes depends on data");
  const auto n = static_cast<size_t>(*count);
  const auto axes_given = has(inputs, 3) ? integers_of(inputs[3]) : std::nullopt;
  const auto steps = has(inputs, 4) ? integers_of(inputs[4]) : std::optional(std::vector<int64_t>(n, 1));
  const auto starts = content_of(inputs[1]), ends = content_of(inputs[2]);
  if (has(inputs, 3) && !axes_given) {
    auto out = one(x.dtype, x.shape);
    for (Dim& d : out[0].shape) d = fresh("slice");
    return out;
  }
  if ((axes_given && axes_given->size() != n) || (steps && steps->size() != n) || (starts && starts->size() != n) ||
      (ends && ends->size() != n))
    return fail(Code::kUsage, "starts, ends, axes and steps differ in length");
  LATHE_TRY(const auto axes, resolve_axes(axes_given, n, x.rank()));
  auto out = one(x.dtype, x.shape);
  for (size_t i = 0; i < n; ++i) {
    Dim& d = out[0].shape[static_cast<size_t>(axes[i])];
    const bool known = starts && ends && steps;
    if (steps && (*steps)[i] == 0) return fail(Code::kUsage, "step 0");
    if (known && d.is_const() && (*starts)[i].is_const() && (*ends)[i].is_const()) {
      d = cut(d.value(), (*starts)[i].value(), (*ends)[i].value(), (*steps)[i]).size;
      continue;
    }
    const auto size = known ? symbolic_size(d, (*starts)[i], (*ends)[i], (*steps)[i]) : std::nullopt;
    d = size ? *size : fresh("slice");
  }
  const auto content = content_of(x);
  if (content && x.rank() == 1) {
    Cut c{0, 1, static_cast<int64_t>(content->size())};
    if (n == 1) {
      const auto a = integers_of(inputs[1]), b = integers_of(inputs[2]);
      if (!a || !b || !steps) return out;
      c = cut(c.size, (*a)[0], (*b)[0], (*steps)[0]);
    }
    out[0].content.emplace();
    for (int64_t i = 0; i < c.size; ++i)
      out[0].content->push_back((*content)[static_cast<size_t>(c.start + i * c.step)]);
  }
  return out;
}

Result<std::vector<Tensor>> Slice::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto starts = inputs[1].to_i64(), ends = inputs[2].to_i64();
  const auto given = has(inputs, 3) ? std::optional(inputs[3].to_i64()) : std::nullopt;
  LATHE_TRY(const auto axes, resolve_axes(given, starts.size(), static_cast<int64_t>(x.dims().size())));
  const auto strides = strides_of(x.dims());
  std::vector<int64_t> dims = x.dims(), step = strides;
  int64_t origin = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    const Cut c = cut(dims[a], starts[i], ends[i], has(inputs, 4) ? inputs[4].i64_at(static_cast<int64_t>(i)) : 1);
    dims[a] = c.size;
    if (c.size == 0) continue;
    origin += c.start * strides[a];
    step[a] = c.step * strides[a];
  }
  return one(remap(x, dims, [&](const std::vector<int64_t>& index, int64_t) {
    int64_t at = origin;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * step[d];
    return at;
  }));
}

const OpInfo& op_slice() { return op_info<Slice>(); }

}  // namespace lathe::ops
