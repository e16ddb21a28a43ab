# SPDX-License-Identifier: Apache-2.0
"""Sequences and optionals are resolved when a model is imported (docs/adr/0006): what works, and what is refused."""

from __future__ import annotations

from pathlib import Path

import lathe
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def info(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def save(folder: Path, nodes, inputs, outputs, **constants) -> str:
    weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "sequences", inputs, outputs, weights)
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return str(path)


def growing_loop(count="n", body=(), condition=""):
    """A loop that adds a row of `table`, times two, to a sequence in each iteration."""
    nodes = [
        node("Gather", ["table", "i"], ["row"]),
        node("Add", ["row", "row"], ["twice"]),
        node("SequenceInsert", ["s", "twice"], ["t"]),
        node("Identity", ["go"], ["go_on"]),
        *body,
    ]
    graph = helper.make_graph(
        nodes,
        "body",
        [info("i", (), INT64), info("go", (), BOOL), helper.make_tensor_sequence_value_info("s", FLOAT, None)],
        [info("go_on", (), BOOL), helper.make_tensor_sequence_value_info("t", FLOAT, None)],
    )
    return [node("SequenceEmpty", [], ["empty"]), node("Loop", [count, condition, "empty"], ["rows"], body=graph)]


TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length of the run"])
@pytest.mark.parametrize(
    ("op", "attributes", "expected"),
    [
        ("ConcatFromSequence", {"axis": 0}, lambda t: t.reshape(-1)),
        ("ConcatFromSequence", {"axis": -1, "new_axis": 1}, lambda t: t.T),
        ("ConcatFromSequence", {"axis": 0, "new_axis": 1}, lambda t: t),
        ("SequenceLength", {}, lambda t: np.int64(len(t))),
    ],
    ids=["concat", "stack last", "stack first", "length"],
)
def test_a_loop_that_fills_a_sequence(tmp_path, known, op, attributes, expected):
    nodes = [*growing_loop(), node(op, ["rows"], ["y"], **attributes)]
    inputs, constants = [info("table", (4, 3))], {}
    if known:
        constants["n"] = np.int64(3)
    else:
        inputs.append(info("n", (), INT64))
    kind = INT64 if op == "SequenceLength" else FLOAT
    model = lathe.compile(save(tmp_path, nodes, inputs, [info("y", None, kind)], **constants), threads=1)
    for n in (3,) if known else (3, 1, 4):
        feed = {"table": TABLE} if known else {"table": TABLE, "n": np.int64(n)}
        np.testing.assert_array_equal(model(feed)["y"], expected(2 * TABLE[:n]))


def test_an_element_of_a_sequence_at_a_place_that_is_data(tmp_path):
    nodes = [
        *growing_loop(),
        node("SequenceAt", ["rows", "at"], ["a"]),
        node("SplitToSequence", ["table"], ["parts"], axis=0, keepdims=0),
        node("SequenceAt", ["parts", "at"], ["b"]),
    ]
    inputs = [info("table", (4, 3)), info("n", (), INT64), info("at", (), INT64)]
    model = lathe.compile(save(tmp_path, nodes, inputs, [info("a", None), info("b", None)]), threads=1)
    for at in (0, 2, -1):
        got = model({"table": TABLE, "n": np.int64(4), "at": np.int64(at)})
        np.testing.assert_array_equal(got["a"], 2 * TABLE[at])
        np.testing.assert_array_equal(got["b"], TABLE[at])


def test_sequences_as_inputs_and_outputs(tmp_path):
    sequence = helper.make_tensor_sequence_value_info
    nodes = [
        node("SequenceAt", ["x", "last"], ["tail"]),
        node("SequenceErase", ["x", "last"], ["rest"]),
        node("SequenceInsert", ["rest", "tail", "first"], ["y"]),
        node("SequenceLength", ["y"], ["n"]),
    ]
    outputs = [sequence("y", FLOAT, None), info("n", (), INT64)]
    path = save(tmp_path, nodes, [sequence("x", FLOAT, None)], outputs, last=np.int64(-1), first=np.int64(0))
    model = lathe.compile(path, threads=1, shapes={"x.0": (2,), "x.1": (3, 1), "x.2": ("k",)})
    x = [np.ones(2, np.float32), np.full((3, 1), 2, np.float32), np.arange(5, dtype=np.float32)]
    got = model({f"x.{i}": v for i, v in enumerate(x)})
    assert list(got) == ["y.0", "y.1", "y.2", "n"] and got["n"] == 3
    for name, want in zip(("y.0", "y.1", "y.2"), (x[2], x[0], x[1]), strict=True):
        np.testing.assert_array_equal(got[name], want)
    with pytest.raises(lathe.UnsupportedError, match=r"--shape x\.0="):
        lathe.compile(path)
    with pytest.raises(lathe.UsageError, match="no input"):
        lathe.compile(path, shapes={"z.0": (2,)})


def test_an_optional_input_is_given_or_not(tmp_path):
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, (2,)))
    take = helper.make_graph([node("OptionalGetElement", ["x"], ["t"])], "t", [], [info("t", None)])
    other = helper.make_graph([node("Neg", ["z"], ["e"])], "e", [], [info("e", None)])
    nodes = [
        node("OptionalHasElement", ["x"], ["there"]),
        node("If", ["there"], ["y"], then_branch=take, else_branch=other),
    ]
    path = save(tmp_path, nodes, [helper.make_value_info("x", kind), info("z", (2,))], [info("y", None)])
    z = np.asarray([1, 2], np.float32)
    given = lathe.compile(path, threads=1, shapes={"x": (2,)})
    np.testing.assert_array_equal(given({"x": 3 * z, "z": z})["y"], 3 * z)
    absent = lathe.compile(path, threads=1, shapes={"x": "none"})
    np.testing.assert_array_equal(absent({"z": z})["y"], -z)
    with pytest.raises(lathe.UnsupportedError, match="x=none"):
        lathe.compile(path)


REFUSED = {
    "a loop of unknown length that adds two": (
        [*growing_loop(body=[node("SequenceInsert", ["t0", "row"], ["t"])]), node("SequenceLength", ["rows"], ["y"])],
        "and nothing else",
    ),
    "a sequence of unknown length as output": (growing_loop(), "length only the run tells"),
    "an operator on a sequence": (
        [node("SequenceConstruct", ["table"], ["s"]), node("Neg", ["s"], ["y"])],
        "takes tensors",
    ),
    "parts whose size is data": (
        [node("SplitToSequence", ["table", "n"], ["s"]), node("SequenceLength", ["s"], ["y"])],
        "known only when the model runs",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_the_reason(tmp_path, name):
    nodes, reason = REFUSED[name]
    if "adds two" in name:
        body = nodes[1].attribute[0].g
        body.node[2].output[0] = "t0"
    output = info("rows" if nodes[-1].op_type == "Loop" else "y", None)
    path = save(tmp_path, nodes, [info("table", (4, 3)), info("n", (), INT64)], [output])
    with pytest.raises(lathe.UnsupportedError, match=reason):
        lathe.compile(path)
