# SPDX-License-Identifier: Apache-2.0
"""lathe run: arrays in, arrays out, and the messages about wrong ones."""

from __future__ import annotations

import io
import os
import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Mlp, save_model
from onnx import TensorProto, helper


@pytest.fixture
def feed(tmp_path: Path, x: np.ndarray) -> Path:
    np.savez(tmp_path / "in.npz", x=x)
    return tmp_path / "in.npz"


def test_round_trip(cli, mlp: Mlp, mlp_engine: Path, feed: Path, x: np.ndarray):
    out = feed.with_name("out.npz")
    done = cli("run", mlp_engine, "--inputs", feed, "--outputs", out)
    assert done.code == 0, done.err
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays.files == ["y"]
        assert arrays["y"].dtype == np.float32
        np.testing.assert_allclose(arrays["y"], mlp(x), rtol=1e-4, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bytes(cli, mlp_engine: Path, feed: Path):
    written = []
    for threads in (1, 2, 3, 8):
        assert (
            cli("run", mlp_engine, "--inputs", feed, "--outputs", feed.with_name("o.npz"), "--threads", threads).code
            == 0
        )
        written.append(feed.with_name("o.npz").read_bytes())
    assert len(set(written)) == 1


def test_json(cli, mlp: Mlp, mlp_engine: Path, feed: Path, x: np.ndarray):
    done = cli("run", mlp_engine, "--inputs", feed, "--json", "--threads", 2)
    assert done.code == 0
    (output,) = done.json["outputs"]
    assert (output["name"], output["dtype"], output["shape"]) == ("y", "float32", [3, 4])
    np.testing.assert_allclose(np.reshape(output["values"], (3, 4)), mlp(x), rtol=1e-4, atol=1e-5)
    assert done.json["threads"] == 2


def test_model_is_built_first_and_cached(cli, mlp: Mlp, feed: Path, tmp_path: Path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    first = cli("run", mlp.path, "--inputs", feed, "-v", env=cache)
    again = cli("run", mlp.path, "--inputs", feed, "-v", env=cache)
    other = cli("run", mlp.path, "--inputs", feed, "-v", "--math", "strict", env=cache)
    assert [r.code for r in (first, again, other)] == [0, 0, 0], first.err
    assert "built into" in first.err and "cached in" in again.err and "built into" in other.err
    assert len(os.listdir(tmp_path / "cache" / "lathe")) == 2


def test_changed_external_data_is_built_anew(cli, external: Mlp, feed: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(external.path.parent, folder)
    out = tmp_path / "out.npz"
    results = []
    for _ in range(2):
        assert cli("run", folder / "mlp.onnx", "--inputs", feed, "--outputs", out).code == 0
        results.append(np.load(out)["y"])
        weights = np.fromfile(folder / "weights.bin", np.float32)
        (weights * np.float32(2)).tofile(folder / "weights.bin")
    assert not np.allclose(results[0], results[1])


def test_damaged_cache_is_built_anew(cli, mlp: Mlp, feed: Path, tmp_path: Path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert cli("run", mlp.path, "--inputs", feed, env=cache).code == 0
    (engine,) = (tmp_path / "cache" / "lathe").iterdir()
    engine.write_bytes(engine.read_bytes()[:-100])
    done = cli("run", mlp.path, "--inputs", feed, env=cache)
    assert done.code == 0, done.err


def test_without_inputs_they_are_listed(cli, mlp_engine: Path):
    done = cli("run", mlp_engine)
    assert done.code == 2
    assert "x: float32 [3, 8]" in done.err


def test_missing_input(cli, two_inputs: Path, tmp_path: Path):
    np.savez(tmp_path / "in.npz", left=np.zeros((2, 5), np.float32))
    done = cli("run", two_inputs, "--inputs", tmp_path / "in.npz")
    assert done.code == 2
    assert '"right"' in done.err


def test_wrong_name_suggests_the_nearest(cli, two_inputs: Path, tmp_path: Path):
    zeros = np.zeros((2, 5), np.float32)
    np.savez(tmp_path / "in.npz", left=zeros, rihgt=zeros)
    done = cli("run", two_inputs, "--inputs", tmp_path / "in.npz")
    assert done.code == 2
    assert 'no input "rihgt" (did you mean "right"?)' in done.err


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 9), np.float32), ["[3, 8]", "[3, 9]"]),
        (np.zeros((3, 8, 1), np.float32), ["[3, 8]", "[3, 8, 1]"]),
        (np.zeros(24, np.float32), ["[3, 8]", "[24]"]),
        (np.zeros((3, 8), np.float64), ["float32", "float64"]),
        (np.zeros((3, 8), np.int64), ["float32", "int64"]),
        (np.zeros((3, 8), "S3"), ["float32", "bytes"]),
    ],
    ids=lambda v: f"{v.dtype}{v.shape}" if isinstance(v, np.ndarray) else "",
)
def test_wrong_shape_or_type_says_expected_and_got(
    cli, mlp_engine: Path, tmp_path: Path, array: np.ndarray, words: list[str]
):
    np.savez(tmp_path / "in.npz", x=array)
    done = cli("run", mlp_engine, "--inputs", tmp_path / "in.npz")
    assert done.code == 2, done.err
    for word in ['"x"', *words]:
        assert word in done.err


