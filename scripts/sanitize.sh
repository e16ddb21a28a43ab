#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the tests that need no compiler under the sanitizers of a preset (debug: address and undefined; tsan: thread)
# and runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-debug}
cmake --preset "$preset" -DLATHE_COMPILER=OFF >/dev/null
cmake --build --preset "$preset" --target lean_tests -- -j "${JOBS:-$(nproc)}"
# Memory that a test asks for and cannot get is a null pointer, as it is on a device.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -LE '^full$' \
  -L '^(base|engine|runtime|ir|ops|import|rewrite|passes)$' -j "${JOBS:-$(nproc)}"
