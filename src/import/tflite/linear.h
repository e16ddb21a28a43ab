// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/tflite/handlers.h"

/// What float and integer matrix products share.
namespace lathe::tflite {

ValueId product_of(Node& n, ValueId a, ValueId b, bool trans_a, bool trans_b);

/// FULLY_CONNECTED: x reshaped to `rows` [M, K] times weights [N, K] transposed, reshaped to `result`.
struct Dense {
  fb::Activation activation;
  Shape rows, result;
};
Result<Dense> dense(const Node& n);

}  // namespace lathe::tflite
