# SPDX-License-Identifier: Apache-2.0
"""The digit detector: a small anchor-free network whose output is decoded boxes and scores.

    image [B,3,256,256] ─ /2 ─ /4 C2f ─ /8 C2f ─┬──────────────── concat ─ C2f ─ head /8  (32² cells) ─┐
                                                └ /16 C2f ─ SPPF ─┬ upsample ┘                           ├─ detections [B,1280,14]
                                                                  └─────────────── head /16 (16² cells) ─┘

Blocks follow the published descriptions of C2f and SPPF (YOLOv8, YOLOv5) and depthwise-separable heads (MobileNet).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGE = 256
CLASSES = 10
STRIDES = (8, 16)


class Conv(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(),
        )


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels, 3), Conv(channels, channels, 3))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class C2f(nn.Module):
    """1x1 convolution, split in two, a chain of bottlenecks on the second half, all pieces joined by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.split = Conv(inputs, outputs)
        self.chain = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(depth))
        self.join = Conv(half * (2 + depth), outputs)

    def forward(self, x: Tensor) -> Tensor:
        pieces = list(self.split(x).chunk(2, 1))
        for bottleneck in self.chain:
            pieces.append(bottleneck(pieces[-1]))
        return self.join(torch.cat(pieces, 1))


class Sppf(nn.Module):
    """Three 5x5 max-pools in a row, all stages joined: context of 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.shrink = Conv(channels, half)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = Conv(half * 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        stages = [self.shrink(x)]
        for _ in range(3):
            stages.append(self.pool(stages[-1]))
        return self.join(torch.cat(stages, 1))


class Head(nn.Module):
    """Per cell: 4 box numbers and 10 class logits, [B, 14, H, W]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()

        def branch(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                Conv(channels, channels, 3, groups=channels), Conv(channels, width),
                Conv(width, width, 3, groups=width), Conv(width, width),
                nn.Conv2d(width, outputs, 1),
            )  # fmt: skip

        self.box, self.score = branch(4), branch(CLASSES)
        nn.init.constant_(self.score[-1].bias, -4.6)  # sigmoid ≈ 0.01: almost every cell is empty

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.box(x), self.score(x)), 1)


class Detector(nn.Module):
    """image float32 [B,3,256,256] in 0..1 → detections [B,1280,14]: cx, cy, w, h in pixels and 10 class scores in 0..1.

    While training the class columns are logits, which the loss needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to4 = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), C2f(32, 32))
        self.to8 = nn.Sequential(Conv(32, 64, 3, 2), C2f(64, 64, 2))
        self.to16 = nn.Sequential(Conv(64, 96, 3, 2), C2f(96, 96), Sppf(96))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.neck = C2f(96 + 64, 64, shortcut=False)
        self.heads = nn.ModuleList((Head(64, 48), Head(96, 48)))
        corners, strides = [], []
        for stride in STRIDES:
            cells = torch.arange(IMAGE // stride, dtype=torch.float32)
            y, x = torch.meshgrid(cells, cells, indexing="ij")
            corners.append(torch.stack((x, y), -1).reshape(-1, 2) * stride)
            strides.append(torch.full((corners[-1].shape[0], 1), float(stride)))
        self.register_buffer("corner", torch.cat(corners), persistent=False)
        self.register_buffer("stride", torch.cat(strides), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.to8(self.to4(image))
        coarse = self.to16(fine)
        levels = (self.neck(torch.cat((self.up(coarse), fine), 1)), coarse)
        cells = torch.cat([head(x).flatten(2) for head, x in zip(self.heads, levels)], 2).transpose(1, 2)
        offset, extent, score = cells.float().split((2, 2, CLASSES), 2)
        # The centre lies within 1.5 cells of the cell's own centre; a side is at most 16 cells of its level.
        centre = self.corner + (3 * offset.sigmoid() - 1) * self.stride
        side = (4 * extent.sigmoid()).square() * self.stride
        return torch.cat((centre, side, score if self.training else score.sigmoid()), 2)
