# SPDX-License-Identifier: Apache-2.0
"""`--precision fp16` and `bf16`: weights are rounded once and stored in half the memory, sums stay in f32."""

from __future__ import annotations

from pathlib import Path

import lathe
import numpy as np
import pytest
from conftest import save_model
from onnx import TensorProto, helper

RNG = np.random.default_rng(7)
INNER, COLUMNS, ROWS = 300, 64, 9


def network(path: Path, weights: np.ndarray) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Add", ["h", "b"], ["y"], name="bias"),
    ]
    constants = {"w": weights, "b": np.linspace(-1, 1, COLUMNS, dtype=np.float32)}
    inputs, outputs = {"x": (TensorProto.FLOAT, [ROWS, INNER])}, {"y": (TensorProto.FLOAT, [ROWS, COLUMNS])}
    return save_model(path, nodes, inputs, outputs, constants)


def rounded(values: np.ndarray, precision: str) -> np.ndarray:
    if precision == "fp16":
        return values.astype(np.float16).astype(np.float64)
    bits = values.view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32).astype(np.float64)


@pytest.fixture
def weights() -> np.ndarray:
    return RNG.standard_normal((INNER, COLUMNS), dtype=np.float32)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_weights_are_rounded_and_take_half_the_memory(tmp_path: Path, weights: np.ndarray, precision: str):
    model, engine = network(tmp_path / "m.onnx", weights), tmp_path / "m.lathe"
    whole = lathe.build(model, engine).weight_bytes
    half = lathe.build(model, engine, precision=precision).weight_bytes
    assert whole - half == weights.size * 2
    x = RNG.standard_normal((ROWS, INNER), dtype=np.float32)
    expected = x.astype(np.float64) @ rounded(weights, precision) + np.linspace(-1, 1, COLUMNS, dtype=np.float32)
    got = lathe.load(engine)(x)["y"]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


def test_what_fp16_cannot_hold_keeps_its_values(tmp_path: Path, weights: np.ndarray):
    for scale in (1e6, 1e-9):
        model = network(tmp_path / "m.onnx", weights * np.float32(scale))
        x = RNG.standard_normal((ROWS, INNER), dtype=np.float32)
        assert np.array_equal(lathe.compile(model, precision="fp16")(x)["y"], lathe.compile(model)(x)["y"])


def test_inspect_tells_how_weights_are_stored(cli, tmp_path: Path, weights: np.ndarray):
    model = network(tmp_path / "m.onnx", weights)
    done = cli("inspect", model, "--precision", "bf16", "--json")
    nodes = done.json["targets"][0]["nodes"]
    assert [n["tactic"].endswith("bf16 weights") for n in nodes if "product" in n["node"]] == [True]


def test_what_is_for_other_precisions_is_refused(cli, tmp_path: Path, weights: np.ndarray):
    model = network(tmp_path / "m.onnx", weights)
    np.save(tmp_path / "x.npy", np.zeros((ROWS, INNER), np.float32))
    refused = [
        ["build", model, "-o", tmp_path / "m.lathe", "--precision", "fp16", "--calibrate", tmp_path / "x.npy"],
        ["quantize", model, "-o", tmp_path / "q.onnx", "--precision", "fp16", "--calibrate", tmp_path / "x.npy"],
    ]
    for arguments in refused:
        done = cli(*arguments)
        assert done.code == 2 and "int8 or mixed" in done.err
    assert not (tmp_path / "m.lathe").exists() and not (tmp_path / "q.onnx").exists()
