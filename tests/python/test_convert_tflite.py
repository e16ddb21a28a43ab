# SPDX-License-Identifier: Apache-2.0
"""`lathe convert -o m.tflite`: what it writes is run by LiteRT where that is installed, and by lathe everywhere, against
the model it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lathe
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
TRAINED = [
    ("mlperf_ic/ic_saved_model", ["--shape", "input_1=1x32x32x3"]),
    ("mlperf_kws/kws_saved_model", ["--shape", "input_1=1x49x10x1"]),
    ("mlperf_vww/vww_saved_model", ["--shape", "input_1=1x96x96x3"]),
    ("mlperf_ad/ad_saved_model", ["--shape", "input_1=1x640"]),
    ("mnist_cntk/mnist.onnx", []),
    ("ultraface/version-RFB-320.onnx", []),
    ("fastestdet/FastestDet.onnx", []),
    ("mlperf_ad/ad01_fp32.tflite", ["--shape", "input_1=1x640"]),
    ("blazeface_front/face_detection_front.tflite", []),
]


def outputs(path: Path, feed: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Of lathe, and of LiteRT where it is there."""
    model = lathe.compile(path, threads=1)
    results = [model(feed)]
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return results
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], feed[port["name"]])
    interpreter.invoke()
    results.append({p["name"]: interpreter.get_tensor(p["index"]) for p in interpreter.get_output_details()})
    return results


def agree(got: np.ndarray, want: np.ndarray, tolerance: float, what: str) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype, what
    error = float(np.max(np.abs(got.astype(np.float64) - want.astype(np.float64)), initial=0))
    largest = float(np.max(np.abs(want.astype(np.float64)), initial=0)) or 1.0
    assert error <= tolerance * largest, f"{what}: off by {error} of {largest}"


@pytest.mark.parametrize(("name", "options"), TRAINED, ids=[name for name, _ in TRAINED])
def test_trained_models_give_their_stored_outputs(cli, tmp_path: Path, name: str, options: list[str]):
    path = MODELS / name
    if not path.exists():
        pytest.skip("LATHE_SHARED/models is not there")
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    done = cli("convert", path, "-o", tmp_path / "out.tflite", *options)
    assert done.code == 0, done.err
    with np.load(path.with_name(path.name + ".golden.npz")) as golden:
        feed = {port["name"]: golden[f"c0_in{i}"] for i, port in enumerate(facts["inputs"])}
        for out in outputs(tmp_path / "out.tflite", feed):
            for i, port in enumerate(facts["outputs"]):
                agree(out[port["name"]], golden[f"c0_out{i}"], 1e-3, port["name"])


