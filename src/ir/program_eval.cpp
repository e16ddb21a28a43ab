// SPDX-License-Identifier: Apache-2.0
// The reference interpreter of Program: plain scalar C++ over blocks of elements.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>

#include "ir/program.h"

namespace lathe {

namespace {

constexpr int64_t kBlock = 512;

// Calls f with a value of the C type in which `t` is computed; false if there is none.
template <class F>
bool with_type(DType t, F&& f) {
  switch (t) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      f(float{});
      return true;
    case DType::kF64:
      f(double{});
      return true;
    case DType::kU8:
    case DType::kU4:
    case DType::kU2:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF8E8M0:
    case DType::kF4E2M1:
      f(uint8_t{});
      return true;
    case DType::kI8:
    case DType::kI4:
    case DType::kI2:
      f(int8_t{});
      return true;
    case DType::kU16:
      f(uint16_t{});
      return true;
    case DType::kI16:
      f(int16_t{});
      return true;
    case DType::kU32:
      f(uint32_t{});
      return true;
    case DType::kI32:
      f(int32_t{});
      return true;
    case DType::kU64:
      f(uint64_t{});
      return true;
    case DType::kI64:
      f(int64_t{});
      return true;
    case DType::kBool:
      f(bool{});
      return true;
    default:
      return false;
  }
}

struct alignas(64) Lanes {
  std::array<std::byte, kBlock * 8> bytes;
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
};

template <class To, class From>
To convert(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From{};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (std::isnan(v)) return 0;
    const auto d = static_cast<double>(v);
    if (d <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (d >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(v);
  } else {
    return static_cast<To>(v);
  }
}

// Reads one operand broadcast to the output, block after block.
class Reader {
 public:
  Reader(const Tensor& t, const std::vector<int64_t>& out) : tensor_(&t) {
    // Merge neighbouring dimensions that are walked alike, so that most operands become one or two loops.
    const size_t rank = out.size(), own = t.dims().size();
    int64_t stride = 1;
    std::vector<int64_t> strides(rank, 0);
    for (size_t d = rank; d-- > 0;) {
      const int64_t size = d + own >= rank ? t.dims()[d + own - rank] : 1;
      strides[d] = size == 1 ? 0 : stride;
      stride *= size;
    }
    for (size_t d = 0; d < rank; ++d) {
      if (out[d] == 1) continue;
      if (!dims_.empty() && strides_.back() == strides[d] * out[d]) {
        dims_.back() *= out[d];
        strides_.back() = strides[d];
      } else {
        dims_.push_back(out[d]);
        strides_.push_back(strides[d]);
      }
    }
    if (dims_.empty()) {
      dims_.push_back(1);
      strides_.push_back(0);
    }
    at_.assign(dims_.size(), 0);
  }

  [[nodiscard]] bool is_scalar() const { return tensor_->count() == 1; }

  void read(Lanes& lanes, int64_t n) {
    const size_t inner = dims_.size() - 1;
    int64_t done = 0;
    while (done < n) {
      const int64_t run = std::min(n - done, dims_[inner] - at_[inner]);
      int64_t base = 0;
      for (size_t d = 0; d <= inner; ++d) base += at_[d] * strides_[d];
      load(lanes, done, base, strides_[inner], run);
      done += run;
      at_[inner] += run;
      for (size_t d = inner; at_[d] == dims_[d] && d > 0; --d) {
        at_[d] = 0;
        ++at_[d - 1];
      }
    }
  }

 private:
  void load(Lanes& lanes, int64_t to, int64_t from, int64_t stride, int64_t n) const {
    const std::byte* const data = tensor_->bytes().data();
    auto fill = [&]<class T>(T, auto&& element) {
      T* const out = lanes.as<T>() + to;
      if (stride == 0) {
        std::fill_n(out, n, element(from));
      } else {
        for (int64_t i = 0; i < n; ++i) out[i] = element(from + i * stride);
      }
    };
    auto stored = [&]<class T>(T, int64_t i) {
      T v;
      std::memcpy(&v, data + static_cast<size_t>(i) * sizeof(T), sizeof(T));
      return v;
    };
    switch (tensor_->dtype()) {
      case DType::kF16:
        fill(float{}, [&](int64_t i) { return half_to_float(stored(uint16_t{}, i)); });
        return;
      case DType::kBF16:
        fill(float{}, [&](int64_t i) { return bf16_to_float(stored(uint16_t{}, i)); });
        return;
      case DType::kU4:
      case DType::kI4:
      case DType::kU2:
      case DType::kI2:
      case DType::kF4E2M1:
        fill(uint8_t{}, [&](int64_t i) { return packed_at(tensor_->dtype(), data, i); });
        return;
      case DType::kBool:
        fill(bool{}, [&](int64_t i) { return stored(uint8_t{}, i) != 0; });
        return;
      default:
        break;
    }
    with_type(tensor_->dtype(), [&]<class T>(T tag) { fill(tag, [&](int64_t i) { return stored(tag, i); }); });
  }

  const Tensor* tensor_;
  std::vector<int64_t> dims_, strides_, at_;
};

void store(Tensor& t, int64_t to, Lanes& lanes, int64_t n) {
  const auto at = static_cast<size_t>(to);
  auto* const halves =
      t.dtype() == DType::kF16 || t.dtype() == DType::kBF16 ? t.mutable_as<uint16_t>().data() + at : nullptr;
  switch (t.dtype()) {
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) halves[i] = float_to_half(lanes.as<float>()[i]);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) halves[i] = float_to_bf16(lanes.as<float>()[i]);
      return;
    case DType::kU4:
    case DType::kI4:
    case DType::kU2:
    case DType::kI2:
    case DType::kF4E2M1:
      for (int64_t i = 0; i < n; ++i) set_packed(t.dtype(), t.mutable_bytes().data(), to + i, lanes.as<uint8_t>()[i]);
      return;
    default:
      break;
  }
  with_type(t.dtype(), [&]<class T>(T) {
    std::memcpy(t.mutable_bytes().data() + at * sizeof(T), lanes.bytes.data(), static_cast<size_t>(n) * sizeof(T));
  });
}

