# SPDX-License-Identifier: Apache-2.0
"""PyTorch on an exported program (.pt2): eagerly, and through torch.compile with its weights frozen."""

from __future__ import annotations

from functools import partial

import numpy as np

from lathe.peers import Job, Opened, Peer


def _open(job: Job, compiled: bool) -> Opened:
    import torch

    torch.set_num_threads(job.threads)
    torch.set_num_interop_threads(1)
    module = torch.export.load(job.model).module()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    if compiled:
        import torch._inductor.config as inductor

        inductor.freezing = True
        inductor.cpp.threads = job.threads
        module = torch.compile(module)
    inputs = [torch.from_numpy(array) for array in job.inputs.values()]
    last: list[torch.Tensor] = []

    def run() -> None:
        with torch.no_grad():
            result = module(*inputs)
        last[:] = torch.utils._pytree.tree_leaves(result)

    def outputs() -> list[np.ndarray]:
        return [value.detach().numpy() for value in last]

    return Opened(torch.__version__.split("+")[0], "fp32", run, outputs)


PEERS = {
    "torch": Peer("torch", ("pt2",), partial(_open, compiled=False)),
    "torch-compile": Peer("torch", ("pt2",), partial(_open, compiled=True), unasked=False),
}
