# SPDX-License-Identifier: Apache-2.0
"""`lathe convert`: what it writes is checked by onnx and run by ONNX Runtime, against the model it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from agreement import disagreement, onnxruntime_outputs
from conftest import Mlp, save_model
from onnx import TensorProto, helper

MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
# One trained model of each kind, with the tolerance of the round trip.
TRAINED = [
    "fastestdet/FastestDet.onnx",
    "ultraface/version-RFB-320.onnx",
    "mnist_cntk/mnist.onnx",
    "dtln/model_1.onnx",
    "magika_v3/model.onnx",
    "basic_pitch/nmp.onnx",
    "mlperf_ic/ic_saved_model",
    "mlperf_kws/kws_saved_model",
    "mlperf_vww/vww_saved_model",
    "mlperf_ad/ad_saved_model",
]


def converted(cli, model: Path, folder: Path, *options: str) -> onnx.ModelProto:
    output = folder / "out.onnx"
    done = cli("convert", model, "-o", output, *options)
    assert done.code == 0, done.err
    written = onnx.load(output)
    onnx.checker.check_model(written, full_check=True)
    assert [o.version for o in written.opset_import] == [21]
    assert {n.domain for n in written.graph.node} <= {""}
    return written


@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_give_their_stored_outputs(cli, tmp_path: Path, name: str):
    path = MODELS / name
    if not path.exists():
        pytest.skip("LATHE_SHARED/models is not there")
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    written = converted(cli, path, tmp_path)
    with np.load(path.with_name(path.name + ".golden.npz")) as golden:
        feed = {port["name"]: golden[f"c0_in{i}"] for i, port in enumerate(facts["inputs"])}
        out = onnxruntime_outputs(written, feed)
        for i, port in enumerate(facts["outputs"]):
            wrong = disagreement(out[port["name"]], golden[f"c0_out{i}"], 1e-3)
            assert not wrong, f"{port['name']}: {wrong}"


OPERATORS = {
    "conv, residual, pool": (
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], name="conv"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Add", ["b", "x"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["d"], ["y"]),
        ],
        [2, 4, 8, 8],
        {"w": (4, 4, 3, 3)},
    ),
    "transposed": (
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2, output_padding=[1, 1])],
        [1, 4, 5, 5],
        {"w": (4, 3, 3, 3)},
    ),
    "average, padded": (
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        [1, 3, 7, 6],
        {},
    ),
    "layer norm, gelu, softmax": (
        [
            helper.make_node("LayerNormalization", ["x", "s", "b"], ["a"], epsilon=1e-4),
            helper.make_node("Sigmoid", ["a"], ["g"]),
            helper.make_node("Mul", ["a", "g"], ["h"]),
            helper.make_node("Softmax", ["h"], ["y"], axis=1),
        ],
        [2, 5, 16],
        {"s": (16,), "b": (16,)},
    ),
    "attention": (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["x", "t"], ["s"]),
            helper.make_node("Softmax", ["s"], ["p"], axis=-1),
            helper.make_node("MatMul", ["p", "x"], ["y"]),
        ],
        [2, 3, 6, 8],
        {},
    ),
    "resize": (
        [
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("Resize", ["a", "", "scales"], ["y"], mode="linear"),
        ],
        [1, 3, 5, 4],
        {"w": (2, 3, 1, 1), "scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "lstm": (
        [helper.make_node("LSTM", ["x", "w", "r"], ["", "y"], hidden_size=5)],
        [4, 2, 3],
        {"w": (1, 20, 3), "r": (1, 20, 5)},
    ),
    "reductions": (
        [
            helper.make_node("ReduceL2", ["x"], ["a"], axes=[1], keepdims=1),
            helper.make_node("Div", ["x", "a"], ["b"]),
            helper.make_node("ReduceMax", ["b"], ["y"], axes=[0], keepdims=0),
        ],
        [4, 6],
        {},
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_come_back_with_their_results(cli, tmp_path: Path, name: str):
    nodes, shape, shapes = OPERATORS[name]
    random = np.random.default_rng(0)
    weights = {
        k: s if isinstance(s, np.ndarray) else (random.standard_normal(s) * 0.5).astype(np.float32)
        for k, s in shapes.items()
    }
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [value],
        [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "in.onnx"
    onnx.save(model, path)
    written = converted(cli, path, tmp_path)
    feed = {"x": random.standard_normal(shape).astype(np.float32)}
    wrong = disagreement(onnxruntime_outputs(written, feed)["y"], onnxruntime_outputs(model, feed)["y"])
    assert not wrong, wrong


def test_names_and_symbolic_sizes_are_kept(cli, batch_mlp: Mlp, tmp_path: Path):
    written = converted(cli, batch_mlp.path, tmp_path)
    assert [i.name for i in written.graph.input] == ["x"]
    assert [o.name for o in written.graph.output] == ["y"]
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {"first", "second"} <= {n.name.split("#")[0] for n in written.graph.node} | {
        part for n in written.graph.node for part in n.name.split(" + ")
    }
    x = np.ones((5, 8), np.float32)
    assert not disagreement(onnxruntime_outputs(written, {"x": x})["y"], batch_mlp(x))


def test_an_output_that_is_an_input(cli, tmp_path: Path):
    shape = (TensorProto.FLOAT, [2])
    path = save_model(
        tmp_path / "in.onnx",
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        {"x": shape},
        {"y": shape, "z": shape},
    )
    written = converted(cli, path, tmp_path)
    x = np.array([1, -2], np.float32)
    out = onnxruntime_outputs(written, {"x": x})
    assert out["y"].tolist() == [1, -2] and out["z"].tolist() == [-1, 2]


def test_wrong_outputs_are_refused(cli, mlp: Mlp, tmp_path: Path):
    assert cli("convert", mlp.path, "-o", tmp_path / "out.bin").code == 2
    assert cli("convert", mlp.path, "-o", mlp.path).code == 2
    assert cli("convert", tmp_path / "nothing.onnx", "-o", tmp_path / "out.onnx").code == 2
