# SPDX-License-Identifier: Apache-2.0
"""Small engines execute no more instructions than the table of bench/instructions.py says (within its tolerance)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
pytest.importorskip("onnxruntime")  # bench/ops.py, which makes the models, measures against it
import instructions  # noqa: E402

TABLE = json.loads(instructions.TABLE.read_text())


def test_the_table_has_every_case():
    assert list(TABLE) == list(instructions.cases())


@pytest.mark.skipif(instructions.missing() is not None, reason=str(instructions.missing()))
@pytest.mark.parametrize("name", TABLE)
def test_executes_no_more_than_before(name: str, tmp_path: Path):
    now, before = instructions.count(name, tmp_path), TABLE[name]
    assert now <= before * (1 + instructions.TOLERANCE), (
        f"{name}: {now} instructions a run, {before} before; if that is wanted: bench/instructions.py --only {name} --write"
    )
