// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "import/keras/layer.h"

namespace lathe::keras {

namespace {

// class → handler and variant, sorted by name; also the functions of keras.ops that models are composed of.
constexpr Row kRows[] = {
    {"Activation", activation},
    {"ActivityRegularization", identity},
    {"Add", merge},
    {"AlphaDropout", identity},
    {"Average", merge},
    {"AveragePooling1D", pool, "average"},
    {"AveragePooling2D", pool, "average"},
    {"BatchNormalization", batch_norm},
    {"Bidirectional", bidirectional},
    {"Concatenate", concatenate},
    {"Conv1D", conv},
    {"Conv1DTranspose", conv_transpose},
    {"Conv2D", conv},
    {"Conv2DTranspose", conv_transpose},
    {"Cropping1D", crop},
    {"Cropping2D", crop},
    {"Dense", dense},
    {"DepthwiseConv1D", conv, "depthwise"},
    {"DepthwiseConv2D", conv, "depthwise"},
    {"Divide", merge, "Div", 2},
    {"Dropout", identity},
    {"ELU", activation},
    {"Embedding", embedding},
    {"Flatten", flatten},
    {"GRU", recurrent},
    {"GaussianDropout", identity},
    {"GaussianNoise", identity},
    {"GlobalAveragePooling1D", global_pool, "mean"},
    {"GlobalAveragePooling2D", global_pool, "mean"},
    {"GlobalMaxPooling1D", global_pool, "max"},
    {"GlobalMaxPooling2D", global_pool, "max"},
    {"GroupNormalization", group_norm},
    {"Identity", identity},
    {"LSTM", recurrent},
    {"LayerNormalization", layer_norm},
    {"LeakyReLU", activation},
    {"Max", reduce, "max"},
    {"MaxPooling1D", pool, "max"},
    {"MaxPooling2D", pool, "max"},
    {"Maximum", merge, "Max"},
    {"Mean", reduce, "mean"},
    {"Min", reduce, "min"},
    {"Minimum", merge, "Min"},
    {"MultiHeadAttention", attention, {}, 2},
    {"Multiply", merge, "Mul"},
    {"Normalization", rescaling},
    {"PReLU", parametric},
    {"Permute", permute},
    {"RMSNormalization", layer_norm, "rms"},
    {"ReLU", activation},
    {"RepeatVector", repeat},
    {"Rescaling", rescaling},
    {"Reshape", reshape},
    {"Resizing", upsample, "Resizing"},
    {"SeparableConv1D", separable},
    {"SeparableConv2D", separable},
    {"SimpleRNN", recurrent},
    {"Softmax", activation},
    {"SpatialDropout1D", identity},
    {"SpatialDropout2D", identity},
    {"Subtract", merge, "Sub", 2},
    {"Sum", reduce, "sum"},
    {"TimeDistributed", time_distributed},
    {"TrueDivide", merge, "Div", 2},
    {"UnitNormalization", unit_norm},
    {"UpSampling1D", upsample},
    {"UpSampling2D", upsample},
    {"ZeroPadding1D", pad},
    {"ZeroPadding2D", pad},
};

}  // namespace

const Row* find_row(std::string_view class_name) {
  static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));
  const auto* found = std::ranges::lower_bound(kRows, class_name, {}, &Row::name);
  return found != std::end(kRows) && found->name == class_name ? found : nullptr;
}

}  // namespace lathe::keras
