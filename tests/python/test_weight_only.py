# SPDX-License-Identifier: Apache-2.0
"""`--precision w8`, `w4`, `wfp8`, `wfp4`: weights of matrix products in few bits, everything else in floats; and models
that come so."""

from __future__ import annotations

from pathlib import Path

import lathe
import numpy as np
import onnx
import pytest
from conftest import save_model
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
INNER, COLUMNS = 256, 96


def network(path: Path, rows: int = 1, layers: int = 2) -> Path:
    nodes, constants = [], {}
    for i in range(layers):
        size = COLUMNS if i + 1 == layers else INNER
        constants[f"w{i}"] = RNG.standard_normal((INNER, size), dtype=np.float32) / np.float32(np.sqrt(INNER))
        constants[f"b{i}"] = RNG.standard_normal(size, dtype=np.float32)
        x, y = ("x" if i == 0 else f"r{i - 1}"), ("y" if i + 1 == layers else f"h{i}")
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"p{i}"], name=f"product{i}"))
        nodes.append(helper.make_node("Add", [f"p{i}", f"b{i}"], [y], name=f"bias{i}"))
        if i + 1 < layers:
            nodes.append(helper.make_node("Relu", [y], [f"r{i}"], name=f"relu{i}"))
    inputs, outputs = {"x": (TensorProto.FLOAT, [rows, INNER])}, {"y": (TensorProto.FLOAT, [rows, COLUMNS])}
    return save_model(path, nodes, inputs, outputs, constants)


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / ((got - wanted) ** 2).sum()))


# Precision, options, least SNR of normally distributed weights in dB, bits a weight (scales included).
FORMATS = [
    ("w8", {}, 38, 8.2),
    ("w8", {"weight_block": 32, "weight_zeros": True}, 40, 8.8),
    ("w4", {}, 19, 4.8),
    ("w4", {"weight_block": 128}, 17, 4.2),
    ("w4", {"weight_zeros": False}, 18, 4.6),
    ("wfp8", {}, 29, 8.2),
    ("wfp4", {}, 18, 4.6),
    ("wfp4", {"weight_block": 32}, 16, 4.4),
]


@pytest.mark.parametrize("rows", [1, 17])
@pytest.mark.parametrize(("precision", "options", "least", "bits"), FORMATS)
def test_formats_keep_accuracy_and_save_memory(tmp_path, precision, options, least, bits, rows):
    model = network(tmp_path / "m.onnx", rows)
    x = RNG.standard_normal((rows, INNER), dtype=np.float32)
    report = lathe.build(model, tmp_path / "m.lathe", precision=precision, **options)
    weights = INNER * (INNER + COLUMNS)
    assert report.weight_bytes <= weights * bits / 8 + 4096
    assert snr(lathe.compile(model)(x)["y"], lathe.load(tmp_path / "m.lathe")(x)["y"]) > least
    assert [layer["precision"] for layer in report.quantization["layers"]] == [precision] * 2


def test_calibrated_codes_are_better_and_the_report_says_so(tmp_path):
    model = network(tmp_path / "m.onnx", rows=32)
    # Inputs that depend on each other: errors of one weight can be made up for by another.
    x = RNG.standard_normal((32 * 16, 24), dtype=np.float32) @ RNG.standard_normal((24, INNER), dtype=np.float32)
    x += RNG.standard_normal(x.shape, dtype=np.float32) * np.float32(0.1)
    options = {"precision": "w4", "max_loss": 100.0}
    wanted = lathe.compile(model)(x[:32])["y"]
    plain = snr(wanted, lathe.compile(model, **options)(x[:32])["y"])
    report = lathe.build(model, tmp_path / "m.lathe", calibrate=x[32:], **options)
    better = snr(wanted, lathe.load(tmp_path / "m.lathe")(x[:32])["y"])
    assert better > plain + 2
    assert report.quantization["calibrator"] == "gptq"
    assert abs(report.quantization["outputs"][0]["snr_db"] - better) < 3


def test_a_budget_raises_layers_to_eight_bits(tmp_path):
    model = network(tmp_path / "m.onnx", rows=8, layers=3)
    x = RNG.standard_normal((64, INNER), dtype=np.float32)
    report = lathe.build(model, tmp_path / "m.lathe", precision="w4", calibrate=x, max_loss=0.05)
    raised = [layer for layer in report.quantization["layers"] if layer["precision"] == "w8"]
    assert raised and all("alone" in layer["why"] for layer in raised)
    assert report.quantization["loss_percent"] < 0.2


def test_what_is_small_or_named_keeps_its_floats(tmp_path):
    model = network(tmp_path / "m.onnx")
    report = lathe.build(model, tmp_path / "m.lathe", precision="w4", keep_float="product1")
    assert [layer["precision"] for layer in report.quantization["layers"]] == ["w4", "fp16"]
    assert report.quantization["layers"][1]["why"] == "kept as asked"


