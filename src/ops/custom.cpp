// SPDX-License-Identifier: Apache-2.0
#include "ops/custom.h"

#include <algorithm>
#include <charconv>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

constexpr std::string_view kKinds = "ifst";

std::string escaped(std::string_view s) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string r;
  for (const char c : s) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) || c == '_' || c == '.' || c == '-' || c == '/')
      r += c;
    else
      r += {'%', kHex[u >> 4], kHex[u & 15]};
  }
  return r;
}

std::optional<std::string> unescaped(std::string_view s) {
  std::string r;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '%') {
      r += s[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= s.size()) return std::nullopt;
    if (std::from_chars(s.data() + i + 1, s.data() + i + 3, value, 16).ptr != s.data() + i + 3) return std::nullopt;
    r += static_cast<char>(value);
    i += 2;
  }
  return r;
}

template <class T>
std::string number(T v) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, v).ptr};
}
template <class T>
bool parse_number(std::string_view s, T& v) {
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  return error == std::errc() && end == s.data() + s.size();
}

std::string joined(const std::vector<int64_t>& v, char by) {
  std::string r;
  for (const int64_t x : v) r += (r.empty() ? "" : std::string(1, by)) + number(x);
  return r;
}

/// Calls `each` for the words between the separators; none in an empty text.
bool split(std::string_view s, char by, const auto& each) {
  if (s.empty()) return true;
  for (size_t at = 0;;) {
    const size_t end = std::min(s.find(by, at), s.size());
    if (!each(s.substr(at, end - at))) return false;
    if (end == s.size()) return true;
    at = end + 1;
  }
}

// Sizes that are not known while building are handed to shape functions as numbers far from any size and from each
// other, so that arithmetic on them does not give another of them.
constexpr int64_t size_code(size_t i) { return -(int64_t{1} << 40) - static_cast<int64_t>(i) * 1'048'583; }
constexpr int64_t kLargest = int64_t{1} << 40;

}  // namespace

std::string attribute_text(const CustomAttribute& a) {
  std::string values;
  size_t count = 1;
  const auto append = [&](const std::string& s) { values += (values.empty() ? "" : ",") + s; };
  switch (a.kind) {
    case CustomAttribute::Kind::kInts:
      count = a.ints.size();
      values = joined(a.ints, ',');
      break;
    case CustomAttribute::Kind::kFloats:
      count = a.floats.size();
      for (const double x : a.floats) append(number(x));
      break;
    case CustomAttribute::Kind::kStrings:
      count = a.strings.size();
      for (const std::string& s : a.strings) append("'" + escaped(s));
      break;
    case CustomAttribute::Kind::kTensor:
      values = std::string(dtype_name(a.dtype)) + "," + joined(a.ints, 'x') + "," +
               escaped({reinterpret_cast<const char*>(a.data.data()), a.data.size()});
  }
  return escaped(a.name) + "=" + kKinds[static_cast<size_t>(a.kind)] + ":" + std::to_string(count) + ":" + values;
}

std::optional<CustomAttribute> parse_attribute(std::string_view text) {
  CustomAttribute a;
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals + 2 >= text.size() || text[equals + 2] != ':') return std::nullopt;
  const auto name = unescaped(text.substr(0, equals));
  const size_t kind = kKinds.find(text[equals + 1]), second = text.find(':', equals + 3);
  size_t count = 0;
  if (!name || kind == std::string_view::npos || second == std::string_view::npos ||
      !parse_number(text.substr(equals + 3, second - equals - 3), count))
    return std::nullopt;
  a.name = *name;
  a.kind = static_cast<CustomAttribute::Kind>(kind);
  const std::string_view values = text.substr(second + 1);
  bool good = true;
  switch (a.kind) {
    case CustomAttribute::Kind::kInts:
      good = split(values, ',', [&](auto s) { return parse_number(s, a.ints.emplace_back()); });
      return good && a.ints.size() == count ? std::optional(a) : std::nullopt;
    case CustomAttribute::Kind::kFloats:
      good = split(values, ',', [&](auto s) { return parse_number(s, a.floats.emplace_back()); });
      return good && a.floats.size() == count ? std::optional(a) : std::nullopt;
    case CustomAttribute::Kind::kStrings:
      good = split(values, ',', [&](std::string_view s) {
        const auto plain = s.starts_with('\'') ? unescaped(s.substr(1)) : std::nullopt;
        if (plain) a.strings.push_back(*plain);
        return plain.has_value();
      });
      return good && a.strings.size() == count ? std::optional(a) : std::nullopt;
    case CustomAttribute::Kind::kTensor: {
      const size_t one = values.find(','), two = one == std::string_view::npos ? one : values.find(',', one + 1);
      if (two == std::string_view::npos) return std::nullopt;
      const auto dtype = dtype_from_name(values.substr(0, one));
      const auto data = unescaped(values.substr(two + 1));
      good = split(values.substr(one + 1, two - one - 1), 'x',
                   [&](auto s) { return parse_number(s, a.ints.emplace_back()); });
      if (!good || !dtype || !data) return std::nullopt;
      a.dtype = *dtype;
      a.data.assign(data->begin(), data->end());
      return a;
    }
  }
  return std::nullopt;
}

