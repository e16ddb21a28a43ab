// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/onnx/node.h"

namespace lathe::onnx {

// One step of each optimizer of ai.onnx.preview.training.
Result<Values> adagrad(Node& n);
Result<Values> adam(Node& n);
Result<Values> momentum(Node& n);

}  // namespace lathe::onnx
