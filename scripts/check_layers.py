#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that includes point downward only, and that each outside library is seen only where it is meant to be."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each folder of src/ may include besides itself. `lathe` stands for include/lathe, the public headers.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "engine": {"base", "lathe"},
    "runtime": {"base", "engine", "lathe"},
    "ir": {"base", "engine"},
    "ops": {"base", "engine", "ir"},
    "import": {"base", "engine", "ir", "ops"},
    "rewrite": {"base", "engine", "ir", "ops"},
    "quant": {"base", "engine", "ir", "ops", "rewrite"},
    "passes": {"base", "engine", "ir", "ops", "rewrite", "quant"},
    "target": {"base", "engine", "ir", "ops"},
    "codegen": {"base", "engine", "ir", "ops", "rewrite", "passes", "target"},
    "tune": {"base", "engine", "ir", "ops", "passes", "target", "codegen", "runtime", "lathe"},
    "export": {"base", "engine", "ir", "ops"},
    "sdk": {"base", "engine", "runtime", "lathe"},
}
LAYERS["compiler"] = set(LAYERS) | {"lathe"}
LAYERS["serve"] = {"base", "engine", "runtime", "sdk", "lathe"}
# It loads the compiler library when needed and sees only the table of its functions.
LAYERS["cli"] = {"base", "engine", "runtime", "sdk", "serve", "compiler", "lathe"}

# Outside libraries, by the start of the include: the only folders that may see them.
LIBRARIES: dict[str, set[str]] = {
    "llvm/": {"target", "codegen"},
    "llvm-c/": set(),
    "lld/": {"target", "codegen"},
    "protozero/": {"import", "export"},
    "flatbuffers/": {"import", "export"},
    "CLI/": {"cli"},
    "nlohmann/": {"import", "export", "compiler", "tune", "serve", "cli"},
    "fmt/": {f for f in LAYERS if f not in ("base", "engine", "runtime")},
    "sodium": {"base", "engine", "runtime", "compiler", "cli"},
    "sqlite3.h": {"tune"},
    "zip.h": {"import", "cli"},
    "png.h": {"sdk", "cli"},
    "jpeglib.h": {"sdk", "cli"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def check_acyclic() -> list[str]:
    """The table itself must be a hierarchy."""
    done: set[str] = set()
    while len(done) < len(LAYERS):
        ready = {f for f, below in LAYERS.items() if f not in done and below - {"lathe"} <= done}
        if not ready:
            return [f"scripts/check_layers.py: LAYERS has a cycle among {sorted(set(LAYERS) - done)}"]
        done |= ready
    return []


def check_file(path: pathlib.Path, folder: str) -> list[str]:
    errors = []
    allowed = LAYERS.get(folder, set()) | {folder}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        where = f"{path.relative_to(ROOT)}:{number}"
        target = match[2]
        first = target.split("/")[0]
        if target.startswith("../"):
            errors.append(f'{where}: "{target}": name includes from src/, not relative to the file')
        elif (first in LAYERS or first == "lathe") and "/" in target and first not in allowed:
            may = ", ".join(sorted(allowed)) or "nothing"
            errors.append(f'{where}: {folder} includes "{target}"; it may include {may}')
        for start, folders in LIBRARIES.items():
            if target.startswith(start) and folder not in folders:
                may = ", ".join(sorted(folders)) or "nobody"
                errors.append(f"{where}: {folder} includes <{target}>; only {may} may")
    return errors


def main() -> int:
    errors = check_acyclic()
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".h", ".hpp", ".cpp", ".c", ".inc"):
            continue
        parts = path.relative_to(ROOT / "src").parts
        if len(parts) == 1 or parts[0] not in LAYERS:
            errors.append(f"{path.relative_to(ROOT)}: no such layer; add the folder to scripts/check_layers.py")
            continue
        errors += check_file(path, parts[0])
    for path in sorted((ROOT / "include").rglob("*.h*")):
        errors += check_file(path, "lathe")
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
