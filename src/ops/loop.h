// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/graph.h"

namespace lathe::ops {

/// Runs a graph over and over. Inputs: the most iterations (i64, one element; absent: no limit), the first condition
/// (bool, one element; absent: true), `carried` first values, then what the graph captures. The graph takes the
/// iteration's number (i64 scalar), the condition (bool scalar), the carried values and the captured ones, and gives
/// the next condition, the next carried values and the elements of the scan outputs. Outputs: the last carried values,
/// then for each scan output its elements along a new first dimension. ONNX Loop-1, with the captured values as inputs.
///
/// A dimension of a carried value that is a symbol of the graph and comes out as another one changes from iteration to
/// iteration; all others stay as they are.
struct Loop : OpBase<Loop> {
  static constexpr std::string_view kName = "Loop";
  std::shared_ptr<Graph> body;
  int64_t carried = 0;

  void visit(AttrVisitor& v) override {
    v.attr("carried", carried);
    v.attr("body", body);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] bool pure() const override;
  [[nodiscard]] bool foldable() const override { return false; }  // it need not end
  [[nodiscard]] std::vector<SubGraph> subgraphs() const override { return {{body, 0}}; }

  [[nodiscard]] size_t carried_count() const { return static_cast<size_t>(carried); }
  [[nodiscard]] size_t scan_count() const { return body->outputs.size() - 1 - carried_count(); }
  /// Whether dimension `d` of carried value `k` changes between iterations.
  [[nodiscard]] bool varies(size_t k, size_t d) const;
  /// Whether nothing but the number of iterations ends the loop.
  [[nodiscard]] bool counted(const ValueInfo& condition) const;
};

}  // namespace lathe::ops
