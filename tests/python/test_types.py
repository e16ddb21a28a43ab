# SPDX-License-Identifier: Apache-2.0
"""Element types that numpy lacks: 8-bit floats travel as their bits in uint8, 4-bit integers as one value an element."""

import lathe
import ml_dtypes
import numpy as np
import onnx
import pytest
from conftest import save_model
from onnx import TensorProto, helper

X = np.array([-3.0, -0.4, 0.0, 1.0, 2.5, 7.0], np.float32)
CASES = {
    TensorProto.FLOAT8E4M3FN: X.astype(ml_dtypes.float8_e4m3fn).view(np.uint8),
    TensorProto.FLOAT8E5M2: X.astype(ml_dtypes.float8_e5m2).view(np.uint8),
    TensorProto.UINT4: np.array([1, 2, 7], np.uint8),
    TensorProto.INT4: np.array([-3, 0, 0, 1, 2, 7], np.int8),
}


@pytest.mark.parametrize("dtype", CASES, ids=TensorProto.DataType.Name)
def test_casts_to_narrow_types(tmp_path, dtype):
    x = X[X >= 1] if dtype == TensorProto.UINT4 else X  # negative values have no unsigned form
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=dtype, name="narrow")],
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("y", dtype, list(x.shape))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 11
    onnx.save(model, tmp_path / "cast.onnx")
    y = lathe.compile(str(tmp_path / "cast.onnx"))({"x": x})["y"]
    np.testing.assert_array_equal(np.asarray(y), CASES[dtype])


def test_floats_that_no_integer_holds_are_cut_to_the_nearest_one(tmp_path):
    edges = [0.9, -1.9, 2147483520, 2147483648, -2147483648, -2147483904, 1e20, -1e20, np.inf, -np.inf, np.nan, -0.0]
    x = np.array(edges * 5, np.float32)
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32)
    model = save_model(
        tmp_path / "m.onnx", [node], {"x": (TensorProto.FLOAT, [x.size])}, {"y": (TensorProto.INT32, [x.size])}
    )
    low, high = -(2**31), 2**31 - 1
    expected = [0, -1, 2147483520, high, low, low, high, low, high, low, 0, 0] * 5
    assert lathe.compile(model)(x)["y"].tolist() == expected
