#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes kernels.h from kernels.c (x86-64). Run it after a change of either; tests do not need a C compiler.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -std=c11 -Os -march=x86-64 -fPIC -fno-builtin -fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables \
    -fno-stack-protector -fcf-protection=none -I../../src -c kernels.c -o "$work/k.o"
test -z "$(objdump -r "$work/k.o" | grep R_X86)"
objcopy -O binary -j .text "$work/k.o" "$work/k.bin"
{
  echo '// SPDX-License-Identifier: Apache-2.0'
  echo '// x86-64 machine code of kernels.c, written by kernels.sh.'
  echo '#pragma once'
  echo
  echo '#include <cstdint>'
  echo
  echo 'namespace test_kernels {'
  echo
  nm "$work/k.o" | awk '$2 == "T" { printf "inline constexpr int64_t %s = 0x%s;\n", $3, $1 }'
  echo 'inline constexpr unsigned char kCode[] = {'
  od -An -v -tx1 -w16 "$work/k.bin" | sed 's/ \(..\)/0x\1, /g; s/^/    /; s/ $//'
  echo '};'
  echo
  echo '}  // namespace test_kernels'
} > kernels.h
clang-format-19 -i kernels.h
