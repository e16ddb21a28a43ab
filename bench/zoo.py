#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lathe against other runtimes over a folder of models: ratios, differences, build and load times.

    ZOO=~/zoo python bench/zoo.py                       # every $ZOO/onnx/*.onnx
    python bench/zoo.py resnet50 yolo_n --threads 1,2 --against onnxruntime,openvino --json result.json
    python bench/zoo.py path/to/model.onnx
    python bench/zoo.py ../shared/models --suffix .tflite --against litert      # every such file below a folder
    python bench/zoo.py ../shared/models --under 20 --markdown table.md     # those of less than 20 MFLOP

Inputs are $ZOO/inputs/<model>.npz (arrays by input name; others in it are ignored), else made up. Each runtime runs in a
process of its own on bound buffers in the same loop; rounds go through the runtimes in turn, so that a change of the
machine's speed meets all. A ratio above 1 means that lathe is faster. Needs the package lathe (PYTHONPATH=build/python).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lathe
import numpy as np
from lathe.compare import installed, measure
from lathe.measure import example_inputs


def find(zoo: Path, names: list[str], suffix: str) -> list[Path]:
    if not names:
        return sorted((zoo / "onnx").glob("*.onnx"))
    paths = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            paths += sorted(path.rglob(f"*{suffix}"))
            continue
        paths.append(path if path.suffix else zoo / "onnx" / f"{name}.onnx")
        if not paths[-1].is_file():
            sys.exit(f"{paths[-1]}: no such file")
    return paths


def mflop(program: str, engine: str) -> float:
    """What the kernels of the engine are said to compute."""
    done = subprocess.run([program, "inspect", engine, "--json"], check=True, capture_output=True, text=True)
    return sum(node["flops"] for node in json.loads(done.stdout)["targets"][0]["nodes"]) / 1e6


def inputs_of(zoo: Path, model: Path, loaded: lathe.Model) -> dict[str, np.ndarray]:
    file = zoo / "inputs" / f"{model.stem}.npz"
    if not file.is_file():
        return example_inputs(loaded.inputs)
    with np.load(file) as arrays:
        return {port.name: arrays[port.name] for port in loaded.inputs}


def bench_model(zoo: Path, model: Path, options: argparse.Namespace, folder: str) -> dict[str, Any] | None:
    """None: larger than asked for."""
    engine = os.path.join(folder, model.stem + ".lathe")
    begin = time.perf_counter()
    report = lathe.build(model, engine, math=options.math, tune=options.tune)
    build_s = time.perf_counter() - begin
    work = mflop(options.lathe, engine) if options.under else None
    if work is not None and work >= options.under:
        return None
    loaded = lathe.load(engine, 1)
    inputs, names = inputs_of(zoo, model, loaded), [port.name for port in loaded.outputs]
    del loaded
    against = options.against or installed(str(model))
    result: dict[str, Any] = {"model": model.stem, "build_s": build_s, "engine_bytes": report.engine_bytes, "runs": []}
    result["mflop"] = work
    for threads in options.threads:
        compared = measure(
            str(model), engine, against, inputs, threads, options.seconds, options.rounds, options.lathe, names
        )
        result["runs"].append({"threads": threads, "rows": compared["rows"]})
    os.unlink(engine)
    return result


def show(result: dict[str, Any]) -> None:
    for run in result["runs"]:
        ours = run["rows"][0]
        if ours.get("error"):
            print(f"{result['model'][:30]:<30}{run['threads']:>2}  lathe failed: {ours['error']}")
            continue
        for peer in run["rows"][1:]:
            if peer.get("error"):
                print(f"{result['model'][:30]:<30}{run['threads']:>2}  {peer['runtime']} failed: {peer['error']}")
                continue
            difference = "-" if ours["max_rel_diff"] is None else f"{ours['max_rel_diff']:.1e}"
            print(
                f"{result['model'][:30]:<30}{run['threads']:>2}  {peer['runtime']:<17}"
                f"{peer['min_ms'] / ours['min_ms']:>6.2f}{peer['p50_ms'] / ours['p50_ms']:>6.2f}"
                f"{ours['min_ms']:>10.3f}{ours['p50_ms']:>10.3f}{peer['min_ms']:>10.3f}{peer['p50_ms']:>10.3f}"
                f"{difference:>10}{result['build_s']:>8.1f}{ours['load_ms']:>8.1f}{ours['first_run_ms']:>9.1f}",
                flush=True,
            )


