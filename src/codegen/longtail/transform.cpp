// SPDX-License-Identifier: Apache-2.0
// Fourier transforms, determinants, recurrences over a state. Worked in double where that is cheap against the rest.
#include "engine/kernel_abi.h"

extern "C" double lathe_sin_f64(double);
extern "C" double lathe_cos_f64(double);

namespace {

struct Complex {
  double re, im;
};
Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }

/// The transform of `n` values in `a`; `b` is as long, and one of the two holds the result, which is returned.
/// Stockham's self-sorting form: for each prime factor p of n, p-point transforms of interleaved sequences. `w`: n
/// roots of unity.
Complex* transform(Complex* a, Complex* b, const Complex* w, int64_t n) {
  int64_t stride = 1, left = n, factor = 4;
  while (left > 1) {
    while (left % factor != 0) {
      factor = factor == 4 ? 2 : factor == 2 ? 3 : factor + 2;
      if (factor > 3 && factor * factor > left) factor = left;
    }
    const int64_t p = factor, m = left / p, root = n / left;
    for (int64_t q = 0; q < m; ++q)
      for (int64_t r = 0; r < p; ++r) {
        const Complex twiddle = w[root * q * r % n];
        for (int64_t k = 0; k < stride; ++k) {
          Complex sum = a[k + stride * q];
          for (int64_t c = 1; c < p; ++c) sum = sum + a[k + stride * (q + m * c)] * w[n / p * (r * c % p)];
          b[k + stride * (p * q + r)] = sum * twiddle;
        }
      }
    Complex* t = a;
    a = b;
    b = t;
    left = m;
    stride *= p;
    if (factor == 4 && left % 4 != 0) factor = 2;
  }
  return a;
}

template <class T>
void dft(const LatheKernelContext* context, void* const* bufs, int64_t begin, int64_t end, int64_t given, int64_t made,
         int64_t inner, int64_t parts, bool inverse, bool onesided) {
  const bool real = inverse && onesided;
  const int64_t n = real ? made : given, out_parts = real ? 1 : 2;
  auto* roots = static_cast<Complex*>(context->scratch);
  Complex *a = roots + n, *b = a + n;
  constexpr double kTurn = 6.283185307179586476925;
  for (int64_t k = 0; k < n; ++k) {
    const double angle = kTurn * static_cast<double>(k) / static_cast<double>(n);
    roots[k] = {lathe_cos_f64(angle), inverse ? lathe_sin_f64(angle) : -lathe_sin_f64(angle)};
  }
  for (int64_t row = begin; row < end; ++row) {
    const int64_t o = row / inner, i = row % inner;
    const T* x = static_cast<const T*>(bufs[0]) + (o * given * inner + i) * parts;
    T* y = static_cast<T*>(bufs[1]) + (o * made * inner + i) * out_parts;
    const auto value = [&](int64_t k) {
      const T* v = x + k * inner * parts;
      return Complex{static_cast<double>(v[0]), parts == 2 ? static_cast<double>(v[1]) : 0.0};
    };
    for (int64_t k = 0; k < n; ++k) {
      if (real && k >= n / 2 + 1) {
        const Complex v = n - k < given ? value(n - k) : Complex{0, 0};
        a[k] = {v.re, -v.im};
      } else {
        a[k] = k < given ? value(k) : Complex{0, 0};
      }
    }
    const Complex* r = transform(a, b, roots, n);
    const double scale = inverse ? 1 / static_cast<double>(n) : 1;
    for (int64_t k = 0; k < made; ++k) {
      y[k * inner * out_parts] = static_cast<T>(r[k].re * scale);
      if (out_parts == 2) y[k * inner * out_parts + 1] = static_cast<T>(r[k].im * scale);
    }
  }
}

template <class T>
void determinant(const LatheKernelContext* context, void* const* bufs, int64_t begin, int64_t end, int64_t n) {
  auto* a = static_cast<double*>(context->scratch);
  for (int64_t m = begin; m < end; ++m) {
    const T* x = static_cast<const T*>(bufs[0]) + m * n * n;
    for (int64_t i = 0; i < n * n; ++i) a[i] = static_cast<double>(x[i]);
    double det = 1;
    for (int64_t c = 0; c < n; ++c) {
      int64_t pivot = c;
      for (int64_t r = c + 1; r < n; ++r)
        if (__builtin_fabs(a[r * n + c]) > __builtin_fabs(a[pivot * n + c])) pivot = r;
      if (pivot != c) {
        for (int64_t k = 0; k < n; ++k) {
          const double t = a[c * n + k];
          a[c * n + k] = a[pivot * n + k];
          a[pivot * n + k] = t;
        }
        det = -det;
      }
      det *= a[c * n + c];
      if (a[c * n + c] == 0) break;
      for (int64_t r = c + 1; r < n; ++r) {
        const double f = a[r * n + c] / a[c * n + c];
        for (int64_t k = c; k < n; ++k) a[r * n + k] -= f * a[c * n + k];
      }
    }
    static_cast<T*>(bufs[1])[m] = static_cast<T>(det);
  }
}

}  // namespace

