# SPDX-License-Identifier: Apache-2.0
"""`lathe reduce`: the smallest part of a model that still fails in the same way, or still diverges.

A part is a run of nodes with the values it needs as inputs: computed by the other runtime where that can run the model,
else only typed by shape inference. Each part is tried in a process of its own, so that a crash is a finding too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

TRY_SECONDS = 120


def verdict(model: str, inputs: str, against: str, tolerance: float) -> dict[str, Any]:
    """{"kind": "ok" | "diverges" | "unsupported" | "damaged" | "failed", "detail"} of one model, in this process."""
    import onnx

    import lathe
    from lathe.diff import difference, evaluate

    try:
        session = lathe.compile(model, threads=1)
    except lathe.UnsupportedError as error:
        return {"kind": "unsupported", "detail": str(error)}
    except lathe.DamagedError as error:
        return {"kind": "damaged", "detail": str(error)}
    except lathe.Error as error:
        return {"kind": "failed", "detail": str(error)}
    if not inputs:
        return {"kind": "ok", "detail": "built, not run: its inputs are not known"}
    with np.load(inputs) as arrays:
        feed = {name: arrays[name] for name in arrays.files}
    try:
        got = session(feed)
    except lathe.Error as error:
        return {"kind": "failed", "detail": str(error)}
    proto = onnx.load(model)
    wanted = evaluate(proto, feed, [o.name for o in proto.graph.output], against)
    for name, want in wanted.items():
        absolute, relative = difference(np.asarray(got[name]), np.asarray(want))
        if not relative <= tolerance:
            return {"kind": "diverges", "detail": f"{name} differs by {absolute:.3g} ({relative:.3g} relative)"}
    return {"kind": "ok", "detail": ""}


class Reducer:
    def __init__(self, model: Any, feed: dict[str, np.ndarray], options: argparse.Namespace, folder: str) -> None:
        import onnx

        self.model, self.options, self.folder = model, options, folder
        self.tries = 0
        self.nodes = list(model.graph.node)
        self.constants = {i.name: i for i in model.graph.initializer}
        self.values: dict[str, np.ndarray] = dict(feed)
        self.infos = {v.name: v for v in model.graph.input}
        computed = [o for n in self.nodes for o in n.output if o]
        try:
            from lathe.diff import evaluate

            self.values |= evaluate(model, feed, computed, options.against)
        except Exception:  # then types are all there is
            self.values = {}
            try:
                model = onnx.shape_inference.infer_shapes(model)
            except Exception:  # operators that onnx does not know stop it
                pass
            self.infos |= {v.name: v for v in [*model.graph.value_info, *model.graph.output]}

    def part(self, keep: list[int]) -> tuple[str, str] | None:
        """The model of some nodes, and its inputs ("" where they are not known); None where an input has no type."""
        import onnx
        from onnx import helper

        nodes = [self.nodes[i] for i in keep]
        made = {o for n in nodes for o in n.output if o}
        used = list(dict.fromkeys(name for n in nodes for name in needs(n) if name and name not in made))
        inputs, feed = [], {}
        for name in used:
            if name in self.constants:
                continue
            if name in self.values and isinstance(self.values[name], np.ndarray):
                array = self.values[name]
                feed[name] = array
                kind = helper.np_dtype_to_tensor_dtype(array.dtype)
                inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
            elif name in self.infos and self.infos[name].type.WhichOneof("value") == "tensor_type":
                inputs.append(self.infos[name])
            else:
                return None
        outside = {name for i, n in enumerate(self.nodes) if i not in set(keep) for name in needs(n)}
        results = {o.name for o in self.model.graph.output}
        last = {name for n in nodes for name in needs(n)}
        outputs = [o for o in made if o in outside or o in results or o not in last]
        cut = onnx.ModelProto()
        cut.CopyFrom(self.model)
        del (
            cut.graph.node[:],
            cut.graph.input[:],
            cut.graph.output[:],
            cut.graph.initializer[:],
            cut.graph.value_info[:],
        )
        cut.graph.node.extend(nodes)
        cut.graph.input.extend(inputs)
        cut.graph.initializer.extend(self.constants[n] for n in used if n in self.constants)
        cut.graph.output.extend(onnx.ValueInfoProto(name=o) for o in sorted(outputs))
        path = os.path.join(self.folder, f"part{self.tries}.onnx")
        onnx.save(cut, path)
        if not self.values:
            return path, ""
        np.savez(path + ".npz", **feed)
        return path, path + ".npz"

    def attempt(self, keep: list[int]) -> tuple[dict[str, Any], str, str] | None:
        made = self.part(keep) if keep else None
        if made is None:
            return None
        self.tries += 1
        command = [sys.executable, "-m", "lathe.reduce", made[0], "--try", "--against", self.options.against]
        command += ["--tolerance", repr(self.options.tolerance)]
        if made[1]:
            command += ["--inputs", made[1]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TRY_SECONDS)
        except subprocess.TimeoutExpired:
            return {"kind": "hangs", "detail": f"not done in {TRY_SECONDS} s"}, *made
        if done.returncode < 0:
            return {"kind": "crash", "detail": f"signal {-done.returncode}"}, *made
        if done.returncode != 0:
            return {"kind": "invalid", "detail": done.stderr[-300:]}, *made
        return json.loads(done.stdout.splitlines()[-1]), *made

    def shrink(self) -> tuple[dict[str, Any], list[int], str, str] | None:
        """The verdict, nodes and files of the smallest part found; None if the whole model is fine."""
        keep = list(range(len(self.nodes)))
        whole = self.attempt(keep)
        if whole is None or whole[0]["kind"] in ("ok", "invalid"):
            if whole is not None and whole[0]["kind"] == "invalid":
                raise RuntimeError(whole[0]["detail"])
            return None
        best = whole
        kind = whole[0]["kind"]

        def still(candidate: list[int]) -> bool:
            nonlocal best, keep
            result = self.attempt(candidate)
            if result is None or result[0]["kind"] != kind:
                return False
            best, keep = result, candidate
            return True

        # Chunks of half, a quarter … of the nodes are left out as long as the rest still shows it.
        size = len(keep) // 2
        while size >= 1:
            at, removed = 0, False
            while at < len(keep) and len(keep) > 1:
                if still(keep[:at] + keep[at + size :]):
                    removed = True
                else:
                    at += size
            if not removed or size > 1:
                size //= 2
        return best[0], keep, best[1], best[2]


def needs(node: Any) -> list[str]:
    """Names that a node reads, those of its subgraphs included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            inner = {o for n in graph.node for o in n.output} | {i.name for i in [*graph.input, *graph.initializer]}
            names += [n for node in graph.node for n in needs(node) if n not in inner]
            names += [o.name for o in graph.output if o.name not in inner]
    return names


