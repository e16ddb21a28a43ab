# SPDX-License-Identifier: Apache-2.0
"""The model table (docs/models.md): networks of torchvision, timm and the zoo, exported by torch.export with random
weights, imported by lathe (`--math strict`) and compared with eager PyTorch.

    LATHE_SHARED=../shared PYTHONPATH=build/python python tests/models/table.py --write docs/models.md

A Python with torch, torchvision and timm runs it. Each network has a process of its own with a time limit. Results are
kept in build/models.jsonl: a run that was cut goes on where it was, `--retry` does what failed again, `--only PART`
those whose name holds PART; networks without a result there keep their line of the page. What may fail, and why, is in
exceptions.txt beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
LIMIT = 1e-4


def one(group: str, name: str) -> dict[str, Any]:
    """What comes of one network. Anything that torch prints goes to stderr."""
    import lathe
    import networks
    import numpy as np
    import torch

    torch.set_num_threads(1)
    result: dict[str, Any] = {"group": group, "name": name, "torch": torch.__version__, "stage": "make"}
    seconds: dict[str, float] = {}
    began = time.monotonic()

    def stage(next_stage: str) -> None:
        nonlocal began
        seconds[result["stage"]] = round(time.monotonic() - began, 2)
        began = time.monotonic()
        result["stage"] = next_stage

    try:
        module, inputs = networks.build(group, name)
        result["parameters"] = sum(p.numel() for p in module.parameters())
        result["input"] = " ".join("x".join(map(str, x.shape)) for x in inputs[:3] if torch.is_tensor(x))
        stage("eager")
        with torch.no_grad():
            want = [t.detach().numpy() for t in torch.utils._pytree.tree_leaves(module(*inputs))]
        stage("export")
        with torch.no_grad():
            program = torch.export.export(module, inputs, strict=False)
        operators = Counter(
            str(node.target)
            for node in program.graph.nodes
            if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
        )
        result["operators"] = sorted(operators)
        result["nodes"] = sum(operators.values())
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.pt2")
            torch.export.save(program, path)
            engine = os.path.join(folder, "model.lathe")
            stage("build")
            lathe.build(path, engine, math="strict", jobs=1)
            stage("run")
            model = lathe.load(engine, threads=1)
            feed = dict(zip((p.name for p in model.inputs), (x.numpy() for x in inputs), strict=True))
            got = list(model(feed).values())
            again = list(model(feed).values())
        stage("compare")
        result["elements"] = sum(int(a.size) for a in want)
        result["error"], problem = difference(got, want)
        if group == "torchvision detection" and (problem or result["error"] > LIMIT):
            result["error"], problem = difference_of_sets(got, want)
        if not problem and any(not np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(got, again)):
            problem = "two runs differ"
        result["largest"] = max((float(np.max(np.abs(a), initial=0)) for a in want if a.dtype.kind == "f"), default=0.0)
        result["result"] = "agrees" if not problem and result["error"] <= LIMIT else "differs"
        if problem:
            result["why"] = problem
    except Exception as error:  # whatever torch or lathe raises is a row of the table
        text = str(error) if isinstance(error, lathe.Error) else f"{type(error).__name__}: {str(error)[-600:]}"
        result |= {"result": f"failed: {result['stage']}", "why": text[:6000]}
        if not isinstance(error, lathe.Error):
            traceback.print_exc()
    stage("end")
    result.pop("stage")
    return result | {"seconds": seconds}


def difference(got: list[Any], want: list[Any]) -> tuple[float, str]:
    """The largest max|a-b| / max|b| of all outputs; and what makes them incomparable, or ""."""
    import numpy as np

    if len(got) != len(want):
        return float("inf"), f"{len(got)} outputs instead of {len(want)}"
    worst = 0.0
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf"), f"output {i} is {a.dtype}{list(a.shape)}, eager's {b.dtype}{list(b.shape)}"
        if b.dtype.kind != "f":
            if not np.array_equal(a, b):
                return float("inf"), f"output {i}: {int((a != b).sum())} of {b.size} integers differ"
            continue
        if not np.isfinite(b).all():
            return float("inf"), f"output {i}: eager's is not finite"
        if b.size:
            error = float(np.max(np.abs(a.astype(np.float64) - b)) / (float(np.max(np.abs(b))) or 1.0))
            worst = max(worst, error if error == error else float("inf"))
    return worst, ""


def difference_of_sets(got: list[Any], want: list[Any]) -> tuple[float, str]:
    """The same of detections, whose order is not defined where scores are equal: how far each is from the nearest of the
    other side, relative to the largest value of each output."""
    import numpy as np

    if [a.shape for a in got] != [b.shape for b in want]:
        return float("inf"), f"{got[0].shape[0]} detections instead of {want[0].shape[0]}"
    scales = [float(np.max(np.abs(b), initial=0)) or 1.0 for b in want]

    def rows(arrays: list[Any]) -> Any:
        flat = [a.reshape(a.shape[0], -1).astype(np.float64) / s for a, s in zip(arrays, scales, strict=True)]
        return np.concatenate(flat, axis=1)

    a, b = rows(got), rows(want)
    apart = np.array([[np.max(np.abs(x - y)) for y in b] for x in a])
    return (float(max(apart.min(0).max(), apart.min(1).max())) if apart.size else 0.0), ""


def exceptions() -> dict[tuple[str, str], str]:
    """(group, name) → the reason."""
    out = {}
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            group, name, reason = (part.strip() for part in line.split("|", 2))
            out[group, name] = reason
    return out


def run(group: str, name: str, limit: float) -> dict[str, Any]:
    began = time.monotonic()
    base = {"group": group, "name": name}
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--one", group, name],
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return base | {"result": "failed: time", "why": f"longer than {limit:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        return base | {"result": "failed: process", "why": f"status {done.returncode}: {done.stderr[-800:]}"}
    return json.loads(lines[-1]) | {"wall": round(time.monotonic() - began, 1)}


def read(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The last result of each."""
    out = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            out[row["group"], row["name"]] = row
    return out


