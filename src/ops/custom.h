// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/operator_call.h"
#include "ir/op.h"

namespace lathe::ops {

/// An operator that the program registers (lathe.h, docs/adr/0009): its shape rule and reference are the functions
/// registered, its kernel is looked up when the engine runs. Inputs: any; packed types and strings are refused.
struct Custom : OpBase<Custom> {
  static constexpr std::string_view kName = "Custom";
  std::string domain, type;
  int64_t outputs = 1;
  std::vector<CustomAttribute> attributes;  ///< as text: "name=kind:count:values", with %XX for what is not a letter
  /// Not an attribute: what was registered; null in a graph that was read from text.
  std::shared_ptr<const lathe_operator> implementation;

  void visit(AttrVisitor& v) override;
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] bool pure() const override { return !implementation || implementation->varies == 0; }
  /// What the engine stores, without operands.
  [[nodiscard]] CustomOperator described() const;
};

/// An attribute as one word of text, and back; nothing where it is none.
std::string attribute_text(const CustomAttribute& a);
std::optional<CustomAttribute> parse_attribute(std::string_view text);

}  // namespace lathe::ops
