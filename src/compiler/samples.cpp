// SPDX-License-Identifier: Apache-2.0
#include "compiler/samples.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

namespace lathe::compiler {

namespace {

constexpr size_t kMostBytes = size_t{4} << 30;

std::string text(const std::vector<int64_t>& dims) { return shape_str(to_shape(dims)); }

bool fits(const Shape& shape, std::span<const int64_t> dims) {
  if (shape.size() != dims.size()) return false;
  for (size_t d = 0; d < dims.size(); ++d)
    if (const auto n = shape[d].as_const(); n && *n != dims[d]) return false;
  return true;
}

bool overflows(const std::vector<int64_t>& dims, size_t element, size_t& bytes) {
  bytes = element;
  for (const int64_t d : dims)
    if (d < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(d), &bytes)) return true;
  return false;
}

class Loader {
 public:
  Loader(const Graph& graph, const CalibrationSet& set) : g_(graph), set_(set) {}

  lathe::Result<std::vector<Sample>> run(std::vector<std::string>& warnings) {
    if (!set_.load || set_.names.empty())
      return fail(Code::kUsage, "the calibration set is empty: give at least one npz file, array or picture");
    const std::set<size_t> wanted = spread(set_.names.size());
    for (const size_t b : wanted) {
      auto arrays = set_.load(b);
      if (!arrays) return fail(static_cast<Code>(arrays.error().code), arrays.error().message);
      LATHE_CHECK(add(set_.names[b], *std::move(arrays)));
    }
    if (samples_.empty()) return fail(Code::kUsage, "the calibration set is empty: its arrays have no elements");
    if (const auto kept = spread(samples_.size()); kept.size() < samples_.size()) {
      std::vector<Sample> some;
      for (const size_t i : kept) some.push_back(std::move(samples_[i]));
      samples_ = std::move(some);
    }
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
      LATHE_CHECK(check_values(i));
      if (constant(i))
        warnings.push_back("input \"" + g_.value(g_.inputs[i]).name +
                           "\" holds one number throughout the calibration set: ranges made from it mean nothing");
    }
    return std::move(samples_);
  }

 private:
  [[nodiscard]] const Value& input(size_t i) const { return g_.value(g_.inputs[i]); }

  /// At most `limit` of n indices, evenly spread.
  [[nodiscard]] std::set<size_t> spread(size_t n) const {
    const size_t most = set_.limit > 0 ? std::min(n, static_cast<size_t>(set_.limit)) : n;
    std::set<size_t> r;
    for (size_t i = 0; i < most; ++i) r.insert(i * n / most);
    return r;
  }

