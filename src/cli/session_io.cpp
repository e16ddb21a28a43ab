// SPDX-License-Identifier: Apache-2.0
#include "cli/session_io.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/mapped_file.h"
#include "cli/open.h"
#include "cli/suggest.h"
#include "engine/size_program.h"

namespace lathe::cli {
namespace {

const PlanBuffer& buffer_of(const Plan& plan, const PlanPort& port) {
  return plan.buffers[static_cast<size_t>(port.buffer)];
}

std::vector<std::string> input_names(const Plan& plan) {
  std::vector<std::string> names;
  for (const PlanPort& port : plan.inputs) names.push_back(port.name);
  return names;
}

std::string expected_inputs(const Plan& plan) {
  std::string out;
  for (const PlanPort& port : plan.inputs) out += "\n  " + port_text(plan, port);
  return out;
}

Result<size_t> find_input(const Plan& plan, const std::string& name) {
  const auto it = std::ranges::find(plan.inputs, name, &PlanPort::name);
  if (it != plan.inputs.end()) return static_cast<size_t>(it - plan.inputs.begin());
  return fail(Code::kUsage, "the model has no input \"" + name + '"' + did_you_mean(name, input_names(plan)) +
                                "; it expects" + expected_inputs(plan));
}

/// The plan's dimensions that are numbers must match; symbols are the session's to check, all inputs together.
Status check_shape(const Plan& plan, const PlanPort& port, std::span<const int64_t> dims) {
  const PlanBuffer& buffer = buffer_of(plan, port);
  bool same = dims.size() == buffer.dims.size();
  for (size_t i = 0; same && i < dims.size(); ++i) {
    const SizeExpr& e = plan.exprs[static_cast<size_t>(buffer.dims[i])];
    if (e.kind == SizeExpr::Kind::kConstant) same = e.value == dims[i];
  }
  if (same) return {};
  return fail(Code::kUsage, "input \"" + port.name + "\" expects shape " + size_format(plan, buffer.dims) + ", got " +
                                shape_format(dims));
}

HeaderCheck header_check(const Plan& plan, const PlanPort& port) {
  return [&plan, &port](const NpyHeader& header) -> Status {
    if (const auto status = check_type(header, buffer_of(plan, port).dtype); !status)
      return fail(Code::kUsage, "input \"" + port.name + "\" " + status.error().message);
    return check_shape(plan, port, header.dims);
  };
}

/// A file without the npy signature: the elements alone, for inputs whose shape is known.
Result<Tensor> read_raw(const Plan& plan, const PlanPort& port, const std::string& path, const File& file) {
  const PlanBuffer& buffer = buffer_of(plan, port);
  Tensor tensor{buffer.dtype, {}, {}};
  int64_t count = 1;
  for (const ExprId id : buffer.dims) {
    const SizeExpr& e = plan.exprs[static_cast<size_t>(id)];
    if (e.kind != SizeExpr::Kind::kConstant)
      return fail(Code::kUsage, path + ": not an npy file, and input \"" + port.name + "\" has no fixed shape " +
                                    size_format(plan, buffer.dims) + " that raw bytes could have");
    tensor.dims.push_back(e.value);
    count *= e.value;
  }
  const int64_t bytes = dtype_bytes(buffer.dtype, count);
  if (file.size() != static_cast<uint64_t>(bytes))
    return fail(Code::kUsage, fmt::format("{}: not an npy file, and {} bytes where input \"{}\" as raw bytes has {}",
                                          path, file.size(), port.name, bytes));
  tensor.data.resize(static_cast<size_t>(bytes));
  LATHE_CHECK(file.read(0, tensor.data));
  return tensor;
}

Result<Tensor> read_input_file(const Plan& plan, const PlanPort& port, const std::string& path) {
  LATHE_TRY(const File file, File::open(path));
  std::array<char, 6> start{};
  if (file.size() < start.size() || !file.read(0, std::as_writable_bytes(std::span(start))) ||
      std::memcmp(start.data(), "\x93NUMPY", start.size()) != 0)
    return read_raw(plan, port, path, file);
  LATHE_TRY(auto array, read_npy_file(path, header_check(plan, port)));
  return to_tensor(std::move(array), buffer_of(plan, port).dtype);
}

Result<std::vector<int64_t>> parse_dims(const std::string& text) {
  std::vector<int64_t> dims;
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    int64_t n = 0;
    const auto [next, error] = std::from_chars(at, end, n);
    if (error != std::errc() || n < 0 || (next != end && (*next != 'x' || next + 1 == end)))
      return fail(Code::kUsage, "\"" + text + "\" is no shape; write numbers with x between them, e.g. 1x3x224x224");
    dims.push_back(n);
    at = next == end ? end : next + 1;
  }
  return dims;
}

void fill_random(Tensor& t, std::mt19937_64& random) {
  const auto fill = [&](auto make) {
    using T = decltype(make());
    for (size_t i = 0; i + sizeof(T) <= t.data.size(); i += sizeof(T)) {
      const T value = make();
      std::memcpy(t.data.data() + i, &value, sizeof value);
    }
  };
  const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-52 - 1; };
  // A small float's bits: a random sign and fraction, an exponent that keeps the value in [2^-4, 1).
  const auto small_float = [&](int fraction_bits, int bias, int sign_bit) {
    const uint64_t bits = random();
    const auto exponent = static_cast<uint64_t>(bias - 4) + (bits >> 40 & 3);
    return static_cast<uint16_t>((bits >> 63) << sign_bit | exponent << fraction_bits |
                                 (bits & ((1u << fraction_bits) - 1)));
  };
  switch (t.dtype) {
    case DType::kC64:
    case DType::kF32:
      return fill([&] { return static_cast<float>(unit()); });
    case DType::kC128:
    case DType::kF64:
      return fill(unit);
    case DType::kF16:
      return fill([&] { return small_float(10, 15, 15); });
    case DType::kBF16:
      return fill([&] { return small_float(7, 127, 15); });
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
      return fill([&] { return static_cast<uint8_t>(small_float(3, 7, 7)); });
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
      return fill([&] { return static_cast<uint8_t>(small_float(2, 15, 7)); });
    case DType::kF8E8M0:
      return fill([&] { return static_cast<uint8_t>(120 + random() % 8); });
    case DType::kF4E2M1:
      return fill([&] { return static_cast<uint8_t>(random()); });
    case DType::kU4:
    case DType::kI4:
      return fill([&] { return static_cast<uint8_t>(random() & 0x11); });
    case DType::kU2:
    case DType::kI2:
      return fill([&] { return static_cast<uint8_t>(random() & 0x55); });
    case DType::kU8:
    case DType::kI8:
    case DType::kBool:
      return fill([&] { return static_cast<uint8_t>(random() & 1); });
    case DType::kU16:
    case DType::kI16:
      return fill([&] { return static_cast<uint16_t>(random() & 1); });
    case DType::kU32:
    case DType::kI32:
      return fill([&] { return static_cast<uint32_t>(random() & 1); });
    case DType::kU64:
    case DType::kI64:
      return fill([&] { return static_cast<uint64_t>(random() & 1); });
    case DType::kString:
    case DType::kUndefined:
      return;
  }
}

