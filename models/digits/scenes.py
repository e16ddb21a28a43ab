# SPDX-License-Identifier: Apache-2.0
"""Synthetic 256x256 scenes with real handwritten digits, and the exact box of each digit's ink.

The handwriting is scikit-learn's load_digits (1797 digits of 8x8 pixels). Its instances are split once into a
training and a test part; a scene draws from one part only. A scene is a function of (part, seed) alone.

    python models/digits/scenes.py --out DIR              the 200 held-out scenes and labels.json
    python models/digits/scenes.py --out DIR --part train --count 10
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 256
TEST_COUNT = 200
TEST_SEED = 900_000
TEST_SHARE = 0.25
DIGIT_PX = (24, 72)
INK = 0.3  # coverage from which a pixel counts as ink of the label's box
MAX_OVERLAP = 0.10  # of the smaller box's area


@dataclass(frozen=True)
class Box:
    """Ink box in pixels, x1 and y1 exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int
    digit: int


def handwriting(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images float32[n, 8, 8] in 0..1 and labels int[n] of one part, "train" or "test". The parts share no instance."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(2024).permutation(len(data.target))
    test = int(len(order) * TEST_SHARE)
    chosen = {"test": order[:test], "train": order[test:]}[part]
    return (data.images[chosen] / 16.0).astype(np.float32), data.target[chosen]


def _smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _noise(rng: np.random.Generator, cells: int, channels: int) -> np.ndarray:
    small = rng.normal(0, 1, (cells, cells, channels)).astype(np.float32)
    planes = [Image.fromarray(small[..., c]).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(p) for p in planes], -1)


def _background(rng: np.random.Generator) -> np.ndarray:
    """A texture float32[256, 256, 3] in 0..1: gradient, noise at several scales, stripes, shapes, blur."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    angle = rng.uniform(0, 2 * math.pi)
    along = (x * math.cos(angle) + y * math.sin(angle))[..., None]
    first, second = rng.uniform(0.05, 0.95, 3), rng.uniform(-0.35, 0.35, 3)
    image = (first + second * along).astype(np.float32)

    for cells in (3, 8, 24, 64):
        if rng.random() < 0.5:
            channels = 1 if rng.random() < 0.6 else 3
            image = image + np.float32(rng.uniform(0.01, 0.09)) * _noise(rng, cells, channels)

    if rng.random() < 0.35:
        angle, period = rng.uniform(0, math.pi), rng.uniform(4, 60)
        wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi * SIZE / period) + rng.uniform(0, 6.3))
        if rng.random() < 0.5:
            wave = np.sign(wave)
        image = image + (wave[..., None] * rng.uniform(-0.09, 0.09, 3)).astype(np.float32)

    if rng.random() < 0.6:
        canvas = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
        draw = ImageDraw.Draw(canvas, "RGBA")
        for _ in range(rng.integers(1, 9)):
            cx, cy = rng.uniform(-20, SIZE + 20, 2)
            w, h = rng.uniform(10, 110, 2)
            colour = tuple(int(v) for v in rng.integers(0, 256, 3)) + (int(rng.integers(30, 150)),)
            kind = rng.integers(0, 4)
            if kind == 0:
                draw.ellipse((cx - w, cy - h, cx + w, cy + h), fill=colour)
            elif kind == 1:
                draw.rectangle((cx - w, cy - h, cx + w, cy + h), fill=colour)
            elif kind == 2:
                draw.polygon([tuple(p) for p in rng.uniform(-80, 80, (3, 2)) + (cx, cy)], fill=colour)
            else:
                ends = rng.uniform(-40, SIZE + 40, 4)
                draw.line(tuple(ends), fill=colour, width=int(rng.integers(1, 9)))
        if rng.random() < 0.5:
            canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 5))))
        image = np.asarray(canvas, np.float32) / 255
    return np.clip(image, 0, 1)


def _ink(rng: np.random.Generator, glyph: np.ndarray) -> np.ndarray:
    """Coverage float32[h, w] in 0..1 of one digit after scaling, rotation and shear, cropped to its ink."""
    size = rng.uniform(*DIGIT_PX)
    angle = math.radians(rng.uniform(-30, 30))
    shear, aspect = rng.uniform(-0.2, 0.2), rng.uniform(0.8, 1.2)
    pad, side = 3, int(size * 1.7)
    source = np.pad(glyph, pad)
    # The inverse map, canvas pixel → source pixel: undo the centring, rotation, shear and scale in turn.
    cos, sin, scale = math.cos(angle), math.sin(angle), 8 / size
    a, b = cos * scale / aspect, sin * scale / aspect
    d, e = -sin * scale, cos * scale
    a, b = a + shear * d, b + shear * e
    centre, middle = side / 2, 4 + pad
    matrix = (a, b, middle - (a + b) * centre, d, e, middle - (d + e) * centre)
    plane = Image.fromarray(source).transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    low = rng.uniform(0.06, 0.2)
    coverage = _smoothstep(low, low + rng.uniform(0.2, 0.4), np.asarray(plane))
    rows, columns = np.where(coverage.max(1) > INK)[0], np.where(coverage.max(0) > INK)[0]
    return coverage[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _overlaps(box: Box, others: list[Box]) -> bool:
    for o in others:
        w, h = min(box.x1, o.x1) - max(box.x0, o.x0), min(box.y1, o.y1) - max(box.y0, o.y0)
        smaller = min((box.x1 - box.x0) * (box.y1 - box.y0), (o.x1 - o.x0) * (o.y1 - o.y0))
        if w > 0 and h > 0 and w * h > MAX_OVERLAP * smaller:
            return True
    return False


def _colour(rng: np.random.Generator, patch: np.ndarray) -> np.ndarray:
    """An ink colour whose luminance stands off the patch's mean; the contrast itself is random."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    ground = float((patch.reshape(-1, 3) @ weights).mean())
    while True:
        colour = rng.uniform(0, 1, 3).astype(np.float32)
        if rng.random() < 0.4:
            colour[:] = rng.choice([0.02, 0.97])
        if abs(float(colour @ weights) - ground) > 0.28:
            return colour


