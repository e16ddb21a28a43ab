// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/tflite/handlers.h"

/// What float and integer convolutions and pools share.
namespace lathe::tflite {

/// Sizes of a sliding window for each spatial dimension; pads are begins, then ends.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads;
};
/// With SAME the output has ceil(size / stride) elements and the odd one of the padding is at the end.
Result<Window> window(const Shape& spatial, std::vector<int64_t> kernel, std::vector<int64_t> strides,
                      std::vector<int64_t> dilations, fb::Padding padding);
/// Of CONV_2D (weights [M, h, w, C]) and DEPTHWISE_CONV_2D (weights [1, h, w, M]).
Result<Window> conv_window(const Node& n);
Result<int64_t> conv_group(const Node& n);
fb::Activation conv_activation(const Node& n);
/// [1, h, w, M] as our grouped convolution takes them: [M, h, w, 1].
ValueId depthwise_weights(Node& n, ValueId w);
ValueId convolve(Node& n, Values inputs, const Window& w, int64_t group);

struct TransposedWindow {
  Window window;
  std::vector<int64_t> output_padding;
};
Result<TransposedWindow> transposed_window(const Node& n);
ValueId convolve_transposed(Node& n, Values inputs, const TransposedWindow& w);

Result<Window> pool_window(const Node& n);
ValueId pooled(Node& n, ValueId x, const Window& w, std::string_view kind, bool count_pad);

}  // namespace lathe::tflite
