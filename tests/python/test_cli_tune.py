# SPDX-License-Identifier: Apache-2.0
"""lathe tune and build --tune: tactics timed on this machine, remembered, carried to other machines."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six convolutions of different shapes, and a matrix product."""
    random = np.random.default_rng(1)
    nodes, constants, value, channels = [], [], "x", 8
    for i, out in enumerate((32, 48, 64, 40, 56, 72)):
        weight = random.standard_normal((out, channels, 3, 3)).astype(np.float32) / 20
        constants.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("Conv", [value, f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        value, channels = f"r{i}", out
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["p"]))
    nodes.append(helper.make_node("Flatten", ["p"], ["f"]))
    constants.append(numpy_helper.from_array(random.standard_normal((72, 50)).astype(np.float32), "m"))
    nodes.append(helper.make_node("MatMul", ["f", "m"], ["y"], name="head"))
    path = tmp_path_factory.mktemp("tune") / "tunable.onnx"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 28, 28])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 50])
    graph = helper.make_graph(nodes, "tunable", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """An empty timing cache: the environment that has it."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_what_was_measured_is_remembered(cli, network: Path, cache, tmp_path: Path):
    first = cli("build", network, "-o", tmp_path / "a.lathe", "--tune", "fast", "--json", env=cache).json["tuning"]
    assert first["measured"] == first["decisions"] > 6
    assert first["known"] == 0
    assert first["rejected"] == []
    again = cli("build", network, "-o", tmp_path / "b.lathe", "--tune", "fast", "--json", env=cache).json["tuning"]
    assert again["known"] == again["decisions"] == first["decisions"]
    assert again["measured"] == 0
    assert (tmp_path / "a.lathe").read_bytes() == (tmp_path / "b.lathe").read_bytes()


def test_results_are_those_of_the_untuned_engine(cli, network: Path, cache, tmp_path: Path):
    x = np.random.default_rng(2).standard_normal((1, 8, 28, 28)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    results = []
    for tune in ("none", "fast"):
        engine = tmp_path / f"{tune}.lathe"
        assert cli("build", network, "-o", engine, "--tune", tune, env=cache).code == 0
        out = tmp_path / f"{tune}.npz"
        assert cli("run", engine, "--inputs", tmp_path / "in.npz", "--outputs", out).code == 0
        results.append(np.load(out)["y"])
    assert np.abs(results[0] - results[1]).max() <= 1e-3 * np.abs(results[0]).max()


def test_records_serve_another_machine_of_the_kind(cli, network: Path, cache, tmp_path: Path):
    measured = cli("tune", network, "--json", env=cache).json["tuning"]["measured"]
    assert measured > 6
    exported = cli("tune", "export", tmp_path / "timings.json", "--json", env=cache)
    assert exported.json["timings"] == measured
    other = {**cache, "XDG_CACHE_HOME": str(tmp_path / "other")}
    assert cli("tune", "import", tmp_path / "timings.json", "--json", env=other).json["timings"] == measured
    built = cli("build", network, "-o", tmp_path / "m.lathe", "--tune", "fast", "--json", env=other).json["tuning"]
    assert (built["known"], built["measured"]) == (measured, 0)


def test_records_of_another_cpu_are_kept_and_not_used(cli, network: Path, cache, tmp_path: Path):
    assert cli("tune", network, env=cache).code == 0
    assert cli("tune", "export", tmp_path / "timings.json", env=cache).code == 0
    document = json.loads((tmp_path / "timings.json").read_text())
    for row in document["timings"]:
        row["cpu"] = "another one"
    (tmp_path / "timings.json").write_text(json.dumps(document))
    other = {**cache, "XDG_CACHE_HOME": str(tmp_path / "other")}
    assert cli("tune", "import", tmp_path / "timings.json", env=other).code == 0
    assert cli("tune", network, "--json", env=other).json["tuning"]["known"] == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"timings": 3}', '{"timings": [{"cpu": "a"}]}', '{"timings": [{"cpu": 1, "version": "0"}]}'],
)
def test_a_damaged_document_adds_nothing(cli, cache, tmp_path: Path, text: str):
    (tmp_path / "bad.json").write_text(text)
    done = cli("tune", "import", tmp_path / "bad.json", env=cache)
    assert done.code == 4
    assert "bad.json" in done.err
    assert cli("tune", "export", tmp_path / "out.json", "--json", env=cache).json["timings"] == 0


def test_a_damaged_cache_says_what_to_do(cli, network: Path, cache, tmp_path: Path):
    file = tmp_path / "cache" / "lathe" / "timings.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database" * 100)
    done = cli("build", network, "-o", tmp_path / "m.lathe", "--tune", "fast", env=cache)
    assert done.code == 4
    assert "timings.sqlite" in done.err and "delete it" in done.err
    assert not (tmp_path / "m.lathe").exists()


def test_a_tactic_that_no_longer_exists_is_the_cost_models_choice(cli, network: Path, cache, tmp_path: Path):
    assert cli("tune", network, env=cache).code == 0
    with sqlite3.connect(tmp_path / "cache" / "lathe" / "timings.sqlite") as db:
        db.execute("UPDATE timings SET tactic = 'of yesterday'")
    assert cli("build", network, "-o", tmp_path / "a.lathe", "--tune", "fast", env=cache).code == 0
    assert cli("build", network, "-o", tmp_path / "b.lathe", env=cache).code == 0
    tactics = [
        [node["tactic"] for node in cli("inspect", tmp_path / engine, "--json").json["targets"][0]["nodes"]]
        for engine in ("a.lathe", "b.lathe")
    ]
    assert tactics[0] == tactics[1]


def test_ctrl_c_while_tuning_builds_with_what_was_found(lathe_program: str, network: Path, cache, tmp_path: Path):
    engine = tmp_path / "m.lathe"
    process = subprocess.Popen(
        [lathe_program, "build", str(network), "-o", str(engine), "--tune", "full", "--json"],
        env=cache,
        stdout=subprocess.PIPE,
        text=True,
    )
    database = tmp_path / "cache" / "lathe" / "timings.sqlite"
    started = time.monotonic()
    while time.monotonic() - started < 60:  # until the first decision is stored
        if database.exists():
            with sqlite3.connect(database, timeout=10) as db:
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if tables and db.execute("SELECT count(*) FROM timings").fetchone()[0]:
                    break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    tuning = json.loads(out)["tuning"]
    assert not tuning["complete"]
    assert 0 < tuning["measured"] < tuning["decisions"]
    assert engine.stat().st_size > 0


def test_arguments_are_checked(cli, network: Path, cache, tmp_path: Path):
    assert cli("tune", tmp_path / "none.onnx", env=cache).code == 2
    assert cli("tune", "export", env=cache).code == 2
    assert cli("tune", network, "too-much", env=cache).code == 2
