#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build and the tests need on Debian 12: apt packages, and a Python environment in build/venv. Prints
# and does nothing when all is there. `--no-install` reports what is missing and fails instead. `--full` adds what only
# the long tests use, the cross compiler for aarch64; without it they are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  cmake ninja-build g++ make ccache git binutils ca-certificates
  llvm-19-dev liblld-19-dev clang-19 lld-19 libclang-rt-19-dev clang-format-19 clang-tidy-19
  libprotozero-dev libflatbuffers-dev flatbuffers-compiler libsodium-dev libcli11-dev nlohmann-json3-dev libfmt-dev
  libpng-dev libjpeg-dev libzip-dev libsqlite3-dev zlib1g-dev libzstd-dev libgtest-dev
  pybind11-dev python3 python3-dev python3-venv
  qemu-user-static
)

cross_packages=(g++-aarch64-linux-gnu libsodium-dev:arm64 qemu-user-static)

install=1 full=0
for argument in "$@"; do
  case $argument in
    --no-install) install=0 ;;
    --full) full=1 ;;
    *) echo "usage: bootstrap.sh [--no-install] [--full]" >&2; exit 2 ;;
  esac
done

native=$(dpkg --print-architecture)
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || { echo "Install them as root, or install sudo, and try again." >&2; return 1; }
  sudo "$@"
}

# Installs those of the packages that are missing.
install_packages() {
  local missing=() installed package
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}:${Architecture}\n' 2>/dev/null | sed -n 's/^installed //p')
  for package in "$@"; do
    grep -qxF -e "$package" -e "$package:$native" -e "$package:all" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Missing packages: ${missing[*]}"
  [ $install = 1 ] || return 1
  echo "Installing them with apt-get."
  for package in "${missing[@]}"; do
    case $package in *:*) as_root dpkg --add-architecture "${package#*:}" || return 1 ;; esac
  done
  as_root apt-get update -qq || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_packages "${packages[@]}" || exit 1
if [ $full = 1 ]; then
  install_packages "${cross_packages[@]}" || echo "Without these packages the tests on aarch64 are skipped." >&2
fi

requirements=python/requirements-test.txt
stamp=build/venv/requirements.sha256
if ! { [ -x build/venv/bin/python ] && sha256sum --check --status "$stamp" 2>/dev/null; }; then
  if [ $install = 0 ]; then echo "build/venv is missing or old"; exit 1; fi
  echo "Making the Python environment build/venv."
  # Whatever python3 the user has is taken if it is new enough for the pinned packages, else Debian's.
  python=python3
  "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=/usr/bin/python3
  mkdir -p build
  "$python" -m venv --clear build/venv
  build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  sha256sum "$requirements" >"$stamp"
fi
