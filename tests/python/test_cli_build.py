# SPDX-License-Identifier: Apache-2.0
"""lathe build: what it writes, and what it leaves alone when it fails."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Mlp, make_mlp, save_model
from onnx import TensorProto, helper, numpy_helper


def test_writes_the_engine_where_asked(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, "-o", tmp_path / "m.lathe")
    assert done.code == 0, done.err
    assert (tmp_path / "m.lathe").stat().st_size > 0
    assert "m.lathe" in done.out


def test_default_name_is_the_models_in_the_current_folder(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, cwd=tmp_path)
    assert done.code == 0, done.err
    assert os.listdir(tmp_path) == ["mlp.lathe"]


def test_json_is_the_only_output(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, "-o", tmp_path / "m.lathe", "--json")
    report = done.json
    assert report["engine_bytes"] == (tmp_path / "m.lathe").stat().st_size
    assert report["kernels"] > 0
    assert set(report["seconds"])
    assert done.err == ""


def test_quiet_says_nothing(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, "-o", tmp_path / "m.lathe", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_progress_and_colours_only_on_a_terminal(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, "-o", tmp_path / "m.lathe")
    assert "\r" not in done.err and "\033" not in done.err + done.out


def test_same_input_gives_the_same_bytes(cli, mlp: Mlp, tmp_path: Path):
    copy = tmp_path / "elsewhere" / "renamed.onnx"
    copy.parent.mkdir()
    shutil.copy(mlp.path, copy)
    for model, engine in ((mlp.path, "a.lathe"), (copy, "b.lathe")):
        assert cli("build", model, "-o", tmp_path / engine).code == 0
    assert (tmp_path / "a.lathe").read_bytes() == (tmp_path / "b.lathe").read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 64, b"not a model at all, but text\n" * 20, os.urandom(4096)],
    ids=["empty", "zeros", "text", "random"],
)
def test_garbage_is_refused_as_damaged(cli, tmp_path: Path, content: bytes):
    (tmp_path / "m.onnx").write_bytes(content)
    done = cli("build", tmp_path / "m.onnx", "-o", tmp_path / "m.lathe")
    assert done.code == 4, done.err
    assert "m.onnx" in done.err
    assert os.listdir(tmp_path) == ["m.onnx"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_truncated_model_is_refused(cli, mlp: Mlp, tmp_path: Path, share: float):
    whole = mlp.path.read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: int(len(whole) * share)])
    done = cli("build", tmp_path / "m.onnx", "-o", tmp_path / "m.lathe")
    assert done.code == 4, done.err
    assert not (tmp_path / "m.lathe").exists()


def test_external_data_is_read(cli, external: Mlp, tmp_path: Path, x: np.ndarray):
    assert cli("build", external.path, "-o", tmp_path / "m.lathe").code == 0
    np.savez(tmp_path / "in.npz", x=x)
    assert (
        cli("run", tmp_path / "m.lathe", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz").code == 0
    )
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], external(x), rtol=1e-4, atol=1e-5)


def test_missing_external_data_is_named(cli, external: Mlp, tmp_path: Path):
    shutil.copy(external.path, tmp_path / "m.onnx")
    done = cli("build", tmp_path / "m.onnx", "-o", tmp_path / "m.lathe")
    assert done.code == 4
    assert "weights.bin" in done.err


def test_short_external_data_is_refused(cli, external: Mlp, tmp_path: Path):
    shutil.copy(external.path, tmp_path / "m.onnx")
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8)
    assert cli("build", tmp_path / "m.onnx", "-o", tmp_path / "m.lathe").code == 4


def test_external_data_outside_the_models_folder_is_refused(cli, external: Mlp, tmp_path: Path):
    model = onnx.load(external.path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../../../etc/passwd"
    onnx.save(model, tmp_path / "m.onnx")
    done = cli("build", tmp_path / "m.onnx", "-o", tmp_path / "m.lathe")
    assert done.code == 4, done.err


def test_all_unsupported_nodes_are_listed(cli, unsupported: Path, tmp_path: Path):
    done = cli("build", unsupported, "-o", tmp_path / "m.lathe")
    assert done.code == 3
    for word in ("Frobnicate", "Defenestrate", "strange_one", "strange_two"):
        assert word in done.err


def test_errors_are_json_too(cli, unsupported: Path, tmp_path: Path):
    done = cli("build", unsupported, "-o", tmp_path / "m.lathe", "--json")
    assert done.code == 3
    assert done.json["error"]["code"] == 3
    assert "Frobnicate" in done.json["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--precision", "fp33"],
        ["--math", "sloppy"],
        ["--no-such-option"],
        ["--shape", "x"],
        ["--shape", "x=3xx8"],
        ["--shape", "no_such_input=3x8"],
        ["--shape", "x=3x9"],
        ["--target", "no-such-target"],
        ["--jobs", "many"],
    ],
)
def test_wrong_arguments_are_usage_errors(cli, mlp: Mlp, tmp_path: Path, arguments: list[str]):
    done = cli("build", mlp.path, "-o", tmp_path / "m.lathe", *arguments)
    assert done.code == 2, done.err
    assert done.err.startswith("error: ")
    assert not (tmp_path / "m.lathe").exists()


def test_missing_model_is_a_usage_error(cli, tmp_path: Path):
    done = cli("build", tmp_path / "none.onnx")
    assert done.code == 2
    assert "none.onnx" in done.err


def test_engine_would_replace_the_model(cli, mlp: Mlp, tmp_path: Path):
    copy = tmp_path / "m.onnx"
    shutil.copy(mlp.path, copy)
    assert cli("build", copy, "-o", copy).code == 2
    assert copy.read_bytes() == mlp.path.read_bytes()


def test_unwritable_folder(cli, mlp: Mlp, tmp_path: Path):
    done = cli("build", mlp.path, "-o", tmp_path / "no" / "such" / "m.lathe")
    assert done.code == 1
    assert "m.lathe" in done.err


def limit_file_size(size: int):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("limit", [512, 200_000], ids=["while linking", "while writing"])
def test_full_disk_leaves_the_old_engine(cli, tmp_path: Path, limit: int):
    weights = {"w": np.ones((8, 100_000), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="wide")]
    kinds = ({"x": (TensorProto.FLOAT, [1, 8])}, {"y": (TensorProto.FLOAT, [1, 100_000])})
    model = save_model(tmp_path / "m.onnx", nodes, *kinds, weights)
    engine = tmp_path / "engines" / "m.lathe"
    engine.parent.mkdir()
    engine.write_bytes(b"the old engine")
    done = cli("build", model, "-o", engine, preexec=limit_file_size(limit))
    assert done.code == 1, done.err
    assert ("m.lathe" if limit > 512 else "temporary") in done.err
    assert engine.read_bytes() == b"the old engine"
    assert os.listdir(engine.parent) == ["m.lathe"]


def test_full_device_is_reported(cli, mlp: Mlp):
    assert cli("build", mlp.path, "-o", "/dev/full").code == 1


def deep_model(path: Path, layers: int = 60) -> Path:
    """Enough different kernels for a build of some seconds."""
    random = np.random.default_rng(0)
    nodes, weights, last = [], {}, "x"
    for i in range(layers):
        weights[f"w{i}"] = random.standard_normal((16 + i, 17 + i)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"mm{i}"))
        nodes.append(helper.make_node("Tanh", [f"m{i}"], [f"t{i}"], name=f"tanh{i}"))
        last = f"t{i}"
    return save_model(
        path, nodes, {"x": (TensorProto.FLOAT, [4, 16])}, {last: (TensorProto.FLOAT, [4, 16 + layers])}, weights
    )


def test_ctrl_c_leaves_no_file(lathe_program: str, tmp_path: Path):
    model = deep_model(tmp_path / "deep.onnx")
    for delay in (0.15, 0.4):
        process = subprocess.Popen([lathe_program, "build", model, "-o", tmp_path / "m.lathe"], stderr=subprocess.PIPE)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            pytest.skip("the build ended before the signal")
        # Before main installs its handler the signal itself ends the process.
        assert process.returncode in (130, -signal.SIGINT), err
        assert os.listdir(tmp_path) == ["deep.onnx"]


def test_symbolic_dimension_by_name(cli, batch_mlp: Mlp, tmp_path: Path):
    done = cli("build", batch_mlp.path, "-o", tmp_path / "m.lathe", "--shape", "x=rows,8")
    assert done.code == 0, done.err
    assert cli("inspect", tmp_path / "m.lathe", "--json").json["inputs"][0]["shape"] == ["rows", 8]


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """A product whose batch and length are symbols."""
    weights = numpy_helper.from_array(np.ones((8, 48), np.float32), "w")
    ports = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "length", d]) for n, d in (("x", 8), ("y", 48))
    ]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weights])
    path = tmp_path / "sequences.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([], {"batch": 1, "length": 128}),
        (["--opt-shape", "x=4x16x8"], {"batch": 4, "length": 16}),
        (["--max-shape", "x=9x64x8"], {"batch": 1, "length": 64}),
        (["--min-shape", "x=2x200x8"], {"batch": 2, "length": 200}),
    ],
)
def test_lengths_that_nobody_tells_are_taken_to_be_long(cli, sequences: Path, tmp_path: Path, flags, expected):
    done = cli("build", sequences, "-o", tmp_path / "m.lathe", "--target", "x86-64-avx2", *flags)
    assert done.code == 0, done.err
    inspected = cli("inspect", tmp_path / "m.lathe", "--json").json
    assert {s["name"]: s["opt"] for s in inspected["symbols"]} == expected
    tactic = next(n["tactic"] for n in inspected["targets"][0]["nodes"] if "MatMul" in n["op"])
    assert not tactic.startswith("matmul 1x"), "tiles of one row are slow on many"


@pytest.mark.parametrize("low, typical, high", [(4, 2, 8), (1, 9, 8), (9, None, 8)])
def test_sizes_must_not_decrease(cli, sequences: Path, tmp_path: Path, low, typical, high):
    flags = ["--min-shape", f"x={low}x16x8", "--max-shape", f"x={high}x16x8"]
    if typical:
        flags += ["--opt-shape", f"x={typical}x16x8"]
    done = cli("build", sequences, "-o", tmp_path / "m.lathe", *flags)
    assert done.code == 2
    assert "batch" in done.err
    assert not (tmp_path / "m.lathe").exists()


def test_model_may_follow_a_list_of_shapes(cli, batch_mlp: Mlp, tmp_path: Path):
    done = cli("build", "--shape", "x=5x8", batch_mlp.path, "-o", tmp_path / "m.lathe")
    assert done.code == 0, done.err
    assert cli("inspect", tmp_path / "m.lathe", "--json").json["inputs"][0]["shape"] == [5, 8]


def test_engine_is_no_model(cli, mlp_engine: Path):
    assert cli("build", mlp_engine).code == 2


def test_help_has_an_example(cli):
    assert "Example" in cli("--help").out
    commands = ("build", "run", "bench", "inspect", "compare", "targets", "doctor", "verify")
    for command in commands:
        done = cli(command, "--help")
        assert done.code == 0
        assert f"lathe {command}" in done.out


def test_unknown_command_suggests_the_nearest(cli):
    done = cli("biuld", "m.onnx")
    assert done.code == 2
    assert "build" in done.err


def test_no_arguments_is_a_usage_error(cli):
    assert cli().code == 2


def test_a_model_of_the_same_content_elsewhere_is_the_same(cli, tmp_path: Path):
    a, b = make_mlp(tmp_path / "a.onnx"), make_mlp(tmp_path / "b.onnx")
    hashes = {cli("build", m.path, "-o", tmp_path / "m.lathe", "--json").json["engine_hash"] for m in (a, b)}
    assert len(hashes) == 1
