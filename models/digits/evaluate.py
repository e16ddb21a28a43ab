# SPDX-License-Identifier: Apache-2.0
"""What follows the digit detector: threshold and non-maximum suppression, mAP, and drawing.

A detector here is any callable float32 [1,3,256,256] in 0..1 → detections [1,N,14] (cx, cy, w, h, 10 scores).

    python models/digits/evaluate.py --onnx models/digits/digits.onnx [--scene 7 --out scene.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scenes import Box, read

FOLDER = Path(__file__).parent
CLASSES = 10
Detector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Found:
    """One detection; the box in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float
    digit: int
    score: float


def to_input(image: np.ndarray) -> np.ndarray:
    """Image uint8 [H,W,3] → float32 [1,3,H,W] in 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [4] with many [n,4], all x0 y0 x1 y1."""
    inner = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(1)
    area = (others[:, 2:] - others[:, :2]).prod(1)
    return inner / np.maximum((box[2:] - box[:2]).prod() + area - inner, 1e-9)


def nms(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[int]:
    """Greedy non-maximum suppression: kept indices, best score first."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][iou(boxes[order[0]], boxes[order[1:]]) <= overlap]
    return kept


def postprocess(
    detections: np.ndarray, threshold: float = 0.35, overlap: float = 0.5, per_class: bool = False
) -> list[Found]:
    """detections [1,N,14] → what was found, best first. per_class: a box suppresses only boxes of its own digit."""
    cells = detections[0].astype(np.float64)
    row, digit = np.where(cells[:, 4:] > threshold)
    score = cells[row, 4 + digit]
    centre, half = cells[row, :2], cells[row, 2:4] / 2
    boxes = np.concatenate((centre - half, centre + half), 1)
    # Classes moved far apart suppress only their own.
    shifted = boxes + digit[:, None] * 4096.0 if per_class else boxes
    return [Found(*boxes[i], int(digit[i]), float(score[i])) for i in nms(shifted, score, overlap)]


def average_precision(hits: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """All-point interpolated average precision (Pascal VOC 2010 and later): the area under the precision envelope."""
    if truths == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    recall, precision = right / truths, right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(np.concatenate(([0.0], recall))) * envelope).sum())


def mean_ap(detector: Detector, samples: list[tuple[np.ndarray, list[Box]]], at: float = 0.5) -> float:
    """Mean over the ten digits of the average precision at one IoU; all-point interpolation, per-class NMS, no score cut above 0.01."""
    hits: list[list[float]] = [[] for _ in range(CLASSES)]
    scores: list[list[float]] = [[] for _ in range(CLASSES)]
    truths = np.zeros(CLASSES, int)
    for image, boxes in samples:
        found = postprocess(detector(to_input(image)), threshold=0.01, per_class=True)
        for digit in range(CLASSES):
            truth = np.array([(b.x0, b.y0, b.x1, b.y1) for b in boxes if b.digit == digit], float).reshape(-1, 4)
            free = np.ones(len(truth), bool)
            truths[digit] += len(truth)
            for f in (f for f in found if f.digit == digit):
                match = iou(np.array((f.x0, f.y0, f.x1, f.y1)), truth) * free
                hit = len(truth) > 0 and match.max() >= at
                if hit:
                    free[match.argmax()] = False
                hits[digit].append(float(hit))
                scores[digit].append(f.score)
    each = [average_precision(np.array(h), np.array(s), n) for h, s, n in zip(hits, scores, truths)]
    return float(np.nanmean(each))


def draw(image: np.ndarray, found: list[Found], file: Path, zoom: int = 3) -> None:
    """Saves the scene as PNG, enlarged, with a box, digit and score for everything found."""
    palette = (
        "#e6194b",
        "#3cb44b",
        "#ffe119",
        "#4363d8",
        "#f58231",
        "#b14fd1",
        "#42d4f4",
        "#f032e6",
        "#bfef45",
        "#fabed4",
    )
    canvas = Image.fromarray(image).resize((image.shape[1] * zoom, image.shape[0] * zoom), Image.Resampling.BICUBIC)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(16)
    for f in found:
        x0, y0, x1, y1 = (v * zoom for v in (f.x0, f.y0, f.x1, f.y1))
        pen.rectangle((x0, y0, x1, y1), outline=palette[f.digit], width=3)
        text = f"{f.digit} {f.score:.2f}"
        corner = (max(x0, 0), y0 - 22 if y0 >= 22 else y0 + 3)
        area = pen.textbbox(corner, text, font=font)
        pen.rectangle((area[0] - 3, area[1] - 3, area[2] + 3, area[3] + 3), fill=palette[f.digit])
        pen.text(corner, text, fill="black", font=font)
    file.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(file)


def onnxruntime_detector(file: Path, threads: int = 1) -> Detector:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["detections"], {"image": x})[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", type=Path, default=FOLDER / "digits.onnx")
    parser.add_argument("--scenes", type=Path, default=FOLDER / "scenes")
    parser.add_argument("--scene", type=int, help="draw this scene too")
    parser.add_argument("--out", type=Path, default=Path("build/demo/digits.png"))
    arguments = parser.parse_args()
    samples = read(arguments.scenes)
    detector = onnxruntime_detector(arguments.onnx)
    print(
        f"mAP@0.5 over {len(samples)} scenes: {mean_ap(detector, samples):.4f}  (@0.75: {mean_ap(detector, samples, 0.75):.4f})"
    )
    if arguments.scene is not None:
        image = samples[arguments.scene][0]
        draw(image, postprocess(detector(to_input(image))), arguments.out)
        print(arguments.out)


if __name__ == "__main__":
    main()
