// SPDX-License-Identifier: Apache-2.0
#include "ir/op.h"

#include "ir/attr_visitor.h"
#include "ir/graph.h"

namespace lathe {

std::optional<std::vector<Dim>> content_of(const ValueInfo& v) {
  if (v.content) return v.content;
  const bool integer = v.dtype == DType::kI64 || v.dtype == DType::kI32;
  if (!v.constant || !integer || v.shape.size() > 1) return std::nullopt;
  std::vector<Dim> r;
  for (const int64_t x : v.constant->to_i64()) r.emplace_back(x);
  return r;
}

std::optional<std::vector<int64_t>> integers_of(const ValueInfo& v) {
  const auto c = content_of(v);
  return c ? static_dims(*c) : std::nullopt;
}

Result<std::vector<Tensor>> Op::evaluate(std::span<const Tensor>) const {
  return fail(Code::kUnsupported, std::string(name()) + " has no reference evaluation");
}

double Op::flops(std::span<const ValueInfo>, std::span<const ValueInfo>) const { return 0; }

namespace {

/// Appends "name=value" for every attribute.
class Printer final : public AttrVisitor {
 public:
  std::string text;
  void attr(const char* n, int64_t& v) override { put(n, std::to_string(v)); }
  void attr(const char* n, double& v) override { put(n, number(v)); }
  void attr(const char* n, bool& v) override { put(n, v ? "true" : "false"); }
  void attr(const char* n, std::string& v) override { put(n, quote(v)); }
  void attr(const char* n, std::vector<int64_t>& v) override {
    list(n, v, [](int64_t x) { return std::to_string(x); });
  }
  void attr(const char* n, std::vector<double>& v) override { list(n, v, number); }
  void attr(const char* n, std::vector<std::string>& v) override { list(n, v, quote); }
  void attr(const char* n, DType& v) override { put(n, std::string(dtype_name(v))); }
  void attr(const char* n, Program& v) override { put(n, "{" + v.str() + "}"); }
  void attr(const char* n, std::shared_ptr<Graph>& v) override { put(n, v ? "{\n" + print(*v) + "}" : "null"); }

 private:
  void put(const char* n, const std::string& v) { text += (text.empty() ? "" : ", ") + std::string(n) + "=" + v; }
  template <class T, class F>
  void list(const char* n, const std::vector<T>& v, F f) {
    std::string s = "[";
    for (size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + f(v[i]);
    put(n, s + "]");
  }
  static std::string number(double v) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.17g", v);
    return buffer;
  }
  static std::string quote(const std::string& s) {
    std::string r = "\"";
    for (const char c : s) {
      if (c == '"' || c == '\\') r += '\\';
      r += c;
    }
    return r + "\"";
  }
};

}  // namespace

std::string attrs_str(const Op& op) {
  Printer p;
  op.clone()->visit(p);  // visit() may write, so it is not const
  return p.text;
}

namespace {

/// Puts graphs into the attributes that hold one.
class GraphSetter final : public PartialVisitor {
 public:
  using PartialVisitor::attr;
  explicit GraphSetter(std::vector<std::shared_ptr<Graph>> graphs) : graphs_(std::move(graphs)) {}
  void attr(const char*, std::shared_ptr<Graph>& v) override {
    if (next_ < graphs_.size()) v = graphs_[next_++];
  }

 private:
  std::vector<std::shared_ptr<Graph>> graphs_;
  size_t next_ = 0;
};

}  // namespace

std::shared_ptr<const Op> with_subgraphs(const Op& op, std::vector<std::shared_ptr<Graph>> graphs) {
  std::unique_ptr<Op> copy = op.clone();
  GraphSetter setter(std::move(graphs));
  copy->visit(setter);
  return copy;
}

bool same_op(const Op& a, const Op& b) { return a.name() == b.name() && attrs_str(a) == attrs_str(b); }

}  // namespace lathe
