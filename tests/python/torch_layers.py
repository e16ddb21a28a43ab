# SPDX-License-Identifier: Apache-2.0
"""Cases of the layers of networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_inputs import V, X, aten, bools, distinct, family, ints, r, unit

torch.manual_seed(0)

MULTIHEAD = nn.MultiheadAttention(8, 2, batch_first=True).eval()

ENCODER = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()

family(
    "linear",
    linear=(lambda x, w, b: [F.linear(x, w, b), F.linear(x, w), F.linear(x[0], w, b)], (X, r(4, 5), r(4))),
    bilinear=(lambda x, y, w: F.bilinear(x, y, w), (r(3, 4), r(3, 2), r(5, 4, 2))),
    matmul=(
        lambda x, y: [x @ y, x @ y[:, 0], y[:, 1] @ y, torch.dot(y[0], y[1]), torch.mm(x, y), torch.mv(x, y[:, 0])],
        (X, r(5, 5)),
    ),
    matmul_batched=(
        lambda x, y: [x @ y, torch.bmm(x, y), x @ y[0], x[0] @ y, torch.linalg.matmul(x, y)],
        (r(2, 3, 4), r(2, 4, 5)),
    ),
    matmul_broadcast=(lambda x, y: x @ y, (r(2, 1, 3, 4), r(3, 4, 2))),
    matmul_of_integers=(lambda x, y: x @ y, (ints(-5, 5, 3, 4), ints(-5, 5, 4, 2))),
    addmm=(
        lambda c, x, y: [torch.addmm(c, x, y), torch.addmm(c, x, y, beta=0.5, alpha=2), torch.addmv(c, x, y[:, 0])],
        (r(3), r(3, 4), r(4, 3)),
    ),
    baddbmm=(
        lambda c, x, y: [torch.baddbmm(c, x, y), torch.baddbmm(c, x, y, beta=0, alpha=0.3)],
        (r(2, 3, 5), r(2, 3, 4), r(2, 4, 5)),
    ),
    einsum=(
        lambda x, y: [
            torch.einsum("bij,bjk->bik", x, y),
            torch.einsum("bij,bjk->ki", x, y),
            torch.einsum("bij->bj", x),
            torch.einsum("...ij,...jk", x, y),
            torch.einsum("bij,bjk,bi->bk", x, y, x[..., 0]),
        ],
        (r(2, 3, 4), r(2, 4, 5)),
    ),
    einsum_diagonal=(lambda x: [torch.einsum("ii->i", x), torch.einsum("ii", x)], (r(4, 4),)),
    addbmm=(lambda c, x, y: torch.addbmm(c, x, y), (r(3, 5), r(2, 3, 4), r(2, 4, 5))),
    inner=(lambda x, y: [torch.inner(x, x), torch.inner(x, y)], (r(2, 3, 4), r(4))),
    tensordot=(lambda x, y: torch.tensordot(x, y, 1), (r(2, 3, 4), r(4, 2))),
    kron=(lambda x, y: torch.kron(x, y), (r(2, 3), r(4, 2))),
    matrix_power=(lambda x: torch.linalg.matrix_power(x, 3), (r(3, 3),)),
    attention=(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        (r(2, 3, 5, 4), r(2, 3, 6, 4), r(2, 3, 6, 4).flip(2)),
    ),
    attention_causal=(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.4),
        (r(2, 5, 4), r(2, 5, 4).flip(0), r(2, 5, 4).flip(1)),
    ),
    attention_mask=(
        lambda q, m, f: [F.scaled_dot_product_attention(q, q, q, m), F.scaled_dot_product_attention(q, q, q, f)],
        (r(2, 3, 5, 4), bools(5, 5) | torch.eye(5).bool(), r(2, 1, 5, 5)),
    ),
    attention_groups=(
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        (r(1, 4, 3, 8), r(1, 2, 5, 8)),
    ),
    attention_five=(lambda q: F.scaled_dot_product_attention(q, q, q), (r(2, 2, 3, 5, 4),)),
    multihead=(lambda x: MULTIHEAD(x, x, x, need_weights=False)[0], (r(2, 5, 8),)),
    multihead_weights=(lambda x: [*MULTIHEAD(x, x, x)], (r(2, 5, 8),)),
    transformer=(lambda x: ENCODER(x), (r(2, 5, 8),)),
)

family(
    "convolutions",
    conv1d=(
        lambda x, w, b: [F.conv1d(x, w, b), F.conv1d(x, w, stride=2, padding=1), F.conv1d(x[0], w, b, dilation=2)],
        (r(2, 4, 9), r(6, 4, 3), r(6)),
    ),
    conv1d_groups=(lambda x, w: F.conv1d(x, w, groups=2, padding="same"), (r(2, 4, 9), r(6, 2, 3))),
    conv2d=(
        lambda x, w, b: [F.conv2d(x, w, b), F.conv2d(x, w, b, 2, 1), F.conv2d(x, w, padding=(2, 1), dilation=(2, 1))],
        (r(2, 3, 7, 8), r(5, 3, 3, 3), r(5)),
    ),
    conv2d_same=(
        lambda x, w: [F.conv2d(x, w, padding="same"), F.conv2d(x, w, padding="valid")],
        (r(1, 3, 7, 8), r(5, 3, 2, 4)),
    ),
    conv2d_depthwise=(lambda x, w: F.conv2d(x, w, groups=4, padding=1), (r(1, 4, 7, 8), r(8, 1, 3, 3))),
    conv3d=(
        lambda x, w, b: [F.conv3d(x, w, b), F.conv3d(x, w, b, stride=2, padding=1)],
        (r(2, 3, 5, 6, 7), r(4, 3, 3, 3, 3), r(4)),
    ),
    conv3d_groups=(
        lambda x, w: F.conv3d(x, w, padding=(0, 1, 1), groups=2, dilation=(1, 2, 1)),
        (r(1, 4, 5, 6, 7), r(6, 2, 2, 3, 3)),
    ),
    conv3d_depthwise=(lambda x, w: F.conv3d(x, w, padding=1, groups=4), (r(1, 4, 3, 4, 5), r(4, 1, 3, 3, 3))),
    transposed1d=(
        lambda x, w: [F.conv_transpose1d(x, w), F.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1)],
        (r(2, 4, 6), r(4, 3, 3)),
    ),
    transposed2d=(
        lambda x, w, b: [
            F.conv_transpose2d(x, w, b),
            F.conv_transpose2d(x, w, b, 2, 1, 1),
            F.conv_transpose2d(x, w, dilation=2),
        ],
        (r(1, 4, 5, 6), r(4, 3, 3, 3), r(3)),
    ),
    transposed2d_groups=(lambda x, w: F.conv_transpose2d(x, w, groups=2, stride=2), (r(1, 4, 3, 4), r(4, 3, 2, 2))),
    transposed3d=(lambda x, w: F.conv_transpose3d(x, w, stride=2), (r(1, 2, 3, 3, 3), r(2, 3, 2, 2, 2))),
    convolution=(
        lambda x, w: [
            aten.convolution(x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
            aten._convolution(x, w, None, [2, 2], [0, 0], [1, 1], False, [0, 0], 1, False, False, True, True),
        ],
        (r(1, 3, 6, 6), r(5, 3, 3, 3)),
    ),
    weight_from_input=(lambda x, w: F.conv2d(x, w * 2, padding=1), (r(1, 3, 6, 6), r(5, 3, 3, 3))),
)

P = distinct(1, 3, 9, 10)

family(
    "pools",
    max1d=(
        lambda x: [F.max_pool1d(x, 3), F.max_pool1d(x, 2, 1, 1), F.max_pool1d(x, 2, dilation=2, ceil_mode=True)],
        (distinct(2, 3, 9),),
    ),
    max2d=(
        lambda x: [
            F.max_pool2d(x, 2),
            F.max_pool2d(x, 3, 2, 1),
            F.max_pool2d(x, (2, 3), ceil_mode=True),
            F.max_pool2d(x[0], 2),
        ],
        (P,),
    ),
    max2d_positions=(
        lambda x: [*F.max_pool2d(x, 2, return_indices=True), *F.max_pool2d(x, 3, 2, 1, return_indices=True)],
        (P,),
    ),
    max3d=(
        lambda x: [F.max_pool3d(x, 2), F.max_pool3d(x, 3, 2, 1), F.max_pool3d(x, (1, 2, 2))],
        (distinct(1, 2, 5, 6, 7),),
    ),
    avg1d=(
        lambda x: [F.avg_pool1d(x, 3), F.avg_pool1d(x, 2, 2, 1, ceil_mode=True, count_include_pad=False)],
        (r(2, 3, 9),),
    ),
    avg2d=(
        lambda x: [
            F.avg_pool2d(x, 2),
            F.avg_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, 1, True),
            F.avg_pool2d(x, 2, divisor_override=3),
        ],
        (P,),
    ),
    avg3d=(
        lambda x: [F.avg_pool3d(x, 2), F.avg_pool3d(x, 3, 2, 1), F.avg_pool3d(x, 3, 2, 1, count_include_pad=False)],
        (r(1, 2, 5, 6, 7),),
    ),
    adaptive_avg1d=(
        lambda x: [F.adaptive_avg_pool1d(x, 3), F.adaptive_avg_pool1d(x, 4), F.adaptive_avg_pool1d(x, 1)],
        (r(2, 3, 9),),
    ),
    adaptive_avg2d=(lambda x: [F.adaptive_avg_pool2d(x, s) for s in (1, 3, (2, 5), (4, 7), (None, 2), 12)], (P,)),
    adaptive_avg2d_plain=(lambda x: aten._adaptive_avg_pool2d(x, (3, 3)), (P,)),
    adaptive_avg3d=(
        lambda x: [
            F.adaptive_avg_pool3d(x, 1),
            F.adaptive_avg_pool3d(x, (2, 3, 4)),
            aten._adaptive_avg_pool3d(x, (1, 2, 2)),
        ],
        (r(1, 2, 4, 6, 7),),
    ),
    adaptive_max1d=(lambda x: [F.adaptive_max_pool1d(x, 3), F.adaptive_max_pool1d(x, 4)], (distinct(2, 3, 9),)),
    adaptive_max2d=(lambda x: [F.adaptive_max_pool2d(x, s) for s in (1, 3, (2, 5), (4, 7))], (P,)),
    adaptive_max3d=(
        lambda x: [F.adaptive_max_pool3d(x, 1), F.adaptive_max_pool3d(x, (2, 3, 4))],
        (distinct(1, 2, 4, 6, 7),),
    ),
    adaptive_positions=(lambda x: [*F.adaptive_max_pool2d(x, 3, return_indices=True)], (P,)),
    lp=(lambda x: [F.lp_pool2d(x, 2.0, 2), F.lp_pool1d(x[0], 3.0, 2)], (P.abs() / 50 + 0.1,)),
    unpool=(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(9, 10)), (P,)),
)

family(
    "norms",
    batch_norm=(
        lambda x, m, v, w, b: [F.batch_norm(x, m, v, w, b), F.batch_norm(x, m, v)],
        (r(2, 3, 4, 5), r(3), unit(3), r(3), r(3).flip(0)),
    ),
    batch_norm_1d=(lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, eps=0.01), (X, r(5), unit(5), r(5), r(5))),
    batch_norm_3d=(lambda x, m, v: F.batch_norm(x, m, v), (r(2, 3, 2, 4, 5), r(3), unit(3))),
    batch_norm_of_batch=(lambda x, w: F.batch_norm(x, None, None, w, training=True), (r(2, 3, 4, 5), r(3))),
    native_batch_norm=(
        lambda x, m, v: [
            aten._native_batch_norm_legit_no_training(x, None, None, m, v, 0.1, 1e-5)[0],
            aten.native_batch_norm(x, None, None, m, v, False, 0.1, 1e-5)[0],
        ],
        (r(2, 3, 4, 5), r(3), unit(3)),
    ),
    layer_norm=(
        lambda x, w, b: [F.layer_norm(x, (4,), w, b), F.layer_norm(x, (3, 4)), F.layer_norm(x, (4,), w)],
        (V, r(4), r(4).flip(0)),
    ),
    native_layer_norm=(lambda x, w: aten.native_layer_norm(x, (4,), w, None, 1e-5)[0], (V, r(4))),
    native_layer_norm_statistics=(lambda x, w: [*aten.native_layer_norm(x, (4,), w, None, 1e-5)], (V, r(4))),
    group_norm=(
        lambda x, w, b: [F.group_norm(x, 2, w, b), F.group_norm(x, 4), F.group_norm(x, 1, w)],
        (r(2, 4, 3, 5), r(4), r(4).flip(0)),
    ),
    native_group_norm=(lambda x, w: aten.native_group_norm(x, w, None, 2, 4, 15, 2, 1e-5)[0], (r(2, 4, 3, 5), r(4))),
    instance_norm=(
        lambda x, w, b: [F.instance_norm(x), F.instance_norm(x, weight=w, bias=b)],
        (r(2, 3, 4, 5), r(3), r(3).flip(0)),
    ),
    rms_norm=(lambda x, w: [F.rms_norm(x, (4,), w), F.rms_norm(x, (3, 4)), F.rms_norm(x, (4,), w, 0.01)], (V, r(4))),
    local_response=(lambda x: F.local_response_norm(x, 3), (r(2, 5, 3, 4),)),
    weight_norm=(lambda x, v, g: F.linear(x, torch._weight_norm(v, g, 0)), (X, r(4, 5), r(4, 1))),
)

R = r(1, 2, 4, 5)

family(
    "resizing",
    nearest=(
        lambda x: [
            F.interpolate(x, scale_factor=2),
            F.interpolate(x, (7, 3)),
            F.interpolate(x, scale_factor=(1.5, 0.5)),
        ],
        (R,),
    ),
    nearest_exact=(
        lambda x: [
            F.interpolate(x, scale_factor=2, mode="nearest-exact"),
            F.interpolate(x, (7, 3), mode="nearest-exact"),
        ],
        (R,),
    ),
    nearest_1d=(
        lambda x: [F.interpolate(x, 9), F.interpolate(x, scale_factor=2.5), F.interpolate(x, 9, mode="nearest-exact")],
        (r(2, 3, 5),),
    ),
    linear_1d=(
        lambda x: [F.interpolate(x, 9, mode="linear"), F.interpolate(x, 9, mode="linear", align_corners=True)],
        (r(2, 3, 5),),
    ),
    bilinear=(
        lambda x: [
            F.interpolate(x, s, mode="bilinear", align_corners=a)
            for s in ((8, 10), (7, 3), (2, 2), (1, 1))
            for a in (False, True)
        ],
        (R,),
    ),
    bilinear_scale=(
        lambda x: [
            F.interpolate(x, scale_factor=1.7, mode="bilinear"),
            F.interpolate(x, scale_factor=0.6, mode="bilinear", recompute_scale_factor=True),
        ],
        (R,),
    ),
    bicubic=(
        lambda x: [
            F.interpolate(x, s, mode="bicubic", align_corners=a) for s in ((8, 10), (7, 3)) for a in (False, True)
        ],
        (R,),
    ),
    antialias=(
        lambda x: [
            F.interpolate(x, s, mode=m, antialias=True) for s in ((8, 10), (2, 3)) for m in ("bilinear", "bicubic")
        ],
        (r(1, 2, 6, 7),),
    ),
    nearest_3d=(
        lambda x: [
            F.interpolate(x, scale_factor=2),
            F.interpolate(x, (3, 5, 2)),
            F.interpolate(x, (3, 5, 2), mode="nearest-exact"),
        ],
        (r(1, 2, 2, 3, 4),),
    ),
    trilinear=(
        lambda x: [F.interpolate(x, (3, 5, 2), mode="trilinear", align_corners=a) for a in (False, True)],
        (r(1, 2, 2, 3, 4),),
    ),
    grid_sample=(
        lambda x, g: [
            F.grid_sample(x, g, mode=m, padding_mode=p, align_corners=a)
            for m in ("bilinear", "nearest", "bicubic")
            for p in ("zeros", "border", "reflection")
            for a in (False, True)
            if (m, p) != ("bicubic", "border")
        ],
        (r(2, 3, 5, 6), r(2, 4, 3, 2) * 0.7),
    ),
    grid_sample_bicubic_border=(
        lambda x, g: F.grid_sample(x, g, mode="bicubic", padding_mode="border", align_corners=True),
        (r(2, 3, 5, 6), r(2, 4, 3, 2) * 0.7),
    ),
    affine_grid=(lambda t: F.affine_grid(t, (2, 3, 4, 5), align_corners=False), (r(2, 2, 3),)),
    grid_sample_3d=(lambda x, g: F.grid_sample(x, g, align_corners=False), (r(1, 2, 3, 4, 5), r(1, 2, 2, 2, 3) * 0.5)),
)
