# SPDX-License-Identifier: Apache-2.0
"""Building engines. The compiler, and LLVM with it, is loaded at the first call of a function of this module."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from lathe import operators
from lathe.calibration import batches
from lathe.errors import DamagedError, FailedError, IntegrityError, UsageError
from lathe.session import load

Shape = str | Sequence[int | str]

# Options that are one value.
_PLAIN = {
    *("math", "precision", "tune", "signature", "strict", "memory_limit", "jobs", "trust"),
    *("calibrator", "percentile", "activations", "correct_bias", "calibration_limit", "max_loss"),
    *("weight_block", "weight_zeros"),
}


@dataclass(frozen=True)
class BuildReport:
    """What a build made."""

    engine_hash: str
    engine_bytes: int
    weight_bytes: int
    kernels: int
    instructions: int
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage."""
    quantization: dict[str, Any] | None = None
    """Of precision int8 and mixed: what became of each layer, and what it cost; see docs/quantization.md."""


def build(model: Any, engine: str | os.PathLike[str], **options: Any) -> BuildReport:
    """Builds `model` into the file `engine`, which is replaced as a whole or, after an error, is as it was.

    model: the path of a model (ONNX, TFLite, PyTorch .pt2; the folder of a SavedModel or a frozen GraphDef of
    TensorFlow; Keras' .keras and .h5), its bytes, an onnx.ModelProto or a torch.export.ExportedProgram.

    Options, as those of `lathe build`:
      target: a name of `targets()`, or several; default: the best for this machine
      precision: "fp32"; "fp16" or "bf16" (weights stored so, sums in fp32); "int8" or "mixed" (as much int8 as
        max_loss allows), which need `calibrate`; "w8", "w4", "wfp8", "wfp4": weights of matrix products in so many bits
      calibrate: inputs to choose ranges by: an array, a dict of arrays, an npz or npy file, a folder of these, or
        several of them
      calibrator: "minmax", "percentile", "entropy", "mse" or "auto"; percentile; activations: "u8" or "i8";
        correct_bias; calibration_limit: most samples to use
      max_loss: of "mixed" and 4-bit weights, in percent: 100 * (1 - cosine) of the outputs
      weight_block: of weight-only precisions: 0 (a scale for each column), 16, 32, 64, 128 or 256; weight_zeros: whether
        integers have zero points
      keep_float: names of layers to leave in float
      math: "strict", "default" or "fast"
      tune: "none", "fast" or "full"
      shapes, min_shapes, opt_shapes, max_shapes: input name → (1, 3, 224, 224), or ("batch", 3, 224, 224)
      values: input name → a number or list that it is fixed to; the engine does not have the input then (ONNX)
      signature: which entry point of a model that has several (SavedModel, TFLite); default: "serving_default"
      strict: fail instead of falling back to anything slower or less precise
      memory_limit: bytes a model may ask for
      jobs: build threads; 0: all CPUs
      trust: put the engine on this user's list of engines that may run (default: true)
      progress: called with (stage, 0…1); returning False stops the build

    Raises UsageError, UnsupportedError (all unsupported nodes are listed), DamagedError, FailedError (disk full),
    InterruptedBuild; KeyboardInterrupt on Ctrl-C.
    """
    compiler = _compiler()
    parsed, progress = _options(compiler, options)
    with _model_path(model) as path:
        return BuildReport(**compiler.build(path, os.fspath(engine), parsed, progress))


def compile(
    model: Any,
    example_inputs: Sequence[Any] | None = None,
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    threads: int = 0,
    **options: Any,
) -> Any:
    """Builds `model` unless that was done before, and loads it: a `Model`. Options and errors are those of `build`.

    A torch.nn.Module is exported first (torch.export with `example_inputs`, `example_kwargs` and `dynamic_shapes`, as it
    takes them), and what comes back is called as the module is, with tensors (lathe.pytorch.CompiledModule); so is what
    comes of a torch.export.ExportedProgram.

    Engines are kept in $XDG_CACHE_HOME/lathe by the model's content, the options and the version.
    """
    if _of_torch(model):
        from lathe.pytorch import compile_module

        return compile_module(model, example_inputs, example_kwargs, dynamic_shapes, threads, options)
    if example_inputs is not None or example_kwargs is not None or dynamic_shapes is not None:
        raise UsageError("example inputs and dynamic_shapes are for modules of PyTorch; a file has its own")
    compiler = _compiler()
    parsed, progress = _options(compiler, options)
    with _model_path(model) as path:
        engine, built, _ = compiler.cached_engine(path, parsed, progress, False)
        try:
            return load(engine, threads)
        except (DamagedError, IntegrityError):
            if built:
                raise
            # The cached file was damaged, or this user's list of trusted engines no longer has it.
            engine, _, _ = compiler.cached_engine(path, parsed, progress, True)
            return load(engine, threads)