template <class T>
T int_pow(T base, T exponent) {
  if constexpr (std::is_signed_v<T>) {
    if (exponent < 0) return base == 1 ? T{1} : base == -1 ? ((exponent & 1) ? T{-1} : T{1}) : T{0};
  }
  using U = std::make_unsigned_t<T>;
  uint64_t r = 1, b = static_cast<uint64_t>(base);
  for (auto e = static_cast<U>(exponent); e; e = static_cast<U>(e >> 1)) {
    if (e & 1) r *= b;
    b *= b;
  }
  return static_cast<T>(r);
}

template <class T>
T float_binary(Prim p, T a, T b) {
  switch (p) {
    case Prim::kAdd:
      return a + b;
    case Prim::kSub:
      return a - b;
    case Prim::kMul:
      return a * b;
    case Prim::kDiv:
      return a / b;
    case Prim::kMod: {
      const T r = std::fmod(a, b);
      if (r == 0) return std::copysign(r, b);
      return (r < 0) != (b < 0) ? r + b : r;
    }
    case Prim::kFmod:
      return std::fmod(a, b);
    case Prim::kPow:
      return std::pow(a, b);
    case Prim::kMin:
      return std::isnan(a) || a < b ? a : b;
    case Prim::kMax:
      return std::isnan(a) || a > b ? a : b;
    default:
      return std::numeric_limits<T>::quiet_NaN();
  }
}

// Two's complement: arithmetic is done on 64 unsigned bits and cut to size.
template <class T>
T int_binary(Prim p, T a, T b) {
  const auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  const auto bits = static_cast<uint64_t>(sizeof(T) * 8);
  auto divide = [&](bool remainder) -> T {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return remainder ? T{0} : static_cast<T>(0 - ua);
    return static_cast<T>(remainder ? a % b : a / b);
  };
  switch (p) {
    case Prim::kAdd:
      return static_cast<T>(ua + ub);
    case Prim::kSub:
      return static_cast<T>(ua - ub);
    case Prim::kMul:
      return static_cast<T>(ua * ub);
    case Prim::kDiv:
      return divide(false);
    case Prim::kMod: {
      const T r = divide(true);
      return r != 0 && ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
    }
    case Prim::kFmod:
      return divide(true);
    case Prim::kPow:
      return int_pow(a, b);
    case Prim::kMin:
      return std::min(a, b);
    case Prim::kMax:
      return std::max(a, b);
    case Prim::kAnd:
      return static_cast<T>(ua & ub);
    case Prim::kOr:
      return static_cast<T>(ua | ub);
    case Prim::kXor:
      return static_cast<T>(ua ^ ub);
    case Prim::kShl:
      return ub >= bits ? T{0} : static_cast<T>(ua << ub);
    case Prim::kShr:
      return ub >= bits ? static_cast<T>(a < 0 ? -1 : 0) : static_cast<T>(a >> b);
    default:
      return 0;
  }
}

bool bool_binary(Prim p, bool a, bool b) {
  switch (p) {
    case Prim::kAdd:
    case Prim::kMax:
    case Prim::kOr:
      return a || b;
    case Prim::kMul:
    case Prim::kMin:
    case Prim::kAnd:
      return a && b;
    case Prim::kXor:
      return a != b;
    default:
      return false;
  }
}

