# SPDX-License-Identifier: Apache-2.0
"""Inputs that are fixed to a value while an engine is built."""

import lathe
import numpy as np
import pytest
from onnx import TensorProto, helper


def model():
    """y = x * k + sum(v), with k a scalar and v a vector of integers."""
    nodes = [
        helper.make_node("Cast", ["k"], ["kf"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["v"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["sf"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "kf"], ["m"]),
        helper.make_node("Add", ["m", "sf"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("k", TensorProto.INT32, []),
            helper.make_tensor_value_info("v", TensorProto.INT64, ["m"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({}, ["x", "k", "v"]),
        ({"k": -3}, ["x", "v"]),
        ({"v": [1, 2, 4]}, ["x", "k"]),
        ({"k": np.int32(2), "v": [5]}, ["x"]),
    ],
)
def test_the_engine_has_the_inputs_that_are_left(values, left):
    engine = lathe.compile(model(), values=values)
    assert [port.name for port in engine.inputs] == left
    feeds = {"x": np.array([1, 2], np.float32), "k": np.int32(7), "v": np.array([3, 4], np.int64)}
    used = feeds | values
    expected = feeds["x"] * np.float32(used["k"]) + np.float32(np.sum(used["v"]))
    np.testing.assert_array_equal(engine({name: feeds[name] for name in left})["y"], expected)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"k": 2.5}, "does not fit"),
        ({"k": 2**40}, "does not fit"),
        ({"k": [1, 2]}, "does not fit"),
        ({"v": 3}, "does not fit"),
        ({"other": 1}, "no input"),
        ({"v": [[1, 2]]}, "a number or a list of numbers"),
        ({"v": "three"}, "a number or a list of numbers"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, why):
    with pytest.raises(lathe.UsageError, match=why):
        lathe.compile(model(), values=values)
