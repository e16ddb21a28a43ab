# SPDX-License-Identifier: Apache-2.0
"""Models of one node, for tables of cases that are compared with ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lathe
import numpy as np
import onnx
from agreement import disagreement, onnxruntime_outputs
from onnx import helper, numpy_helper


@dataclass
class Case:
    """One node. Inputs are arrays; None is absent; those in `weights` are initializers of the model."""

    name: str
    op: str
    inputs: list[np.ndarray | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    weights: tuple[int, ...] = ()
    outputs: tuple[int, ...] = (0,)  # which outputs are asked for
    compared: tuple[int, ...] | None = None  # which of them are defined throughout
    domain: str = "com.microsoft"
    opset: int = 17
    version: int = 1  # of the domain
    tolerance: float = 1e-4
    quanta: int = 0  # by how much integers may differ
    symbols: dict[tuple[int, int], str] = field(default_factory=dict)  # (input, dimension) → symbol
    expected: list[np.ndarray] | None = None  # where ONNX Runtime's CPU provider lacks the operator
    twin: Case | None = None  # the same in a form that ONNX Runtime's CPU provider has

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def model(self, output_types: list[int] | None = None) -> onnx.ModelProto:
        names = ["" if a is None else f"in{i}" for i, a in enumerate(self.inputs)]
        out = [f"out{i}" if i in self.outputs else "" for i in range(max(self.outputs) + 1)]
        infos, weights = [], []
        for i, (name, a) in enumerate(zip(names, self.inputs, strict=True)):
            if a is None:
                continue
            if i in self.weights:
                weights.append(numpy_helper.from_array(a, name))
            else:
                shape = [self.symbols.get((i, d), n) for d, n in enumerate(a.shape)]
                infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), shape))
        node = helper.make_node(self.op, names, out, name="node", domain=self.domain, **self.attributes)
        # Without types ONNX Runtime infers them.
        results = [onnx.ValueInfoProto(name=o) for o in out if o]
        for info, kind in zip(results, output_types or [], strict=False):
            info.type.tensor_type.elem_type = kind
        graph = helper.make_graph([node], "one", infos, results, weights)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.domain:
            opsets.append(helper.make_opsetid(self.domain, self.version))
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def feed(self) -> dict[str, np.ndarray]:
        return {f"in{i}": a for i, a in enumerate(self.inputs) if a is not None and i not in self.weights}


def check(case: Case, folder: Path) -> None:
    """Fails with what differs between lathe and ONNX Runtime (or what is expected)."""
    feed = case.feed()
    path = folder / "model.onnx"
    if case.expected is None:
        model = case.model()
        twin = case.twin or case
        want = onnxruntime_outputs(twin.model(), twin.feed())
    else:
        want = {f"out{i}": a for i, a in zip(case.outputs, case.expected, strict=True)}
        model = case.model([helper.np_dtype_to_tensor_dtype(a.dtype) for a in case.expected])
    onnx.save(model, path)
    got = lathe.compile(str(path), threads=1)(feed)
    for name, expected in want.items():
        if case.compared is not None and int(name.removeprefix("out")) not in case.compared:
            continue
        expected = np.asarray(expected)
        actual = np.asarray(got[name])
        if case.quanta and expected.dtype.kind in "iu":
            assert actual.shape == expected.shape and actual.dtype == expected.dtype, f"{name}: {actual.shape}"
            worst = np.abs(actual.astype(np.int64) - expected.astype(np.int64)).max(initial=0)
            assert worst <= case.quanta, f"{name} differs by {worst} quanta"
            continue
        why = disagreement(actual, expected, case.tolerance)
        assert not why, f"{name}: {why}"
