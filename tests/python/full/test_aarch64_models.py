# SPDX-License-Identifier: Apache-2.0
"""Trained models on aarch64, under QEMU: against stored outputs and against this machine's own code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cross
import lathe
import numpy as np
import onnx
import pytest
from agreement import disagreement, onnxruntime_outputs

MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
PATHS = [
    "mnist_cntk/mnist.onnx",
    "ultraface/version-RFB-320.onnx",
    "fastestdet/FastestDet.onnx",
    "magika_v3/model.onnx",
    "dtln/model_1.onnx",
    "dtln/model_2.onnx",
]
FAT = "x86-64-avx512,x86-64-avx2,aarch64-neon"


@pytest.fixture(scope="module")
def machine() -> cross.Machine:
    return cross.machine("aarch64")


def test_digits(machine: cross.Machine, tmp_path: Path) -> None:
    path = cross.SOURCE / "models" / "digits" / "digits.onnx"
    engine = tmp_path / "digits.lathe"
    lathe.build(path, engine, target=FAT)
    feed = {"image": np.random.default_rng(0).random((1, 3, 256, 256), np.float32)}
    (got,) = machine.run(engine, list(feed.values()))
    (want,) = onnxruntime_outputs(onnx.load(path), feed).values()
    assert not disagreement(got, want)
    assert not disagreement(got, lathe.load(engine)(feed)["detections"])


@pytest.mark.parametrize("name", PATHS)
def test_model(name: str, machine: cross.Machine, tmp_path: Path) -> None:
    path = MODELS / name
    if not os.environ.get("LATHE_SHARED") or not path.is_file():
        pytest.skip(f"{name} is not in LATHE_SHARED/models")
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    engine = tmp_path / "model.lathe"
    lathe.build(path, engine, target=FAT)
    host = lathe.load(engine)
    with np.load(path.with_name(path.name + ".golden.npz")) as golden:
        for case in range(min(2, len(facts["cases"]))):
            feed = {port["name"]: golden[f"c{case}_in{i}"] for i, port in enumerate(facts["inputs"])}
            outputs = machine.run(engine, list(feed.values()))
            here = host(feed)
            for i, port in enumerate(facts["outputs"]):
                problem = disagreement(outputs[i], golden[f"c{case}_out{i}"])
                assert not problem, f"case {case}, {port['name']} against the stored output: {problem}"
                problem = disagreement(outputs[i], here[port["name"]])
                assert not problem, f"case {case}, {port['name']} against this machine's code: {problem}"
