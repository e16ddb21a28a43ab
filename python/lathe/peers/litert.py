# SPDX-License-Identifier: Apache-2.0
"""LiteRT as it is by default: floats and 8-bit integers by XNNPACK. What is no LiteRT file is made one by
`lathe convert`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from lathe.peers import ConversionError, Job, Opened, Peer, format_of


def _model(job: Job) -> str:
    if format_of(job.model) == "tflite":
        return job.model
    if not job.program:
        raise ConversionError("the program lathe, which writes LiteRT files, is not beside this package")
    shapes = [f"--shape={name}={'x'.join(map(str, array.shape))}" for name, array in job.inputs.items() if array.ndim]
    command = [job.program, "convert", job.model, "-o", f"{job.folder}/litert.tflite", "--quiet", *shapes]
    return job.convert(command, "litert.tflite")


def _open(job: Job) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(_model(job), num_threads=job.threads)
    ports = interpreter.get_input_details()

    def array_of(place: int, port: dict[str, Any]) -> np.ndarray:
        by_name = job.inputs.get(port["name"])
        return by_name if by_name is not None else list(job.inputs.values())[place]

    feeds = [array_of(i, port).astype(port["dtype"], copy=False) for i, port in enumerate(ports)]
    for port, array in zip(ports, feeds, strict=True):
        if tuple(port["shape"]) != array.shape:
            interpreter.resize_tensor_input(port["index"], array.shape)
    interpreter.allocate_tensors()
    for port, array in zip(ports, feeds, strict=True):
        interpreter.set_tensor(port["index"], array)
    results = interpreter.get_output_details()
    kinds = {np.dtype(tensor["dtype"]).kind for tensor in interpreter.get_tensor_details()}
    return Opened(
        version("ai-edge-litert"),
        "fp32" if "f" in kinds else "int8",
        # The loop inside invoke(), as that of the other runtimes is: without the wrapper's checks.
        interpreter._interpreter.Invoke,
        lambda: [interpreter.get_tensor(port["index"]) for port in results],
    )


PEERS = {"litert": Peer("ai_edge_litert", ("tflite", "onnx"), _open)}
