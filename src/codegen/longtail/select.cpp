// SPDX-License-Identifier: Apache-2.0
// Kernels that choose and order: the largest of a row, boxes that survive suppression. Freestanding: no C library.
#include "engine/kernel_abi.h"

namespace {

/// Sorts `order` so that `before` holds between neighbours (heap sort: in place, n log n always). `before` is a strict
/// total order.
template <class T, class Before>
void sift_down(T* heap, int64_t at, int64_t n, Before before) {
  const T moved = heap[at];
  for (int64_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
    if (child + 1 < n && before(heap[child], heap[child + 1])) ++child;
    if (!before(moved, heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = moved;
}
template <class T, class Before>
void make_heap(T* heap, int64_t n, Before before) {  // the last in order is on top
  for (int64_t i = n / 2; i-- > 0;) sift_down(heap, i, n, before);
}
template <class T, class Before>
void sort_heap(T* heap, int64_t n, Before before) {
  for (int64_t i = n; i-- > 1;) {
    const T top = heap[0];
    heap[0] = heap[i];
    heap[i] = top;
    sift_down(heap, 0, i, before);
  }
}

template <class T>
struct Ranked {
  T value;
  int64_t index;
};

/// The k best of a row, kept in a heap whose top is the worst of them.
template <class T>
void top_k_row(const T* x, int64_t stride, int64_t n, T* values, int64_t* indices, int64_t out_stride, int64_t k,
               bool largest, void* scratch) {
  using Item = Ranked<T>;
  auto* heap = static_cast<Item*>(scratch);
  const auto before = [&](const Item& a, const Item& b) {
    if (a.value != b.value) return largest ? a.value > b.value : a.value < b.value;
    return a.index < b.index;
  };
  if (k <= 0) return;
  for (int64_t i = 0; i < k; ++i) heap[i] = {x[i * stride], i};
  make_heap(heap, k, before);
  for (int64_t i = k; i < n; ++i) {
    const T v = x[i * stride];
    if (largest ? !(v > heap[0].value) : !(v < heap[0].value)) continue;  // a later equal one comes after
    heap[0] = {v, i};
    sift_down(heap, int64_t{0}, k, before);
  }
  sort_heap(heap, k, before);
  for (int64_t i = 0; i < k; ++i) {
    values[i * out_stride] = heap[i].value;
    if (indices) indices[i * out_stride] = heap[i].index;
  }
}

template <class T>
void top_k(const LatheKernelContext* context, void* const* bufs, int64_t begin, int64_t end, int64_t n, int64_t k,
           int64_t inner, bool largest) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t outer = row / inner, column = row % inner, to = outer * k * inner + column;
    auto* indices = static_cast<int64_t*>(bufs[2]);
    top_k_row(static_cast<const T*>(bufs[0]) + outer * n * inner + column, inner, n, static_cast<T*>(bufs[1]) + to,
              indices ? indices + to : nullptr, inner, k, largest, context->scratch);
  }
}

struct Box {
  float y1, x1, y2, x2;
  float area() const { return (y2 - y1) * (x2 - x1); }
};
float smaller(float a, float b) { return b < a ? b : a; }
float larger(float a, float b) { return a < b ? b : a; }
Box box_at(const float* v, bool center) {
  if (center) return {v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
  return {smaller(v[0], v[2]), smaller(v[1], v[3]), larger(v[0], v[2]), larger(v[1], v[3])};
}
float overlap(const Box& a, const Box& b) {
  const float h = smaller(a.y2, b.y2) - larger(a.y1, b.y1), w = smaller(a.x2, b.x2) - larger(a.x1, b.x1);
  if (!(h > 0) || !(w > 0)) return 0;
  const float both = h * w, either = a.area() + b.area() - both;
  return either > 0 ? both / either : 0;
}

}  // namespace

/// `type`: DType of the elements; tasks are rows [outer][inner]; scratch holds k items.
extern "C" void lathe_top_k(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t begin,
                            int64_t end, int64_t type, int64_t n, int64_t k, int64_t inner, int64_t largest) {
  if (k > n) {
    *context->fault = LATHE_FAULT_VALUE;
    return;
  }
  const auto run = [&](auto tag) { top_k<decltype(tag)>(context, bufs, begin, end, n, k, inner, largest != 0); };
  switch (type) {
    case 1:
      return run(float{});
    case 2:
      return run(uint8_t{});
    case 3:
      return run(int8_t{});
    case 4:
      return run(uint16_t{});
    case 5:
      return run(int16_t{});
    case 6:
      return run(int32_t{});
    case 7:
      return run(int64_t{});
    case 11:
      return run(double{});
    case 12:
      return run(uint32_t{});
    case 13:
      return run(uint64_t{});
    default:
      *context->fault = LATHE_FAULT_VALUE;
  }
}

/// bufs: boxes, scores, max_output_boxes_per_class?, iou_threshold?, score_threshold?, selected; scratch: n * 8 bytes.
extern "C" void lathe_non_max_suppression(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t,
                                          int64_t, int64_t batches, int64_t classes, int64_t n, int64_t center) {
  const auto* boxes = static_cast<const float*>(bufs[0]);
  const auto* scores = static_cast<const float*>(bufs[1]);
  const int64_t most = bufs[2] ? *static_cast<const int64_t*>(bufs[2]) : 0;
  const float iou = bufs[3] ? *static_cast<const float*>(bufs[3]) : 0;
  const bool limited = bufs[4] != nullptr;
  const float lowest = limited ? *static_cast<const float*>(bufs[4]) : 0;
  // No more than this many can be kept.
  int64_t bound = 0;
  for (int64_t row = 0; row < batches * classes; ++row) {
    int64_t candidates = 0;
    for (int64_t i = 0; i < n; ++i) candidates += !limited || scores[row * n + i] > lowest;
    bound += candidates < most ? candidates : most > 0 ? most : 0;
  }
  context->symbols[0] = 0;
  auto* selected = static_cast<int64_t*>(context->grow(context, 5, (bound > 0 ? bound : 1) * 24));
  if (!selected) {
    *context->fault = LATHE_FAULT_MEMORY;
    return;
  }
  auto* order = static_cast<int64_t*>(context->scratch);
  int64_t found = 0;
  for (int64_t row = 0; row < batches * classes; ++row) {
    const int64_t batch = row / classes;
    const float* score = scores + row * n;
    int64_t candidates = 0;
    for (int64_t i = 0; i < n; ++i)
      if (!limited || score[i] > lowest) order[candidates++] = i;
    const auto before = [&](int64_t a, int64_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; };
    make_heap(order, candidates, before);
    sort_heap(order, candidates, before);
    const int64_t first = found;
    for (int64_t c = 0; c < candidates && found - first < most; ++c) {
      const Box box = box_at(boxes + (batch * n + order[c]) * 4, center != 0);
      bool suppressed = false;
      for (int64_t kept = first; kept < found && !suppressed; ++kept)
        suppressed = overlap(box, box_at(boxes + (batch * n + selected[3 * kept + 2]) * 4, center != 0)) > iou;
      if (suppressed) continue;
      selected[3 * found] = batch;
      selected[3 * found + 1] = row % classes;
      selected[3 * found + 2] = order[c];
      ++found;
    }
  }
  context->symbols[0] = found;
}

namespace {

template <class T>
int64_t unique_rows(const T* x, int64_t n, int64_t width, bool sorted, int64_t* order, int64_t* group, int64_t* inverse,
                    int64_t* first, int64_t* counts) {
  const auto compare = [&](int64_t i, int64_t j) {
    for (int64_t k = 0; k < width; ++k) {
      const T a = x[i * width + k], b = x[j * width + k];
      const bool a_nan = a != a, b_nan = b != b;
      if (a_nan || b_nan) {
        if (a_nan != b_nan) return a_nan ? 1 : -1;
      } else if (a != b) {
        return a < b ? -1 : 1;
      }
    }
    return 0;
  };
  const auto before = [&](int64_t i, int64_t j) {
    const int c = compare(i, j);
    return c != 0 ? c < 0 : i < j;
  };
  for (int64_t i = 0; i < n; ++i) order[i] = i;
  make_heap(order, n, before);
  sort_heap(order, n, before);
  // group[i]: which group row i is in; equal rows are neighbours, the first occurrence in front.
  int64_t found = 0;
  for (int64_t k = 0; k < n; ++k) {
    const bool starts = k == 0 || compare(order[k - 1], order[k]) != 0;
    if (starts) first[found++] = order[k];
    group[order[k]] = found - 1;
  }
  if (!sorted) {  // groups numbered as they first occur
    int64_t* number = order;
    for (int64_t g = 0; g < found; ++g) number[g] = -1;
    int64_t next = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (number[group[i]] < 0) {
        number[group[i]] = next;
        inverse[next++] = i;
      }
    }
    for (int64_t g = 0; g < found; ++g) first[g] = inverse[g];
    for (int64_t i = 0; i < n; ++i) group[i] = number[group[i]];
  }
  for (int64_t g = 0; g < found; ++g) counts[g] = 0;
  for (int64_t i = 0; i < n; ++i) {
    inverse[i] = group[i];
    ++counts[group[i]];
  }
  return found;
}

}  // namespace

/// bufs: x [n][width], first occurrences, inverse [n], counts; scratch: 16 n bytes.
extern "C" void lathe_unique(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t, int64_t,
                             int64_t type, int64_t n, int64_t width, int64_t sorted) {
  context->symbols[0] = 0;
  const int64_t bytes = (n > 0 ? n : 1) * 8;
  auto* first = static_cast<int64_t*>(context->grow(context, 1, bytes));
  auto* counts = static_cast<int64_t*>(first ? context->grow(context, 3, bytes) : nullptr);
  if (!counts) {
    *context->fault = LATHE_FAULT_MEMORY;
    return;
  }
  auto* order = static_cast<int64_t*>(context->scratch);
  auto* inverse = static_cast<int64_t*>(bufs[2]);
  const auto run = [&](auto tag) {
    context->symbols[0] = unique_rows(static_cast<const decltype(tag)*>(bufs[0]), n, width, sorted != 0, order,
                                      order + n, inverse, first, counts);
  };
  switch (type) {
    case 1:
      return run(float{});
    case 2:
      return run(uint8_t{});
    case 3:
      return run(int8_t{});
    case 4:
      return run(uint16_t{});
    case 5:
      return run(int16_t{});
    case 6:
      return run(int32_t{});
    case 7:
      return run(int64_t{});
    case 11:
      return run(double{});
    case 12:
      return run(uint32_t{});
    case 13:
      return run(uint64_t{});
    default:
      *context->fault = LATHE_FAULT_VALUE;
  }
}
