// SPDX-License-Identifier: Apache-2.0
// Sizes that depend on data: each function reads the integers that a model computed, checks them, and writes the
// symbols that its operator's code goes by. Types are DType numbers; tables hold sizes of the input.
#include "engine/kernel_abi.h"

namespace {

using Context = const LatheKernelContext*;

constexpr int64_t kMost = int64_t{1} << 40;  // no size, position or count beyond this is meant
constexpr int64_t kSignedBias = int64_t{1} << 40;

/// Element i of integers (i32 or i64) or floats (cut), within [-kMost, kMost].
int64_t number(const void* data, int64_t type, int64_t i) {
  const auto clamped = [](auto v) { return v > kMost ? kMost : v < -kMost ? -kMost : static_cast<int64_t>(v); };
  const auto real = [](double v) {
    return v != v                            ? 0
           : v > static_cast<double>(kMost)  ? kMost
           : v < -static_cast<double>(kMost) ? -kMost
                                             : static_cast<int64_t>(v);
  };
  switch (type) {
    case 1:
      return real(static_cast<double>(static_cast<const float*>(data)[i]));
    case 2:
      return static_cast<const uint8_t*>(data)[i];
    case 3:
      return static_cast<const int8_t*>(data)[i];
    case 4:
      return static_cast<const uint16_t*>(data)[i];
    case 5:
      return static_cast<const int16_t*>(data)[i];
    case 6:
      return static_cast<const int32_t*>(data)[i];
    case 11:
      return real(static_cast<const double*>(data)[i]);
    case 12:
      return static_cast<const uint32_t*>(data)[i];
    default:
      return clamped(static_cast<const int64_t*>(data)[i]);
  }
}

bool refuse(Context context, int64_t fault) {
  *context->fault = fault;
  return false;
}

/// The product of sizes that are not negative; -1: more than 2^60.
int64_t product(const int64_t* dims, int64_t rank) {
  int64_t n = 1;
  for (int64_t d = 0; d < rank; ++d)
    if (dims[d] == 0) return 0;
  for (int64_t d = 0; d < rank; ++d)
    if (__builtin_mul_overflow(n, dims[d], &n) || n > int64_t{1} << 60) return -1;
  return n;
}

bool at_most(Context context, const int64_t* dims, int64_t rank) {
  return product(dims, rank) >= 0 || refuse(context, LATHE_FAULT_MEMORY);
}

int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

}  // namespace

/// bufs: shape (i64); symbols: its elements with 0 and -1 resolved.
extern "C" void lathe_reshape_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                    int64_t rank, int64_t allow_zero, int64_t in_rank, const int64_t* in) {
  int64_t* y = context->symbols;
  int64_t left = -1;
  const int64_t total = product(in, in_rank);
  for (int64_t d = 0; d < rank; ++d) {
    y[d] = number(bufs[0], type, d);
    if (y[d] == 0 && !allow_zero) {
      if (d >= in_rank) return void(refuse(context, LATHE_FAULT_SHAPE));
      y[d] = in[d];
    } else if (y[d] == -1 && left < 0) {
      left = d;
      y[d] = 1;
    } else if (y[d] < 0) {
      return void(refuse(context, LATHE_FAULT_SHAPE));
    }
  }
  const int64_t known = product(y, rank);
  if (left >= 0) {
    if (known <= 0 ? total != 0 : total % known != 0) return void(refuse(context, LATHE_FAULT_SHAPE));
    y[left] = known <= 0 ? 0 : total / known;
  } else if (known != total) {
    refuse(context, LATHE_FAULT_SHAPE);
  }
}

/// bufs: shape; symbols: the broadcast of `in` and the shape, `rank` sizes.
extern "C" void lathe_expand_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                   int64_t count, int64_t rank, int64_t in_rank, const int64_t* in) {
  int64_t* y = context->symbols;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t i = d - (rank - in_rank), w = d - (rank - count);
    const int64_t have = i >= 0 ? in[i] : 1, wanted = w >= 0 ? number(bufs[0], type, w) : 1;
    if (wanted < 0 || (have != wanted && have != 1 && wanted != 1)) return void(refuse(context, LATHE_FAULT_SHAPE));
    y[d] = have == 1 ? wanted : have;
  }
  at_most(context, y, rank);
}

