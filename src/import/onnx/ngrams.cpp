// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "import/onnx/handlers.h"
#include "import/onnx/ml.h"
#include "ops/gather.h"

namespace lathe::onnx {

namespace {

// How often each of the n-grams `pool` [count, length] occurs in the rows of x [N, C] with `skip` items between its
// own: f32 [N, count]; kNoId where the rows are too short.
ValueId counted(Node& n, ValueId x, int64_t columns, const std::vector<int64_t>& pool, int64_t length, int64_t skip) {
  const int64_t places = columns - (length - 1) * (skip + 1), count = static_cast<int64_t>(pool.size()) / length;
  if (places <= 0) return kNoId;
  const Dim rows = n.b.shape(x)[0];
  ValueId all = kNoId;
  for (int64_t j = 0; j < length && n.b.ok(); ++j) {
    std::vector<int64_t> items;
    for (int64_t i = 0; i < count; ++i) items.push_back(pool[static_cast<size_t>(i * length + j)]);
    const int64_t first = j * (skip + 1);
    const ValueId window = n.b.reshape(n.b.slice(x, 1, first, first + places), {rows, places, 1});
    const ValueId same = n.b.op("Equal", {window, n.b.i64s(items)});
    all = all == kNoId ? same : n.b.op("And", {all, same});
  }
  return n.b.reduce("sum", n.b.cast(all, DType::kF32), {1}, false);
}

}  // namespace

// Each item of each n-gram is compared at each place; counts land where ngram_indexes says. ONNX TfIdfVectorizer-9.
Result<Values> tf_idf(Node& n) {
  if (n.attr("pool_strings") || n.dtype(0) == DType::kString)
    return unsupported("n-grams of strings are not supported");
  const auto list = [&](const char* name) { return n.ints(name).value_or(std::vector<int64_t>{}); };
  const auto pool = list("pool_int64s"), starts = list("ngram_counts"), places = list("ngram_indexes");
  const auto weights = n.floats("weights");
  const int64_t shortest = n.i("min_gram_length", 1), longest = n.i("max_gram_length", 1),
                skips = n.i("max_skip_count", 0);
  const std::string mode = n.s("mode", "TF");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") return damaged("mode \"" + mode + "\" is not known");
  if (shortest < 1 || longest < shortest || longest > static_cast<int64_t>(starts.size()) || skips < 0)
    return damaged("the lengths of n-grams do not fit ngram_counts");
  if (!weights.empty() && weights.size() != places.size()) return damaged("there is not one weight an n-gram");
  if (n.rank(0) < 1 || n.rank(0) > 2) return damaged("the input is neither a vector nor a matrix");
  const auto columns = n.shape(0).back().as_const();
  if (!columns)
    return unsupported("the length " + n.shape(0).back().str() + " of a row must be known; give it with --shape");
  if (skips > *columns) return damaged("max_skip_count is longer than a row");
  const bool vector = n.rank(0) == 1;
  const Dim rows = vector ? Dim(1) : n.shape(0)[0];
  const ValueId x = n.b.reshape(n.b.cast(n.in(0), DType::kI64), {rows, *columns});
  Values parts;
  int64_t total = 0;
  for (int64_t length = 1; length <= static_cast<int64_t>(starts.size()); ++length) {
    const auto i = static_cast<size_t>(length - 1);
    const int64_t end = i + 1 < starts.size() ? starts[i + 1] : static_cast<int64_t>(pool.size());
    if (starts[i] < 0 || end < starts[i] || end > static_cast<int64_t>(pool.size()) || (end - starts[i]) % length != 0)
      return damaged("ngram_counts does not fit the pool");
    const std::vector<int64_t> own(pool.begin() + starts[i], pool.begin() + end);
    const int64_t count = (end - starts[i]) / length;
    total += count;
    if (count == 0) continue;
    ValueId sum = kNoId;
    for (int64_t skip = 0; length >= shortest && length <= longest && skip <= (length > 1 ? skips : 0); ++skip) {
      const ValueId c = counted(n, x, *columns, own, length, skip);
      if (c != kNoId) sum = sum == kNoId ? c : n.b.op("Add", {sum, c});
    }
    parts.push_back(sum != kNoId ? sum : n.b.expand(n.b.scalar(DType::kF32, 0), {rows, count}));
  }
  if (total != static_cast<int64_t>(places.size()) || total == 0)
    return damaged("ngram_indexes are not as many as there are n-grams");
  ValueId counts = n.b.concat(std::move(parts), 1);
  if (mode == "IDF") counts = n.b.cast(n.b.op("Greater", {counts, n.b.scalar(DType::kF32, 0)}), DType::kF32);
  if (mode != "TF" && !weights.empty()) counts = n.b.op("Mul", {counts, ml_vector(n, weights, DType::kF32)});
  // Columns in the order of the result; those that no n-gram has are a column of zeros beside the others.
  const int64_t width = *std::ranges::max_element(places) + 1;
  if (*std::ranges::min_element(places) < 0 || width > 1 << 28) return damaged("an index is out of range");
  std::vector<int64_t> source(static_cast<size_t>(width), total);
  for (size_t i = 0; i < places.size(); ++i) {
    int64_t& from = source[static_cast<size_t>(places[i])];
    if (from != total) return unsupported("two n-grams have the index " + std::to_string(places[i]));
    from = static_cast<int64_t>(i);
  }
  const ValueId padded = n.b.concat({counts, n.b.expand(n.b.scalar(DType::kF32, 0), {rows, 1})}, 1);
  const ValueId y = n.b.make<ops::Gather>({padded, n.b.i64s(source)}, [](ops::Gather& g) { g.axis = 1; });
  return n.done(vector ? n.b.reshape(y, {width}) : y);
}

}  // namespace lathe::onnx
