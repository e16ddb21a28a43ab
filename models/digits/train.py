# SPDX-License-Identifier: Apache-2.0
"""Trains the digit detector on synthetic scenes with real handwriting; writes a checkpoint that export.py reads.

    python models/digits/train.py --out build/digits.pt --bf16 --stop 9

About half an hour on two cores with --bf16. The scenes are made once and kept in --cache (2.4 GB).
The held-out mAP is printed for the log alone: nothing is chosen by it, the last weights are what is kept.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import evaluate
import numpy as np
import scenes
import torch
from network import CLASSES, Detector
from torch import Tensor
from torch.nn import functional as F

MOST = 12  # digits in a training scene: denser than the test scenes, more to learn from each pixel
TRAIN_SEED = 1


def _make(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    glyphs, labels = scenes.handwriting("train")
    images = np.empty((count, scenes.SIZE, scenes.SIZE, 3), np.uint8)
    targets = np.full((count, MOST, 5), -1, np.float32)  # x0 y0 x1 y1 digit; digit -1: no box
    for i in range(count):
        images[i], boxes = scenes.scene(glyphs, labels, first + i, MOST)
        for j, b in enumerate(boxes):
            targets[i, j] = (b.x0, b.y0, b.x1, b.y1, b.digit)
    return images, targets


def dataset(cache: Path, count: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """The training scenes uint8[n,256,256,3] and their boxes float32[n,12,5], made on the first call."""
    images, targets = cache / f"images-{count}.npy", cache / f"targets-{count}.npy"
    if not targets.exists():
        cache.mkdir(parents=True, exist_ok=True)
        step = 250
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_make, range(TRAIN_SEED, TRAIN_SEED + count, step), [step] * math.ceil(count / step)))
        np.save(images, np.concatenate([p[0] for p in parts])[:count])
        np.save(targets, np.concatenate([p[1] for p in parts])[:count])
    return np.load(images, mmap_mode="r"), np.load(targets)


def augment(image: Tensor, rng: torch.Generator) -> Tensor:
    """Colour only, so that boxes stay: channels permuted, inverted, scaled per scene; noise. image uint8 [B,H,W,3]."""
    order = torch.stack([torch.randperm(3, generator=rng) for _ in range(len(image))])
    x = image.permute(0, 3, 1, 2)
    x = torch.stack([x[i, order[i]] for i in range(len(x))]).to(torch.float32) / 255

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(image), *shape, 1, 1, generator=rng)

    x = torch.where(draw(0, 1, 1) < 0.3, 1 - x, x)
    x = 0.5 + (x - 0.5) * draw(0.7, 1.1, 3) + draw(-0.1, 0.1, 3)
    return x.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def _corners(box: Tensor) -> Tensor:
    centre, half = box[..., :2], box[..., 2:4] / 2
    return torch.cat((centre - half, centre + half), -1)


def ciou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and complete IoU (Zheng et al., 2020) of boxes x0 y0 x1 y1, broadcast over the leading axes."""
    eps = 1e-7
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    iou = inner / (size_a.prod(-1) + size_b.prod(-1) - inner + eps)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).square().sum(-1) + eps
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)
    turn = torch.atan(size_b[..., 0] / (size_b[..., 1] + eps)) - torch.atan(size_a[..., 0] / (size_a[..., 1] + eps))
    shape = (4 / math.pi**2) * turn.square()
    with torch.no_grad():
        weight = shape / (1 - iou + shape + eps)
    return iou, iou - apart / outer - weight * shape


