# SPDX-License-Identifier: Apache-2.0
"""Loaded engines."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lathe import _lathe
from lathe.errors import UnsupportedError, UsageError

# Element types by their ONNX number: their name, and the numpy type that holds them.
_TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float32"),
    2: ("uint8", "uint8"),
    3: ("int8", "int8"),
    4: ("uint16", "uint16"),
    5: ("int16", "int16"),
    6: ("int32", "int32"),
    7: ("int64", "int64"),
    8: ("str", "str"),
    9: ("bool", "bool"),
    10: ("float16", "float16"),
    11: ("float64", "float64"),
    12: ("uint32", "uint32"),
    13: ("uint64", "uint64"),
    14: ("complex64", "complex64"),
    15: ("complex128", "complex128"),
    16: ("bfloat16", "uint16"),
    17: ("float8_e4m3fn", "uint8"),
    18: ("float8_e4m3fnuz", "uint8"),
    19: ("float8_e5m2", "uint8"),
    20: ("float8_e5m2fnuz", "uint8"),
    21: ("uint4", "uint8"),
    22: ("int4", "int8"),
    23: ("float4_e2m1fn", "uint8"),
    24: ("float8_e8m0fnu", "uint8"),
    25: ("uint2", "uint8"),
    26: ("int2", "int8"),
}
# Of types that are stored several to a byte: bits, least and greatest value.
_PACKED = {
    "uint4": (4, 0, 15),
    "int4": (4, -8, 7),
    "float4_e2m1fn": (4, 0, 15),
    "uint2": (2, 0, 3),
    "int2": (2, -2, 1),
}


@dataclass(frozen=True)
class Port:
    """An input or output of a model."""

    name: str
    dtype: str
    """float32, int64, bfloat16, int4 … (numpy's names, and those of ml_dtypes for what numpy lacks)"""
    shape: tuple[int | str, ...]
    """Symbolic dimensions are strings: ``("batch", 3, 224, 224)``."""
    numpy: np.dtype
    """What arrays for this port hold: ``dtype``, or uint16 for bfloat16 and so on."""

    def __str__(self) -> str:
        stored = "" if self.numpy.name == self.dtype else f" (as {self.numpy.name})"
        return f"{self.name}: {self.dtype}{stored} [{', '.join(map(str, self.shape))}]"


def _port(raw: tuple[str, int, tuple[int | str, ...]]) -> Port:
    name, dtype, shape = raw
    return Port(name, _TYPES[dtype][0], shape, np.dtype(_TYPES[dtype][1]))


def load(
    engine: str | os.PathLike[str] | bytes | bytearray | memoryview,
    threads: int = 0,
    *,
    trust: bool = False,
    target: str = "",
    weights: str = "map",
    check_weights: bool = False,
) -> Model:
    """Loads an engine, from a file or from its bytes. Never loads the compiler.

    threads: at most so many work for one call; 0: all CPUs that this process may use.
    trust: run the native code of an engine that is neither signed by a trusted key nor built by this user.
    target: one of the engine's targets; "": the best for this machine.
    weights: "map" the file (shared between processes) or "copy" them.
    check_weights: compare the weights with their hash, which reads all of them.

    Raises UsageError (no such file), DamagedError, IntegrityError (altered or not trusted), NoTargetError.
    """
    if weights not in ("map", "copy"):
        raise UsageError(f'weights must be "map" or "copy", got {weights!r}')
    source: Any = os.fspath(engine) if isinstance(engine, (str, os.PathLike)) else engine
    raw = _lathe.Engine(source, trust=trust, copy_weights=weights == "copy", check_weights=check_weights, target=target)
    return Model(raw, threads)


class Model:
    """A loaded engine with memory to run it. Made by `load` and `compile`.

    Any thread may call it; calls of one Model run one after another. For calls at the same time use `clone`, which
    shares code and weights. Results are the same to the bit for any number of threads.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[Port, ...]
    """What the model remembers from one call to the next; empty for most."""

    def __init__(self, engine: _lathe.Engine, threads: int = 0) -> None:
        self._engine = engine
        self._threads = threads
        self._lock = threading.Lock()
        self._session = _lathe.Session(engine, threads)
        self._bound: _Bound | None = None
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self._results: list[tuple[int, ...] | None] = []
        self.inputs = tuple(map(_port, engine.inputs()))
        self.outputs = tuple(map(_port, engine.outputs()))
        self.states = tuple(map(_port, engine.states()))
        self._input_index = {port.name: i for i, port in enumerate(self.inputs)}
        for port in self.inputs + self.outputs:
            if port.dtype == "str":
                raise UnsupportedError(f'"{port.name}" holds strings, which this version does not pass yet')

    def __call__(self, inputs: Mapping[str, Any] | Any) -> dict[str, np.ndarray]:
        """Runs the model.

        inputs: an array for each input by name, or the one array of a model with one input. Arrays must have the
        port's type and a shape that fits; they are copied only if they are not C-contiguous. Lists and Python numbers
        are converted.

        Returns the outputs by name: new arrays, the caller's. Raises UsageError for wrong names, types or shapes.
        """
        arrays = self._arrange(inputs)

        def allocate(i: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
            array = np.empty(shape, self.outputs[i].numpy)
            return array, array

        results = self._execute(arrays, allocate)
        return {
            port.name: value if isinstance(value, np.ndarray) else _from_engine(port, *value)
            for port, value in zip(self.outputs, results, strict=True)
        }

    def _execute(
        self, arrays: Sequence[np.ndarray], allocate: Callable[[int, tuple[int, ...]], tuple[Any, np.ndarray]]
    ) -> list[Any]:
        """Runs on arrays in the inputs' order. `allocate(output, shape)` gives an output's memory: what is returned for
        it, and an array over the same bytes. Outputs whose shape depends on data are returned as (shape, bytes)."""
        with self._lock:
            session = self._session
            for i, (port, array) in enumerate(zip(self.inputs, arrays, strict=True)):
                session.bind_input(i, _to_engine(port, array), array.shape)
            shapes = tuple([array.shape for array in arrays])
            if shapes != self._shapes:
                self._prepare()
                self._shapes = shapes
            # Every call binds its own outputs before it runs: none ever writes to what an earlier one returned.
            out = [None if shape is None else allocate(i, shape) for i, shape in enumerate(self._results)]
            for i, pair in enumerate(out):
                if pair is not None:
                    session.bind_output(i, pair[1])
            session.run()
            return [session.output(i) if pair is None else pair[0] for i, pair in enumerate(out)]

    def _prepare(self) -> None:
        """Works out the outputs' shapes for the inputs that are bound; None: known only after a run."""
        self._shapes = None
        for i in range(len(self.outputs)):
            self._session.bind_output(i, None)
        self._results = [
            None if shape is None or port.dtype in _PACKED else tuple(shape)
            for port, shape in zip(self.outputs, self._session.prepare(), strict=True)
        ]

    def bind(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray] | None = None) -> None:
        """Binds arrays for `run`: nothing is copied, neither now nor then.

        The arrays must have the ports' types, fitting shapes, and be C-contiguous; outputs must be writable too. They
        are kept until bound anew. Outputs without an array get one, whose content each run replaces. `__call__` has
        memory of its own and is not affected. Raises UsageError; types of less than a byte cannot be bound.
        """
        with self._lock:
            self._bound = _Bound(self, inputs, outputs or {})

    def run(self) -> dict[str, np.ndarray]:
        """Runs on what `bind` has bound, after the caller has changed the inputs in place.

        Returns the outputs by name: the bound arrays themselves. An output whose shape depends on data is a new array.
        """
        bound = self._bound
        if bound is None:
            raise UsageError("nothing is bound: call bind(inputs) first, or call the model with its inputs")
        with self._lock:
            return bound.run()

    def reset(self) -> None:
        """State goes back to what it was before the first call: of calls, and of `run`, which has its own."""
        with self._lock:
            self._session.reset()
            if self._bound is not None:
                self._bound._session.reset()

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what the model remembers from its last call, by name."""
        with self._lock:
            return {p.name: _from_engine(p, *self._session.state(i)) for i, p in enumerate(self.states)}

    def set_state(self, values: Mapping[str, np.ndarray]) -> None:
        """The next call begins with these; states that are not named stay as they are. Raises UsageError."""
        index = {port.name: i for i, port in enumerate(self.states)}
        for name in values:
            if name not in index:
                raise UsageError(f'the model has no state "{name}"{_near(name, index)}; it has{_list(self.states)}')
        with self._lock:
            for name, value in values.items():
                port = self.states[index[name]]
                array = _as_array(port, value)
                if array.shape != port.shape:
                    raise UsageError(f'state "{name}" has shape {list(port.shape)}, got {list(array.shape)}')
                self._session.set_state(index[name], _to_engine(port, array))

    def clone(self, threads: int | None = None) -> Model:
        """Another Model of the same engine, for calls at the same time; its state is that before the first call."""
        return Model(self._engine, self._threads if threads is None else threads)

    @property
    def target(self) -> str:
        """The target whose code runs."""
        return self._engine.target()

    @property
    def identity(self) -> str:
        """64 hexadecimal digits that cover all of the engine but its signature."""
        return self._engine.identity()

    @property
    def provenance(self) -> dict[str, str]:
        """What was built, from what, with which options."""
        return self._engine.provenance()

    @property
    def threads(self) -> int:
        """As asked for; 0: all CPUs that this process may use."""
        return self._threads

    def __repr__(self) -> str:
        ports = [", ".join(map(str, ports)) for ports in (self.inputs, self.outputs)]
        return f"<lathe.Model {ports[0]} → {ports[1]} on {self.target}>"

    def _arrange(self, inputs: Mapping[str, Any] | Any) -> list[np.ndarray]:
        """Arrays in the ports' order."""
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise UsageError(f"the model has {len(self.inputs)} inputs; give a dict with{_list(self.inputs)}")
            inputs = {self.inputs[0].name: inputs}
        if inputs.keys() != self._input_index.keys():
            raise UsageError(_name_message(inputs, self.inputs))
        return [_as_array(port, inputs[port.name]) for port in self.inputs]


