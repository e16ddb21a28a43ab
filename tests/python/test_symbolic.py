# SPDX-License-Identifier: Apache-2.0
"""Symbolic and data-dependent sizes, end to end: one engine serves every size."""

import lathe
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


def save(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes, path.stem, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save(model, path)
    return lathe.compile(str(path), threads=2), onnxruntime.InferenceSession(str(path))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_one_engine_serves_every_batch_of_an_mlp(tmp_path, rng):
    constants = {
        "w1": rng.standard_normal((20, 33), np.float32),
        "b1": rng.standard_normal(33, np.float32),
        "w2": rng.standard_normal((33, 7), np.float32),
    }
    engine, peer = save(
        tmp_path / "mlp.onnx",
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"]),
            helper.make_node("Add", ["a", "b1"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("MatMul", ["c", "w2"], ["d"]),
            helper.make_node("Softmax", ["d"], ["y"], axis=-1),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 7])],
        constants,
    )
    for batch in (1, 2, 3, 17, 0, 64, 1000, 5):
        x = rng.standard_normal((batch, 20), np.float32)
        y = engine({"x": x})["y"]
        np.testing.assert_allclose(y, peer.run(None, {"x": x})[0], rtol=0, atol=1e-6)


def test_sizes_that_depend_on_data(tmp_path, rng):
    engine, peer = save(
        tmp_path / "nonzero.onnx",
        [
            helper.make_node("Greater", ["x", "threshold"], ["mask"]),
            helper.make_node("NonZero", ["mask"], ["where"]),
            helper.make_node("Transpose", ["where"], ["rows"], perm=[1, 0]),
            helper.make_node("GatherND", ["x", "rows"], ["picked"]),
            helper.make_node("Exp", ["picked"], ["y"]),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5])],
        [
            helper.make_tensor_value_info("where", TensorProto.INT64, [2, None]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [None]),
        ],
        {"threshold": np.float32(0)},
    )
    for n in (1, 2, 17, 0, 1000, 4):
        x = rng.standard_normal((n, 5), np.float32)
        out, expected = engine({"x": x}), peer.run(None, {"x": x})
        np.testing.assert_array_equal(out["where"], expected[0])
        np.testing.assert_allclose(out["y"], expected[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_models_are_computed_in_f32(tmp_path, rng, dtype):
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    w = rng.standard_normal((16, 8)).astype(numpy_type)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", dtype, [3, 16])],
        [helper.make_tensor_value_info("y", dtype, [3, 8])],
        [numpy_helper.from_array(w, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save(model, tmp_path / "half.onnx")
    engine = lathe.compile(str(tmp_path / "half.onnx"))
    x = rng.standard_normal((3, 16)).astype(numpy_type)
    fed = x if dtype == TensorProto.FLOAT16 else x.view(np.uint16)
    y = engine({"x": fed})["y"]
    y = y if dtype == TensorProto.FLOAT16 else y.view(numpy_type)
    expected = np.tanh(x.astype(np.float32) @ w.astype(np.float32)).astype(numpy_type)
    np.testing.assert_allclose(y.astype(np.float32), expected.astype(np.float32), rtol=0, atol=1e-2)
