# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's CPU provider, with all its optimisations."""

from __future__ import annotations

from lathe.peers import Job, Opened, Peer


def _open(job: Job) -> Opened:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in job.inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return Opened(ort.__version__, "fp32", lambda: session.run_with_iobinding(binding), binding.copy_outputs_to_cpu)


PEERS = {"onnxruntime": Peer("onnxruntime", ("onnx",), _open)}