def test_input_from_npy_file(cli, mlp: Mlp, mlp_engine: Path, tmp_path: Path, x: np.ndarray):
    np.save(tmp_path / "x.npy", x)
    done = cli("run", mlp_engine, "--input", f"x={tmp_path / 'x.npy'}", "--json")
    assert done.code == 0, done.err
    np.testing.assert_allclose(done.json["outputs"][0]["values"], mlp(x).ravel(), rtol=1e-4, atol=1e-5)


def test_input_from_raw_bytes(cli, mlp: Mlp, mlp_engine: Path, tmp_path: Path, x: np.ndarray):
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    done = cli("run", mlp_engine, "--input", f"x={tmp_path / 'x.bin'}", "--json")
    assert done.code == 0, done.err
    np.testing.assert_allclose(done.json["outputs"][0]["values"], mlp(x).ravel(), rtol=1e-4, atol=1e-5)
    (tmp_path / "x.bin").write_bytes(x.tobytes()[:-1])
    assert cli("run", mlp_engine, "--input", f"x={tmp_path / 'x.bin'}").code == 2


@pytest.mark.parametrize(
    "change",
    [np.asfortranarray, lambda a: a.astype(">f4")],
    ids=["fortran order", "big endian"],
)
def test_layouts_of_npy(cli, mlp: Mlp, mlp_engine: Path, tmp_path: Path, x: np.ndarray, change):
    np.savez_compressed(tmp_path / "in.npz", x=change(x))
    done = cli("run", mlp_engine, "--inputs", tmp_path / "in.npz", "--json")
    assert done.code == 0, done.err
    np.testing.assert_allclose(done.json["outputs"][0]["values"], mlp(x).ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_npy(cli, mlp_engine: Path, tmp_path: Path, x: np.ndarray, version: tuple[int, int]):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, x, version=version)
    assert cli("run", mlp_engine, "--input", f"x={tmp_path / 'x.npy'}").code == 0


def npz_with(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return path


def npy(header: str, data: bytes) -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


HOSTILE = {
    "no zip": b"PK\x03\x04 and then nothing of use",
    "not npy": b"hello",
    "header cut": b"\x93NUMPY\x01\x00\xff\x00{",
    "version 9": b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
    "data cut": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8), }", b"\0" * 95),
    "too much data": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8), }", b"\0" * 97),
    "negative": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 8), }", b"\0" * 96),
    "overflow": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }", b""
    ),
    "rank 65": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 65 + "), }", b"\0" * 4),
    "code in the header": npy("{'descr': __import__('os').system('true'), 'shape': ()}", b""),
    "unknown key": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8), 'more': 1}", b"\0" * 96),
    "huge header": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_npz_is_refused(cli, mlp_engine: Path, tmp_path: Path, name: str):
    path = tmp_path / "in.npz"
    if name == "no zip":
        path.write_bytes(HOSTILE[name])
    else:
        npz_with(path, HOSTILE[name])
    done = cli("run", mlp_engine, "--inputs", path)
    assert done.code == 4, done.err
    assert "in.npz" in done.err


