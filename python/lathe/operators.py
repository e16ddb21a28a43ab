# SPDX-License-Identifier: Apache-2.0
"""Custom operators: those of a shared library, and those written in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lathe import _lathe
from lathe.errors import UsageError
from lathe.session import _TYPES

_UNKNOWN = -(2**63)
_NUMBERS = {name: number for number, (name, _) in _TYPES.items()}

# What the compiler is told of with each build.
_registered: dict[tuple[str, str], int] = {}
_libraries: list[str] = []


@dataclass(frozen=True)
class Spec:
    """The type of an operator's input or output."""

    dtype: str
    """float32, int64, bfloat16 …"""
    shape: tuple[int | str | None, ...]
    """Sizes. While a model is built, those not known are words, equal where sizes are equal: a shape function copies
    them. None, in a shape function's result, is a size that only a run tells."""
    value: np.ndarray | None = None
    """An input's elements where they are known: constants while a model is built, and everything in a run."""


def load_operators(path: str | os.PathLike[str]) -> None:
    """Loads a library of custom operators (docs/custom-operators.md): for engines, and for builds from now on.

    Raises FailedError if it cannot be loaded, UsageError if it is no library of operators.
    """
    name = os.path.abspath(os.fspath(path))
    _lathe.load_operators(name)
    if name not in _libraries:
        _libraries.append(name)


def register_operator(
    domain: str,
    name: str,
    *,
    shape: Callable[[Sequence[Spec | None], Mapping[str, Any]], Sequence[Spec | tuple[str, Sequence[Any]]]],
    run: Callable[[Sequence[np.ndarray | None], Mapping[str, Any]], Sequence[Any]],
    varies: bool = False,
) -> None:
    """Makes an operator that lathe does not know known to builds and to models loaded from now on.

    domain, name: of the ONNX nodes that ask for it.
    shape: (inputs, attributes) → for each output its element type and shape; asked when a model is built and in every
        run, where it must say the same (a size that it called None may then depend on data).
    run: (inputs, attributes) → the outputs as arrays. Inputs are views that must not be written to or kept.
    varies: equal inputs may give different outputs.

    Absent inputs are None. Attributes are ints, floats, strings, arrays, or lists of the first three. An engine that
    uses the operator needs it registered wherever it runs. Called from any thread, with the interpreter's lock held.
    """
    if not callable(shape) or not callable(run):
        raise UsageError("shape and run must be functions")

    def raw_shape(inputs: list[Any], attributes: dict[bytes, Any], count: int) -> list[tuple[int, list[int]]]:
        results = list(shape([_spec(*x) for x in inputs], _attributes(attributes)))
        _check_count(count, results)
        return [_raw(r if isinstance(r, Spec) else Spec(*r)) for r in results]

    def raw_run(inputs: list[Any], attributes: dict[bytes, Any], outputs: list[Any]) -> None:
        results = list(run([_array(*x) for x in inputs], _attributes(attributes)))
        _check_count(len(outputs), results)
        for given, raw in zip(results, outputs, strict=True):
            to, array = _array(*raw), np.asarray(given)
            if array.shape != to.shape:
                raise ValueError(f"run gives an array of shape {array.shape}; the shape function said {to.shape}")
            if to.size:
                np.copyto(to, array, casting="same_kind")

    _registered[domain, name] = _lathe.register_operator(domain, name, raw_shape, raw_run, varies)


def _check_count(wanted: int, results: list[Any]) -> None:
    if len(results) != wanted:
        raise ValueError(f"the node has {wanted} outputs, the function gives {len(results)}")


def _array(dtype: int, dims: tuple[int, ...], memory: Any) -> Any:
    if memory is None:
        return None
    kind = _TYPES[dtype][1]
    return np.frombuffer(memory, kind).reshape(dims) if len(memory) else np.zeros(dims, kind)


def _spec(dtype: int, dims: tuple[int, ...], memory: Any) -> Spec | None:
    if dtype == 0:
        return None
    sizes = tuple(d if d >= 0 else f"size{-d}" for d in dims)
    return Spec(_TYPES[dtype][0], sizes, None if any(d < 0 for d in dims) else _array(dtype, dims, memory))


def _raw(spec: Spec) -> tuple[int, list[int]]:
    if spec.dtype not in _NUMBERS:
        raise ValueError(f"there is no element type {spec.dtype!r}")
    dims = []
    for size in spec.shape:
        if isinstance(size, str):
            dims.append(-int(size.removeprefix("size")))
        else:
            dims.append(_UNKNOWN if size is None else int(size))
    return _NUMBERS[spec.dtype], dims


def _attributes(raw: dict[bytes, tuple[int, list[Any]]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (kind, values) in raw.items():
        if kind == 2:
            values = [v.decode(errors="surrogateescape") for v in values]
        if kind == 3:
            values = [_array(*v) for v in values]
        out[name.decode(errors="surrogateescape")] = values[0] if len(values) == 1 else values
    return out
