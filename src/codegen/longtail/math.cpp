// SPDX-License-Identifier: Apache-2.0
// Scalar elementary functions for elementwise programs, where no vector form exists: the code runs without a C
// library. Worked in double, so that float results are correctly rounded but for rare ties. Double results are good to
// a few ULP. Method: argument reduction and power series or Newton steps; Muller, "Elementary Functions", 3rd ed.
namespace {

using Bits = unsigned long long;
constexpr double kInf = __builtin_inf();
constexpr double kNaN = __builtin_nan("");
constexpr double kPi = 3.14159265358979323846;
constexpr double kLn2Hi = 0x1.62e42fee00000p-1, kLn2Lo = 0x1.a39ef35793c76p-33;

double absolute(double x) { return __builtin_fabs(x); }
double with_sign(double x, double sign) { return __builtin_copysign(x, sign); }
double root(double x) { return __builtin_sqrt(x); }
double nearest(double x) {
  constexpr double kMagic = 0x1.8p52;
  return absolute(x) < 0x1p51 ? (x + kMagic) - kMagic : x;
}
double scale(double x, long long k) {  // x * 2^k, |k| <= 2100
  auto power = [](long long e) { return __builtin_bit_cast(double, static_cast<Bits>(e + 1023) << 52); };
  while (k > 1023) x *= 0x1p1023, k -= 1023;
  while (k < -1022) x *= 0x1p-1022, k += 1022;
  return x * power(k);
}

// 1 / n!, so that series need no divisions.
struct InverseFactorials {
  double of[21] = {1};
  constexpr InverseFactorials() {
    for (int i = 1; i <= 20; ++i) of[i] = of[i - 1] / i;
  }
};
constexpr InverseFactorials kInverse;

// exp(hi + lo) with |lo| tiny: the low part keeps pow accurate.
double exp2part(double hi, double lo) {
  if (hi != hi) return hi;
  if (hi > 710) return kInf;
  if (hi < -746) return 0;
  const double k = nearest(hi * 1.44269504088896340736);
  const double r = ((hi - k * kLn2Hi) - k * kLn2Lo) + lo;
  constexpr int kTerms = 14;
  double sum = kInverse.of[kTerms];
  for (int i = kTerms - 1; i >= 1; --i) sum = sum * r + kInverse.of[i];
  return scale(1 + sum * r, static_cast<long long>(k));
}

double exponential(double x) { return exp2part(x, 0); }

// log(x) = hi + lo for finite positive x.
void log_parts(double x, double& hi, double& lo) {
  long long k = 0;
  if (x < 0x1p-1022) x *= 0x1p54, k = -54;
  Bits bits = __builtin_bit_cast(Bits, x);
  k += static_cast<long long>(bits >> 52) - 1023;
  double m = __builtin_bit_cast(double, (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.4142135623730951) m *= 0.5, ++k;
  // log m = 2 atanh(s), s = (m-1)/(m+1); the quotient's rounding error is put back.
  const double f = m - 1, d = m + 1;
  const double s = f / d;
  const double s_lo = (__builtin_fma(-s, d, f) + s * ((m - d) + 1)) / d;
  const double z = s * s;
  double sum = 0;
  for (int i = 23; i >= 3; i -= 2) sum = (sum + 1.0 / i) * z;
  const double head = 2 * s, tail = 2 * s * sum + 2 * s_lo;
  const double kd = static_cast<double>(k);
  const double a = kd * kLn2Hi;
  hi = a + head;
  const double bb = hi - a;
  lo = ((a - (hi - bb)) + (head - bb)) + (tail + kd * kLn2Lo);
  const double t = hi + lo;
  lo = (hi - t) + lo;
  hi = t;
}

double logarithm(double x) {
  if (x != x || x < 0) return kNaN;
  if (x == 0) return -kInf;
  if (x == kInf) return x;
  double hi, lo;
  log_parts(x, hi, lo);
  return hi + lo;
}

bool odd_integer(double y) {
  const double a = absolute(y);
  if (a >= 0x1p53) return false;
  return a == nearest(a) && (static_cast<long long>(a) & 1);
}

double power(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return kNaN;
  const bool integer = absolute(y) >= 0x1p53 || y == nearest(y);
  const bool negative = x < 0 || (x == 0 && __builtin_signbit(x));
  const double sign = negative && odd_integer(y) ? -1 : 1;
  const double a = absolute(x);
  if (absolute(y) == kInf) return a == 1 ? 1 : (a > 1) == (y > 0) ? kInf : 0;
  if (a == 0) return y > 0 ? sign * 0.0 : sign * kInf;
  if (a == kInf) return y > 0 ? sign * kInf : sign * 0.0;
  if (x < 0 && !integer) return kNaN;
  double hi, lo;
  log_parts(a, hi, lo);
  const double p = y * hi;
  if (absolute(p) > 800) return p > 0 ? sign * kInf : sign * 0.0;
  return sign * exp2part(p, __builtin_fma(y, hi, -p) + y * lo);
}

double remainder_truncated(double x, double y) {
  if (x != x || y != y || y == 0 || absolute(x) == kInf) return kNaN;
  double a = absolute(x);
  const double b = absolute(y);
  if (b == kInf) return x;
  while (a >= b) {  // exact: each step subtracts the largest b * 2^k that fits
    double t = b;
    const long long ea = static_cast<long long>(__builtin_bit_cast(Bits, a) >> 52),
                    eb = static_cast<long long>(__builtin_bit_cast(Bits, b) >> 52);
    if (ea > eb) {
      t = scale(b, ea - eb);
      if (t > a) t *= 0.5;
    }
    a -= t;
  }
  return with_sign(a, x);
}

// The bits of 2/pi, after 64 zeros.
constexpr Bits kTwoOverPi[] = {
    0x0000000000000000ull, 0xa2f9836e4e441529ull, 0xfc2757d1f534ddc0ull, 0xdb6295993c439041ull, 0xfe5163abdebbc561ull,
    0xb7246e3a424dd2e0ull, 0x06492eea09d1921cull, 0xfe1deb1cb129a73eull, 0xe88235f52ebb4484ull, 0xe99c7026b45f7e41ull,
    0x3991d639835339f4ull, 0x9c845f8bbdf9283bull, 0x1ff897ffde05980full, 0xef2f118b5a0a6d1full, 0x6d367ecf27cb09b7ull,
    0x4f463f669e5fea2dull, 0x7527bac7ebe5f17bull, 0x3d0739f78a5292eaull, 0x6bfb5fb11f8d5d08ull, 0x56033046fc7b6babull,
    0xf0cfbc209af4361dull, 0xa9e391615ee61b08ull};

// As reduce, exactly: of x * 2/pi only the bits that do not make whole turns are computed (M. Payne and R. Hanek,
// 1983).
double reduce_large(double x, int& quadrant) {
  using Wide = unsigned __int128;
  const Bits bits = __builtin_bit_cast(Bits, absolute(x));
  const Bits mantissa = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
  // |x| = mantissa * 2^e; bit j of 2/pi has the weight 2^-j, and j < e - 1 makes whole turns.
  const int e = static_cast<int>(bits >> 52) - 1075, at = e - 2 + 64, word = at / 64, shift = at % 64;
  Bits w[3];
  for (int i = 0; i < 3; ++i) {
    w[i] = kTwoOverPi[word + i] << shift;
    if (shift) w[i] |= kTwoOverPi[word + i + 1] >> (64 - shift);
  }
  // mantissa * w, the lowest 192 bits: two of quarters of a turn, 190 of a fraction of one.
  const Wide low = Wide{mantissa} * w[2], middle = Wide{mantissa} * w[1] + (low >> 64);
  const Bits high = mantissa * w[0] + static_cast<Bits>(middle >> 64);
  Wide fraction = Wide{high} << 66 | Wide{static_cast<Bits>(middle)} << 2 | static_cast<Bits>(low) >> 62;
  int q = static_cast<int>(high >> 62);
  const bool above = fraction >> 127 != 0;  // the nearest quarter is the next one
  if (above) {
    fraction = ~fraction + 1;
    q = (q + 1) & 3;
  }
  const double turned = static_cast<double>(static_cast<Bits>(fraction >> 64)) * 0x1p-64 +
                        static_cast<double>(static_cast<Bits>(fraction)) * 0x1p-128;
  const double r = turned * (kPi / 2);
  const bool negative = x < 0;
  quadrant = negative ? (4 - q) & 3 : q;
  return above != negative ? -r : r;
}

// x - k*pi/2 with pi/2 in three parts; k mod 4 in `quadrant`.
double reduce(double x, int& quadrant) {
  if (absolute(x) > 1e5) return reduce_large(x, quadrant);
  constexpr double kA = 0x1.921fb54400000p0, kB = 0x1.0b4611a600000p-34, kC = 0x1.3198a2e037073p-69;
  const double k = nearest(x * (2 / kPi));
  quadrant = static_cast<int>(static_cast<long long>(k) & 3);
  return ((x - k * kA) - k * kB) - k * kC;
}
double sine_core(double r) {
  const double z = r * r;
  double sum = kInverse.of[19];
  for (int i = 17; i >= 3; i -= 2) sum = kInverse.of[i] - sum * z;
  return r - r * (sum * z);
}
double cosine_core(double r) {
  const double z = r * r;
  double sum = kInverse.of[20];
  for (int i = 18; i >= 2; i -= 2) sum = kInverse.of[i] - sum * z;
  return 1 - sum * z;
}
double sine(double x) {
  if (!(absolute(x) < kInf)) return kNaN;
  int q;
  const double r = reduce(x, q);
  const double v = q & 1 ? cosine_core(r) : sine_core(r);
  return q & 2 ? -v : v;
}
double cosine(double x) {
  if (!(absolute(x) < kInf)) return kNaN;
  int q;
  const double r = reduce(x, q);
  const double v = q & 1 ? sine_core(r) : cosine_core(r);
  return q == 1 || q == 2 ? -v : v;
}
double tangent(double x) {
  if (!(absolute(x) < kInf)) return kNaN;
  int q;
  const double r = reduce(x, q);
  return q & 1 ? -cosine_core(r) / sine_core(r) : sine_core(r) / cosine_core(r);
}
double arctangent(double x) {
  if (x != x) return x;
  double a = absolute(x), offset = 0;
  const bool inverted = a > 1;
  if (inverted) a = 1 / a;
  // Two halvings bring the argument below 0.2: atan(a) = 2 atan(a / (1 + sqrt(1 + a²))).
  double factor = 1;
  for (int i = 0; i < 2; ++i) a = a / (1 + root(1 + a * a)), factor *= 2;
  const double z = a * a;
  double sum = 0;
  for (int i = 25; i >= 3; i -= 2) sum = -(1.0 / i + sum) * z;
  double v = factor * (a + a * sum);
  if (inverted) v = kPi / 2 - v;
  return with_sign(v + offset, x);
}
double arcsine(double x) {
  if (!(absolute(x) <= 1)) return kNaN;
  return absolute(x) == 1 ? with_sign(kPi / 2, x) : arctangent(x / root((1 - x) * (1 + x)));
}
double arccosine(double x) {
  if (!(absolute(x) <= 1)) return kNaN;
  return x == -1 ? kPi : 2 * arctangent(root((1 - x) / (1 + x)));
}
double expm1(double x) {
  if (absolute(x) > 0.35) return exponential(x) - 1;
  double sum = 0;
  for (int i = 16; i >= 2; --i) sum = (sum + 1) * x / i;
  return x + x * sum;
}
double log1p(double x) {
  const double u = 1 + x;
  if (!(u > 0) || u == kInf) return logarithm(u);
  return u == 1 ? x : logarithm(u) + (x - (u - 1)) / u;
}
double hyperbolic_sine(double x) {
  const double a = absolute(x);
  if (a > 20) return with_sign(exp2part(a, -0.693147180559945309417), x);
  const double t = expm1(a);
  return with_sign((t + t / (t + 1)) / 2, x);
}
double hyperbolic_cosine(double x) {
  const double a = absolute(x);
  if (a > 20) return exp2part(a, -0.693147180559945309417);
  const double t = exponential(a);
  return (t + 1 / t) / 2;
}
double hyperbolic_tangent(double x) {
  const double a = absolute(x);
  if (a > 20) return with_sign(1, x);
  const double t = expm1(2 * a);
  return x != x ? x : with_sign(t / (t + 2), x);
}
double logistic(double x) { return 1 / (1 + exponential(-x)); }
double area_sine(double x) {
  const double a = absolute(x);
  if (!(a < kInf)) return x;
  if (a > 1e8) return with_sign(logarithm(a) + 0.693147180559945309417, x);
  return with_sign(log1p(a + a * a / (1 + root(a * a + 1))), x);
}
double area_cosine(double x) {
  if (!(x >= 1)) return kNaN;
  if (x > 1e8) return logarithm(x) + 0.693147180559945309417;
  const double t = x - 1;
  return log1p(t + root(2 * t + t * t));
}
double area_tangent(double x) {
  const double a = absolute(x);
  if (!(a <= 1)) return kNaN;
  return a == 1 ? with_sign(kInf, x) : with_sign(0.5 * log1p(2 * a / (1 - a)), x);
}
double error_function(double x) {
  const double a = absolute(x);
  if (x != x) return x;
  if (a > 6) return with_sign(1, x);
  // erf x = 2/sqrt(pi) exp(-x²) sum 2^n x^(2n+1) / (2n+1)!!: all terms positive, no cancellation.
  double term = a, sum = a;
  for (int i = 1; i < 140 && term > sum * 1e-18; ++i) {
    term *= 2 * a * a / (2 * i + 1);
    sum += term;
  }
  return with_sign(1.12837916709551257390 * exponential(-a * a) * sum, x);
}

template <class T>
T integer_power(T x, T y) {
  if (y < 0) return x == 1 ? 1 : x == static_cast<T>(-1) ? (y % 2 ? x : static_cast<T>(1)) : 0;
  T r = 1;
  for (; y; y = static_cast<T>(y >> 1)) {
    if (y & 1) r = static_cast<T>(r * x);
    x = static_cast<T>(x * x);
  }
  return r;
}

}  // namespace

#define LATHE_UNARY(name, function)                                                        \
  extern "C" float lathe_##name##_f32(float x) { return static_cast<float>(function(x)); } \
  extern "C" double lathe_##name##_f64(double x) { return function(x); }
LATHE_UNARY(exp, exponential)
LATHE_UNARY(log, logarithm)
LATHE_UNARY(erf, error_function)
LATHE_UNARY(tanh, hyperbolic_tangent)
LATHE_UNARY(sigmoid, logistic)
LATHE_UNARY(sin, sine)
LATHE_UNARY(cos, cosine)
LATHE_UNARY(tan, tangent)
LATHE_UNARY(asin, arcsine)
LATHE_UNARY(acos, arccosine)
LATHE_UNARY(atan, arctangent)
LATHE_UNARY(sinh, hyperbolic_sine)
LATHE_UNARY(cosh, hyperbolic_cosine)
LATHE_UNARY(asinh, area_sine)
LATHE_UNARY(acosh, area_cosine)
LATHE_UNARY(atanh, area_tangent)

#define LATHE_BINARY(name, function)                                                                   \
  extern "C" float lathe_##name##_f32(float x, float y) { return static_cast<float>(function(x, y)); } \
  extern "C" double lathe_##name##_f64(double x, double y) { return function(x, y); }
LATHE_BINARY(pow, power)
LATHE_BINARY(fmod, remainder_truncated)

#define LATHE_INTEGER_POWER(suffix, type) \
  extern "C" type lathe_pow_##suffix(type x, type y) { return integer_power<type>(x, y); }
using i8 = signed char;
using u8 = unsigned char;
using i16 = short;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned;
using i64 = long long;
using u64 = unsigned long long;
LATHE_INTEGER_POWER(i8, i8)
LATHE_INTEGER_POWER(u8, u8)
LATHE_INTEGER_POWER(i16, i16)
LATHE_INTEGER_POWER(u16, u16)
LATHE_INTEGER_POWER(i32, i32)
LATHE_INTEGER_POWER(u32, u32)
LATHE_INTEGER_POWER(i64, i64)
LATHE_INTEGER_POWER(u64, u64)
