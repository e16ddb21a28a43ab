# SPDX-License-Identifier: Apache-2.0
"""Cases of recurrent layers, control flow and torchvision."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch_inputs import FAMILIES, Case, X, _random, distinct, family, ints, r, unit


def cell(kind: type[nn.Module], *sizes: int, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return kind(*sizes, **options).eval()


LSTM = cell(nn.LSTM, 4, 6)

DEEP = cell(nn.LSTM, 4, 6, 2, batch_first=True, bidirectional=True)

PROJECTED = cell(nn.LSTM, 4, 6, proj_size=3)

GRU = cell(nn.GRU, 4, 6, 2, bidirectional=True)

RNN = cell(nn.RNN, 4, 6, nonlinearity="relu", bias=False)

TANH = cell(nn.RNN, 4, 6, batch_first=True)

LSTM_CELL, GRU_CELL, RNN_CELL = cell(nn.LSTMCell, 4, 6), cell(nn.GRUCell, 4, 6), cell(nn.RNNCell, 4, 6)


def flat(outputs: Any) -> list[torch.Tensor]:
    return torch.utils._pytree.tree_leaves(outputs)


family(
    "recurrent",
    lstm=(lambda x: flat(LSTM(x)), (r(5, 2, 4),)),
    lstm_state=(lambda x, h: flat(LSTM(x, (h, h.flip(1)))), (r(5, 2, 4), r(1, 2, 6))),
    lstm_deep=(lambda x: flat(DEEP(x)), (r(2, 5, 4),)),
    lstm_unbatched=(lambda x: flat(LSTM(x)), (r(5, 4),)),
    lstm_projected=(lambda x: flat(PROJECTED(x)), (r(5, 2, 4),)),
    gru=(lambda x: flat(GRU(x)), (r(5, 2, 4),)),
    rnn=(lambda x: flat(RNN(x)), (r(5, 2, 4),)),
    rnn_tanh=(lambda x, h: flat(TANH(x, h)), (r(2, 5, 4), r(1, 2, 6))),
    cells=(lambda x, h: [*LSTM_CELL(x, (h, h)), GRU_CELL(x, h), RNN_CELL(x, h)], (r(2, 4), r(2, 6))),
)


@functools.cache
def boxes(n: int) -> torch.Tensor:
    corner = torch.rand(n, 2, generator=_random("boxes", n)) * 10
    return torch.cat([corner, corner + 1 + torch.rand(n, 2, generator=_random("sizes", n)) * 5], 1)


from torch._higher_order_ops.scan import scan as SCAN  # noqa: E402, N812

FAMILIES["control"] = {
    "cond": (lambda x: torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x.sin() * 2, (x,)), (X,)),
    "cond_other": (
        lambda x: torch.cond(x.sum() > 1e6, lambda x: [x + 1, x * 3], lambda x: [x.sin() * 2, x - 1], (x,)),
        (X,),
    ),
    "while": (
        lambda x: torch.while_loop(lambda i, x: i < 4, lambda i, x: (i + 1, x * 1.5 + i), (torch.tensor(0), x)),
        (X,),
    ),
    "while_data": (
        lambda x: torch.while_loop(lambda i, x: x.sum() < 50, lambda i, x: (i + 1, x + 1), (torch.tensor(0), x)),
        (X,),
    ),
    "map": (lambda x: torch._higher_order_ops.map(lambda row, y: row * y + 1, x, X[0]), (X,)),
    "scan": (
        lambda x: [*SCAN(lambda c, row: (c + row, c * row), torch.zeros(5), x)],
        (X,),
    ),
}


def torchvision_cases() -> dict[str, Case]:
    """Where torchvision is installed."""
    try:
        from torchvision import ops
    except ImportError:
        return {}
    rois = torch.cat([ints(0, 2, 6, 1).float(), boxes(6)], 1)
    image = r(2, 4, 12, 14)
    return {
        "nms": (lambda b, s: ops.nms(b, s, 0.3), (boxes(20), distinct(20))),
        "batched_nms": (
            lambda b, s, i: ops.nms(b + i[:, None] * 100, s, 0.3),
            (boxes(20), distinct(20), ints(0, 3, 20)),
        ),
        "roi_align": (lambda x, b: ops.roi_align(x, b, 3, 1.0, 2), (image, rois)),
        "roi_align_adaptive": (lambda x, b: ops.roi_align(x, b, (2, 3), 0.7, -1), (image, rois)),
        "roi_align_aligned": (lambda x, b: ops.roi_align(x, b, 3, 0.5, 2, aligned=True), (image, rois)),
        "roi_pool": (lambda x, b: ops.roi_pool(x, b, 3, 1.0), (image, rois)),
        "box_iou": (lambda a, b: ops.box_iou(a, b), (boxes(5), boxes(4))),
        "deform_conv2d": (
            lambda x, o, w, b, m: [
                ops.deform_conv2d(x, o, w, b, padding=1),
                ops.deform_conv2d(x, o, w, b, padding=1, mask=m),
            ],
            (r(1, 4, 6, 7), r(1, 18, 6, 7), r(5, 4, 3, 3), r(5), unit(1, 9, 6, 7)),
        ),
        "deform_conv2d_groups": (
            lambda x, o, w: ops.deform_conv2d(x, o, w, stride=2, dilation=(2, 1)),
            (r(2, 4, 9, 9), r(2, 36, 3, 4), r(6, 2, 3, 3)),
        ),
    }


FAMILIES["torchvision"] = torchvision_cases()
