# SPDX-License-Identifier: Apache-2.0
"""PyTorch modules as engines: `lathe.compile(module, inputs)` and `torch.compile(backend="lathe")`.

Imported only when one of them is used; needs torch, which the package itself does not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from lathe.errors import Error, UnsupportedError, UsageError
from lathe.session import Model, Port

# torch's type of a port whose elements numpy has no type for.
_TYPES = {
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz,
    "float8_e5m2": torch.float8_e5m2,
    "float8_e5m2fnuz": torch.float8_e5m2fnuz,
}


def compile_module(
    module: torch.nn.Module | torch.export.ExportedProgram,
    example_inputs: Sequence[Any] | None,
    example_kwargs: Mapping[str, Any] | None,
    dynamic_shapes: Any,
    threads: int,
    options: Mapping[str, Any],
) -> CompiledModule:
    """What `lathe.compile` does with a module or an exported program."""
    if isinstance(module, torch.export.ExportedProgram):
        if example_inputs is not None or example_kwargs is not None or dynamic_shapes is not None:
            raise UsageError("an ExportedProgram has its inputs and shapes already: give it alone")
        program = module
    else:
        program = export(module, example_inputs, example_kwargs, dynamic_shapes)
    return CompiledModule(program, _engine(program, threads, options))


def export(
    module: torch.nn.Module, inputs: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> torch.export.ExportedProgram:
    if inputs is None and kwargs is None:
        raise UsageError("a module is compiled with example inputs: lathe.compile(module, (x,))")
    if torch.is_tensor(inputs):
        inputs = (inputs,)
    with torch.no_grad():
        return torch.export.export(
            module, tuple(inputs or ()), dict(kwargs or {}), dynamic_shapes=dynamic_shapes, strict=False
        )


def _engine(program: torch.export.ExportedProgram, threads: int, options: Mapping[str, Any]) -> Model:
    from lathe.compiler import compile as compile_file

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "module.pt2")
        torch.export.save(program, path)
        try:
            return compile_file(path, threads=threads, **options)
        except Error as error:  # nobody knows that path
            raise type(error)(str(error).replace(path, "the exported module")) from None


class CompiledModule:
    """A module's engine, called as the module is: tensors in, tensors out, in the same structure.

    Contiguous tensors in CPU memory are used in place, others are copied first; results are new tensors. Gradients are
    not computed: where torch records them, backward() through a result is an error. Thread safety is that of
    `lathe.Model`, which `model` is.
    """

    def __init__(self, program: torch.export.ExportedProgram, model: Model) -> None:
        self.model = model
        assert program.call_spec.in_spec is not None and program.call_spec.out_spec is not None
        self._in_spec, self._out_spec = program.call_spec.in_spec, program.call_spec.out_spec
        names = {port.name: i for i, port in enumerate(model.inputs)}
        # For each leaf of the arguments its port, or the constant that the module was exported with.
        self._leaves: list[tuple[int | None, Any]] = []
        for spec in program.graph_signature.input_specs:
            if spec.kind is torch.export.graph_signature.InputKind.USER_INPUT:
                self._leaves.append((names.get(spec.arg.name), getattr(spec.arg, "value", None)))
        # For each leaf of the results whether the engine gives it (and whether as a number), or its constant.
        self._results: list[tuple[str, Any]] = []
        for spec in program.graph_signature.output_specs:
            if spec.kind is not torch.export.graph_signature.OutputKind.USER_OUTPUT:
                continue
            value = getattr(spec.arg, "value", None)
            if isinstance(spec.arg, torch.export.graph_signature.TensorArgument):
                self._results.append(("tensor", None))
            elif isinstance(value, int) and not isinstance(value, bool) or not hasattr(spec.arg, "value"):
                self._results.append(("number", None))
            else:
                self._results.append(("constant", value))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs, ())

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], state: Sequence[torch.Tensor]) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        if spec != self._in_spec:
            args, kwargs = self._reordered(args, kwargs)
            leaves, spec = pytree.tree_flatten((args, kwargs))
            if spec != self._in_spec:
                raise UsageError(f"the module was exported for the arguments {self._in_spec}, got {spec}")
        tensors: list[Any] = [None] * len(self.model.inputs)
        for leaf, (port, constant) in zip(leaves, self._leaves, strict=True):
            if port is not None:
                tensors[port] = leaf
            elif constant is not None and leaf != constant:
                raise UsageError(f"the module was exported with the constant {constant!r}, got {leaf!r}")
        outputs = iter(run(self.model, tensors, state))
        results = []
        for kind, constant in self._results:
            if kind == "constant":
                results.append(constant)
            else:
                value = next(outputs)
                results.append(value if kind == "tensor" else int(value))
        return pytree.tree_unflatten(results, self._out_spec)

    def _reordered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Keyword arguments in the order in which the module was exported."""
        wanted = self._in_spec.child(1).context if self._in_spec.num_children == 2 else None
        if isinstance(wanted, list) and sorted(wanted) == sorted(kwargs):
            return args, {name: kwargs[name] for name in wanted}
        return args, kwargs

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.model.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self.model.outputs

    def eval(self) -> CompiledModule:
        """An engine is always as for evaluation."""
        return self

    def __repr__(self) -> str:
        return f"<lathe.CompiledModule of {self.model!r}>"