template <class T>
T load(const Tensor& t, size_t index) {
  T value;
  std::memcpy(&value, t.data.data() + index * sizeof(T), sizeof(T));
  return value;
}

double half_to_double(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * HUGE_VAL;
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

}  // namespace

std::string port_text(const Plan& plan, const PlanPort& port) {
  const PlanBuffer& buffer = buffer_of(plan, port);
  return fmt::format("{}: {} {}", port.name, numpy_name(buffer.dtype), size_format(plan, buffer.dims));
}

Json port_json(const Plan& plan, const PlanPort& port) {
  const PlanBuffer& buffer = buffer_of(plan, port);
  Json shape = Json::array();
  for (const ExprId id : buffer.dims) {
    const SizeExpr& e = plan.exprs[static_cast<size_t>(id)];
    if (e.kind == SizeExpr::Kind::kConstant)
      shape.push_back(e.value);
    else
      shape.push_back(size_format(plan, id));
  }
  return {{"name", port.name}, {"dtype", numpy_name(buffer.dtype)}, {"shape", shape}};
}

Result<std::vector<Tensor>> read_inputs(const Plan& plan, const std::string& npz,
                                        const std::vector<std::string>& files) {
  std::vector<Tensor> tensors(plan.inputs.size());
  for (const PlanPort& port : plan.inputs)
    if (buffer_of(plan, port).dtype == DType::kString)
      return fail(Code::kUnsupported, "input \"" + port.name + "\" holds strings, which cannot be read from files yet");
  if (!npz.empty()) {
    LATHE_TRY(const NpzReader reader, NpzReader::open(npz));
    for (const std::string& name : reader.names()) {
      LATHE_TRY(const size_t at, find_input(plan, name));
      LATHE_TRY(auto array, reader.read(name, header_check(plan, plan.inputs[at])));
      LATHE_TRY(tensors[at], to_tensor(std::move(array), buffer_of(plan, plan.inputs[at]).dtype));
    }
  }
  for (const std::string& text : files) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      return fail(Code::kUsage, "--input expects NAME=FILE, got \"" + text + '"');
    LATHE_TRY(const size_t at, find_input(plan, text.substr(0, equals)));
    LATHE_TRY(tensors[at], read_input_file(plan, plan.inputs[at], text.substr(equals + 1)));
  }
  std::string missing;
  for (size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].dtype == DType::kUndefined)
      missing += (missing.empty() ? "" : ", ") + ('"' + plan.inputs[i].name + '"');
  if (!missing.empty())
    return fail(Code::kUsage, "no data for input " + missing + "; the model expects" + expected_inputs(plan) +
                                  "\ngive them with --inputs FILE.npz or --input NAME=FILE");
  return tensors;
}

