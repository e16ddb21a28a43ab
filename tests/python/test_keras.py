# SPDX-License-Identifier: Apache-2.0
"""Whole models that Keras saved, .keras and .h5, layer by layer: results against those of Keras."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import lathe
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
STORED = HERE / "keras_files"

# Its models by name, without importing it: it needs Keras.
NAMES = re.findall(r'^    "(\w+)": ', (HERE / "keras_models.py").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All models: written anew by $LATHE_KERAS_PYTHON, or by this Python if it has Keras; else as Keras 3.15 wrote them."""
    folder = tmp_path_factory.mktemp("keras")
    python = os.environ.get("LATHE_KERAS_PYTHON", sys.executable)
    if python == sys.executable and not importlib.util.find_spec("keras"):
        with tarfile.open(STORED / "layers.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        return folder
    environment = {"KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "torch")}
    done = subprocess.run(
        [python, HERE / "keras_models.py", folder], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def check(path: Path, values: Path) -> None:
    model = lathe.compile(path, threads=1, math="strict")
    with np.load(values) as arrays:
        feed = {port.name: arrays[f"in{i}"].astype(port.numpy) for i, port in enumerate(model.inputs)}
        got = list(model(feed).values())
        wanted = [arrays[name] for name in arrays.files if name.startswith("out")]
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        assert np.max(np.abs(a - b)) <= 2e-5 * max(1.0, np.max(np.abs(b)))


@pytest.mark.parametrize("form", ["keras", "h5"])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_keras(saved: Path, name: str, form: str) -> None:
    check(saved / f"{name}.{form}", saved / f"{name}.npz")


@pytest.mark.parametrize("file", ["small.keras", "small.h5"])
def test_stored_model(file: str) -> None:
    """Two inputs, a branch, a model within, written by Keras 3.15."""
    check(STORED / file, STORED / "small.npz")


def test_layer_names_reach_messages_and_profiles() -> None:
    model = lathe.compile(STORED / "small.keras", threads=1)
    assert [port.name for port in model.inputs] == ["picture", "facts"]
    assert [port.name for port in model.outputs] == ["classes"]


@pytest.mark.parametrize("file", ["small.keras", "small.h5"])
def test_damaged_files_are_refused(tmp_path: Path, file: str) -> None:
    data = (STORED / file).read_bytes()
    random = np.random.default_rng(3)
    for k in range(60):
        broken = bytearray(data)
        if k % 3 == 0:
            broken = broken[: int(random.integers(9, len(data)))]
        else:
            for at in random.integers(8, len(data), 4 if k % 3 == 1 else 200):
                broken[at] = int(random.integers(256))
        path = tmp_path / f"{k}.bin"
        path.write_bytes(bytes(broken))
        try:
            lathe.build(path, tmp_path / "out.lathe", jobs=1)
        except lathe.Error as error:
            assert error.code in (3, 4), f"case {k}: {error}"


def test_unsupported_layers_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "odd.keras"
    with zipfile.ZipFile(STORED / "small.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'"class_name": "Flatten"', b'"class_name": "Flotten"'))
    with pytest.raises(lathe.UnsupportedError, match=r'layer "inner/flat" \(Flotten\)'):
        lathe.build(path, tmp_path / "out.lathe")


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    with zipfile.ZipFile(STORED / "small.keras") as archive:
        path.write_bytes(archive.read("model.weights.h5"))
    with pytest.raises(lathe.UnsupportedError, match="weights without the model"):
        lathe.build(path, tmp_path / "out.lathe")
