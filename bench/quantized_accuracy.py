# SPDX-License-Identifier: Apache-2.0
"""What quantization costs in accuracy: trained models, quantized by lathe, on data that they were not calibrated with.

    PYTHONPATH=build/python build/venv/bin/python bench/quantized_accuracy.py [vww ic ad kws keypoint magika digits] \
        [--calibrator auto] [--precision int8|w4|…] [--nearest] [--weight-block 32] [--models ../shared/models]

A line a model: agreement of the best class and SNR against the float network, the same of the network published in INT8
beside it, accuracy of both where there are labels, and INT8's speed against FP32 (both engines in turn, best of many).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lathe
import numpy as np

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "models" / "digits"


@dataclass
class Task:
    """A float model and the data to calibrate it and to measure it with, one sample an element of the first axis."""

    model: Path
    folds: list[tuple[np.ndarray, np.ndarray]]
    """Of calibration and evaluation. Small sets are halved, and each half is measured as the other calibrates."""
    labels: np.ndarray | None = None
    published: Path | None = None
    score: Callable[[lathe.Model], float] | None = None
    """Instead of labels: the task's own measure."""


def halves(x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[1::2], x[::2]), (x[::2], x[1::2])]


def halved(labels: np.ndarray) -> np.ndarray:
    return np.concatenate([labels[::2], labels[1::2]])


def vww(models: Path) -> Task:
    data = np.load(models / "mlperf_vww/photos96.accuracy.npz")
    x = data["X"].astype(np.float32) / 255
    folder = models / "mlperf_vww"
    return Task(folder / "vww_96_float.tflite", halves(x), halved(data["y"]), folder / "vww_96_int8.tflite")


def ic(models: Path) -> Task:
    data = np.load(models / "mlperf_ic/photos32.accuracy.npz")
    x = data["X"].astype(np.float32)
    folder = models / "mlperf_ic"
    published = folder / "pretrainedResnet_quant.tflite"
    return Task(folder / "pretrainedResnet.tflite", halves(x), halved(data["y"]), published)


def ad(models: Path) -> Task:
    frames = np.fromfile(next((models / "mlperf_ad").glob("*.bin")), np.float32).reshape(-1, 128)
    windows = np.stack([frames[i : i + 5].ravel() for i in range(len(frames) - 4)])
    folder = models / "mlperf_ad"
    return Task(folder / "ad01_fp32.tflite", [(windows[:98:2], windows[98:])], None, folder / "ad01_int8.tflite")


def kws(models: Path) -> Task:
    """Four clips only: calibrated with each moved in time, measured as they are."""
    folder = models / "mlperf_kws"
    golden = np.load(folder / "kws_ref_model_float32.tflite.golden.npz")
    x = np.concatenate([golden[f"c{i}_in0"] for i in range(4)])
    moved = np.concatenate([np.roll(x, shift, 1) for shift in (-9, -6, -3, 3, 6, 9)])
    return Task(folder / "kws_ref_model_float32.tflite", [(moved, x)], None, folder / "kws_ref_model.tflite")