Result<std::vector<Tensor>> random_inputs(const Plan& plan, const std::vector<std::string>& shapes, uint64_t seed) {
  std::vector<std::vector<int64_t>> given(plan.inputs.size());
  std::vector<bool> is_given(plan.inputs.size());
  for (const std::string& text : shapes) {
    LATHE_TRY(const auto pair, split_assignment(text, "--shape"));
    LATHE_TRY(const size_t at, find_input(plan, pair.first));
    LATHE_TRY(given[at], parse_dims(pair.second));
    LATHE_CHECK(check_shape(plan, plan.inputs[at], given[at]));
    is_given[at] = true;
  }
  Sizes symbols(plan.symbols.size()), sizes(plan.exprs.size());
  for (size_t i = 0; i < plan.symbols.size(); ++i) symbols.set(i, plan.symbols[i].opt);
  // A dimension that is a symbol itself gives that symbol its value.
  for (size_t i = 0; i < given.size(); ++i)
    for (size_t d = 0; d < given[i].size(); ++d) {
      const SizeExpr& e = plan.exprs[static_cast<size_t>(buffer_of(plan, plan.inputs[i]).dims[d])];
      if (e.kind == SizeExpr::Kind::kSymbol) symbols.set(static_cast<size_t>(e.value), given[i][d]);
    }
  LATHE_CHECK(size_evaluate_all(plan, symbols, sizes));

  std::mt19937_64 random(seed);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const PlanBuffer& buffer = buffer_of(plan, plan.inputs[i]);
    if (buffer.dtype == DType::kString)
      return fail(Code::kUnsupported, "input \"" + plan.inputs[i].name + "\" holds strings, which cannot be made up");
    Tensor tensor{buffer.dtype, given[i], {}};
    if (!is_given[i])
      for (const ExprId id : buffer.dims) tensor.dims.push_back(sizes.value[static_cast<size_t>(id)]);
    int64_t count = dtype_bits(buffer.dtype);
    for (const int64_t d : tensor.dims)
      if (__builtin_mul_overflow(count, d, &count) || count > int64_t{1} << 44)
        return fail(Code::kUsage, "input \"" + plan.inputs[i].name + "\" of shape " + shape_format(tensor.dims) +
                                      " is too large; give another one with --shape");
    tensor.data.resize(static_cast<size_t>((count + 7) / 8));
    fill_random(tensor, random);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Status bind_inputs(Session& session, std::span<const Tensor> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) LATHE_CHECK(session.bind_input(i, inputs[i].data.data(), inputs[i].dims));
  return {};
}

Result<std::vector<NamedTensor>> read_outputs(Session& session) {
  const Plan& plan = session.engine().plan();
  std::vector<NamedTensor> out;
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    LATHE_TRY(const auto dims, session.output_shape(i));
    NamedTensor named{plan.outputs[i].name, {buffer_of(plan, plan.outputs[i]).dtype, {dims.begin(), dims.end()}, {}}};
    if (named.tensor.dtype == DType::kString)
      return fail(Code::kUnsupported, "output \"" + named.name + "\" holds strings, which cannot be written yet");
    const auto* data = static_cast<const std::byte*>(session.output_data(i));
    named.tensor.data.assign(data, data + session.output_bytes(i));
    out.push_back(std::move(named));
  }
  return out;
}

size_t element_count(const Tensor& tensor) {
  size_t count = 1;
  for (const int64_t d : tensor.dims) count *= static_cast<size_t>(d);
  return count;
}

double element(const Tensor& t, size_t i) {
  switch (t.dtype) {
    case DType::kF32:
      return static_cast<double>(load<float>(t, i));
    case DType::kF64:
      return load<double>(t, i);
    case DType::kF16:
      return half_to_double(load<uint16_t>(t, i));
    case DType::kBF16: {
      const uint32_t bits = static_cast<uint32_t>(load<uint16_t>(t, i)) << 16;
      return static_cast<double>(std::bit_cast<float>(bits));
    }
    case DType::kBool:
    case DType::kU8:
      return load<uint8_t>(t, i);
    case DType::kI8:
      return load<int8_t>(t, i);
    case DType::kU16:
      return load<uint16_t>(t, i);
    case DType::kI16:
      return load<int16_t>(t, i);
    case DType::kU32:
      return load<uint32_t>(t, i);
    case DType::kI32:
      return load<int32_t>(t, i);
    case DType::kU64:
      return static_cast<double>(load<uint64_t>(t, i));
    case DType::kI64:
      return static_cast<double>(load<int64_t>(t, i));
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

}  // namespace lathe::cli