def example_feed(model: Any) -> dict[str, np.ndarray]:
    """Inputs made up, always the same: floats in [-1, 1), integers 0 or 1; open dimensions are 1."""
    from onnx import helper

    random = np.random.default_rng(1)
    initialized = {i.name for i in model.graph.initializer}
    feed = {}
    for info in model.graph.input:
        if info.name in initialized:
            continue
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        shape = [d.dim_value or 1 for d in info.type.tensor_type.shape.dim]
        if dtype.kind == "f":
            feed[info.name] = random.uniform(-1, 1, shape).astype(dtype)
        else:
            feed[info.name] = random.integers(0, 2, shape).astype(dtype)
    return feed


def run(arguments: argparse.Namespace) -> int:
    import onnx

    model = onnx.load(arguments.model)
    if arguments.inputs:
        with np.load(arguments.inputs) as arrays:
            feed = {name: arrays[name] for name in arrays.files}
    else:
        feed = example_feed(model)
    output = arguments.output or os.path.splitext(arguments.model)[0] + ".reduced.onnx"
    with tempfile.TemporaryDirectory() as folder:
        reducer = Reducer(model, feed, arguments, folder)
        found = reducer.shrink()
        result = {"model": arguments.model, "nodes": len(reducer.nodes), "tries": reducer.tries}
        if found is None:
            result |= {"kind": "ok", "detail": "", "nodes_left": None, "output": None, "inputs": None, "operators": []}
        else:
            how, keep, path, inputs = found
            onnx.save(onnx.load(path), output)
            beside = os.path.splitext(output)[0] + ".npz" if inputs else None
            if beside:
                with np.load(inputs) as arrays:
                    np.savez(beside, **{name: arrays[name] for name in arrays.files})
            operators = [reducer.nodes[i].op_type for i in keep]
            result |= how | {"nodes_left": len(keep), "output": output, "inputs": beside, "operators": operators}
    if arguments.json:
        print(json.dumps(result, indent=2))
    elif not arguments.quiet:
        if found is None:
            print(f"{arguments.model} builds, runs and agrees with {arguments.against}: there is nothing to reduce")
        else:
            print(f"{result['kind']}: {result['detail']}")
            print(f"{result['nodes_left']} of {result['nodes']} nodes show it ({', '.join(operators[:8])}): {output}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="lathe reduce")
    parser.add_argument("model")
    parser.add_argument("--inputs")
    parser.add_argument("--output")
    parser.add_argument("--against", default="onnxruntime")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--try", dest="only_try", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_try:
        print(json.dumps(verdict(arguments.model, arguments.inputs or "", arguments.against, arguments.tolerance)))
        return 0
    try:
        return run(arguments)
    except Exception as error:
        message = f"{arguments.model} cannot be reduced: {error}"
        print(f"error: {message}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"error": {"code": 1, "message": message}}))
        return 1


if __name__ == "__main__":
    sys.exit(main())