def keypoint(models: Path) -> Task:
    with gzip.open(models / "hand_keypoint/keypoint.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    rest = np.ones(len(rows), bool)
    rest[::40] = False
    folder = models / "hand_keypoint/keypoint_saved_model"
    return Task(folder, [(rows[::40, 1:], rows[rest, 1:])], rows[rest, 0].astype(int))


def magika(models: Path) -> Task:
    data = np.load(models / "magika_v3/files.accuracy.npz")
    x = data["X"].astype(np.int32)
    return Task(models / "magika_v3/model.onnx", halves(x), halved(data["y"]))


def digits(_: Path) -> Task:
    sys.path.insert(0, str(DIGITS))
    from evaluate import mean_ap, to_input  # noqa: PLC0415
    from scenes import read  # noqa: PLC0415

    scenes = read(DIGITS / "scenes")
    x = np.concatenate([to_input(image) for image, _ in scenes])
    held = [s for i, s in enumerate(scenes) if i % 5]

    def score(model: lathe.Model) -> float:
        return mean_ap(lambda image: model({"image": image})["detections"], held)

    return Task(DIGITS / "digits.onnx", [(x[::5], x[1::5])], score=score)


TASKS = {f.__name__: f for f in (vww, ic, ad, kws, keypoint, magika, digits)}


def run(model: lathe.Model, samples: np.ndarray) -> np.ndarray:
    name, output = model.inputs[0].name, model.outputs[0].name
    return np.concatenate([model({name: s[None]})[output] for s in samples])


def run_published(path: Path, samples: np.ndarray) -> np.ndarray:
    """An integer network on float samples, by the scales of its ends."""
    facts = json.loads(path.with_name(path.name + ".golden.json").read_text())
    (scale, zero), (out_scale, out_zero) = facts["in_quant"][0], facts["out_quant"][0]
    integers = np.clip(np.rint(samples / scale) + zero, -128, 127).astype(np.int8)
    return (run(lathe.compile(path), integers).astype(np.float32) - out_zero) * out_scale


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / ((got - wanted) ** 2).sum()))


def speed(whole: lathe.Model, quantized: lathe.Model, sample: np.ndarray) -> float:
    """How many times faster: the quickest of many runs, in turn."""
    best = [float("inf")] * 2
    feed = {whole.inputs[0].name: sample[None]}
    end = time.perf_counter() + 2
    while time.perf_counter() < end:
        for i, model in enumerate((whole, quantized)):
            begin = time.perf_counter()
            model(feed)
            best[i] = min(best[i], time.perf_counter() - begin)
    return best[0] / best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], help="default: all")
    parser.add_argument("--models", type=Path, default=HERE.parent.parent / "shared" / "models")
    parser.add_argument("--calibrator", default="auto")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--activations", default="u8")
    parser.add_argument("--max-loss", type=float, default=0.5)
    parser.add_argument("--nearest", action="store_true", help="of w8 … wfp4: without calibration")
    parser.add_argument("--weight-block", type=int)
    arguments = parser.parse_args()
    for name in arguments.tasks or TASKS:
        task = TASKS[name](arguments.models)
        whole = lathe.compile(task.model, threads=1)
        engines = [
            lathe.compile(
                task.model,
                threads=1,
                precision=arguments.precision,
                max_loss=arguments.max_loss,
                **({} if arguments.nearest else {"calibrate": calibration}),
                **({} if arguments.weight_block is None else {"weight_block": arguments.weight_block}),
                calibrator=arguments.calibrator,
                activations=arguments.activations,
            )
            for calibration, _ in task.folds
        ]
        evaluation = np.concatenate([samples for _, samples in task.folds])
        wanted = run(whole, evaluation)
        got = np.concatenate([run(engine, samples) for engine, (_, samples) in zip(engines, task.folds)])
        text = [f"{name:9}: {len(evaluation)} samples"]
        classes = wanted.ndim == 2 and name != "ad"

        def compared(what: str, out: np.ndarray, wanted: np.ndarray = wanted, classes: bool = classes) -> str:
            agree = f"agreement {(out.argmax(1) == wanted.argmax(1)).mean():.4f}, " if classes else ""
            return f"{what}: {agree}SNR {snr(wanted, out):.1f} dB"

        text.append(compared("lathe", got))
        if task.published:
            text.append(compared("published", run_published(task.published, evaluation)))
        if task.labels is not None:
            right = [(out.argmax(1) == task.labels).mean() for out in (wanted, got)]
            text.append(f"accuracy {right[0]:.4f} → {right[1]:.4f}")
        if task.score:
            text.append(f"mAP {task.score(whole):.4f} → {task.score(engines[0]):.4f}")
        text.append(f"{speed(whole, engines[0], evaluation[0]):.2f} times as fast")
        print("; ".join(text), flush=True)


if __name__ == "__main__":
    main()
