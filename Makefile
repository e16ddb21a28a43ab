# SPDX-License-Identifier: Apache-2.0
# The few commands a person needs; `make` alone lists them.
JOBS ?= $(shell nproc)
VENV_PYTHON := build/venv/bin/python

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

bootstrap: ## install what is missing: apt packages, build/venv
	@scripts/bootstrap.sh

build/build.ninja: | bootstrap
	@cmake --preset release $(if $(LATHE_SHARED),-DLATHE_SHARED=$(abspath $(LATHE_SHARED))) > build/configure.log \
	  || { cat build/configure.log; exit 1; }

build: bootstrap build/build.ninja ## build/lathe, its libraries, the Python package and the tests
	@cmake --build build -j $(JOBS)

demo: build ## handwritten digits, from a photo to numbers
	@PYTHONPATH=build/python $(VENV_PYTHON) models/digits/demo.py

test: build ## all tests but the long ones
	@ctest --preset release -j $(JOBS)

test-full: build ## all tests, the long ones too; installs a cross compiler for aarch64
	@scripts/bootstrap.sh --full
	@ctest --test-dir build --output-on-failure --no-tests=error -j $(JOBS)

lint: bootstrap build/build.ninja ## formatting, clang-tidy, ruff, layering, licence lines, file lengths
	@scripts/lint.sh

lint-full: bootstrap build/build.ninja ## lint, with clang-tidy over the code generator too
	@scripts/lint.sh --full

format: bootstrap ## rewrite our C++ and Python as clang-format and ruff want it
	@git ls-files '*.cpp' '*.hpp' '*.h' '*.c' | xargs clang-format-19 -i
	@build/venv/bin/ruff check --quiet --fix . ; build/venv/bin/ruff format --quiet .

sanitize: bootstrap ## tests of engine, runtime and importers under the address and undefined-behaviour sanitizers
	@scripts/sanitize.sh debug

tsan: bootstrap ## the same tests under the thread sanitizer
	@scripts/sanitize.sh tsan

fuzz: bootstrap ## each fuzzer for FUZZ_SECONDS (15)
	@scripts/fuzz.sh

size: build ## stripped size of the runtime library
	@scripts/size.sh

clean: ## remove what was built, keep build/venv
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name venv -exec rm -rf {} +

distclean: ## remove build/ altogether
	@rm -rf build

.PHONY: help bootstrap build demo test test-full lint lint-full format sanitize tsan fuzz size clean distclean
