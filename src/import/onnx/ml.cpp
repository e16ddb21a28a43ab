// SPDX-License-Identifier: Apache-2.0
// ai.onnx.ml: linear models, support vectors, and the encoders around them, composed of canonical operators.
#include "import/onnx/ml.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "ops/arg_reduce.h"
#include "ops/gather.h"
#include "ops/lookup.h"
#include "ops/matmul.h"
#include "ops/one_hot.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

ValueId gather(Node& n, ValueId table, ValueId at, int64_t axis = 0) {
  return n.b.make<ops::Gather>({table, at}, [&](ops::Gather& g) { g.axis = axis; });
}

// The label of each row: labels[index].
ValueId labelled(Node& n, const Tensor& labels, ValueId index) { return gather(n, n.b.constant(labels), index); }

// X as f32 [N, F].
Result<ValueId> samples(Node& n) {
  const Shape s = n.shape(0);
  if (s.size() != 1 && s.size() != 2) return damaged("the input " + shape_str(s) + " must be of rank 1 or 2");
  const ValueId x = n.b.cast(n.in(0), DType::kF32);
  return s.size() == 2 ? x : n.b.reshape(x, {1, s[0]});
}

ValueId matrix(Node& n, const std::vector<double>& values, int64_t rows) {
  Tensor t = Tensor::zeros(DType::kF32, {rows, static_cast<int64_t>(values.size()) / std::max<int64_t>(rows, 1)});
  for (int64_t i = 0; i < t.count(); ++i) t.set(i, values[static_cast<size_t>(i)]);
  return n.b.constant(std::move(t));
}

// x times the transpose of `rows` rows of coefficients, plus one intercept a row.
Result<ValueId> linear(Node& n, const std::vector<double>& coefficients, int64_t rows,
                       const std::vector<double>& intercepts) {
  if (rows < 1 || coefficients.empty() || static_cast<int64_t>(coefficients.size()) % rows != 0)
    return damaged("the coefficients are not for " + std::to_string(rows) + " targets");
  LATHE_TRY(const ValueId x, samples(n));
  const ValueId y = n.b.make<ops::MatMul>({x, matrix(n, coefficients, rows)}, [](ops::MatMul& m) { m.trans_b = true; });
  if (intercepts.empty()) return y;
  if (static_cast<int64_t>(intercepts.size()) != rows) return damaged("there is not one intercept a target");
  return n.b.op("Add", {y, ml_vector(n, intercepts, DType::kF32)});
}

}  // namespace

Result<std::vector<double>> ml_numbers(Node& n, const std::string& name) {
  for (const std::string& key : {name, name + "_as_tensor"}) {
    const auto* a = n.attr(key);
    if (!a) continue;
    if (a->tensors.size() == 1) {
      LATHE_TRY(const Tensor t, n.importer().tensor(a->tensors[0]));
      if (t.dtype() == DType::kString) return damaged("attribute " + key + " holds strings");
      std::vector<double> r;
      for (int64_t i = 0; i < t.count(); ++i) r.push_back(t.f64_at(i));
      return r;
    }
    if (!a->floats.empty()) return n.floats(key);
    return std::vector<double>(a->ints.begin(), a->ints.end());
  }
  return std::vector<double>{};
}

