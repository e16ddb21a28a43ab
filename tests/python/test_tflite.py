# SPDX-License-Identifier: Apache-2.0
"""TFLite models of the shared folder: one for each operator and kind of quantization, and trained ones.

Integer networks must give what LiteRT's reference kernels gave, element by element; reals must lie within a few units
in the last place of the largest, where LiteRT's own kernels do.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import lathe
import numpy as np
import pytest

SHARED = Path(os.environ.get("LATHE_SHARED", ""))
OPS = SHARED / "tflite_ops"
INDEX = json.loads((OPS / "index.json").read_text())["models"] if (OPS / "index.json").is_file() else {}
MODELS = sorted((SHARED / "models").glob("*/*.tflite")) if INDEX else []

# max|a-b| / max|b| of f32 results.
REAL = 1e-5

# Cases whose stored reference results are not LiteRT's usual ones: its kernel sets disagree with each other. The usual
# kernels are followed, to within this many steps.
DISPUTED_STEPS = {"reduce_sum.int8": 1}

# Published files that LiteRT itself refuses to run have no golden of their own: that of the repaired file counts.
GOLDEN_OF = {"person_detect.tflite": "person_detect_fixed.tflite"}


@pytest.mark.skipif(not INDEX, reason="LATHE_SHARED/tflite_ops is not there")
def test_models_are_there():
    """Makes a run without the models show up as skipped."""
    assert len(INDEX) == 200
    assert MODELS


def difference(got: np.ndarray, want: np.ndarray) -> float:
    """Steps for integers, a share of the largest for reals."""
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    error = float(np.max(np.abs(got.astype(np.float64) - want.astype(np.float64)), initial=0))
    if want.dtype.kind != "f":
        return error
    return error / (float(np.max(np.abs(want), initial=0)) or 1.0)


@pytest.mark.parametrize("name", INDEX)
def test_operator_gives_the_stored_outputs(name: str):
    facts = INDEX[name]
    model = lathe.compile(OPS / f"{name}.tflite", threads=1)
    with np.load(OPS / f"{name}.npz") as golden:
        for sample in range(3):
            got = model({port["name"]: golden[f"s{sample}_in{i}"] for i, port in enumerate(facts["inputs"])})
            for i, port in enumerate(facts["outputs"]):
                stored = f"s{sample}_ref{i}"
                if facts["disputed"] or stored not in golden.files:
                    stored = f"s{sample}_out{i}"
                limit = DISPUTED_STEPS.get(name, 0) if golden[stored].dtype.kind != "f" else REAL
                error = difference(got[port["name"]], golden[stored])
                assert error <= limit, f"{name}, sample {sample}, {port['name']}: off by {error} > {limit}"


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_model_gives_the_stored_outputs(path: Path):
    golden_name = GOLDEN_OF.get(path.name, path.name)
    facts = json.loads(path.with_name(golden_name + ".golden.json").read_text())
    model = lathe.compile(path, threads=2)
    single = model.clone(threads=1)
    # How far LiteRT's kernel sets lie apart, for each output and in its units.
    spreads = [max(apart) for apart in zip(facts["max_abs_diff_ref"], facts["max_abs_diff_xnnpack"], strict=True)]
    with np.load(path.with_name(golden_name + ".golden.npz")) as golden:
        for case in range(len(facts["cases"])):
            feed = {port["name"]: golden[f"c{case}_in{i}"] for i, port in enumerate(facts["inputs"])}
            got, again = model(feed), single(feed)
            for i, port in enumerate(facts["outputs"]):
                name, want = port["name"], golden[f"c{case}_out{i}"]
                np.testing.assert_array_equal(again[name], got[name], err_msg=f"{name}: 1 and 2 threads differ")
                error = difference(got[name], want)
                largest = float(np.max(np.abs(want), initial=0)) or 1.0
                limit = spreads[i] if want.dtype.kind != "f" else max(1e-4, spreads[i] / largest)
                assert error <= limit, f"{path.name}, case {case}, {name}: off by {error:.3g} > {limit:.3g}"


INTEGER_MODELS = [path for path in MODELS if "int8" in path.name or "quant" in path.name or "person" in path.name]


@pytest.mark.parametrize("path", INTEGER_MODELS, ids=lambda path: path.name)
def test_integer_model_equals_the_reference_kernels(path: Path):
    """Against LiteRT itself, where it is installed; element by element."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    golden_name = GOLDEN_OF.get(path.name, path.name)
    interpreter = litert.Interpreter(
        str(path.with_name(golden_name)), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    model = lathe.compile(path, threads=1)
    random = np.random.default_rng(1)
    for _ in range(3):
        feed = {}
        for port in inputs:
            if np.dtype(port["dtype"]).kind == "f":
                value = random.standard_normal(port["shape"]).astype(port["dtype"])
            else:
                info = np.iinfo(port["dtype"])
                value = random.integers(info.min, info.max + 1, port["shape"], port["dtype"])
            interpreter.set_tensor(port["index"], value)
            feed[port["name"]] = value
        interpreter.invoke()
        got = model(feed)
        for port in outputs:
            want = interpreter.get_tensor(port["index"])
            if want.dtype.kind == "f":
                assert difference(got[port["name"]], want) <= 1e-4
            else:
                np.testing.assert_array_equal(got[port["name"]], want, err_msg=f"{path.name}: {port['name']}")
