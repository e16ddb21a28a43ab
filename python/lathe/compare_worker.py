# SPDX-License-Identifier: Apache-2.0
"""One runtime in a process of its own, told what to do by lines of JSON on standard input.

    {"do": "open", "runtime", "model", "engine", "inputs": npz, "threads"} → {"version", "precision", "load_ms"}
    {"do": "outputs", "file": npz}                                         → {"names"}; arrays a0, a1 … in model order
    {"do": "measure", "seconds"}                                           → {"ms": [each run]}
    {"do": "end"}                                                          → {"peak_rss_mb"}

Every answer is one line; {"error": text} when something failed. What libraries print to standard output goes to
standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lathe.measure import peak_rss_mb

Runner = tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]
"""Runs once, on buffers bound before; the outputs of the last run."""


def open_lathe(job: dict[str, Any], inputs: dict[str, np.ndarray]) -> tuple[str, str, Runner]:
    import lathe

    model = lathe.load(job["engine"], job["threads"])
    model.bind(inputs)
    last: dict[str, np.ndarray] = {}

    def outputs() -> list[np.ndarray]:
        last.update(model.run())
        return [last[port.name] for port in model.outputs]

    precision = model.provenance.get("precision", "fp32")
    return lathe.__version__, precision, (model._bound.run, outputs)  # type: ignore[union-attr]


def open_onnxruntime(job: dict[str, Any], inputs: dict[str, np.ndarray]) -> tuple[str, str, Runner]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return ort.__version__, "fp32", (lambda: session.run_with_iobinding(binding), binding.copy_outputs_to_cpu)


def open_openvino(job: dict[str, Any], inputs: dict[str, np.ndarray]) -> tuple[str, str, Runner]:
    return _openvino(job, inputs, "f32")


def open_openvino_default(job: dict[str, Any], inputs: dict[str, np.ndarray]) -> tuple[str, str, Runner]:
    return _openvino(job, inputs, "")


def _openvino(job: dict[str, Any], inputs: dict[str, np.ndarray], precision: str) -> tuple[str, str, Runner]:
    import openvino as ov

    config: dict[str, Any] = {"INFERENCE_NUM_THREADS": job["threads"], "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    core = ov.Core()
    model = core.read_model(job["model"])
    if any(p.partial_shape.is_dynamic for p in model.inputs):
        model.reshape({port: list(inputs[_ov_name(port, inputs)].shape) for port in model.inputs})
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        request.set_tensor(port, ov.Tensor(inputs[_ov_name(port, inputs)], shared_memory=True))

    def outputs() -> list[np.ndarray]:
        return [np.array(request.get_tensor(port).data) for port in compiled.outputs]

    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return ov.__version__.split("-")[0], {"f32": "fp32"}.get(used, used), (request.infer, outputs)


def _ov_name(port: Any, inputs: dict[str, np.ndarray]) -> str:
    return next(name for name in port.get_names() if name in inputs)


def open_litert(job: dict[str, Any], inputs: dict[str, np.ndarray]) -> tuple[str, str, Runner]:
    """As LiteRT is by default: floats and 8-bit integers by XNNPACK."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(job["model"], num_threads=job["threads"])
    ports = interpreter.get_input_details()
    for port in ports:
        if tuple(port["shape"]) != inputs[port["name"]].shape:
            interpreter.resize_tensor_input(port["index"], inputs[port["name"]].shape)
    interpreter.allocate_tensors()
    for port in ports:
        interpreter.set_tensor(port["index"], inputs[port["name"]])
    results = interpreter.get_output_details()
    kinds = {np.dtype(tensor["dtype"]).kind for tensor in interpreter.get_tensor_details()}
    return (
        version("ai-edge-litert"),
        "fp32" if "f" in kinds else "int8",
        # The loop inside invoke(), as that of the other runtimes is: without the wrapper's checks.
        (interpreter._interpreter.Invoke, lambda: [interpreter.get_tensor(port["index"]) for port in results]),
    )


RUNTIMES: dict[str, tuple[str, Callable[..., tuple[str, str, Runner]]]] = {
    "lathe": ("lathe", open_lathe),
    "onnxruntime": ("onnxruntime", open_onnxruntime),
    "openvino": ("openvino", open_openvino),
    "openvino-default": ("openvino", open_openvino_default),
    "litert": ("ai_edge_litert", open_litert),
}
"""By name: the Python package it needs, and how to open it."""


def serve(answer: Callable[[dict[str, Any]], None]) -> None:
    run: Callable[[], Any] = list
    outputs: Callable[[], list[np.ndarray]] = list
    for line in sys.stdin:
        job = json.loads(line)
        if job["do"] == "open":
            with np.load(job["inputs"]) as file:
                inputs = {name: np.ascontiguousarray(file[name]).reshape(file[name].shape) for name in file.files}
            begin = time.perf_counter()
            version, precision, (run, outputs) = RUNTIMES[job["runtime"]][1](job, inputs)
            load_ms = (time.perf_counter() - begin) * 1e3
            begin = time.perf_counter()
            run()
            first_ms = (time.perf_counter() - begin) * 1e3
            answer({"version": version, "precision": precision, "load_ms": load_ms, "first_run_ms": first_ms})
        elif job["do"] == "outputs":
            run()
            arrays = outputs()
            np.savez(job["file"], **{f"a{i}": array for i, array in enumerate(arrays)})
            answer({"count": len(arrays)})
        elif job["do"] == "measure":
            ms = []
            end = time.perf_counter() + job["seconds"]
            while len(ms) < job.get("runs", 1) or time.perf_counter() < end:
                begin = time.perf_counter()
                run()
                ms.append((time.perf_counter() - begin) * 1e3)
            answer({"ms": ms})
        else:
            answer({"peak_rss_mb": peak_rss_mb()})
            return


def main() -> None:
    # Answers go to the pipe; anything a library prints must not get between them.
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    try:
        serve(answer)
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is the answer
        answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
