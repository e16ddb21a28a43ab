#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the given sources, and skips those that passed before with the same content.

A source that the build compiles in a batch with others (src/ops) is checked alone, with the flags of its batch.
What a source means is its preprocessed text, the configuration and the version of clang-tidy; a stamp named by the
hash of these lies in build/tidy/ once it has passed. A warning is an error.
"""

import hashlib
import json
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TIDY = "clang-tidy-19"


def compile_commands() -> dict[str, list[str]]:
    """The compiler's arguments, without its output, for each source."""
    commands = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        arguments = shlex.split(entry["command"])
        output = arguments.index("-o") if "-o" in arguments else len(arguments)
        del arguments[output : output + 2]
        file = pathlib.Path(entry["file"])
        batch = file.parent.name == "Unity"
        sources = re.findall(r'^#include "(.+)"', file.read_text(), re.MULTILINE) if batch else [entry["file"]]
        for source in sources:
            commands[source] = [source if argument == entry["file"] else argument for argument in arguments]
    return commands


def digest(command: list[str], directory: pathlib.Path) -> str | None:
    """The hash of what clang-tidy would see, or None if the source does not preprocess."""
    text = subprocess.run([*command, "-E", "-P"], cwd=directory, capture_output=True)
    if text.returncode != 0:
        return None
    configuration = (ROOT / ".clang-tidy").read_bytes()
    return hashlib.sha256(configuration + b"19\0" + text.stdout).hexdigest()


def main() -> int:
    commands = compile_commands()
    stamps = BUILD / "tidy"
    stamps.mkdir(exist_ok=True)
    failed = False
    for name in sys.argv[1:]:
        path = str(ROOT / name)
        if path not in commands:  # not part of this build
            continue
        key = digest(commands[path], BUILD)
        if key and (stamps / key).exists():
            continue
        run = subprocess.run(
            [TIDY, "--quiet", "--warnings-as-errors=*", path, "--", *commands[path][1:]],
            cwd=BUILD,
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            failed = True
            print(run.stdout or run.stderr, end="", flush=True)
        elif key:
            (stamps / key).touch()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
