#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Instructions that small engines execute in a run, counted by valgrind: the same number on every machine and every day.

  PYTHONPATH=build/python build/venv/bin/python bench/instructions.py             counts, and how they changed
  …/instructions.py --write                                                       accepts them: bench/instructions.json
  …/instructions.py --only softmax,conv_3x3

The code is that for x86-64-avx2, which valgrind can run, on one thread. What the program does beside running is the same
for few and for many runs, and drops out of the difference. tests/python/test_instructions.py fails where a count has
grown by more than TOLERANCE. Fewer instructions need not be faster: a count only says that the code has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lathe
import onnx

from ops import Case, case, floats, w

HERE = Path(__file__).resolve().parent
TABLE = HERE / "instructions.json"
RUNNER = Path(os.environ.get("LATHE_BUILD", HERE.parent / "build")) / "bench" / "bench_repeat"
TARGET = "x86-64-avx2"
TOLERANCE = 0.03
FEW, MANY = 2, 6  # runs


def cases() -> dict[str, Case]:
    x, image = floats(64, 256), floats(1, 32, 28, 28)
    weights = [("w", floats(1, 4 * 64, 64)) for _ in range(2)]
    return {
        "add": case("Add", x, floats(64, 256)),
        "exp": case("Exp", x),
        "tanh": case("Tanh", x),
        "sigmoid": case("Sigmoid", x),
        "gelu": case("Gelu", x),
        "pow": case("Pow", x, floats(64, 256)),
        "softmax": case("Softmax", x),
        "layer_norm": case("LayerNormalization", x, ("w", floats(256)), ("w", floats(256))),
        "reduce_rows": case("ReduceSum", x, w([1])),
        "reduce_columns": case("ReduceSum", x, w([0])),
        "transpose": case("Transpose", x, perm=[1, 0]),
        "concat": case("Concat", x, x[:, :32], axis=1),
        "gather_rows": case("Gather", x, ("w", [[3, 1, 60, 7]]), axis=0),
        "matmul": case("MatMul", floats(48, 256), ("w", floats(256, 192))),
        "matmul_row": case("MatMul", floats(1, 256), ("w", floats(256, 512))),
        "conv_3x3": case("Conv", image, ("w", floats(32, 32, 3, 3)), pads=[1] * 4),
        "conv_1x1": case("Conv", image, ("w", floats(64, 32, 1, 1))),
        "conv_first": case("Conv", floats(1, 3, 64, 64), ("w", floats(16, 3, 3, 3)), strides=[2, 2], pads=[1] * 4),
        "conv_depthwise": case("Conv", image, ("w", floats(32, 1, 3, 3)), pads=[1] * 4, group=32),
        "max_pool": case("MaxPool", image, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        "lstm": case("LSTM", floats(16, 1, 64), *weights, hidden_size=64),
    }


def missing() -> str | None:
    """What counting needs and is not here."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    return None if RUNNER.exists() else f"{RUNNER} is not built"


def executed(engine: Path, runs: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", str(RUNNER)]
    done = subprocess.run([*command, str(engine), str(runs)], capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or not found:
        raise RuntimeError(f"{engine.name}: {done.stderr.strip().splitlines()[-1:]}")
    return int(found[1].replace(",", ""))


def count(name: str, folder: Path) -> int:
    """Instructions of one run."""
    onnx.save(cases()[name].model(), folder / "model.onnx")
    engine = folder / f"{name}.lathe"
    lathe.build(folder / "model.onnx", engine, target=TARGET)
    return round((executed(engine, MANY) - executed(engine, FEW)) / (MANY - FEW))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="accept the counts")
    parser.add_argument("--only", type=lambda s: s.split(","), help="names")
    options = parser.parse_args()
    if lack := missing():
        print(lack, file=sys.stderr)
        return 1
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    grown = False
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or cases():
            now, before = count(name, Path(folder)), known.get(name)
            change = "" if not before else f"{100 * (now / before - 1):+8.2f} %"
            grown |= bool(before) and now > before * (1 + TOLERANCE)
            print(f"{name:20}{now:12}{change}", flush=True)
            known[name] = now
    if options.write:
        kept = {name: known[name] for name in cases() if name in known}
        TABLE.write_text(json.dumps(kept, indent=2) + "\n")
    return 1 if grown and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
