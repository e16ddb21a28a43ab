# SPDX-License-Identifier: Apache-2.0
"""lathe compare: the other runtimes, the page, and what is said where something is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Mlp
from lathe.compare import difference_of
from lathe.compare_page import page
from lathe.peers import ConversionError, Job, format_of, peers

ROW = ["p50_ms", "min_ms", "max_abs_diff", "cosine", "peak_rss_mb", "load_ms"]


@pytest.mark.parametrize("name", [name for name, peer in peers().items() if "onnx" in peer.formats and name != "lathe"])
def test_every_runtime_agrees_on_a_small_network(cli, mlp: Mlp, name: str):
    peer = peers()[name]
    pytest.importorskip(peer.package)
    if name == "ncnn":
        pytest.importorskip("pnnx")
    done = cli("compare", mlp.path, "--against", name, "--seconds", 0.1, "--json")
    assert done.code == 0, done.err
    ours, theirs = done.json["rows"]
    assert "error" not in theirs, theirs
    assert theirs["version"] and 0 < theirs["min_ms"] <= theirs["p50_ms"]
    if theirs["precision"] == "fp32":
        assert ours["max_abs_diff"] < 1e-4 and ours["cosine"] > 0.999


def test_a_runtime_that_cannot_convert_is_shown_so(tmp_path: Path):
    job = Job("m.onnx", "m.lathe", {}, [], 1, str(tmp_path), "")
    with pytest.raises(ConversionError, match="no such thing"):
        job.convert([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(1)"], "made")
    with pytest.raises(ConversionError):
        job.convert([sys.executable, "-c", ""], "made")
    file = job.convert([sys.executable, "-c", "open('made', 'w')"], "made")
    assert Path(file).exists() and job.convert_ms > 0


def test_a_runtime_that_does_not_read_the_format_is_refused(cli, mlp: Mlp):
    pytest.importorskip("torch")
    done = cli("compare", mlp.path, "--against", "torch", "--json")
    assert done.code == 2 and "pt2" in done.json["error"]["message"]


def test_formats_are_told_by_content(tmp_path: Path):
    for name, head in {
        "tflite": b"\x1c\0\0\0TFL3",
        "pt2": b"PK\x03\x04\0\0\0\0",
        "onnx": b"\x08\x0a\x12\x07pytorch",
    }.items():
        (tmp_path / "file").write_bytes(head)
        assert format_of(str(tmp_path / "file")) == name


def test_the_page_has_its_charts_and_nothing_from_outside(cli, mlp: Mlp, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    file = tmp_path / "page.html"
    assert cli("compare", mlp.path, "--against", "onnxruntime", "--seconds", 0.1, "--html", file).code == 0
    text = file.read_text()
    for title in ("Latency", "Memory", "Time of lathe", "Speed against the roofline"):
        assert f"<h2>{title}" in text
    assert text.count("<svg") == 4 and "nan" not in text
    assert not re.search(r"(src|href)=|@import|url\(", text)


def test_a_page_of_runtimes_that_failed_escapes_what_they_said():
    row = {"runtime": "<b>", "version": None, "precision": None, "error": "<script>", "p50_ms": None, "runs": 0}
    row |= {key: None for key in (*ROW, "quantiles_ms")}
    text = page({"model": "a<b.onnx", "threads": 1, "reference": None, "rows": [row]})
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_differences_ignore_extents_of_one_only():
    a = np.ones((1, 3, 1), np.float32)
    assert difference_of([a], [a[0]]) == (0, 0, pytest.approx(1))
    assert difference_of([a], [np.ones(4, np.float32)]) == (None, None, None)
    assert difference_of([a], [a, a]) == (None, None, None)


def test_measured_peaks_are_numbers():
    code = "import json; from lathe.measure import machine_peaks; print(json.dumps(machine_peaks(1)))"
    peaks = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert peaks["gflop_per_s"] > 0.1 and peaks["gbyte_per_s"] > 0.1
