# SPDX-License-Identifier: Apache-2.0
"""The Python package."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import lathe
import numpy as np
import onnx
import pytest
from conftest import Mlp, save_model
from onnx import TensorProto, helper


@pytest.fixture(scope="module")
def model(mlp: Mlp) -> lathe.Model:
    return lathe.compile(mlp.path)


def test_call_with_names(model: lathe.Model, mlp: Mlp, x: np.ndarray):
    out = model({"x": x})
    assert list(out) == ["y"]
    np.testing.assert_allclose(out["y"], mlp(x), rtol=1e-4, atol=1e-5)


def test_call_with_the_only_input(model: lathe.Model, x: np.ndarray):
    np.testing.assert_array_equal(model(x)["y"], model({"x": x})["y"])


def test_lists_and_strided_arrays_are_taken(model: lathe.Model, x: np.ndarray):
    expected = model(x)["y"]
    np.testing.assert_array_equal(model(x.tolist())["y"], expected)
    np.testing.assert_array_equal(model(np.asfortranarray(x))["y"], expected)
    np.testing.assert_array_equal(model(np.repeat(x, 2, axis=1)[:, ::2])["y"], expected)
    np.testing.assert_array_equal(model(x.astype(">f4"))["y"], expected)


def test_outputs_are_the_callers(model: lathe.Model, x: np.ndarray):
    first = model(x)["y"]
    kept = first.copy()
    model(x + 1)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(model(x)["y"], kept)


def test_ports(model: lathe.Model):
    (port,) = model.inputs
    assert (port.name, port.dtype, port.shape, port.numpy) == ("x", "float32", (3, 8), np.float32)
    assert model.outputs[0].shape == (3, 4)
    assert "x: float32 [3, 8]" in repr(model)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["x: float32 [3, 8]"]),
        ({"X": np.zeros((3, 8), np.float32)}, ['no input "X"', '(did you mean "x"?)', 'no data for input "x"']),
        ({"x": np.zeros((3, 8), np.float32), "more": 1}, ['"more"']),
        ({"x": np.zeros((3, 9), np.float32)}, ['"x"', "8", "9"]),
        ({"x": np.zeros((3, 8))}, ["expects float32, got float64"]),
        ({"x": "words"}, ["float32"]),
    ],
)
def test_wrong_inputs(model: lathe.Model, inputs: dict, words: list[str]):
    with pytest.raises(lathe.UsageError) as error:
        model(inputs)
    assert error.value.code == 2
    assert isinstance(error.value, ValueError)
    for word in words:
        assert word in str(error.value)


def test_a_failed_call_leaves_the_model_usable(model: lathe.Model, mlp: Mlp, x: np.ndarray):
    with pytest.raises(lathe.UsageError):
        model(np.zeros((4, 8), np.float32))
    np.testing.assert_allclose(model(x)["y"], mlp(x), rtol=1e-4, atol=1e-5)


def test_bound_buffers_are_read_and_written_in_place(model: lathe.Model, mlp: Mlp, x: np.ndarray):
    model = model.clone()
    given, y = np.zeros_like(x), np.full((3, 4), np.nan, np.float32)
    model.bind({"x": given}, {"y": y})
    for step in range(3):
        given[:] = x * step
        out = model.run()
        assert out["y"] is y
        np.testing.assert_allclose(y, mlp(given), rtol=1e-4, atol=1e-5)


def test_bind_makes_outputs_that_are_not_given(model: lathe.Model, mlp: Mlp, x: np.ndarray):
    model = model.clone()
    model.bind({"x": x})
    assert model.run()["y"] is model.run()["y"]
    np.testing.assert_allclose(model.run()["y"], mlp(x), rtol=1e-4, atol=1e-5)


def test_calls_and_bound_runs_do_not_disturb_each_other(model: lathe.Model, mlp: Mlp, x: np.ndarray):
    model = model.clone()
    model.bind({"x": x})
    bound = model.run()["y"].copy()
    model(x + 1)
    np.testing.assert_array_equal(model.run()["y"], bound)


def test_bound_memory_is_kept_alive(model: lathe.Model, mlp: Mlp):
    model = model.clone()
    model.bind({"x": np.full((3, 8), 0.5, np.float32)})
    ballast = [np.full((3, 8), np.nan, np.float32) for _ in range(100)]
    np.testing.assert_allclose(model.run()["y"], mlp(np.full((3, 8), 0.5, np.float32)), rtol=1e-4, atol=1e-5)
    del ballast


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": np.zeros((3, 8))}, {}),
        ({"x": np.zeros((8, 3), np.float32).T}, {}),
        ({"x": [[0.0] * 8] * 3}, {}),
        ({"x": np.zeros((3, 8), np.float32)}, {"y": np.zeros((3, 5), np.float32)}),
        ({"x": np.zeros((3, 8), np.float32)}, {"z": np.zeros((3, 4), np.float32)}),
        ({"x": np.zeros((3, 8), np.float32)}, {"y": np.frombuffer(bytes(48), np.float32).reshape(3, 4)}),
    ],
    ids=["type", "strides", "list", "output shape", "output name", "read-only"],
)
def test_what_cannot_be_bound(model: lathe.Model, inputs: dict, outputs: dict):
    with pytest.raises(lathe.UsageError):
        model.clone().bind(inputs, outputs)


def test_run_before_bind(model: lathe.Model):
    with pytest.raises(lathe.UsageError, match="bind"):
        model.clone().run()


def test_many_threads_get_the_same_bits(mlp: Mlp, model: lathe.Model):
    feeds = [np.random.default_rng(i).standard_normal((3, 8)).astype(np.float32) for i in range(8)]
    expected = [model(feed)["y"] for feed in feeds]
    wrong: list[str] = []

    def work(mine: lathe.Model) -> None:
        for _ in range(50):
            for feed, want in zip(feeds, expected, strict=True):
                if not np.array_equal(mine(feed)["y"], want):
                    wrong.append("differs")

    shared = [threading.Thread(target=work, args=(model,)) for _ in range(3)]
    cloned = [threading.Thread(target=work, args=(model.clone(threads=n),)) for n in (1, 2, 4)]
    for thread in shared + cloned:
        thread.start()
    for thread in shared + cloned:
        thread.join()
    assert not wrong


def test_load_and_build(mlp: Mlp, tmp_path: Path, x: np.ndarray):
    report = lathe.build(mlp.path, tmp_path / "m.lathe")
    assert report.engine_bytes == (tmp_path / "m.lathe").stat().st_size
    for source in (tmp_path / "m.lathe", str(tmp_path / "m.lathe"), (tmp_path / "m.lathe").read_bytes()):
        model = lathe.load(source, threads=2)
        np.testing.assert_allclose(model(x)["y"], mlp(x), rtol=1e-4, atol=1e-5)
    assert lathe.load(tmp_path / "m.lathe", weights="copy", check_weights=True).identity == model.identity


def test_models_from_memory(mlp: Mlp, x: np.ndarray):
    for source in (mlp.path.read_bytes(), onnx.load(mlp.path)):
        np.testing.assert_allclose(lathe.compile(source)(x)["y"], mlp(x), rtol=1e-4, atol=1e-5)


def test_loading_never_loads_the_compiler(mlp_engine: Path):
    program = f"""
