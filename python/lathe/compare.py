# SPDX-License-Identifier: Apache-2.0
"""`lathe compare`: one model, several runtimes, measured in turns.

Each runtime has a process of its own and the same loop. Rounds go through the runtimes one after another, lathe first,
so that a change of the machine's speed meets all of them; what is compared are medians and minima over all rounds.
Differences of results are against the first other runtime.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

import lathe
from lathe.compare_worker import RUNTIMES
from lathe.measure import example_inputs


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
) -> dict[str, Any]:
    """The document of `lathe compare --json`. Rows of runtimes that failed have "error" and nulls."""
    with tempfile.TemporaryDirectory() as folder, workers(["lathe", *against]) as all_workers:
        feed = os.path.join(folder, "in.npz")
        np.savez(feed, **inputs)
        outputs: dict[str, list[np.ndarray]] = {}
        for worker in all_workers:
            worker.facts = worker.ask(
                do="open", runtime=worker.name, model=model, engine=engine, inputs=feed, threads=threads
            )
            file = os.path.join(folder, "out.npz")
            if count := worker.ask(do="outputs", file=file).get("count"):
                with np.load(file) as arrays:
                    outputs[worker.name] = [arrays[f"a{i}"] for i in range(count)]
            worker.ask(do="measure", seconds=min(0.5, seconds / 10))
        for _ in range(rounds):
            for worker in all_workers:
                worker.ms += worker.ask(do="measure", seconds=seconds / rounds).get("ms", [])
        for worker in all_workers:
            worker.facts |= worker.ask(do="end")
        reference = next((w.name for w in all_workers[1:] if w.name in outputs), None)
        rows = [_row(worker, outputs, reference) for worker in all_workers]
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
        "max_abs_diff": difference,
        "max_rel_diff": relative,
        "cosine": cosine,
        "peak_rss_mb": facts.get("peak_rss_mb"),
        "load_ms": facts.get("load_ms"),
        "first_run_ms": facts.get("first_run_ms"),
        "runs": len(worker.ms),
    }
    return row | ({"error": worker.error} if worker.error else {})


def difference_of(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[float, float, float] | tuple[None, None, None]:
    """Over all outputs: the largest |a-b|, the largest max|a-b| / max|b|, the smallest cosine. None if shapes differ or
    an output holds no numbers."""
    largest, relative, cosine = 0.0, 0.0, 1.0
    for x, y in zip(a, b, strict=True):
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


def page(result: dict[str, Any]) -> str:
    """A page that needs nothing but a browser."""
    slowest = max((row["p50_ms"] or 0 for row in result["rows"]), default=0) or 1
    rows = ""
    for row in result["rows"]:
        cells = [row["runtime"], row["version"] or "", row["precision"] or ""]
        cells += [
            "" if row[k] is None else f"{row[k]:.4g}"
            for k in ("min_ms", "max_abs_diff", "cosine", "peak_rss_mb", "load_ms")
        ]
        time = row.get("error") or f"{row['p50_ms']:.4g}"
        share = 100 * (row["p50_ms"] or 0) / slowest
        rows += "<tr>" + "".join(f"<td>{html.escape(str(c))}" for c in cells[:3])
        rows += f'<td class="bar" style="--w:{share:.1f}%">{html.escape(time)}' + "".join(f"<td>{c}" for c in cells[3:])
    title = html.escape(os.path.basename(result["model"]))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>'
        "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}table{border-collapse:collapse;width:100%}"
        "td,th{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid #ddd}.bar{min-width:14em;"
        "background:linear-gradient(90deg,#bcd8f5 var(--w),transparent var(--w))}</style>"
        f"<h1>{title}</h1><p>{result['threads'] or 'all'} threads; runtimes measured in turns; differences are against "
        f"{html.escape(str(result['reference']))}</p><table><tr><th>Runtime<th>Version<th>Precision<th>Median ms<th>Min ms"
        f"<th>Largest difference<th>Cosine<th>Peak MB<th>Load ms{rows}</table></html>\n"
    )


def installed(model: str) -> list[str]:
    """The runtimes here that read the model's format."""
    with open(model, "rb") as file:
        tflite = file.read(8)[4:] == b"TFL3"
    names = ("litert",) if tflite else ("onnxruntime", "openvino")
    return [name for name in names if importlib.util.find_spec(RUNTIMES[name][0])]


def _against(text: str | None, model: str) -> list[str]:
    if text is None:
        return installed(model)
    names = [name for name in text.split(",") if name and name != "lathe"]
    for name in names:
        if name not in RUNTIMES:
            raise lathe.UsageError(f"unknown runtime {name!r}; known: {', '.join(n for n in RUNTIMES if n != 'lathe')}")
        if not importlib.util.find_spec(RUNTIMES[name][0]):
            raise lathe.UsageError(f"{name} is not installed here: pip install {RUNTIMES[name][0].replace('_', '-')}")
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
            inputs = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise lathe.UsageError(f"{file}: {error}") from error
    model(inputs)  # for its messages about names, types and shapes
    return inputs


def _run(arguments: argparse.Namespace) -> int:
    against = _against(arguments.against, arguments.model)
    model = lathe.load(arguments.engine, arguments.threads)
    inputs = _inputs(arguments.inputs, model, _shapes(arguments.shape))
    del model
    threads = arguments.threads or len(os.sched_getaffinity(0))
    result = measure(arguments.model, arguments.engine, against, inputs, threads, arguments.seconds)
    if arguments.html:
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
