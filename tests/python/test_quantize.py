# SPDX-License-Identifier: Apache-2.0
"""`lathe quantize` and `--precision int8`: what is written runs elsewhere too, and what is wrong with a set is said."""

from __future__ import annotations

from pathlib import Path

import lathe
import numpy as np
import onnx
import pytest
from agreement import onnxruntime_outputs
from conftest import save_model
from onnx import TensorProto, helper


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolutions of all kinds, a residual, a concatenation, a pool, a product."""
    random = np.random.default_rng(0)
    weights = {
        "w0": random.standard_normal((16, 3, 3, 3)) / 5,
        "b0": random.standard_normal(16) / 5,
        "w1": random.standard_normal((16, 1, 3, 3)) / 3,
        "b1": random.standard_normal(16) / 5,
        "w2": random.standard_normal((16, 16, 1, 1)) / 4,
        "w3": random.standard_normal((8, 32, 1, 1)) / 5,
        "w4": random.standard_normal((8, 10)) / 3,
    }
    return save_model(
        tmp_path_factory.mktemp("network") / "network.onnx",
        [
            helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2], name="stem"),
            helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
            helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], group=16, name="depthwise"),
            helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], name="pointwise"),
            helper.make_node("Add", ["c2", "r0"], ["a"], name="add"),
            helper.make_node("MaxPool", ["a"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="pool"),
            helper.make_node("Concat", ["m", "a"], ["k"], axis=1, name="concat"),
            helper.make_node("Conv", ["k", "w3"], ["c3"], name="head"),
            helper.make_node("Relu", ["c3"], ["r3"], name="relu3"),
            helper.make_node("GlobalAveragePool", ["r3"], ["g"], name="mean"),
            helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
            helper.make_node("MatMul", ["f", "w4"], ["y"], name="classes"),
        ],
        {"x": (TensorProto.FLOAT, [1, 3, 16, 16])},
        {"y": (TensorProto.FLOAT, [1, 10])},
        {k: v.astype(np.float32) for k, v in weights.items()},
    )


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((20, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "set.npz"
    np.savez(path, x=images)
    return path


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return 10 * np.log10((wanted**2).sum() / ((got - wanted) ** 2).sum())


def outputs(model: lathe.Model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([model(x[None])["y"] for x in images])


@pytest.mark.parametrize("activations", ["u8", "i8"])
@pytest.mark.parametrize("calibrator", ["auto", "minmax", "percentile", "entropy", "mse"])
def test_an_int8_engine_is_close_to_the_float_one(network, images, calibrator, activations):
    whole = outputs(lathe.compile(network), images)
    engine = lathe.compile(network, precision="int8", calibrate=images, calibrator=calibrator, activations=activations)
    assert snr(whole, outputs(engine, images)) > 25


def test_the_report_is_about_the_engine_that_was_built(cli, network, calibration, images, tmp_path):
    done = cli(
        "build", network, "-o", tmp_path / "m.lathe", "--precision", "int8", "--calibrate", calibration, "--json"
    )
    assert done.code == 0, done.out
    report = done.json["quantization"]
    assert [(layer["name"], layer["precision"]) for layer in report["layers"]] == [
        (name, "int8") for name in ("stem", "depthwise", "pointwise", "head", "classes")
    ]
    assert report["samples"] == {"calibration": 12, "search": 4, "evaluation": 4, "disjoint": True}
    assert set(report["tried_snr_db"]) == {"minmax", "percentile", "entropy", "mse"}
    kept = images[4::5]
    measured = snr(outputs(lathe.compile(network), kept), outputs(lathe.load(tmp_path / "m.lathe"), kept))
    assert report["outputs"][0]["snr_db"] == pytest.approx(measured, abs=0.01)


def test_the_same_set_gives_the_same_engine(cli, network, calibration, tmp_path):
    for name in ("a", "b"):
        done = cli("build", network, "-o", tmp_path / name, "--precision", "int8", "--calibrate", calibration)
        assert done.code == 0, done.err
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("activations", ["u8", "i8"])
def test_the_written_model_runs_in_onnxruntime(cli, network, calibration, images, tmp_path, activations):
    path = tmp_path / "network.qdq.onnx"
    done = cli("quantize", network, "-o", path, "--calibrate", calibration, "--activations", activations)
    assert done.code == 0, done.err
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    operators = [n.op_type for n in written.graph.node]
    assert operators.count("QuantizeLinear") == 5  # x, r0, r1, a, the mean
    assert "ConvInteger" not in operators
    integers = {i.name for i in written.graph.initializer if i.data_type in (TensorProto.INT8, TensorProto.INT32)}
    by_output = {n.output[0]: n for n in written.graph.node}
    for conv in (n for n in written.graph.node if n.op_type == "Conv"):
        for weight in list(conv.input)[1:]:
            assert by_output[weight].op_type == "DequantizeLinear"
            assert by_output[weight].input[0] in integers
    whole = outputs(lathe.compile(network), images)
    theirs = np.concatenate([onnxruntime_outputs(written, {"x": x[None]})["y"] for x in images])
    ours = outputs(lathe.compile(path), images)
    assert snr(whole, theirs) > 25
    assert snr(theirs, ours) > 35  # the same numbers but for roundings that fall the other way


def test_layers_kept_in_float(cli, network, calibration, tmp_path):
    path = tmp_path / "q.onnx"
    done = cli("quantize", network, "-o", path, "--calibrate", calibration, "--keep-float", "stem,point*", "--json")
    layers = {layer["name"]: layer for layer in done.json["quantization"]["layers"]}
    assert {n for n, layer in layers.items() if layer["precision"] == "fp32"} == {"stem", "pointwise"}
    assert layers["stem"]["why"] == "kept as asked"
    unknown = cli("quantize", network, "-o", path, "--calibrate", calibration, "--keep-float", "nose")
    assert unknown.code == 2
    assert '"nose"' in unknown.err


def test_mixed_precision_keeps_to_the_budget(cli, network, calibration, tmp_path):
    few = []
    for budget in ("0.001%", "0.05", "50"):
        done = cli(
            *("quantize", network, "-o", tmp_path / "q.onnx", "--precision", "mixed", "--max-loss", budget),
            *("--calibrate", calibration, "--json"),
        )
        assert done.code == 0, done.out
        report = done.json["quantization"]
        few.append(sum(layer["precision"] == "int8" for layer in report["layers"]))
        if report["loss_percent"] > float(budget.rstrip("%")):
            assert any("loss" in warning for warning in report["warnings"])
        for layer in report["layers"]:
            assert (layer["precision"] == "int8") or "dB" in layer["why"]
    assert few == sorted(few)
    assert few[-1] == 5


def changed(images: np.ndarray, value: float) -> np.ndarray:
    copy = images.copy()
    copy[3, 1, 2, 3] = value
    return copy


@pytest.mark.parametrize(
    ("arrays", "code", "words"),
    [
        ({"x": np.zeros((0, 3, 16, 16), np.float32)}, 2, ["empty"]),
        ({"x": np.zeros((4, 3, 16, 17), np.float32)}, 2, ['"x"', "[4,3,16,17]", "[1,3,16,16]"]),
        ({"x": np.zeros((4, 3, 16, 16))}, 2, ['"x"', "f64", "f32"]),
        ({"z": np.zeros((4, 3, 16, 16), np.float32)}, 2, ['"z" is no input', "x"]),
        ({}, 2, ["empty"]),
        ("nan", 2, ["[3]", '"x"', "NaN"]),
        ("inf", 2, ["[3]", '"x"', "infinity"]),
        ({"x": np.full((6, 3, 16, 16), 0.5, np.float32)}, 0, ['input "x"', "one number throughout"]),
    ],
)
def test_what_is_wrong_with_a_set_is_said(cli, network, images, tmp_path, arrays, code, words):
    if isinstance(arrays, str):
        arrays = {"x": changed(images, float(arrays))}
    np.savez(tmp_path / "set.npz", **arrays)
    done = cli("quantize", network, "-o", tmp_path / "q.onnx", "--calibrate", tmp_path / "set.npz")
    assert done.code == code, done.err
    for word in words:
        assert word in done.err


def test_a_folder_without_samples_and_no_set_at_all(cli, network, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cli("quantize", network, "-o", tmp_path / "q.onnx", "--calibrate", tmp_path / "empty")
    assert (done.code, "empty" in done.err) == (2, True)
    done = cli("build", network, "-o", tmp_path / "q.lathe", "--precision", "int8")
    assert (done.code, "--calibrate" in done.err) == (2, True)
    done = cli("build", network, "-o", tmp_path / "q.lathe", "--calibrate", tmp_path / "empty")
    assert done.code == 2


def test_the_first_node_that_makes_nan_is_named(cli, tmp_path):
    weights = {"w": np.eye(4, dtype=np.float32)}
    path = save_model(
        tmp_path / "nan.onnx",
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
            helper.make_node("Sqrt", ["a"], ["b"], name="root"),
            helper.make_node("MatMul", ["b", "w"], ["y"], name="second"),
        ],
        {"x": (TensorProto.FLOAT, [2, 4])},
        {"y": (TensorProto.FLOAT, [2, 4])},
        weights,
    )
    np.save(tmp_path / "set.npy", np.full((6, 2, 4), -1, np.float32) * np.arange(1, 5, dtype=np.float32))
    done = cli("quantize", path, "-o", tmp_path / "q.onnx", "--calibrate", tmp_path / "set.npy")
    assert done.code == 2
    assert 'node "root" (Sqrt) makes NaN' in done.err


def test_one_layer_is_enough(tmp_path):
    path = save_model(
        tmp_path / "one.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="only")],
        {"x": (TensorProto.FLOAT, ["batch", 4])},
        {"y": (TensorProto.FLOAT, ["batch", 3])},
        {"w": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)},
    )
    x = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    report = lathe.quantize(path, tmp_path / "q.onnx", calibrate=x)["quantization"]
    assert [layer["precision"] for layer in report["layers"]] == ["int8"]
    assert report["outputs"][0]["snr_db"] > 20


def test_with_tuning_mixed_precision_keeps_what_is_faster(cli, network, calibration, tmp_path):
    done = cli(
        *("build", network, "-o", tmp_path / "m.lathe", "--precision", "mixed", "--max-loss", "50%"),
        *("--tune", "fast", "--calibrate", calibration, "--json"),
    )
    assert done.code == 0, done.out
    for layer in done.json["quantization"]["layers"]:
        assert layer["ms"]["fp32"] > 0
        assert (layer["precision"] == "int8") or "no faster" in layer["why"]


def test_pictures_are_fitted_to_the_input(cli, network, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(2)
    for i in range(6):
        pixels = random.integers(0, 256, (20 + i, 31, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.{'png' if i % 2 else 'jpg'}")
    done = cli(
        *("quantize", network, "-o", tmp_path / "q.onnx", "--calibrate", tmp_path, "--image-fit", "crop"),
        *("--image-mean", "0.5,0.4,0.3", "--image-std", "0.2", "--json"),
    )
    assert done.code == 0, done.out
    assert done.json["quantization"]["samples"]["calibration"] == 4
    (tmp_path / "9.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing else")
    done = cli("quantize", network, "-o", tmp_path / "q.onnx", "--calibrate", tmp_path)
    assert done.code == 4
    assert "9.jpg" in done.err
