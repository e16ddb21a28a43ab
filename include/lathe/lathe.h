/* SPDX-License-Identifier: Apache-2.0 */
/* lathe: load an engine and run it. C11; see README.md in this folder for a first program.
 *
 * Errors: functions that can fail return a lathe_status; lathe_last_error() then tells this thread why, in a sentence.
 * On failure nothing is changed and out parameters are not written, unless said otherwise.
 * Ownership: what a function returns by pointer (strings, dims, data) belongs to the engine or session it was asked
 * of, and lives as long as that unless said otherwise. Memory given to a function stays the caller's.
 * Threads: an engine may be used by any number of threads at once, a session by one at a time. All functions of this
 * header may be called from any thread.
 * Growth: structs start with their own size, which the caller sets (the *_INIT macros do); later versions append
 * fields, and a zero field means the default. */
#ifndef LATHE_H
#define LATHE_H

#include <stddef.h>
#include <stdint.h>

#define LATHE_VERSION_MAJOR 0
#define LATHE_VERSION_MINOR 1
#define LATHE_VERSION_PATCH 0

#if defined(__GNUC__)
#define LATHE_API __attribute__((visibility("default")))
#else
#define LATHE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The values are also the exit codes of the command line. */
typedef enum lathe_status {
  LATHE_OK = 0,
  LATHE_FAILED = 1,      /* while running: I/O, out of memory, a kernel found its input invalid */
  LATHE_USAGE = 2,       /* wrong arguments, input names, types or shapes */
  LATHE_UNSUPPORTED = 3, /* what this version does not support, or a resource limit */
  LATHE_DAMAGED = 4,     /* damaged file or unknown format */
  LATHE_INTEGRITY = 5,   /* checksum, signature or trust */
  LATHE_NO_TARGET = 6,   /* no code in the engine for this device */
  LATHE_INTERRUPTED = 130
} lathe_status;

/* Element types; the values are those of ONNX TensorProto.DataType. Four-bit types are packed two to a byte. */
typedef enum lathe_dtype {
  LATHE_UNDEFINED = 0,
  LATHE_F32 = 1,
  LATHE_U8 = 2,
  LATHE_I8 = 3,
  LATHE_U16 = 4,
  LATHE_I16 = 5,
  LATHE_I32 = 6,
  LATHE_I64 = 7,
  LATHE_STRING = 8,
  LATHE_BOOL = 9,
  LATHE_F16 = 10,
  LATHE_F64 = 11,
  LATHE_U32 = 12,
  LATHE_U64 = 13,
  LATHE_C64 = 14,
  LATHE_C128 = 15,
  LATHE_BF16 = 16,
  LATHE_F8E4M3FN = 17,
  LATHE_F8E4M3FNUZ = 18,
  LATHE_F8E5M2 = 19,
  LATHE_F8E5M2FNUZ = 20,
  LATHE_U4 = 21,
  LATHE_I4 = 22,
  LATHE_F4E2M1 = 23,
  LATHE_F8E8M0 = 24,
  LATHE_U2 = 25,
  LATHE_I2 = 26
} lathe_dtype;

/* "0.1.0". Static. */
LATHE_API const char* lathe_version(void);
/* Why the last failed call of this thread failed; "" if none did. Valid until this thread's next failing call. */
LATHE_API const char* lathe_last_error(void);
/* "f32", "i8" …; "undefined" for what is no type. Static. */
LATHE_API const char* lathe_dtype_name(lathe_dtype dtype);
/* Storage bits of an element; 0 for strings and for what is no type. */
LATHE_API int lathe_dtype_bits(lathe_dtype dtype);

/* ---- Engines ---------------------------------------------------------------------------------------------------- */

typedef struct lathe_engine lathe_engine;

