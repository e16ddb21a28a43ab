// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// Several elementwise operators in one: `function` of the inputs, broadcast against each other. Made by fusion.
struct Pointwise : Elementwise {
  static constexpr std::string_view kName = "Pointwise";
  Program function;

  [[nodiscard]] std::string_view name() const override { return kName; }
  [[nodiscard]] std::unique_ptr<Op> clone() const override { return std::make_unique<Pointwise>(*this); }
  void visit(AttrVisitor& v) override { v.attr("function", function); }
  [[nodiscard]] std::optional<Program> program(std::span<const DType> inputs) const override;

 protected:
  [[nodiscard]] Signature signature() const override { return {function.inputs, function.inputs, Types::kAny}; }
  [[nodiscard]] Status check(std::span<const DType> inputs) const override;
  [[nodiscard]] Expr build(ProgramBuilder&, std::span<const Expr>) const override {
    return {};
  }  // program() is overridden
};

}  // namespace lathe::ops
