// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"

namespace lathe::onnx {

// If with a condition that is known: the branch is imported in its place.
Result<Values> branch(Node& n) {
  const Tensor* condition = n.constant(0);
  if (!condition || condition->dtype() != DType::kBool || condition->count() != 1)
    return unsupported(
        "the condition depends on the model's inputs; only conditions that are known at import are supported");
  const auto* taken = n.attr(condition->i64_at(0) != 0 ? "then_branch" : "else_branch");
  if (!taken || taken->graphs.size() != 1) return damaged("a branch is missing");
  LATHE_TRY(auto values, n.importer().inline_graph(taken->graphs[0]));
  return values;
}

}  // namespace lathe::onnx