typedef struct lathe_engine_options {
  size_t size;
  int trust;          /* nonzero: run the native code of an engine that nobody vouches for */
  int copy_weights;   /* nonzero: copy weights to memory of this process instead of mapping (or using) the file */
  int check_weights;  /* nonzero: compare the weights with their hash (reads all of them) */
  int inspect_only;   /* nonzero: loads no code and accepts any target; no session can be created */
  const char* target; /* name of the target to use; NULL: the best one for this machine */
  const unsigned char* keys; /* Ed25519 public keys trusted beside this user's list, 32 bytes each, one after another */
  size_t key_count;
} lathe_engine_options;
#define LATHE_ENGINE_OPTIONS_INIT {sizeof(lathe_engine_options), 0, 0, 0, 0, NULL, NULL, 0}

/* Opens an engine file; `options` may be NULL. The file must not be written to or cut while the engine is open (replace
 * it by renaming another over it), unless copy_weights is set.
 * LATHE_INTEGRITY if the file was altered, or is not trusted: neither signed by a trusted key, nor built by this user,
 * nor options.trust. LATHE_NO_TARGET if none of its code runs on this machine. */
LATHE_API lathe_status lathe_engine_open(const char* path, const lathe_engine_options* options, lathe_engine** out);
/* The same from memory, which must stay valid and unchanged until the engine and all its sessions are closed, unless
 * copy_weights is set. Weights are used in place if `data` is 64-byte aligned and are copied otherwise. */
LATHE_API lathe_status lathe_engine_open_memory(const void* data, size_t bytes, const lathe_engine_options* options,
                                                lathe_engine** out);
/* Closes the engine and sets *engine to NULL; NULL is fine. Sessions keep what they need: any order of closing works.
 */
LATHE_API void lathe_engine_close(lathe_engine** engine);

/* LATHE_STATE: what a model remembers from one run to the next. */
typedef enum lathe_port_kind { LATHE_INPUT = 0, LATHE_OUTPUT = 1, LATHE_STATE = 2 } lathe_port_kind;

typedef struct lathe_port_info {
  size_t size;
  const char* name; /* as in the user's model */
  lathe_dtype dtype;
  size_t rank;
  const int64_t* dims;        /* rank of them; -1: symbolic */
  const char* const* symbols; /* rank of them: "" or, where dims is -1, the name or expression: "batch", "2*h" */
} lathe_port_info;
#define LATHE_PORT_INFO_INIT {sizeof(lathe_port_info), NULL, LATHE_UNDEFINED, 0, NULL, NULL}

LATHE_API size_t lathe_engine_port_count(const lathe_engine* engine, lathe_port_kind kind);
LATHE_API lathe_status lathe_engine_port(const lathe_engine* engine, lathe_port_kind kind, size_t index,
                                         lathe_port_info* info);
/* Index of the input, output or state called `name`. LATHE_USAGE, with the names there are, if there is none. */
LATHE_API lathe_status lathe_engine_find_port(const lathe_engine* engine, lathe_port_kind kind, const char* name,
                                              size_t* index);

/* Provenance: what was built, from what, with which options. NULL if there is no such key or index. */
LATHE_API const char* lathe_engine_provenance(const lathe_engine* engine, const char* key);
LATHE_API const char* lathe_engine_provenance_key(const lathe_engine* engine, size_t index);
/* The engine's identity: 64 hexadecimal digits that cover everything in it but the signature. */
LATHE_API const char* lathe_engine_identity(const lathe_engine* engine);
/* The signer's public key in hexadecimal, "" if the engine is not signed. The signature has been verified. */
LATHE_API const char* lathe_engine_signer(const lathe_engine* engine);
/* Puts an identity on this user's list of engines whose code may run. */
LATHE_API lathe_status lathe_trust_engine(const char* identity);

/* The targets the file has code for; NULL past the last one. */
LATHE_API const char* lathe_engine_target_name(const lathe_engine* engine, size_t index);
/* The one in use: an index for the above. */
LATHE_API size_t lathe_engine_target(const lathe_engine* engine);
/* Bytes a session's arena takes; -1 if that depends on the shapes bound (lathe_session_arena_bytes knows then). */
LATHE_API int64_t lathe_engine_arena_bytes(const lathe_engine* engine);
LATHE_API int64_t lathe_engine_weights_bytes(const lathe_engine* engine);
LATHE_API int64_t lathe_engine_code_bytes(const lathe_engine* engine);

