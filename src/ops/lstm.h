// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// ONNX LSTM-22: inputs X[T,N,I], W, R, B?, sequence_lens?, initial_h?, initial_c?, P? → Y[T,dirs,N,H], Y_h, Y_c.
/// Weights in ONNX layout and gate order.
struct Lstm : OpBase<Lstm> {
  static constexpr std::string_view kName = "Lstm";
  std::vector<std::string> activations = {};  ///< ONNX order; empty: the defaults
  std::string direction = "forward";          ///< forward | reverse | bidirectional
  int64_t hidden_size = 0;
  double clip = 0.0;       ///< of what goes into activations; 0: none
  double cell_clip = 0.0;  ///< of the cell state, as LiteRT does; 0: none
  int64_t layout = 0;      ///< 1: batch first (ONNX layout)
  bool input_forget = false;

  void visit(AttrVisitor& v) override {
    v.attr("activations", activations);
    v.attr("direction", direction);
    v.attr("hidden_size", hidden_size);
    v.attr("clip", clip);
    v.attr("cell_clip", cell_clip);
    v.attr("layout", layout);
    v.attr("input_forget", input_forget);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