N = helper.make_node
# Nodes, shape of x, and shapes of the weights.
OPERATORS = {
    "conv, same": (
        [N("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])],
        (1, 4, 8, 8),
        {"w": (6, 4, 3, 3), "b": (6,)},
    ),
    "conv, other padding": (
        [N("Conv", ["x", "w"], ["y"], pads=[2, 0, 1, 3], strides=[2, 2])],
        (1, 4, 9, 8),
        {"w": (6, 4, 3, 3)},
    ),
    "conv, dilated": ([N("Conv", ["x", "w"], ["y"], dilations=[2, 2])], (1, 4, 9, 9), {"w": (6, 4, 3, 3)}),
    "conv, groups": ([N("Conv", ["x", "w"], ["y"], group=2)], (1, 4, 6, 6), {"w": (6, 2, 3, 3)}),
    "depthwise, two for each": (
        [N("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1], strides=[2, 2])],
        (1, 4, 9, 9),
        {"w": (8, 1, 3, 3)},
    ),
    "transposed": ([N("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])], (1, 4, 5, 5), {"w": (4, 3, 2, 2)}),
    "pools": (
        [
            N("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            N("AveragePool", ["a"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
        ],
        (1, 3, 13, 13),
        {},
    ),
    "matmul": ([N("MatMul", ["x", "w"], ["y"])], (3, 5), {"w": (5, 4)}),
    "matmul of higher rank": ([N("MatMul", ["x", "w"], ["y"])], (2, 3, 5), {"w": (5, 4)}),
    "matmul of inputs": ([N("Transpose", ["x"], ["t"], perm=[0, 2, 1]), N("MatMul", ["x", "t"], ["y"])], (2, 3, 5), {}),
    "softmax": ([N("Softmax", ["x"], ["a"], axis=1), N("LogSoftmax", ["a"], ["y"], axis=-1)], (2, 3, 5), {}),
    "activations": (
        [
            N("Sigmoid", ["x"], ["a"]),
            N("Mul", ["a", "x"], ["b"]),
            N("HardSwish", ["b"], ["c"]),
            N("LeakyRelu", ["c"], ["d"], alpha=0.2),
            N("Tanh", ["d"], ["e"]),
            N("Clip", ["e", "low", "high"], ["f"]),
            N("Gelu", ["f"], ["g"]),
            N("Elu", ["g"], ["y"]),
        ],
        (3, 7),
        {"low": -0.3, "high": 0.7},
    ),
    "norm": ([N("LayerNormalization", ["x", "w", "b"], ["y"])], (2, 3, 8), {"w": (8,), "b": (8,)}),
    "reductions": (
        [
            N("ReduceMean", ["x"], ["a"], axes=[2], keepdims=1),
            N("ReduceMax", ["x"], ["b"], axes=[2], keepdims=1),
            N("ReduceL2", ["x"], ["c"], axes=[2], keepdims=1),
            N("Concat", ["a", "b", "c"], ["y"], axis=2),
        ],
        (2, 3, 5),
        {},
    ),
    "arg max": ([N("ArgMax", ["x"], ["y"], axis=1, keepdims=1)], (2, 5, 3), {}),
    "movement": (
        [
            N("Slice", ["x", "starts", "ends", "axes", "steps"], ["a"]),
            N("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
            N("Pad", ["b", "pads"], ["c"]),
            N("Gather", ["c", "rows"], ["d"], axis=1),
            N("Tile", ["d", "repeats"], ["y"]),
        ],
        (4, 6, 8),
        {
            "starts": np.array([5, 1]),
            "ends": np.array([-(2**31), 7]),
            "axes": np.array([1, 2]),
            "steps": np.array([-2, 3]),
            "pads": np.array([1, 0, 0, 0, 2, 1]),
            "rows": np.array([[0, -1], [2, 1]]),
            "repeats": np.array([1, 2, 1, 3]),
        },
    ),
    "resize": (
        [N("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel")],
        (1, 3, 5, 4),
        {"scales": np.array([1, 2, 2, 1], np.float32)},
    ),
    "comparison": ([N("Less", ["x", "w"], ["a"]), N("Where", ["a", "x", "w"], ["y"])], (3, 4), {"w": (4,)}),
    "input as output": ([N("Identity", ["x"], ["y"])], (3, 4), {}),
}


def saved(nodes: list, shape: tuple, weights: dict, path: Path, kind: int = TensorProto.FLOAT) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    constants = []
    for name, w in weights.items():
        if isinstance(w, tuple):
            w = random.standard_normal(w).astype(np.float32)
        constants.append(
            numpy_helper.from_array(np.asarray(w, None if isinstance(w, np.ndarray) else np.float32), name)
        )
    result = TensorProto.INT64 if nodes[-1].op_type == "ArgMax" else kind
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", result, None)],
        constants,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20 if "Gelu" in str(nodes) else 17)]), path
    )
    return {"x": random.standard_normal([d if isinstance(d, int) else 2 for d in shape]).astype(np.float32)}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(cli, tmp_path: Path, name: str):
    nodes, shape, weights = OPERATORS[name]
    feed = saved(nodes, shape, weights, tmp_path / "m.onnx")
    want = lathe.compile(tmp_path / "m.onnx", threads=1)(feed)["y"]
    done = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite")
    assert done.code == 0, done.err
    for out in outputs(tmp_path / "m.tflite", feed):
        agree(out["y"], want, 1e-4, name)


def test_what_cannot_be_written_is_listed(cli, tmp_path: Path):
    nodes = [N("Erf", ["x"], ["a"], name="first"), N("Det", ["a"], ["y"], name="second")]
    saved(nodes, (2, 3, 3), {}, tmp_path / "m.onnx")
    done = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite")
    assert done.code == 3, done.err
    assert "2 nodes cannot be written" in done.err and '"first"' in done.err and '"second"' in done.err
    assert not (tmp_path / "m.tflite").exists()


def test_open_sizes_are_asked_for(cli, tmp_path: Path):
    saved([N("Relu", ["x"], ["y"])], ("batch", 4), {}, tmp_path / "m.onnx")
    done = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite")
    assert done.code == 3 and "--shape" in done.err
    done = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite", "--shape", "x=2x4")
    assert done.code == 0, done.err


def test_the_name_says_the_format(cli, tmp_path: Path):
    saved([N("Relu", ["x"], ["y"])], (1, 4), {}, tmp_path / "m.onnx")
    done = cli("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.pb")
    assert done.code == 2 and ".tflite" in done.err
