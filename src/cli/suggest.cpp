// SPDX-License-Identifier: Apache-2.0
#include "cli/suggest.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <vector>

namespace lathe::cli {
namespace {

/// Levenshtein distance; upper and lower case count as equal.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view wanted, std::span<const std::string> names) {
  constexpr size_t kLongest = 256;  // names come from files: no quadratic work on hostile ones
  std::string best;
  size_t best_distance = std::max<size_t>(2, wanted.size() / 2) + 1;
  for (const std::string& name : names) {
    if (name.size() > kLongest || wanted.size() > kLongest) continue;
    if (const size_t d = distance(wanted, name); d < best_distance) {
      best_distance = d;
      best = name;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> names) {
  const std::string name = nearest(wanted, names);
  return name.empty() ? "" : " (did you mean \"" + name + "\"?)";
}

}  // namespace lathe::cli
