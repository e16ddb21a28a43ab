#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cross.sh aarch64 [FOLDER]: builds tests/cross for another machine, statically, in FOLDER (build/cross/aarch64), and
# runs nothing. Exit code 77, with the reason, if a tool is missing: `scripts/bootstrap.sh --full` installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:-aarch64}
folder=${2:-build/cross/$arch}

missing=()
for tool in "$arch-linux-gnu-g++" "qemu-$arch-static" cmake ninja; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ -e "/usr/lib/$arch-linux-gnu/libsodium.a" ] || missing+=("libsodium.a for $arch")
if [ ${#missing[@]} -gt 0 ]; then
  (IFS=,; echo "missing: ${missing[*]}; scripts/bootstrap.sh --full installs them" >&2)
  exit 77
fi

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -f "$folder/build.ninja" ]; then
  cmake -S . -B "$folder" -G Ninja --toolchain "cmake/toolchains/$arch.cmake" -DCMAKE_BUILD_TYPE=Release \
    -DLATHE_COMPILER=OFF -DLATHE_PYTHON=OFF -DLATHE_TESTS=OFF >"$folder/configure.log" 2>&1 \
    || { cat "$folder/configure.log" >&2; exit 1; }
fi
ninja -C "$folder" run_engine >"$folder/build.log" 2>&1 || { cat "$folder/build.log" >&2; exit 1; }