typedef enum lathe_instruction_kind {
  LATHE_KERNEL = 0,
  LATHE_JUMP = 1,
  LATHE_JUMP_IF_FALSE = 2
} lathe_instruction_kind;

typedef struct lathe_instruction_info {
  size_t size;
  lathe_instruction_kind kind;
  const char* kernel; /* name of the generated function, "" for jumps */
  const char* node;   /* the user's node or nodes it computes */
  const char* op;     /* what it computes: "Conv+Relu" */
  const char* tactic; /* how: "direct 14x2" */
  double flops;       /* at the opt shapes: arithmetic */
  double traffic;     /* and bytes moved */
  size_t buffer_count;
  int serial;     /* nonzero: always on one thread */
  int32_t target; /* of a jump */
} lathe_instruction_info;
#define LATHE_INSTRUCTION_INFO_INIT \
  {sizeof(lathe_instruction_info), LATHE_KERNEL, NULL, NULL, NULL, NULL, 0.0, 0.0, 0, 0, 0}

typedef enum lathe_place {
  LATHE_PLACE_INPUT = 0,
  LATHE_PLACE_OUTPUT = 1,
  LATHE_PLACE_WEIGHT = 2,
  LATHE_PLACE_ARENA = 3,
  LATHE_PLACE_DYNAMIC = 4,
  LATHE_PLACE_ALIAS = 5,
  LATHE_PLACE_STATE = 6,     /* what the last run left */
  LATHE_PLACE_NEXT_STATE = 7 /* what this run leaves */
} lathe_place;

typedef struct lathe_buffer_info {
  size_t size;
  const char* name; /* value name in the user's model, "" if a pass made it */
  lathe_dtype dtype;
  lathe_place place;
  int64_t bytes; /* -1: depends on symbols */
  int32_t id;    /* -1 (and nothing else set): no buffer is passed here */
} lathe_buffer_info;
#define LATHE_BUFFER_INFO_INIT {sizeof(lathe_buffer_info), NULL, LATHE_UNDEFINED, LATHE_PLACE_INPUT, 0, -1}

/* What the engine executes, in order: for inspection. */
LATHE_API size_t lathe_engine_instruction_count(const lathe_engine* engine);
LATHE_API lathe_status lathe_engine_instruction(const lathe_engine* engine, size_t index, lathe_instruction_info* info);
LATHE_API lathe_status lathe_engine_instruction_buffer(const lathe_engine* engine, size_t index, size_t buffer,
                                                       lathe_buffer_info* info);

/* ---- Custom operators -------------------------------------------------------------------------------------------
 * Operators that lathe does not know: a shape function and a kernel, registered by the program (or by a library that
 * the program loads) and found by domain and name. When a model is built, the compiler asks the shape function; the
 * engine keeps the operator's name and the node's attributes, and lathe_session_create looks the kernel up. Neither a
 * model nor an engine can make a program load anything. docs/custom-operators.md has a whole example. */

/* The most dimensions that tensors of custom operators have. */
#define LATHE_MAX_RANK 32
/* A size that only running the model tells. */
#define LATHE_UNKNOWN_SIZE INT64_MIN

typedef struct lathe_tensor {
  size_t size;
  const void* data;
  size_t bytes;
  lathe_dtype dtype;
  size_t rank;
  const int64_t* dims;
} lathe_tensor;
#define LATHE_TENSOR_INIT {sizeof(lathe_tensor), NULL, 0, LATHE_UNDEFINED, 0, NULL}

typedef enum lathe_attribute_kind {
  LATHE_ATTRIBUTE_INTS = 0,
  LATHE_ATTRIBUTE_FLOATS = 1,
  LATHE_ATTRIBUTE_STRINGS = 2,
  LATHE_ATTRIBUTE_TENSOR = 3
} lathe_attribute_kind;

