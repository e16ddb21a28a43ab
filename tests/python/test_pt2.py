# SPDX-License-Identifier: Apache-2.0
"""Programs that torch.export wrote, imported without torch, against the outputs that torch stored for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lathe
import numpy as np
import pytest

SOURCE = Path(os.environ.get("LATHE_SOURCE", Path(__file__).resolve().parents[2]))
MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
FOUND = sorted(MODELS.glob("*/*.pt2")) if os.environ.get("LATHE_SHARED") else []


@pytest.mark.skipif(not FOUND, reason="LATHE_SHARED/models is not there")
def test_models_are_there():
    """Makes a run without the models show up as skipped."""
    assert {path.name for path in FOUND} >= {"blazeface.pt2", "version-RFB-320.pt2"}


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_model_gives_the_stored_outputs(path: Path):
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    model = lathe.compile(path, threads=2, math="strict")
    with np.load(path.with_name(path.name + ".golden.npz")) as golden:
        for case in range(len(facts["cases"])):
            # torch names neither; both are in order.
            feed = {port.name: golden[f"c{case}_in{i}"] for i, port in enumerate(model.inputs)}
            for i, (name, got) in enumerate(model(feed).items()):
                want = golden[f"c{case}_out{i}"]
                assert got.shape == want.shape and got.dtype == want.dtype
                error = float(np.max(np.abs(got.astype(np.float64) - want))) / (float(np.max(np.abs(want))) or 1.0)
                assert error <= 1e-4, f"case {case}, output {name}: max|a-b|/max|b| = {error:.2e}"


def test_the_same_network_from_pt2_and_onnx():
    folder = SOURCE / "models" / "digits"
    rng = np.random.default_rng(7)
    ours = lathe.compile(folder / "digits.pt2", math="strict")
    other = lathe.compile(folder / "digits.onnx", math="strict")
    (name,) = (port.name for port in ours.inputs)
    shape = ours.inputs[0].shape
    picture = rng.random([int(d) for d in shape], dtype=np.float32)
    (got,) = ours({name: picture}).values()
    (want,) = other({other.inputs[0].name: picture}).values()
    np.testing.assert_allclose(got, want, atol=1e-4 * float(np.max(np.abs(want))))


def test_nodes_are_named_by_the_users_modules():
    text = lathe.graph_text(SOURCE / "models" / "digits" / "digits.pt2", optimised=False)
    assert "to4.0.0/conv2d" in text
