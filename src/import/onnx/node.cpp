// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/node.h"

#include <algorithm>

namespace lathe::onnx {

namespace {

// Overwrites the attributes of an operator that the node has under the same name and with a fitting type.
class Copier final : public AttrVisitor {
 public:
  explicit Copier(const Node& node) : node_(node) {}
  void attr(const char* n, int64_t& v) override { v = node_.i(n, v); }
  void attr(const char* n, double& v) override { v = node_.f(n, v); }
  void attr(const char* n, bool& v) override { v = node_.i(n, v) != 0; }
  void attr(const char* n, std::string& v) override { v = node_.s(n, v); }
  void attr(const char* n, std::vector<int64_t>& v) override {
    if (auto given = node_.ints(n)) v = *std::move(given);
  }
  void attr(const char* n, std::vector<double>& v) override {
    if (node_.attr(n)) v = node_.floats(n);
  }
  void attr(const char* n, std::vector<std::string>& v) override {
    if (node_.attr(n)) v = node_.strings(n);
  }
  void attr(const char* n, DType& v) override {
    const int64_t raw = node_.i(n, static_cast<int64_t>(v));
    v = raw >= 0 && dtype_valid(static_cast<uint64_t>(raw)) ? static_cast<DType>(raw) : DType::kUndefined;
  }
  void attr(const char*, Program&) override {}
  void attr(const char*, std::shared_ptr<Graph>&) override {}

 private:
  const Node& node_;
};

}  // namespace

Result<std::vector<int64_t>> Node::integers(size_t i, std::string_view what) const {
  const ValueInfo v = b.info(in(i));
  if (const auto r = integers_of(v)) return *r;
  if (v.constant && dtype_info(v.dtype).is_int) return v.constant->to_i64();
  return unsupported(std::string(what) + " must be constant");
}

Result<std::vector<double>> Node::numbers(size_t i, std::string_view what) const {
  const Tensor* t = constant(i);
  if (!t || t->dtype() == DType::kString) return unsupported(std::string(what) + " must be constant");
  std::vector<double> r;
  for (int64_t k = 0; k < t->count(); ++k) r.push_back(t->f64_at(k));
  return r;
}

const proto::Attribute* Node::attr(std::string_view name) const {
  const auto it = std::ranges::find(node_.attributes, name, &proto::Attribute::name);
  return it == node_.attributes.end() ? nullptr : &*it;
}

int64_t Node::i(std::string_view name, int64_t otherwise) const {
  const auto* a = attr(name);
  return a ? a->i : otherwise;
}

double Node::f(std::string_view name, double otherwise) const {
  const auto* a = attr(name);
  return a ? static_cast<double>(a->f) : otherwise;
}

std::string Node::s(std::string_view name, std::string_view otherwise) const {
  const auto* a = attr(name);
  return std::string(a ? a->s : otherwise);
}

std::optional<std::vector<int64_t>> Node::ints(std::string_view name) const {
  const auto* a = attr(name);
  return a ? std::optional(a->ints) : std::nullopt;
}

std::vector<double> Node::floats(std::string_view name) const {
  const auto* a = attr(name);
  return a ? std::vector<double>(a->floats.begin(), a->floats.end()) : std::vector<double>();
}

std::vector<std::string> Node::strings(std::string_view name) const {
  const auto* a = attr(name);
  return a ? std::vector<std::string>(a->strings.begin(), a->strings.end()) : std::vector<std::string>();
}

Result<int64_t> Node::axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return damaged("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}

Result<std::vector<int64_t>> Node::axes(std::vector<int64_t> axes, int64_t rank) {
  for (int64_t& a : axes) {
    LATHE_TRY(a, axis(a, rank));
  }
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) return damaged("an axis is given twice");
  return axes;
}

Result<std::optional<std::vector<int64_t>>> Node::axes_of(size_t input) const {
  if (auto a = ints("axes")) return a;
  if (!has(input)) return std::nullopt;
  LATHE_TRY(auto a, integers(input, "axes"));
  return std::optional(std::move(a));
}

void Node::copy_attributes(Op& op) const {
  Copier c(*this);
  op.visit(c);
}

}  // namespace lathe::onnx
