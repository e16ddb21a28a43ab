/* SPDX-License-Identifier: Apache-2.0 */
/* Source of kernels.h: `sh kernels.sh` compiles it and writes the bytes. */
#include "engine/kernel_abi.h"

typedef const LatheKernelContext* Context;
typedef void* const* Bufs;
typedef const int64_t* Scalars;

/* bufs: f32 a, f32 b, f32 out; scalars: elements a task */
void add_f32(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  const float *a = bufs[0], *b = bufs[1];
  float* out = bufs[2];
  (void)c;
  for (int64_t i = begin * scalars[0]; i < end * scalars[0]; ++i) out[i] = a[i] + b[i];
}

/* bufs: f32 a, i64 out (grows); scalars: elements. Defines the number of nonzero elements. */
void nonzero_f32(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  const float* a = bufs[0];
  int64_t n = 0;
  (void)begin, (void)end;
  for (int64_t i = 0; i < scalars[0]; ++i) n += a[i] != 0;
  int64_t* out = c->grow(c, 1, n * 8);
  if (!out) return;
  n = 0;
  for (int64_t i = 0; i < scalars[0]; ++i)
    if (a[i] != 0) out[n++] = i;
  c->symbols[0] = n;
}

/* bufs: i64 a, i64 out; a task doubles an element */
void double_i64(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  const int64_t* a = bufs[0];
  int64_t* out = bufs[1];
  (void)c, (void)scalars;
  for (int64_t i = begin; i < end; ++i) out[i] = 2 * a[i];
}

/* bufs: i64 counter, bool more; scalars: limit. counter += 1; more = counter < limit */
void count_i64(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  int64_t* counter = bufs[0];
  (void)c, (void)begin, (void)end;
  ++*counter;
  *(unsigned char*)bufs[1] = *counter < scalars[0];
}

/* bufs: i64 out; scalars: value */
void set_i64(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  (void)c, (void)begin, (void)end;
  *(int64_t*)bufs[0] = scalars[0];
}

/* scalars: fault */
void fault(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  (void)bufs, (void)begin, (void)end;
  *c->fault = scalars[0];
}

/* bufs: i64 out; a task stores its number through its thread's scratch, so that shared scratch would show */
void scratch_i64(Context c, Bufs bufs, Scalars scalars, int64_t begin, int64_t end) {
  volatile int64_t* scratch = c->scratch;
  int64_t* out = bufs[0];
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t k = 0; k < scalars[0]; ++k) scratch[k] = i * scalars[0] + k;
    int64_t sum = 0;
    for (int64_t k = 0; k < scalars[0]; ++k) sum += scratch[k];
    out[i] = sum;
  }
}
