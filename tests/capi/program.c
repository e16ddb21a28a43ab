/* SPDX-License-Identifier: Apache-2.0 */
/* A C11 program's use of lathe.h, start to end; capi.cpp calls it. Returns the line of the first thing that is wrong,
 * or 0. */
#include <stdlib.h>
#include <string.h>

#include "lathe/lathe.h"
#include "require.h"

int c_program(const char* path);

int c_program(const char* path) {
  int line = 0;
  lathe_engine* engine = NULL;
  lathe_session* session = NULL;
  lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
  lathe_port_info port = LATHE_PORT_INFO_INIT;
  lathe_instruction_info instruction = LATHE_INSTRUCTION_INFO_INIT;
  lathe_buffer_info buffer = LATHE_BUFFER_INFO_INIT;
  lathe_tensor y = LATHE_TENSOR_INIT;
  float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8];
  int64_t dims[2] = {2, 4}, profile[2] = {0, 0};
  size_t index = 99;

  REQUIRE(lathe_engine_open(path, NULL, &engine) == LATHE_INTEGRITY && engine == NULL);
  REQUIRE(strstr(lathe_last_error(), "--trust"));
  options.trust = 1;
  REQUIRE(lathe_engine_open(path, &options, &engine) == LATHE_OK);

  REQUIRE(lathe_engine_port_count(engine, LATHE_INPUT) == 1);
  REQUIRE(lathe_engine_find_port(engine, LATHE_INPUT, "y", &index) == LATHE_USAGE && index == 99);
  REQUIRE(!strcmp(lathe_last_error(), "no input \"y\"; there are: \"x\""));
  REQUIRE(lathe_engine_find_port(engine, LATHE_INPUT, "x", &index) == LATHE_OK && index == 0);
  REQUIRE(lathe_engine_port(engine, LATHE_INPUT, 0, &port) == LATHE_OK);
  REQUIRE(!strcmp(port.name, "x") && port.dtype == LATHE_F32 && port.rank == 2);
  REQUIRE(port.dims[0] == -1 && port.dims[1] == 4 && !strcmp(port.symbols[0], "n") && !strcmp(port.symbols[1], ""));
  REQUIRE(!strcmp(lathe_engine_provenance(engine, "model"), "test") && !lathe_engine_provenance(engine, "host"));
  REQUIRE(strlen(lathe_engine_identity(engine)) == 64 && !strcmp(lathe_engine_signer(engine), ""));
  REQUIRE(!strcmp(lathe_engine_target_name(engine, lathe_engine_target(engine)), "x86-64"));
  REQUIRE(!lathe_engine_target_name(engine, 1));
  REQUIRE(lathe_engine_arena_bytes(engine) == -1 && lathe_engine_code_bytes(engine) > 0);
  REQUIRE(lathe_engine_instruction_count(engine) == 2);
  REQUIRE(lathe_engine_instruction(engine, 1, &instruction) == LATHE_OK && !strcmp(instruction.node, "node_1"));
  REQUIRE(lathe_engine_instruction(engine, 2, &instruction) == LATHE_USAGE);
  REQUIRE(lathe_engine_instruction_buffer(engine, 1, 2, &buffer) == LATHE_OK && buffer.place == LATHE_PLACE_OUTPUT);

  REQUIRE(lathe_session_create(engine, NULL, &session) == LATHE_OK);
  lathe_engine_close(&engine); /* the session keeps what it needs */
  REQUIRE(engine == NULL);
  REQUIRE(lathe_session_run(session) == LATHE_USAGE && strstr(lathe_last_error(), "input \"x\" is not bound"));
  REQUIRE(lathe_session_bind_input(session, 0, x, dims, 2) == LATHE_OK);
  REQUIRE(lathe_session_prepare(session) == LATHE_OK);
  REQUIRE(lathe_session_output(session, 0, &y) == LATHE_OK && y.bytes == sizeof out && y.dims[0] == 2);
  REQUIRE(lathe_session_bind_output(session, 0, out, sizeof out) == LATHE_OK);
  REQUIRE(lathe_session_set_threads(session, 2) == LATHE_OK);
  REQUIRE(lathe_session_set_profile(session, profile, 2) == LATHE_OK);
  REQUIRE(lathe_session_run(session) == LATHE_OK);
  REQUIRE(lathe_session_output(session, 0, &y) == LATHE_OK && y.data == out && y.rank == 2 && y.dtype == LATHE_F32);
  for (int i = 0; i < 8; ++i) REQUIRE(out[i] == 3 * x[i]);
  REQUIRE(profile[0] > 0 && lathe_session_arena_bytes(session) >= sizeof out);
  REQUIRE(lathe_session_bind_input(NULL, 0, x, dims, 2) == LATHE_USAGE);

done:
  lathe_session_close(&session);
  lathe_session_close(&session);
  lathe_engine_close(&engine);
  lathe_engine_close(NULL);
  return line;
}
