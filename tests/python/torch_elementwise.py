# SPDX-License-Identifier: Apache-2.0
"""Cases of operators that work element by element, and of casts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch_inputs import X, Y, aten, bools, family, ints, r, unit


def i8(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.int8)


family(
    "unary",
    **{
        name: (getattr(torch, name), (X,))
        for name in (
            "abs absolute arctan asinh atan cos cosh erf erfc exp exp2 expm1 frac neg negative positive reciprocal relu selu "
            "sgn sigmoid sign sin sinh square tan tanh isfinite isinf isnan"
        ).split()
    },
    **{
        name: (getattr(torch, name), (unit(3, 5),))
        for name in "acos arccos arcsin asin atanh log log10 log1p log2 logit rsqrt sqrt".split()
    },
    acosh=(torch.acosh, (unit(3, 5) + 1.5,)),
    logit_eps=(lambda x: torch.logit(x, 0.3), (unit(4),)),
    of_integers=(lambda x: [torch.sin(x), torch.exp(x), torch.sqrt(x + 3), torch.sigmoid(x)], (ints(-3, 4, 6),)),
    same_of_integers=(lambda x: [torch.abs(x), -x, torch.sign(x), torch.relu(x), torch.square(x)], (ints(-3, 4, 6),)),
    of_bools=(lambda x: [torch.exp(x), torch.logical_not(x)], (bools(5),)),
    special=(
        lambda x: [torch.special.expit(x), torch.special.erf(x), torch.special.erfc(x), torch.special.expm1(x)],
        (X,),
    ),
    special_of_units=(lambda x: [torch.special.log1p(x), torch.special.logit(x)], (unit(7),)),
    softmax=(lambda x: [torch.softmax(x, 1), torch.log_softmax(x, 0), F.softmin(x, -1)], (X,)),
    softmax_of=(lambda x: torch.softmax(x, 0, dtype=torch.float64), (X,)),
    special_softmax=(lambda x: [torch.special.softmax(x, 1), torch.special.log_softmax(x, 1)], (X,)),
    softmax_scalar=(lambda x: torch.softmax(x, 0), (torch.tensor(2.0),)),
    nan_to_num=(lambda x: torch.nan_to_num(x, 1.5, 10.0, -10.0), (torch.tensor([1.0, math.nan, math.inf, -math.inf]),)),
    nan_to_num_largest=(torch.nan_to_num, (torch.tensor([1.0, math.nan, math.inf, -math.inf]),)),
    rounding=(
        lambda x: [torch.floor(x), torch.ceil(x), torch.round(x), torch.trunc(x), torch.fix(x)],
        (torch.tensor([-2.5, -1.5, -0.2, 0.0, 0.5, 1.5, 2.7]),),
    ),
    round_decimals=(lambda x: torch.round(x, decimals=1), (torch.tensor([-2.34, 0.26, 1.87]),)),
    rounding_of_integers=(lambda x: [torch.floor(x), torch.round(x)], (ints(-3, 4, 6),)),
)

family(
    "activations",
    elu=(lambda x: F.elu(x, 0.7), (X,)),
    elu_scaled=(lambda x: aten.elu(x, 0.5, 2.0, 1.5), (X,)),
    celu=(lambda x: F.celu(x, 0.6), (X,)),
    gelu=(F.gelu, (X,)),
    gelu_tanh=(lambda x: F.gelu(x, approximate="tanh"), (X,)),
    glu=(lambda x: F.glu(x, 0), (r(4, 3),)),
    hardshrink=(lambda x: F.hardshrink(x, 0.6), (X,)),
    softshrink=(lambda x: F.softshrink(x, 0.4), (X,)),
    tanhshrink=(F.tanhshrink, (X,)),
    hardsigmoid=(F.hardsigmoid, (X * 3,)),
    hardswish=(F.hardswish, (X * 3,)),
    hardtanh=(lambda x: F.hardtanh(x, -0.4, 0.9), (X,)),
    relu6=(F.relu6, (X * 5,)),
    leaky_relu=(lambda x: F.leaky_relu(x, 0.2), (X,)),
    logsigmoid=(F.logsigmoid, (X * 4,)),
    mish=(F.mish, (X,)),
    prelu=(F.prelu, (r(2, 3, 4), r(3))),
    prelu_one=(F.prelu, (r(2, 3, 4), r(1))),
    rrelu=(lambda x: F.rrelu(x, training=False), (X,)),
    silu=(F.silu, (X,)),
    softplus=(lambda x: F.softplus(x, 2.0, 1.5), (X * 2,)),
    softsign=(F.softsign, (X,)),
    threshold=(lambda x: F.threshold(x, 0.2, -7.0), (X,)),
    dropout=(
        lambda x: F.alpha_dropout(
            F.feature_alpha_dropout(F.dropout2d(F.dropout(x, training=False), training=False), training=False),
            training=False,
        ),
        (X,),
    ),
)

family(
    "binary",
    add=(torch.add, (X, Y)),
    add_alpha=(lambda x, y: torch.add(x, y, alpha=2.5), (X, Y)),
    sub_alpha=(lambda x, y: torch.sub(x, y, alpha=3), (X, Y)),
    subtract=(torch.subtract, (X, Y)),
    rsub=(lambda x: torch.rsub(x, 3.5, alpha=2), (X,)),
    mul=(torch.mul, (X, Y)),
    multiply=(torch.multiply, (X, Y)),
    div=(torch.div, (X, Y)),
    divide=(lambda x, y: [torch.divide(x, y), torch.true_divide(x, y)], (X, Y)),
    div_floor=(lambda x, y: torch.div(x, y, rounding_mode="floor"), (X * 9, Y)),
    div_trunc=(lambda x, y: torch.div(x, y, rounding_mode="trunc"), (X * 9, Y)),
    div_integers=(
        lambda x, y: [x / y, torch.div(x, y, rounding_mode="floor"), torch.div(x, y, rounding_mode="trunc"), x // y],
        (ints(-9, 10, 12), ints(1, 5, 12)),
    ),
    div_negative=(lambda x, y: [x // y, x % y, torch.fmod(x, y)], (ints(-9, 10, 12), -ints(1, 5, 12))),
    floor_divide=(torch.floor_divide, (X * 9, Y)),
    fmod=(torch.fmod, (X * 9, Y)),
    remainder=(torch.remainder, (X * 9, Y)),
    remainder_number=(lambda x: [torch.remainder(x, 2.5), x % -3, torch.remainder(7, x)], (X * 9,)),
    remainder_integers=(lambda x: [x % 4, torch.fmod(x, 4)], (ints(-9, 10, 12),)),
    pow=(torch.pow, (unit(3, 5), Y)),
    pow_numbers=(lambda x: [x**2, x**3, x**0.5, x**-1, x**-0.5, x**2.7, x**1, x**0, 2**x], (unit(6),)),
    pow_integers=(lambda x: [x**2, x**3, 2**x], (ints(0, 6, 6),)),
    maximum=(torch.maximum, (X, Y)),
    minimum=(torch.minimum, (X, Y)),
    fmax=(lambda x, y: [torch.fmax(x, y), torch.fmin(x, y)], (X, Y)),
    atan2=(torch.atan2, (X, Y)),
    hypot=(torch.hypot, (X, Y)),
    xlogy=(torch.xlogy, (unit(3, 5), unit(5))),
    logaddexp=(torch.logaddexp, (X, Y)),
    comparisons=(
        lambda x, y: [
            x == y,
            x != y,
            x < y,
            x <= y,
            x > y,
            x >= y,
            torch.eq(x, 1),
            torch.greater(x, y),
            torch.less(x, y),
        ],
        (ints(0, 3, 3, 5), ints(0, 3, 5)),
    ),
    more_comparisons=(
        lambda x, y: [torch.greater_equal(x, y), torch.less_equal(x, y), torch.not_equal(x, y), torch.ge(x, 0.5)],
        (X, Y),
    ),
    of_bools=(
        lambda x, y: [x == y, x != y, x & y, x | y, x ^ y, ~x, x + y, x * y, torch.maximum(x, y)],
        (bools(8), bools(8).flip(0)),
    ),
    logical=(
        lambda x, y: [torch.logical_and(x, y), torch.logical_or(x, y), torch.logical_xor(x, y), torch.logical_not(x)],
        (ints(0, 2, 8), r(8).relu()),
    ),
    bitwise=(
        lambda x, y: [
            x & y,
            x | y,
            x ^ y,
            ~x,
            torch.bitwise_and(x, y),
            torch.bitwise_or(x, 5),
            torch.bitwise_xor(x, 3),
        ],
        (ints(-20, 20, 8), ints(-20, 20, 8).flip(0)),
    ),
    shifts=(lambda x, y: [x << y, x >> y, x << 2, x >> 1], (ints(-20, 20, 8), ints(0, 4, 8))),
    promotion=(
        lambda i, f, h, b: [
            i + 1.5,
            i * True,
            f + i,
            h + f,
            h * 2.5,
            i + b,
            b + 1,
            b * 1.5,
            i8(i) + i,
            torch.where(b, i, f),
        ],
        (ints(-3, 4, 4), r(4), r(4).half(), bools(4)),
    ),
    promotion_of_scalars=(
        lambda x, s, h: [x + s, h + s, h * s.to(torch.int32)],
        (r(3), torch.tensor(2.5, dtype=torch.float64), r(3).half()),
    ),
    clamp=(lambda x: [torch.clamp(x, -0.5, 0.5), x.clamp(min=0.1), x.clamp(max=0.2), torch.clip(x, 0, 1)], (X,)),
    clamp_tensors=(
        lambda x, a, b: [torch.clamp(x, a, b), torch.clamp_min(x, 0.1), torch.clamp_max(x, 0.3)],
        (X, Y - 1, Y + 1),
    ),
    clamp_integers=(lambda x: [x.clamp(-1, 2), x.clamp(min=0.5)], (ints(-5, 6, 8),)),
    addcmul=(lambda x, y: [torch.addcmul(x, x, y, value=2.0), torch.addcdiv(x, x, y, value=0.5)], (X, Y)),
    lerp=(lambda x, y: [torch.lerp(x, y, 0.3), torch.lerp(x, y.expand(3, 5), x)], (X, Y)),
    where=(lambda x, y: [torch.where(x > 0, x, y), torch.where(x > 0, 1.5, x), torch.where(x > 0, 1, 0)], (X, Y)),
    masked_fill=(lambda x: [x.masked_fill(x > 0, -2.0), torch.masked_fill(x, x < 0, 3)], (X,)),
    isclose=(lambda x, y: torch.isclose(x, y, atol=0.5), (X, Y)),
    copysign=(torch.copysign, (X, Y)),
    heaviside=(torch.heaviside, (X, Y)),
    outer=(lambda x, y: [torch.outer(x, y), torch.ger(x, y)], (r(3), r(4))),
)

family(
    "casts",
    to=(
        lambda x: [x.to(t) for t in (torch.int64, torch.int32, torch.int8, torch.float64, torch.float16, torch.bool)],
        (X * 5,),
    ),
    bfloat16=(lambda x: x.to(torch.bfloat16) * 2, (X,)),
    to_uint8=(lambda x: x.to(torch.uint8), (X.abs() * 5,)),
    of_integers=(
        lambda x: [x.float(), x.double(), x.bool(), x.to(torch.uint8), x.to(torch.int16)],
        (ints(-5, 200, 9),),
    ),
    type_as=(lambda x, i: [x.type_as(i), i.type_as(x)], (X, ints(0, 3, 2))),
    methods=(lambda x: [x.half(), x.int(), x.long(), x.clone(), x.contiguous(), x.detach()], (X,)),
    scalars=(lambda x: [x + torch.scalar_tensor(2.5), x + torch.tensor(3), x * torch.tensor([1.0, 2, 3, 4, 5])], (X,)),
)
