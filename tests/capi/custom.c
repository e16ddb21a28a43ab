/* SPDX-License-Identifier: Apache-2.0 */
/* A C11 program with an operator of its own; capi.cpp calls it on the engine of custom_engine() in
 * engine_support/plans.h. Returns the line of the first thing that is wrong, or 0. */
#include <stdio.h>
#include <string.h>

#include "lathe/lathe.h"
#include "require.h"

int c_custom_program(const char* path, const char* library);

typedef struct {
  int shapes, runs, lie;
} Counts;

static size_t above(const lathe_operator_call* call, float* out) {
  const lathe_tensor* x = call->inputs[0];
  size_t found = 0;
  for (size_t i = 0; i < x->bytes / sizeof(float); ++i)
    if (((const float*)x->data)[i] > call->attributes[0]->floats[0]) {
      if (out) out[found] = ((const float*)x->data)[i];
      ++found;
    }
  return found;
}

static lathe_status shape(lathe_operator_call* call) {
  Counts* counts = call->user;
  const lathe_attribute *limit = call->attributes[0], *text = call->attributes[1];
  ++counts->shapes;
  if (call->input_count != 2 || call->output_count != 1 || call->attribute_count != 2 ||
      call->inputs[1]->dtype != LATHE_UNDEFINED || call->inputs[1]->data || strcmp(limit->name, "limit") != 0 ||
      limit->count != 1 || text->count != 2 || text->lengths[1] != 3 || memcmp(text->strings[1], "b\0c", 4) != 0 ||
      text->ints || text->tensor) {
    snprintf(call->message, sizeof call->message, "this is not what the engine says");
    return LATHE_USAGE;
  }
  call->outputs[0]->dtype = counts->lie == 1 ? LATHE_F64 : LATHE_F32;
  call->outputs[0]->rank = 1;
  call->outputs[0]->dims[0] = counts->lie == 2 ? -5 : (int64_t)above(call, NULL);
  return LATHE_OK;
}

static void fill(void* argument, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) ((int*)argument)[i] += 1;
}

static lathe_status run(lathe_operator_call* call) {
  Counts* counts = call->user;
  int parts[1000] = {0};
  ++counts->runs;
  if (counts->lie == 3) return LATHE_FAILED;
  call->parallel(call, 1000, fill, parts);
  for (int i = 0; i < 1000; ++i)
    if (parts[i] != 1) return LATHE_FAILED;
  return above(call, call->outputs[0]->data) * sizeof(float) == call->outputs[0]->bytes ? LATHE_OK : LATHE_FAILED;
}

int c_custom_program(const char* path, const char* library) {
  int line = 0;
  Counts counts = {0, 0, 0};
  lathe_engine* engine = NULL;
  lathe_session* session = NULL;
  lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
  lathe_instruction_info instruction = LATHE_INSTRUCTION_INFO_INIT;
  lathe_operator op = LATHE_OPERATOR_INIT;
  lathe_tensor z = LATHE_TENSOR_INIT;
  const float x[5] = {1, 3, 2, 5, 4};
  int64_t dims[1] = {5};

  options.trust = 1;
  REQUIRE(lathe_engine_open(path, &options, &engine) == LATHE_OK);
  REQUIRE(lathe_engine_instruction(engine, 0, &instruction) == LATHE_OK && instruction.kind == LATHE_KERNEL);
  REQUIRE(!strcmp(instruction.tactic, "custom com.example.Above"));
  REQUIRE(lathe_session_create(engine, NULL, &session) == LATHE_UNSUPPORTED && session == NULL);
  REQUIRE(strstr(lathe_last_error(), "com.example.Above") && strstr(lathe_last_error(), "node_above"));

  REQUIRE(lathe_register_operator(NULL) == LATHE_USAGE && lathe_register_operator(&op) == LATHE_USAGE);
  op.domain = "com.example";
  op.name = "Above";
  op.user = &counts;
  op.shape = shape;
  REQUIRE(lathe_register_operator(&op) == LATHE_USAGE && strstr(lathe_last_error(), "com.example.Above"));
  op.run = run;
  REQUIRE(lathe_register_operator(&op) == LATHE_OK);
  REQUIRE(lathe_load_operators("./no such library.so") == LATHE_FAILED);
  REQUIRE(lathe_load_operators(library) == LATHE_USAGE && strstr(lathe_last_error(), "lathe_operators"));

  REQUIRE(lathe_session_create(engine, NULL, &session) == LATHE_OK);
  REQUIRE(lathe_session_bind_input(session, 0, x, dims, 1) == LATHE_OK);
  REQUIRE(lathe_session_run(session) == LATHE_OK);
  REQUIRE(lathe_session_output(session, 0, &z) == LATHE_OK && z.rank == 1 && z.dims[0] == 3);
  for (int i = 0; i < 3; ++i) REQUIRE(((const float*)z.data)[i] == 2 * (i == 0 ? 3.F : i == 1 ? 5.F : 4.F));
  dims[0] = 1; /* nothing is above: a result of no elements */
  REQUIRE(lathe_session_bind_input(session, 0, x, dims, 1) == LATHE_OK && lathe_session_run(session) == LATHE_OK);
  REQUIRE(lathe_session_output(session, 0, &z) == LATHE_OK && z.dims[0] == 0 && z.bytes == 0);
  REQUIRE(counts.shapes == 2 && counts.runs == 2);

  counts.lie = 1;
  REQUIRE(lathe_session_run(session) == LATHE_FAILED && strstr(lathe_last_error(), "f64[0]"));
  counts.lie = 2;
  REQUIRE(lathe_session_run(session) == LATHE_FAILED && strstr(lathe_last_error(), "negative"));
  counts.lie = 3;
  REQUIRE(lathe_session_run(session) == LATHE_FAILED && strstr(lathe_last_error(), "did not say why"));
  REQUIRE(strstr(lathe_last_error(), "node_above"));
  counts.lie = 0;
  REQUIRE(lathe_session_run(session) == LATHE_OK);

done:
  lathe_session_close(&session);
  lathe_engine_close(&engine);
  return line;
}
