# SPDX-License-Identifier: Apache-2.0
"""Small graphs on aarch64, under QEMU: against ONNX Runtime and against this machine's own code in the same engine.

Whole models: full/test_aarch64_models.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cross
import lathe
import numpy as np
import onnx
import pytest
from agreement import disagreement, onnxruntime_outputs
from onnx import TensorProto, helper, numpy_helper

FAT = "x86-64-avx512,x86-64-avx2,aarch64-neon"
FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
RANDOM = np.random.default_rng(7)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32) / np.sqrt(max(1, int(np.prod(shape[1:]))), dtype=np.float32)


class Case:
    """A model that is built node by node: case("Relu", "x") is the name of the node's output."""

    def __init__(self, **inputs: np.ndarray) -> None:
        self.feed = inputs
        self.dims: dict[str, tuple[int | str, ...]] = {name: array.shape for name, array in inputs.items()}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[tuple[str, int]] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def __call__(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}{len(self.nodes)}", **attributes))
        return names[0]

    def out(self, *names: str, dtype: int = FLOAT) -> Case:
        self.outputs += [(name, dtype) for name in names]
        return self

    def model(self) -> onnx.ModelProto:
        types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in self.feed.items()}
        graph = helper.make_graph(
            self.nodes,
            "case",
            [helper.make_tensor_value_info(name, types[name], self.dims[name]) for name in self.feed],
            [helper.make_tensor_value_info(name, dtype, None) for name, dtype in self.outputs],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def data(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def mlp(symbolic: bool) -> Case:
    c = Case(x=data(5, 19))
    if symbolic:
        c.dims["x"] = ("batch", 19)
    h = c("Relu", c("Gemm", "x", c.constant(weights(19, 33)), c.constant(weights(33))))
    return c.out(c("Gemm", h, c.constant(weights(33, 10)), c.constant(weights(10))))


def symbolic_matmul(columns: int) -> Case:
    """Both operands are inputs; the columns' number is open and no multiple of a vector."""
    c = Case(x=data(2, 7, 18), y=data(2, 18, columns))
    c.dims |= {"x": (2, "rows", 18), "y": (2, 18, "columns")}
    return c.out(c("Relu", c("MatMul", "x", "y"))).out(
        c("Greater", c("MatMul", "x", "y"), c.constant(np.float32(0))), dtype=BOOL
    )


def conv(channels: int, out: int, kernel: int, size: int = 13, groups: int = 1, **attributes: Any) -> Case:
    c = Case(x=data(1, channels, size, size))
    w = c.constant(weights(out, channels // groups, kernel, kernel))
    y = c("Conv", "x", w, c.constant(weights(out)), group=groups, **attributes)
    return c.out(c("Mul", y, c("Sigmoid", y)))


def pools() -> Case:
    c = Case(x=data(1, 11, 9, 10))
    y = c("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    z = c("AveragePool", "x", kernel_shape=[2, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    return c.out(y, z, c("GlobalAveragePool", "x"))


def rows() -> Case:
    c = Case(x=data(3, 7, 37))
    y = c("LayerNormalization", "x", c.constant(weights(37)), c.constant(weights(37)), axis=-1)
    z = c("ReduceMean", "x", c.constant(np.int64([1])))
    return c.out(
        c("Softmax", "x", axis=-1), c("Softmax", "x", axis=1), y, z, c("ReduceMax", "x", c.constant(np.int64([2])))
    )


def attention() -> Case:
    c = Case(q=data(2, 3, 9, 21), k=data(2, 3, 13, 21), v=data(2, 3, 13, 21))
    scores = c("MatMul", "q", c("Transpose", "k", perm=[0, 1, 3, 2]))
    p = c("Softmax", c("Mul", scores, c.constant(np.float32(0.25))), axis=-1)
    return c.out(c("MatMul", p, "v"))


def recurrent(op: str, gates: int, **attributes: Any) -> Case:
    hidden = 11
    c = Case(x=data(6, 2, 9))
    w, r = (c.constant(weights(1, gates * hidden, n)) for n in (9, hidden))
    y = c(op, "x", w, r, c.constant(weights(1, 2 * gates * hidden)), hidden_size=hidden, outputs=2, **attributes)
    return c.out(y, y[:-1] + "1")


def resize(mode: str, how: str) -> Case:
    c = Case(x=data(1, 5, 7, 6))
    sizes = c.constant(np.int64([1, 5, 13, 9]))
    return c.out(c("Resize", "x", "", "", sizes, mode=mode, coordinate_transformation_mode=how))


def movement() -> Case:
    c = Case(x=data(3, 5, 7), y=data(3, 2, 7))
    joined = c("Concat", "x", "y", axis=1)
    part = c("Slice", joined, *(c.constant(np.int64(v)) for v in ([1, 6], [6, 0], [1, 2], [2, -2])))
    padded = c("Pad", "x", c.constant(np.int64([0, 1, 2, 1, 0, 1])), c.constant(np.float32(0.5)))
    picked = c("Gather", "x", c.constant(np.int64([4, 0, -1])), axis=1)
    return c.out(c("Transpose", "x", perm=[2, 0, 1]), c("Transpose", "x", perm=[0, 2, 1]), part, padded, picked)


def elementwise() -> Case:
    c = Case(x=data(3, 1, 23) * 4, y=data(5, 23))
    total = c("Add", "x", "y")
    for op in ("Exp", "Tanh", "Erf", "Sigmoid", "Softplus", "Sin", "Floor", "Neg"):
        c.out(c(op, "x"))
    c.out(c("Log", c("Add", c("Abs", total), c.constant(np.float32(0.5)))), c("Div", "y", c("Exp", "x")))
    return c.out(c("Where", c("Greater", "x", "y"), "x", c("Mul", total, total)), c("Gelu", "x"))


def integers() -> Case:
    i = RANDOM.integers(-9, 9, (4, 13)).astype(np.int64)
    c = Case(i=i, j=np.where(i % 3 == 0, 1, i)[0], b=RANDOM.integers(0, 2, (4, 13)).astype(bool))
    c.out(c("Add", c("Mul", "i", "i"), "j"), c("ReduceSum", "i", c.constant(np.int64([1]))), dtype=INT64)
    c.out(c("Cast", "b", to=INT64), c("ArgMax", c("Cast", "i", to=FLOAT), axis=1), dtype=INT64)
    c.out(c("And", "b", c("Less", "i", "j")), c("Not", "b"), dtype=BOOL)
    return c.out(c("Cast", "i", to=FLOAT))


def selection() -> Case:
    """What runs through the library of plain C++ kernels, and outputs whose size depends on data."""
    c = Case(x=data(4, 13), i=RANDOM.integers(0, 13, (4, 5)).astype(np.int64))
    values = c("TopK", "x", c.constant(np.int64([5])), outputs=2)
    c.out(values, c("GatherElements", "x", "i", axis=1), c("CumSum", "x", c.constant(np.int64(1))))
    c.out(values[:-1] + "1", c("NonZero", c("Relu", "x")), dtype=INT64)
    return c.out(c("OneHot", "i", c.constant(np.int64(13)), c.constant(np.float32([0, 1]))))


def transposed_conv() -> Case:
    c = Case(x=data(1, 6, 7, 5))
    w = c.constant(weights(6, 9, 3, 3))
    return c.out(c("ConvTranspose", "x", w, c.constant(weights(9)), strides=[2, 2], pads=[1, 1, 1, 1]))


CASES: dict[str, Callable[[], Case]] = {
    "mlp": lambda: mlp(False),
    "mlp with a symbolic batch": lambda: mlp(True),
    "matmul, 1 symbolic column": lambda: symbolic_matmul(1),
    "matmul, 43 symbolic columns": lambda: symbolic_matmul(43),
    "conv 3x3": lambda: conv(16, 24, 3, pads=[1, 1, 1, 1]),
    "conv 3x3, odd channels": lambda: conv(3, 7, 3, pads=[1, 1, 1, 1]),
    "conv 3x3, strided": lambda: conv(6, 18, 3, strides=[2, 2], pads=[1, 1, 1, 1]),
    "conv 3x3, dilated": lambda: conv(4, 5, 3, dilations=[2, 2]),
    "conv 1x1": lambda: conv(33, 21, 1),
    "conv depthwise": lambda: conv(19, 19, 3, groups=19, pads=[1, 1, 1, 1]),
    "conv depthwise, strided": lambda: conv(16, 16, 3, groups=16, strides=[2, 2], pads=[1, 1, 1, 1]),
    "conv grouped": lambda: conv(12, 18, 3, groups=3, pads=[1, 1, 1, 1]),
    "pools": pools,
    "softmax, layer norm, reductions": rows,
    "attention": attention,
    "lstm": lambda: recurrent("LSTM", 4),
    "gru": lambda: recurrent("GRU", 3, linear_before_reset=1),
    "resize linear": lambda: resize("linear", "half_pixel"),
    "resize nearest": lambda: resize("nearest", "asymmetric"),
    "movement": movement,
    "elementwise": elementwise,
    "integers": integers,
    "selection": selection,
    "transposed conv": transposed_conv,
}


@pytest.fixture(scope="module")
def machine() -> cross.Machine:
    return cross.machine("aarch64")


@pytest.mark.parametrize("name", CASES)
def test_case_on_aarch64(name: str, machine: cross.Machine, tmp_path: Path) -> None:
    case = CASES[name]()
    model = case.model()
    want = onnxruntime_outputs(model, case.feed)
    engine = tmp_path / "case.lathe"
    lathe.build(model, engine, target=FAT)
    host = lathe.load(engine)(case.feed)
    outputs = machine.run(engine, list(case.feed.values()))
    assert len(outputs) == len(want)
    for got, (output, expected) in zip(outputs, want.items(), strict=True):
        problem = disagreement(got, expected)
        assert not problem, f"{output} against ONNX Runtime: {problem}"
        problem = disagreement(got, host[output])
        assert not problem, f"{output} against this machine's code: {problem}"


@pytest.mark.parametrize("precision", ["w8", "w4", "wfp8", "wfp4"])
@pytest.mark.parametrize("rows", [2, 9])
def test_weights_in_codes_on_aarch64(precision: str, rows: int, machine: cross.Machine, tmp_path: Path) -> None:
    case = Case(x=data(rows, 150))
    case.out(case("Add", case("MatMul", "x", case.constant(weights(150, 45))), case.constant(data(45))))
    engine = tmp_path / "case.lathe"
    lathe.build(case.model(), engine, target=FAT, precision=precision)
    (want,) = lathe.load(engine)(case.feed).values()
    (got,) = machine.run(engine, list(case.feed.values()))
    assert not disagreement(got, want)


def test_engine_for_aarch64_alone(machine: cross.Machine, tmp_path: Path) -> None:
    case = mlp(True)
    engine = tmp_path / "mlp.lathe"
    lathe.build(case.model(), engine, target="aarch64-neon")
    (got,) = machine.run(engine, list(case.feed.values()))
    (want,) = onnxruntime_outputs(case.model(), case.feed).values()
    assert not disagreement(got, want)
    with pytest.raises(lathe.NoTargetError):
        lathe.load(engine)
