# SPDX-License-Identifier: Apache-2.0
"""MNN: its own converter, the CPU backend in the precision "high", which is float32 throughout."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import numpy as np

from lathe.peers import ConversionError, Job, Opened, Peer, format_of


def _open(job: Job) -> Opened:
    import MNN

    kind = {"onnx": "ONNX", "tflite": "TFLITE"}[format_of(job.model)]
    # The converter without its wrapper MNN.tools.mnnconvert, which installs a package and reports what was converted.
    converter = [sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv)"]
    command = [*converter, "-f", kind, "--modelFile", job.model]
    file = job.convert([*command, "--MNNModel", f"{job.folder}/mnn.mnn", "--bizCode", "lathe"], "mnn.mnn")
    interpreter = MNN.Interpreter(file)
    session = interpreter.createSession({"backend": "CPU", "precision": "high", "numThread": job.threads})
    ports = interpreter.getSessionInputAll(session)
    if set(ports) - set(job.inputs):
        raise ConversionError(f"the converted model has inputs {', '.join(ports)}")
    resized = False
    for name, tensor in ports.items():
        if tuple(tensor.getShape()) != job.inputs[name].shape:
            interpreter.resizeTensor(tensor, job.inputs[name].shape)
            resized = True
    if resized:
        interpreter.resizeSession(session)

    def host(tensor: Any, array: np.ndarray) -> Any:
        narrow = array.astype(np.int32) if array.dtype == np.int64 else array
        return MNN.Tensor(array.shape, tensor.getDataType(), np.ascontiguousarray(narrow), tensor.getDimensionType())

    feeds = [(tensor, host(tensor, job.inputs[name])) for name, tensor in ports.items()]

    def run() -> None:
        # A session keeps other values where its inputs were: they are copied in for every run.
        for tensor, array in feeds:
            tensor.copyFrom(array)
        interpreter.runSession(session)

    results = interpreter.getSessionOutputAll(session)

    def outputs() -> list[np.ndarray]:
        arrays = []
        for name in job.outputs if set(job.outputs) <= set(results) else results:
            tensor = results[name]
            caffe = tensor.getDimensionType() != MNN.Tensor_DimensionType_Tensorflow
            layout = MNN.Tensor_DimensionType_Caffe if caffe else MNN.Tensor_DimensionType_Tensorflow
            kind = np.float32 if tensor.getDataType() == MNN.Halide_Type_Float else np.int32
            copy = MNN.Tensor(tensor.getShape(), tensor.getDataType(), np.zeros(tensor.getShape(), kind), layout)
            tensor.copyToHostTensor(copy)
            arrays.append(np.array(copy.getNumpyData()).reshape(tensor.getShape()))
        return arrays

    return Opened(version("mnn"), "fp32", run, outputs)


PEERS = {"mnn": Peer("MNN", ("onnx", "tflite"), _open)}
