# SPDX-License-Identifier: Apache-2.0
"""Cases of operators that rearrange, join, cut or make tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_inputs import V, X, aten, family, ints, r

family(
    "views",
    view=(
        lambda x: [x.view(6, 4), x.view(-1), x.reshape(2, -1), x.view_as(x.reshape(4, 6)), x.reshape_as(x.view(24))],
        (V,),
    ),
    flatten=(
        lambda x: [torch.flatten(x), x.flatten(1), x.flatten(0, 1), x.unflatten(2, (2, 2)), x.unflatten(1, (3, -1))],
        (V,),
    ),
    squeeze=(
        lambda x: [x.squeeze(), x.squeeze(0), x.squeeze(1), x.squeeze((0, 2)), x.unsqueeze(-1), x.unsqueeze(1)],
        (r(1, 3, 1),),
    ),
    permute=(
        lambda x: [x.permute(2, 0, 1), x.transpose(0, 2), x.mT, x.swapaxes(0, 1), x.swapdims(1, 2), x.movedim(0, 2)],
        (V,),
    ),
    movedim=(lambda x: [x.movedim((0, 1), (2, 0)), torch.moveaxis(x, 2, 0)], (V,)),
    t=(lambda x: [x.t(), x.T, aten.numpy_T(x), aten.t(x[0])], (X,)),
    expand=(lambda x: [x.expand(4, 3, 5), x.expand(2, -1, -1), x[:, :1].expand_as(x), x.broadcast_to(2, 3, 5)], (X,)),
    repeat=(lambda x: [x.repeat(2, 3), x.repeat(2, 1, 1), torch.tile(x, (2,)), torch.tile(x, (2, 1, 2))], (X,)),
    repeat_interleave=(
        lambda x: [x.repeat_interleave(2, 1), torch.repeat_interleave(x, 3, 0), x.repeat_interleave(2)],
        (X,),
    ),
    flip=(lambda x: [x.flip(0), x.flip(0, 2), torch.fliplr(x), torch.flipud(x), torch.rot90(x, 1, (1, 2))], (V,)),
    roll=(lambda x: [torch.roll(x, 1, 0), torch.roll(x, (1, -2), (0, 2)), torch.roll(x, 5)], (V,)),
    pixel_shuffle=(lambda x: F.pixel_shuffle(x, 2), (r(1, 8, 2, 3),)),
    pixel_unshuffle=(lambda x: F.pixel_unshuffle(x, 2), (r(1, 2, 4, 6),)),
    channel_shuffle=(lambda x: [F.channel_shuffle(x, 3), aten.native_channel_shuffle(x, 2)], (r(1, 6, 2, 2),)),
    diagonal=(lambda x: [x.diagonal(0, 0, 1), torch.diagonal(x, 1, 1, 2), torch.diagonal(x, -1, 0, 2)], (V,)),
    diag=(lambda x: [torch.diag(x[0]), torch.diag(x), torch.diag_embed(x), torch.trace(x[:3, :3])], (X,)),
    as_strided=(lambda x: torch.as_strided(x, (2, 3), (1, 4), 2), (r(16),)),
    alias=(
        lambda x: [aten.alias(x), aten.detach(x), aten.lift_fresh(x), x.conj(), x.resolve_conj(), x.resolve_neg()],
        (X,),
    ),
    copies=(
        lambda x: [
            aten.alias_copy(x),
            aten.detach_copy(x),
            aten.expand_copy(x, (2, 3, 5)),
            aten.permute_copy(x, (1, 0)),
            aten.view_copy(x, (15,)),
            aten.transpose_copy(x, 0, 1),
            aten.t_copy(x),
            aten.unsqueeze_copy(x, 0),
            aten.squeeze_copy(x),
            aten.select_copy(x, 0, 1),
            aten.slice_copy(x, 1, 1, 3),
            aten.diagonal_copy(x),
            aten.lift_fresh_copy(x),
            aten.narrow_copy(x, 1, 2, 2),
            *aten.split_copy(x, 2),
            *aten.unbind_copy(x),
            *aten.split_with_sizes_copy(x, [1, 4], 1),
            aten.unfold_copy(x, 1, 2, 1),
            aten._reshape_copy(x, (5, 3)),
        ],
        (X,),
    ),
    unsafe=(lambda x: [aten._unsafe_view(x, (5, 3)), *aten.unsafe_split(x, 2), *aten.unsafe_chunk(x, 2)], (X,)),
    ravel=(lambda x: [x.ravel(), torch.atleast_3d(x), x.view(3, 5, 1)], (X,)),
    view_dtype=(lambda x: [x.view(torch.int32), x.view(torch.int32).view(torch.float32)], (X,)),
)

family(
    "slices",
    cat=(
        lambda x, y: [torch.cat([x, y]), torch.cat([x, x], 1), torch.concat([x, y], -2), torch.concatenate([x, y])],
        (X, r(2, 5)),
    ),
    cat_types=(lambda x, i: torch.cat([x, i]), (r(3), ints(0, 4, 2))),
    cat_legacy_empty=(lambda x: torch.cat([x, torch.zeros(0), x]), (X,)),
    stack=(
        lambda x: [torch.stack([x, x * 2]), torch.stack([x, -x], -1), torch.vstack([x, x]), torch.hstack([x, x])],
        (X,),
    ),
    slice=(lambda x: [x[1:], x[:, 1:4:2], x[-2:], x[..., -3:-1], x[:, ::3], x[5:], x[1:2, None]], (X,)),
    select=(lambda x: [x[0], x[:, -1], x.select(1, 2), x[1, 3]], (X,)),
    narrow=(lambda x: [x.narrow(1, 1, 3), x.narrow(0, -2, 2)], (X,)),
    split=(
        lambda x: [
            *x.split(2, 1),
            *x.split([1, 4], 1),
            *torch.split_with_sizes(x, [2, 1]),
            *x.chunk(2, 1),
            *x.unbind(0),
        ],
        (X,),
    ),
    tensor_split=(
        lambda x: [*torch.tensor_split(x, 3, 1), *torch.tensor_split(x, (1, 3), 1), *torch.hsplit(x, [2])],
        (X,),
    ),
    scatter_of_slices=(
        lambda x, y: [
            torch.slice_scatter(x, y, 1, 1, 3),
            torch.select_scatter(x, y[:, 0], 1, 2),
            torch.slice_scatter(x, y, 1, 0, 4, 2),
        ],
        (X, r(3, 2)),
    ),
    diagonal_scatter=(lambda x, y: torch.diagonal_scatter(x, y), (r(4, 4), r(4))),
    pad=(
        lambda x: [F.pad(x, (1, 2)), F.pad(x, (1, 2, 0, 1), value=1.5), F.pad(x, (-1, 1)), F.pad(x, (0, 0, 2, 0))],
        (X,),
    ),
    pad_modes=(
        lambda x: (
            [F.pad(x, (1, 2), mode=m) for m in ("reflect", "replicate", "circular")] + [aten._pad_circular(x, (1, 1))]
        ),
        (r(2, 3, 5),),
    ),
    pad_2d=(lambda x: [F.pad(x, (1, 2, 2, 1), mode=m) for m in ("reflect", "replicate", "circular")], (r(1, 2, 4, 5),)),
    pad_modules=(
        lambda x, y: [
            nn.ReflectionPad1d(2)(x),
            nn.ReplicationPad1d(1)(x),
            nn.ReflectionPad2d(1)(y),
            nn.ReplicationPad2d(2)(y),
        ],
        (r(2, 3, 5), r(1, 2, 4, 5)),
    ),
    pad_3d=(lambda x: [F.pad(x, (1, 1, 1, 0, 0, 1), mode=m) for m in ("reflect", "replicate")], (r(1, 2, 3, 3, 3),)),
    unfold=(lambda x: [x.unfold(1, 3, 2), x.unfold(0, 2, 1)], (r(4, 7),)),
    im2col=(lambda x: [F.unfold(x, 2), F.unfold(x, (2, 3), padding=1, stride=2, dilation=(1, 1))], (r(2, 3, 4, 5),)),
    col2im=(lambda x: F.fold(x, (4, 5), 2), (r(2, 12, 12),)),
    pixel_windows=(lambda x: F.unfold(x, 3, dilation=2), (r(1, 2, 6, 7),)),
)

family(
    "creation",
    zeros=(
        lambda x: [
            x + torch.zeros(3, 5),
            x * torch.ones(5),
            torch.full((2, 3), 1.5) + x[0, 0],
            torch.zeros_like(x) + 1,
            torch.ones_like(x),
            torch.full_like(x, 2.5),
        ],
        (X,),
    ),
    new=(
        lambda x: [
            x.new_zeros(2, 3),
            x.new_ones(2),
            x.new_full((2,), 3.5),
            x.new_empty(2).fill_(1),
            aten.new_empty_strided(x, (2,), (1,)).zero_(),
        ],
        (X,),
    ),
    empty=(
        lambda x: [
            torch.empty(3).fill_(2),
            torch.empty_like(x).zero_(),
            aten.empty_permuted((2, 3), (1, 0)).fill_(1),
            torch.empty_strided((2,), (1,)).fill_(3),
        ],
        (X,),
    ),
    arange=(
        lambda x: [
            torch.arange(5) + x,
            torch.arange(1, 6),
            torch.arange(0, 1, 0.2),
            torch.arange(5, 0, -1),
            torch.arange(3, dtype=torch.float32),
        ],
        (X,),
    ),
    linspace=(lambda x: [torch.linspace(-1, 1, 5) + x, torch.linspace(0, 1, 1), torch.logspace(0, 2, 3)], (X,)),
    eye=(lambda x: [torch.eye(5) + x[0], torch.eye(2, 3)], (X,)),
    types=(
        lambda x: [
            torch.zeros(2, dtype=torch.int64),
            torch.full((2,), True),
            torch.full((2,), 3),
            torch.ones(2, dtype=torch.bool),
        ],
        (X,),
    ),
    of_shape=(lambda x: [x.new_zeros(x.shape[0]), torch.arange(x.shape[1]), x / x.shape[1], x.numel() + x], (X,)),
    copies=(
        lambda x: [
            torch.zeros(3, 5).copy_(x),
            torch.zeros(3, 5).copy_(x[0]),
            x.clone().fill_(2),
            torch.clone(x).zero_(),
        ],
        (X,),
    ),
    windows=(
        lambda x: x * torch.hann_window(5) + torch.hamming_window(5, periodic=False) + torch.blackman_window(5),
        (X,),
    ),
)
