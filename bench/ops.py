#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Every operator alone, at a small and a large size, against ONNX Runtime on one thread: which are slow?

  PYTHONPATH=build/python build/venv/bin/python bench/ops.py                 all of them, as a table
  …/ops.py Softmax TopK                                                      some
  …/ops.py --markdown docs/performance-ops.md                                the table as a page
  …/ops.py --markdown docs/performance-ops.md Softmax TopK                   only their rows, the others stay
  …/ops.py --above 1.5                                                       only where lathe takes 1.5 times as long

Both run the same one-node model on the same data in turns of a few milliseconds; a time is the least of all turns, so
that a loaded machine disturbs little. Small is a few hundred elements (what a call costs), large a few million (what an
element costs). A number above 1 in the last column: ONNX Runtime is faster.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lathe
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

RNG = np.random.default_rng(1)


@dataclass
class Case:
    op: str
    variant: str
    arrays: dict[str, np.ndarray]  # inputs
    weights: dict[str, np.ndarray]  # initializers
    attributes: dict[str, Any]
    order: list[str]  # the node's inputs; "" is absent
    outputs: int = 1
    domain: str = ""

    def model(self) -> onnx.ModelProto:
        def value(name: str, a: np.ndarray) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)

        outputs = [f"out{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, self.order, outputs, name=self.op, domain=self.domain, **self.attributes)
        graph = helper.make_graph(
            [node],
            self.op,
            [value(n, a) for n, a in self.arrays.items()],
            [onnx.ValueInfoProto(name=o) for o in outputs],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items()],
        )
        opsets = [helper.make_opsetid("", 21)] + ([helper.make_opsetid(self.domain, 1)] if self.domain else [])
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def floats(*shape: int, low: float = -1, high: float = 1) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(np.float32)


def case(op: str, *inputs: Any, variant: str = "", outputs: int = 1, domain: str = "", **attributes: Any) -> Case:
    """Inputs: arrays; ("w", array): an initializer; None: absent."""
    arrays, weights, order = {}, {}, []
    for i, a in enumerate(inputs):
        name = f"in{i}"
        if a is None:
            order.append("")
            continue
        order.append(name)
        if isinstance(a, tuple):
            weights[name] = np.asarray(a[1])
        else:
            arrays[name] = a
    return Case(op, variant, arrays, weights, attributes, order, outputs, domain)


def w(*values: Any, dtype: Any = np.int64) -> tuple[str, np.ndarray]:
    return ("w", np.asarray(values if len(values) != 1 else values[0], dtype))


UNARY = """Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish
Identity IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan
Tanh ThresholdedRelu Celu""".split()
DOMAINS = {"Acosh": (1, 9), "Log": (0.1, 9), "Sqrt": (0, 9), "Reciprocal": (0.1, 9)}
BINARY = "Add Sub Mul Div Max Min Mean Sum PRelu".split()
COMPARE = "Equal Greater GreaterOrEqual Less LessOrEqual".split()
LOGIC = "And Or Xor".split()
INTEGER = "BitwiseAnd BitwiseOr BitwiseXor".split()
REDUCE = """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare""".split()