def markdown(results: list[dict[str, Any]]) -> str:
    """Least times of each runtime, and how many times ours ONNX Runtime's and the best one's are."""
    runs = [(result, run) for result in results for run in result.get("runs", [])]
    names = list(dict.fromkeys(row["runtime"] for _, run in runs for row in run["rows"]))
    lines = [
        "| model | threads | " + " | ".join(f"{name} ms" for name in names) + " | against ORT | against the best |"
    ]
    lines.append("| --- " * (len(names) + 4) + "|")
    for result, run in runs:
        least = {row["runtime"]: row["min_ms"] for row in run["rows"]}
        ours, peers = least["lathe"], [ms for name, ms in least.items() if name != "lathe" and ms]
        cells = [f"{least[name]:.3g}" if least.get(name) else "–" for name in names]
        ort = f"{least['onnxruntime'] / ours:.2f}" if ours and least.get("onnxruntime") else ""
        best = f"{min(peers) / ours:.2f}" if ours and peers else ""
        work = f" ({result['mflop']:.2g} MFLOP)" if result["mflop"] else ""
        lines.append(f"| {result['model']}{work} | {run['threads']} | {' | '.join(cells)} | {ort} | {best} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names in $ZOO/onnx, or files, or folders")
    parser.add_argument("--suffix", default=".onnx", help="of the files in given folders")
    parser.add_argument("--skip", default=[], type=lambda s: s.split(","), help="files of these names")
    parser.add_argument("--zoo", type=Path, default=Path(os.environ.get("ZOO", "zoo")))
    parser.add_argument("--against", type=lambda s: s.split(","), help="default: all that are installed")
    parser.add_argument("--threads", type=lambda s: [int(t) for t in s.split(",")], default=[1, 2])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each runtime and thread count")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--math", default="default")
    parser.add_argument("--tune", default="none")
    parser.add_argument("--lathe", default="build/lathe", help="the program, which converts for LiteRT")
    parser.add_argument("--under", type=float, help="only models of fewer MFLOP")
    parser.add_argument("--markdown", type=Path, help="write a table there")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args()

    print(
        f"{'model':<30}{'T':>2}  {'against':<17}{'min':>6}{'p50':>6}{'min ms':>10}{'p50 ms':>10}{'its min':>10}{'its p50':>10}"
        f"{'rel diff':>10}{'build s':>8}{'load ms':>8}{'first ms':>9}"
    )
    results, logs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for model in find(options.zoo, options.models, options.suffix):
            if model.name in options.skip:
                continue
            try:
                result = bench_model(options.zoo, model, options, folder)
            except lathe.Error as error:
                print(f"{model.stem[:30]:<30}    not built ({error.code}): {error}")
                results.append({"model": model.stem, "error": {"code": error.code, "message": str(error)}})
                continue
            if result is None:
                continue
            show(result)
            results.append(result)
            for run in result["runs"]:
                ours, *theirs = run["rows"]
                same = [row for row in theirs if row["min_ms"] and row["precision"] == ours["precision"]]
                if ours["min_ms"] and same:
                    least, median = (min(row[k] for row in same) for k in ("min_ms", "p50_ms"))
                    logs.append((run["threads"], least, least / ours["min_ms"], median / ours["p50_ms"]))
    for threads in options.threads:
        for name, limit in (("", float("inf")), (" under 1 ms", 1.0)):
            own = np.array([[least, median] for t, ms, least, median in logs if t == threads and ms < limit])
            if len(own):
                least, median = np.exp(np.log(own).mean(axis=0))
                print(
                    f"against the best peer of each, {threads} threads, {len(own)} models{name}: "
                    f"min {least:.2f}, p50 {median:.2f}"
                )
    if options.markdown:
        options.markdown.write_text(markdown(results), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
