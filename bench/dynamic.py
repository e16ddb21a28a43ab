#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One engine for a range of shapes against an engine built for each: how much it costs not to know the sizes.

    python bench/dynamic.py                              # three small networks, 20 random shapes each
    python bench/dynamic.py encoder --shapes 5 --threads 2 --json result.json
    python bench/dynamic.py model.onnx --range batch=1:8:32 --range length=16:128:256

A range is smallest:typical:largest; the engine is built once with these (min, opt and max shapes). Then random shapes are
drawn from it. For each, a static engine is built beside, both run in turn in one process, and the ratio of their least times
is printed: 1.2 means that the engine for all shapes takes 1.2 times as long. What is timed of it includes nothing of the
first run with a shape, which places the arena and is printed by itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lathe
import numpy as np
import onnx
from lathe.measure import example_inputs
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)


def made(name: str, nodes: list[Any], x: list[Any], y: list[Any], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def weights(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


def mlp() -> onnx.ModelProto:
    """Three layers of 512 on [batch, 512]."""
    nodes, constants, value = [], {}, "x"
    for i in range(3):
        constants |= {f"w{i}": weights(512, 512), f"b{i}": weights(512)}
        nodes += [
            helper.make_node("MatMul", [value, f"w{i}"], [f"m{i}"]),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]),
            helper.make_node("Relu", [f"a{i}"], [f"r{i}" if i < 2 else "y"]),
        ]
        value = f"r{i}"
    return made("mlp", nodes, ["batch", 512], ["batch", 512], constants)


def encoder() -> onnx.ModelProto:
    """Two transformer layers, 4 heads of 64, on [batch, length, 256]."""
    nodes: list[Any] = []
    constants = {"heads": np.array([0, 0, 4, 64], np.int64), "flat": np.array([0, 0, 256], np.int64)}
    constants["scale"] = np.float32(1 / 8)

    def node(op: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"v{len(nodes)}"], **attributes))
        return f"v{len(nodes) - 1}"

    def constant(array: np.ndarray) -> str:
        constants[f"c{len(constants)}"] = array
        return f"c{len(constants) - 1}"

    def linear(x: str, inputs: int, outputs: int) -> str:
        return node("Add", [node("MatMul", [x, constant(weights(inputs, outputs))]), constant(weights(outputs))])

    value = "x"
    for _ in range(2):
        norm = node("LayerNormalization", [value, constant(np.ones(256, np.float32)), constant(weights(256))])
        q, k, v = (node("Reshape", [linear(norm, 256, 256), "heads"]) for _ in range(3))
        q, v = (node("Transpose", [t], perm=[0, 2, 1, 3]) for t in (q, v))
        scores = node("Mul", [node("MatMul", [q, node("Transpose", [k], perm=[0, 2, 3, 1])]), "scale"])
        mixed = node("Transpose", [node("MatMul", [node("Softmax", [scores], axis=-1), v])], perm=[0, 2, 1, 3])
        value = node("Add", [value, linear(node("Reshape", [mixed, "flat"]), 256, 256)])
        norm = node("LayerNormalization", [value, constant(np.ones(256, np.float32)), constant(weights(256))])
        value = node("Add", [value, linear(node("Gelu", [linear(norm, 256, 1024)]), 1024, 256)])
    nodes[-1].output[0] = "y"
    return made("encoder", nodes, ["batch", "length", 256], ["batch", "length", 256], constants)


def pictures() -> onnx.ModelProto:
    """Convolutions 3 → 32 → 64 → 64 with strides 2, 1, 2, then a mean, on [batch, 3, height, width]."""
    nodes, constants, value = [], {}, "x"
    for i, (inputs, outputs, stride) in enumerate(((3, 32, 2), (32, 64, 1), (64, 64, 2))):
        constants |= {f"w{i}": weights(outputs, inputs, 3, 3), f"b{i}": weights(outputs)}
        shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        nodes += [
            helper.make_node("Conv", [value, f"w{i}", f"b{i}"], [f"m{i}"], **shape),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"]),
        ]
        value = f"r{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    return made("pictures", nodes, ["batch", 3, "height", "width"], ["batch", 64, 1, 1], constants)


