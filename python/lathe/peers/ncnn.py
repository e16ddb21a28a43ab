# SPDX-License-Identifier: Apache-2.0
"""ncnn: ONNX files come through pnnx (a package of its own), weights in float32. Winograd, packing and the light mode
are on by default; storage and arithmetic in 16 bits are switched off. ncnn has no batch dimension, and its integers are
of 32 bits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from lathe.peers import ConversionError, Job, Opened, Peer

_TYPES = {
    "float32": "f32",
    "float64": "f64",
    "int64": "i64",
    "int32": "i32",
    "uint8": "u8",
    "int8": "i8",
    "bool": "bool",
}


def _model(job: Job) -> tuple[str, str]:
    spec = importlib.util.find_spec("pnnx")
    if not spec or not spec.origin:
        raise ConversionError("the package pnnx, which converts for ncnn, is not installed here: pip install pnnx")
    shapes = [f"[{','.join(map(str, a.shape))}]{_TYPES.get(a.dtype.name, '')}" for a in job.inputs.values()]
    param, weights = f"{job.folder}/ncnn.param", f"{job.folder}/ncnn.bin"
    # pnnx writes its other files beside the model: it gets a link to it in the folder.
    link = Path(job.folder, "pnnx" + Path(job.model).suffix)
    if not link.exists():
        link.symlink_to(Path(job.model).resolve())
    command = [str(Path(spec.origin).parent / "pnnx"), str(link), f"inputshape={','.join(shapes)}", "fp16=0"]
    job.convert([*command, f"ncnnparam={param}", f"ncnnbin={weights}"], "ncnn.param")
    with open(param, encoding="utf-8") as text:
        kinds = {line.split()[0] for line in text if len(line.split()) > 2}
    if unknown := sorted(kind for kind in kinds if "::" in kind or kind.startswith(("aten", "pnnx", "onnx"))):
        raise ConversionError(f"pnnx leaves operators that ncnn does not have: {', '.join(unknown)}")
    return param, weights


def _open(job: Job) -> Opened:
    import ncnn

    param, weights = _model(job)
    net = ncnn.Net()
    net.opt.num_threads = job.threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(param) or net.load_model(weights):
        raise ConversionError("ncnn cannot load what pnnx made")
    names, results = net.input_names(), net.output_names()
    if len(names) != len(job.inputs):
        raise ConversionError(f"pnnx made a model of {len(names)} inputs, not {len(job.inputs)}")

    def mat(array: np.ndarray) -> Any:
        array = array[0] if array.ndim > 1 and array.shape[0] == 1 else array
        array = array.astype(np.int32) if array.dtype.kind in "iub" else array
        return ncnn.Mat(np.ascontiguousarray(array)).clone()

    feeds = [mat(array) for array in job.inputs.values()]
    last: list[Any] = []

    def run() -> None:
        with net.create_extractor() as extractor:
            for name, feed in zip(names, feeds, strict=True):
                extractor.input(name, feed)
            last.clear()
            for name in results:
                status, value = extractor.extract(name)
                if status:
                    raise RuntimeError(f"ncnn's extract failed with {status}")
                last.append(value)

    return Opened(ncnn.__version__, "fp32", run, lambda: [np.array(value) for value in last])


PEERS = {"ncnn": Peer("ncnn", ("onnx",), _open)}
