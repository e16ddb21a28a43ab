#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an engine's inner loops are made of: inner_loops.py ENGINE [--target NAME] [--top N] [--show]

Disassembles the code of one target and prints its innermost loops, those with the most multiply-adds (of floats or small integers) first: all
instructions, vector multiply-adds and how many of them take one operand from a lane or from memory, loads, stores,
copies between vector registers, accesses to the stack (spills) and instructions for each multiply-add.
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import tempfile
from pathlib import Path

CODE = 4
BINARY_FORMAT = {"aarch64": "elf64-littleaarch64", "x86_64": "elf64-x86-64"}
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(?:[0-9a-f]{2,8}\s)+\s*(\S+)\s*(.*)$")
BRANCH = re.compile(r"^(b\.\w+|b|cbn?z|tbn?z|j\w+)$")
FMA = re.compile(r"^(fml[as]|vfn?m(add|sub)\w*[ps][sd]|vpdpbusd|vpmaddwd|[su]dot|smull2?)$")


def code_of(data: bytes, target: int) -> bytes:
    for i in range(struct.unpack_from("<I", data, 32)[0]):
        kind, index, offset, size = struct.unpack_from("<IIQQ", data, 64 + 64 * i)
        if kind == CODE and index == target:
            return data[offset : offset + size]
    raise SystemExit("the engine has no such code")


def targets_of(engine: Path) -> list[str]:
    data = engine.read_bytes()
    return re.findall(r"(?:x86-64|aarch64)-[a-z0-9]+", data[: struct.unpack_from("<Q", data, 24)[0]].decode("latin1"))


def disassemble(code: bytes, arch: str) -> list[tuple[int, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        raw, elf = Path(folder, "raw"), Path(folder, "elf")
        raw.write_bytes(code)
        objcopy = ["llvm-objcopy-19", "-I", "binary", "-O", BINARY_FORMAT[arch], raw, elf]
        subprocess.run(objcopy, check=True)
        objdump = ["llvm-objdump-19", "-D", "--mattr=+all" if arch == "aarch64" else "--mattr=", elf]
        text = subprocess.run(objdump, check=True, capture_output=True, text=True).stdout
    return [(int(m[1], 16), m[2], m[3]) for line in text.splitlines() if (m := LINE.match(line))]


def inner_loops(program: list[tuple[int, str, str]]) -> list[list[tuple[int, str, str]]]:
    position = {address: i for i, (address, _, _) in enumerate(program)}
    spans = []
    for i, (_, name, operands) in enumerate(program):
        target = re.search(r"0x([0-9a-f]+)", operands)
        if BRANCH.match(name) and target and position.get(int(target[1], 16), i) < i:
            spans.append((position[int(target[1], 16)], i))
    innermost = [s for s in spans if not any(t != s and s[0] <= t[0] and t[1] <= s[1] for t in spans)]
    return [program[first : last + 1] for first, last in innermost]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--target", help="default: the engine's first")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--show", action="store_true", help="print the instructions too")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(targets_of(arguments.engine)))
    target = arguments.target or names[0]
    if target not in names:
        raise SystemExit(f"the engine is for {', '.join(names)}")
    arch = "aarch64" if target.startswith("aarch64") else "x86_64"
    program = disassemble(code_of(arguments.engine.read_bytes(), names.index(target)), arch)
    memory, stack, lane = ("[", "[sp", r"v\d+\.[sdh]\[\d\]$") if arch == "aarch64" else ("(", "(%rsp", r"^.*\(.*%")
    rows = []
    for loop in inner_loops(program):
        fmas = [operands for _, name, operands in loop if FMA.match(name)]
        loads = [o for _, n, o in loop if memory in o and (n.startswith("ld") or (n.startswith("v") and "mov" in n))]
        stores = [o for _, n, o in loop if n.startswith("st")]
        copies = [o for _, n, o in loop if n in ("dup", "mov", "vmovaps") and re.match(r"[v%]", o) and memory not in o]
        spills = [o for _, _, o in loop if stack in o]
        lanes = [o for o in fmas if re.search(lane, o)]
        rows.append((len(fmas), len(loop), len(lanes), len(loads), len(stores), len(copies), len(spills), loop))
    rows.sort(key=lambda row: -row[0])
    print("at        instructions  multiply-adds  by lane  loads  stores  copies  stack  per multiply-add")
    for fmas, total, lanes, loads, stores, copies, spills, loop in rows[: arguments.top]:
        ratio = f"{total / fmas:.2f}" if fmas else "-"
        print(
            f"{loop[0][0]:#8x} {total:13} {fmas:14} {lanes:8} {loads:6} {stores:7} {copies:7} {spills:6}  {ratio:>16}"
        )
        if arguments.show:
            print("\n".join(f"    {address:#8x}  {name:8} {operands}" for address, name, operands in loop))


if __name__ == "__main__":
    main()
