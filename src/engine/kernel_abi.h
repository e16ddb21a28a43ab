/* SPDX-License-Identifier: Apache-2.0 */
/* The contract between generated kernels and the runtime. Plain C with no includes but stdint: the long-tail kernels
 * compiled to bitcode include it too. Changing it raises LATHE_KERNEL_ABI. */
#ifndef LATHE_KERNEL_ABI_H
#define LATHE_KERNEL_ABI_H

#include <stdint.h>

#define LATHE_KERNEL_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

/* What a kernel sees of the outside. One per thread and call; field offsets are part of the ABI (8 bytes each). */
typedef struct LatheKernelContext {
  int64_t thread;   /* 0 .. threads-1 */
  void* scratch;    /* this thread's scratch, 64-byte aligned, as large as the instruction asked for */
  int64_t* symbols; /* where an instruction that defines symbols writes them, in the order of PlanInstr::defines */
  /* Memory of `bytes` bytes for bufs[buffer] (which must be marked in PlanInstr::grows); only from a kernel with one
   * task. What the buffer held stays (as with realloc), though its address may change: use the one returned. Returns
   * null when there is no memory; the kernel then returns at once. */
  void* (*grow)(const struct LatheKernelContext*, int64_t buffer, int64_t bytes);
  void* owner; /* the runtime's own */
  /* A kernel that finds its input invalid (index out of range) stores a nonzero LatheKernelFault here. */
  int64_t* fault;
} LatheKernelContext;

/* Values for *fault. The runtime turns them into an error that names the node. */
enum {
  LATHE_FAULT_NONE = 0,
  LATHE_FAULT_INDEX = 1,
  LATHE_FAULT_SHAPE = 2,
  LATHE_FAULT_MEMORY = 3,
  LATHE_FAULT_VALUE = 4
};

/* Computes tasks [begin, end). Tasks of one instruction are independent and may run on any thread in any order. */
typedef void (*LatheKernel)(const LatheKernelContext* context, void* const* bufs, const int64_t* scalars, int64_t begin,
                            int64_t end);

#ifdef __cplusplus
}
#endif
#endif
