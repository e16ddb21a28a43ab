// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "passes/passes.h"

namespace lathe::passes {

/// Products with dequantized constants multiply the codes themselves (ops/coded_matmul.h). The first looks at codes
/// that no integer arithmetic is for, types of less than a byte and floats; bytes may become integer products before.
Result<int> coded_weights_early(Graph& g, const PassOptions& options);
Result<int> coded_weights(Graph& g, const PassOptions& options);

}  // namespace lathe::passes
