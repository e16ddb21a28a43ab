// SPDX-License-Identifier: Apache-2.0
#include "import/builder.h"

#include <algorithm>

#include "ir/attr_visitor.h"
#include "ops/cast.h"
#include "ops/concat.h"
#include "ops/dequantize.h"
#include "ops/expand.h"
#include "ops/range.h"
#include "ops/read_sizes.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "ops/shape.h"
#include "ops/slice.h"
#include "ops/transpose.h"

namespace lathe::importer {

namespace {

// Results up to this many elements are computed at import: shapes and masks, not weights.
constexpr int64_t kFoldElements = 1 << 16;

class AttributeSetter final : public PartialVisitor {
 public:
  using PartialVisitor::attr;
  explicit AttributeSetter(const std::vector<NamedAttribute>& attributes) : attributes_(attributes) {}
  void attr(const char* name, int64_t& v) override { set(name, v); }
  void attr(const char* name, double& v) override { set(name, v); }
  void attr(const char* name, bool& v) override { set(name, v); }
  void attr(const char* name, std::string& v) override { set(name, v); }

 private:
  template <class T>
  void set(const char* name, T& v) {
    for (const NamedAttribute& a : attributes_)
      if (const T* given = std::get_if<T>(&a.value); given && a.name == name) v = *given;
  }
  const std::vector<NamedAttribute>& attributes_;
};

}  // namespace

std::optional<size_t> checked_bytes(DType dtype, const std::vector<int64_t>& dims, size_t most) {
  size_t bits = static_cast<size_t>(dtype_bits(dtype));
  if (bits == 0) bits = 8 * sizeof(std::string);
  bool zero = false;
  for (const int64_t d : dims) {
    if (d < 0 || __builtin_mul_overflow(bits, d == 0 ? size_t{1} : static_cast<size_t>(d), &bits)) return std::nullopt;
    zero = zero || d == 0;
  }
  const size_t bytes = bits / 8 + (bits % 8 != 0);
  if (bytes > most) return std::nullopt;
  return zero ? 0 : bytes;
}

void Builder::begin_node(std::string name) {
  node_name_ = std::move(name);
  status_ = {};
}

void Builder::set_error(Error e) {
  if (status_) status_ = std::unexpected<Error>(std::move(e));
}

const Tensor* Builder::constant_of(ValueId v) const {
  return v < 0 || !graph_.value(v).constant ? nullptr : &*graph_.value(v).constant;
}

std::optional<std::vector<ValueId>> Builder::fold(const Op& op, const std::vector<ValueId>& inputs) {
  if (!op.foldable()) return std::nullopt;
  // Dequantized weights are what integer arithmetic is found from.
  if (dynamic_cast<const ops::Dequantize*>(&op) && !inputs.empty() && !product(shape(inputs[0])).equals(1))
    return std::nullopt;
  std::vector<Tensor> tensors;
  bool constants = true;
  for (const ValueId v : inputs) {
    const Tensor* t = v == kNoId ? nullptr : constant_of(v);
    constants = constants && (v == kNoId || t);
    tensors.push_back(t ? *t : Tensor());
  }
  const auto infos = graph_.infos(inputs);
  bool data_dependent = false;
  const auto out = op.infer(infos, [&](std::string_view stem) {
    data_dependent = true;
    return Dim::symbol(std::string(stem));
  });
  if (!out) return std::nullopt;  // add_node reports it
  std::vector<Tensor> results;
  for (const ValueInfo& o : *out) {  // what the shape rules know already needs no inputs
    const auto known = o.content ? static_dims(*o.content) : std::nullopt;
    const auto dims = static_dims(o.shape);
    if (!known || !dims || (o.dtype != DType::kI64 && o.dtype != DType::kI32)) break;
    Tensor t = Tensor::zeros(o.dtype, *dims);
    if (static_cast<int64_t>(known->size()) != t.count()) break;
    for (size_t i = 0; i < known->size(); ++i) t.set_i64(static_cast<int64_t>(i), (*known)[i]);
    results.push_back(std::move(t));
  }
  if (results.size() != out->size()) {
    if (!constants) return std::nullopt;
    for (const ValueInfo& o : *out) {
      const auto dims = static_dims(o.shape);
      if (!data_dependent && (!dims || !checked_bytes(o.dtype, *dims, 16 * kFoldElements))) return std::nullopt;
    }
    for (const Tensor& t : tensors)
      if (t.count() > kFoldElements) return std::nullopt;
    auto r = op.evaluate(tensors);
    if (!r) return std::nullopt;
    results = *std::move(r);
  }
  std::vector<ValueId> values;
  for (Tensor& t : results) values.push_back(graph_.add_constant({}, std::move(t)));
  return values;
}

std::vector<ValueId> Builder::add_all(std::shared_ptr<const Op> op, std::vector<ValueId> inputs) {
  if (!ok()) return {};
  if (auto folded = fold(*op, inputs)) return *folded;
  const auto id = graph_.add_node(std::move(op), std::move(inputs), {}, node_name_);
  if (!id) {
    set_error(id.error());
    return {};
  }
  size_t most = max_tensor_bytes_;
  for (const ValueId v : graph_.node(*id).inputs)
    if (const auto dims = static_dims(shape(v)); dims && v != kNoId)
      most = std::max(most, checked_bytes(dtype(v), *dims, size_t{1} << 40).value_or(0));
  for (const ValueId v : graph_.node(*id).outputs) {
    const auto dims = static_dims(shape(v));
    if (dims && !checked_bytes(dtype(v), *dims, most))
      set_error({Code::kUnsupported, "the result " + shape_str(shape(v)) + " is larger than the limit of " +
                                         std::to_string(max_tensor_bytes_) +
                                         " bytes; --memory-limit raises it where the model is to be trusted"});
    if (shape(v).size() > 32) set_error({Code::kUnsupported, "tensors of rank above 32 are not supported"});
  }
  return graph_.node(*id).outputs;
}

ValueId Builder::add(std::shared_ptr<const Op> op, std::vector<ValueId> inputs) {
  const auto outputs = add_all(std::move(op), std::move(inputs));
  return outputs.empty() ? kNoId : outputs[0];
}

ValueId Builder::op(std::string_view name, std::vector<ValueId> inputs) {
  const OpInfo* found = find_op(name);
  if (!found) {
    set_error({Code::kUnsupported, "operator " + std::string(name) + " is not supported"});
    return kNoId;
  }
  return add(found->make(), std::move(inputs));
}

ValueId Builder::op(std::string_view name, std::vector<ValueId> inputs, std::vector<NamedAttribute> attributes) {
  const OpInfo* found = find_op(name);
  if (!found) return op(name, std::move(inputs));
  std::shared_ptr<Op> made = found->make();
  AttributeSetter setter(attributes);
  made->visit(setter);
  return add(std::move(made), std::move(inputs));
}

ValueId Builder::constant(Tensor t) { return graph_.add_constant({}, std::move(t)); }

ValueId Builder::scalar(DType dtype, double value) {
  Tensor t = Tensor::zeros(dtype, {});
  t.set(0, value);
  return constant(std::move(t));
}

Result<Tensor> transposed(const Tensor& x, const std::vector<int64_t>& perm) {
  ops::Transpose t;
  t.perm = perm;
  LATHE_TRY(auto y, t.evaluate({&x, 1}));
  return std::move(y[0]);
}

ValueId Builder::transpose(ValueId x, std::vector<int64_t> perm) {
  bool identity = true;
  for (size_t i = 0; i < perm.size(); ++i) identity = identity && perm[i] == static_cast<int64_t>(i);
  if (identity && static_cast<int64_t>(perm.size()) == rank(x)) return x;
  if (const Tensor* t = constant_of(x); t && ok() && t->dims().size() == perm.size()) {
    auto y = transposed(*t, perm);
    if (y) return constant(*std::move(y));
  }
  return make<ops::Transpose>({x}, [&](auto& t) { t.perm = std::move(perm); });
}

ValueId Builder::shape_element(ValueId of, int64_t d) {
  return make<ops::ShapeOf>({of}, [&](auto& o) {
    o.start = d;
    o.end = d + 1;
  });
}

// Where some value has the size as a dimension; the graph's inputs come first.
ValueId Builder::find_size(const Dim& d) {
  const auto in = [&](ValueId v) {
    const auto& s = graph_.value(v).shape;
    const auto at = std::find(s.begin(), s.end(), d);
    return at == s.end() ? kNoId : shape_element(v, at - s.begin());
  };
  for (const ValueId v : graph_.inputs)
    if (const ValueId r = in(v); r != kNoId) return r;
  for (size_t i = 0; i < graph_.value_count(); ++i)
    if (const ValueId r = in(static_cast<ValueId>(i)); r != kNoId) return r;
  return kNoId;
}

ValueId Builder::dim_value(const Dim& d) {
  if (!ok()) return kNoId;
  if (d.is_const()) return i64s({d.value()});
  if (const ValueId v = find_size(d); v != kNoId || !ok()) return v;
  ValueId sum = kNoId;
  for (const Dim::Term& term : d.terms()) {
    ValueId product = kNoId;
    const auto times = [&](ValueId v) { product = product == kNoId ? v : op("Mul", {product, v}); };
    for (const auto& atom : term.atoms) {
      if (atom->kind == Dim::AtomKind::kSymbol) {
        const ValueId symbol = find_size(Dim::symbol(atom->key));
        if (symbol != kNoId)
          times(symbol);
        else
          set_error({Code::kUnsupported, "the size " + d.str() + " cannot be computed from the shapes at hand"});
      } else {
        const ValueId a = dim_value(atom->args[0]), b = dim_value(atom->args[1]);
        times(op(atom->kind == Dim::AtomKind::kFloorDiv ? "Div"
                 : atom->kind == Dim::AtomKind::kMod    ? "Mod"
                 : atom->kind == Dim::AtomKind::kMin    ? "Min"
                                                        : "Max",
                 {a, b}));
      }
      if (!ok()) return kNoId;
    }
    if (product == kNoId || term.coefficient != 1) times(i64s({term.coefficient}));
    sum = sum == kNoId ? product : op("Add", {sum, product});
  }
  return sum;
}

ValueId Builder::shape_value(const Shape& target, const std::vector<ValueId>& sources, bool rest) {
  if (const auto dims = static_dims(target)) return i64s(*dims);
  std::vector<ValueId> parts;
  for (const Dim& d : target) {
    if (d.is_const()) {
      parts.push_back(i64s({d.value()}));
      continue;
    }
    ValueId part = kNoId;
    for (const ValueId s : sources)
      for (int64_t k = 0; k < rank(s) && part == kNoId; ++k)
        if (shape(s)[static_cast<size_t>(k)] == d) part = shape_element(s, k);
    if (part == kNoId && rest) {
      part = i64s({-1});
      rest = false;
    }
    if (part == kNoId) part = dim_value(d);
    if (part == kNoId) {
      set_error({Code::kUnsupported,
                 "the size " + d.str() + " of " + shape_str(target) + " cannot be computed from the shapes at hand"});
      return kNoId;
    }
    parts.push_back(part);
  }
  return parts.size() == 1 ? parts[0] : concat(std::move(parts), 0);
}

ValueId Builder::reshape(ValueId x, const Shape& target) {
  if (!ok()) return kNoId;
  if (shape(x) == target) return x;
  const ValueId to = shape_value(target, {x}, true);
  const bool has_zero = std::any_of(target.begin(), target.end(), [](const Dim& d) { return d.equals(0); });
  if (const Tensor* t = constant_of(x); t && is_static(target) && ok()) {
    const auto dims = *static_dims(target);
    if (product(target) == product(shape(x))) return constant(t->reshaped(dims));
  }
  return make<ops::Reshape>({x, to}, [&](auto& r) { r.allow_zero = has_zero; });
}

ValueId Builder::cast(ValueId x, DType to) {
  if (dtype(x) == to) return x;
  return make<ops::Cast>({x}, [&](auto& c) { c.to = to; });
}

ValueId Builder::expand(ValueId x, const Shape& target) {
  if (!ok()) return kNoId;
  return add(std::make_shared<ops::Expand>(), {x, shape_value(target, {x}, false)});
}

ValueId Builder::sizes(ValueId v) {
  if (!ok() || v < 0 || content_of(info(v)) || rank(v) > 1) return v;
  const auto count = product(shape(v)).as_const();
  if (!count || *count > 64 || !dtype_info(dtype(v)).is_int) return v;  // the operator says what is wrong
  return make<ops::ReadSizes>({cast(v, DType::kI64)}, [&](auto& r) {
    for (int64_t i = 0; i < *count; ++i) r.symbols.push_back(graph_.fresh_symbol("size").symbol_name());
  });
}

ValueId Builder::reduce(std::string_view kind, ValueId x, std::vector<int64_t> axes, bool keepdims) {
  return make<ops::Reduce>({x}, [&](auto& r) {
    r.kind = kind;
    r.axes = std::move(axes);
    r.keepdims = keepdims;
  });
}

ValueId Builder::slice(ValueId x, int64_t axis, int64_t start, int64_t end) {
  return add(std::make_shared<ops::Slice>(), {x, i64s({start}), i64s({end}), i64s({axis})});
}

ValueId Builder::concat(std::vector<ValueId> xs, int64_t axis) {
  return make<ops::Concat>(std::move(xs), [&](auto& c) { c.axis = axis; });
}

ValueId Builder::iota(const Dim& count, const std::vector<ValueId>& sources) {
  if (!ok()) return kNoId;
  const ValueId end = reshape(shape_value({count}, sources, false), {});
  return add(std::make_shared<ops::Range>(), {i64(0), end, i64(1)});
}

}  // namespace lathe::importer
