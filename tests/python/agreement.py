# SPDX-License-Identifier: Apache-2.0
"""How results are compared: with what ONNX Runtime computes without its optimisations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx


def onnxruntime_outputs(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feed)), strict=True))


def disagreement(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-4) -> str:
    """ "" if `got` is as `want`: same type and shape; integers equal; floats within tolerance · max|want|, and NaN and
    infinities at the same places. Else what is wrong."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"got {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"
    if want.size == 0:
        return ""
    if want.dtype.kind != "f":
        bad = got != want
        limit = 0.0
    else:
        finite = np.isfinite(want)
        scale = float(np.max(np.abs(want[finite]), initial=0)) or 1.0
        limit = tolerance * scale
        with np.errstate(invalid="ignore"):
            near = np.abs(got.astype(np.float64) - want) <= limit
        bad = np.where(finite, ~near, ~((got == want) | (np.isnan(got) & np.isnan(want))))
    if not bad.any():
        return ""
    worst = np.argwhere(bad)[0]
    at = tuple(int(i) for i in worst)
    return f"{int(bad.sum())} of {want.size} differ by more than {limit:.3g}; at {list(at)} got {got[at]}, expected {want[at]}"
