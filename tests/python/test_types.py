# SPDX-License-Identifier: Apache-2.0
"""Element types that are not generated yet are refused by name; they never reach the code generator."""

import lathe
import onnx
import pytest
from onnx import TensorProto, helper

REFUSED = [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2, TensorProto.UINT4, TensorProto.INT4]


@pytest.mark.parametrize("dtype", REFUSED, ids=TensorProto.DataType.Name)
def test_narrow_types_are_refused_with_the_node(tmp_path, dtype):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=dtype, name="narrow")],
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", dtype, [3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 11
    onnx.save(model, tmp_path / "cast.onnx")
    with pytest.raises(lathe.UnsupportedError, match="narrow"):
        lathe.compile(str(tmp_path / "cast.onnx"))
