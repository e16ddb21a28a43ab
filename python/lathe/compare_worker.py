# SPDX-License-Identifier: Apache-2.0
"""One runtime in a process of its own, told what to do by lines of JSON on standard input.

    {"do": "open", "runtime", "model", "engine", "inputs": npz, "outputs": [names], "threads", "folder", "program"}
                                     → {"version", "precision", "load_ms", "convert_ms", "first_run_ms"}
    {"do": "outputs", "file": npz}   → {"count"}; arrays a0, a1 … in model order
    {"do": "measure", "seconds"}     → {"ms": [each run]}
    {"do": "end"}                    → {"peak_rss_mb"}

Every answer is one line; {"error": text} when something failed. What libraries print to standard output goes to
standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lathe.measure import peak_rss_mb
from lathe.peers import ConversionError, Job, Opened, peers


def _open(job: dict[str, Any]) -> tuple[Job, Opened, dict[str, Any]]:
    """The job lives as long as what it opened: runtimes run on its arrays."""
    with np.load(job["inputs"]) as file:
        inputs = {name: np.ascontiguousarray(file[name]).reshape(file[name].shape) for name in file.files}
    task = Job(job["model"], job["engine"], inputs, job["outputs"], job["threads"], job["folder"], job["program"])
    begin = time.perf_counter()
    opened = peers()[job["runtime"]].open(task)
    load_ms = (time.perf_counter() - begin) * 1e3 - task.convert_ms
    begin = time.perf_counter()
    opened.run()
    first_ms = (time.perf_counter() - begin) * 1e3
    facts = {"version": opened.version, "precision": opened.precision, "load_ms": load_ms, "first_run_ms": first_ms}
    return task, opened, facts | {"convert_ms": task.convert_ms or None}


def serve(answer: Callable[[dict[str, Any]], None]) -> None:
    opened: Opened | None = None
    for line in sys.stdin:
        job = json.loads(line)
        if job["do"] == "open":
            task, opened, facts = _open(job)  # noqa: F841
            answer(facts)
        elif opened is None:
            answer({"error": "nothing is open"})
        elif job["do"] == "outputs":
            opened.run()
            arrays = opened.outputs()
            np.savez(job["file"], **{f"a{i}": array for i, array in enumerate(arrays)})
            answer({"count": len(arrays)})
        elif job["do"] == "measure":
            ms, run = [], opened.run
            end = time.perf_counter() + job["seconds"]
            while len(ms) < job.get("runs", 1) or time.perf_counter() < end:
                begin = time.perf_counter()
                run()
                ms.append((time.perf_counter() - begin) * 1e3)
            answer({"ms": ms})
        else:
            answer({"peak_rss_mb": peak_rss_mb()})
            return


def main() -> None:
    # Answers go to the pipe; anything a library prints must not get between them.
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    try:
        serve(answer)
    except ConversionError as error:
        answer({"error": str(error)})
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is the answer
        answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
