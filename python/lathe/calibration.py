# SPDX-License-Identifier: Apache-2.0
"""Calibration sets as Python has them: arrays, files, folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lathe.errors import UsageError
from lathe.session import _TYPES

_NUMBERS = {numpy: number for number, (name, numpy) in _TYPES.items() if name == numpy}

# An array as the compiler takes it: input, element type, shape, bytes.
Raw = tuple[str, int, tuple[int, ...], bytes]


def batches(calibrate: Any) -> tuple[list[tuple[str, list[Raw]]], str]:
    """Named batches of arrays, and a hash of what they hold.

    calibrate: an array or a mapping from inputs to arrays; the path of an npz or npy file or of a folder of them; or
    an iterable of any of these.
    """
    found, digest = [], hashlib.sha256()
    for where, arrays in _batches(calibrate):
        raw = [_raw(where, name, array) for name, array in arrays.items()]
        for name, number, shape, data in raw:
            digest.update(f"{name}:{number}:{shape}:".encode())
            digest.update(data)
        found.append((where, raw))
    if not found:
        raise UsageError("the calibration set is empty")
    return found, digest.hexdigest()


def _raw(where: str, name: str, array: Any) -> Raw:
    array = np.ascontiguousarray(array)
    number = _NUMBERS.get(array.dtype.newbyteorder("=").name)
    if number is None or array.dtype.hasobject:
        raise UsageError(f"{where}: arrays of {array.dtype} calibrate nothing")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return name, number, native.shape, native.tobytes()


def _batches(calibrate: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(calibrate, (str, os.PathLike)):
        path = Path(calibrate)
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix in (".npz", ".npy"))
            if not files:
                raise UsageError(f"{path}: the calibration set is empty: the folder holds no npz or npy file")
            for file in files:
                yield str(file), _file(file)
            return
        yield str(path), _file(path)
    elif isinstance(calibrate, Mapping):
        yield "calibration array", calibrate
    elif isinstance(calibrate, np.ndarray):
        yield "calibration array", {"": calibrate}
    elif isinstance(calibrate, Iterable):
        for i, one in enumerate(calibrate):
            for where, arrays in _batches(one):
                yield (f"calibration batch {i}" if where == "calibration array" else where), arrays
    else:
        raise UsageError(f"calibrate: expected arrays, files or a folder, got {type(calibrate).__name__}")


def _file(path: Path) -> Mapping[str, np.ndarray]:
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    try:
        loaded = np.load(path, allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: not a readable npz or npy file: {error}") from error