def cases(large: bool) -> Iterator[Case]:
    n = 2048 if large else 16  # rows
    c = 1024 if large else 16  # columns
    x = floats(n, c)
    for op in UNARY:
        low, high = DOMAINS.get(op, (-1, 1))
        yield case(op, floats(n, c, low=low, high=high))
    yield case("Not", x > 0)
    yield case("Clip", x, w(-0.5, dtype=np.float32), w(0.5, dtype=np.float32))
    yield case("Cast", x, variant="f32 to i32", to=onnx.TensorProto.INT32)
    yield case("Cast", x, variant="f32 to f16", to=onnx.TensorProto.FLOAT16)
    yield case("Cast", (x * 100).astype(np.int8), variant="i8 to f32", to=onnx.TensorProto.FLOAT)
    for op in BINARY:
        yield case(op, x, floats(n, c, low=0.5))
    yield case("Add", x, floats(c), variant="row")
    yield case("Mul", x, floats(n, 1), variant="column")
    yield case("Pow", np.abs(x), floats(n, c))
    yield case("Pow", x, w(2, dtype=np.float32), variant="square")
    yield case("Mod", (x * 1000).astype(np.int32), np.full((n, c), 7, np.int32))
    for op in COMPARE:
        yield case(op, x, floats(n, c))
    for op in LOGIC:
        yield case(op, x > 0, floats(n, c) > 0)
    for op in INTEGER:
        yield case(op, (x * 1000).astype(np.int32), (x * 500).astype(np.int32))
    yield case("BitShift", (np.abs(x) * 1000).astype(np.uint32), np.full((n, c), 3, np.uint32), direction="LEFT")
    yield case("Where", x > 0, x, floats(n, c))
    for op in REDUCE:
        y = np.abs(x) + 0.1 if "Log" in op else x
        yield case(op, y, w([1]), variant="rows")
        yield case(op, y, w([0]), variant="columns")
    yield case("ReduceSum", x, variant="all")
    yield case("ArgMax", x, variant="rows", axis=1)
    yield case("ArgMin", x, variant="columns", axis=0)
    yield case("Softmax", x)
    yield case("Softmax", x, variant="axis 0", axis=0)
    yield case("LogSoftmax", x)
    yield case("Hardmax", x)
    yield case("LayerNormalization", x, ("w", floats(c)), ("w", floats(c)))
    yield case("CumSum", x, w(1, dtype=np.int64), variant="rows")
    yield case("CumSum", x, w(0, dtype=np.int64), variant="columns")
    yield case("TopK", x, w([min(10, c)]), outputs=2)
    yield case("Transpose", x, perm=[1, 0])
    t = floats(8, 64, 64, 64) if large else floats(1, 4, 8, 8)
    yield case("Transpose", t, variant="NCHW to NHWC", perm=[0, 2, 3, 1])
    yield case("Transpose", t, variant="0213", perm=[0, 2, 1, 3])
    yield case("Reshape", x, w([c, n]))
    yield case("Expand", floats(n, 1), w([n, c]))
    yield case("Tile", floats(n, c // 4), w([1, 4]))
    yield case("Concat", x, floats(n, c), axis=1)
    yield case("Split", x, variant="2 columns", outputs=2, axis=1, num_outputs=2)
    yield case("Slice", x, w([1]), w([c - 1]), w([1]), variant="columns")
    yield case("Slice", x, w([0]), w([c]), w([1]), w([2]), variant="step 2")
    yield case("Pad", x, w([1, 1, 1, 1]), variant="constant")
    yield case("Pad", x, w([1, 1, 1, 1]), variant="reflect", mode="reflect")
    rows = RNG.integers(0, n, n).astype(np.int64)
    yield case("Gather", x, rows, variant="rows", axis=0)
    yield case("Gather", x, RNG.integers(0, c, c // 2).astype(np.int64), variant="columns", axis=1)
    yield case("GatherElements", x, RNG.integers(0, c, (n, c)).astype(np.int64), axis=1)
    yield case("GatherND", x, np.stack([rows, RNG.integers(0, c, n)], 1).astype(np.int64))
    yield case("ScatterElements", x, RNG.permuted(np.tile(np.arange(c), (n, 1)), axis=1), floats(n, c), axis=1)
    yield case("ScatterND", x, RNG.permutation(n)[:, None].astype(np.int64), floats(n, c))
    yield case("OneHot", RNG.integers(0, 64, n * 4).astype(np.int64), w(64), w([0, 1], dtype=np.float32))
    yield case("NonZero", (x > 0.5).astype(np.float32))
    yield case("Unique", RNG.integers(0, 1000, n * (64 if large else 1)).astype(np.int64), outputs=4)
    yield case("Compress", x, np.arange(n) % 2 == 0, axis=0)
    yield case("Trilu", x)
    yield case("EyeLike", x)
    yield case("Range", w(0), w(n * c), w(1), variant="constants")
    yield case("ReverseSequence", x, np.full(n, c // 2, np.int64), batch_axis=0, time_axis=1)
    yield case("DepthToSpace", t, blocksize=2)
    yield case("SpaceToDepth", t, blocksize=2)
    yield case("MatMul", floats(512, 512) if large else floats(16, 16), floats(512, 512) if large else floats(16, 16))
    yield case("Gemm", x, ("w", floats(c, 256)), ("w", floats(256)))
    yield case(
        "Einsum",
        floats(64, 64, 64) if large else floats(2, 8, 8),
        floats(64, 64, 64) if large else floats(2, 8, 8),
        equation="bij,bjk->bik",
    )
    s, f = (56, 64) if large else (8, 4)
    image = floats(1, f, s, s)
    yield case("Conv", image, ("w", floats(f, f, 3, 3)), variant="3x3", pads=[1] * 4)
    yield case("Conv", image, ("w", floats(f, f, 1, 1)), variant="1x1")
    yield case("Conv", image, ("w", floats(f, 1, 3, 3)), variant="depthwise", pads=[1] * 4, group=f)
    yield case("ConvTranspose", image, ("w", floats(f, f, 2, 2)), strides=[2, 2])
    pool = dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    yield case("MaxPool", image, **pool)
    yield case("MaxPool", image, variant="with indices", outputs=2, **pool)
    yield case("AveragePool", image, **pool)
    yield case("LpPool", image, **pool)
    yield case("GlobalAveragePool", image)
    yield case("GlobalMaxPool", image)
    channel = [("w", floats(f)) for _ in range(3)]
    yield case("BatchNormalization", image, *channel, ("w", floats(f, low=0.5)))
    yield case("InstanceNormalization", image, channel[0], channel[1])
    yield case("GroupNormalization", image, channel[0], channel[1], num_groups=2)
    yield case("LRN", image, size=5)
    yield case("LpNormalization", x)
    yield case("MeanVarianceNormalization", image)
    up = w([1, 1, 2, 2], dtype=np.float32)
    yield case("Resize", image, None, up, variant="nearest", mode="nearest")
    yield case("Resize", image, None, up, variant="linear", mode="linear")
    yield case("Resize", image, None, up, variant="cubic", mode="cubic")
    yield case("GridSample", image, floats(1, s, s, 2))
    yield case("QuantizeLinear", x, w(0.02, dtype=np.float32), w(3, dtype=np.int8))
    yield case("DequantizeLinear", (x * 100).astype(np.int8), w(0.02, dtype=np.float32), w(3, dtype=np.int8))
    yield case("DynamicQuantizeLinear", x, outputs=3)
    q = (floats(n if large else 16, 512 if large else 16) * 100).astype(np.int8)
    yield case("MatMulInteger", q.astype(np.uint8), ("w", (floats(q.shape[1], 256) * 100).astype(np.int8)))
    steps, hidden = (64, 128) if large else (4, 8)
    sequence = floats(steps, 1, hidden)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        weights = [("w", floats(1, gates * hidden, hidden)) for _ in range(2)]
        yield case(op, sequence, *weights, hidden_size=hidden)
    boxes = np.sort(floats(1, 1000 if large else 20, 4, low=0), axis=2)
    scores = floats(1, 1, boxes.shape[1], low=0)
    yield case("NonMaxSuppression", boxes, scores, w([100]), w([0.5], dtype=np.float32), w([0.1], dtype=np.float32))
    yield case("DFT", floats(16 if large else 1, 1024 if large else 16, 1), None, w(1))
    yield case("Det", floats(64 if large else 1, 16, 16))
    yield case("FusedMatMul", x, ("w", floats(c, 256)), domain="com.microsoft", alpha=0.5)
    yield case("FastGelu", x, domain="com.microsoft")
    yield case("QuickGelu", x, domain="com.microsoft")
    yield case("SkipLayerNormalization", x[None], floats(1, n, c), ("w", floats(c)), domain="com.microsoft")


def turns(run: Callable[[], Any], seconds: float) -> float:
    """The least time of a call, of a turn of so many seconds."""
    best, end = math.inf, time.perf_counter() + seconds
    while True:
        begin = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - begin)
        if now >= end:
            return best


def measure(c: Case, folder: Path, rounds: int, seconds: float) -> tuple[float, float] | str:
    """(seconds of lathe, of ONNX Runtime), or what one of them does not do."""
    path = folder / "m.onnx"
    onnx.save(c.model(), path)
    try:
        mine = lathe.compile(str(path), threads=1)
        mine.bind(c.arrays)
        mine.run()
    except lathe.Error as error:
        return f"lathe: {str(error).splitlines()[-1].strip()}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        theirs = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        binding = theirs.io_binding()
        for name, a in c.arrays.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(a))
        for o in theirs.get_outputs():
            binding.bind_output(o.name, "cpu")
        theirs.run_with_iobinding(binding)
    except Exception as error:  # noqa: BLE001 (whatever it lacks)
        return f"ONNX Runtime: {str(error).splitlines()[0][:80]}"
    best = [math.inf, math.inf]
    for _ in range(rounds):
        best[0] = min(best[0], turns(mine.run, seconds))
        best[1] = min(best[1], turns(lambda: theirs.run_with_iobinding(binding), seconds))
    return best[0], best[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ops", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.02, help="of a turn")
    parser.add_argument("--above", type=float, default=0, help="show only these ratios")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[tuple[str, str, str, str, str, str]] = []
    worse = {False: 0, True: 0}
    count = {False: 0, True: 0}
    results: dict[tuple[str, str], dict[bool, tuple[float, float] | str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for large in (False, True):
            for c in cases(large):
                if options.ops and c.op not in options.ops:
                    continue
                r = measure(c, Path(folder), options.rounds, options.seconds)
                results.setdefault((c.op, c.variant), {})[large] = r
                if not isinstance(r, str):
                    count[large] += 1
                    worse[large] += r[0] > 1.5 * r[1]
                    if r[0] < options.above * r[1]:
                        continue
                text = r if isinstance(r, str) else f"{r[0] * 1e6:10.1f} {r[1] * 1e6:10.1f} {r[0] / r[1]:6.2f}"
                print(f"{'large' if large else 'small'} {c.op:24} {c.variant:14} {text}", flush=True)
    summary = (
        f"Slower than 1.5 times ONNX Runtime: {worse[False]} of {count[False]} at the small size, "
        f"{worse[True]} of {count[True]} at the large one."
    )
    print(summary)
    if options.markdown:
        for (op, variant), by_size in results.items():
            cells = []
            for large in (False, True):
                r = by_size.get(large, "")
                cells += (
                    [r, "", ""]
                    if isinstance(r, str)
                    else [f"{r[0] * 1e6:.1f}", f"{r[1] * 1e6:.1f}", f"{r[0] / r[1]:.2f}"]
                )
            rows.append((f"{op} {variant}".strip(), *cells))
        write_page(options.markdown, rows if not options.ops else replaced(options.markdown, rows))
    return 0


def replaced(path: Path, rows: list[Any]) -> list[Any]:
    """The rows of the page, those of `rows` in the place of older ones."""
    new = {row[0]: row for row in rows}
    old = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("| ")][2:]
    return [new.pop(row[0], row) for row in old] + list(new.values())


def summary_of(rows: list[Any]) -> str:
    ratios = [[float(row[i]) for row in rows if row[i]] for i in (3, 6)]
    worse = [sum(ratio > 1.5 for ratio in column) for column in ratios]
    return (
        f"Slower than 1.5 times ONNX Runtime: {worse[0]} of {len(ratios[0])} at the small size, "
        f"{worse[1]} of {len(ratios[1])} at the large one."
    )


def write_page(path: Path, rows: list[Any]) -> None:
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), platform.machine()
    )
    lines = [
        "# Operators against ONNX Runtime",
        "",
        f"Microseconds a call, one thread, least of all turns; ratio: lathe's time over ONNX Runtime's ({onnxruntime.__version__}), "
        f"below 1 is faster. {cpu}, a shared machine. `bench/ops.py --markdown docs/performance-ops.md` writes this page, with names of operators only their rows.",
        "",
        summary_of(rows),
        "",
        "| operator | small: lathe | ONNX Runtime | ratio | large: lathe | ONNX Runtime | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
        "",
    ]
    path.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
