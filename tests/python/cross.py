# SPDX-License-Identifier: Apache-2.0
"""Engines for other processors, run under QEMU by a small C program (../cross/run_engine.c)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LATHE_BUILD", SOURCE / "build")).resolve()
TIMEOUT_S = 600
MISSING_TOOLS = 77

# lathe_dtype_name → numpy
_TYPES = {
    "f32": "float32", "f64": "float64", "f16": "float16", "bool": "bool",
    "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
    "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64",
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """An emulated machine."""

    command: tuple[str, ...]

    def run(self, engine: Path, inputs: Sequence[np.ndarray], threads: str = "1,2") -> list[np.ndarray]:
        """The outputs of `engine`, in its order; every number of `threads` must give the same bits."""
        with tempfile.TemporaryDirectory() as folder:
            arguments = []
            for i, array in enumerate(inputs):
                file = Path(folder, f"in{i}")
                file.write_bytes(np.ascontiguousarray(array).tobytes())
                arguments.append(f"{'x'.join(map(str, array.shape))}:{file}")
            done = subprocess.run(
                [*self.command, str(engine), folder, threads, *arguments],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            assert done.returncode == 0, f"run_engine ended with {done.returncode}: {done.stderr}"
            outputs = []
            for i, line in enumerate(done.stdout.splitlines()):
                dtype, dims = line.split(" ")
                shape = [int(d) for d in dims.split("x")] if dims else []
                outputs.append(np.fromfile(Path(folder, str(i)), _TYPES[dtype]).reshape(shape))
            return outputs


def machine(arch: str = "aarch64") -> Machine:
    """Builds what runs engines of `arch`; skips the test, saying why, where the tools are missing."""
    folder = BUILD / "cross" / arch
    done = subprocess.run([SOURCE / "scripts" / "cross.sh", arch, folder], capture_output=True, text=True)
    if done.returncode == MISSING_TOOLS:
        pytest.skip(f"{arch} cannot be run here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return Machine((f"qemu-{arch}-static", str(folder / "run_engine")))
