// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "import/onnx/node.h"

/// What the handlers of ai.onnx.ml share. ml.cpp
namespace lathe::onnx {

/// The numbers of an attribute that is a list of floats or integers, or a tensor (then also under NAME_as_tensor);
/// empty if there is none.
Result<std::vector<double>> ml_numbers(Node& n, const std::string& name);
/// They as a constant vector.
ValueId ml_vector(Node& n, const std::vector<double>& values, DType dtype);

/// The labels of classes: integers in the attribute `ints`, or strings in classlabels_strings; one at least.
Result<Tensor> class_labels(Node& n, const std::string& ints);

/// scores [N, E] transformed by row: NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
Result<ValueId> post_transformed(Node& n, ValueId scores, const std::string& kind);

/// Label and scores of two classes from the one score [N, 1] of the second: a probability (`positive`: the first's is
/// what is left of 1) or a margin (the first's is its negative).
Result<Values> binary_classes(Node& n, ValueId score, const Tensor& labels, bool positive);
/// Label of the highest score of each row, and the scores transformed.
Result<Values> multiple_classes(Node& n, ValueId scores, const Tensor& labels);

}  // namespace lathe::onnx
