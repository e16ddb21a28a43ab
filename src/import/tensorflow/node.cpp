// SPDX-License-Identifier: Apache-2.0
#include "import/tensorflow/node.h"

#include "import/tensorflow/checkpoint.h"
#include "ir/attr_visitor.h"

namespace lathe::tensorflow {

namespace {

// Overwrites the attributes of an operator that the node has under the same name.
class Copier final : public PartialVisitor {
 public:
  using PartialVisitor::attr;
  explicit Copier(const Node& node) : node_(node) {}
  void attr(const char* n, int64_t& v) override { v = node_.i(n, v); }
  void attr(const char* n, double& v) override { v = node_.f(n, v); }
  void attr(const char* n, bool& v) override { v = node_.flag(n, v); }
  void attr(const char* n, std::string& v) override { v = std::string(node_.s(n, v)); }

 private:
  const Node& node_;
};

}  // namespace

const Item& Node::item(size_t i) const {
  static const Item none;
  return i < inputs_.size() ? inputs_[i] : none;
}

Values Node::values() const {
  Values v;
  for (const Item& i : inputs_) v.push_back(i.value);
  return v;
}

Status Node::needs(size_t count) const {
  if (inputs_.size() >= count) return {};
  return damaged("takes " + std::to_string(count) + " inputs, has " + std::to_string(inputs_.size()));
}

Result<std::vector<int64_t>> Node::integers(size_t i, std::string_view what) const {
  LATHE_CHECK(needs(i + 1));
  const ValueInfo v = in(i) == kNoId ? ValueInfo{} : b.info(in(i));
  if (const auto r = integers_of(v)) return *r;
  if (v.constant && dtype_info(v.dtype).is_int) return v.constant->to_i64();
  return unsupported(std::string(what) + " must be constant");
}

Result<int64_t> Node::integer(size_t i, std::string_view what) const {
  LATHE_TRY(const auto all, integers(i, what));
  if (all.size() != 1) return damaged(std::string(what) + " must be one number");
  return all[0];
}

Result<std::vector<Dim>> Node::sizes(size_t i, std::string_view what) const {
  LATHE_CHECK(needs(i + 1));
  if (in(i) != kNoId)
    if (auto r = content_of(b.info(in(i)))) return *std::move(r);
  LATHE_TRY(const auto known, integers(i, std::string(what) + ", which depends on data,"));
  return std::vector<Dim>(known.begin(), known.end());
}

const proto::Attr* Node::attr(std::string_view name) const {
  const auto it = node_.attrs.find(name);
  return it == node_.attrs.end() ? nullptr : &it->second;
}

int64_t Node::i(std::string_view name, int64_t otherwise) const {
  const auto* a = attr(name);
  return a ? a->i : otherwise;
}

double Node::f(std::string_view name, double otherwise) const {
  const auto* a = attr(name);
  return a ? a->f : otherwise;
}

std::string_view Node::s(std::string_view name, std::string_view otherwise) const {
  const auto* a = attr(name);
  return a ? a->s : otherwise;
}

std::vector<int64_t> Node::ints(std::string_view name) const {
  const auto* a = attr(name);
  return a ? a->ints : std::vector<int64_t>();
}

Result<DType> Node::type(std::string_view name) const {
  const auto* a = attr(name);
  if (!a) return damaged("attribute " + std::string(name) + " is missing");
  const auto t = dtype_of(a->i);
  if (!t) return unsupported("element type " + std::to_string(a->i) + " is not supported");
  return *t;
}

Result<int64_t> Node::axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return damaged("axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  return axis < 0 ? axis + rank : axis;
}

void Node::copy_attributes(Op& op) const {
  Copier c(*this);
  op.visit(c);
}

}  // namespace lathe::tensorflow
