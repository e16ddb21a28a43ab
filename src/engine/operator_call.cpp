// SPDX-License-Identifier: Apache-2.0
#include "engine/operator_call.h"

#include <cstring>
#include <optional>

#include "engine/size_program.h"

namespace lathe {
namespace {

static_assert(LATHE_ATTRIBUTE_TENSOR == int(CustomAttribute::Kind::kTensor) &&
              LATHE_ATTRIBUTE_STRINGS == int(CustomAttribute::Kind::kStrings));

std::optional<int64_t> bytes_of(DType dtype, std::span<const int64_t> dims) {
  std::optional<int64_t> bits = dtype_bits(dtype);
  for (const int64_t d : dims) bits = bits && d >= 0 ? size_apply(SizeExpr::Kind::kMul, *bits, d) : std::nullopt;
  return bits ? std::optional((*bits + 7) / 8) : bits;
}

void one_after_another(lathe_operator_call*, int64_t count, void (*task)(void*, int64_t, int64_t), void* argument) {
  if (count > 0) task(argument, 0, count);
}

}  // namespace

std::string operator_name(std::string_view domain, std::string_view name) {
  return std::string(domain) + (domain.empty() ? "" : ".") + std::string(name);
}

OperatorCall::OperatorCall(const CustomOperator& described, const lathe_operator& implementation, size_t inputs,
                           size_t outputs)
    : implementation_(implementation) {
  // One block for all: structs of 8-byte fields, pointers to each of them, and the strings' addresses and lengths.
  const size_t count = described.attributes.size();
  size_t strings = 0;
  for (const CustomAttribute& a : described.attributes) strings += a.strings.size();
  constexpr auto words = [](size_t bytes) { return (bytes + 7) / 8; };
  memory_.reset(new int64_t[inputs * (words(sizeof(lathe_tensor)) + 1) + outputs * (words(sizeof(lathe_result)) + 1) +
                            count * (words(sizeof(lathe_attribute)) + words(sizeof(lathe_tensor)) + 1) + 2 * strings]);
  int64_t* at = memory_.get();
  const auto take = [&]<class T>(T*& first, size_t n) {
    first = reinterpret_cast<T*>(at);
    at += n * words(sizeof(T));  // NOLINT(bugprone-sizeof-expression): T may be a pointer
  };
  const auto pointers = [&]<class T>(T* first, size_t n) {
    T** to = nullptr;
    take(to, n);
    for (size_t i = 0; i < n; ++i) to[i] = first + i;
    return to;
  };
  lathe_attribute* attributes = nullptr;
  lathe_tensor* tensors = nullptr;
  const char** texts = nullptr;
  size_t* lengths = nullptr;
  take(inputs_, inputs);
  take(outputs_, outputs);
  take(attributes, count);
  take(tensors, count);
  take(texts, strings);
  take(lengths, strings);
  for (size_t i = 0; i < inputs; ++i) inputs_[i] = LATHE_TENSOR_INIT;
  for (size_t i = 0; i < count; ++i) {
    const CustomAttribute& from = described.attributes[i];
    lathe_attribute& a = attributes[i];
    a = {sizeof a, from.name.c_str(), static_cast<lathe_attribute_kind>(from.kind),
         0,        nullptr,           nullptr,
         nullptr,  nullptr,           nullptr};
    switch (from.kind) {
      case CustomAttribute::Kind::kInts:
        a.count = from.ints.size();
        a.ints = from.ints.data();
        break;
      case CustomAttribute::Kind::kFloats:
        a.count = from.floats.size();
        a.floats = from.floats.data();
        break;
      case CustomAttribute::Kind::kStrings:
        a.count = from.strings.size();
        a.strings = texts;
        a.lengths = lengths;
        for (const std::string& s : from.strings) {
          *texts++ = s.c_str();
          *lengths++ = s.size();
        }
        break;
      case CustomAttribute::Kind::kTensor:
        tensors[i] = {sizeof(lathe_tensor), from.data.data(), from.data.size(), static_cast<lathe_dtype>(from.dtype),
                      from.ints.size(),     from.ints.data()};
        a.count = 1;
        a.tensor = &tensors[i];
        break;
    }
  }
  call_.size = sizeof call_;
  call_.user = implementation_.user;
  call_.input_count = inputs;
  call_.output_count = outputs;
  call_.attribute_count = count;
  call_.inputs = pointers(inputs_, inputs);
  call_.outputs = pointers(outputs_, outputs);
  call_.attributes = pointers(attributes, count);
  call_.parallel = one_after_another;
}

void OperatorCall::set_input(size_t i, DType dtype, const int64_t* dims, size_t rank, const void* data) {
  const int64_t bytes = data ? bytes_of(dtype, {dims, rank}).value_or(0) : 0;
  inputs_[i] = {sizeof(lathe_tensor), data, static_cast<size_t>(bytes), static_cast<lathe_dtype>(dtype), rank, dims};
}

std::optional<int64_t> OperatorCall::output_bytes(size_t i) const {
  const lathe_result& r = outputs_[i];
  return bytes_of(static_cast<DType>(r.dtype), {r.dims, r.rank});
}

Status OperatorCall::finish(lathe_status status, const char* function) {
  if (status == LATHE_OK) return {};
  const bool told = status == LATHE_USAGE || status == LATHE_UNSUPPORTED;
  call_.message[sizeof call_.message - 1] = 0;
  std::string why = call_.message;
  if (why.empty()) why = "its " + std::string(function) + " function failed and did not say why";
  return fail(told ? static_cast<Code>(status) : Code::kFailed, std::move(why));
}

Status OperatorCall::shape() {
  for (size_t i = 0; i < call_.output_count; ++i) {
    outputs_[i] = {};
    outputs_[i].size = sizeof(lathe_result);
  }
  call_.message[0] = 0;
  LATHE_CHECK(finish(implementation_.shape(&call_), "shape"));
  for (size_t i = 0; i < call_.output_count; ++i) {
    const lathe_result& r = outputs_[i];
    const bool typed = r.dtype >= 0 && dtype_valid(static_cast<uint64_t>(r.dtype));
    if (!typed || dtype_bits(static_cast<DType>(r.dtype)) < 8 || r.rank > LATHE_MAX_RANK)
      return fail(Code::kFailed, "its shape function gives output " + std::to_string(i) +
                                     (r.rank > LATHE_MAX_RANK ? " more than 32 dimensions"
                                                              : " no type that custom operators can have"));
  }
  return {};
}

Status OperatorCall::run(decltype(lathe_operator_call::parallel) parallel, void* owner) {
  call_.parallel = parallel ? parallel : one_after_another;
  call_.owner = owner;
  call_.message[0] = 0;
  return finish(implementation_.run(&call_), "run");
}

}  // namespace lathe