/// bufs: starts, ends, axes?, steps?; symbols for each dimension: size, first index, step + bias.
extern "C" void lathe_slice_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                  int64_t axes_type, int64_t steps_type, int64_t count, int64_t rank,
                                  const int64_t* in) {
  int64_t* y = context->symbols;
  for (int64_t d = 0; d < rank; ++d) {
    y[3 * d] = in[d];
    y[3 * d + 1] = 0;
    y[3 * d + 2] = 1 + kSignedBias;
  }
  for (int64_t i = 0; i < count; ++i) {
    int64_t axis = bufs[2] ? number(bufs[2], axes_type, i) : i;
    if (axis < 0) axis += rank;
    const int64_t step = bufs[3] ? number(bufs[3], steps_type, i) : 1;
    if (axis < 0 || axis >= rank) return void(refuse(context, LATHE_FAULT_INDEX));
    if (step == 0) return void(refuse(context, LATHE_FAULT_VALUE));
    const int64_t n = in[axis], low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    const auto bound = [&](int64_t v) { return clamp(v < 0 ? (v + n < -1 ? -1 : v + n) : v, low, high); };
    const int64_t a = bound(number(bufs[0], type, i)), b = bound(number(bufs[1], type, i));
    const int64_t size = step > 0 ? (b > a ? (b - a - 1) / step + 1 : 0) : (a > b ? (a - b - 1) / -step + 1 : 0);
    y[3 * axis] = size;
    y[3 * axis + 1] = size > 0 ? a : 0;
    y[3 * axis + 2] = (size > 1 ? step : 1) + kSignedBias;
  }
}

/// bufs: pads; symbols: the padded sizes, then the pads + bias (befores, then afters).
extern "C" void lathe_pad_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                int64_t rank, const int64_t* in) {
  int64_t* y = context->symbols;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t before = number(bufs[0], type, d), after = number(bufs[0], type, rank + d);
    y[d] = in[d] + before + after;
    if (y[d] < 0 || in[d] + (before < 0 ? before : 0) + (after < 0 ? after : 0) < 0)
      return void(refuse(context, LATHE_FAULT_SHAPE));
    y[rank + d] = before + kSignedBias;
    y[2 * rank + d] = after + kSignedBias;
  }
  at_most(context, y, rank);
}

/// bufs: repeats; symbols: the repeated sizes, then the repeats.
extern "C" void lathe_tile_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                 int64_t rank, const int64_t* in) {
  int64_t* y = context->symbols;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t times = number(bufs[0], type, d);
    if (times < 0 || __builtin_mul_overflow(in[d], times, &y[d])) return void(refuse(context, LATHE_FAULT_VALUE));
    y[rank + d] = times;
  }
  at_most(context, y, rank);
}

/// bufs: one number; symbols: it. It must be within [0, most].
extern "C" void lathe_count_size(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                 int64_t most) {
  const int64_t n = number(bufs[0], type, 0);
  context->symbols[0] = n;
  if (n < 0 || n > most) refuse(context, LATHE_FAULT_VALUE);
}

/// bufs: an axis; symbols: the products of the sizes before it, of it, and of those after it.
extern "C" void lathe_axis_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                 int64_t rank, const int64_t* in) {
  int64_t axis = number(bufs[0], type, 0);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return void(refuse(context, LATHE_FAULT_INDEX));
  context->symbols[0] = product(in, axis);
  context->symbols[1] = in[axis];
  context->symbols[2] = product(in + axis + 1, rank - axis - 1);
}

/// bufs: a permutation; symbols: the permuted sizes, then the permuted strides.
extern "C" void lathe_permute_sizes(Context context, void* const* bufs, const int64_t*, int64_t, int64_t, int64_t type,
                                    int64_t rank, const int64_t* in) {
  int64_t* y = context->symbols;
  uint64_t seen = 0;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t from = number(bufs[0], type, d);
    if (from < 0 || from >= rank || ((seen >> from) & 1)) return void(refuse(context, LATHE_FAULT_INDEX));
    seen |= uint64_t{1} << from;
    y[d] = in[from];
    y[rank + d] = product(in + from + 1, rank - from - 1);
  }
}
