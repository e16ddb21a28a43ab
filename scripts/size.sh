#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the stripped size of the runtime library and the libraries it needs (only libc is expected).
set -euo pipefail
cd "$(dirname "$0")/.."
library=build/liblathe_runtime.so
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$library"
echo "liblathe_runtime.so: $(stat -c %s "$stripped") bytes stripped," \
  "$(nm -D --defined-only "$library" | wc -l) symbols exported," \
  "needs $(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | paste -sd ' ')"
