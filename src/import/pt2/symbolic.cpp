// SPDX-License-Identifier: Apache-2.0
// Nodes of an exported program that compute sizes instead of tensors, and graphs inside the graph.
#include <algorithm>
#include <cmath>

#include "import/pt2/importer.h"

namespace lathe::pt2 {

namespace {

using schema::Argument;
using Kind = Argument::Kind;

constexpr int64_t kLarge = int64_t{1} << 40;

// Checks on sizes and values that torch leaves in the graph. They hold, or torch would have refused as well.
bool is_check(std::string_view target) {
  static constexpr std::string_view kChecks[] = {
      "torch.ops.aten._assert_async.msg",
      "torch.ops.aten._assert_scalar.default",
      "torch.ops.aten._assert_tensor_metadata.default",
      "torch.ops.aten._functional_assert_async.msg",
      "torch.ops.aten.sym_constrain_range.default",
      "torch.ops.aten.sym_constrain_range_for_size.default",
  };
  return std::ranges::find(kChecks, target) != std::end(kChecks);
}

std::optional<Dim> arithmetic(std::string_view op, const Dim& a, const Dim& b) {
  for (const Dim* d : {&a, &b})
    if (d->is_const() && (d->value() > kLarge || d->value() < -kLarge)) return std::nullopt;
  if (op == "add") return a + b;
  if (op == "sub") return a - b;
  if (op == "mul")
    return a.is_const() && b.is_const() &&
                   std::abs(static_cast<double>(a.value()) * static_cast<double>(b.value())) > 1e18
               ? std::nullopt
               : std::optional(a * b);
  if (op == "max" || op == "sym_max") return max(a, b);
  if (op == "min" || op == "sym_min") return min(a, b);
  if (!b.is_const() || b.value() <= 0) return std::nullopt;
  if (op == "floordiv") return floor_div(a, b);
  if (op == "mod") return mod(a, b);
  if (op == "pow" && b.value() <= 8 && (!a.is_const() || std::abs(a.value()) < 100)) {
    Dim r = 1;
    for (int64_t i = 0; i < b.value(); ++i) r = r * a;
    return r;
  }
  return std::nullopt;
}

std::optional<bool> comparison(std::string_view op, const Dim& a, const Dim& b) {
  const auto difference = (a - b).as_const();
  if (!difference) return std::nullopt;
  if (op == "eq") return *difference == 0;
  if (op == "ne") return *difference != 0;
  if (op == "lt") return *difference < 0;
  if (op == "le") return *difference <= 0;
  if (op == "gt") return *difference > 0;
  if (op == "ge") return *difference >= 0;
  return std::nullopt;
}

// Floats of constants.
std::optional<double> real_function(std::string_view op, double x) {
  if (op == "sym_float") return x;
  if (op == "neg") return -x;
  if (op == "_sym_sqrt" || op == "sym_sqrt" || op == "sqrt") return std::sqrt(x);
  return std::nullopt;
}

std::optional<double> rounded(std::string_view op, double x) {
  if (op == "trunc" || op == "sym_int" || op == "sym_trunc") return std::trunc(x);
  if (op == "ceil" || op == "sym_ceil") return std::ceil(x);
  if (op == "floor" || op == "sym_floor") return std::floor(x);
  if (op == "round") return std::nearbyint(x);
  return std::nullopt;
}

}  // namespace

Result<Importer::Binding> Importer::scalar(const Argument& a) {
  if (a.kind == Kind::kInt || a.kind == Kind::kBool) return Binding{.kind = Binding::Kind::kSize, .dim = Dim(a.i)};
  if (a.kind == Kind::kFloat) return Binding{.kind = Binding::Kind::kReal, .real = a.f};
  if (a.kind != Kind::kSymInt && a.kind != Kind::kSymFloat && a.kind != Kind::kSymBool)
    return damaged("an argument is not a number");
  const Binding* b = find(a.text);
  if (!b) return damaged("input " + a.text + " is not defined");
  return *b;
}

Result<bool> Importer::symbolic(const schema::Node& node) {
  const std::string_view target = node.target;
  if (is_check(target)) return true;
  const std::string out = output_names(node).empty() ? std::string() : output_names(node)[0];
  const auto give = [&](Binding b) -> Result<bool> {
    LATHE_CHECK(bind(out, std::move(b)));
    return true;
  };
  const auto opaque = [&] { return give({.kind = Binding::Kind::kOpaque}); };
  const bool of_tensor = target == "torch.ops.aten.sym_size.int" || target == "torch.ops.aten.sym_stride.int" ||
                         target == "torch.ops.aten.sym_numel.default" || target == "torch.ops.aten.item.default" ||
                         target == "torch.ops.aten._local_scalar_dense.default" ||
                         target == "torch.ops.aten.sym_storage_offset.default";
  if (of_tensor) {
    if (node.inputs.empty() || node.inputs[0].arg.kind != Kind::kTensor) return damaged("there is no tensor");
    LATHE_TRY(const ValueId v, tensor(node.inputs[0].arg.text));
    const ValueInfo info = graph_->info(v);
    if (target.ends_with("sym_numel.default")) return give({.kind = Binding::Kind::kSize, .dim = product(info.shape)});
    if (target.ends_with("sym_size.int")) {
      if (node.inputs.size() < 2 || node.inputs[1].arg.kind != Kind::kInt) return damaged("there is no dimension");
      int64_t d = node.inputs[1].arg.i;
      if (d < -info.rank() || d >= info.rank()) return damaged("the dimension is out of range");
      if (d < 0) d += info.rank();
      return give({.kind = Binding::Kind::kSize, .dim = info.shape[static_cast<size_t>(d)]});
    }
    // The only element, where it is known.
    if (info.constant && info.constant->count() == 1 && dtype_info(info.dtype).is_float)
      return give({.kind = Binding::Kind::kReal, .real = info.constant->f64_at(0)});
    if (const auto content = content_of(info); content && content->size() == 1)
      return give({.kind = Binding::Kind::kSize, .dim = (*content)[0]});
    if (info.constant && info.constant->count() == 1 && info.dtype == DType::kBool)
      return give({.kind = Binding::Kind::kSize, .dim = info.constant->i64_at(0)});
    return opaque();
  }
  std::string_view op;
  for (const std::string_view prefix :
       {"_operator.", "math.", "torch.sym_int", "torch.sym_float", "torch.sym_max", "torch.sym_min", "torch.sym_not",
        "torch._sym_sqrt", "torch.sym_ite", "torch.sym_sum", "builtins.", "torch.utils._sympy.functions."})
    if (target.starts_with(prefix)) op = target.substr(target.rfind('.') + 1);
  if (op.empty()) return false;
  std::vector<Binding> in;
  const auto add = [&](const Argument& a) -> Status {
    LATHE_TRY(in.emplace_back(), scalar(a));
    if (in.back().kind == Binding::Kind::kFailed) return unsupported("");
    return {};
  };
  for (const auto& i : node.inputs) {
    if (i.arg.kind == Kind::kList)
      for (const Argument& item : i.arg.items) LATHE_CHECK(add(item));
    else
      LATHE_CHECK(add(i.arg));
  }
  const auto sizes = std::ranges::all_of(in, [](const Binding& b) { return b.kind == Binding::Kind::kSize; });
  const auto value = [](const Binding& b) -> std::optional<double> {
    if (b.kind == Binding::Kind::kReal) return b.real;
    if (b.kind == Binding::Kind::kSize && b.dim.is_const()) return static_cast<double>(b.dim.value());
    return std::nullopt;
  };
  if (sizes && op == "sym_sum") {
    Dim total = 0;
    for (const Binding& b : in) total = total + b.dim;
    return give({.kind = Binding::Kind::kSize, .dim = total});
  }
  if (sizes && in.size() == 2) {
    if (const auto d = arithmetic(op, in[0].dim, in[1].dim)) return give({.kind = Binding::Kind::kSize, .dim = *d});
    if (const auto t = comparison(op, in[0].dim, in[1].dim))
      return give({.kind = Binding::Kind::kSize, .dim = *t ? 1 : 0});
  }
  if (sizes && in.size() == 1 && (op == "neg" || op == "sym_int" || op == "trunc" || op == "pos"))
    return give({.kind = Binding::Kind::kSize, .dim = op == "neg" ? Dim(0) - in[0].dim : in[0].dim});
  if (sizes && in.size() == 1 && op == "sym_not" && in[0].dim.is_const())
    return give({.kind = Binding::Kind::kSize, .dim = in[0].dim.value() == 0 ? 1 : 0});
  if (sizes && in.size() == 3 && op == "sym_ite" && in[0].dim.is_const())
    return give(in[0].dim.value() != 0 ? in[1] : in[2]);
  if (in.size() == 1)
    if (const auto x = value(in[0])) {
      if (const auto r = real_function(op, *x)) return give({.kind = Binding::Kind::kReal, .real = *r});
      if (const auto r = rounded(op, *x); r && std::abs(*r) < 1e15)
        return give({.kind = Binding::Kind::kSize, .dim = static_cast<int64_t>(*r)});
    }
  if (in.size() == 2) {
    const auto a = value(in[0]), b = value(in[1]);
    if (a && b) {
      if (op == "mul") return give({.kind = Binding::Kind::kReal, .real = *a * *b});
      if (op == "add") return give({.kind = Binding::Kind::kReal, .real = *a + *b});
      if (op == "sub") return give({.kind = Binding::Kind::kReal, .real = *a - *b});
      if (op == "truediv") return give({.kind = Binding::Kind::kReal, .real = *a / *b});
      if (op == "floordiv") return give({.kind = Binding::Kind::kReal, .real = std::floor(*a / *b)});
      if (op == "pow") return give({.kind = Binding::Kind::kReal, .real = std::pow(*a, *b)});
    }
  }
  return opaque();  // an error only where it is used
}

// The nodes of a graph that is an argument, in place of the node that has it.
Status Importer::inline_graph(const schema::Node& node, const schema::Graph& graph, size_t first_argument) {
  std::vector<const Argument*> given;
  for (size_t i = first_argument; i < node.inputs.size(); ++i) {
    const Argument& a = node.inputs[i].arg;
    if (a.kind == Kind::kList)
      for (const Argument& item : a.items) given.push_back(&item);
    else
      given.push_back(&a);
  }
  if (given.size() != graph.inputs.size()) return damaged("the graph takes another number of inputs");
  const std::string outer = prefix_, inner = prefix_ + node.name + "#" + std::to_string(inlined_++) + "::";
  for (size_t i = 0; i < given.size(); ++i) {
    const bool named = given[i]->kind == Kind::kTensor || given[i]->kind == Kind::kSymInt ||
                       given[i]->kind == Kind::kSymFloat || given[i]->kind == Kind::kSymBool;
    Binding b;
    if (named) {
      if (!find(given[i]->text)) return damaged("input \"" + given[i]->text + "\" is not defined");
      b.alias = resolved(given[i]->text);
    } else {
      auto number = scalar(*given[i]);
      b = number ? *number : Binding{.kind = Binding::Kind::kOpaque};
    }
    prefix_ = inner;
    LATHE_CHECK(bind(graph.inputs[i].text, std::move(b)));
    prefix_ = outer;
  }
  const size_t before = unsupported_.size();
  prefix_ = inner;
  auto ok = import_nodes(graph);
  std::vector<std::string> results;
  for (const Argument& o : graph.outputs) results.push_back(o.text.empty() ? std::string() : resolved(o.text));
  prefix_ = outer;
  if (!ok) return ok;
  if (unsupported_.size() != before) return unsupported("");
  const auto names = output_names(node);
  if (names.size() > results.size()) return damaged("the graph has fewer results than its node");
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    if (!names_.contains(results[i])) return damaged("a result of the graph is not defined");
    LATHE_CHECK(bind(names[i], {.alias = results[i]}));
  }
  return {};
}

}  // namespace lathe::pt2
