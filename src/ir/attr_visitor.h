// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe {

/// A visitor that looks at some kinds of attributes and passes over the others. Derived classes override the kinds they
/// want and say `using PartialVisitor::attr;` for the rest.
class PartialVisitor : public AttrVisitor {
 public:
  void attr(const char*, int64_t&) override {}
  void attr(const char*, double&) override {}
  void attr(const char*, bool&) override {}
  void attr(const char*, std::string&) override {}
  void attr(const char*, std::vector<int64_t>&) override {}
  void attr(const char*, std::vector<double>&) override {}
  void attr(const char*, std::vector<std::string>&) override {}
  void attr(const char*, DType&) override {}
  void attr(const char*, Program&) override {}
  void attr(const char*, std::shared_ptr<Graph>&) override {}
};

/// The attribute `name` of type T; nothing where the operator has none of that name and type.
template <class T>
std::optional<T> attribute(const Op& op, std::string_view name) {
  struct Visitor final : PartialVisitor {
    std::string_view name;
    std::optional<T> found;
    using PartialVisitor::attr;
    void attr(const char* n, T& v) override {
      if (n == name) found = v;
    }
  } visitor;
  visitor.name = name;
  op.clone()->visit(visitor);
  return visitor.found;
}

/// Sets the attribute `name` of type T, if the operator has one.
template <class T>
void set_attribute(Op& op, std::string_view name, T value) {
  struct Visitor final : PartialVisitor {
    std::string_view name;
    T value;
    using PartialVisitor::attr;
    void attr(const char* n, T& v) override {
      if (n == name) v = value;
    }
  } visitor;
  visitor.name = name;
  visitor.value = std::move(value);
  op.visit(visitor);
}

}  // namespace lathe
