// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "ir/dim.h"
#include "ir/program.h"
#include "ir/tensor.h"

namespace lathe {

class Graph;

/// What is known of a value before the model runs.
struct ValueInfo {
  DType dtype = DType::kUndefined;
  Shape shape;
  const Tensor* constant = nullptr;  ///< the value itself where it is known
  /// Elements of a small integer tensor (rank 0 or 1) as expressions: how shapes flow through Shape → Gather → Concat.
  std::optional<std::vector<Dim>> content;
  [[nodiscard]] int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};
/// Integer elements of `v`: from the constant or the symbolic content; empty if not known.
std::optional<std::vector<Dim>> content_of(const ValueInfo& v);
/// As content_of, but only if all are integers.
std::optional<std::vector<int64_t>> integers_of(const ValueInfo& v);

/// Visits an operator's attributes by name: printing, parsing, comparing, hashing and the importer's generic path all
/// derive from one description.
class AttrVisitor {
 public:
  virtual ~AttrVisitor() = default;
  virtual void attr(const char* name, int64_t& v) = 0;
  virtual void attr(const char* name, double& v) = 0;
  virtual void attr(const char* name, bool& v) = 0;
  virtual void attr(const char* name, std::string& v) = 0;
  virtual void attr(const char* name, std::vector<int64_t>& v) = 0;
  virtual void attr(const char* name, std::vector<double>& v) = 0;
  virtual void attr(const char* name, std::vector<std::string>& v) = 0;
  virtual void attr(const char* name, DType& v) = 0;
  virtual void attr(const char* name, Program& v) = 0;
  virtual void attr(const char* name, std::shared_ptr<Graph>& v) = 0;
};

/// Names a fresh symbol for a data-dependent dimension ("nonzero_0"); unique in the graph.
using FreshSymbol = std::function<Dim(std::string_view stem)>;

/// A graph that an operator holds: a branch or the body of a loop. Its input k has the type of the node's input
/// `first + k` (captured values are inputs like any other).
struct SubGraph {
  std::shared_ptr<const Graph> graph;
  size_t first = 0;
};

/// An operator with its attributes: owns all that is known of it but its kernels. Immutable once in a graph; shared.
/// Inputs that are optional and absent have dtype kUndefined.
class Op {
 public:
  virtual ~Op() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Op> clone() const = 0;
  virtual void visit(AttrVisitor&) {}
  /// Types, shapes and, where it can be told, contents of the outputs. Errors: kUsage-like text without the node's
  /// name (the caller adds it).
  [[nodiscard]] virtual Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                             const FreshSymbol& fresh) const = 0;
  /// The reference: plain scalar evaluation, oracle of the tests and constant folder. Never used at run time.
  [[nodiscard]] virtual Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const;
  /// Floating-point operations for static shapes (multiply-add = 2); 0 for data movement.
  [[nodiscard]] virtual double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const;
  /// True for operators without state or randomness; only pure ones are folded, merged or removed.
  [[nodiscard]] virtual bool pure() const { return true; }
  /// Whether a result of constants may be computed at build time.
  [[nodiscard]] virtual bool foldable() const { return pure(); }
  /// The graphs among its attributes, in the order of visit().
  [[nodiscard]] virtual std::vector<SubGraph> subgraphs() const { return {}; }
  /// For elementwise operators: their program for inputs of these dtypes; else empty.
  [[nodiscard]] virtual std::optional<Program> program(std::span<const DType>) const { return std::nullopt; }
};

/// Implements name() and clone() from T::kName: `struct Softmax : OpBase<Softmax> { static constexpr std::string_view
/// kName = "Softmax"; … };`
template <class T>
class OpBase : public Op {
 public:
  [[nodiscard]] std::string_view name() const override { return T::kName; }
  [[nodiscard]] std::unique_ptr<Op> clone() const override { return std::make_unique<T>(static_cast<const T&>(*this)); }
};

/// What the registry knows: each src/ops/<stem>.cpp defines `const OpInfo& op_<stem>()` in namespace lathe::ops.
struct OpInfo {
  std::string_view name;
  std::unique_ptr<Op> (*make)();  ///< with default attributes
};
template <class T>
const OpInfo& op_info() {
  static const OpInfo info{T::kName, [] { return std::unique_ptr<Op>(std::make_unique<T>()); }};
  return info;
}
/// All operators, generated from the files of src/ops; nullptr if there is none of that name.
std::span<const OpInfo* const> all_ops();
const OpInfo* find_op(std::string_view name);

/// "axis=1, keepdims=true": every attribute, in the order of visit(); also serves as hash key.
std::string attrs_str(const Op& op);
bool same_op(const Op& a, const Op& b);
/// `op` with other graphs in place of those of subgraphs(), in their order.
std::shared_ptr<const Op> with_subgraphs(const Op& op, std::vector<std::shared_ptr<Graph>> graphs);

}  // namespace lathe