import lathe, numpy, sys
lathe.load({str(mlp_engine)!r})(numpy.zeros((3, 8), numpy.float32))
maps = open("/proc/self/maps").read()
assert "LLVM" not in maps and "lathe_compiler" not in maps and "lathe._compiler" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"garbage", lathe.DamagedError), (b"", lathe.DamagedError), (None, lathe.UsageError)],
)
def test_load_errors(tmp_path: Path, content: bytes | None, error: type[lathe.Error]):
    if content is not None:
        (tmp_path / "m.lathe").write_bytes(content)
    with pytest.raises(error):
        lathe.load(tmp_path / "m.lathe")


def test_build_errors(unsupported: Path, tmp_path: Path, mlp: Mlp):
    with pytest.raises(lathe.UnsupportedError, match="Defenestrate"):
        lathe.build(unsupported, tmp_path / "m.lathe")
    with pytest.raises(lathe.DamagedError):
        lathe.compile(b"not a model")
    with pytest.raises(lathe.UsageError, match="no build option"):
        lathe.compile(mlp.path, colour="red")
    with pytest.raises(lathe.UsageError):
        lathe.build(mlp.path, tmp_path / "m.lathe", math=3)


def test_progress_can_stop_a_build(mlp: Mlp, tmp_path: Path):
    seen = []
    lathe.build(mlp.path, tmp_path / "m.lathe", progress=lambda stage, done: seen.append((stage, done)))
    assert seen and all(0 <= done <= 1 for _, done in seen)
    with pytest.raises(lathe.InterruptedBuild):
        lathe.build(mlp.path, tmp_path / "n.lathe", progress=lambda *_: False)
    with pytest.raises(ZeroDivisionError):
        lathe.build(mlp.path, tmp_path / "n.lathe", progress=lambda *_: 1 / 0)
    assert not (tmp_path / "n.lathe").exists()


def test_shapes(batch_mlp: Mlp, mlp: Mlp, x: np.ndarray):
    any_batch = lathe.compile(batch_mlp.path)
    assert any_batch.inputs[0].shape == ("batch", 8)
    for rows in (1, 3, 2, 50):
        feed = np.random.default_rng(rows).standard_normal((rows, 8)).astype(np.float32)
        np.testing.assert_allclose(any_batch(feed)["y"], batch_mlp(feed), rtol=1e-4, atol=1e-5)
    assert lathe.compile(batch_mlp.path, shapes={"x": (5, 8)}).inputs[0].shape == (5, 8)


def test_scalar_input(tmp_path: Path):
    path = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Mul", ["x", "factor"], ["y"], name="scale")],
        {"x": (TensorProto.FLOAT, [4]), "factor": (TensorProto.FLOAT, [])},
        {"y": (TensorProto.FLOAT, [4])},
    )
    out = lathe.compile(path)({"x": np.arange(4, dtype=np.float32), "factor": 2.5})["y"]
    np.testing.assert_allclose(out, np.arange(4) * 2.5)


def test_output_shape_that_depends_on_data(tmp_path: Path):
    path = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("NonZero", ["x"], ["y"], name="where")],
        {"x": (TensorProto.FLOAT, [6])},
        {"y": (TensorProto.INT64, [1, "count"])},
    )
    model = lathe.compile(path)
    for feed in ([0, 1, 0, 2, 3, 0], [0] * 6, [1] * 6):
        np.testing.assert_array_equal(model(np.array(feed, np.float32))["y"], [np.flatnonzero(feed)])
    given = np.zeros(6, np.float32)
    model.bind({"x": given})
    for feed in ([1, 0, 0, 0, 0, 1], [0] * 6):
        given[:] = feed
        np.testing.assert_array_equal(model.run()["y"], [np.flatnonzero(feed)])


def test_bench(model: lathe.Model):
    result = lathe.bench(model, seconds=0.05)
    assert result["runs"] >= 5
    assert 0 < result["latency_ms"]["min"] <= result["latency_ms"]["p99"]


def test_targets_and_graph_text(mlp: Mlp):
    assert any(target["is_host_default"] for target in lathe.targets())
    assert lathe.graph_text(mlp.path)