/* An attribute of the user's node. A single number or string is a list of one. */
typedef struct lathe_attribute {
  size_t size;
  const char* name;
  lathe_attribute_kind kind;
  size_t count;               /* of the ints, floats or strings; 1 for a tensor */
  const int64_t* ints;        /* NULL where the kind is another; so are the next ones */
  const double* floats;       /* exactly those of the model */
  const char* const* strings; /* with a zero after each, not counted in: */
  const size_t* lengths;
  const lathe_tensor* tensor;
} lathe_attribute;

/* An output: the shape function says what it is, the kernel fills it. */
typedef struct lathe_result {
  size_t size;
  lathe_dtype dtype;
  size_t rank;
  int64_t dims[LATHE_MAX_RANK];
  void* data;   /* for the kernel: row-major, 64-byte aligned unless the caller bound other memory to an output */
  size_t bytes; /* as dtype and dims say */
} lathe_result;

/* What both functions of an operator are given; valid until they return. Arrays are of pointers, so that structs can
 * grow. */
typedef struct lathe_operator_call {
  size_t size;
  void* user; /* lathe_operator.user */
  size_t input_count, output_count, attribute_count;
  const lathe_tensor* const* inputs; /* an optional input that is absent has dtype LATHE_UNDEFINED and no data */
  lathe_result* const* outputs;
  const lathe_attribute* const* attributes;
  char message[256]; /* why a function failed: text that it writes before it returns an error */
  /* Calls task(argument, begin, end) for parts of [0, count) that are disjoint and cover it, on the session's threads
   * at once; returns when all are done. Only for the kernel; not from a task. */
  void (*parallel)(struct lathe_operator_call* call, int64_t count,
                   void (*task)(void* argument, int64_t begin, int64_t end), void* argument);
  void* owner; /* lathe's own */
} lathe_operator_call;

/* LATHE_OK, or an error: LATHE_USAGE or LATHE_UNSUPPORTED for inputs or attributes that do not suit, LATHE_FAILED for
 * all else. Must not throw, and must not call lathe with the session that called it. */
typedef lathe_status (*lathe_operator_function)(lathe_operator_call* call);

typedef struct lathe_operator {
  size_t size;
  const char* domain; /* of the ONNX node: "com.example" */
  const char* name;   /* its op_type */
  void* user;         /* handed to both functions; stays the caller's and must outlive all sessions that use it */
  /* Sets dtype, rank and dims of each output from the inputs and attributes. Called when a model is built, and before
   * the kernel in every run, from any thread and several at once.
   * While building, sizes that are not known are negative numbers, equal ones where sizes are equal: copy them to
   * outputs of the same size, and set sizes that would have to be computed from them to LATHE_UNKNOWN_SIZE. Inputs
   * have data then only if they are constants. In a run all sizes and data are known, and the result must agree with
   * what was said while building: so shapes may depend on data. */
  lathe_operator_function shape;
  /* Computes the outputs: all of them, completely. Inputs must not be written to. Called from the thread that runs the
   * session; sessions run concurrently. */
  lathe_operator_function run;
  int varies; /* nonzero: equal inputs may give different outputs (random numbers, files), so that the compiler may
               * neither compute it while building nor merge equal nodes */
} lathe_operator;
#define LATHE_OPERATOR_INIT {sizeof(lathe_operator), NULL, NULL, NULL, NULL, NULL, 0}

/* Makes `op` known to sessions created from now on; domain, name and the struct are copied. One of the same domain and
 * name takes the other's place for later sessions. Operators that lathe has itself cannot be replaced: models never
 * ask for them here. LATHE_USAGE if something is missing. */
LATHE_API lathe_status lathe_register_operator(const lathe_operator* op);

/* What a library of operators exports under the name "lathe_operators": a list that ends in NULL. */
typedef const lathe_operator* const* (*lathe_operators_function)(void);

