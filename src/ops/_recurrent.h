// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "ops/_data.h"

namespace lathe::ops {

/// What ONNX's LSTM, GRU and RNN share: directions, layouts, sequence lengths, and the product with the input.
struct Recurrent {
  const std::vector<std::string>& activations;
  const std::string& direction;
  int64_t hidden_size;
  double clip;
  int64_t layout;
  int64_t gates;                                 ///< blocks of hidden_size rows in W and R
  std::vector<std::string> default_activations;  ///< of one direction
  size_t initial_c = 0;                          ///< index of the input initial_c; 0: there is no cell state
  size_t peepholes = 0;                          ///< index of the input P; 0: none

  [[nodiscard]] int64_t directions() const { return direction == "bidirectional" ? 2 : 1; }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs) const;

  /// One time step of one sequence, in one direction.
  struct Step {
    size_t direction;
    std::vector<float> x;   ///< gates × hidden: W x + Wb
    const float* r;         ///< R [gates × hidden, hidden]
    const float* rb;        ///< Rb [gates × hidden]; null: zero
    const float* p;         ///< peepholes; null: none
    std::vector<float>& h;  ///< in: the previous hidden state; out: the new one
    std::vector<float>& c;  ///< the cell state, likewise
  };
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs,
                                                     const std::function<void(Step&)>& step) const;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs) const;

  /// Activation `which` of a direction, applied to v after clipping.
  [[nodiscard]] float activate(size_t direction_index, size_t which, float v) const;
  /// Row `i` of R times h, plus Rb.
  [[nodiscard]] float recur(const Step& s, int64_t i) const;
};

}  // namespace lathe::ops
