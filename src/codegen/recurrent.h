// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "codegen/lowering.h"

namespace lathe::codegen {

enum class Cell : uint8_t { kRnn, kGru, kLstm };

/// What LSTM, GRU and RNN have in common (ONNX, opset 22).
struct Recurrence {
  Cell cell = Cell::kRnn;
  int64_t hidden = 0;
  std::string direction = "forward";
  std::vector<std::string> activations = {};  ///< ONNX order; empty: the defaults
  double clip = 0;                            ///< 0: none
  double cell_clip = 0;                       ///< of LSTM's cells; 0: none
  int64_t layout = 0;
  bool linear_before_reset = false, input_forget = false;
};

/// Two kernels: the input's part of all gates for all time steps as one matrix product, then the steps themselves, one
/// task a direction and batch element.
Status lower_recurrence(Lowering& lowering, const Node& node, const Recurrence& recurrence);

}  // namespace lathe::codegen
