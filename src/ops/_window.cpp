// SPDX-License-Identifier: Apache-2.0
#include "ops/_window.h"

#include <algorithm>

namespace lathe::ops {

Status check_window(const Window& w, size_t spatial) {
  if (w.strides.size() != spatial || w.dilations.size() != spatial || w.pads.size() != 2 * spatial ||
      w.kernel.size() != spatial)
    return fail(Code::kUsage, "kernel, strides, pads and dilations must be given for " + std::to_string(spatial) +
                                  " spatial dimensions");
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto sane = [](int64_t v) { return v > 0 && v < kMost; };
  if (!std::ranges::all_of(w.kernel, sane) || !std::ranges::all_of(w.strides, sane) ||
      !std::ranges::all_of(w.dilations, sane) ||
      !std::ranges::all_of(w.pads, [](int64_t v) { return v > -kMost && v < kMost; }))
    return fail(Code::kUsage, "kernel, strides and dilations must be positive, and pads within 2^31");
  return {};
}

Dim window_output(const Window& w, size_t d, const Dim& input, bool ceil_mode) {
  const int64_t reach = (w.kernel[d] - 1) * w.dilations[d] + 1, stride = w.strides[d];
  const Dim room = input + w.pads[d] + w.pads[w.dims() + d] - reach;
  if (!ceil_mode) return floor_div(room, stride) + 1;
  return min(ceil_div(room, stride) + 1, ceil_div(input + w.pads[d], stride));
}

}  // namespace lathe::ops
