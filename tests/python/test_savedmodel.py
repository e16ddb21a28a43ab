# SPDX-License-Identifier: Apache-2.0
"""Trained TensorFlow SavedModels of the shared folder against the outputs that TensorFlow stored for them; no
TensorFlow is needed here. Damaged copies of them must be refused."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import lathe
import numpy as np
import pytest

MODELS = Path(os.environ.get("LATHE_SHARED", "")) / "models"
FOUND = sorted(MODELS.glob("*/*_saved_model.golden.json")) if os.environ.get("LATHE_SHARED") else []

pytestmark = pytest.mark.skipif(not FOUND, reason="LATHE_SHARED/models is not there")


def unpacked(facts: Path, folder: Path) -> Path:
    """The SavedModel that a golden file is of: a folder beside it, or unpacked from an archive."""
    name = facts.name.removesuffix(".golden.json")
    beside = facts.with_name(name)
    if beside.is_dir():
        return beside
    with tarfile.open(facts.with_name(name + ".tar.gz")) as archive:
        archive.extractall(folder, filter="data")
    return folder / name


@pytest.mark.parametrize("facts", FOUND, ids=lambda path: path.name.removesuffix(".golden.json"))
def test_model_gives_the_stored_outputs(facts: Path, tmp_path: Path):
    path = unpacked(facts, tmp_path)
    described = json.loads(facts.read_text())
    model = lathe.compile(path, threads=2)
    with np.load(facts.with_name(facts.name.replace(".json", ".npz"))) as golden:
        for case in range(len(described["cases"])):
            out = model({port["name"]: golden[f"c{case}_in{i}"] for i, port in enumerate(described["inputs"])})
            for i, port in enumerate(described["outputs"]):
                got, want = out[port["name"]], golden[f"c{case}_out{i}"]
                assert got.shape == want.shape and got.dtype == want.dtype
                scale = float(np.max(np.abs(want), initial=0)) or 1.0
                assert float(np.max(np.abs(got - want), initial=0)) <= 1e-4 * scale, (case, port["name"])


def test_state_is_reset_read_and_set(tmp_path: Path):
    facts = next(path for path in FOUND if path.name.startswith("dtln"))
    model = lathe.compile(unpacked(facts, tmp_path), threads=1)
    with np.load(facts.with_name(facts.name.replace(".json", ".npz"))) as golden:
        frames = [golden[f"c{case}_in0"] for case in range(4)]
    (name,) = (port.name for port in model.outputs)
    assert model.states and all(isinstance(size, int) for port in model.states for size in port.shape)

    def run(instance: lathe.Model) -> list[np.ndarray]:
        return [instance({model.inputs[0].name: frame})[name] for frame in frames]

    first = run(model)
    assert not np.array_equal(run(model)[0], first[0]), "the second time begins where the first ended"
    model.reset()
    np.testing.assert_array_equal(run(model), first)
    np.testing.assert_array_equal(run(model.clone()), first)

    # What was read can be set again, in another instance too.
    model.reset()
    model({model.inputs[0].name: frames[0]})
    kept = model.state()
    assert kept.keys() == {port.name for port in model.states}
    other = model.clone()
    other.set_state(kept)
    np.testing.assert_array_equal(other({model.inputs[0].name: frames[1]})[name], first[1])

    with pytest.raises(lathe.UsageError, match="no state"):
        model.set_state({"nonsense": frames[0]})
    port = model.states[0]
    with pytest.raises(lathe.UsageError, match="has shape"):
        model.set_state({port.name: np.zeros((7, *port.shape), port.numpy)})

    # bind and run have state of their own.
    model.reset()
    model.bind({model.inputs[0].name: frames[0]})
    np.testing.assert_array_equal(model.run()[name], first[0])
    model.reset()
    np.testing.assert_array_equal(model.run()[name], first[0])


def test_inspect_shows_state(tmp_path: Path, cli):
    facts = next(path for path in FOUND if path.name.startswith("dtln"))
    done = cli("inspect", unpacked(facts, tmp_path), "--json")
    assert done.code == 0, done.err
    states = json.loads(done.out)["states"]
    assert states and all(s["dtype"] == "float32" for s in states)
    text = cli("inspect", unpacked(facts, tmp_path))
    assert "state, kept from one run to the next" in text.out


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    model = next(path for path in FOUND if path.name.startswith("keypoint"))
    target = tmp_path / "model"
    shutil.copytree(unpacked(model, tmp_path), target)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755)
    return target


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for at in places:
        data[at] ^= 0x10
    path.write_bytes(data)


DATA, INDEX = "variables/variables.data-00000-of-00001", "variables/variables.index"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda m: cut(m / "saved_model.pb", 5000), "well-formed"),
        (lambda m: cut(m / DATA, 100), "beyond the end"),
        (lambda m: (m / DATA).unlink(), "variables.data"),
        (lambda m: flip(m / DATA, *range(3000, 9000, 16)), "checksum"),
        (lambda m: cut(m / INDEX, 60), "table"),
        (lambda m: flip(m / INDEX, 20), "checksum"),
        (lambda m: (m / INDEX).unlink(), "has no value"),
        (lambda m: (m / "saved_model.pb").unlink(), "not a SavedModel"),
    ],
    ids=[
        "graph cut",
        "shard cut",
        "shard missing",
        "value flipped",
        "index cut",
        "index flipped",
        "no index",
        "no graph",
    ],
)
def test_damaged_models_are_refused(copy: Path, cli, damage: Callable[[Path], object], text: str):
    damage(copy)
    done = cli("build", copy, "-o", copy / "m.lathe")
    assert done.code == 4, done.err
    assert text in done.err


def test_signature_is_chosen_on_the_command_line(copy: Path, cli):
    done = cli("build", copy, "--signature", "serve", "-o", copy / "m.lathe")
    assert done.code == 0, done.err
    done = cli("build", copy, "--signature", "nonsense", "-o", copy / "m.lathe")
    assert done.code == 2, done.err
    assert "serving_default" in done.err


def test_default_engine_is_called_as_the_folder(copy: Path, cli, tmp_path: Path):
    done = cli("build", f"{copy}/", cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "model.lathe").is_file()


def test_saved_model_pb_stands_for_its_folder(copy: Path, cli):
    done = cli("build", copy / "saved_model.pb", "-o", copy / "m.lathe")
    assert done.code == 0, done.err
