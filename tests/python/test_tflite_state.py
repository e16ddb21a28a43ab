# SPDX-License-Identifier: Apache-2.0
"""TFLite models that remember or whose control flow depends on data, converted by TensorFlow where it is installed, run
after run beside LiteRT. As a program this file converts them: TensorFlow and lathe's compiler hold LLVM each, and do not
share a process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RUNS = 4
LAYERS = {
    "lstm": lambda keras: keras.layers.LSTM(4, bias_initializer="uniform"),
    "lstm, sequences": lambda keras: keras.layers.LSTM(20, return_sequences=True, bias_initializer="uniform"),
    "lstm, backwards": lambda keras: keras.layers.LSTM(4, return_sequences=True, go_backwards=True),
    "gru": lambda keras: keras.layers.GRU(4, return_sequences=True, bias_initializer="uniform"),
    "rnn": lambda keras: keras.layers.SimpleRNN(4, return_sequences=True, bias_initializer="uniform"),
}


def convert(folder: Path) -> None:
    """Writes all models."""
    import tensorflow as tf

    def write(name: str, function, specs, variables=()) -> None:
        module = tf.Module()
        module.kept = list(variables)
        concrete = tf.function(function, input_signature=specs).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        converter.experimental_enable_resource_variables = True
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    total = tf.Variable([1.0, 2.0])

    def add(x):
        total.assign(total * 0.5 + x)
        return total + 1.0

    def count(n, x):
        def body(k, steps, value):
            return k - 2, steps + 1, value * 1.5

        return tf.while_loop(lambda k, *_: k > 0, body, (n, tf.constant(0), x))[1:]

    def choose(go, x):
        return tf.cond(go, lambda: tf.nn.relu(x) + 1.0, lambda: x * 3.0)

    write("variable", add, [tf.TensorSpec([2], tf.float32)], [total])
    write("loop", count, [tf.TensorSpec([], tf.int32), tf.TensorSpec([3], tf.float32)])
    write("branch", choose, [tf.TensorSpec([], tf.bool), tf.TensorSpec([3], tf.float32)])
    for name, layer in LAYERS.items():
        tf.keras.utils.set_random_seed(1)
        model = tf.keras.Sequential([tf.keras.Input((5, 3), batch_size=1), layer(tf.keras)])
        write(name, lambda x, model=model: model(x), [tf.TensorSpec((1, 5, 3), tf.float32)])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in ("tensorflow", "ai_edge_litert"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    folder = tmp_path_factory.mktemp("converted")
    subprocess.run([sys.executable, __file__, str(folder)], check=True, capture_output=True)
    return folder


class Compared:
    """A converted model in LiteRT and in lathe; both begin anew."""

    def __init__(self, path: Path) -> None:
        import lathe
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.model = lathe.compile(path, threads=1)
        self.reference = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        self.reference.allocate_tensors()
        self.operators = {op["op_name"] for op in self.reference._get_ops_details()}

    def run(self, *values: np.ndarray) -> None:
        feed = {}
        for port, value in zip(
            sorted(self.reference.get_input_details(), key=lambda p: len(p["shape"])), values, strict=True
        ):
            self.reference.set_tensor(port["index"], value)
            feed[port["name"]] = value
        self.reference.invoke()
        got = self.model(feed)
        for port in self.reference.get_output_details():
            want = self.reference.get_tensor(port["index"])
            np.testing.assert_allclose(got[port["name"]], want, rtol=1e-5, atol=1e-5)


def test_variables_go_from_one_run_to_the_next(models: Path) -> None:
    both = Compared(models / "variable.tflite")
    assert "ASSIGN_VARIABLE" in both.operators
    assert len(both.model.states) == 1
    for i in range(RUNS):
        both.run(np.array([i, -i], np.float32))
    feed = {both.model.inputs[0].name: np.zeros(2, np.float32)}
    first = both.model.clone()(feed)
    both.model.reset()
    second = both.model(feed)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers(models: Path, name: str) -> None:
    both = Compared(models / f"{name}.tflite")
    random = np.random.default_rng(0)
    for _ in range(RUNS):
        both.run(random.standard_normal((1, 5, 3)).astype(np.float32))


def test_loops_whose_end_depends_on_data(models: Path) -> None:
    both = Compared(models / "loop.tflite")
    assert "WHILE" in both.operators
    for n in (0, 1, 2, 7):
        both.run(np.array(n, np.int32), np.arange(3, dtype=np.float32))


def test_branches_that_depend_on_data(models: Path) -> None:
    both = Compared(models / "branch.tflite")
    for go in (True, False):
        both.run(np.array(go), np.array([-1, 0, 2], np.float32))


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
