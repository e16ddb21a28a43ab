#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""The ONNX backend suite, end to end through the `lathe` package.

  onnx_node_suite.py                  run every case; fail if one of ../onnx_node_passing.txt does not pass
  onnx_node_suite.py --listed         run only the cases of that list
  onnx_node_suite.py --update         add what passes to the list (it only grows)
  onnx_node_suite.py --prepare        write the cases where the tests look for them, unless they are there
  onnx_node_suite.py --dump DIR       write the cases as files: DIR/<kind>/<case>/{model.onnx, data.json, test_data_set_N/*.pb}
  onnx_node_suite.py test_relu …      run these cases, with the reason of each failure

The cases come from the installed `onnx` package, most of them as Python code; they are written once to the folder
$LATHE_ONNX_CASES (default: build/onnx_cases-<version of onnx>). Each case runs in one of a few worker processes, so that a
crash or a hang costs that case alone.
"""

import argparse
import collections
import json
import os
import pathlib
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LIST = SOURCE / "tests" / "onnx_node_passing.txt"
EXCLUDED = SOURCE / "tests" / "onnx_node_excluded.txt"
KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted", "light")
CPU_LIMIT_S = 20  # of one case; a busy machine takes longer, but not more of its time
WALL_LIMIT_S = 300  # of a case that waits for ever


# Writing the cases.


def serialized(value, info):
    """A test value as a protobuf message."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    kind = info.type.WhichOneof("value")
    if isinstance(value, TensorProto):
        return value.SerializeToString()
    convert = {
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
        "map_type": numpy_helper.from_dict,
    }.get(kind)
    proto = convert(value, info.name) if convert else numpy_helper.from_array(np.asarray(value), info.name)
    return proto.SerializeToString()


def write_case(case, folder):
    if case.model_dir:
        shutil.copytree(case.model_dir, folder, dirs_exist_ok=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(case.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            graph = case.model.graph
            for tag, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
                for j, value in enumerate(values):
                    (data / f"{tag}_{j}.pb").write_bytes(serialized(value, infos[j]))
    (folder / "data.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))


def write_light(root):
    """Whole architectures with constant weights; the input is a ramp."""
    import numpy as np
    import onnx
    import onnx.backend.test
    from onnx import numpy_helper

    source = pathlib.Path(onnx.backend.test.__file__).parent / "data" / "light"
    for path in sorted(source.glob("*.onnx")):
        folder = root / "light" / path.stem
        data = folder / "test_data_set_0"
        data.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "model.onnx")
        model = onnx.load(path)
        initialized = {i.name for i in model.graph.initializer}
        for j, info in enumerate(i for i in model.graph.input if i.name not in initialized):
            shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
            ramp = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
            (data / f"input_{j}.pb").write_bytes(numpy_helper.from_array(ramp, info.name).SerializeToString())
        shutil.copy(source / f"{path.stem}_output_0.pb", data / "output_0.pb")
        (folder / "data.json").write_text(json.dumps({"rtol": 2e-3, "atol": 1e-3}))


def write_cases(root):
    import warnings

    import onnx.backend.test.case.model as model_tests
    from onnx.backend.test.loader import load_model_tests

    warnings.simplefilter("ignore")
    for kind in KINDS[:-1]:
        if kind == "simple":
            cases = [c for c in model_tests.collect_testcases() if c.kind == "simple"]
        else:
            cases = load_model_tests(kind=kind)
        for case in cases:
            folder = root / kind / case.name
            try:
                write_case(case, folder)
            except Exception as error:  # a few cases hold what the package itself cannot serialise
                print(f"{kind}/{case.name} could not be written: {error!r}", file=sys.stderr)
                shutil.rmtree(folder, ignore_errors=True)
    write_light(root)


def case_folder():
    """The folder with the cases, which are written if need be."""
    import onnx

    given = os.environ.get("LATHE_ONNX_CASES")
    build = os.environ.get("LATHE_BUILD", SOURCE / "build")
    root = pathlib.Path(given) if given else pathlib.Path(build) / f"onnx_cases-{onnx.__version__}"
    if not root.is_dir():
        unfinished = root.with_name(root.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_cases(unfinished)
        unfinished.rename(root)
    return root


# Running a case, in a worker.

# Cases whose numbers are random: judged by type, shape and how the numbers are distributed.
RANDOM = ("test_bernoulli", "test_training_dropout")


def value_of(path, info):
    import onnx
    from onnx import numpy_helper

    kind = info.type.WhichOneof("value")
    data = path.read_bytes()
    if kind == "tensor_type":
        return numpy_helper.to_array(onnx.TensorProto.FromString(data))
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_dict(onnx.MapProto.FromString(data))


def as_passed(array):
    """Types that numpy lacks travel as their bits, one value an element."""
    import numpy as np

    if array.dtype.type.__module__ != "ml_dtypes":
        return array
    return array.astype(np.int8) if array.dtype.name in ("int4", "int2") else array.view(f"u{array.dtype.itemsize}")


def difference(want, got, rtol, atol):
    import numpy as np

    if not isinstance(want, np.ndarray):
        return f"a {type(want).__name__} is expected"
    got = np.asarray(got)
    if want.shape != got.shape:
        return f"shape {got.shape} instead of {want.shape}"
    if want.dtype == object or want.dtype.kind in "SU":
        text = [v.decode() if isinstance(v, bytes) else str(v) for v in want.ravel()]
        return "" if text == [str(v) for v in got.ravel()] else "strings differ"
    passed = as_passed(want)
    if passed.dtype != got.dtype:
        return f"type {got.dtype} instead of {passed.dtype}"
    if passed is not want and want.dtype.name not in ("int4", "uint4", "int2", "uint2"):
        got = got.view(want.dtype)
    if want.dtype.kind in "biu":
        return "" if np.array_equal(want, got) else f"{got.ravel()[:8]} instead of {want.ravel()[:8]}"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    a, b = want.astype(wide), got.astype(wide)
    if np.allclose(b, a, rtol=rtol, atol=atol, equal_nan=True):
        return ""
    worst = np.nanmax(np.abs(a - b)) if a.size else 0
    return f"differs by up to {worst}: {b.ravel()[:6]} instead of {a.ravel()[:6]}"


def random_difference(want, got):
    """Zeros are as frequent as they are expected to be; where both have other numbers, they are the same."""
    import numpy as np

    got = np.asarray(got)
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"{got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
    zeros, expected = np.mean(got == 0), np.mean(want == 0)
    if abs(zeros - expected) > 4 * np.sqrt(0.5 / want.size):
        return f"{zeros:.0%} of the numbers are 0 instead of {expected:.0%}"
    both = (got != 0) & (want != 0)
    return difference(want[both], got[both], 1e-3, 1e-7)


def tensors(value, name, kind):
    """[(input's or output's name, tensor)] of the tensors in a value: those of a sequence are x.0, x.1 …"""
    if value is None:
        return []
    if kind.WhichOneof("value") == "optional_type":
        return tensors(value, name, kind.optional_type.elem_type)
    if kind.WhichOneof("value") == "sequence_type":
        return [(f"{name}.{i}", v) for i, v in enumerate(value)]
    return [(name, value)]


def run_case(folder):
    """("passed" | "unsupported" | "failed", reason)"""
    import lathe
    import onnx

    folder = pathlib.Path(folder)
    tolerance = json.loads((folder / "data.json").read_text())
    rtol, atol = tolerance.get("rtol") or 1e-3, tolerance.get("atol") or 1e-7
    try:
        path = folder / "model.onnx"
        graph = onnx.load(path, load_external_data=False).graph
        initialized = {i.name for i in graph.initializer}
        inputs = [i for i in graph.input if i.name not in initialized]
        of_sequences = any(i.type.WhichOneof("value") != "tensor_type" for i in [*inputs, *graph.output])
        session, built_for = None, None
        for data in sorted(folder.glob("test_data_set_*")):
            feeds, shapes, values = {}, {}, {}
            for j, info in enumerate(inputs):
                parts = tensors(value_of(data / f"input_{j}.pb", info), info.name, info.type)
                feeds |= {name: as_passed(v) for name, v in parts}
                # How many tensors an input holds must be known when an engine is built.
                if info.type.WhichOneof("value") != "tensor_type":
                    shapes |= {name: v.shape for name, v in parts} or {info.name: "none"}
                elif of_sequences and feeds[info.name].size == 1 and feeds[info.name].dtype.kind in "bi":
                    values[info.name] = feeds.pop(info.name)  # how many tensors a sequence holds may depend on it
            if session is None or (shapes, values) != built_for:
                session = lathe.compile(str(path), threads=1, shapes=shapes, values=values)
                built_for = shapes, values
            got = session(feeds)
            wanted = []
            for j, info in enumerate(graph.output):
                wanted += tensors(value_of(data / f"output_{j}.pb", info), info.name, info.type)
            if [name for name, _ in wanted] != list(got):
                return "failed", f"outputs {list(got)} instead of {[name for name, _ in wanted]}"
            for name, want in wanted:
                if folder.name.startswith(RANDOM) and "zero_ratio" not in folder.name:
                    why = random_difference(want, got[name])
                else:
                    why = difference(want, got[name], rtol, atol)
                if why:
                    return "failed", f"output {name}: {why}"
    except lathe.UnsupportedError as error:
        return "unsupported", str(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    return "passed", ""


def work():
    for line in sys.stdin:
        result = run_case(line.strip())
        print(json.dumps(result), flush=True)


# Driving the workers.


def cpu_seconds(pid):
    """What a process has used so far (proc(5): utime and stime)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that runs cases; started anew after a crash."""

    def __init__(self, cache):
        self.environment = dict(os.environ, XDG_CACHE_HOME=cache, OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
        self.process = None

    def run(self, folder):
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
                env=self.environment,
            )
        try:
            self.process.stdin.write(f"{folder}\n")
            line = self.process.stdout.readline() if self.answers() else ""
            if line:
                return tuple(json.loads(line))
        except (BrokenPipeError, json.JSONDecodeError):
            pass
        self.process.kill()
        status = self.process.wait()
        self.process = None
        return "failed", f"the process ended or hung (status {status})"

    def answers(self):
        """Whether the process has something to say before its time is up."""
        begin, cpu = time.monotonic(), cpu_seconds(self.process.pid)
        while time.monotonic() - begin < WALL_LIMIT_S and cpu_seconds(self.process.pid) - cpu < CPU_LIMIT_S:
            if select.select([self.process.stdout], [], [], 1)[0]:
                return True
        return False

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def run_all(root, names, jobs=2, verbose=False):
    """{name: (status, reason)}"""
    waiting = queue.SimpleQueue()
    for name in names:
        waiting.put(name)
    results = {}

    def drive(cache):
        worker = Worker(cache)
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                break
            started = time.monotonic()
            results[name] = worker.run(root / name)
            if verbose:
                print(f"{time.monotonic() - started:7.2f} s {name}: {results[name][0]}", file=sys.stderr, flush=True)
        worker.close()

    with tempfile.TemporaryDirectory() as cache:
        threads = [threading.Thread(target=drive, args=(cache,)) for _ in range(jobs)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    return results


def listed():
    if not LIST.exists():
        return []
    return [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]


def excluded():
    """{case: why it does not pass}, from the sections of the list: "## reason", then the cases."""
    reasons, reason = {}, ""
    for line in EXCLUDED.read_text().splitlines():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            reasons[line] = reason
    return reasons


def all_cases(root):
    return sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in root.glob("*/*/model.onnx"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="names of cases, or parts of them")
    parser.add_argument("--listed", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--dump", metavar="DIR", type=pathlib.Path)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    parser.add_argument("-v", "--verbose", action="store_true", help="each case with its time, on stderr")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    if options.dump:
        return write_cases(options.dump)

    root = case_folder()
    if options.prepare:
        print(f"{len(all_cases(root))} cases in {root}")
        return 0
    must_pass = listed()
    names = must_pass if options.listed else all_cases(root)
    if options.cases:
        names = [n for n in names if any(part in n for part in options.cases)]
    results = run_all(root, names, options.jobs, options.verbose)
    counts = collections.Counter(status for status, _ in results.values())
    lost = [n for n in must_pass if n in results and results[n][0] != "passed"]
    for name in sorted(results) if options.cases else lost:
        status, reason = results[name]
        print(f"{name}: {status} {reason}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=0, sort_keys=True))
    if options.update:
        passing = sorted(set(must_pass) | {n for n, (status, _) in results.items() if status == "passed"})
        head = "# Cases of the ONNX backend suite that pass end to end. The list only grows (onnx_node_suite.py --update).\n"
        LIST.write_text(head + "".join(f"{n}\n" for n in passing))
        # A case that passes is excluded no more.
        kept = [line for line in EXCLUDED.read_text().splitlines() if line not in passing]
        EXCLUDED.write_text("\n".join(kept) + "\n")
    print(
        f"{counts['passed']} passed, {counts['unsupported']} unsupported, {counts['failed']} failed of {len(results)}; "
        f"{len(lost)} of {len(must_pass)} listed cases do not pass"
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
