# SPDX-License-Identifier: Apache-2.0
"""`lathe compare`: one model, several runtimes, measured in turns.

Each runtime has a process of its own and the same loop. Rounds go through the runtimes one after another, lathe first,
so that a change of the machine's speed meets all of them; what is compared are medians and minima over all rounds.
Differences of results are against the first other runtime that gave any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

import lathe
from lathe.compare_page import page
from lathe.measure import example_inputs, machine_peaks
from lathe.peers import format_of, peers


class Worker:
    """A runtime's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: str | None = None
        self.facts: dict[str, Any] = {}
        self.ms: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lathe.compare_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **job: Any) -> dict[str, Any]:
        """The answer, or {} when the runtime failed, now or before; `error` says why."""
        if self.error:
            return {}
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": f"its process ended with status {self._process.wait()}"}
        if "error" in answer:
            self.error = answer["error"]
            return {}
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def workers(names: list[str]) -> Iterator[list[Worker]]:
    started: list[Worker] = []
    try:
        for name in names:
            started.append(Worker(name))
        yield started
    finally:
        for worker in started:
            worker.close()


def measure(
    model: str,
    engine: str,
    against: list[str],
    inputs: dict[str, np.ndarray],
    threads: int,
    seconds: float,
    rounds: int = 7,
    program: str = "",
    outputs: list[str] | None = None,
) -> dict[str, Any]:
    """The document of `lathe compare --json`. Rows of runtimes that failed have "error" and nulls.

    inputs: in the order of the model; `outputs`: names, in the order of the model; program: lathe's, which converts for
    runtimes that read another format.
    """
    with tempfile.TemporaryDirectory() as folder, workers(["lathe", *against]) as all_workers:
        feed = os.path.join(folder, "in.npz")
        np.savez(feed, **inputs)
        results: dict[str, list[np.ndarray]] = {}
        job = {"model": os.path.abspath(model), "engine": os.path.abspath(engine), "inputs": feed, "threads": threads}
        job |= {"outputs": outputs or [], "program": program and os.path.abspath(program)}
        for worker in all_workers:
            own = os.path.join(folder, worker.name)
            os.mkdir(own)
            worker.facts = worker.ask(do="open", runtime=worker.name, folder=own, **job)
            file = os.path.join(folder, "out.npz")
            if count := worker.ask(do="outputs", file=file).get("count"):
                with np.load(file) as arrays:
                    results[worker.name] = [arrays[f"a{i}"] for i in range(count)]
            worker.ask(do="measure", seconds=min(0.5, seconds / 10))
        for _ in range(rounds):
            for worker in all_workers:
                worker.ms += worker.ask(do="measure", seconds=seconds / rounds).get("ms", [])
        for worker in all_workers:
            worker.facts |= worker.ask(do="end")
        reference = next((w.name for w in all_workers[1:] if w.name in results), None)
        rows = [_row(worker, results, reference) for worker in all_workers]
    return {"model": model, "threads": threads, "reference": reference, "rows": rows}


def _row(worker: Worker, outputs: dict[str, list[np.ndarray]], reference: str | None) -> dict[str, Any]:
    difference, relative, cosine = (None, None, None)
    if worker.name in outputs and reference in outputs:
        difference, relative, cosine = difference_of(outputs[worker.name], outputs[reference])
    facts = worker.facts
    row = {
        "runtime": worker.name,
        "version": facts.get("version"),
        "precision": facts.get("precision"),
        "p50_ms": float(np.median(worker.ms)) if worker.ms else None,
        "min_ms": min(worker.ms, default=None),
        "quantiles_ms": np.quantile(worker.ms, np.arange(21) / 20).tolist() if worker.ms else None,
        "max_abs_diff": difference,
        "max_rel_diff": relative,
        "cosine": cosine,
        "peak_rss_mb": facts.get("peak_rss_mb"),
        "load_ms": facts.get("load_ms"),
        "convert_ms": facts.get("convert_ms"),
        "first_run_ms": facts.get("first_run_ms"),
        "runs": len(worker.ms),
    }
    return row | ({"error": worker.error} if worker.error else {})


