# SPDX-License-Identifier: Apache-2.0
"""ONNX files that want to do harm: `lathe build` refuses them with exit code 3 (a limit) or 4 (damaged), within a second
of processor time and a gigabyte of memory, and says why."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SECONDS, BYTES = 1.0, 1 << 30
HUGE = 1 << 30
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def info(name, shape=(2,), dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def i64(name, values):
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


def model(nodes, inputs=None, outputs=("y",), initializers=(), functions=(), extra=()):
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [info("x")] if inputs is None else inputs,
        [info(o, None) if isinstance(o, str) else o for o in outputs],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(d, 1) for d in extra)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def node(op, inputs, outputs=("y",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def tensor(name, dims, dtype=FLOAT, raw=b"\0" * 16):
    t = TensorProto(name=name, data_type=dtype, dims=dims)
    t.raw_data = raw
    return t


def external(name, dims, **entries):
    t = TensorProto(name=name, data_type=FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        t.external_data.add(key=key, value=str(value))
    return t


# Each case: what makes the file, and a word of the message.
CASES: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {}


def case(word: str):
    def add(make):
        CASES[make.__name__] = (make, word)
        return make

    return add


@case("cycle")
def a_cycle():
    return model([node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"]), node("Neg", ["b"])])


@case("cycle")
def a_node_that_feeds_itself():
    return model([node("Add", ["x", "y"])])


@case("defined twice")
def an_output_of_two_nodes():
    return model([node("Neg", ["x"]), node("Abs", ["x"])])


@case("defined twice")
def an_initializer_twice():
    return model([node("Add", ["x", "w"])], initializers=[tensor("w", [4]), tensor("w", [4])])


@case("twice")
def an_input_twice():
    return model([node("Neg", ["x"])], inputs=[info("x"), info("x")])


@case("twice")
def an_output_listed_twice():
    return model([node("Neg", ["x"])], outputs=["y", "y"])


@case("defined twice")
def a_node_that_writes_an_input():
    return model([node("Neg", ["x"], ["x"]), node("Neg", ["x"])])


@case("dimension")
def a_negative_dimension():
    return model([node("Neg", ["x"])], inputs=[info("x", (2, -3))])


@case("impossible size")
def dimensions_whose_product_overflows():
    return model([node("Neg", ["x"])], inputs=[info("x", (1 << 31, 1 << 31, 1 << 31))])


@case("negative dimension")
def a_negative_dimension_of_a_tensor():
    return model([node("Add", ["x", "w"])], initializers=[tensor("w", [-1])])


@case("impossible size")
def a_tensor_whose_size_overflows():
    return model([node("Add", ["x", "w"])], initializers=[tensor("w", [1 << 62, 1 << 62])])


@case("holds")
def a_tensor_larger_than_the_file():
    return model([node("Add", ["x", "w"])], initializers=[tensor("w", [HUGE])])


@case("values for")
def a_tensor_without_data():
    return model([node("Add", ["x", "w"])], initializers=[TensorProto(name="w", data_type=FLOAT, dims=[HUGE])])


@case("holds")
def a_constant_of_a_billion():
    return model([node("Constant", [], ["c"], value=tensor("c", [HUGE])), node("Add", ["x", "c"])])


@case("not a file inside")
def external_data_elsewhere():
    w = external("w", [2], location="../../../../etc/passwd", offset=0, length=8)
    return model([node("Add", ["x", "w"])], initializers=[w])


@case("external data")
def external_data_that_is_not_there():
    w = external("w", [2], location="nothing.bin", offset=0, length=8)
    return model([node("Add", ["x", "w"])], initializers=[w])


@case("beyond the end")
def external_data_beyond_the_end():
    w = external("w", [2], location="hostile.onnx", offset=(1 << 64) - 4, length=8)
    return model([node("Add", ["x", "w"])], initializers=[w])


@case("larger than the limit")
def constant_of_shape_of_a_billion():
    return model([node("ConstantOfShape", ["n"])], initializers=[i64("n", [HUGE])])


@case("")
def constant_of_shape_that_overflows():
    return model([node("ConstantOfShape", ["n"])], initializers=[i64("n", [1 << 40, 1 << 40])])


@case("larger than the limit")
def expand_to_a_billion():
    return model([node("Expand", ["x", "n"])], inputs=[info("x", (1,))], initializers=[i64("n", [HUGE])])


@case("larger than the limit")
def a_range_of_a_billion():
    return model(
        [node("Range", ["a", "b", "c"])], initializers=[i64("a", 0), i64("b", HUGE), i64("c", 1)], outputs=["y"]
    )


@case("too long")
def a_range_of_a_quintillion():
    return model([node("Range", ["a", "b", "c"])], initializers=[i64("a", 0), i64("b", 1 << 62), i64("c", 1)])


@case("larger than the limit")
def tile_to_a_billion():
    return model([node("Tile", ["x", "n"])], initializers=[i64("n", [HUGE])])


@case("larger than the limit")
def pad_to_a_billion():
    return model([node("Pad", ["x", "n"])], initializers=[i64("n", [HUGE, HUGE])])


@case("larger than the limit")
def one_hot_of_a_billion():
    values = numpy_helper.from_array(np.asarray([0, 1], np.float32), "v")
    return model([node("OneHot", ["x", "n", "v"])], initializers=[i64("n", HUGE), values])


@case("larger than the limit")
def resize_to_a_billion():
    scales = numpy_helper.from_array(np.asarray([1, 1, 1 << 15, 1 << 15], np.float32), "s")
    return model([node("Resize", ["x", "", "s"])], inputs=[info("x", (1, 1, 2, 2))], initializers=[scales])


@case("larger than the limit")
def tensors_that_double():
    names = [f"t{i}" for i in range(41)]
    nodes = [node("Concat", [a, a], [b], axis=0) for a, b in zip(["x", *names], names, strict=False)]
    return model([*nodes, node("Neg", [names[-1]])])


@case("larger than the limit")
def a_product_of_two_vectors():
    column, row = info("x", (1 << 16, 1)), info("z", (1, 1 << 16))
    return model([node("MatMul", ["x", "z"])], inputs=[column, row])


@case("")
def a_window_far_over_the_edge():
    return model([node("MaxPool", ["x"], kernel_shape=[1, 1], pads=[1 << 30] * 4)], inputs=[info("x", (1, 1, 2, 2))])


@case("pads")
def pads_beyond_all_integers():
    return model(
        [node("MaxPool", ["x"], kernel_shape=[2, 2], pads=[(1 << 63) - 1] * 4)], inputs=[info("x", (1, 1, 2, 2))]
    )


@case("axis")
def the_lowest_of_axes():
    return model([node("Softmax", ["x"], axis=-(1 << 63))])


@case("")
def group_zero():
    w = numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), "w")
    return model([node("Conv", ["x", "w"], group=0)], inputs=[info("x", (1, 1, 2, 2))], initializers=[w])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


@case("nested")
def graphs_within_graphs():
    graph = b""  # written by hand: deeper than the library allows
    for _ in range(3000):
        attribute = field(1, b"then_branch") + field(6, graph)
        graph = field(1, field(4, b"If") + field(2, b"y") + field(5, attribute))
    return b"\x08\x0a" + field(7, graph)


@case("not a well-formed")
def a_type_of_types():
    kind = b""
    for _ in range(2000):  # sequence_type { elem_type { … } }
        kind = field(4, field(1, kind))
    return b"\x08\x0a" + field(7, field(11, field(1, b"x") + field(2, kind)))


def doubling(name: str, inside: str | None):
    nodes = [node("Neg", ["a"], ["m"]), node("Neg", ["m"], ["b"])]
    if inside:
        nodes = [node(inside, ["a"], ["m"], domain="f"), node(inside, ["m"], ["b"], domain="f")]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["a"], ["b"], nodes, opsets)


@case("nested")
def a_function_that_calls_itself():
    return model([node("F", ["x"], domain="f")], functions=[doubling("F", "F")], extra=["f"])


@case("nodes")
def functions_that_double():
    functions = [doubling(f"F{i}", f"F{i - 1}" if i else None) for i in range(40)]
    return model([node("F39", ["x"], domain="f")], functions=functions, extra=["f"])


def sequence_loop(count, body_nodes, name="loop"):
    body = helper.make_graph(
        [*body_nodes, node("Identity", ["go"], ["go_on"])],
        name,
        [info(f"{name}_i", (), INT64), info("go", (), TensorProto.BOOL), info(f"{name}_s")],
        [info("go_on", (), TensorProto.BOOL), info(f"{name}_t", None)],
    )
    return node("Loop", [count, "", "empty"], ["s"], body=body)


@case("iterations")
def a_sequence_of_a_billion():
    loop = sequence_loop("n", [node("SequenceInsert", ["loop_s", "x"], ["loop_t"])])
    return model(
        [node("SequenceEmpty", [], ["empty"]), loop, node("ConcatFromSequence", ["s"], axis=0)],
        initializers=[i64("n", HUGE)],
    )


@case("")
def sequences_within_sequences():
    inner = sequence_loop("n", [node("SequenceInsert", ["inner_s", "x"], ["inner_t"])], "inner")
    inner.input[2], inner.output[0] = "loop_s", "loop_t"
    loop = sequence_loop("n", [inner])
    return model(
        [node("SequenceEmpty", [], ["empty"]), loop, node("ConcatFromSequence", ["s"], axis=0)],
        initializers=[i64("n", 1 << 13)],
    )


@case("split")
def a_billion_parts():
    return model(
        [node("SplitToSequence", ["x", "n"], ["s"]), node("SequenceLength", ["s"])],
        inputs=[info("x", (1 << 27,))],
        initializers=[i64("n", 1)],
    )


@case("not supported")
def many_unknown_operators():
    nodes = [node("Bogus", [f"a{i}"], [f"a{i + 1}"]) for i in range(20000)]
    return model([node("Neg", ["x"], ["a0"]), *nodes, node("Neg", ["a20000"])])


@case("")
def half_a_file():
    whole = model([node("Add", ["x", "w"])], initializers=[tensor("w", [1024], raw=b"\1" * 4096)])
    return whole.SerializeToString()[:2000]


@case("rank")
def a_rank_beyond_all():
    return model([node("Neg", ["x"])], inputs=[info("x", (1,) * 100)])


def measured(command: list[str], environment: dict[str, str]):
    """Exit code, standard error, seconds of processor time, peak of memory in bytes."""
    with tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        text = err.read().decode(errors="replace")
    return child.returncode, text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name: str, lathe_program: str, tmp_path: Path):
    make, word = CASES[name]
    made = make()
    path = tmp_path / "hostile.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    command = [lathe_program, "build", str(path), "-o", str(tmp_path / "m.lathe")]
    code, err, seconds, memory = measured(command, dict(os.environ))
    assert code in (3, 4), f"exit code {code}: {err}"
    assert word in err
    assert seconds < SECONDS
    assert memory < BYTES


def test_the_limit_can_be_raised(cli, tmp_path: Path):
    path = tmp_path / "m.onnx"
    onnx.save(constant_of_shape_of_a_billion(), path)
    low = cli("build", path, "-o", tmp_path / "m.lathe")
    high = cli("build", path, "-o", tmp_path / "m.lathe", "--memory-limit", "8GB")
    assert (low.code, high.code) == (3, 0), low.err + high.err
    assert "--memory-limit" in low.err