def kept(page: Path) -> dict[tuple[str, str], str]:
    """The lines of a page by group and network."""
    out, group = {}, ""
    for line in page.read_text().splitlines() if page.exists() else []:
        if line.startswith("## "):
            group = line[3:].rpartition(":")[0]
        elif line.startswith("| ") and not line.startswith(("| network", "| ---")):
            out[group, line.split("|")[1].strip()] = line
    return out


def page(rows: dict[tuple[str, str], dict[str, Any]], old: dict[tuple[str, str], str]) -> str:
    """Networks without a result keep their line of the old page."""
    import networks

    excused = exceptions()
    keys = [(group, name) for group, all_of in networks.GROUPS.items() for name in all_of]
    rows = {key: rows[key] for key in keys if key in rows}
    old = {key: old[key] for key in keys if key in old and key not in rows}
    good = [row for row in rows.values() if row["result"] == "agrees"]
    well = len(good) + sum(line.endswith("| agrees |") for line in old.values())
    versions = sorted({row["torch"] for row in rows.values() if "torch" in row})
    lines = [
        "# Models from PyTorch",
        "",
        f"{well} of {len(rows) + len(old)} networks of torchvision, timm and the zoo agree with eager PyTorch. Each has random weights, was",
        f"exported by torch.export (torch {', '.join(versions)}), imported and built with `--math strict`, and run once on random input.",
        "The error is the largest max|a-b| / max|b| of the outputs; the limit is 1e-4, integers must be equal. Written by",
        "`tests/models/table.py --write docs/models.md`; the reasons of what does not agree are in",
        "[exceptions.txt](../tests/models/exceptions.txt).",
    ]
    for group in networks.GROUPS:
        of_group = [key for key in keys if key[0] == group and (key in rows or key in old)]
        if not of_group:
            continue
        agree = sum(
            rows[key]["result"] == "agrees" if key in rows else old[key].endswith("| agrees |") for key in of_group
        )
        lines += ["", f"## {group}: {agree} of {len(of_group)}", ""]
        lines += [
            "| network | parameters | input | nodes | operators | error | result |",
            "| --- | --: | --- | --: | --: | --: | --- |",
        ]
        for key in of_group:
            if key in old:
                lines.append(old[key])
                continue
            row = rows[key]
            error = row.get("error")
            result = row["result"]
            if result != "agrees":
                result += ": " + excused.get((group, row["name"]), "not explained yet")
            millions = f"{row['parameters'] / 1e6:.1f} M" if "parameters" in row else ""
            lines.append(
                f"| {row['name']} | {millions} | {row.get('input', '')} | {row.get('nodes', '')} | "
                f"{len(row.get('operators', []))} | {'' if error is None or error == float('inf') else f'{error:.1e}'} | {result} |"
            )
    users: Counter[str] = Counter(op for row in good for op in row["operators"])
    lines += ["", "## Operators", "", f"Of {len(good)} networks that agree, with how many use each:", ""]
    lines.append(", ".join(f"{op} {count}" for op, count in sorted(users.items())) + ".")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("GROUP", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="networks whose group or name holds this")
    parser.add_argument("--retry", action="store_true", help="again what did not agree")
    parser.add_argument("--again", action="store_true", help="again all of them")
    parser.add_argument("--limit", type=float, default=400, help="seconds for one network")
    parser.add_argument("--results", type=Path, default=SOURCE / "build" / "models.jsonl")
    parser.add_argument("--write", type=Path, help="the page")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*arguments.one)))
        return 0
    import networks

    rows = read(arguments.results)
    excused = exceptions()
    unexplained = 0
    for group, members in networks.GROUPS.items():
        for name in members:
            row = rows.get((group, name))
            if arguments.only in f"{group}/{name}" and (
                row is None or arguments.again or (arguments.retry and row["result"] != "agrees")
            ):
                row = run(group, name, arguments.limit)
                rows[group, name] = row
                with arguments.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                error = f" {row['error']:.1e}" if "error" in row else ""
                print(
                    f"{group}/{name}: {row['result']}{error} {row.get('wall', '')} {row.get('why', '')[:300]}",
                    flush=True,
                )
            if row and row["result"] != "agrees" and (group, name) not in excused:
                unexplained += 1
    if arguments.write:
        arguments.write.write_text(page(rows, kept(arguments.write)))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