Ranges = dict[str, tuple[int, int, int]]
NETWORKS: dict[str, tuple[Any, Ranges]] = {
    "mlp": (mlp, {"batch": (1, 16, 64)}),
    "encoder": (encoder, {"batch": (1, 4, 8), "length": (8, 64, 128)}),
    "pictures": (pictures, {"batch": (1, 2, 4), "height": (32, 64, 96), "width": (32, 64, 96)}),
}


def least(model: lathe.Model, seconds: float) -> float:
    run = model._bound.run  # type: ignore[union-attr]
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return best


def bench(name: str, model: onnx.ModelProto, ranges: Ranges, options: argparse.Namespace, folder: Path) -> Any:
    path = folder / f"{name}.onnx"
    onnx.save(model, path)

    def shapes(sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
        return {
            i.name: tuple(sizes[d.dim_param] if d.dim_param else d.dim_value for d in i.type.tensor_type.shape.dim)
            for i in model.graph.input
        }

    smallest, typical, largest = (shapes({k: r[i] for k, r in ranges.items()}) for i in range(3))
    engine = folder / f"{name}.lathe"
    begin = time.perf_counter()
    lathe.build(path, engine, min_shapes=smallest, opt_shapes=typical, max_shapes=largest)
    build_s = time.perf_counter() - begin
    one = lathe.load(engine, options.threads)
    random = np.random.default_rng(1)
    rows = []
    for _ in range(options.shapes):
        sizes = {k: int(random.integers(r[0], r[2] + 1)) for k, r in ranges.items()}
        inputs = example_inputs(one.inputs, shapes(sizes))
        begin = time.perf_counter()
        one.bind(inputs)
        got = {k: np.array(v) for k, v in one.run().items()}
        first = time.perf_counter() - begin
        static_file = folder / "static.lathe"
        lathe.build(path, static_file, shapes=shapes(sizes))
        static = lathe.load(static_file, options.threads)
        static.bind(inputs)
        for key, wanted in static.run().items():
            np.testing.assert_allclose(got[key], wanted, rtol=1e-3, atol=1e-3 * float(np.abs(wanted).max()))
        times = [[least(m, options.seconds) for m in (one, static)] for _ in range(options.rounds)]
        ours, theirs = (min(t[i] for t in times) * 1e3 for i in range(2))
        rows.append({"sizes": sizes, "ms": ours, "static_ms": theirs, "ratio": ours / theirs, "first_ms": first * 1e3})
        print(f"{name} {sizes}: {ours:.3f} ms, static {theirs:.3f} ms: {ours / theirs:.2f}", file=sys.stderr)
    ratios = [r["ratio"] for r in rows]
    return {
        "model": name,
        "ranges": ranges,
        "threads": options.threads,
        "build_s": build_s,
        "mean": float(np.exp(np.mean(np.log(ratios)))),
        "worst": max(ratios),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS) + ", or an ONNX file")
    parser.add_argument("--range", action="append", default=[], metavar="SYMBOL=MIN:OPT:MAX")
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each engine in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    given: Ranges = {}
    for text in options.range:
        symbol, _, numbers = text.partition("=")
        low, typical, high = map(int, numbers.split(":"))
        given[symbol] = (low, typical, high)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            if name in NETWORKS:
                make, ranges = NETWORKS[name]
                results.append(bench(name, make(), ranges | given, options, Path(folder)))
            else:
                results.append(bench(Path(name).stem, onnx.load(name), given, options, Path(folder)))
    print("| network | sizes | threads | mean ratio | worst | slowest sizes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for r in results:
        sizes = ", ".join(f"{k} {low}–{high}, opt {opt}" for k, (low, opt, high) in r["ranges"].items())
        worst = max(r["rows"], key=lambda row: row["ratio"])
        at = ", ".join(f"{k} {v}" for k, v in worst["sizes"].items())
        print(f"| {r['model']} | {sizes} | {r['threads']} | {r['mean']:.2f} | {r['worst']:.2f} | {at} |")
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