def quantize(
    model: Any, output: str | os.PathLike[str], *, calibrate: Any, precision: str = "int8", **options: Any
) -> dict[str, Any]:
    """Quantizes `model` and writes it as ONNX in QDQ form, which other runtimes read too.

    Options are those of `build`. Returns {"nodes", "bytes", "external_bytes", "quantization"}.
    """
    compiler = _compiler()
    parsed, progress = _options(compiler, {"calibrate": calibrate, "precision": precision, **options})
    with _model_path(model) as path:
        return compiler.quantize(path, os.fspath(output), parsed, progress)


def graph_text(model: Any, optimised: bool = True, **options: Any) -> str:
    """The model's graph as text: as imported, or as optimised. Options are those of `build`."""
    compiler = _compiler()
    parsed, _ = _options(compiler, options)
    with _model_path(model) as path:
        return compiler.graph_text(path, parsed, optimised)


def targets() -> list[dict[str, Any]]:
    """What engines can be built for: {"name", "arch", "needs", "runs_here", "is_host_default"}."""
    return _compiler().targets()


def _of_torch(model: Any, *, exported: bool = False) -> bool:
    """Whether it is a torch.nn.Module or an ExportedProgram; torch is not imported for that."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    kinds = (torch.export.ExportedProgram,) if exported else (torch.nn.Module, torch.export.ExportedProgram)
    return isinstance(model, kinds)


@contextlib.contextmanager
def _own_symbols() -> Iterator[None]:
    """What is loaded meanwhile finds its own libraries first: TensorFlow shows all processes its LLVM, in which ours would
    get lost."""
    deep = getattr(os, "RTLD_DEEPBIND", 0) if "san" not in os.environ.get("LD_PRELOAD", "") else 0
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | deep)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)


def _compiler() -> ModuleType:
    try:
        with _own_symbols():
            from lathe import _compiler as module
    except ImportError as error:
        raise FailedError(
            f"the compiler cannot be loaded: {error}; building models needs it and LLVM 19, running engines does not"
        ) from error
    return module


def _shape_text(name: str, shape: Shape) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, Sequence):
        return ",".join(map(str, shape)) if len(shape) != 1 else str(shape[0])
    raise UsageError(f'the shape of "{name}" must be a sequence such as (1, 3, 224, 224), got {shape!r}')


def _value_text(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim > 1 or array.dtype.kind not in "biuf":
        raise UsageError(f"an input is fixed to a number or a list of numbers, got {value!r}")
    words = [str(v).lower() for v in array.reshape(-1).tolist()]
    return words[0] if array.ndim == 0 else ",".join(words) + ","


def _options(compiler: ModuleType, options: Mapping[str, Any]) -> tuple[Any, Callable[[str, float], Any] | None]:
    parsed = compiler.BuildOptions()
    for path in operators._libraries:
        parsed.load_operators(path)
    for address in operators._registered.values():
        parsed.add_operator(address)
    progress = None
    for name, value in options.items():
        if name == "progress":
            progress = value
        elif name == "calibrate":
            parsed.set_calibration(*batches(value))
        elif name == "keep_float":
            parsed.keep_float = [value] if isinstance(value, str) else list(value)
        elif name == "target":
            parsed.targets = value.split(",") if isinstance(value, str) else list(value)
        elif name in ("shapes", "min_shapes", "opt_shapes", "max_shapes"):
            setattr(parsed, name, {str(key): _shape_text(key, shape) for key, shape in value.items()})
        elif name == "values":
            parsed.values = {str(key): _value_text(value_) for key, value_ in value.items()}
        elif name in _PLAIN:
            try:
                setattr(parsed, name, value)
            except TypeError as error:
                raise UsageError(f"build option {name} cannot be {value!r}") from error
        else:
            raise UsageError(f"there is no build option {name!r}; see help(lathe.build)")
    return parsed, progress


@contextlib.contextmanager
def _model_path(model: Any) -> Iterator[str]:
    """The model as a file; one from memory is written to a temporary file."""
    if isinstance(model, (str, os.PathLike)):
        yield os.fspath(model)
        return
    if _of_torch(model, exported=True):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "module.pt2")
            sys.modules["torch"].export.save(model, path)
            yield path
        return
    data = model.SerializeToString() if hasattr(model, "SerializeToString") else model
    if not isinstance(data, (bytes, bytearray, memoryview)):
        if _of_torch(model):
            raise UsageError("export the module first: lathe.build(torch.export.export(module, inputs), …)")
        raise UsageError(
            "a model is a path, bytes, an onnx.ModelProto or a torch.export.ExportedProgram, got "
            + type(model).__name__
        )
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(data)
        file.flush()
        yield file.name