def test_inspect_tells_how_weights_are_stored(cli, tmp_path):
    done = cli("inspect", network(tmp_path / "m.onnx"), "--precision", "w4", "--json")
    tactics = [n["tactic"] for n in done.json["targets"][0]["nodes"] if "product" in n["node"]]
    assert tactics and all(t.endswith("i4 by 32 weights") for t in tactics)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--precision", "w4", "--weight-block", "24"], "blocks of 24"),
        (["--precision", "wfp4", "--weight-block", "64"], "NVFP4"),
        (["--precision", "wfp8", "--weight-zeros"], "no zero points"),
        (["--precision", "w4", "--keep-float", "nothing"], 'no product "nothing"'),
    ],
)
def test_options_that_make_no_sense_are_refused(cli, tmp_path, arguments, text):
    done = cli("build", network(tmp_path / "m.onnx"), "-o", tmp_path / "m.lathe", *arguments)
    assert done.code == 2 and text in done.err


def blocked(path: Path, dtype: int, block: int, transposed: bool) -> tuple[Path, np.ndarray]:
    """A product with a blocked DequantizeLinear, and the weights that it means, [INNER, COLUMNS]."""
    limits = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.INT8: (-128, 128)}[dtype]
    codes = RNG.integers(*limits, (INNER, COLUMNS))
    scales = (RNG.random((INNER // block, COLUMNS), dtype=np.float32) + np.float32(0.5)) / 64
    zeros = RNG.integers(*limits, scales.shape)
    axis = 0
    kept = [codes, scales, zeros]
    if transposed:
        kept, axis = [a.T for a in kept], 1
    raw = [helper.make_tensor(n, dtype, kept[i].shape, kept[i].ravel()) for n, i in (("q", 0), ("z", 2))]
    scale = numpy_helper.from_array(np.ascontiguousarray(kept[1]), "s")
    nodes = [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], name="dq", axis=axis, block_size=block)]
    nodes.append(helper.make_node("Gemm", ["x", "w"], ["y"], name="product", transB=int(transposed)))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", INNER])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", COLUMNS])],
        [*raw, scale],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    wide = np.repeat(scales, block, 0) * (codes - np.repeat(zeros, block, 0))
    return path, wide


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "code"), [(TensorProto.INT4, "i4"), (TensorProto.UINT4, "i4"), (TensorProto.INT8, "i8")]
)
def test_blocked_dequantize_linear_keeps_its_codes(cli, tmp_path, dtype, code, transposed):
    model, weights = blocked(tmp_path / "m.onnx", dtype, 32, transposed)
    for rows in (1, 6):
        x = RNG.standard_normal((rows, INNER), dtype=np.float32)
        wanted = x.astype(np.float64) @ weights
        assert np.abs(lathe.compile(model)(x)["y"] - wanted).max() < 1e-5 * np.abs(wanted).max()
    nodes = cli("inspect", model, "--json").json["targets"][0]["nodes"]
    assert [n["tactic"].endswith(f"{code} by 32 weights") for n in nodes] == [True]


@pytest.mark.parametrize("inner", [256, 250])
@pytest.mark.parametrize("bits", [4, 8])
def test_matmul_nbits_keeps_its_codes(cli, tmp_path, bits, inner):
    block, blocks = 32, 8
    packed = RNG.integers(0, 256, (COLUMNS, blocks, block * bits // 8)).astype(np.uint8)
    scales = (RNG.random(COLUMNS * blocks, dtype=np.float32) + np.float32(0.5)) / 64
    values = np.stack([packed & 15, packed >> 4], -1).reshape(COLUMNS, -1) if bits == 4 else packed.reshape(COLUMNS, -1)
    weights = ((values.astype(np.float64) - 2 ** (bits - 1)) * np.repeat(scales, block).reshape(COLUMNS, -1))[:, :inner]
    node = helper.make_node(
        *("MatMulNBits", ["x", "b", "s"], ["y"]),
        **{"name": "product", "domain": "com.microsoft", "K": inner, "N": COLUMNS, "bits": bits, "block_size": block},
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, COLUMNS])],
        [numpy_helper.from_array(packed, "b"), numpy_helper.from_array(scales, "s")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    x = RNG.standard_normal((2, inner), dtype=np.float32)
    wanted = x.astype(np.float64) @ weights.T
    assert np.abs(lathe.compile(tmp_path / "m.onnx")(x)["y"] - wanted).max() < 1e-5 * np.abs(wanted).max()
    nodes = cli("inspect", tmp_path / "m.onnx", "--json").json["targets"][0]["nodes"]
    assert [n["tactic"].endswith(f"i{bits} by 32 weights") for n in nodes] == [True]