ValueId ml_vector(Node& n, const std::vector<double>& values, DType dtype) {
  Tensor t = Tensor::zeros(dtype, {static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return n.b.constant(std::move(t));
}

Result<Tensor> class_labels(Node& n, const std::string& ints) {
  auto strings = n.strings("classlabels_strings");
  if (const auto given = n.ints(ints); given && !given->empty()) return Tensor::vector_i64(*given);
  if (strings.empty()) return damaged("there are no class labels");
  const auto count = static_cast<int64_t>(strings.size());
  return Tensor::of_strings({count}, std::move(strings));
}

Result<ValueId> post_transformed(Node& n, ValueId scores, const std::string& kind) {
  const DType t = n.b.dtype(scores);
  const auto number = [&](double v) { return n.b.scalar(t, v); };
  if (kind == "NONE") return scores;
  if (kind == "LOGISTIC") return n.b.op("Sigmoid", {scores});
  if (kind == "SOFTMAX") return n.b.make<ops::Softmax>({scores}, [](ops::Softmax& s) { s.axis = 1; });
  if (kind == "SOFTMAX_ZERO") {  // scores of 0 stay out of the sum
    const ValueId top = n.b.reduce("max", scores, {1}, true);
    const ValueId counts = n.b.op("Greater", {n.b.op("Abs", {scores}), number(1e-7)});
    const ValueId e = n.b.op("Exp", {n.b.op("Sub", {scores, top})});
    const ValueId sum = n.b.reduce("sum", n.b.op("Where", {counts, e, number(0)}), {1}, true);
    const ValueId rest = n.b.op("Mul", {scores, n.b.op("Exp", {n.b.op("Neg", {top})})});
    return n.b.op("Div", {n.b.op("Where", {counts, e, rest}), sum});
  }
  if (kind == "PROBIT") {
    // sqrt(2) * erfinv(2 p - 1), with Winitzki's approximation of erfinv as ONNX Runtime has it.
    const double a = 0.147;
    const ValueId x = n.b.op("Sub", {n.b.op("Mul", {scores, number(2)}), number(1)});
    const ValueId log = n.b.op("Log", {n.b.op("Sub", {number(1), n.b.op("Mul", {x, x})})});
    const ValueId v = n.b.op("Add", {n.b.op("Mul", {log, number(0.5)}), number(2 / (3.14159 * a))});
    const ValueId root = n.b.op("Sqrt", {n.b.op("Sub", {n.b.op("Mul", {v, v}), n.b.op("Div", {log, number(a)})})});
    const ValueId size = n.b.op("Sqrt", {n.b.op("Sub", {root, v})});
    return n.b.op("Mul", {n.b.op("Mul", {n.b.op("Sign", {x}), size}), number(std::sqrt(2.0))});
  }
  return damaged("post_transform \"" + kind + "\" is not known");
}

Result<Values> binary_classes(Node& n, ValueId score, const Tensor& labels, bool positive) {
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(score);
  const Dim rows = n.b.shape(score)[0];
  const ValueId second = n.b.op("Greater", {score, n.b.scalar(t, positive ? 0.5 : 0)});
  const ValueId label = labelled(n, labels, n.b.reshape(n.b.cast(second, DType::kI64), {rows}));
  const std::string kind = n.s("post_transform", "NONE");
  ValueId scores = kNoId;
  if (kind == "PROBIT") {
    LATHE_TRY(scores, post_transformed(n, score, kind));
  } else if (kind == "LOGISTIC") {
    scores = n.b.op("Sigmoid", {n.b.concat({n.b.op("Neg", {score}), score}, 1)});
  } else {
    scores = n.b.concat({positive ? n.b.op("Sub", {n.b.scalar(t, 1), score}) : n.b.op("Neg", {score}), score}, 1);
  }
  return n.done({label, n.b.cast(scores, DType::kF32)});
}

Result<Values> multiple_classes(Node& n, ValueId scores, const Tensor& labels) {
  const ValueId best = n.b.make<ops::ArgReduce>({scores}, [](ops::ArgReduce& a) {
    a.kind = "max";
    a.axis = 1;
    a.keepdims = false;
  });
  LATHE_TRY(const ValueId z, post_transformed(n, scores, n.s("post_transform", "NONE")));
  return n.done({labelled(n, labels, best), n.b.cast(z, DType::kF32)});
}

Result<Values> linear_regressor(Node& n) {
  LATHE_TRY(const ValueId scores, linear(n, n.floats("coefficients"), n.i("targets", 1), n.floats("intercepts")));
  LATHE_TRY(const ValueId y, post_transformed(n, scores, n.s("post_transform", "NONE")));
  return n.done(y);
}

Result<Values> linear_classifier(Node& n) {
  LATHE_TRY(const Tensor labels, class_labels(n, "classlabels_ints"));
  const auto intercepts = n.floats("intercepts");
  const auto rows = intercepts.empty() ? labels.count() : static_cast<int64_t>(intercepts.size());
  LATHE_TRY(const ValueId scores, linear(n, n.floats("coefficients"), rows, intercepts));
  if (rows != 1) {
    if (rows != labels.count()) return damaged("there is not one row of coefficients a label");
    return multiple_classes(n, scores, labels);
  }
  if (labels.count() != 2) return damaged("one row of coefficients needs two labels");
  // The label by the sign of the margin; the scores as if it were a probability.
  LATHE_TRY(const Values margin, binary_classes(n, scores, labels, false));
  LATHE_TRY(const Values chance, binary_classes(n, scores, labels, true));
  return n.done({margin[0], chance[1]});
}

namespace {

// k(x, v) for each row of x and each support vector.
Result<ValueId> kernel_products(Node& n, const std::vector<double>& vectors, int64_t count) {
  if (count < 1 || vectors.empty() || static_cast<int64_t>(vectors.size()) % count != 0)
    return damaged("support_vectors do not fit their number");
  const auto parameters = n.floats("kernel_params");
  const auto parameter = [&](size_t i) { return n.b.scalar(DType::kF32, i < parameters.size() ? parameters[i] : 0); };
  const std::string kind = n.s("kernel_type", "LINEAR");
  LATHE_TRY(const ValueId x, samples(n));
  const ValueId v = matrix(n, vectors, count);
  if (kind == "RBF") {
    if (!n.b.ok()) return kNoId;
    const Shape s = n.b.shape(x);
    const ValueId difference = n.b.op("Sub", {n.b.reshape(x, {s[0], 1, s[1]}), v});
    const ValueId squares = n.b.reduce("sum_square", difference, {2}, false);
    return n.b.op("Exp", {n.b.op("Mul", {squares, n.b.op("Neg", {parameter(0)})})});
  }
  const ValueId product = n.b.make<ops::MatMul>({x, v}, [](ops::MatMul& m) { m.trans_b = true; });
  if (kind == "LINEAR") return product;
  const ValueId affine = n.b.op("Add", {n.b.op("Mul", {product, parameter(0)}), parameter(1)});
  if (kind == "POLY") return n.b.op("Pow", {affine, parameter(2)});
  if (kind == "SIGMOID") return n.b.op("Tanh", {affine});
  return damaged("kernel_type \"" + kind + "\" is not known");
}

}  // namespace

Result<Values> svm_regressor(Node& n) {
  const int64_t supports = n.i("n_supports", 0);
  const auto coefficients = n.floats("coefficients"), rho = n.floats("rho");
  if (rho.empty()) return damaged("rho is missing");
  ValueId y = kNoId;
  if (supports > 0) {
    if (static_cast<int64_t>(coefficients.size()) != supports) return damaged("there is not one coefficient a support");
    LATHE_TRY(const ValueId k, kernel_products(n, n.floats("support_vectors"), supports));
    y = n.b.make<ops::MatMul>({k, matrix(n, coefficients, 1)}, [](ops::MatMul& m) { m.trans_b = true; });
    y = n.b.op("Add", {y, n.b.scalar(DType::kF32, rho[0])});
  } else {
    LATHE_TRY(y, linear(n, coefficients, 1, {rho[0]}));
  }
  if (n.i("one_class", 0) != 0) {
    const ValueId inside = n.b.op("Greater", {y, n.b.scalar(DType::kF32, 0)});
    return n.done(n.b.op("Where", {inside, n.b.scalar(DType::kF32, 1), n.b.scalar(DType::kF32, -1)}));
  }
  LATHE_TRY(y, post_transformed(n, y, n.s("post_transform", "NONE")));
  return n.done(y);
}

Result<Values> scaler(Node& n) {
  const auto scale = n.floats("scale"), offset = n.floats("offset");
  if (scale.empty() || offset.empty()) return damaged("scale or offset is missing");
  const ValueId x = n.b.cast(n.in(0), DType::kF32);
  const ValueId shifted = n.b.op("Sub", {x, ml_vector(n, offset, DType::kF32)});
  return n.done(n.b.op("Mul", {shifted, ml_vector(n, scale, DType::kF32)}));
}

// Rows divided by their norm; those of norm 0 stay.
Result<Values> normalizer(Node& n) {
  const std::string norm = n.s("norm", "MAX");
  const char* kind = norm == "MAX" ? "max" : norm == "L1" ? "l1" : norm == "L2" ? "l2" : nullptr;
  if (!kind) return damaged("norm \"" + norm + "\" is not known");
  const int64_t rank = n.rank(0);
  if (rank < 1) return damaged("the input is a scalar");
  const ValueId x = n.b.cast(n.in(0), DType::kF32);
  const ValueId size = n.b.reduce(kind, x, {rank - 1}, true);
  const ValueId none = n.b.op("Equal", {size, n.b.scalar(DType::kF32, 0)});
  return n.done(n.b.op("Div", {x, n.b.op("Where", {none, n.b.scalar(DType::kF32, 1), size})}));
}

Result<Values> binarizer(Node& n) {
  const DType t = n.dtype(0);
  const ValueId above =
      n.b.op("Greater", {n.b.cast(n.in(0), DType::kF64), n.b.scalar(DType::kF64, n.f("threshold", 0))});
  return n.done(n.b.cast(above, t));
}

// Elements equal to replaced_value (NaN too) become the imputed one, of their column where there are several.
Result<Values> imputer(Node& n) {
  const DType t = n.dtype(0);
  const bool real = dtype_info(t).is_float;
  ValueId replaced = kNoId, imputed = kNoId;
  if (real) {
    const auto values = n.floats("imputed_value_floats");
    if (values.empty()) return damaged("imputed_value_floats is missing");
    const double old = n.f("replaced_value_float", 0);
    replaced = std::isnan(old) ? n.b.op("IsNaN", {n.in(0)}) : n.b.op("Equal", {n.in(0), n.b.scalar(t, old)});
    imputed = ml_vector(n, values, t);
  } else {
    const auto values = n.ints("imputed_value_int64s").value_or(std::vector<int64_t>{});
    if (values.empty()) return damaged("imputed_value_int64s is missing");
    replaced = n.b.op("Equal", {n.in(0), n.b.cast(n.b.i64(n.i("replaced_value_int64", 0)), t)});
    imputed = n.b.cast(n.b.i64s(values), t);
  }
  return n.done(n.b.op("Where", {replaced, imputed, n.in(0)}));
}

// Columns of X [..., C] at the indices of Y.
Result<Values> array_feature_extractor(Node& n) {
  const Shape s = n.shape(0);
  if (s.empty()) return damaged("the input is a scalar");
  const ValueId at = n.b.reshape(n.in(1), {product(n.shape(1))});
  const ValueId x = s.size() == 1 ? n.b.reshape(n.in(0), {1, s[0]}) : n.in(0);
  return n.done(n.b.ok() ? gather(n, x, at, n.b.rank(x) - 1) : kNoId);
}

Result<Values> feature_vectorizer(Node& n) {
  const auto sizes = n.ints("inputdimensions").value_or(std::vector<int64_t>{});
  if (sizes.size() != n.input_count() || sizes.empty()) return damaged("inputdimensions is not one for each input");
  Values parts;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const Shape s = n.shape(i);
    if (s.empty()) return damaged("an input is a scalar");
    const ValueId x = n.b.cast(n.in(i), DType::kF32);
    ValueId part =
        s.size() == 1 ? n.b.reshape(x, {1, s[0]}) : n.b.reshape(x, {s[0], product({s.begin() + 1, s.end()})});
    if (!n.b.ok()) return n.done(kNoId);
    const Dim have = n.b.shape(part)[1];
    if (!have.is_const() || have.value() != sizes[i])
      return unsupported("input " + std::to_string(i) + " has " + have.str() + " features, inputdimensions says " +
                         std::to_string(sizes[i]));
    parts.push_back(part);
  }
  return n.done(n.b.concat(std::move(parts), 1));
}

namespace {

// A table of keys, values and the value of what is no key. Keys that occur twice keep their first value.
Result<ValueId> looked_up(Node& n, ValueId x, const Tensor& keys, const Tensor& values, Tensor otherwise) {
  if (keys.count() != values.count()) return damaged("keys and values differ in number");
  if (keys.dtype() == DType::kString) return unsupported("keys that are strings are not supported");
  std::vector<int64_t> order(static_cast<size_t>(keys.count()));
  std::iota(order.begin(), order.end(), 0);
  const bool real = dtype_info(keys.dtype()).is_float;
  const auto less = [&](int64_t a, int64_t b) {
    if (!real) return keys.i64_at(a) < keys.i64_at(b);
    const double p = keys.f64_at(a), q = keys.f64_at(b);
    return std::isnan(q) ? !std::isnan(p) : p < q;
  };
  std::ranges::stable_sort(order, less);
  const auto doubled = std::ranges::unique(order, [&](int64_t a, int64_t b) { return !less(a, b) && !less(b, a); });
  order.erase(doubled.begin(), doubled.end());
  const ValueId at = n.b.i64s(order);
  return n.b.add(std::make_shared<ops::Lookup>(),
                 {x, gather(n, n.b.constant(keys), at), gather(n, n.b.constant(values), at),
                  n.b.constant(otherwise.reshaped({}))});
}

// One of the lists or the tensor that the attribute may be: PREFIX_int64s, PREFIX_floats, PREFIX_strings,
// PREFIX_tensor.
Result<std::optional<Tensor>> one_of_lists(Node& n, const std::string& prefix) {
  if (const auto* a = n.attr(prefix + "_tensor"); a && a->tensors.size() == 1) {
    LATHE_TRY(Tensor t, n.importer().tensor(a->tensors[0]));
    const int64_t count = t.count();
    return t.reshaped({count});
  }
  if (const auto v = n.ints(prefix + "_int64s"); v && !v->empty()) return Tensor::vector_i64(*v);
  if (const auto v = n.floats(prefix + "_floats"); !v.empty()) {
    const std::vector<float> f(v.begin(), v.end());
    return Tensor::of<float>(DType::kF32, {static_cast<int64_t>(f.size())}, f);
  }
  if (auto v = n.strings(prefix + "_strings"); !v.empty()) {
    const auto count = static_cast<int64_t>(v.size());
    return Tensor::of_strings({count}, std::move(v));
  }
  return std::nullopt;
}

}  // namespace

Result<Values> label_encoder(Node& n) {
  std::optional<Tensor> keys, values;
  if (n.attr("classes_strings")) {  // version 1: strings to their positions, or back
    auto classes = n.strings("classes_strings");
    std::vector<int64_t> positions(classes.size());
    std::iota(positions.begin(), positions.end(), 0);
    const auto count = static_cast<int64_t>(classes.size());
    keys = Tensor::of_strings({count}, std::move(classes));
    values = Tensor::vector_i64(positions);
    if (n.dtype(0) != DType::kString) std::swap(keys, values);
  } else {
    LATHE_TRY(keys, one_of_lists(n, "keys"));
    LATHE_TRY(values, one_of_lists(n, "values"));
  }
  if (!keys || !values) return damaged("keys or values are missing");
  if (keys->dtype() != n.dtype(0)) return damaged("the keys are not of the input's type");
  Tensor otherwise;
  if (const auto* a = n.attr("default_tensor"); a && a->tensors.size() == 1) {
    LATHE_TRY(otherwise, n.importer().tensor(a->tensors[0]));
    if (otherwise.count() != 1 || otherwise.dtype() != values->dtype()) return damaged("default_tensor does not fit");
  } else if (values->dtype() == DType::kString) {
    otherwise = Tensor::of_strings({}, {n.s("default_string", "_Unused")});
  } else {
    otherwise = Tensor::zeros(values->dtype(), {});
    if (dtype_info(values->dtype()).is_float)
      otherwise.set(0, n.f("default_float", -0.0));
    else
      otherwise.set_i64(0, n.i("default_int64", -1));
  }
  LATHE_TRY(const ValueId y, looked_up(n, n.in(0), *keys, *values, std::move(otherwise)));
  return n.done(y);
}

Result<Values> category_mapper(Node& n) {
  auto names = n.strings("cats_strings");
  const auto numbers = n.ints("cats_int64s").value_or(std::vector<int64_t>{});
  const auto count = static_cast<int64_t>(names.size());
  const Tensor strings = Tensor::of_strings({count}, std::move(names)), integers = Tensor::vector_i64(numbers);
  const bool from_strings = n.dtype(0) == DType::kString;
  Tensor otherwise = from_strings ? Tensor::scalar_i64(n.i("default_int64", -1))
                                  : Tensor::of_strings({}, {n.s("default_string", "_Unused")});
  LATHE_TRY(const ValueId y, looked_up(n, n.in(0), from_strings ? strings : integers, from_strings ? integers : strings,
                                       std::move(otherwise)));
  return n.done(y);
}

// A new last dimension with a 1 at the category's position. What is no category gives zeros, or (zeros = 0) an error.
Result<Values> one_hot_encoder(Node& n) {
  const auto numbers = n.ints("cats_int64s").value_or(std::vector<int64_t>{});
  auto names = n.strings("cats_strings");
  const bool strings = numbers.empty();
  const auto count = static_cast<int64_t>(strings ? names.size() : numbers.size());
  if (count == 0) return damaged("there are no categories");
  const Tensor keys = strings ? Tensor::of_strings({count}, std::move(names)) : Tensor::vector_i64(numbers);
  std::vector<int64_t> positions(static_cast<size_t>(count));
  std::iota(positions.begin(), positions.end(), 0);
  const ValueId x = strings ? n.in(0) : n.b.cast(n.in(0), DType::kI64);
  LATHE_TRY(const ValueId at, looked_up(n, x, keys, Tensor::vector_i64(positions), Tensor::scalar_i64(count)));
  if (n.i("zeros", 1) == 0) {
    Tensor rows = Tensor::zeros(DType::kF32, {count, count});
    for (int64_t i = 0; i < count; ++i) rows.set(i * count + i, 1);
    return n.done(gather(n, n.b.constant(std::move(rows)), at));
  }
  const ValueId on = ml_vector(n, {0, 1}, DType::kF32);
  return n.done(n.b.make<ops::OneHot>({at, n.b.i64(count), on}, [&](ops::OneHot& o) { o.axis = n.rank(0); }));
}

Result<Values> maps(Node& n) {
  return unsupported(
      std::string(n.op_type()) +
      " makes or takes a map, which is not supported; export the model without it (skl2onnx: zipmap=False)");
}

}  // namespace lathe::onnx