/// bufs: x, y; tasks: the signals [outer][inner]; scratch: 48 bytes for each value of a signal.
extern "C" void lathe_dft(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t begin,
                          int64_t end, int64_t wide, int64_t given, int64_t made, int64_t inner, int64_t parts,
                          int64_t inverse, int64_t onesided) {
  if (wide)
    dft<double>(context, bufs, begin, end, given, made, inner, parts, inverse != 0, onesided != 0);
  else
    dft<float>(context, bufs, begin, end, given, made, inner, parts, inverse != 0, onesided != 0);
}

/// bufs: x, y; tasks: the matrices; scratch: 8 n^2 bytes.
extern "C" void lathe_det(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t begin,
                          int64_t end, int64_t wide, int64_t n) {
  if (wide)
    determinant<double>(context, bufs, begin, end, n);
  else
    determinant<float>(context, bufs, begin, end, n);
}

/// bufs: q, k, v, state?, decay?, beta?, y, last state; tasks: [batch][key head]; f32. `decays`, `betas`: elements of
/// decay and beta a step; scratch: 4 dv bytes.
extern "C" void lathe_linear_attention(const LatheKernelContext* context, void* const* bufs, const int64_t*,
                                       int64_t begin, int64_t end, int64_t steps, int64_t heads, int64_t kv_heads,
                                       int64_t dk, int64_t dv, int64_t decays, int64_t betas, int64_t scale_bits) {
  const auto* q = static_cast<const float*>(bufs[0]);
  const auto* k = static_cast<const float*>(bufs[1]);
  const auto* v = static_cast<const float*>(bufs[2]);
  const auto* initial = static_cast<const float*>(bufs[3]);
  const auto* decay = static_cast<const float*>(bufs[4]);
  const auto* beta = static_cast<const float*>(bufs[5]);
  auto* y = static_cast<float*>(bufs[6]);
  auto* u = static_cast<float*>(context->scratch);
  const auto scale = static_cast<float>(__builtin_bit_cast(double, scale_bits));
  const int64_t group = heads / kv_heads;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / kv_heads, h = task % kv_heads;
    float* s = static_cast<float*>(bufs[7]) + task * dk * dv;
    for (int64_t i = 0; i < dk * dv; ++i) s[i] = initial ? initial[task * dk * dv + i] : 0;
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t row = b * steps + t;
      const float *key = k + (row * kv_heads + h) * dk, *value = v + (row * kv_heads + h) * dv;
      for (int64_t i = 0; decay && i < dk; ++i) {
        const float f = decay[decays == kv_heads ? row * kv_heads + h : (row * kv_heads + h) * dk + i];
        for (int64_t j = 0; j < dv; ++j) s[i * dv + j] *= f;
      }
      for (int64_t j = 0; j < dv; ++j) u[j] = value[j];
      if (beta) {
        for (int64_t i = 0; i < dk; ++i)
          for (int64_t j = 0; j < dv; ++j) u[j] -= s[i * dv + j] * key[i];
        const float rate = beta[betas == 1 ? row : row * kv_heads + h];
        for (int64_t j = 0; j < dv; ++j) u[j] *= rate;
      }
      for (int64_t i = 0; i < dk; ++i)
        for (int64_t j = 0; j < dv; ++j) s[i * dv + j] += key[i] * u[j];
      for (int64_t g = 0; g < group; ++g) {
        const int64_t head = h * group + g;
        float* out = y + (row * heads + head) * dv;
        const float* query = q + (row * heads + head) * dk;
        for (int64_t j = 0; j < dv; ++j) out[j] = 0;
        for (int64_t i = 0; i < dk; ++i)
          for (int64_t j = 0; j < dv; ++j) out[j] += s[i * dv + j] * query[i];
        for (int64_t j = 0; j < dv; ++j) out[j] *= scale;
      }
    }
  }
}
