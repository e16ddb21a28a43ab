// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "ir/dim.h"

namespace lathe::ops {

/// The attributes that convolutions and pools share: one entry per spatial dimension, pads two (begins, then ends).
struct Window {
  const std::vector<int64_t>& kernel;
  const std::vector<int64_t>& strides;
  const std::vector<int64_t>& pads;
  const std::vector<int64_t>& dilations;
  [[nodiscard]] size_t dims() const { return strides.size(); }
};

/// The lengths agree with `spatial` dimensions; kernel, strides and dilations are positive.
Status check_window(const Window& w, size_t spatial);
/// Output size along dimension d. With `ceil_mode` a last window may hang over the end, but must start inside the
/// input or its front padding.
Dim window_output(const Window& w, size_t d, const Dim& input, bool ceil_mode);

}  // namespace lathe::ops
