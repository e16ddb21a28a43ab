#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every static check. `--full` runs clang-tidy over the code generator too (its LLVM headers take minutes).
# All checks run even if one fails; the exit status says whether any did.
set -uo pipefail
cd "$(dirname "$0")/.."
full=0
[ "${1:-}" = --full ] && full=1
failed=()

step() { # name, command...
  local name=$1 start=$SECONDS
  shift
  if "$@"; then echo "lint: $name ok ($((SECONDS - start)) s)"; else
    failed+=("$name")
    echo "lint: $name FAILED ($((SECONDS - start)) s)"
  fi
}

# Files git tracks or would track, so that what is about to be committed is checked too.
sources() { git ls-files --cached --others --exclude-standard --deduplicate -- "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }

format() {
  local bad
  bad=$(sources '*.cpp' '*.hpp' '*.h' '*.c' | xargs -r clang-format-19 --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: warning: .*/  \1/p' | sort -u)
  [ -z "$bad" ] || { echo "Not as clang-format wants it (\`make format\` rewrites):"; echo "$bad"; return 1; }
}

tidy() {
  local folders='base|engine|runtime|ir|ops|import|export|quant|cli'
  [ $full = 1 ] && folders='[a-z]+'
  sources 'src/*.cpp' | grep -E "^src/($folders)/" | grep -v '/longtail/' |
    xargs -r -P "${JOBS:-2}" -n 4 scripts/tidy.py
}

python_lint() { build/venv/bin/ruff check --quiet . && build/venv/bin/ruff format --check --quiet .; }

spdx() {
  local bad
  bad=$(sources '*.cpp' '*.hpp' '*.h' '*.c' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' Makefile '.ci/run' |
    while read -r f; do [ ! -s "$f" ] || head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "  $f"; done)
  [ -z "$bad" ] || { echo "No SPDX line in the first three lines of:"; echo "$bad"; return 1; }
}

lengths() {
  sources '*.cpp' '*.hpp' '*.h' '*.c' '*.py' | while read -r f; do
    n=$(wc -l <"$f")
    [ "$n" -le 600 ] || echo "warning: $f has $n lines; is it two ideas in one file?"
  done
}

step clang-format format
step layers python3 scripts/check_layers.py
step licence spdx
step lengths lengths
step ruff python_lint
step clang-tidy tidy
if [ ${#failed[@]} -gt 0 ]; then
  echo "lint: failed: ${failed[*]}"
  exit 1
fi
