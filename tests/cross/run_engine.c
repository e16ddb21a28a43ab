/* SPDX-License-Identifier: Apache-2.0 */
/* Runs an engine on raw arrays, for machines that have no Python:
 *
 *     run_engine ENGINE FOLDER THREADS DIMS:FILE …
 *
 * THREADS: "1", or "1,2" to run with each number and require the same bits. Inputs come in the engine's order; DIMS is
 * "2x3", "" for a scalar. Writes FOLDER/0, FOLDER/1 … and one line "f32 2x3" for each output; status is the runtime's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lathe/lathe.h"

enum { kMaxRank = 16 };

static void check(lathe_status status, const char* what) {
  if (status == LATHE_OK) return;
  fprintf(stderr, "%s: %s\n", what, lathe_last_error());
  exit((int)status);
}

static void stop(const char* what, const char* which) {
  fprintf(stderr, "%s %s\n", what, which);
  exit(LATHE_USAGE);
}

/* The whole file in memory aligned for any element; the process ends before it would be freed. */
static void* read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) stop("cannot read", path);
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  rewind(file);
  void* data = aligned_alloc(64, ((size_t)size + 64) & ~(size_t)63);
  if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) stop("cannot read", path);
  fclose(file);
  return data;
}

static void bind(lathe_session* session, size_t index, char* argument) {
  int64_t dims[kMaxRank];
  size_t rank = 0;
  char *at = argument, *file = strchr(argument, ':');
  if (!file) stop("DIMS:FILE is expected, not", argument);
  while (at < file && rank < kMaxRank) {
    dims[rank++] = strtoll(at, &at, 10);
    if (*at == 'x') ++at;
  }
  check(lathe_session_bind_input(session, index, read_file(file + 1), dims, rank), argument);
}

static lathe_tensor output(lathe_session* session, size_t index) {
  lathe_tensor tensor = LATHE_TENSOR_INIT;
  check(lathe_session_output(session, index, &tensor), "output");
  return tensor;
}

static void write_output(const lathe_tensor* tensor, const char* folder, size_t index) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%zu", folder, index);
  FILE* file = fopen(path, "wb");
  if (!file || fwrite(tensor->data, 1, tensor->bytes, file) != tensor->bytes || fclose(file))
    stop("cannot write", path);
  printf("%s ", lathe_dtype_name(tensor->dtype));
  for (size_t i = 0; i < tensor->rank; ++i) printf("%s%" PRId64, i ? "x" : "", tensor->dims[i]);
  printf("\n");
}

int main(int argc, char** argv) {
  if (argc < 4) stop("usage:", "run_engine ENGINE FOLDER THREADS DIMS:FILE …");
  lathe_engine* engine = NULL;
  lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
  options.trust = 1;
  check(lathe_engine_open(argv[1], &options, &engine), argv[1]);
  const size_t inputs = lathe_engine_port_count(engine, LATHE_INPUT);
  const size_t outputs = lathe_engine_port_count(engine, LATHE_OUTPUT);
  if ((size_t)argc != 4 + inputs) stop("one DIMS:FILE is needed for each input of", argv[1]);
  lathe_session* session = NULL;
  check(lathe_session_create(engine, NULL, &session), argv[1]);
  for (size_t i = 0; i < inputs; ++i) bind(session, i, argv[4 + i]);

  lathe_tensor* first = calloc(outputs + 1, sizeof *first);
  if (!first) stop("out of", "memory");
  int runs = 0;
  for (char* at = argv[3]; *at; ++runs) {
    check(lathe_session_set_threads(session, (int)strtol(at, &at, 10)), argv[3]);
    if (*at == ',') ++at;
    check(lathe_session_run(session), "run");
    for (size_t i = 0; i < outputs; ++i) {
      const lathe_tensor now = output(session, i);
      if (runs == 0) {
        write_output(&now, argv[2], i);
        first[i] = now;
        first[i].data = malloc(now.bytes + 1);
        if (!first[i].data) stop("out of", "memory");
        memcpy((void*)first[i].data, now.data, now.bytes);
      } else if (first[i].bytes != now.bytes || memcmp(first[i].data, now.data, now.bytes) != 0) {
        stop("results differ between numbers of threads:", argv[3]);
      }
    }
  }
  lathe_session_close(&session);
  lathe_engine_close(&engine);
  return 0;
}
