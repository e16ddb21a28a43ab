# SPDX-License-Identifier: Apache-2.0
"""`lathe diff`: what an engine left in memory, value by value, beside what another runtime computes for the same names.

The engine ran as it is (src/cli/commands/diff.cpp): values that were fused away were never in memory and are not
compared. Exit code 1 if a value is out of tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def difference(got: np.ndarray, want: np.ndarray) -> tuple[float, float]:
    """(largest absolute difference, the same relative to the largest finite element of `want`); infinite where NaN or
    infinities are at other places or shapes differ. Integers: the share of elements that differ."""
    if got.shape != want.shape:
        return float("inf"), float("inf")
    if want.size == 0:
        return 0.0, 0.0
    if want.dtype.kind not in "fc":
        share = float(np.mean(got != want))
        return share, share
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    with np.errstate(invalid="ignore"):
        same = np.where(finite, np.isfinite(a), (a == b) | (np.isnan(a) & np.isnan(b)))
    if not same.all():
        return float("inf"), float("inf")
    worst = float(np.max(np.abs(a[finite] - b[finite]), initial=0))
    return worst, worst / (float(np.max(np.abs(b[finite]), initial=0)) or 1.0)


def top_level_values(model: Any) -> dict[str, Any]:
    """The node that computes each value of the model's main graph."""
    return {o: node for node in model.graph.node for o in node.output if o}


def evaluate(model: Any, feed: Mapping[str, np.ndarray], names: Iterable[str], against: str) -> dict[str, np.ndarray]:
    """The values `names` by the other runtime, without its optimisations."""
    import onnx

    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    del wider.graph.output[:]
    names = list(names)
    wider.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    if against == "reference":
        from onnx.reference import ReferenceEvaluator

        return dict(zip(names, ReferenceEvaluator(wider).run(names, dict(feed)), strict=True))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        try:
            source: Any = wider.SerializeToString()
        except ValueError:  # above protobuf's 2 GB
            source = os.path.join(folder, "model.onnx")
            onnx.save(wider, source, save_as_external_data=True, location="weights.bin")
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, dict(feed)), strict=True))


def measure(model: Any, folder: str, against: str, tolerance: float) -> list[dict[str, Any]]:
    with open(os.path.join(folder, "places.json"), encoding="utf-8") as file:
        places = json.load(file)
    computed = top_level_values(model)
    places = [p for p in places if p["value"] in computed]
    with np.load(os.path.join(folder, "inputs.npz")) as arrays:
        feed = {name: arrays[name] for name in arrays.files}
    wanted = evaluate(model, feed, [p["value"] for p in places], against)
    rows = []
    with np.load(os.path.join(folder, "values.npz")) as arrays:
        for place in places:
            want, got = np.asarray(wanted[place["value"]]), arrays[place["value"]]
            if want.shape != got.shape and want.size == got.size:
                continue  # held in another layout
            absolute, relative = difference(got, want)
            node = computed[place["value"]]
            rows.append(
                place
                | {
                    "node": node.name or place["node"],
                    "computed_by": node.op_type,
                    "shape": list(want.shape),
                    "max_abs_diff": absolute,
                    "relative": relative,
                    "exceeds": not relative <= tolerance,
                }
            )
    return rows


def report(rows: list[dict[str, Any]], against: str, tolerance: float) -> str:
    first = next((i for i, r in enumerate(rows) if r["exceeds"]), None)
    if first is None:
        worst = max((r["relative"] for r in rows), default=0.0)
        return (
            f"all {len(rows)} values that are in memory agree with {against} within {tolerance:g} (worst {worst:.3g})"
        )
    row = rows[first]
    lines = [
        f'first out of tolerance: "{row["value"]}" of node "{row["node"]}" ({row["computed_by"]}), '
        f"instruction {row['instruction']}: {row['op']} {row['tactic']}",
        f"{'relative':>10}  {'absolute':>10}  value (node)",
    ]
    for r in rows[max(0, first - 3) : first + 20]:
        mark = "*" if r["exceeds"] else " "
        lines.append(f"{r['relative']:10.3g}{mark} {r['max_abs_diff']:10.3g}  {r['value']} ({r['computed_by']})")
    if len(rows) > first + 20:
        lines.append(f"… and {len(rows) - first - 20} more (--json lists them)")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="lathe diff")
    parser.add_argument("model")
    parser.add_argument("--trace", required=True)
    parser.add_argument("--against", default="onnxruntime")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    try:
        import onnx

        model = onnx.load(arguments.model)
        rows = measure(model, arguments.trace, arguments.against, arguments.tolerance)
    except Exception as error:  # the other runtime's own errors have no common class
        message = f"{arguments.against} cannot run {arguments.model}: {error}"
        print(f"error: {message}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"error": {"code": 1, "message": message}}))
        return 1
    finally:
        shutil.rmtree(arguments.trace, ignore_errors=True)
    first = next((r for r in rows if r["exceeds"]), None)
    if arguments.json:
        finite = [
            {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()} for row in rows
        ]
        result = {
            "model": arguments.model,
            "against": arguments.against,
            "tolerance": arguments.tolerance,
            "compared": len(rows),
            "first": first and finite[rows.index(first)],
            "values": finite,
        }
        print(json.dumps(result, indent=2))
    elif not arguments.quiet:
        print(report(rows, arguments.against, arguments.tolerance))
    return 1 if first else 0


if __name__ == "__main__":
    sys.exit(main())
