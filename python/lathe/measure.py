# SPDX-License-Identifier: Apache-2.0
"""Measuring loaded models."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from lathe.errors import UnsupportedError
from lathe.session import Model, Port


def bench(model: Model, seconds: float = 3.0, inputs: Mapping[str, np.ndarray] | None = None) -> dict[str, Any]:
    """Runs `model` for `seconds` on bound buffers and returns what `lathe bench --json` prints (without load time).

    inputs: arrays by name; default: made up, always the same. Symbolic dimensions are 1 then.
    """
    model = model.clone()
    model.bind(example_inputs(model.inputs) if inputs is None else inputs)
    begin = time.perf_counter()
    model.run()
    first = time.perf_counter() - begin
    run = model._bound.run  # type: ignore[union-attr]
    end = time.perf_counter() + min(0.5, seconds / 10)
    while time.perf_counter() < end:
        run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    ms = np.sort(np.array(times)) * 1e3
    return {
        "engine": model.identity,
        "threads": model.threads,
        "runs": len(times),
        "latency_ms": {
            "min": float(ms[0]),
            "p50": float(np.quantile(ms, 0.5)),
            "p90": float(np.quantile(ms, 0.9)),
            "p99": float(np.quantile(ms, 0.99)),
            "mean": float(ms.mean()),
        },
        "throughput_per_s": float(1e3 / ms.mean()),
        "peak_rss_mb": peak_rss_mb(),
        "first_run_ms": first * 1e3,
    }


def example_inputs(
    ports: tuple[Port, ...], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, np.ndarray]:
    """Reproducible inputs: floats in [-1, 1), integers 0 or 1 (valid as masks and as indices), zeros for types that
    numpy lacks. Symbolic dimensions are 1 unless `shapes` says otherwise."""
    random = np.random.default_rng(1)
    out = {}
    for port in ports:
        shape = (shapes or {}).get(port.name) or tuple(d if isinstance(d, int) else 1 for d in port.shape)
        if port.dtype == "str":
            raise UnsupportedError(f'input "{port.name}" holds strings, which cannot be made up')
        if port.numpy.kind == "f":
            out[port.name] = random.uniform(-1, 1, shape).astype(port.numpy)
        elif port.numpy.kind == "c":
            out[port.name] = (random.uniform(-1, 1, shape) + 1j * random.uniform(-1, 1, shape)).astype(port.numpy)
        elif port.numpy.name == port.dtype:
            out[port.name] = random.integers(0, 2, shape).astype(port.numpy)
        else:
            out[port.name] = np.zeros(shape, port.numpy)
    return out


def machine_peaks(threads: int) -> dict[str, float]:
    """What the machine does now: GFLOP/s in numpy's matrix product of floats, GB/s read and written in copying memory
    that no cache holds. In a process of its own, whose BLAS gets so many threads."""
    variables = {f"{name}_NUM_THREADS": str(threads) for name in ("OPENBLAS", "MKL", "OMP", "BLIS")}
    done = subprocess.run(
        [sys.executable, "-c", _PEAKS, str(threads)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    flops, bandwidth = map(float, done.stdout.split())
    return {"gflop_per_s": flops / 1e9, "gbyte_per_s": bandwidth / 1e9}


_PEAKS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
def best(run, seconds=0.4):
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begin)
    return least
n, threads = 768, int(sys.argv[1])
a, b, c = (np.ones((n, n), np.float32) for _ in range(3))
flops = 2 * n**3 / best(lambda: np.matmul(a, b, out=c))
parts = [(np.ones(32 << 20, np.uint8), np.zeros(32 << 20, np.uint8)) for _ in range(threads)]
with ThreadPoolExecutor(threads) as pool:
    copied = best(lambda: list(pool.map(lambda p: np.copyto(p[1], p[0]), parts)))
print(flops, 2 * sum(p[0].nbytes for p in parts) / copied)
"""


def peak_rss_mb() -> float:
    """The most memory this process has held, in MiB; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(float(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0.0
