# SPDX-License-Identifier: Apache-2.0
"""The runtimes that `lathe compare` and bench/zoo.py measure: one file each, which says what models the runtime reads,
how others are converted for it, and how it runs on buffers bound before, at its best settings for float32.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODULES = ("engine", "onnxruntime", "openvino", "litert", "ncnn", "mnn", "pytorch")


@dataclass
class Job:
    model: str
    engine: str  # the model as lathe's engine
    inputs: dict[str, np.ndarray]  # in the order of the model
    outputs: list[str]  # names, in the order of the model
    threads: int
    folder: str  # for what is converted; its owner deletes it
    program: str  # the program lathe, or ""
    convert_ms: float = 0.0  # what converting took

    def convert(self, command: list[str], result: str) -> str:
        """The file `result` of the folder, which `command` makes; its conversion is measured. The last lines of the
        command's output are the message of the error."""
        path = Path(self.folder, result)
        if not path.exists():
            begin = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
            self.convert_ms = (time.perf_counter() - begin) * 1e3
            if done.returncode or not path.exists():
                lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                raise ConversionError(f"cannot convert: {' / '.join(lines[-3:]) or f'status {done.returncode}'}"[:400])
        return str(path)


class ConversionError(Exception):
    """The model cannot be had in the runtime's format."""


@dataclass
class Opened:
    version: str
    precision: str
    run: Callable[[], Any]  # once, on the bound buffers
    outputs: Callable[[], list[np.ndarray]]  # of the last run, in the order of the model


@dataclass(frozen=True)
class Peer:
    package: str  # the Python module that it needs
    formats: tuple[str, ...]  # of models that it reads or that are converted for it
    open: Callable[[Job], Opened]
    unasked: bool = True  # measured where nobody says against what

    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def distribution(self) -> str:
        return self.package.replace("_", "-")


def peers() -> dict[str, Peer]:
    """By name, lathe first."""
    found: dict[str, Peer] = {}
    for name in MODULES:
        found |= importlib.import_module(f"lathe.peers.{name}").PEERS
    return found


def format_of(model: str) -> str:
    """ "onnx", "tflite" or "pt2"; what is none of the last two is taken for the first."""
    if os.path.isdir(model):
        return "savedmodel"
    with open(model, "rb") as file:
        head = file.read(8)
    return "tflite" if head[4:] == b"TFL3" else "pt2" if head[:2] == b"PK" else "onnx"
