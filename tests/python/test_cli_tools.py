# SPDX-License-Identifier: Apache-2.0
"""lathe bench, inspect, verify, targets, doctor and compare."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Mlp


def test_bench_follows_its_contract(cli, mlp_engine: Path):
    done = cli("bench", mlp_engine, "--threads", 1, "--seconds", 0.2, "--json")
    assert done.code == 0, done.err
    result = done.json
    assert list(result) == [
        "engine", "threads", "runs", "latency_ms", "throughput_per_s", "peak_rss_mb", "load_ms", "first_run_ms",
    ]  # fmt: skip
    latency = result["latency_ms"]
    assert list(latency) == ["min", "p50", "p90", "p99", "mean"]
    assert 0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"]
    assert result["threads"] == 1 and result["runs"] >= 5
    assert 0 < result["peak_rss_mb"] < 100, "the compiler is not in memory while measuring"
    assert result["engine"] == str(mlp_engine)


def test_bench_builds_a_model_first(cli, batch_mlp: Mlp):
    done = cli("bench", batch_mlp.path, "--seconds", 0.05, "--json")
    assert done.code == 0, done.err
    assert done.json["peak_rss_mb"] < 100
    assert "p50" in cli("bench", batch_mlp.path, "--seconds", 0.05).out


def test_bench_takes_shapes_for_an_engine(cli, batch_mlp: Mlp, tmp_path: Path):
    assert cli("build", batch_mlp.path, "-o", tmp_path / "m.lathe").code == 0
    assert cli("bench", tmp_path / "m.lathe", "--shape", "x=16x8", "--seconds", 0.05).code == 0
    assert cli("bench", tmp_path / "m.lathe", "--shape", "x=16x9", "--seconds", 0.05).code == 2
    assert cli("bench", tmp_path / "m.lathe", "--shape", "nix=16x8", "--seconds", 0.05).code == 2


def test_profile_is_a_chrome_trace_with_every_kernel(cli, mlp_engine: Path, tmp_path: Path):
    trace = tmp_path / "trace.json"
    done = cli("bench", mlp_engine, "--seconds", 0.05, "--profile", trace)
    assert done.code == 0, done.err
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"first", "second"} <= set(re.split(r"\W+", " ".join(e["args"]["node"] for e in events)))
    assert all(e["ph"] == "X" and e["dur"] >= 0 for e in events)
    assert "GFLOP/s" in done.out


def test_ctrl_c_ends_bench(lathe_program: str, mlp_engine: Path):
    process = subprocess.Popen([lathe_program, "bench", mlp_engine, "--seconds", "60"], stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_inspect_shows_every_node(cli, mlp_engine: Path):
    done = cli("inspect", mlp_engine, "--json")
    assert done.code == 0, done.err
    inspection = done.json
    assert inspection["inputs"] == [{"name": "x", "dtype": "float32", "shape": [3, 8]}]
    assert inspection["outputs"] == [{"name": "y", "dtype": "float32", "shape": [3, 4]}]
    assert inspection["file_bytes"] == mlp_engine.stat().st_size
    (target,) = inspection["targets"]
    assert target["runs_here"] and target["code_bytes"] > 0 and target["arena_bytes"] > 0
    for node in target["nodes"]:
        assert {"node", "op", "kernel", "where", "precision", "tactic"} <= set(node)
    nodes = " ".join(n["node"] for n in target["nodes"])
    assert "first" in nodes and "second" in nodes
    assert "float32" in target["nodes"][0]["precision"]


def test_inspect_for_people(cli, mlp: Mlp, mlp_engine: Path):
    assert "x: float32 [3, 8]" in cli("inspect", mlp_engine).out
    assert "x: float32 [3, 8]" in cli("inspect", mlp.path).out


def test_inspect_text_of_a_model_is_its_graph(cli, mlp: Mlp, mlp_engine: Path):
    done = cli("inspect", mlp.path, "--text")
    assert done.code == 0, done.err
    assert "f32" in done.out and "x" in done.out
    assert "float32" in cli("inspect", mlp_engine, "--text").out


def test_inspect_html_needs_nothing_else(cli, mlp: Mlp, tmp_path: Path):
    page = tmp_path / "page.html"
    done = cli("inspect", mlp.path, "--html", page)
    assert done.code == 0, done.err
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert not re.search(r"(src|href)\s*=|https?://|@import", text)
    assert "first" in text


def test_verify(cli, mlp_engine: Path, tmp_path: Path):
    assert cli("verify", mlp_engine).code == 0
    content = bytearray(mlp_engine.read_bytes())
    content[-100] ^= 1  # in the weights, which loading does not read
    (tmp_path / "m.lathe").write_bytes(content)
    done = cli("verify", tmp_path / "m.lathe", "--json")
    assert done.code in (4, 5)
    assert done.json["error"]["code"] == done.code


def test_targets(cli):
    targets = cli("targets", "--json").json["targets"]
    assert sum(t["is_host_default"] for t in targets) == 1
    assert any(t["runs_here"] for t in targets)
    assert {t["arch"] for t in targets} >= {"x86_64", "aarch64"}
    for target in targets:
        assert target["name"] in cli("targets").out


def test_engine_of_another_machine_says_so(cli, mlp: Mlp, tmp_path: Path):
    other = next(t for t in cli("targets", "--json").json["targets"] if not t["runs_here"] and t["arch"] == "aarch64")
    assert cli("build", mlp.path, "-o", tmp_path / "m.lathe", "--target", other["name"]).code == 0
    np.savez(tmp_path / "in.npz", x=np.zeros((3, 8), np.float32))
    done = cli("run", tmp_path / "m.lathe", "--inputs", tmp_path / "in.npz")
    assert done.code == 6
    assert other["name"] in done.err
    assert not cli("inspect", tmp_path / "m.lathe", "--json").json["targets"][0]["runs_here"]


def test_doctor(cli):
    done = cli("doctor", "--json")
    report = done.json
    assert {"processor", "targets", "threads", "memory", "compiler", "Python"} <= {c["check"] for c in report["checks"]}
    assert done.code == (0 if report["ok"] else 1)
    for check in report["checks"]:
        assert check["state"] == "ok" or check["fix"], "what is wrong comes with the way out"


def test_doctor_without_a_home(cli):
    done = cli("doctor", "--json", env={"HOME": "", "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""})
    assert done.code == 1
    assert any(c["state"] == "problem" and "HOME" in c["fix"] for c in done.json["checks"])


@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="onnxruntime is not installed")
def test_compare_follows_its_contract(cli, mlp: Mlp, tmp_path: Path):
    done = cli(
        "compare", mlp.path, "--against", "onnxruntime", "--seconds", 0.2, "--json", "--html", tmp_path / "page.html"
    )  # fmt: skip
    assert done.code == 0, done.err
    result = done.json
    assert [row["runtime"] for row in result["rows"]] == ["lathe", "onnxruntime"]
    for row in result["rows"]:
        assert {"version", "precision", "p50_ms", "min_ms", "max_abs_diff", "cosine", "peak_rss_mb", "load_ms"} <= set(
            row
        )
        assert 0 < row["min_ms"] <= row["p50_ms"]
        assert row["max_abs_diff"] < 1e-4 and row["cosine"] > 0.999
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert "onnxruntime" in cli("compare", mlp.path, "--against", "onnxruntime", "--seconds", 0.1).out


def test_compare_with_an_unknown_runtime(cli, mlp: Mlp):
    done = cli("compare", mlp.path, "--against", "tensorchef", "--json")
    assert done.code == 2
    assert "onnxruntime" in done.json["error"]["message"]
