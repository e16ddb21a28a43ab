// SPDX-License-Identifier: Apache-2.0
#include "ops/unique.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

// -1, 0, 1
int compare(const Tensor& x, int64_t i, int64_t j) {
  if (!dtype_info(x.dtype()).is_float) {
    if (x.dtype() == DType::kU64) {
      const auto a = static_cast<uint64_t>(x.i64_at(i)), b = static_cast<uint64_t>(x.i64_at(j));
      return (a > b) - (a < b);
    }
    const int64_t a = x.i64_at(i), b = x.i64_at(j);
    return (a > b) - (a < b);
  }
  const double a = x.f64_at(i), b = x.f64_at(j);
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) - std::isnan(b);
  return (a > b) - (a < b);
}

}  // namespace

Result<std::vector<ValueInfo>> Unique::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  if (x.rank() != 2) return fail(Code::kUsage, "the input must be a matrix");
  if (x.dtype == DType::kString) return fail(Code::kUnsupported, "strings are not supported");
  const Dim u = fresh("unique");
  return std::vector<ValueInfo>{
      {DType::kI64, {u}, nullptr, {}}, {DType::kI64, {x.shape[0]}, nullptr, {}}, {DType::kI64, {u}, nullptr, {}}};
}

Result<std::vector<Tensor>> Unique::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const int64_t n = x.dims()[0], width = x.dims()[1];
  const auto rows = [&](int64_t i, int64_t j) {
    for (int64_t k = 0; k < width; ++k)
      if (const int c = compare(x, i * width + k, j * width + k); c != 0) return c;
    return 0;
  };
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t i, int64_t j) { return rows(i, j) < 0; });
  struct Group {
    int64_t first, count, sorted_at;
  };
  std::vector<Group> groups;
  std::vector<int64_t> group_of(static_cast<size_t>(n));
  for (const int64_t i : order) {
    if (groups.empty() || rows(groups.back().first, i) != 0)
      groups.push_back({i, 0, static_cast<int64_t>(groups.size())});
    ++groups.back().count;
    group_of[static_cast<size_t>(i)] = groups.back().sorted_at;
  }
  if (!sorted) std::ranges::stable_sort(groups, {}, &Group::first);
  std::vector<int64_t> first, counts, place(groups.size()), inverse;
  for (size_t g = 0; g < groups.size(); ++g) {
    first.push_back(groups[g].first);
    counts.push_back(groups[g].count);
    place[static_cast<size_t>(groups[g].sorted_at)] = static_cast<int64_t>(g);
  }
  for (const int64_t g : group_of) inverse.push_back(place[static_cast<size_t>(g)]);
  return std::vector<Tensor>{Tensor::vector_i64(first), Tensor::vector_i64(inverse), Tensor::vector_i64(counts)};
}

const OpInfo& op_unique() { return op_info<Unique>(); }

}  // namespace lathe::ops
