# SPDX-License-Identifier: Apache-2.0
"""Custom operators: of a shared library (docs/examples/operators.c) and of Python, from the model to the run."""

import os
import pathlib
import shutil
import subprocess
import sys

import lathe
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

SOURCE = pathlib.Path(os.environ.get("LATHE_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", SOURCE / "build"))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang-19")
    assert compiler, "the build of lathe needs a C compiler, too"
    path = tmp_path_factory.mktemp("operators") / "operators.so"
    source = SOURCE / "docs" / "examples" / "operators.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-I", str(SOURCE / "include")]
    subprocess.run([compiler, *flags, str(source), "-o", str(path)], check=True)
    return path


def model_of(nodes, inputs, outputs, domains=("com.example",), initializers=()):
    graph = helper.make_graph(
        nodes,
        "custom",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 21)] + [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, domain="com.example", name="node_" + op, **attributes)


def square_model(shape=("batch", 4)):
    """y = relu(2.5 * (x + x)^2 - x): the operator between two that lathe has, and sizes that it passes on."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["double"]),
        node("ScaledSquare", ["double"], ["square"], scale=2.5),
        helper.make_node("Sub", ["square", "x"], ["difference"]),
        helper.make_node("Relu", ["difference"], ["y"]),
    ]
    return model_of(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def square(x):
    return np.maximum(2.5 * (x + x) ** 2 - x, 0)


def run_cli(*arguments):
    return subprocess.run([BUILD / "lathe", *arguments], capture_output=True, text=True)


def save(model, path):
    onnx.save(model, path)
    return str(path)


def test_an_unknown_operator_is_refused_with_the_way_out(tmp_path):
    done = run_cli("build", save(square_model(), tmp_path / "m.onnx"), "-o", str(tmp_path / "m.lathe"))
    assert done.returncode == 3
    assert "com.example.ScaledSquare" in done.stderr and "docs/custom-operators.md" in done.stderr


def test_the_command_line_builds_and_runs_with_a_library(library, tmp_path):
    model, engine = save(square_model(), tmp_path / "m.onnx"), str(tmp_path / "m.lathe")
    done = run_cli("build", model, "-o", engine, "--ops", str(library))
    assert done.returncode == 0, done.stderr
    x = np.random.default_rng(0).standard_normal((3, 4), np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    files = ["--inputs", str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz")]
    without = run_cli("run", engine, *files)
    assert without.returncode == 3
    for word in ("com.example.ScaledSquare", "node_ScaledSquare", "--ops"):
        assert word in without.stderr
    for what in (engine, model):
        done = run_cli("run", what, *files, "--ops", str(library))
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], square(x), rtol=1e-6, atol=1e-6)
    shown = run_cli("inspect", engine)
    assert shown.returncode == 0 and "com.example.ScaledSquare" in shown.stdout


@pytest.mark.parametrize("content", ["missing", "no library", "no operators"])
def test_what_is_no_library_of_operators_is_refused(content, tmp_path, library):
    path = tmp_path / "bad.so"
    if content == "no library":
        path.write_bytes(b"no library")
    if content == "no operators":
        path = BUILD / "liblathe_runtime.so"
    done = run_cli("build", save(square_model(), tmp_path / "m.onnx"), "-o", str(tmp_path / "e"), "--ops", str(path))
    assert done.returncode == {"missing": 2, "no library": 1, "no operators": 2}[content]
    assert path.name in done.stderr


def test_python_uses_a_library(library):
    # In a process of its own: what is loaded stays loaded.
    script = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
import lathe, numpy as np
from test_custom_operators import square, square_model, positive_model
lathe.load_operators({str(library)!r})
model = lathe.compile(square_model())
for batch in (1, 5, 0, 2000):
    x = np.random.default_rng(batch).standard_normal((batch, 4)).astype(np.float32)
    np.testing.assert_allclose(model(x)["y"], square(x), rtol=1e-6, atol=1e-6)
model = lathe.compile(positive_model())
for n in (6, 0, 3, 100):
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    out = model(x)
    np.testing.assert_array_equal(out["doubled"], 2 * x[x > 0])
    np.testing.assert_array_equal(out["where"], np.flatnonzero(x > 0))
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def positive_model():
    """Sizes that depend on data: the elements above zero, doubled."""
    nodes = [
        node("Positive", ["x"], ["values", "where"]),
        helper.make_node("Add", ["values", "values"], ["doubled"]),
    ]
    outputs = [("doubled", TensorProto.FLOAT, ["m"]), ("where", TensorProto.INT64, ["m"])]
    return model_of(nodes, [("x", TensorProto.FLOAT, ["n"])], outputs)


def test_operators_written_in_python():
    seen = []

    def shape(inputs, attributes):
        seen.append((inputs, attributes))
        x, absent, axis = inputs
        assert absent is None
        rest = [size for i, size in enumerate(x.shape) if i != attributes["axis"]]
        return [(x.dtype, [None, *rest]), lathe.Spec("int64", ())]

    def run(inputs, attributes):
        x, _, repeats = inputs
        y = np.repeat(np.moveaxis(x, attributes["axis"], 0), repeats, axis=0)
        return y, np.int64(y.size)

    lathe.register_operator("com.example", "Repeat", shape=shape, run=run)
    table = helper.make_tensor("", TensorProto.INT16, [2], [7, -8])
    nodes = [
        node(
            "Repeat",
            ["x", "", "r"],
            ["y", "count"],
            axis=1,
            names=["a", "bc"],
            weights=[0.5, 0.1],
            mode="m",
            table=table,
        )
    ]
    inputs = [("x", TensorProto.FLOAT16, ["a", "b", 3]), ("r", TensorProto.INT64, [])]
    model = lathe.compile(model_of(nodes, inputs, [("y", TensorProto.FLOAT16, None), ("count", TensorProto.INT64, [])]))
    assert model.outputs[0].shape[1:] == ("a", 3)
    x = np.arange(12, dtype=np.float16).reshape(2, 2, 3)
    for repeats in (2, 0):
        with pytest.raises(lathe.FailedError, match="shape function"):
            # Sizes that were called unknown must be known when it runs.
            model({"x": x, "r": np.int64(repeats)})
    assert seen[0][1]["axis"] == 1 and seen[0][1]["names"] == ["a", "bc"] and seen[0][1]["mode"] == "m"
    np.testing.assert_array_equal(seen[0][1]["weights"], np.array([0.5, 0.1], np.float32))
    np.testing.assert_array_equal(seen[0][1]["table"], np.array([7, -8], np.int16))

    def shape_with_data(inputs, attributes):
        x, _, repeats = inputs
        known = repeats.value is not None and not isinstance(x.shape[1], str)
        return [
            (x.dtype, [x.shape[1] * int(repeats.value) if known else None, x.shape[0], x.shape[2]]),
            ("int64", ()),
        ]

    lathe.register_operator("com.example", "Repeat", shape=shape_with_data, run=run)
    model = model.clone()  # a session of its own, with what is registered now
    for repeats in (2, 0, 3):
        out = model({"x": x, "r": np.int64(repeats)})
        np.testing.assert_array_equal(out["y"], np.repeat(np.moveaxis(x, 1, 0), repeats, axis=0))
        assert out["count"] == 12 * repeats


def test_errors_of_python_operators_name_the_node():
    def shape(inputs, attributes):
        return [(inputs[0].dtype, inputs[0].shape)]

    def run(inputs, attributes):
        raise ValueError("not today")

    lathe.register_operator("com.example", "Fails", shape=shape, run=run)
    inputs, outputs = [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])]
    model = lathe.compile(model_of([node("Fails", ["x"], ["y"])], inputs, outputs))
    with pytest.raises(lathe.FailedError, match="(?s)not today.*node_Fails"):
        model(np.zeros(2, np.float32))

    def shape_from_unknown(inputs, attributes):
        return [(inputs[0].dtype, [size * 2 for size in inputs[0].shape])]

    lathe.register_operator("com.example", "Doubles", shape=shape_from_unknown, run=run)
    with pytest.raises(lathe.Error, match="node_Doubles"):
        lathe.compile(model_of([node("Doubles", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["n"])], outputs))


def test_operators_of_constants_are_computed_while_building_unless_they_vary():
    calls = []

    def shape(inputs, attributes):
        return [(inputs[0].dtype, inputs[0].shape)]

    def run(inputs, attributes):
        calls.append(1)
        return [inputs[0] + len(calls)]

    constant = helper.make_tensor("c", TensorProto.FLOAT, [2], [1, 2])
    for name, varies in (("Once", False), ("Again", True)):
        calls.clear()
        lathe.register_operator("com.example", name, shape=shape, run=run, varies=varies)
        nodes = [node(name, ["c"], ["k"]), helper.make_node("Add", ["x", "k"], ["y"])]
        inputs, outputs = [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])]
        # Never from the cache, which has engines of earlier runs of this test.
        bytes_ = model_of(nodes, inputs, outputs, initializers=[constant]).SerializeToString()
        engine = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"lathe-custom-{os.getpid()}.lathe")
        lathe.build(bytes_, engine)
        built = len(calls)
        model = lathe.load(engine)
        os.remove(engine)
        first, second = (model(np.zeros(2, np.float32))["y"][0] for _ in range(2))
        if varies:
            assert built == 0 and (first, second) == (2, 3)
        else:
            assert built == 1 and (first, second) == (2, 2)


def test_half_precision_and_control_flow():
    """Types stay the model's although half floats are computed in f32; a call in the body of a loop."""

    def shape(inputs, attributes):
        assert inputs[0].dtype == "float16"
        return [("float16", inputs[0].shape)]

    lathe.register_operator("com.example", "HalfStep", shape=shape, run=lambda i, a: [i[0] * np.float16(1.5)])
    body = helper.make_graph(
        [
            node("HalfStep", ["v"], ["stepped"]),
            helper.make_node("Add", ["stepped", "one"], ["v_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT16, ["n"]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT16, ["n"]),
        ],
    )
    nodes = [helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)]
    inputs = [("x", TensorProto.FLOAT16, ["n"]), ("count", TensorProto.INT64, [])]
    one = helper.make_tensor("one", TensorProto.FLOAT16, [], [1.0])
    model = lathe.compile(model_of(nodes, inputs, [("y", TensorProto.FLOAT16, ["n"])], initializers=[one]))
    x = np.array([0, 1, -2], np.float16)
    for count in (0, 1, 3):
        expected = x
        for _ in range(count):
            expected = expected * np.float16(1.5) + np.float16(1)
        np.testing.assert_array_equal(model({"x": x, "count": np.int64(count)})["y"], expected)


def test_built_in_operators_are_not_replaced_and_functions_are():
    def shape(inputs, attributes):
        return [(inputs[0].dtype, inputs[0].shape)]

    inputs, outputs = [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])]
    lathe.register_operator("", "Relu", shape=shape, run=lambda i, a: [i[0] + 100])
    model = lathe.compile(model_of([helper.make_node("Relu", ["x"], ["y"])], inputs, outputs))
    np.testing.assert_array_equal(model(np.array([-1, 3], np.float32))["y"], [0, 3])

    lathe.register_operator("com.example", "Own", shape=shape, run=lambda i, a: [i[0] + 100])
    made = model_of([node("Own", ["x"], ["y"])], inputs, outputs)
    function = helper.make_function(
        "com.example",
        "Own",
        ["a"],
        ["b"],
        [helper.make_node("Neg", ["a"], ["b"])],
        [helper.make_opsetid("", 21)],
    )
    made.functions.append(function)
    np.testing.assert_array_equal(lathe.compile(made)(np.array([-1, 3], np.float32))["y"], [99, 103])
