# SPDX-License-Identifier: Apache-2.0
"""`lathe diff` names the first node out of tolerance; `lathe reduce` leaves the smallest model that still shows it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import save_model
from onnx import TensorProto, helper

pytest.importorskip("onnxruntime")
SHAPE = (TensorProto.FLOAT, [64, 33])


@pytest.fixture
def chain(tmp_path):
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], name="soft"),
        helper.make_node("MatMul", ["p", "w"], ["m"], name="product"),
        helper.make_node("Softmax", ["m"], ["y"], name="last"),
    ]
    w = np.random.default_rng(0).standard_normal((33, 33)).astype(np.float32)
    return save_model(tmp_path / "chain.onnx", nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": w})


@pytest.mark.parametrize("against", ["onnxruntime", "reference"])
def test_a_model_that_agrees(cli, chain, against):
    done = cli("diff", chain, "--against", against, "--json")
    assert done.code == 0, done.err
    assert done.json["first"] is None
    assert {"p", "y"} <= {row["value"] for row in done.json["values"]}
    assert all(row["relative"] < 1e-5 for row in done.json["values"])


def test_the_first_value_out_of_tolerance_is_named(cli, chain):
    done = cli("diff", chain, "--tolerance", "1e-12", "--json")
    assert done.code == 1, done.err
    rows = done.json["values"]
    assert done.json["first"] == next(r for r in rows if r["exceeds"])
    assert done.json["first"]["computed_by"] in ("Softmax", "MatMul")
    text = cli("diff", chain, "--tolerance", "1e-12")
    assert "first out of tolerance" in text.out and done.json["first"]["value"] in text.out


def test_an_engine_is_refused(cli, mlp_engine):
    for command in ("diff", "reduce"):
        assert cli(command, mlp_engine).code == 2


def test_reducing_what_is_fine(cli, chain):
    done = cli("reduce", chain, "--json")
    assert done.code == 0, done.err
    assert done.json["kind"] == "ok" and done.json["output"] is None


def test_reducing_what_diverges(cli, chain, tmp_path):
    small = tmp_path / "small.onnx"
    done = cli("reduce", chain, "-o", small, "--tolerance", "1e-12", "--json")
    assert done.code == 0, done.err
    assert done.json["kind"] == "diverges" and done.json["nodes_left"] == 1
    assert len(onnx.load(small).graph.node) == 1
    inputs = np.load(done.json["inputs"])
    assert set(inputs.files) == {i.name for i in onnx.load(small).graph.input}


def test_reducing_what_is_not_supported(cli, tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="before"),
        helper.make_node("Neg", ["a"], ["b"], name="between"),
        helper.make_node("Frobnicate", ["b"], ["c"], name="strange", domain="example.unknown"),
        helper.make_node("Relu", ["b"], ["y"], name="after"),
    ]
    infos = [helper.make_tensor_value_info(n, *SHAPE) for n in ("x", "y", "c")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.unknown", 1)]
    path = tmp_path / "strange.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    done = cli("reduce", path, "--json")
    assert done.code == 0, done.err
    assert done.json["kind"] == "unsupported" and done.json["operators"] == ["Frobnicate"]
    assert (tmp_path / "strange.reduced.onnx").is_file()
