// SPDX-License-Identifier: Apache-2.0
// Decision trees and sorted tables. Freestanding: no C library. Tables come from a file, so every index is checked.
#include "engine/kernel_abi.h"

namespace {

enum { kSum, kAverage, kMin, kMax };
enum { kMissingTrue = 8 };

template <class T>
bool holds(int32_t mode, T x, T split) {
  if (x != x && (mode & kMissingTrue)) return true;
  switch (mode & 7) {
    case 0:
      return x <= split;
    case 1:
      return x < split;
    case 2:
      return x >= split;
    case 3:
      return x > split;
    case 4:
      return x == split;
    default:
      return x != split;
  }
}

struct Sizes {
  int64_t features, nodes, trees, leaves, pairs, targets, aggregate;
};

/// The leaf of a row in the tree at `root`; negative if the table is damaged.
template <class T>
int64_t leaf_of(const T* x, const int32_t* nodes, const T* splits, int64_t root, const Sizes& s) {
  int64_t at = root;
  for (int64_t before = -1; at >= 0;) {
    if (at <= before || at >= s.nodes) return -1;
    const int32_t* node = nodes + 4 * at;
    if (node[0] < 0 || node[0] >= s.features) return -1;
    before = at;
    at = node[holds(node[1], x[node[0]], splits[at]) ? 2 : 3];
  }
  return ~at < s.leaves ? ~at : -1;
}

// Trees in the outer loop: one stays in the cache for all rows of the chunk. NaN marks a target that no leaf has set.
template <class T>
void tree_ensemble(const LatheKernelContext* context, void* const* bufs, int64_t begin, int64_t end, const Sizes& s) {
  const auto* x = static_cast<const T*>(bufs[0]);
  const auto* nodes = static_cast<const int32_t*>(bufs[1]);
  const auto* splits = static_cast<const T*>(bufs[2]);
  const auto* roots = static_cast<const int32_t*>(bufs[3]);
  const auto* offsets = static_cast<const int32_t*>(bufs[4]);
  const auto* targets = static_cast<const int32_t*>(bufs[5]);
  const auto* weights = static_cast<const T*>(bufs[6]);
  auto* y = static_cast<T*>(bufs[7]);
  const bool extreme = s.aggregate == kMin || s.aggregate == kMax;
  for (int64_t i = begin * s.targets; i < end * s.targets; ++i)
    y[i] = extreme ? static_cast<T>(__builtin_nan("")) : T{};
  for (int64_t tree = 0; tree < s.trees; ++tree)
    for (int64_t row = begin; row < end; ++row) {
      const int64_t leaf = leaf_of(x + row * s.features, nodes, splits, roots[tree], s);
      if (leaf < 0 || offsets[leaf] < 0 || offsets[leaf + 1] > s.pairs) {
        *context->fault = LATHE_FAULT_INDEX;
        return;
      }
      for (int64_t i = offsets[leaf]; i < offsets[leaf + 1]; ++i) {
        if (targets[i] < 0 || targets[i] >= s.targets) {
          *context->fault = LATHE_FAULT_INDEX;
          return;
        }
        T& sum = y[row * s.targets + targets[i]];
        const T w = weights[i];
        if (!extreme)
          sum += w;
        else if (sum != sum || (s.aggregate == kMin ? w < sum : w > sum))
          sum = w;
      }
    }
  for (int64_t i = begin * s.targets; i < end * s.targets; ++i) {
    if (extreme && y[i] != y[i]) y[i] = 0;
    if (s.aggregate == kAverage) y[i] /= static_cast<T>(s.trees);
  }
}

// Keys are sorted ascending; NaN, if it is one, is the last.
template <class T>
int64_t find_key(const T* keys, int64_t n, T key) {
  if (key != key) return n > 0 && keys[n - 1] != keys[n - 1] ? n - 1 : n;
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (keys[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low < n && keys[low] == key ? low : n;
}

template <class T>
void lookup(void* const* bufs, int64_t begin, int64_t end, int64_t keys, int64_t bytes) {
  const auto* x = static_cast<const T*>(bufs[0]);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = find_key(static_cast<const T*>(bufs[1]), keys, x[i]);
    const auto* from = at < keys ? static_cast<const unsigned char*>(bufs[2]) + at * bytes
                                 : static_cast<const unsigned char*>(bufs[3]);
    auto* to = static_cast<unsigned char*>(bufs[4]) + i * bytes;
    for (int64_t k = 0; k < bytes; ++k) to[k] = from[k];
  }
}

}  // namespace

/// bufs: x, nodes, splits, roots, offsets, targets, weights, y; tasks are rows.
extern "C" void lathe_tree_ensemble(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t begin,
                                    int64_t end, int64_t f64, int64_t features, int64_t nodes, int64_t trees,
                                    int64_t leaves, int64_t pairs, int64_t targets, int64_t aggregate) {
  const Sizes s{features, nodes, trees, leaves, pairs, targets, aggregate};
  if (f64)
    tree_ensemble<double>(context, bufs, begin, end, s);
  else
    tree_ensemble<float>(context, bufs, begin, end, s);
}

/// bufs: x, keys, values, the value where there is no key, y; `type`: DType of the keys, `bytes` of a value; tasks are
/// elements.
extern "C" void lathe_lookup(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t begin,
                             int64_t end, int64_t type, int64_t keys, int64_t bytes) {
  switch (type) {
    case 1:
      return lookup<float>(bufs, begin, end, keys, bytes);
    case 6:
      return lookup<int32_t>(bufs, begin, end, keys, bytes);
    case 7:
      return lookup<int64_t>(bufs, begin, end, keys, bytes);
    case 11:
      return lookup<double>(bufs, begin, end, keys, bytes);
    default:
      *context->fault = LATHE_FAULT_VALUE;
  }
}
