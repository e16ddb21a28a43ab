// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/graph.h"

namespace lathe::ops {

/// Runs one of two graphs. Inputs: the condition (bool, one element), then what the graphs take; both have the same
/// inputs. Outputs: those of the graph that runs; a dimension in which the two differ is a fresh symbol. ONNX If-1,
/// with the captured values as inputs.
struct If : OpBase<If> {
  static constexpr std::string_view kName = "If";
  std::shared_ptr<Graph> then_graph, else_graph;

  void visit(AttrVisitor& v) override {
    v.attr("then_graph", then_graph);
    v.attr("else_graph", else_graph);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] bool pure() const override;
  [[nodiscard]] std::vector<SubGraph> subgraphs() const override { return {{then_graph, 1}, {else_graph, 1}}; }
};

}  // namespace lathe::ops
