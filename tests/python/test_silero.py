# SPDX-License-Identifier: Apache-2.0
"""A model with a branch on its sampling rate and state that the caller feeds back: silero-VAD over a whole recording."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import lathe
import numpy as np
import pytest

FOLDER = Path(os.environ.get("LATHE_SHARED", "")) / "models" / "silero_vad"
CHUNK, CONTEXT, RATE = 512, 64, 16000

pytestmark = pytest.mark.skipif(
    not (FOLDER / "silero_vad.onnx").exists(), reason="the model is not in LATHE_SHARED/models"
)


@pytest.fixture(scope="module")
def model():
    return lathe.compile(FOLDER / "silero_vad.onnx", threads=1)


def test_state_fed_back_through_the_stored_sequence(model):
    with np.load(FOLDER / "silero_vad.onnx.golden.npz") as golden:
        state = golden["c0_in1"]
        for case in range(25):
            if not golden[f"c{case}_in1"].any():  # the stored sequence begins anew, at another rate
                state = golden[f"c{case}_in1"]
            np.testing.assert_allclose(state, golden[f"c{case}_in1"], atol=1e-4)
            out = model({"input": golden[f"c{case}_in0"], "state": state, "sr": golden[f"c{case}_in2"]})
            np.testing.assert_allclose(out["output"], golden[f"c{case}_out0"], atol=1e-4)
            state = out["stateN"].copy()


def test_speech_probability_of_a_whole_recording(model):
    with wave.open(str(FOLDER / "test.wav")) as file:
        assert file.getframerate() == RATE
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    want = np.load(FOLDER / "speech_prob_test_wav.npz")["prob"]
    sound = np.pad(sound, (CONTEXT, max(0, len(want) * CHUNK - len(sound))))
    state, rate, got = np.zeros((2, 1, 128), np.float32), np.array(RATE, np.int64), []
    for at in range(0, len(want) * CHUNK, CHUNK):
        out = model({"input": sound[None, at : at + CONTEXT + CHUNK], "state": state, "sr": rate})
        state = out["stateN"].copy()
        got.append(out["output"].item())
    np.testing.assert_allclose(got, want, atol=1e-3)
    assert np.count_nonzero(np.array(got) > 0.5) == np.count_nonzero(want > 0.5)


def test_the_other_branch_runs_on_its_own_shapes(model):
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(FOLDER / "silero_vad.onnx"), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for rate, samples in ((8000, 288), (16000, 576), (8000, 288)):
        feed = {
            "input": rng.standard_normal((1, samples), np.float32) * 0.1,
            "state": rng.standard_normal((2, 1, 128), np.float32) * 0.1,
            "sr": np.array(rate, np.int64),
        }
        want = session.run(["output", "stateN"], feed)
        out = model(feed)
        np.testing.assert_allclose(out["output"], want[0], atol=1e-4)
        np.testing.assert_allclose(out["stateN"], want[1], atol=1e-3)
