// SPDX-License-Identifier: Apache-2.0
#include "ops/loop.h"

#include "ops/_data.h"
#include "ops/_subgraph.h"

namespace lathe::ops {

namespace {

bool is_true(const ValueInfo& v) { return v.constant && v.constant->count() == 1 && v.constant->i64_at(0) != 0; }

Status check_one(const ValueInfo& v, DType dtype, const char* what) {
  if (v.dtype == dtype && product(v.shape).equals(1)) return {};
  return fail(Code::kUsage, std::string(what) + " must be one " + std::string(dtype_name(dtype)) + ", not " +
                                type_text(v.dtype, v.shape));
}

}  // namespace

bool Loop::varies(size_t k, size_t d) const {
  const Shape& in = body->value(body->inputs[2 + k]).shape;
  return !(in[d] == body->value(body->outputs[1 + k]).shape[d]) && !in[d].symbol_name().empty();
}

bool Loop::counted(const ValueInfo& condition) const {
  if (condition.dtype != DType::kUndefined && !is_true(condition)) return false;
  return body->outputs[0] == body->inputs[1] || is_true(body->info(body->outputs[0]));
}

Result<std::vector<ValueInfo>> Loop::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  if (!body || carried < 0) return fail(Code::kUsage, "lacks a body");
  const size_t n = carried_count();
  if (inputs.size() < 2 + n || body->inputs.size() != inputs.size() || body->outputs.size() < 1 + n)
    return fail(Code::kUsage, "its body takes or gives another number of values");
  for (size_t i = 2; i < inputs.size(); ++i)
    if (!has(inputs, i)) return fail(Code::kUsage, "input " + std::to_string(i) + " is missing");
  if (has(inputs, 0)) LATHE_CHECK(check_one(inputs[0], DType::kI64, "the number of iterations"));
  if (has(inputs, 1)) LATHE_CHECK(check_one(inputs[1], DType::kBool, "the condition"));
  const ValueInfo count = body->info(body->inputs[0]), flag = body->info(body->inputs[1]);
  LATHE_CHECK(check_one(count, DType::kI64, "the iteration's number"));
  LATHE_CHECK(check_one(flag, DType::kBool, "the body's condition"));
  LATHE_CHECK(check_one(body->info(body->outputs[0]), DType::kBool, "the body's next condition"));

  Around around;
  std::vector<std::set<size_t>> varying(n);
  for (size_t k = 0; k < n; ++k) {
    const Value &from = body->value(body->inputs[2 + k]), &to = body->value(body->outputs[1 + k]);
    if (from.dtype != to.dtype || from.shape.size() != to.shape.size())
      return fail(from.dtype != to.dtype ? Code::kUsage : Code::kUnsupported,
                  "carried value " + std::to_string(k) + " is " + type_text(from.dtype, from.shape) + " and becomes " +
                      type_text(to.dtype, to.shape));
    for (size_t d = 0; d < from.shape.size(); ++d) {
      if (from.shape[d] == to.shape[d]) continue;
      if (!varies(k, d))
        return fail(Code::kUsage, "carried value " + std::to_string(k) + " changes its shape from " +
                                      shape_str(from.shape) + " to " + shape_str(to.shape));
      varying[k].insert(d);
    }
  }
  for (size_t i = 2; i < inputs.size(); ++i)
    LATHE_CHECK(around.bind(*body, body->inputs[i], inputs[i], i - 2 < n ? varying[i - 2] : std::set<size_t>{}));

  std::vector<ValueInfo> out;
  for (size_t k = 0; k < n; ++k) {
    ValueInfo v{inputs[2 + k].dtype, inputs[2 + k].shape, nullptr, {}};
    for (const size_t d : varying[k]) v.shape[d] = fresh("loop");
    out.push_back(std::move(v));
  }
  if (scan_count() == 0) return out;
  const auto most = has(inputs, 0) ? content_of(inputs[0]) : std::nullopt;
  const bool known = most && most->size() == 1 && counted(has(inputs, 1) ? inputs[1] : ValueInfo{});
  const Dim length = !known ? fresh("trips") : (*most)[0].symbol_name().empty() ? max((*most)[0], 0) : (*most)[0];
  for (size_t k = 0; k < scan_count(); ++k) {
    const ValueInfo element = body->info(body->outputs[1 + n + k]);
    Shape shape{length};
    for (const Dim& d : element.shape) {
      const auto known_size = around.outside(d);
      shape.push_back(known_size ? *known_size : fresh("scan"));
    }
    out.push_back({element.dtype, std::move(shape), nullptr, {}});
  }
  return out;
}

Result<std::vector<Tensor>> Loop::evaluate(std::span<const Tensor> inputs) const {
  const size_t n = carried_count();
  const int64_t most = has(inputs, 0) ? inputs[0].i64_at(0) : INT64_MAX;
  bool go_on = !has(inputs, 1) || inputs[1].i64_at(0) != 0;
  std::vector<Tensor> values(inputs.begin(), inputs.end());
  const std::vector<int64_t> one_dims = *static_dims(body->value(body->inputs[0]).shape),
                             flag_dims = *static_dims(body->value(body->inputs[1]).shape);
  std::vector<std::vector<Tensor>> elements(scan_count());
  for (int64_t i = 0; i < most && go_on; ++i) {
    values[0] = Tensor::zeros(DType::kI64, one_dims);
    values[0].set_i64(0, i);
    values[1] = Tensor::zeros(DType::kBool, flag_dims);
    values[1].set_i64(0, 1);
    LATHE_TRY(auto out, evaluate_subgraph(*body, values));
    go_on = out[0].i64_at(0) != 0;
    for (size_t k = 0; k < n; ++k) values[2 + k] = out[1 + k];
    for (size_t k = 0; k < elements.size(); ++k) elements[k].push_back(std::move(out[1 + n + k]));
  }
  std::vector<Tensor> results(values.begin() + 2, values.begin() + 2 + static_cast<std::ptrdiff_t>(n));
  for (size_t k = 0; k < elements.size(); ++k) {
    const Value& v = body->value(body->outputs[1 + n + k]);
    std::vector<int64_t> dims;
    for (const Dim& d : v.shape) dims.push_back(d.as_const().value_or(0));
    if (!elements[k].empty()) dims = elements[k][0].dims();
    const int64_t size = count_of(dims);
    dims.insert(dims.begin(), static_cast<int64_t>(elements[k].size()));
    Elements all(v.dtype, dims);
    for (size_t i = 0; i < elements[k].size(); ++i) {
      if (elements[k][i].dims() != elements[k][0].dims())
        return fail(Code::kUsage, "the elements of scan output " + std::to_string(k) + " differ in shape");
      for (int64_t j = 0; j < size; ++j) all.put(static_cast<int64_t>(i) * size + j, elements[k][i], j);
    }
    results.push_back(all.take());
  }
  return results;
}

bool Loop::pure() const { return body && all_pure(*body); }

const OpInfo& op_loop() { return op_info<Loop>(); }

}  // namespace lathe::ops