def scene(glyphs: np.ndarray, labels: np.ndarray, seed: int, most: int = 8) -> tuple[np.ndarray, list[Box]]:
    """One scene uint8[256, 256, 3] with 1..most digits, and the boxes of their ink."""
    rng = np.random.default_rng(seed)
    image = _background(rng)
    boxes: list[Box] = []
    for _ in range(rng.integers(1, most + 1)):
        pick = int(rng.integers(len(glyphs)))
        ink = _ink(rng, glyphs[pick])
        h, w = ink.shape
        for _ in range(30):
            x, y = int(rng.integers(0, SIZE - w + 1)), int(rng.integers(0, SIZE - h + 1))
            box = Box(x, y, x + w, y + h, int(labels[pick]))
            if not _overlaps(box, boxes):
                break
        else:
            continue
        patch = image[y : y + h, x : x + w]
        alpha = (ink * rng.uniform(0.75, 1.0))[..., None].astype(np.float32)
        patch[...] = patch * (1 - alpha) + _colour(rng, patch) * alpha
        boxes.append(box)

    if rng.random() < 0.3:
        blurred = Image.fromarray((image * 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2)))
        )
        image = np.asarray(blurred, np.float32) / 255
    image = 0.5 + (image - 0.5) * rng.uniform(0.75, 1.1) + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.005, 0.03), image.shape)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), boxes


def write(folder: Path, part: str, count: int, seed: int) -> None:
    """Writes scenes as JPEG and their boxes as labels.json: [{"file", "boxes": [{"x0","y0","x1","y1","digit"}]}]."""
    folder.mkdir(parents=True, exist_ok=True)
    glyphs, digits = handwriting(part)
    entries = []
    for i in range(count):
        image, boxes = scene(glyphs, digits, seed + i)
        name = f"{i:03}.jpg"
        Image.fromarray(image).save(folder / name, quality=82)
        entries.append({"file": name, "boxes": [vars(b) for b in boxes]})
    lines = ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries)
    (folder / "labels.json").write_text(f"[\n{lines}\n]\n")


def read(folder: Path) -> list[tuple[np.ndarray, list[Box]]]:
    """The scenes and boxes that write() left in a folder."""
    entries = json.loads((folder / "labels.json").read_text())
    return [
        (np.asarray(Image.open(folder / e["file"]).convert("RGB")), [Box(**b) for b in e["boxes"]]) for e in entries
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=("test", "train"), default="test")
    parser.add_argument("--count", type=int, default=TEST_COUNT)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    arguments = parser.parse_args()
    write(arguments.out, arguments.part, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