template <class T>
T float_unary(Prim p, T a) {
  switch (p) {
    case Prim::kNeg:
      return -a;
    case Prim::kAbs:
      return std::abs(a);
    case Prim::kSign:
      return std::isnan(a) ? a : static_cast<T>((a > 0) - (a < 0));
    case Prim::kFloor:
      return std::floor(a);
    case Prim::kCeil:
      return std::ceil(a);
    case Prim::kRound:
      return std::nearbyint(a);
    case Prim::kTrunc:
      return std::trunc(a);
    case Prim::kSqrt:
      return std::sqrt(a);
    case Prim::kExp:
      return std::exp(a);
    case Prim::kLog:
      return std::log(a);
    case Prim::kErf:
      return std::erf(a);
    case Prim::kTanh:
      return std::tanh(a);
    case Prim::kSigmoid:
      return 1 / (1 + std::exp(-a));
    case Prim::kSin:
      return std::sin(a);
    case Prim::kCos:
      return std::cos(a);
    case Prim::kTan:
      return std::tan(a);
    case Prim::kAsin:
      return std::asin(a);
    case Prim::kAcos:
      return std::acos(a);
    case Prim::kAtan:
      return std::atan(a);
    case Prim::kSinh:
      return std::sinh(a);
    case Prim::kCosh:
      return std::cosh(a);
    case Prim::kAsinh:
      return std::asinh(a);
    case Prim::kAcosh:
      return std::acosh(a);
    case Prim::kAtanh:
      return std::atanh(a);
    case Prim::kReciprocal:
      return 1 / a;
    default:
      return std::numeric_limits<T>::quiet_NaN();
  }
}

template <class T>
T int_unary(Prim p, T a) {
  const auto ua = static_cast<uint64_t>(a);
  switch (p) {
    case Prim::kNeg:
      return static_cast<T>(0 - ua);
    case Prim::kAbs:
      return static_cast<T>(a < 0 ? 0 - ua : ua);
    case Prim::kSign:
      return static_cast<T>((a > 0) - (a < 0));
    case Prim::kNot:
      return static_cast<T>(~ua);
    case Prim::kFloor:
    case Prim::kCeil:
    case Prim::kRound:
    case Prim::kTrunc:
      return a;
    default:
      return convert<T>(float_unary(p, static_cast<double>(a)));
  }
}

// Loops per primitive, so that the switch is outside and the compiler vectorises the inside.
template <class T>
void run_unary(Prim p, const T* a, T* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<T, bool>)
      out[i] = p == Prim::kNot ? !a[i] : a[i];
    else if constexpr (std::is_floating_point_v<T>)
      out[i] = float_unary(p, a[i]);
    else
      out[i] = int_unary(p, a[i]);
  }
}

template <class T>
void run_binary(Prim p, const T* a, const T* b, T* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<T, bool>)
      out[i] = bool_binary(p, a[i], b[i]);
    else if constexpr (std::is_floating_point_v<T>)
      out[i] = float_binary(p, a[i], b[i]);
    else
      out[i] = int_binary(p, a[i], b[i]);
  }
}

template <class T>
void run_compare(Prim p, const T* a, const T* b, bool* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = p == Prim::kEq ? a[i] == b[i] : p == Prim::kLt ? a[i] < b[i] : a[i] <= b[i];
}

template <class T>
void run_classify(Prim p, const T* a, bool* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_floating_point_v<T>)
      out[i] = p == Prim::kIsNaN ? std::isnan(a[i]) : std::isinf(a[i]);
    else
      out[i] = false;
  }
}

// A value that is cast to a 16-bit float loses its bits at once, not only when it is stored.
void round_to(DType t, Lanes& lanes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (t == DType::kF16) lanes.as<float>()[i] = half_to_float(float_to_half(lanes.as<float>()[i]));
    if (t == DType::kBF16) lanes.as<float>()[i] = bf16_to_float(float_to_bf16(lanes.as<float>()[i]));
  }
}

// 16-bit floats are held as f32, all other types as their bits.
void run_bitcast(DType from, DType to, Lanes& x, Lanes& out, int64_t n) {
  if (from == DType::kF16 || from == DType::kBF16) {
    for (int64_t i = 0; i < n; ++i)
      out.as<uint16_t>()[i] = from == DType::kF16 ? float_to_half(x.as<float>()[i]) : float_to_bf16(x.as<float>()[i]);
  } else {
    std::memcpy(out.bytes.data(), x.bytes.data(),
                static_cast<size_t>(n) * std::max<size_t>(1, static_cast<size_t>(dtype_bits(from) / 8)));
  }
  if (to == DType::kF16 || to == DType::kBF16)
    for (int64_t i = n; i-- > 0;) {
      const uint16_t bits = out.as<uint16_t>()[i];
      out.as<float>()[i] = to == DType::kF16 ? half_to_float(bits) : bf16_to_float(bits);
    }
}

