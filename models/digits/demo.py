# SPDX-License-Identifier: Apache-2.0
"""Finds handwritten digits with an engine that lathe builds: boxes, latency beside ONNX Runtime, accuracy, a picture.

python models/digits/demo.py [--scene 7] [--out build/demo/digits.png] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from evaluate import Detector, Found, draw, mean_ap, onnxruntime_detector, postprocess, to_input
from scenes import read

FOLDER = Path(__file__).parent
MODEL = FOLDER / "digits.onnx"


def interleaved(detectors: dict[str, Detector], x: np.ndarray, rounds: int, runs: int = 20) -> dict[str, np.ndarray]:
    """Milliseconds of each run. The detectors take turns, `runs` at a time, so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        for _ in range(5):
            detector(x)
    for turn in range(rounds):
        names = list(detectors)
        for name in names if turn % 2 == 0 else reversed(names):
            detector = detectors[name]
            detector(x)  # caches filled by the other one
            for _ in range(runs):
                start = time.perf_counter()
                detector(x)
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: np.array(values) for name, values in times.items()}


def print_found(found: list[Found]) -> None:
    print(f"    {'digit':>5}  {'score':>5}  {'x0':>6} {'y0':>6} {'x1':>6} {'y1':>6}")
    for f in sorted(found, key=lambda f: (f.y0, f.x0)):
        print(f"    {f.digit:>5}  {f.score:>5.2f}  {f.x0:>6.1f} {f.y0:>6.1f} {f.x1:>6.1f} {f.y1:>6.1f}")


def print_latency(times: dict[str, np.ndarray], threads: int) -> None:
    runs = len(next(iter(times.values())))
    print(f"  latency in ms, {threads} thread{'s' if threads != 1 else ''}, {runs} runs each, taking turns:")
    for name, values in times.items():
        print(f"    {name:<12}  p50 {np.median(values):7.3f}   min {values.min():7.3f}")
    if len(times) == 2:
        ours, theirs = times.values()
        p50, least = np.median(theirs) / np.median(ours), theirs.min() / ours.min()
        print(f"    {'speed-up':<12}  p50 {p50:6.2f}x   min {least:6.2f}x")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=int, default=7, help="which of the held-out scenes to show")
    parser.add_argument("--out", type=Path, default=Path("build/demo/digits.png"))
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=10, help="rounds of 20 runs for the latency")
    arguments = parser.parse_args()
    samples = read(FOLDER / "scenes")
    if not 0 <= arguments.scene < len(samples):
        parser.error(f"--scene {arguments.scene}: there are scenes 0 to {len(samples) - 1}")
    image, truth = samples[arguments.scene]
    x = to_input(image)

    try:
        import lathe
    except ImportError as error:
        print(f"demo: the Python package lathe cannot be imported ({error}); `make build` makes it", file=sys.stderr)
        return 1
    start = time.perf_counter()
    engine = lathe.compile(str(MODEL), threads=arguments.threads)
    print(f"  {MODEL.name}: engine built in {time.perf_counter() - start:.2f} s")
    detectors: dict[str, Detector] = {"lathe": lambda x: engine({"image": x})["detections"]}

    found = postprocess(detectors["lathe"](x))
    print(f"  scene {arguments.scene}: {len(found)} digits found, {len(truth)} drawn")
    print_found(found)

    try:
        detectors["onnxruntime"] = onnxruntime_detector(MODEL, arguments.threads)
    except ImportError:
        print("  SKIPPED: comparison with ONNX Runtime (Python package onnxruntime is not installed)")
    else:
        ours, theirs = (d(x) for d in detectors.values())
        print(f"  largest difference from ONNX Runtime: {np.abs(ours - theirs).max():.1e} (pixels and scores)")
    print_latency(interleaved(detectors, x, arguments.rounds), arguments.threads)
    print(f"  mAP@0.5 over {len(samples)} held-out scenes: {mean_ap(detectors['lathe'], samples):.4f}")

    draw(image, found, arguments.out)
    print(f"  picture: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
