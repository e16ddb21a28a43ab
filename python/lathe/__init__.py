# SPDX-License-Identifier: Apache-2.0
"""lathe: turns a trained model into a fast engine for a device, and runs it there.

    import lathe

    model = lathe.compile("model.onnx")             # built once, then cached
    outputs = model({"input": x})                   # numpy arrays by name

    lathe.build("model.onnx", "model.lathe")        # a file for a device
    model = lathe.load("model.lathe", threads=2)    # loads neither the compiler nor LLVM

Arrays are numpy's. For types that numpy lacks they hold bits or values: bfloat16 as uint16; 8-bit floats and
float4 as uint8; int4 as int8 and uint4 as uint8, one value an element.
"""

from lathe._lathe import version as _version
from lathe.compiler import build, compile, graph_text, quantize, targets
from lathe.errors import (
    DamagedError,
    Error,
    FailedError,
    IntegrityError,
    InterruptedBuild,
    NoTargetError,
    UnsupportedError,
    UsageError,
)
from lathe.measure import bench
from lathe.operators import Spec, load_operators, register_operator
from lathe.session import Model, Port, load

__version__: str = _version()
__all__ = [
    "DamagedError",
    "Error",
    "FailedError",
    "IntegrityError",
    "InterruptedBuild",
    "Model",
    "NoTargetError",
    "Port",
    "Spec",
    "UnsupportedError",
    "UsageError",
    "bench",
    "build",
    "compile",
    "graph_text",
    "load",
    "load_operators",
    "quantize",
    "register_operator",
    "targets",
]
