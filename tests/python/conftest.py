# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line and of the Python package share: small models, and the executable.

Run by ctest, which sets LATHE_BUILD, LATHE_SHARED and PYTHONPATH; by hand:

    LATHE_BUILD=build PYTHONPATH=build/python build/venv/bin/python -m pytest tests/python
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

BUILD = Path(os.environ.get("LATHE_BUILD", Path(__file__).resolve().parents[2] / "build")).resolve()


@dataclass
class Finished:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cache and list of trusted engines of the tests alone, for this process and the commands it starts."""
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        os.environ[variable] = str(tmp_path_factory.mktemp(variable.lower()))
    os.environ["LATHE_PYTHON"] = sys.executable


@pytest.fixture(scope="session")
def lathe_program() -> str:
    program = BUILD / "lathe"
    if not program.is_file():
        pytest.fail(f"{program} is not built")
    return str(program)


@pytest.fixture(scope="session")
def cli(lathe_program: str) -> Callable[..., Finished]:
    """Runs `lathe` with arguments: cli("build", model, …, cwd=, env=, preexec=)."""

    def call(
        *arguments: Any, cwd: Path | None = None, env: dict[str, str] | None = None, preexec: Any = None
    ) -> Finished:
        done = subprocess.run(
            [lathe_program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=os.environ | (env or {}),
            preexec_fn=preexec,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return call


def save_model(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[int | str]]],
    outputs: dict[str, tuple[int, list[int | str]]],
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@dataclass
class Mlp:
    """y = relu(x·w1 + b1)·w2 + b2, 8 → 16 → 4."""

    path: Path
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ self.w1 + self.b1, 0) @ self.w2 + self.b2


def make_mlp(path: Path, batch: int | str = 3) -> Mlp:
    random = np.random.default_rng(0)
    w1, b1, w2, b2 = (random.standard_normal(s).astype(np.float32) for s in ((8, 16), (16,), (16, 4), (4,)))
    save_model(
        path,
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="second"),
        ],
        {"x": (TensorProto.FLOAT, [batch, 8])},
        {"y": (TensorProto.FLOAT, [batch, 4])},
        {"w1": w1, "b1": b1, "w2": w2, "b2": b2},
    )
    return Mlp(path, w1, b1, w2, b2)


@pytest.fixture(scope="session")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Mlp:
    return make_mlp(tmp_path_factory.mktemp("mlp") / "mlp.onnx")


@pytest.fixture(scope="session")
def batch_mlp(tmp_path_factory: pytest.TempPathFactory) -> Mlp:
    """With a symbolic batch."""
    return make_mlp(tmp_path_factory.mktemp("mlp") / "batch.onnx", "batch")


@pytest.fixture(scope="session")
def mlp_engine(mlp: Mlp, cli: Callable[..., Finished]) -> Path:
    engine = mlp.path.with_suffix(".lathe")
    done = cli("build", mlp.path, "-o", engine)
    assert done.code == 0, done.err
    return engine


@pytest.fixture(scope="session")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """total = left + right, difference = left - right; 2x5."""
    shape: tuple[int, list[int | str]] = (TensorProto.FLOAT, [2, 5])
    return save_model(
        tmp_path_factory.mktemp("two") / "two.onnx",
        [
            helper.make_node("Add", ["left", "right"], ["total"], name="sum"),
            helper.make_node("Sub", ["left", "right"], ["difference"], name="minus"),
        ],
        {"left": shape, "right": shape},
        {"total": shape, "difference": shape},
    )


@pytest.fixture(scope="session")
def unsupported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two operators of a domain that nobody has."""
    path = tmp_path_factory.mktemp("unsupported") / "strange.onnx"
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["h"], name="strange_one", domain="example.unknown"),
        helper.make_node("Defenestrate", ["h"], ["y"], name="strange_two", domain="example.unknown"),
    ]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "strange", info[:1], info[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.unknown", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@pytest.fixture(scope="session")
def external(tmp_path_factory: pytest.TempPathFactory) -> Mlp:
    """The MLP with its weights in another file, weights.bin."""
    made = make_mlp(tmp_path_factory.mktemp("external") / "mlp.onnx")
    model = onnx.load(made.path)
    onnx.save(model, made.path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (made.path.parent / "weights.bin").stat().st_size > 0
    return made


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