void Custom::visit(AttrVisitor& v) {
  v.attr("domain", domain);
  v.attr("type", type);
  v.attr("outputs", outputs);
  std::vector<std::string> text;
  for (const CustomAttribute& a : attributes) text.push_back(attribute_text(a));
  v.attr("attributes", text);
  attributes.clear();
  for (const std::string& t : text)
    if (auto a = parse_attribute(t)) attributes.push_back(*std::move(a));
}

CustomOperator Custom::described() const {
  CustomOperator d;
  d.domain = domain;
  d.name = type;
  d.attributes = attributes;
  return d;
}

Result<std::vector<ValueInfo>> Custom::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  const std::string called = operator_name(domain, type);
  if (!implementation) return fail(Code::kUnsupported, "the operator " + called + " is not registered");
  if (outputs < 1 || outputs > 64) return fail(Code::kUsage, "an operator has 1 to 64 outputs");
  const CustomOperator description = described();
  OperatorCall call(description, *implementation, inputs.size(), static_cast<size_t>(outputs));
  std::vector<Dim> symbolic;
  std::vector<std::vector<int64_t>> dims(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueInfo& x = inputs[i];
    if (x.dtype != DType::kUndefined && (dtype_bits(x.dtype) < 8 || x.rank() > LATHE_MAX_RANK))
      return fail(Code::kUnsupported, "input " + std::to_string(i) + " of " + called +
                                          ": custom operators do not take " + std::string(dtype_name(x.dtype)) +
                                          " of rank " + std::to_string(x.rank()));
    for (const Dim& d : x.shape) {
      auto known = std::find(symbolic.begin(), symbolic.end(), d);
      if (!d.is_const() && known == symbolic.end()) known = symbolic.insert(known, d);
      dims[i].push_back(d.is_const() ? d.value() : size_code(static_cast<size_t>(known - symbolic.begin())));
    }
    call.set_input(i, x.dtype, dims[i].data(), dims[i].size(), x.constant ? x.constant->bytes().data() : nullptr);
  }
  LATHE_CHECK(call.shape());
  std::vector<ValueInfo> results(static_cast<size_t>(outputs));
  for (size_t i = 0; i < results.size(); ++i) {
    const lathe_result& r = call.output(i);
    results[i].dtype = static_cast<DType>(r.dtype);
    for (size_t d = 0; d < r.rank; ++d) {
      const int64_t size = r.dims[d];
      size_t known = 0;
      while (known < symbolic.size() && size_code(known) != size) ++known;
      if (size == LATHE_UNKNOWN_SIZE)
        results[i].shape.push_back(fresh("custom"));
      else if (known < symbolic.size())
        results[i].shape.push_back(symbolic[known]);
      else if (size >= 0 && size <= kLargest)
        results[i].shape.emplace_back(size);
      else
        return fail(Code::kFailed, "the shape function of " + called + " gives dimension " + std::to_string(d) +
                                       " of output " + std::to_string(i) + " the size " + std::to_string(size) +
                                       "; what it computes from sizes that are not known (negative ones) must be "
                                       "LATHE_UNKNOWN_SIZE");
    }
  }
  return results;
}

Result<std::vector<Tensor>> Custom::evaluate(std::span<const Tensor> inputs) const {
  if (!implementation)
    return fail(Code::kUnsupported, "the operator " + operator_name(domain, type) + " is not registered");
  const CustomOperator description = described();
  OperatorCall call(description, *implementation, inputs.size(), static_cast<size_t>(outputs));
  for (size_t i = 0; i < inputs.size(); ++i)
    call.set_input(i, inputs[i].dtype(), inputs[i].dims().data(), inputs[i].dims().size(), inputs[i].bytes().data());
  LATHE_CHECK(call.shape());
  std::vector<Tensor> results;
  for (size_t i = 0; i < static_cast<size_t>(outputs); ++i) {
    lathe_result& r = call.output(i);
    const auto bytes = call.output_bytes(i);
    if (!bytes || *bytes > kLargest) return fail(Code::kFailed, "output " + std::to_string(i) + " is too large");
    results.push_back(Tensor::zeros(static_cast<DType>(r.dtype), {r.dims, r.dims + r.rank}));
    r.data = results.back().mutable_bytes().data();
    r.bytes = static_cast<size_t>(*bytes);
  }
  LATHE_CHECK(call.run());
  return results;
}

const OpInfo& op_custom() { return op_info<Custom>(); }

}  // namespace lathe::ops
