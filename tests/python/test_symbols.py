# SPDX-License-Identifier: Apache-2.0
"""liblathe_compiler.so in a process with other libraries: it shows its own names only, and finds its own LLVM."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import lathe
import pytest

LIBRARY = Path(lathe.__file__).resolve().parents[2] / "liblathe_compiler.so"


@pytest.mark.skipif(not LIBRARY.is_file(), reason="not the package of a build folder")
def test_only_names_of_lathe_are_exported() -> None:
    done = subprocess.run(["nm", "-D", "-C", "--defined-only", LIBRARY], capture_output=True, text=True, check=True)
    names = [line.split(maxsplit=2)[-1] for line in done.stdout.splitlines()]
    assert any(name.startswith("lathe::compiler::build(") for name in names)
    assert [name for name in names if "lathe" not in name] == []


@pytest.mark.skipif(not importlib.util.find_spec("tensorflow"), reason="TensorFlow is not installed")
def test_builds_beside_tensorflow(tmp_path: Path) -> None:
    """TensorFlow has an LLVM of its own, and shows it to all."""
    program = (
        "import sys, tensorflow, lathe, numpy, struct\n"
        "open(sys.argv[1], 'w').write('graph \"\"\\n')\n"
        "tensorflow.saved_model.save(m := tensorflow.Module(), sys.argv[2], signatures=tensorflow.function("
        "lambda x: tensorflow.nn.relu(x) @ tensorflow.ones((4, 3)),"
        " input_signature=[tensorflow.TensorSpec((2, 4), tensorflow.float32, 'x')]).get_concrete_function())\n"
        "model = lathe.compile(sys.argv[2])\n"
        "assert numpy.array_equal(next(iter(model({'x': numpy.ones((2, 4), 'f4')}).values())), numpy.full((2, 3), 4))\n"
        "tensorflow.function(lambda x: x + 1, jit_compile=True)(tensorflow.ones(3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x", tmp_path / "model"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
