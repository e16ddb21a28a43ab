/* SPDX-License-Identifier: Apache-2.0 */
/* A library of custom operators: cc -O2 -shared -fPIC -I include docs/examples/operators.c -o operators.so */
#include <stdio.h>
#include <string.h>

#include "lathe/lathe.h"

static double float_of(const lathe_operator_call* call, const char* name, double otherwise) {
  for (size_t i = 0; i < call->attribute_count; ++i) {
    const lathe_attribute* a = call->attributes[i];
    if (!strcmp(a->name, name) && a->kind == LATHE_ATTRIBUTE_FLOATS && a->count == 1) return a->floats[0];
  }
  return otherwise;
}

static lathe_status wrong(lathe_operator_call* call, const char* why) {
  snprintf(call->message, sizeof call->message, "%s", why);
  return LATHE_UNSUPPORTED;
}

/* com.example.ScaledSquare: y = scale * x * x, of any shape. */
static lathe_status square_shape(lathe_operator_call* call) {
  const lathe_tensor* x = call->inputs[0];
  lathe_result* y = call->outputs[0];
  if (call->input_count != 1 || call->output_count != 1 || x->dtype != LATHE_F32)
    return wrong(call, "expects one input of f32 and gives one output");
  y->dtype = x->dtype;
  y->rank = x->rank;
  if (x->rank > 0) memcpy(y->dims, x->dims, x->rank * sizeof *x->dims); /* unknown sizes are copied like others */
  return LATHE_OK;
}

typedef struct {
  const float* x;
  float* y;
  float scale;
} Square;

static void square_part(void* argument, int64_t begin, int64_t end) {
  const Square* s = argument;
  for (int64_t i = begin; i < end; ++i) s->y[i] = s->scale * s->x[i] * s->x[i];
}

static lathe_status square_run(lathe_operator_call* call) {
  Square s = {call->inputs[0]->data, call->outputs[0]->data, (float)float_of(call, "scale", 1)};
  call->parallel(call, (int64_t)(call->outputs[0]->bytes / sizeof(float)), square_part, &s);
  return LATHE_OK;
}

/* com.example.Positive: the elements of a vector that are greater than zero, and where they are. How many there are
 * depends on the data, so the shape function looks at it where there is data: in a run. */
static lathe_status positive_shape(lathe_operator_call* call) {
  const lathe_tensor* x = call->inputs[0];
  int64_t count = 0;
  if (call->input_count != 1 || call->output_count != 2 || x->dtype != LATHE_F32 || x->rank != 1)
    return wrong(call, "expects a vector of f32 and gives two outputs");
  for (size_t i = 0; x->data && i < x->bytes / sizeof(float); ++i) count += ((const float*)x->data)[i] > 0;
  if (!x->data && x->dims[0] != 0) count = LATHE_UNKNOWN_SIZE;
  for (size_t k = 0; k < 2; ++k) {
    call->outputs[k]->dtype = k == 0 ? LATHE_F32 : LATHE_I64;
    call->outputs[k]->rank = 1;
    call->outputs[k]->dims[0] = count;
  }
  return LATHE_OK;
}

static lathe_status positive_run(lathe_operator_call* call) {
  const float* x = call->inputs[0]->data;
  float* values = call->outputs[0]->data;
  int64_t* where = call->outputs[1]->data;
  size_t found = 0;
  for (size_t i = 0; i < call->inputs[0]->bytes / sizeof(float); ++i)
    if (x[i] > 0) {
      values[found] = x[i];
      where[found++] = (int64_t)i;
    }
  return LATHE_OK;
}

static const lathe_operator square = {
    sizeof(lathe_operator), "com.example", "ScaledSquare", NULL, square_shape, square_run, 0};
static const lathe_operator positive = {sizeof(lathe_operator), "com.example", "Positive", NULL,
                                        positive_shape,         positive_run,  0};

LATHE_API const lathe_operator* const* lathe_operators(void);
const lathe_operator* const* lathe_operators(void) {
  static const lathe_operator* const all[] = {&square, &positive, NULL};
  return all;
}