  lathe::Result<size_t> find(const std::string& where, const std::string& name) const {
    std::string known;
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
      if (input(i).name == name || (name.empty() && g_.inputs.size() == 1)) return i;
      known += (i ? ", " : "") + input(i).name;
    }
    return fail(Code::kUsage, where +
                                  (name.empty() ? ": an array without a name, and the model has several inputs: "
                                                : ": \"" + name + "\" is no input of the model; it has ") +
                                  known);
  }

  /// How many samples an array holds, and how much of the first dimension is one; an error if it does not fit.
  struct Cut {
    int64_t count = 1;
    std::vector<int64_t> dims;  ///< of one
  };
  lathe::Result<Cut> cut(const std::string& where, size_t i, const std::vector<int64_t>& dims) const {
    const Shape& shape = input(i).shape;
    if (fits(shape, dims)) {
      Cut c{1, dims};
      if (!dims.empty() && splits(i)) {  // a batch of any size: about eight samples, or more of sixteen rows
        const int64_t n = dims[0];
        int64_t rows = std::clamp<int64_t>(n / 8, 1, 16);
        while (n % rows) --rows;
        c.count = n / rows;
        c.dims[0] = rows;
      }
      return c;
    }
    if (dims.size() == shape.size() && !dims.empty()) {
      const auto batch = shape[0].as_const();
      Cut c{0, dims};
      c.dims[0] = batch.value_or(0);
      if (batch && *batch > 0 && dims[0] % *batch == 0 && fits(shape, c.dims)) {
        c.count = dims[0] / *batch;
        return c;
      }
    }
    if (dims.size() == shape.size() + 1 && fits(shape, std::span(dims).subspan(1)))
      return Cut{dims[0], {dims.begin() + 1, dims.end()}};
    return fail(Code::kUsage, where + ": the array for input \"" + input(i).name + "\" is " + text(dims) +
                                  "; expected " + shape_str(shape) + ", or several of them");
  }

  /// Whether the first dimension of all inputs is the same symbol, and so what batches are counted by.
  [[nodiscard]] bool splits(size_t i) const {
    if (input(i).shape.empty() || input(i).shape[0].symbol_name().empty()) return false;
    return std::ranges::all_of(
        g_.inputs, [&](ValueId v) { return !g_.value(v).shape.empty() && g_.value(v).shape[0] == input(i).shape[0]; });
  }

  Status add(const std::string& where, std::vector<CalibrationArray> arrays) {
    std::vector<std::vector<SampleArray>> parts(g_.inputs.size());
    for (CalibrationArray& a : arrays) {
      LATHE_TRY(const size_t i, find(where, a.input));
      const DType have = dtype_valid(static_cast<uint64_t>(a.dtype)) ? static_cast<DType>(a.dtype) : DType::kUndefined;
      if (a.image) {
        auto fitted = fit_image(a, set_.images, input(i).dtype, input(i).shape);
        if (!fitted) return fail(fitted.error().code, where + ": " + fitted.error().message);
        parts[i].push_back(*std::move(fitted));
        continue;
      }
      if (have != input(i).dtype)
        return fail(Code::kUsage, where + ": the array for input \"" + input(i).name + "\" holds " +
                                      std::string(dtype_name(have)) + "; expected " +
                                      std::string(dtype_name(input(i).dtype)));
      size_t bytes = 0;
      if (overflows(a.dims, 1, bytes) ||
          static_cast<int64_t>(a.data.size()) != dtype_bytes(have, static_cast<int64_t>(bytes)))
        return fail(Code::kUsage, where + ": the array for input \"" + input(i).name + "\" is incomplete");
      LATHE_TRY(const Cut c, cut(where, i, a.dims));
      if (c.count == 0 || bytes == 0) continue;
      const size_t each = a.data.size() / static_cast<size_t>(c.count);
      for (int64_t k = 0; k < c.count; ++k) {
        const auto* from = a.data.data() + static_cast<size_t>(k) * each;
        parts[i].push_back({c.dims, {from, from + each}});
      }
    }
    size_t count = 0;
    for (const auto& p : parts) count = std::max(count, p.size());
    if (count == 0) return {};
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].empty()) return fail(Code::kUsage, where + ": no array for input \"" + input(i).name + '"');
      if (parts[i].size() != count && parts[i].size() != 1)
        return fail(Code::kUsage, where + ": " + std::to_string(parts[i].size()) + " samples for input \"" +
                                      input(i).name + "\", " + std::to_string(count) + " for another");
    }
    for (size_t k = 0; k < count; ++k) {
      Sample s;
      s.name = count == 1 ? where : where + "[" + std::to_string(k) + "]";
      for (const auto& p : parts) {
        s.inputs.push_back(p[p.size() == 1 ? 0 : k]);
        bytes_ += s.inputs.back().data.size();
      }
      if (bytes_ > kMostBytes)
        return fail(Code::kUnsupported, "the calibration set takes more than 4 GiB; use fewer samples of it");
      samples_.push_back(std::move(s));
    }
    return {};
  }

  Status check_values(size_t i) const {
    if (input(i).dtype != DType::kF32) return {};
    for (const Sample& s : samples_) {
      const auto& data = s.inputs[i].data;
      for (size_t at = 0; at + sizeof(float) <= data.size(); at += sizeof(float)) {
        float v = 0;
        std::memcpy(&v, data.data() + at, sizeof v);
        if (!std::isfinite(v))
          return fail(Code::kUsage, s.name + ": input \"" + input(i).name + "\" contains " +
                                        (std::isnan(v) ? "NaN" : "an infinity") + " (element " +
                                        std::to_string(at / sizeof(float)) + "); remove the sample or repair it");
      }
    }
    return {};
  }

  [[nodiscard]] bool constant(size_t i) const {
    if (input(i).dtype != DType::kF32) return false;
    const auto& first = samples_[0].inputs[i].data;
    if (first.size() < sizeof(float)) return false;
    return std::ranges::all_of(samples_, [&](const Sample& s) {
      const auto& d = s.inputs[i].data;
      for (size_t at = 0; at + sizeof(float) <= d.size(); at += sizeof(float))
        if (std::memcmp(d.data() + at, first.data(), sizeof(float)) != 0) return false;
      return true;
    });
  }

  const Graph& g_;
  const CalibrationSet& set_;
  std::vector<Sample> samples_;
  size_t bytes_ = 0;
};

}  // namespace

lathe::Result<std::vector<Sample>> load_samples(const Graph& graph, const CalibrationSet& set,
                                                std::vector<std::string>& warnings) {
  return Loader(graph, set).run(warnings);
}

}  // namespace lathe::compiler
