# SPDX-License-Identifier: Apache-2.0
"""Axes that are an input of the model: each may be named once, from either end; everything else is an error."""

import lathe
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def model(path, node):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    axes = helper.make_tensor_value_info("axes", TensorProto.INT64, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "computed_axes", [x, axes], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return lathe.compile(str(path))


@pytest.mark.parametrize("axes", [(0, 1), (2, 0), (-1, -2), (1, -1)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduces_over_them(tmp_path, axes, keepdims):
    session = model(tmp_path / "m.onnx", helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=keepdims))
    y = session({"x": X, "axes": np.array(axes, np.int64)})["y"]
    np.testing.assert_array_equal(y, X.sum(axis=axes, keepdims=bool(keepdims)))


@pytest.mark.parametrize("axes", [(1, 1), (-1, 2), (0, -3), (3, 0), (-4, 1)])
@pytest.mark.parametrize("op", ["ReduceSum", "Unsqueeze"])
def test_named_twice_or_out_of_range_is_an_error(tmp_path, op, axes):
    session = model(tmp_path / "m.onnx", helper.make_node(op, ["x", "axes"], ["y"], name="the_node"))
    if op == "Unsqueeze":  # the result has two dimensions more
        axes = {(1, 1): (1, 1), (-1, 2): (-1, 4), (0, -3): (0, -5), (3, 0): (5, 0), (-4, 1): (-6, 1)}[axes]
    with pytest.raises(lathe.Error, match="the_node"):
        session({"x": X, "axes": np.array(axes, np.int64)})
