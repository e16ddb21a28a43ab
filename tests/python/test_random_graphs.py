# SPDX-License-Identifier: Apache-2.0
"""Random graphs (random_graphs.py) on every instruction set of this machine, and a few on aarch64 under QEMU."""

from __future__ import annotations

from pathlib import Path

import cross
import lathe
import pytest
from agreement import disagreement, onnxruntime_outputs
from random_graphs import RandomGraph, check

TARGETS = [t["name"] for t in lathe.targets() if t["runs_here"]]


@pytest.mark.parametrize("seed", range(40))
def test_random_graph_agrees(seed: int) -> None:
    problems = check(seed, TARGETS)
    assert not problems, "\n".join([*problems, f"repeat: python random_graphs.py {seed}", str(RandomGraph(seed))])


def check_on_aarch64(machine: cross.Machine, seed: int, folder: Path) -> None:
    graph = RandomGraph(seed)
    engine = folder / "graph.lathe"
    lathe.build(graph.model, engine, target="aarch64-neon")
    for batch in graph.batches:
        feed = graph.feed(batch)
        want = onnxruntime_outputs(graph.model, feed)
        for got, (name, expected) in zip(machine.run(engine, list(feed.values())), want.items(), strict=True):
            problem = disagreement(got, expected)
            assert not problem, f"seed {seed}, aarch64, batch {batch}, output {name}: {problem}\n{graph}"


@pytest.fixture(scope="module")
def machine() -> cross.Machine:
    return cross.machine("aarch64")


@pytest.mark.parametrize("seed", range(1000, 1010))
def test_random_graph_agrees_on_aarch64(seed: int, machine: cross.Machine, tmp_path: Path) -> None:
    check_on_aarch64(machine, seed, tmp_path)