class _Bound:
    """A session of its own with the caller's memory bound to it."""

    def __init__(self, model: Model, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        if inputs.keys() != model._input_index.keys():
            raise UsageError(_name_message(inputs, model.inputs))
        known = {port.name for port in model.outputs}
        for name in outputs:
            if name not in known:
                raise UsageError(f'the model has no output "{name}"{_near(name, known)}; it has{_list(model.outputs)}')
        self._outputs = model.outputs
        self._session = _lathe.Session(model._engine, model._threads)
        for i, port in enumerate(model.inputs):
            array = inputs[port.name]
            _require_bindable("input", port, array)
            self._session.bind_input(i, _bits(port, array), array.shape)
        self._arrays: list[np.ndarray | None] = []
        shapes = self._session.prepare()
        for i, port in enumerate(model.outputs):
            array = outputs.get(port.name)
            if array is not None:
                _require_bindable("output", port, array)
                if not array.flags.writeable:
                    raise UsageError(f'output "{port.name}" cannot be bound: the array is read-only')
                if shapes[i] is not None and array.shape != tuple(shapes[i]):
                    raise UsageError(
                        f'output "{port.name}" has shape {list(shapes[i])}, got an array of {list(array.shape)}'
                    )
            elif shapes[i] is not None and port.dtype not in _PACKED:
                array = np.empty(shapes[i], port.numpy)
            self._arrays.append(array)
            if array is not None:
                self._session.bind_output(i, _bits(port, array))
        self._fixed: dict[str, np.ndarray] | None = None
        if all(array is not None for array in self._arrays):
            self._fixed = dict(zip((port.name for port in model.outputs), self._arrays))

    def run(self) -> dict[str, np.ndarray]:
        self._session.run()
        if self._fixed is not None:
            return dict(self._fixed)
        return {
            port.name: _from_engine(port, *self._session.output(i)) if array is None else array
            for i, (port, array) in enumerate(zip(self._outputs, self._arrays))
        }


def _list(ports: Iterable[Port]) -> str:
    return "".join(f"\n  {port}" for port in ports)


def _near(name: str, known: Iterable[str]) -> str:
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f' (did you mean "{lower[near[0]]}"?)' if near else ""


def _name_message(inputs: Mapping[str, Any], ports: tuple[Port, ...]) -> str:
    known = [port.name for port in ports]
    wrong = [f'"{name}"{_near(str(name), known)}' for name in inputs if name not in known]
    missing = [f'"{name}"' for name in known if name not in inputs]
    parts = [f"the model has no input {', '.join(wrong)}"] if wrong else []
    parts += [f"no data for input {', '.join(missing)}"] if missing else []
    return f"{'; '.join(parts)}; the model expects{_list(ports)}"


def _as_array(port: Port, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        if hasattr(value, "__array__"):
            value = np.asarray(value)
        else:
            try:
                value = np.asarray(value, port.numpy)
            except (ValueError, TypeError, OverflowError) as error:
                raise UsageError(f'input "{port.name}" expects {port.dtype}: {error}') from error
    _check_type("input", port, value)
    if not value.flags.c_contiguous or not value.dtype.isnative:
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)
    return value


def _check_type(kind: str, port: Port, array: np.ndarray) -> None:
    if array.dtype == port.numpy:
        return
    # Arrays of the types of ml_dtypes are known by their name.
    if array.dtype.name == port.dtype and array.dtype.itemsize == port.numpy.itemsize:
        return
    stored = "" if port.numpy.name == port.dtype else f" (as {port.numpy.name})"
    raise UsageError(f'{kind} "{port.name}" expects {port.dtype}{stored}, got {array.dtype.name}')


def _require_bindable(kind: str, port: Port, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise UsageError(f'{kind} "{port.name}": bind takes numpy arrays, got {type(array).__name__}')
    _check_type(kind, port, array)
    if port.dtype in _PACKED:
        raise UsageError(
            f'{kind} "{port.name}" cannot be bound: {port.dtype} is stored several to a byte; call the model instead'
        )
    if not array.flags.c_contiguous or not array.dtype.isnative:
        raise UsageError(f'{kind} "{port.name}" cannot be bound: the array is not C-contiguous in native byte order')


def _bits(port: Port, array: np.ndarray) -> np.ndarray:
    return array if array.dtype == port.numpy else array.view(port.numpy)


def _to_engine(port: Port, array: np.ndarray) -> np.ndarray:
    """As the engine stores it: 4-bit types two to a byte, 2-bit types four, the first in the lowest bits."""
    array = _bits(port, array)
    if port.dtype not in _PACKED:
        return array
    bits, low, high = _PACKED[port.dtype]
    if array.size and (array.min() < low or array.max() > high):
        raise UsageError(f'input "{port.name}" has values outside the range of {port.dtype}, {low} to {high}')
    each = 8 // bits
    flat = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    flat = np.append(flat, np.zeros(-flat.size % each, np.uint8)).reshape(-1, each)
    return np.bitwise_or.reduce(flat << (bits * np.arange(each, dtype=np.uint8)), axis=1)


def _from_engine(port: Port, shape: tuple[int, ...], data: bytearray) -> np.ndarray:
    if port.dtype not in _PACKED:
        return np.frombuffer(data, port.numpy).reshape(shape)
    bits, low, high = _PACKED[port.dtype]
    packed = np.frombuffer(data, np.uint8)
    fields = [packed >> (bits * k) & ((1 << bits) - 1) for k in range(8 // bits)]
    flat = np.stack(fields, axis=-1).reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    if low < 0:
        flat = np.where(flat > high, flat.astype(np.int8) - (1 << bits), flat)
    return flat.astype(port.numpy).reshape(shape)