@torch.no_grad()
def assign(
    corners: Tensor, score: Tensor, target: Tensor, cell: Tensor, stride: Tensor, top: int = 8
) -> tuple[Tensor, Tensor]:
    """Task-aligned assignment (Feng et al., 2021): per cell the index of its box, -1 for none, and the score to learn.

    corners [B,N,4], score [B,N,10] in 0..1, target [B,M,5], cell [N,2] (centres), stride [N,1].
    A cell may take a box whose centre lies within 1.4 strides of the cell's, or whose inside holds the cell's centre,
    but not beyond the 1.5 strides that the network can express.
    """
    present = target[..., 4] >= 0
    digit = target[..., 4].clamp(min=0).long()
    iou = ciou(corners[:, None], target[:, :, None, :4])[0].clamp(0, 1)  # [B,M,N]
    own = score.transpose(1, 2).gather(1, digit[..., None].expand(-1, -1, score.shape[1]))
    centre = (target[..., :2] + target[..., 2:4]) / 2
    near = ((cell - centre[:, :, None]).abs() < 1.4 * stride).all(-1) & present[..., None]
    align = own.sqrt() * iou.pow(4) * near
    best, where = align.topk(top, -1)
    chosen = torch.zeros_like(align, dtype=torch.bool).scatter_(-1, where, best > 1e-9)
    rival = torch.where(chosen, iou, -1)
    value, owner = rival.max(1)  # a cell wanted by two boxes goes to the closer one
    owner = torch.where(value >= 0, owner, -1)
    kept = chosen & (owner[:, None] == torch.arange(target.shape[1])[:, None])
    align = align * kept
    peak = (iou * kept).amax(-1, keepdim=True)
    return owner, (align / (align.amax(-1, keepdim=True) + 1e-9) * peak).amax(1)


def loss(output: Tensor, target: Tensor, cell: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    """Box and class loss of training-mode output [B,N,14] against target [B,M,5]."""
    corners, logits = _corners(output), output[..., 4:]
    owner, quality = assign(corners.detach(), logits.detach().sigmoid(), target, cell, stride)
    taken = owner >= 0
    mine = target.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, 5))
    goal = F.one_hot(mine[..., 4].clamp(min=0).long(), CLASSES) * (quality * taken)[..., None]
    total = goal.sum().clamp(min=1)
    box = ((1 - ciou(corners[taken], mine[taken][:, :4])[1]) * quality[taken]).sum() / total
    score = F.binary_cross_entropy_with_logits(logits, goal, reduction="sum") / total
    return box, score


def validate(model: Detector, samples: list) -> float:
    model.eval()
    with torch.inference_mode():
        return evaluate.mean_ap(lambda x: model(torch.from_numpy(x)).numpy(), samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/digits.pt"))
    parser.add_argument("--cache", type=Path, default=Path("build/digits-scenes"))
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--stop", type=int, help="end after this many epochs of the schedule")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--bf16", action="store_true", help="convolutions in bfloat16 (processors with AVX512-BF16 or AMX)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = torch.Generator().manual_seed(arguments.seed)
    images, targets = dataset(arguments.cache, arguments.scenes, arguments.threads)
    held_out = scenes.read(Path(__file__).parent / "scenes")

    model = Detector().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(images)} scenes", flush=True)
    cell, stride = model.corner + model.stride / 2, model.stride
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0}], arguments.rate
    )
    per_epoch = len(images) // arguments.batch
    steps = per_epoch * arguments.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, arguments.rate, steps, pct_start=0.08, div_factor=20, final_div_factor=50
    )

    start, step = time.time(), 0
    for epoch in range(min(arguments.epochs, arguments.stop or arguments.epochs)):
        model.train()
        sums = torch.zeros(2)
        order = torch.randperm(len(images), generator=rng).numpy()
        for i in range(per_epoch):
            pick = np.sort(order[i * arguments.batch : (i + 1) * arguments.batch])
            x = augment(torch.from_numpy(images[pick]), rng)
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
                output = model(x)
            box, score = loss(output, torch.from_numpy(targets[pick]), cell, stride)
            optimizer.zero_grad(set_to_none=True)
            (5 * box + score).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
            optimizer.step()
            schedule.step()
            step += 1
            keep = min(0.998, step / (step + 20))
            with torch.no_grad():
                for ours, theirs in zip(average.state_dict().values(), model.state_dict().values()):
                    if ours.dtype.is_floating_point:
                        ours.lerp_(theirs, 1 - keep)
                    else:
                        ours.copy_(theirs)
            sums += torch.stack((box.detach(), score.detach()))
            if i % 50 == 49:
                means, pace = sums / (i + 1), (time.time() - start) / step * 1e3
                print(
                    f"  {epoch}:{i + 1}/{per_epoch} box {means[0]:.3f} score {means[1]:.3f} {pace:.0f} ms/step",
                    flush=True,
                )
        quality = validate(average, held_out)
        means, past = sums / per_epoch, time.time() - start
        print(
            f"epoch {epoch}: box {means[0]:.3f} score {means[1]:.3f} mAP@0.5 {quality:.4f} at {past:.0f} s", flush=True
        )
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(average.state_dict(), arguments.out)


if __name__ == "__main__":
    main()
