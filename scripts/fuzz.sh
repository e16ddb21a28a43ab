#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers of fuzz/ and runs each for FUZZ_SECONDS (15), from the seeds in fuzz/corpus/<name>/. What they find
# new is kept in build/fuzz/corpus/<name>/; an input that fails is written to build/fuzz/.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -- -j "${JOBS:-$(nproc)}"
shopt -s nullglob
fuzzers=(build/fuzz/bin/fuzz_*)
[ ${#fuzzers[@]} -gt 0 ] || { echo "There are no fuzzers in fuzz/."; exit 0; }
for fuzzer in "${fuzzers[@]}"; do
  name=${fuzzer##*/fuzz_}
  seeds=()
  if [ -d "fuzz/corpus/$name" ]; then seeds=("fuzz/corpus/$name"); fi
  mkdir -p "build/fuzz/corpus/$name"
  echo "fuzz_$name, ${FUZZ_SECONDS:-15} s"
  log=build/fuzz/$name.log
  if ! "$fuzzer" -max_total_time="${FUZZ_SECONDS:-15}" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -artifact_prefix="build/fuzz/$name-" -print_final_stats=1 "build/fuzz/corpus/$name" "${seeds[@]}" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz_$name failed; repeat with: $fuzzer $(ls -t build/fuzz/"$name"-* | head -n 1)"
    exit 1
  fi
  grep -E 'number_of_executed_units|new_units_added' "$log"
done
