# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plug-in for latency: in float32, and in the precision that it chooses for the machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lathe.peers import Job, Opened, Peer


def _open(job: Job, precision: str) -> Opened:
    import openvino as ov

    config: dict[str, Any] = {"INFERENCE_NUM_THREADS": job.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    core = ov.Core()
    model = core.read_model(job.model)

    def input_of(port: Any) -> np.ndarray:
        return job.inputs[next(name for name in port.get_names() if name in job.inputs)]

    if any(p.partial_shape.is_dynamic for p in model.inputs):
        model.reshape({port: list(input_of(port).shape) for port in model.inputs})
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        request.set_tensor(port, ov.Tensor(input_of(port), shared_memory=True))

    def outputs() -> list[np.ndarray]:
        return [np.array(request.get_tensor(port).data) for port in compiled.outputs]

    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return Opened(ov.__version__.split("-")[0], {"f32": "fp32"}.get(used, used), request.infer, outputs)


PEERS = {
    "openvino": Peer("openvino", ("onnx",), partial(_open, precision="f32")),
    "openvino-default": Peer("openvino", ("onnx",), partial(_open, precision=""), unasked=False),
}
