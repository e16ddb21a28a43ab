# SPDX-License-Identifier: Apache-2.0
"""Every operator of the .pt2 importer against eager PyTorch: the cases of torch_cases.py, as torch exports them and as
they are after its decompositions.

One case again: `python tests/python/test_torch_operators.py FAMILY CASE`; without arguments all of them one by one, and at
the end the rows of the importer's table that no case has reached.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import lathe
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here")
import torch_cases  # noqa: E402
from agreement import disagreement  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2]
SEEN: set[str] = set()  # operators that were imported and agreed

# Cases that lathe refuses, as torch exports them or as they are decomposed, with what its message says: each is a debt.
EXPORTED, DECOMPOSED = (False,), (True,)
BOTH = (False, True)
UNSUPPORTED: dict[tuple[str, str], tuple[tuple[bool, ...], str]] = {
    ("creation", "linspace"): (EXPORTED, "logspace"),
    ("creation", "windows"): (BOTH, "hamming_window"),
    ("indexing", "bincount"): (BOTH, "bincount"),
    ("indexing", "cartesian"): (EXPORTED, "cartesian_prod"),
    ("indexing", "embedding_bag"): (BOTH, "embedding_bag"),
    ("indexing", "scatter_reduce_mean"): (BOTH, "this kind of reduction"),
    ("indexing", "scatter_without_self"): (BOTH, "this kind of reduction"),
    ("indexing", "triangle_indices"): (BOTH, "tril_indices"),
    ("indexing", "unique"): (BOTH, "_unique2"),
    ("linear", "addbmm"): (BOTH, "addbmm"),
    ("linear", "bilinear"): (DECOMPOSED, "_trilinear"),
    ("linear", "kron"): (EXPORTED, "kron"),
    ("linear", "matrix_power"): (EXPORTED, "matrix_power"),
    ("linear", "tensordot"): (EXPORTED, "tensordot"),
    ("pools", "adaptive_positions"): (BOTH, "not supported"),
    ("pools", "max2d_positions"): (BOTH, "not supported"),
    ("pools", "unpool"): (BOTH, "not supported"),
    ("recurrent", "lstm_projected"): (EXPORTED, "proj_size"),
    ("reductions", "cummax"): (BOTH, "cummax"),
    ("reductions", "logcumsumexp"): (BOTH, "logcumsumexp"),
    ("resizing", "grid_sample_bicubic_border"): (BOTH, "bicubic sampling with border padding"),
    ("torchvision", "deform_conv2d"): (BOTH, "deform_conv2d"),
    ("torchvision", "deform_conv2d_groups"): (BOTH, "deform_conv2d"),
    ("torchvision", "roi_pool"): (BOTH, "roi_pool"),
    ("views", "as_strided"): (BOTH, "as_strided"),
}


# Families that are not run decomposed: torch unrolls recurrent layers to thousands of nodes.
WHOLE = {"recurrent"}


class Cases(torch.nn.Module):
    """Several cases as one module: their tensors in a row, their results by name."""

    def __init__(self, cases: dict[str, Any]) -> None:
        super().__init__()
        self.cases = cases

    def forward(self, *tensors):
        at, results = 0, {}
        for name, (function, inputs) in self.cases.items():
            results[name] = function(*tensors[at : at + len(inputs)])
            at += len(inputs)
        return results


def export(cases: dict[str, Any], decomposed: bool) -> Any:
    inputs = tuple(t.clone() for _, tensors in cases.values() for t in tensors)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Cases(cases), inputs, strict=False)
        return program.run_decompositions() if decomposed else program


def operators(program: Any) -> set[str]:
    found = set()
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            if isinstance(node.target, torch._ops.OpOverload):
                found.add(str(node.target.overloadpacket))
    return found


def wrong(cases: dict[str, Any], decomposed: bool) -> dict[str, str]:
    """Case → what is wrong with it."""
    program = export(cases, decomposed)
    inputs = [t.clone() for _, tensors in cases.values() for t in tensors]
    compiled = lathe.compile(program, threads=1, math="strict")
    with torch.no_grad():
        want = Cases(cases)(*[t.clone() for t in inputs])
        got = compiled(*inputs)
    problems = {}
    for name in cases:
        a, b = (torch.utils._pytree.tree_leaves(result[name]) for result in (got, want))
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            tolerance = 1e-2 if y.dtype in (torch.float16, torch.bfloat16) else 1e-4
            if x.dtype == torch.bfloat16:
                x, y = x.float(), y.float()
            if text := disagreement(np.asarray(x), np.asarray(y), tolerance):
                problems.setdefault(name, f"result {i}: {text}")
    if not problems:
        SEEN.update(operators(program))
    return problems


def ways() -> list[Any]:
    return [
        pytest.param(name, decomposed, id=f"{name}-{'decomposed' if decomposed else 'exported'}")
        for name, cases in torch_cases.FAMILIES.items()
        if cases
        for decomposed in ((False,) if name in WHOLE else (False, True))
    ]


@pytest.mark.parametrize("family, decomposed", ways())
def test_family(family: str, decomposed: bool):
    cases = torch_cases.FAMILIES[family]
    supported = {n: c for n, c in cases.items() if decomposed not in UNSUPPORTED.get((family, n), ((), ""))[0]}
    assert wrong(supported, decomposed) == {}


@pytest.mark.parametrize(
    "family, case, decomposed",
    [(f, c, way) for (f, c), (refused, _) in UNSUPPORTED.items() for way in refused if torch_cases.FAMILIES[f]],
)
def test_what_is_unsupported_says_so(family: str, case: str, decomposed: bool):
    with pytest.raises(lathe.UnsupportedError, match=UNSUPPORTED[family, case][1]):
        lathe.compile(export({case: torch_cases.FAMILIES[family][case]}, decomposed), threads=1)


def main() -> None:
    only = sys.argv[1:]
    for family, cases in torch_cases.FAMILIES.items():
        for name, case in cases.items():
            if only and (family != only[0] or name not in (only[1:] or [name])):
                continue
            for decomposed in (False, True):
                try:
                    problem = wrong({name: case}, decomposed).get(name, "")
                except Exception as error:
                    problem = f"{type(error).__name__}: {str(error)[:400]}"
                if problem or only[1:]:
                    print(
                        f"{family} {name} {'decomposed' if decomposed else 'exported'}: {problem or 'agrees'}",
                        flush=True,
                    )
    rows = set(re.findall(r'^\s*\{"([\w.]+)"', (SOURCE / "src/import/pt2/table.cpp").read_text(), re.M))
    seen = {name.removesuffix("_") for name in SEEN} | SEEN
    if not only:
        print("rows that no case reached:", *sorted(rows - seen))


if __name__ == "__main__":
    main()
