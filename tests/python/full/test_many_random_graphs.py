# SPDX-License-Identifier: Apache-2.0
"""A thousand random graphs on every instruction set of this machine, a hundred on aarch64 under QEMU."""

from __future__ import annotations

from pathlib import Path

import cross
import pytest
from random_graphs import RandomGraph, check
from test_random_graphs import TARGETS, check_on_aarch64

CHUNK = 50


@pytest.mark.parametrize("first", range(0, 1000, CHUNK))
def test_random_graphs_agree(first: int) -> None:
    problems = [problem for seed in range(first, first + CHUNK) for problem in check(seed, TARGETS)]
    assert not problems, "\n".join([*problems, "repeat one: python random_graphs.py SEED TARGET"])


@pytest.mark.parametrize("seed", range(1010, 1110))
def test_random_graph_agrees_on_aarch64(seed: int, tmp_path: Path) -> None:
    check_on_aarch64(cross.machine("aarch64"), seed, tmp_path)


def test_seeds_are_graphs() -> None:
    """The same seed is the same graph, and graphs differ."""
    texts = {str(RandomGraph(seed)) for seed in range(20)}
    assert len(texts) == 20 and texts == {str(RandomGraph(seed)) for seed in range(20)}
