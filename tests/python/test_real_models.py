# SPDX-License-Identifier: Apache-2.0
"""Trained ONNX models of the shared folder against the outputs that ONNX Runtime stored for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lathe
import numpy as np
import pytest

MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
FOUND = sorted(MODELS.glob("*/*.onnx")) if os.environ.get("LATHE_SHARED") else []

# Models that need not build yet, and why. Any other model must.
NOT_YET: dict[str, str] = {}

# Models whose results are known to be off, and by how much.
OFF: dict[str, str] = {}

# max|a-b| / max|b| that a correct result may have, where it is not 1e-3.
TOLERANCE = {
    # Rounding to 8 bits amplifies differences in the last place: one step of the output's scale, and a bit more.
    "model-dynamic-int8.onnx": 0.05,
    "RFB-320-fp16.onnx": 0.01,
}


@pytest.mark.skipif(not FOUND, reason="LATHE_SHARED/models is not there")
def test_models_are_there():
    """Makes a run without the models show up as skipped."""
    assert set(NOT_YET) <= {path.name for path in FOUND}


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_model_gives_the_stored_outputs(path: Path, request: pytest.FixtureRequest):
    if path.name in OFF:
        request.applymarker(pytest.mark.xfail(raises=AssertionError, reason=OFF[path.name]))
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    try:
        model = lathe.compile(path, threads=2)
    except lathe.UnsupportedError:
        if path.name in NOT_YET:
            pytest.skip(f"not supported yet: {NOT_YET[path.name]}")
        raise
    single = model.clone(threads=1)
    names = [port["name"] for port in facts["inputs"]]
    outputs = [port["name"] for port in facts["outputs"]]
    with np.load(path.with_name(path.name + ".golden.npz")) as golden:
        for case in range(len(facts["cases"])):
            feed = {name: golden[f"c{case}_in{i}"] for i, name in enumerate(names)}
            out = model(feed)
            again = single(feed)
            for i, name in enumerate(outputs):
                np.testing.assert_array_equal(again[name], out[name], err_msg=f"{name}: 1 and 2 threads differ")
                want = golden[f"c{case}_out{i}"]
                assert out[name].shape == want.shape and out[name].dtype == want.dtype
                scale = float(np.max(np.abs(want), initial=0)) or 1.0
                error = float(np.max(np.abs(out[name].astype(np.float64) - want), initial=0)) / scale
                limit = TOLERANCE.get(path.name, 1e-3)
                assert error <= limit, (
                    f"{path.name}, case {case}, output {name}: max|a-b|/max|b| = {error:.2e} > {limit}"
                )