void run_step(const Program& p, const Step& s, Lanes* lanes, size_t index, int64_t n) {
  Lanes& out = lanes[index];
  auto lane = [&](int operand) -> Lanes& { return lanes[static_cast<size_t>(operand)]; };
  auto type = [&](int operand) { return p.steps[static_cast<size_t>(operand)].dtype; };
  switch (s.prim) {
    case Prim::kInput:
    case Prim::kConstant:
      return;
    case Prim::kEq:
    case Prim::kLt:
    case Prim::kLe:
      with_type(type(s.a),
                [&]<class T>(T) { run_compare(s.prim, lane(s.a).as<T>(), lane(s.b).as<T>(), out.as<bool>(), n); });
      return;
    case Prim::kIsNaN:
    case Prim::kIsInf:
      with_type(type(s.a), [&]<class T>(T) { run_classify(s.prim, lane(s.a).as<T>(), out.as<bool>(), n); });
      return;
    case Prim::kSelect:
      with_type(s.dtype, [&]<class T>(T) {
        for (int64_t i = 0; i < n; ++i)
          out.as<T>()[i] = lane(s.a).as<bool>()[i] ? lane(s.b).as<T>()[i] : lane(s.c).as<T>()[i];
      });
      return;
    case Prim::kCast:
      with_type(s.dtype, [&]<class To>(To) {
        with_type(type(s.a), [&]<class From>(From) {
          const From* const from = lane(s.a).as<From>();
          for (int64_t i = 0; i < n; ++i) out.as<To>()[i] = convert<To>(from[i]);
        });
      });
      if (dtype_bits(s.dtype) <= 16) round_to(s.dtype, out, n);
      return;
    case Prim::kBitcast:
      run_bitcast(type(s.a), s.dtype, lane(s.a), out, n);
      return;
    default:
      break;
  }
  with_type(s.dtype, [&]<class T>(T) {
    if (prim_info(s.prim).arity == 1)
      run_unary(s.prim, lane(s.a).as<T>(), out.as<T>(), n);
    else
      run_binary(s.prim, lane(s.a).as<T>(), lane(s.b).as<T>(), out.as<T>(), n);
  });
}

void fill_constant(const Step& s, Lanes& lanes) {
  with_type(s.dtype, [&]<class T>(T) {
    std::fill_n(lanes.as<T>(), kBlock, dtype_info(s.dtype).is_float ? convert<T>(s.value) : convert<T>(s.integer));
  });
}

}  // namespace

Result<Tensor> evaluate_program(const Program& p, std::span<const Tensor> inputs, const std::vector<int64_t>& dims) {
  if (inputs.size() != static_cast<size_t>(p.inputs) || p.results.empty())
    return fail(Code::kUsage,
                "the program takes " + std::to_string(p.inputs) + " inputs, not " + std::to_string(inputs.size()));
  for (const Step& s : p.steps)
    if (!with_type(s.dtype, [](auto) {}))
      return fail(Code::kUnsupported, "no elementwise arithmetic on " + std::string(dtype_name(s.dtype)));

  const auto result = static_cast<size_t>(p.results[0]);
  Tensor out = Tensor::zeros(p.steps[result].dtype, dims);
  const auto lanes = std::make_unique_for_overwrite<Lanes[]>(p.steps.size());
  std::vector<std::pair<size_t, Reader>> readers;
  for (size_t i = 0; i < p.steps.size(); ++i) {
    const Step& s = p.steps[i];
    if (s.prim == Prim::kConstant) fill_constant(s, lanes[i]);
    if (s.prim != Prim::kInput) continue;
    const Tensor& t = inputs[static_cast<size_t>(s.integer)];
    if (t.dtype() != s.dtype)
      return fail(Code::kUsage, "input " + std::to_string(s.integer) + " is " + std::string(dtype_name(t.dtype())) +
                                    ", not " + std::string(dtype_name(s.dtype)));
    bool fits = t.dims().size() <= dims.size();
    for (size_t d = 0; fits && d < t.dims().size(); ++d) {
      const int64_t size = t.dims()[d], wanted = dims[dims.size() - t.dims().size() + d];
      fits = size == wanted || size == 1;
    }
    if (!fits) return fail(Code::kUsage, "input " + std::to_string(s.integer) + " does not broadcast to the output");
    readers.emplace_back(i, Reader(t, dims));
    if (readers.back().second.is_scalar() && out.count() > 0) {
      Reader once(t, {kBlock});
      once.read(lanes[i], kBlock);
      readers.pop_back();
    }
  }
  const int64_t count = out.count();
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t n = std::min(kBlock, count - start);
    for (auto& [step, reader] : readers) reader.read(lanes[step], n);
    for (size_t i = 0; i <= result; ++i) run_step(p, p.steps[i], lanes.get(), i, n);
    store(out, start, lanes[result], n);
  }
  return out;
}

}  // namespace lathe