def test_pickled_objects_are_refused(cli, mlp_engine: Path, tmp_path: Path):
    np.savez(tmp_path / "in.npz", x=np.array([{}], dtype=object))
    assert cli("run", mlp_engine, "--inputs", tmp_path / "in.npz").code == 2


def test_flipped_bytes_of_an_npz_never_crash(cli, mlp_engine: Path, feed: Path):
    whole = bytearray(feed.read_bytes())
    random = np.random.default_rng(0)
    for _ in range(25):
        bad = bytearray(whole)
        bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        feed.write_bytes(bad)
        assert cli("run", mlp_engine, "--inputs", feed).code in (0, 1, 2, 4)


def test_zip_bomb_is_not_unpacked(cli, mlp_engine: Path, tmp_path: Path):
    content = io.BytesIO()
    content.write(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (67108864,), }", b""))
    npz_with(tmp_path / "in.npz", content.getvalue() + b"\0" * (1 << 26))
    limit = 1 << 31
    done = cli(
        "run", mlp_engine, "--inputs", tmp_path / "in.npz",
        preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.code == 2
    assert "[67108864]" in done.err


def test_full_disk_while_writing_outputs(cli, mlp_engine: Path, feed: Path):
    out = feed.with_name("out.npz")
    out.write_bytes(b"old")
    done = cli(
        "run", mlp_engine, "--inputs", feed, "--outputs", out,
        preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)),
    )  # fmt: skip
    assert done.code == 1
    assert out.read_bytes() == b"old"


def test_symbolic_batch_takes_any_size(cli, batch_mlp: Mlp, tmp_path: Path):
    for rows in (1, 2, 7):
        x = np.random.default_rng(rows).standard_normal((rows, 8)).astype(np.float32)
        np.savez(tmp_path / "in.npz", x=x)
        done = cli("run", batch_mlp.path, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
        assert done.code == 0, done.err
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], batch_mlp(x), rtol=1e-4, atol=1e-5)


TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "uint32": TensorProto.UINT32,
    "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
}


@pytest.mark.parametrize("name", TYPES)
def test_types_pass_through(cli, tmp_path: Path, name: str):
    kind: tuple[int, list[int | str]] = (TYPES[name], [2, 3])
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0], name="t")],
        {"x": kind},
        {"y": (TYPES[name], [3, 2])},
    )
    x = np.arange(6).reshape(2, 3).astype(name)
    np.savez(tmp_path / "in.npz", x=x)
    done = cli("run", model, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.code == 0, done.err
    y = np.load(tmp_path / "out.npz")["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x.T)


@pytest.mark.parametrize("cut", [0, 4, 63, 200, 0.5, 0.95])
def test_truncated_engine(cli, mlp_engine: Path, feed: Path, cut: float):
    whole = mlp_engine.read_bytes()
    bad = feed.with_name("bad.lathe")
    bad.write_bytes(whole[: cut if isinstance(cut, int) else int(cut * len(whole))])
    done = cli("run", bad, "--inputs", feed)
    assert done.code in (4, 5), done.err


def test_flipped_engine_never_crashes(cli, mlp_engine: Path, feed: Path):
    whole = mlp_engine.read_bytes()
    bad = feed.with_name("bad.lathe")
    random = np.random.default_rng(0)
    for _ in range(25):
        content = bytearray(whole)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        bad.write_bytes(content)
        assert cli("run", bad, "--inputs", feed).code in (0, 4, 5, 6), bad


def test_engine_of_nobody_needs_trust(cli, mlp_engine: Path, feed: Path, tmp_path: Path):
    stranger = {"XDG_STATE_HOME": str(tmp_path / "other user")}
    done = cli("run", mlp_engine, "--inputs", feed, env=stranger)
    assert done.code == 5
    assert "trust" in done.err
    assert cli("run", mlp_engine, "--inputs", feed, "--trust", env=stranger).code == 0


def test_build_options_for_an_engine_are_refused(cli, mlp_engine: Path, feed: Path):
    assert cli("run", mlp_engine, "--inputs", feed, "--math", "strict").code == 2


def test_closed_standard_output(lathe_program: str, mlp_engine: Path, feed: Path):
    assert os.system(f"'{lathe_program}' run '{mlp_engine}' --inputs '{feed}' > /dev/full 2>/dev/null") >> 8 == 1
