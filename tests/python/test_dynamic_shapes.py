# SPDX-License-Identifier: Apache-2.0
"""One engine serves a range of shapes: 20 random ones each, no compiler in the process that runs them, the results of
ONNX Runtime, and an error for what lies outside the range."""

import json
import os
import pathlib
import subprocess
import sys

import lathe
import numpy as np
import onnxruntime
import pytest

SOURCE = pathlib.Path(os.environ.get("LATHE_SOURCE", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(SOURCE / "bench"))
dynamic = pytest.importorskip("dynamic")

RUN = """
import json, sys
import lathe, numpy as np
job = json.load(open(sys.argv[1]))
model = lathe.load(job["engine"], 2)
for i, shape in enumerate(job["shapes"]):
    x = np.random.default_rng(i).uniform(-1, 1, shape).astype(np.float32)
    np.save(f"{job['folder']}/{i}.npy", model(x)["y"])
for shape in job["refused"]:
    try:
        model(np.zeros(shape, np.float32))
    except lathe.UsageError as error:
        assert "must be between" in str(error), error
    else:
        raise AssertionError(f"{shape} lies outside the range")
loaded = open("/proc/self/maps").read()
assert "lathe_compiler" not in loaded and "LLVM" not in loaded, "the compiler is in the process"
"""


@pytest.mark.parametrize("name", list(dynamic.NETWORKS))
def test_twenty_random_shapes_and_no_compiler(name, tmp_path):
    import onnx

    make, ranges = dynamic.NETWORKS[name]
    model, path = make(), tmp_path / "m.onnx"
    onnx.save(model, path)
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]

    def shape(sizes):
        return tuple(sizes.get(d, d) for d in dims)

    low, opt, high = ({k: r[i] for k, r in ranges.items()} for i in range(3))
    options = {f"{k}_shapes": {"x": shape(s)} for k, s in (("min", low), ("opt", opt), ("max", high))}
    lathe.build(path, tmp_path / "m.lathe", **options)
    rng = np.random.default_rng(5)
    drawn = [{k: int(rng.integers(r[0], r[2] + 1)) for k, r in ranges.items()} for _ in range(18)]
    shapes = [shape(s) for s in [low, *drawn, high]]
    refused = [shape(high | {k: r[2] + 1}) for k, r in ranges.items()]
    refused += [shape(low | {k: r[0] - 1}) for k, r in ranges.items()]
    job = {"engine": str(tmp_path / "m.lathe"), "shapes": shapes, "refused": refused, "folder": str(tmp_path)}
    (tmp_path / "job.json").write_text(json.dumps(job))
    subprocess.run([sys.executable, "-c", RUN, str(tmp_path / "job.json")], check=True)
    peer = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for i, s in enumerate(shapes):
        x = np.random.default_rng(i).uniform(-1, 1, s).astype(np.float32)
        (want,) = peer.run(None, {"x": x})
        got = np.load(tmp_path / f"{i}.npy")
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * max(1.0, float(np.abs(want).max())), err_msg=str(s))