class _Forward(torch.autograd.Function):
    """Runs where gradients are recorded, so that backward() says what is wrong."""

    @staticmethod
    def forward(ctx: Any, model: Model, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(_run(model, tensors[: len(model.inputs)]))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise RuntimeError("an engine of lathe computes no gradients: train the module itself, and compile it after")


def run(model: Model, tensors: Sequence[Any], state: Sequence[torch.Tensor] = ()) -> Sequence[torch.Tensor]:
    """Runs an engine on tensors in the order of its inputs; new tensors in the order of its outputs. `state`: the
    tensors that the engine has as constants, for which gradients might be wanted."""
    if torch.is_grad_enabled() and any(torch.is_tensor(t) and t.requires_grad for t in (*tensors, *state)):
        return _Forward.apply(model, *tensors, *state)
    return _run(model, tensors)


def _run(model: Model, tensors: Sequence[Any]) -> list[torch.Tensor]:
    arrays = [_array(port, t) for port, t in zip(model.inputs, tensors, strict=True)]
    types = [_torch_type(port) for port in model.outputs]

    def allocate(i: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, np.ndarray]:
        made = torch.empty(shape, dtype=types[i])
        return made, _view(model.outputs[i], made)

    results = model._execute(arrays, allocate)
    return [
        value
        if torch.is_tensor(value)
        else torch.frombuffer(value[1], dtype=types[i]).reshape(value[0])
        if len(value[1])
        else torch.empty(value[0], dtype=types[i])
        for i, value in enumerate(results)
    ]


def _torch_type(port: Port) -> torch.dtype:
    if port.dtype in _TYPES:
        return _TYPES[port.dtype]
    dtype = getattr(torch, port.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise UnsupportedError(f'"{port.name}" is of the type {port.dtype}, which torch lacks')
    return dtype


def _view(port: Port, tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory as the array that the engine takes."""
    if port.dtype in _TYPES:
        tensor = tensor.view(torch.uint16 if port.numpy.itemsize == 2 else torch.uint8)
    return tensor.numpy()


def _array(port: Port, value: Any) -> np.ndarray:
    if not torch.is_tensor(value):
        raise UsageError(f'input "{port.name}" expects a tensor, got {type(value).__name__}')
    if value.dtype != _torch_type(port):
        raise UsageError(f'input "{port.name}" expects {port.dtype}, got {str(value.dtype).removeprefix("torch.")}')
    if value.device.type != "cpu":
        raise UsageError(f'input "{port.name}" is on {value.device}; engines run on the CPU')
    return _view(port, value.detach().resolve_conj().resolve_neg().contiguous())


# torch.compile(backend="lathe")


def backend(
    graph: torch.fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """The backend that `torch.compile(model, backend="lathe", options={"threads": 2, "math": "strict"})` calls with
    each graph that it captures; options are those of `lathe.compile`.

    Parameters and buffers become constants of the engine: after a change in place (a training step) it is built again
    at the next call. A graph with operators that lathe does not support raises lathe.UnsupportedError with all of them,
    which torch reports as BackendCompilerFailed. Shapes that torch has found to vary are symbolic in the engine.
    """
    settings = dict(options or {})
    if mode not in (None, "default"):
        raise UsageError(f'the backend has no mode {mode!r}; use options={{"math": …, "tune": …, "threads": …}}')
    threads = settings.pop("threads", 0)
    return _Captured(graph, example_inputs, threads, settings)


class _Captured:
    """A graph that torch captured, with its engine."""

    def __init__(
        self, graph: torch.fx.GraphModule, inputs: Sequence[Any], threads: int, options: Mapping[str, Any]
    ) -> None:
        self._graph, self._threads, self._options = graph, threads, options
        placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
        self._frozen = [i for i, node in enumerate(placeholders) if _is_state(node, inputs[i])]
        self._numbers = [i for i, x in enumerate(inputs) if not torch.is_tensor(x)]
        self._free = [i for i in range(len(inputs)) if i not in self._frozen and i not in self._numbers]
        self._seen: list[Any] = []
        self._compiled = self._build(inputs)

    def _build(self, inputs: Sequence[Any]) -> CompiledModule:
        module = _Frozen(self._graph, {i: inputs[i] for i in self._frozen}, self._numbers, self._free)
        free = tuple(inputs[i] for i in self._free)
        dynamic = module.dynamic_dimensions()
        # torch's own tracing is at work around us: what it knows of its symbols is no concern of this export.
        with torch._guards.tracing(None), torch.no_grad():
            program = torch.export.export(module, free, dynamic_shapes=(dynamic,) if dynamic else None, strict=False)
            compiled = CompiledModule(program, _engine(program, self._threads, self._options))
        self._seen = [_state_of(inputs[i]) for i in self._frozen]
        return compiled

    def __call__(self, *inputs: Any) -> Any:
        state = [inputs[i] for i in self._frozen]
        if self._seen != [_state_of(t) for t in state]:
            self._compiled = self._build(inputs)
        return self._compiled._call(tuple(inputs[i] for i in self._free), {}, state)


def _is_state(node: torch.fx.Node, value: Any) -> bool:
    """Whether a graph's input is a parameter or buffer of the user's module."""
    if isinstance(value, torch.nn.Parameter):
        return True
    return torch.is_tensor(value) and "_dynamo_static_input_type" in node.meta.get("tensor_dict", {})


def _state_of(value: torch.Tensor) -> tuple[int, int]:
    """What changes when a tensor does."""
    return value.data_ptr(), -1 if value.is_inference() else value._version


class _Frozen(torch.nn.Module):
    """A captured graph whose parameters and numbers are inputs no more: parameters are buffers, and sizes are read from
    the tensors that have them."""

    def __init__(
        self, graph: torch.fx.GraphModule, state: Mapping[int, torch.Tensor], numbers: list[int], free: list[int]
    ) -> None:
        super().__init__()
        self.graph = graph
        self.places = {}
        for i, value in state.items():
            self.register_buffer(f"state_{i}", value.detach())
            self.places[i] = f"state_{i}"
        self.free = free
        placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
        self.count = len(placeholders)
        self.values = [node.meta.get("example_value") for node in placeholders]
        self.sizes: dict[int, tuple[int, int]] = {}
        for i in numbers:
            found = self._find(self.values[i])
            if found is None:
                raise UnsupportedError(
                    f'the graph takes the number "{placeholders[i].target}", which is no size of a tensor; '
                    "mark it static (torch._dynamo.config.specialize_float = True) or pass a tensor"
                )
            self.sizes[i] = found

    def _find(self, value: Any) -> tuple[int, int] | None:
        for k, i in enumerate(self.free):
            for d, size in enumerate(self.values[i].shape if torch.is_tensor(self.values[i]) else ()):
                if isinstance(size, torch.SymInt) and isinstance(value, torch.SymInt) and str(size) == str(value):
                    return k, d
        return None

    def dynamic_dimensions(self) -> tuple[dict[int, Any], ...] | None:
        """For each free input the dimensions that vary; None: none does."""
        dims = tuple(
            {d: torch.export.Dim.AUTO for d, size in enumerate(self.values[i].shape) if isinstance(size, torch.SymInt)}
            for i in self.free
        )
        return dims if any(dims) else None

    def forward(self, *tensors: torch.Tensor) -> Any:
        arguments: list[Any] = [None] * self.count
        for i, name in self.places.items():
            arguments[i] = getattr(self, name)
        for i, tensor in zip(self.free, tensors, strict=True):
            arguments[i] = tensor
        for i, (k, d) in self.sizes.items():
            arguments[i] = tensors[k].shape[d]
        return self.graph(*arguments)


__all__ = ["CompiledModule", "backend", "compile_module", "export", "run"]
