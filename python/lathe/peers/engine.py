# SPDX-License-Identifier: Apache-2.0
"""lathe itself."""

from __future__ import annotations

import numpy as np

from lathe.peers import Job, Opened, Peer


def _open(job: Job) -> Opened:
    import lathe

    model = lathe.load(job.engine, job.threads)
    model.bind(job.inputs)
    last: dict[str, np.ndarray] = {}

    def outputs() -> list[np.ndarray]:
        last.update(model.run())
        return [last[port.name] for port in model.outputs]

    return Opened(lathe.__version__, model.provenance.get("precision", "fp32"), model._bound.run, outputs)  # type: ignore[union-attr]


PEERS = {"lathe": Peer("lathe", ("onnx", "tflite", "pt2", "savedmodel"), _open, unasked=False)}
