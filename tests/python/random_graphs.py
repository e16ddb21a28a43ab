# SPDX-License-Identifier: Apache-2.0
"""Random small ONNX graphs: odd sizes, sizes of one and of zero, broadcasts, and operators after operators that nobody
would write by hand. A seed is a graph.

    random_graphs.py SEED [TARGET]     # its nodes, and whether it agrees with ONNX Runtime

What a graph may contain keeps differences of rounding small: values stay within a few units, and operators that jump
(comparisons, Floor, ArgMax) read only what every implementation computes to the bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
SIZES = [1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 19, 31, 33]
UNARY = ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Erf", "Abs", "Neg", "HardSwish", "Softplus", "Elu", "Sin", "Identity"]
BINARY = ["Add", "Sub", "Mul", "Min", "Max"]


@dataclass(frozen=True)
class Value:
    name: str
    shape: tuple[int, ...]  # with the batch that the graph is made for
    exact: bool  # every implementation has the same bits

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class RandomGraph:
    """`model` and `feed(batch)`. Where `batched`, dimension 0 of every value is the symbol "batch"."""

    BATCH = 3

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.batched = bool(self.random.random() < 0.3)
        self.empty = bool(self.random.random() < 0.06)
        self.first = 1 if self.batched else 0  # lowest axis that operators may change
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: list[Value] = []
        self.inputs: list[Value] = []
        self.outputs: list[tuple[str, int]] = []
        for _ in range(self.integer(1, 3)):
            self.inputs.append(Value(f"x{len(self.inputs)}", self.shape(), True))
        self.values += self.inputs
        steps = [s for s in STEPS if not self.empty or s in WITH_EMPTY]
        for _ in range(self.integer(4, 20)):
            self.choose(steps)(self)
        used = {name for node in self.nodes for name in node.input}
        self.outputs += [(v.name, FLOAT) for v in self.values if v.name not in used and v not in self.inputs]
        if not self.outputs:
            self.unary()
            self.outputs.append((self.values[-1].name, FLOAT))
        self.model = self.finish()

    # --- choices

    def integer(self, low: int, high: int) -> int:
        """Both ends included."""
        return int(self.random.integers(low, high + 1))

    def choose(self, items: Sequence[Any]) -> Any:
        return items[self.integer(0, len(items) - 1)]

    def chance(self, p: float) -> bool:
        return bool(self.random.random() < p)

    def size(self) -> int:
        return 0 if self.empty and self.chance(0.2) else self.choose(SIZES)

    def shape(self) -> tuple[int, ...]:
        rank = self.choose([1, 2, 3, 4, 4, 4])
        dims = [self.size() for _ in range(rank)]
        while np.prod(dims) > 4096:
            dims[int(np.argmax(dims))] //= 2
        return (self.BATCH, *dims[1:]) if self.batched else tuple(dims)

    def value(self, wanted: Callable[[Value], bool] = lambda _: True) -> Value | None:
        found = [v for v in self.values if wanted(v)]
        if not found:
            return None
        return found[-1] if self.chance(0.6) else self.choose(found)

    def together(self, a: Value, b: Value) -> tuple[int, ...] | None:
        """The shape that both broadcast to."""
        if self.batched and a.rank != b.rank:
            return None
        try:
            shape = np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            return None
        return shape if np.prod(shape) <= 20000 else None

    # --- building

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int) -> str:
        fan = max(1, int(np.prod(shape[1:])))
        return self.constant((self.random.standard_normal(shape) / np.sqrt(fan)).astype(np.float32))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{len(self.nodes)}", **attributes))
        return name

    def add(self, name: str, shape: Sequence[int], exact: bool = False) -> None:
        self.values.append(Value(name, tuple(int(d) for d in shape), exact))

    # --- operators

    def unary(self) -> None:
        v = self.value()
        op = self.choose(UNARY)
        exact = v.exact and op in ("Relu", "Abs", "Neg", "Identity")
        self.add(self.node(op, v.name), v.shape, exact)

    def positive(self) -> None:
        """Operators that want a domain, after what keeps to it."""
        v = self.value()
        op = self.choose(["Exp", "Log", "Sqrt", "Reciprocal", "Pow"])
        if op == "Exp":
            y = self.node("Exp", self.node("Clip", v.name, self.constant(np.float32(-3)), self.constant(np.float32(2))))
        else:
            x = self.node("Add", self.node("Abs", v.name), self.constant(np.float32(0.5)))
            y = (
                self.node(op, x, self.constant(np.float32(self.choose([0.5, 1.5, 2, -1]))))
                if op == "Pow"
                else self.node(op, x)
            )
        self.add(self.node("Tanh", y), v.shape)

    def binary(self) -> None:
        """With another value where shapes allow, else with a constant that broadcasts one way or both."""
        a = self.value()
        others = [v for v in self.values if v is not a and self.together(a, v)]
        if others and self.chance(0.6):
            b = self.choose(others)
            name, other, exact = b.name, b.shape, b.exact
        else:
            other = tuple(d if self.chance(0.6) else 1 for d in a.shape)[self.integer(0, a.rank - 1) if a.rank else 0 :]
            if self.batched and len(other) == a.rank:
                other = (1, *other[1:])
            if not self.empty and not self.batched and self.chance(0.3):
                other = tuple(
                    self.choose([2, 3]) if x == y == 1 else x
                    for x, y in zip(other, a.shape[a.rank - len(other) :], strict=True)
                )
            name, exact = self.weights(*other), True
        op = self.choose(BINARY)
        pair = (a.name, name) if self.chance(0.5) else (name, a.name)
        y = self.node(op, *pair)
        shape = np.broadcast_shapes(a.shape, other)
        if np.prod(shape) > 20000:
            self.nodes.pop()
            return
        self.add(y, shape, a.exact and exact and op in ("Min", "Max"))

    def divide(self) -> None:
        a = self.value()
        b = self.value(lambda v: self.together(a, v) is not None)
        if not b:
            return
        d = self.node("Add", self.node("Abs", b.name), self.constant(np.float32(0.5)))
        self.add(self.node("Div", a.name, d), np.broadcast_shapes(a.shape, b.shape))

    def select(self) -> None:
        a = self.value(lambda v: v.exact)
        b = self.value(lambda v: v.shape == a.shape)
        limit = self.constant(np.float32(self.random.standard_normal()))
        condition = self.node(self.choose(["Greater", "Less", "GreaterOrEqual"]), a.name, limit)
        if self.chance(0.3):
            condition = self.node("Not", condition)
        if self.chance(0.2):
            self.outputs.append((condition, BOOL))
        self.add(self.node("Where", condition, a.name, b.name), a.shape, b.exact)

    def jump(self) -> None:
        v = self.value(lambda v: v.exact)
        self.add(self.node(self.choose(["Floor", "Ceil", "Round", "Sign"]), v.name), v.shape, True)

    def integers(self) -> None:
        v = self.value(lambda v: v.exact)
        ten = self.node("Mul", v.name, self.constant(np.float32(8)))
        i = self.node("Cast", ten, to=INT64)
        i = self.node(self.choose(["Add", "Mul", "Sub"]), i, self.constant(np.int64(self.integer(-3, 3))))
        if self.chance(0.3):
            self.outputs.append((i, INT64))
        self.add(self.node("Mul", self.node("Cast", i, to=FLOAT), self.constant(np.float32(0.125))), v.shape, True)

    def transpose(self) -> None:
        v = self.value(lambda v: v.rank > self.first)
        if not v:
            return
        order = list(range(self.first)) + [int(i) + self.first for i in self.random.permutation(v.rank - self.first)]
        self.add(self.node("Transpose", v.name, perm=order), [v.shape[i] for i in order], v.exact)

    def reshape(self) -> None:
        v = self.value(lambda v: v.rank >= 2 and v.count > 0)
        if not v:
            return
        kept, rest = v.shape[: self.first], list(v.shape[self.first :])
        if self.chance(0.5) and len(rest) > 1:  # join two
            at = self.integer(0, len(rest) - 2)
            rest[at : at + 2] = [rest[at] * rest[at + 1]]
        else:  # split one, or make a dimension of one
            at = self.integer(0, len(rest) - 1)
            divisors = [d for d in (1, 2, 3, 4, 5, 7, 8) if rest[at] % d == 0]
            d = self.choose(divisors)
            rest[at : at + 1] = [d, rest[at] // d]
        if len(rest) > 5:
            return
        target = [0] * len(kept) + rest
        if not self.batched and self.chance(0.3) and rest:
            target[self.integer(0, len(rest) - 1)] = -1
        self.add(self.node("Reshape", v.name, self.constant(np.int64(target))), (*kept, *rest), v.exact)

    def concat(self) -> None:
        v = self.value(lambda v: v.rank > self.first)
        if not v:
            return
        axis = self.integer(self.first, v.rank - 1)
        same = [
            w
            for w in self.values
            if w.rank == v.rank and w.shape[:axis] == v.shape[:axis] and w.shape[axis + 1 :] == v.shape[axis + 1 :]
        ]
        parts = [v] + [self.choose(same) for _ in range(self.integer(1, 2))]
        size = sum(p.shape[axis] for p in parts)
        shape = [*v.shape[:axis], size, *v.shape[axis + 1 :]]
        if np.prod(shape) > 20000:
            return
        self.add(
            self.node("Concat", *(p.name for p in parts), axis=axis if self.chance(0.5) else axis - v.rank),
            shape,
            all(p.exact for p in parts),
        )

    def slice(self) -> None:
        v = self.value(lambda v: v.rank > self.first)
        if not v:
            return
        axes = [a for a in range(self.first, v.rank) if self.chance(0.6)] or [v.rank - 1]
        starts, ends, steps, shape = [], [], [], list(v.shape)
        for axis in axes:
            n = v.shape[axis]
            step = self.choose([1, 1, 1, 2, 3, -1, -2])
            a, b = sorted((self.integer(0, n), self.integer(0, n)))
            if a == b and not self.empty:
                a, b = 0, n
            start, end = (a, b) if step > 0 else (b - 1, a - 1 if a else -n - 1)
            if step < 0 and n == 0:
                start, end, step = 0, 0, 1
            starts, ends, steps = [*starts, start], [*ends, end], [*steps, step]
            shape[axis] = len(range(n)[slice(start, end if end >= -n else None, step)])
        y = self.node("Slice", v.name, *(self.constant(np.int64(x)) for x in (starts, ends, axes, steps)))
        self.add(y, shape, v.exact)

    def pad(self) -> None:
        v = self.value(lambda v: v.rank > self.first and v.count > 0)
        if not v:
            return
        low = [0] * self.first + [self.choose([0, 0, 1, 2]) for _ in range(v.rank - self.first)]
        high = [0] * self.first + [self.choose([0, 0, 1, 3]) for _ in range(v.rank - self.first)]
        mode = self.choose(["constant", "constant", "edge", "reflect"])
        if mode == "reflect":
            low, high = ([min(p, max(0, n - 1)) for p, n in zip(x, v.shape, strict=True)] for x in (low, high))
        shape = [a + n + b for a, n, b in zip(low, v.shape, high, strict=True)]
        if np.prod(shape) > 20000:
            return
        fill = [self.constant(np.float32(0.25))] if mode == "constant" else []
        self.add(self.node("Pad", v.name, self.constant(np.int64(low + high)), *fill, mode=mode), shape, v.exact)

    def gather(self) -> None:
        v = self.value(lambda v: v.rank > self.first and v.count > 0)
        if not v:
            return
        axis = self.integer(self.first, v.rank - 1)
        n = v.shape[axis]
        count = self.integer(1, 5)
        index = self.random.integers(-n, n, count).astype(np.int64)
        self.add(
            self.node("Gather", v.name, self.constant(index), axis=axis),
            [*v.shape[:axis], count, *v.shape[axis + 1 :]],
            v.exact,
        )

    def tile(self) -> None:
        v = self.value(lambda v: v.rank > self.first and v.count < 2000)
        if not v:
            return
        times = [1] * self.first + [self.choose([1, 1, 2, 3]) for _ in range(v.rank - self.first)]
        shape = [n * t for n, t in zip(v.shape, times, strict=True)]
        if np.prod(shape) > 20000:
            return
        self.add(self.node("Tile", v.name, self.constant(np.int64(times))), shape, v.exact)

    def reduce(self) -> None:
        v = self.value(lambda v: v.rank > self.first)
        if not v:
            return
        op = self.choose(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"])
        axes = [a for a in range(self.first, v.rank) if self.chance(0.5)] or [v.rank - 1]
        if any(v.shape[a] == 0 for a in axes):
            return
        keep = self.chance(0.5)
        shape = [1 if a in axes else n for a, n in enumerate(v.shape) if keep or a not in axes]
        y = self.node(op, v.name, self.constant(np.int64(axes)), keepdims=int(keep))
        if op in ("ReduceSum", "ReduceL2"):
            y = self.node("Mul", y, self.constant(np.float32(1 / np.sqrt(np.prod([v.shape[a] for a in axes])))))
        self.add(y, shape, v.exact and op in ("ReduceMax", "ReduceMin"))

    def arg(self) -> None:
        v = self.value(lambda v: v.exact and v.rank > self.first and v.count > 0)
        if not v:
            return
        axis = self.integer(self.first, v.rank - 1)
        y = self.node(
            self.choose(["ArgMax", "ArgMin"]), v.name, axis=axis, keepdims=1, select_last_index=int(self.chance(0.3))
        )
        shape = [1 if a == axis else n for a, n in enumerate(v.shape)]
        self.add(self.node("Mul", self.node("Cast", y, to=FLOAT), self.constant(np.float32(0.125))), shape, True)

    def softmax(self) -> None:
        v = self.value(lambda v: v.rank > self.first)
        if not v:
            return
        op = self.choose(["Softmax", "Softmax", "LogSoftmax"])
        self.add(self.node(op, v.name, axis=self.integer(self.first, v.rank - 1)), v.shape)

    def layer_norm(self) -> None:
        v = self.value(lambda v: v.rank > self.first and v.shape[-1] > 1)
        if not v:
            return
        axis = self.integer(max(self.first, v.rank - 2), v.rank - 1)
        tail = v.shape[axis:]
        self.add(
            self.node("LayerNormalization", v.name, self.weights(*tail), self.weights(*tail), axis=axis, epsilon=1e-2),
            v.shape,
        )

    def matmul(self) -> None:
        v = self.value(lambda v: v.rank >= 2 and v.rank > self.first)
        if not v:
            return
        k, m = v.shape[-1], v.shape[-2]
        pairs = [w for w in self.values if w.rank == v.rank and w.shape[-2] == k and w.shape[:-2] == v.shape[:-2]]
        if self.batched and v.rank == 2:
            pairs = []
        if pairs and self.chance(0.6):
            w = self.choose(pairs)
            y, n = self.node("MatMul", v.name, w.name), w.shape[-1]
            y = self.node("Mul", y, self.constant(np.float32(1 / np.sqrt(max(1, k)))))
        elif self.chance(0.3) and not (self.batched and v.rank == 2):  # with its own transpose
            order = [*range(v.rank - 2), v.rank - 1, v.rank - 2]
            y, n = self.node("MatMul", v.name, self.node("Transpose", v.name, perm=order)), m
            y = self.node("Mul", y, self.constant(np.float32(1 / max(1, k))))
        else:
            n = self.size()
            y = self.node(
                "MatMul",
                v.name,
                self.constant((self.random.standard_normal((k, n)) / np.sqrt(max(1, k))).astype(np.float32)),
            )
        if m * n * np.prod(v.shape[:-2]) > 20000:
            del self.nodes[-1]
            return
        if self.chance(0.5):
            y = self.node("Add", y, self.weights(n))
        self.add(y, (*v.shape[:-1], n))

    def conv(self) -> None:
        v = self.value(lambda v: v.rank in (3, 4) and v.count > 0)
        if not v:
            return
        channels, sizes = v.shape[1], v.shape[2:]
        groups = self.choose([1, 1, channels, *(g for g in (2, 3, 4) if channels % g == 0)])
        out = groups * self.integer(1, max(1, 24 // groups))
        kernel, stride, dilation, low, high, shape = [], [], [], [], [], []
        for n in sizes:
            d = self.choose([1, 1, 1, 2])
            k = self.choose([k for k in (1, 1, 2, 3, 3, 5) if (k - 1) * d + 1 <= n + 4])
            reach = (k - 1) * d + 1
            a, b = self.integer(0, min(2, k)), self.integer(0, min(2, k))
            while n + a + b < reach:
                a += 1
            s = self.choose([1, 1, 2, 3])
            kernel.append(k), stride.append(s), dilation.append(d), low.append(a), high.append(b)
            shape.append((n + a + b - reach) // s + 1)
        w = self.weights(out, channels // groups, *kernel)
        bias = [self.weights(out)] if self.chance(0.7) else []
        y = self.node("Conv", v.name, w, *bias, group=groups, strides=stride, dilations=dilation, pads=low + high)
        if self.chance(0.4):
            y = self.node(self.choose(["Relu", "Sigmoid", "HardSwish"]), y)
        self.add(y, (v.shape[0], out, *shape))

    def pool(self) -> None:
        v = self.value(lambda v: v.rank in (3, 4) and v.count > 0)
        if not v:
            return
        op = self.choose(["MaxPool", "AveragePool", "GlobalAveragePool"])
        if op == "GlobalAveragePool":
            self.add(self.node(op, v.name), (*v.shape[:2], *(1 for _ in v.shape[2:])))
            return
        kernel, stride, low, high, shape = [], [], [], [], []
        for n in v.shape[2:]:
            k = self.choose([k for k in (1, 2, 3) if k <= n])
            a, b, s = self.integer(0, k - 1), self.integer(0, k - 1), self.choose([1, 2, 3])
            kernel.append(k), stride.append(s), low.append(a), high.append(b)
            shape.append((n + a + b - k) // s + 1)
        more = {"count_include_pad": int(self.chance(0.5))} if op == "AveragePool" else {}
        y = self.node(op, v.name, kernel_shape=kernel, strides=stride, pads=low + high, **more)
        self.add(y, (*v.shape[:2], *shape), v.exact and op == "MaxPool")

    def resize(self) -> None:
        v = self.value(lambda v: v.rank == 4 and v.count > 0 and v.count < 2000)
        if not v:
            return
        scales = np.float32([1, 1, self.choose([1, 2, 3]), self.choose([1, 2])])
        mode, how = self.choose([("nearest", "asymmetric"), ("linear", "half_pixel"), ("linear", "asymmetric")])
        rounding = {"nearest_mode": "floor"} if mode == "nearest" else {}
        y = self.node(
            "Resize", v.name, "", self.constant(scales), mode=mode, coordinate_transformation_mode=how, **rounding
        )
        self.add(y, (np.array(v.shape) * scales.astype(int)), v.exact and mode == "nearest")

    # --- the result

    def finish(self) -> onnx.ModelProto:
        def info(v: Value) -> onnx.ValueInfoProto:
            dims: list[int | str] = ["batch", *v.shape[1:]] if self.batched else list(v.shape)
            return helper.make_tensor_value_info(v.name, FLOAT, dims)

        used = {name for node in self.nodes for name in node.input}
        self.inputs = [v for v in self.inputs if v.name in used]
        outputs = [helper.make_tensor_value_info(name, dtype, None) for name, dtype in dict(self.outputs).items()]
        graph = helper.make_graph(self.nodes, "random", [info(v) for v in self.inputs], outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)

    def feed(self, batch: int = BATCH) -> dict[str, np.ndarray]:
        random = np.random.default_rng(batch)
        shapes = {v.name: ((batch, *v.shape[1:]) if self.batched else v.shape) for v in self.inputs}
        return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    @property
    def batches(self) -> tuple[int, ...]:
        return (self.BATCH, 1, 4) if self.batched else (self.BATCH,)

    def __str__(self) -> str:
        text = [f"{v.name}: {list(v.shape)}{' (dimension 0 is symbolic)' if self.batched else ''}" for v in self.inputs]
        constants = {c.name: list(c.dims) for c in self.constants}
        shapes = {v.name: list(v.shape) for v in self.values}
        for n in self.nodes:
            inputs = ", ".join(f"{i}{constants.get(i, '')}" for i in n.input)
            attributes = ", ".join(f"{a.name}={helper.get_attribute_value(a)}" for a in n.attribute)
            text.append(f"{n.output[0]}{shapes.get(n.output[0], '')} = {n.op_type}({inputs}) {attributes}")
        return "\n".join([*text, f"outputs: {', '.join(dict(self.outputs))}"])


G = RandomGraph
WITH_EMPTY = [G.unary, G.binary, G.transpose, G.concat, G.slice, G.matmul, G.reduce, G.select, G.integers]
STEPS = [
    *(3 * [G.unary, G.binary, G.conv]),
    *(2 * [G.concat, G.slice, G.matmul, G.transpose, G.reshape, G.reduce, G.pool]),
    G.positive, G.divide, G.select, G.jump, G.integers, G.pad, G.gather, G.tile, G.arg, G.softmax, G.layer_norm, G.resize,
]  # fmt: skip


def check(seed: int, targets: Sequence[str]) -> list[str]:
    """What is wrong with the graph of `seed` on these targets of this machine."""
    import lathe
    from agreement import disagreement, onnxruntime_outputs

    graph = RandomGraph(seed)
    problems = []
    wanted = {batch: onnxruntime_outputs(graph.model, graph.feed(batch)) for batch in graph.batches}
    for target in targets:
        try:
            model = lathe.compile(graph.model, threads=1, target=target)
            two = model.clone(threads=2)
            for batch, want in wanted.items():
                got, again = model(graph.feed(batch)), two(graph.feed(batch))
                for name, expected in want.items():
                    problem = disagreement(got[name], expected)
                    if not problem and got[name].tobytes() != again[name].tobytes():
                        problem = "1 and 2 threads differ"
                    if problem:
                        problems.append(f"seed {seed}, {target}, batch {batch}, output {name}: {problem}")
        except lathe.Error as error:
            problems.append(f"seed {seed}, {target}: {type(error).__name__}: {error}")
    return problems


if __name__ == "__main__":
    print(RandomGraph(int(sys.argv[1])))
    print("\n".join(check(int(sys.argv[1]), sys.argv[2:] or ["host"])) or "agrees")