def difference_of(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[float, float, float] | tuple[None, None, None]:
    """Over all outputs: the largest |a-b|, the largest max|a-b| / max|b|, the smallest cosine. None if shapes differ
    (but for extents of 1: ncnn has no batch) or an output holds no numbers."""
    largest, relative, cosine = 0.0, 0.0, 1.0
    if len(a) != len(b):
        return None, None, None
    for x, y in zip(map(np.squeeze, a), map(np.squeeze, b), strict=True):
        if x.shape != y.shape or x.dtype.kind not in "fiub":
            return None, None, None
        if not x.size:
            continue
        x, y = x.astype(np.float64).ravel(), y.astype(np.float64).ravel()
        with np.errstate(invalid="ignore"):
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            difference = float(np.max(np.where(same, 0, np.abs(x - y))))
            norm = float(np.linalg.norm(x) * np.linalg.norm(y))
        scale = float(np.max(np.abs(y[np.isfinite(y)]), initial=0))
        largest = max(largest, difference)
        relative = max(relative, difference / scale if scale > 0 else difference)
        cosine = min(cosine, float(x @ y) / norm if norm > 0 else 1.0)
    return largest, relative, cosine


def table(result: dict[str, Any]) -> str:
    def text(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    lathe_ms = result["rows"][0]["p50_ms"]
    lines = [
        f"{'runtime':<18}{'version':<12}{'p50 ms':>10}{'min ms':>10}{'vs lathe':>10}{'max diff':>11}{'MB':>8}{'load ms':>9}"
    ]
    for row in result["rows"]:
        if row.get("error"):
            lines.append(f"{row['runtime']:<18}failed: {row['error']}")
            continue
        ratio = row["p50_ms"] / lathe_ms if lathe_ms and row["p50_ms"] else None
        lines.append(
            f"{row['runtime']:<18}{row['version']:<12}{text(row['p50_ms'], '.3f'):>10}{text(row['min_ms'], '.3f'):>10}"
            f"{text(ratio, '.2f'):>10}{text(row['max_abs_diff'], '.2e'):>11}{text(row['peak_rss_mb'], '.0f'):>8}"
            f"{text(row['load_ms'], '.1f'):>9}"
        )
    return "\n".join(lines)


def installed(model: str) -> list[str]:
    """The runtimes here that read the model's format, or for which it is converted."""
    kind = format_of(model)
    return [name for name, peer in peers().items() if peer.unasked and kind in peer.formats and peer.installed()]


def _against(text: str | None, model: str) -> list[str]:
    if text is None:
        return installed(model)
    names = [name for name in text.split(",") if name and name != "lathe"]
    known = peers()
    for name in names:
        if name not in known:
            raise lathe.UsageError(f"unknown runtime {name!r}; known: {', '.join(n for n in known if n != 'lathe')}")
        if not known[name].installed():
            raise lathe.UsageError(
                f"{name} is not installed for {sys.executable}: {sys.executable} -m pip install "
                f"{known[name].distribution()}, or let LATHE_PYTHON name a Python that has it"
            )
        if format_of(model) not in known[name].formats:
            formats = " and ".join(known[name].formats)
            raise lathe.UsageError(f"{name} takes models in {formats}, and {model} is {format_of(model)}")
    return list(dict.fromkeys(names))


def _shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    out = {}
    for text in texts:
        name, _, dims = text.rpartition("=")
        try:
            out[name] = tuple(int(d) for d in dims.replace(",", "x").split("x"))
        except ValueError:
            raise lathe.UsageError(f"{text!r}: compare needs shapes in numbers, e.g. x=1x3x224x224") from None
    return out


def _inputs(file: str | None, model: lathe.Model, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    if file is None:
        return example_inputs(model.inputs, shapes)
    try:
        with np.load(file) as arrays:
            given = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise lathe.UsageError(f"{file}: {error}") from error
    model(given)  # for its messages about names, types and shapes
    return {port.name: given[port.name] for port in model.inputs}


def kernels_of(program: str, engine: str, inputs: dict[str, np.ndarray], threads: int) -> list[dict[str, Any]]:
    """What `lathe bench --profile` says of each kernel; nothing where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        trace, feed = os.path.join(folder, "trace.json"), os.path.join(folder, "in.npz")
        np.savez(feed, **inputs)
        command = [program, "bench", engine, "--threads", str(threads), "--seconds", "0.2", "--quiet"]
        try:
            subprocess.run([*command, "--inputs", feed, "--profile", trace], check=True, capture_output=True)
            with open(trace, encoding="utf-8") as file:
                events = json.load(file)["traceEvents"]
        except (OSError, subprocess.CalledProcessError, ValueError):
            return []
    return [{"op": e["name"], "ms": e["dur"] / 1e3} | e["args"] for e in events]


def _run(arguments: argparse.Namespace) -> int:
    against = _against(arguments.against, arguments.model)
    model = lathe.load(arguments.engine, arguments.threads)
    inputs = _inputs(arguments.inputs, model, _shapes(arguments.shape))
    outputs = [port.name for port in model.outputs]
    del model
    threads = arguments.threads or len(os.sched_getaffinity(0))
    program = arguments.program
    result = measure(
        arguments.model, arguments.engine, against, inputs, threads, arguments.seconds, program=program, outputs=outputs
    )
    if arguments.html:
        result["kernels"] = kernels_of(program, arguments.engine, inputs, threads) if program else []
        result["machine"] = machine_peaks(threads)
        with open(arguments.html, "w", encoding="utf-8") as file:
            file.write(page(result))
    if arguments.json:
        print(json.dumps(result, indent=2))
    elif not arguments.quiet:
        print(table(result))
    if result["rows"][0].get("error"):
        print(f"error: lathe failed: {result['rows'][0]['error']}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="lathe compare")
    parser.add_argument("model")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--against")
    parser.add_argument("--program", default="", help="lathe itself")
    parser.add_argument("--inputs")
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--html")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except lathe.Error as error:
        print(f"error: {error}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
        return error.code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