/* Loads the shared library at `path` and registers all its operators. It stays loaded. `path` is opened as dlopen does:
 * without a slash it is looked for where the system keeps libraries. LATHE_FAILED, with the reason, if it cannot be
 * loaded; LATHE_USAGE if it exports no lathe_operators. On an error nothing is registered. */
LATHE_API lathe_status lathe_load_operators(const char* path);

/* ---- Sessions --------------------------------------------------------------------------------------------------- */

typedef struct lathe_session lathe_session;

typedef struct lathe_session_options {
  size_t size;
  int threads; /* at most this many threads work for a run, the caller's included; 0: all CPUs this process may use */
} lathe_session_options;
#define LATHE_SESSION_OPTIONS_INIT {sizeof(lathe_session_options), 0}

/* A running instance with memory of its own; keeps its engine alive. `options` may be NULL. LATHE_UNSUPPORTED if the
 * engine calls a custom operator that is not registered. */
LATHE_API lathe_status lathe_session_create(const lathe_engine* engine, const lathe_session_options* options,
                                            lathe_session** out);
/* Closes the session and sets *session to NULL; NULL is fine. */
LATHE_API void lathe_session_close(lathe_session** session);

/* Reads input `index` from `data`: row-major, of the port's type, aligned for its element. Nothing is copied: the
 * memory must stay valid for every run until something else is bound. LATHE_USAGE, with what was expected and what was
 * given, if the shape does not fit. */
LATHE_API lathe_status lathe_session_bind_input(lathe_session* session, size_t index, const void* data,
                                                const int64_t* dims, size_t rank);
/* Writes output `index` to `data`, which has room for `capacity` bytes. NULL: to the session's own memory (the default;
 * see lathe_session_output). A result that does not fit makes lathe_session_run fail with the size it needs. */
LATHE_API lathe_status lathe_session_bind_output(lathe_session* session, size_t index, void* data, size_t capacity);

/* Runs the engine. The first run for new shapes allocates what they need; then, with the same shapes, running and
 * binding neither allocate nor lock. Results are the same to the bit for any number of threads. */
LATHE_API lathe_status lathe_session_run(lathe_session* session);
/* The part of lathe_session_run that comes before the first instruction: checks the shapes, computes those of the
 * outputs where they follow from them, allocates. Optional: for sizing outputs before they are bound. */
LATHE_API lathe_status lathe_session_prepare(lathe_session* session);

/* An output after a run: where it is (the memory bound to it or the session's own) and its shape, valid until the next
 * bind, run or close. After lathe_session_prepare, the shape alone counts; LATHE_USAGE if it depends on data. */
LATHE_API lathe_status lathe_session_output(lathe_session* session, size_t index, lathe_tensor* tensor);

/* ---- State ------------------------------------------------------------------------------------------------------
 * Some models remember: what one run leaves is what the next begins with. Every session has state of its own; a run
 * that fails leaves it as it was. */

/* State goes back to what it was before the first run. */
LATHE_API lathe_status lathe_session_reset(lathe_session* session);
/* What state `index` (of LATHE_STATE) holds now; valid until the next run, reset, set_state or close. */
LATHE_API lathe_status lathe_session_state(const lathe_session* session, size_t index, lathe_tensor* tensor);
/* Copies `data` to state `index`: exactly as many bytes as lathe_session_state says. */
LATHE_API lathe_status lathe_session_set_state(lathe_session* session, size_t index, const void* data, size_t bytes);

/* Takes effect with the next run; 0: all CPUs. */
LATHE_API lathe_status lathe_session_set_threads(lathe_session* session, int threads);
/* Every run adds the nanoseconds of instruction i to nanoseconds[i]; `count` is at least the number of instructions.
 * NULL: off (the default), which costs nothing. */
LATHE_API lathe_status lathe_session_set_profile(lathe_session* session, int64_t* nanoseconds, size_t count);
/* Bytes of the arena for the shapes last run or prepared. */
LATHE_API size_t lathe_session_arena_bytes(const lathe_session* session);

#ifdef __cplusplus
}
#endif
#endif
