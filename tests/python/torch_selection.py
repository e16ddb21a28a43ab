# SPDX-License-Identifier: Apache-2.0
"""Cases of operators that read or store at positions, sort, and reduce."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch_inputs import V, X, Y, aten, bools, distinct, family, ints, r


def assigned(x: torch.Tensor) -> torch.Tensor:
    """Changes in place: of slices, views and masks."""
    y = x.clone()
    y[1] = 2
    y[:, 1:3] += 1
    y[y < 0] = 0.5
    y[0, torch.tensor([0, 4])] = torch.tensor([8.0, 9.0])
    z = y.view(5, 3)
    z[::2] *= 3
    y.t()[3].fill_(4)
    y.diagonal().zero_()
    y.add_(1).relu_().clamp_(max=11)
    return y


family(
    "indexing",
    index=(lambda x, i: [x[i], x[:, i], x[i, i], x[None, i], x[i, :, None]], (X, ints(0, 3, 4))),
    index_negative=(lambda x, i: [x[i], x[:, i]], (X, ints(-3, 3, 4))),
    index_matrix=(
        lambda x, i, j: [x[i], x[i, j], x[:, j]],
        (V.reshape(4, 6), ints(0, 4, 2, 2), ints(0, 4, 2, 2).flip(0)),
    ),
    index_apart=(
        lambda x, i, j: [x[i, :, j], x[:, i, j], x[i, :, :, j]],
        (r(3, 4, 3, 3), ints(0, 3, 2), ints(0, 3, 2).flip(0)),
    ),
    index_mask=(lambda x: [x[x > 0], x[x[:, 0] > -9], x[:, x[0] > 0]], (X,)),
    index_mask_part=(lambda x: x[x[..., 0] > 0], (V,)),
    index_u8=(lambda x, m: x[m > 0, 1:3], (X, ints(0, 2, 3))),
    unsafe_index=(lambda x, i: aten._unsafe_index(x, [None, i]), (X, ints(0, 5, 4))),
    index_put=(
        lambda x, i, v: [x.index_put((i,), v), x.index_put((i,), v, accumulate=True)],
        (X, torch.tensor([0, 2]), r(2, 5)),
    ),
    index_put_two=(lambda x, i, v: x.index_put((i, i), v), (X, torch.tensor([0, 2]), r(2))),
    index_put_mask=(lambda x: x.index_put((x > 0,), torch.tensor(7.0)), (X,)),
    index_put_unsafe=(lambda x, i, v: aten._unsafe_index_put(x, [i], v), (X, torch.tensor([0, 2]), r(2, 5))),
    assignments=(lambda x: assigned(x), (X,)),
    index_select=(lambda x, i: [torch.index_select(x, 1, i), x.index_select(0, i)], (X, ints(0, 3, 4))),
    index_add=(
        lambda x, i, v: [x.index_add(0, i, v), x.index_copy(0, i, v), x.index_fill(0, i, 2.5)],
        (X, torch.tensor([0, 2]), r(2, 5)),
    ),
    index_add_alpha=(lambda x, i, v: x.index_add(1, i, v, alpha=2), (X, torch.tensor([0, 2, 2]), r(3, 3))),
    gather=(lambda x, i: [torch.gather(x, 1, i), x.gather(0, i % 3)], (X, ints(0, 5, 3, 4))),
    gather_part=(lambda x, i: x.gather(1, i), (X, ints(0, 5, 2, 7))),
    take=(lambda x, i: [torch.take(x, i), torch.take_along_dim(x, i % 3, 0)], (X, ints(0, 15, 2, 5))),
    embedding=(lambda w, i: F.embedding(i, w, padding_idx=0), (X, ints(0, 3, 2, 2))),
    embedding_bag=(lambda w, i: F.embedding_bag(i, w, mode="mean"), (r(6, 3), ints(0, 6, 2, 4))),
    scatter=(
        lambda x, i, v: [x.scatter(1, i, v), x.scatter(1, i, 2.5), x.scatter_add(1, i, v)],
        (X, SLOTS := torch.tensor([[0, 2], [1, 4], [3, 0]]), r(3, 2)),
    ),
    scatter_part=(lambda x, i, v: x.scatter(0, i[:2], v), (X, SLOTS % 3, r(3, 2))),
    scatter_reduce=(
        lambda x, i, v: [x.scatter_reduce(1, i, v, how) for how in ("sum", "prod", "amax", "amin")],
        (X, torch.tensor([[0, 0], [1, 4], [3, 3]]), r(3, 2)),
    ),
    scatter_reduce_mean=(
        lambda x, i, v: x.scatter_reduce(1, i, v, "mean"),
        (X, torch.tensor([[0, 0], [1, 4], [3, 3]]), r(3, 2)),
    ),
    scatter_without_self=(
        lambda x, i, v: [x.scatter_reduce(1, i, v, how, include_self=False) for how in ("sum", "amax", "mean")],
        (X, torch.tensor([[0, 0], [1, 4], [3, 3]]), r(3, 2)),
    ),
    scatter_old=(
        lambda x, i, v: [
            aten.scatter.reduce(x, 1, i, v, reduce="add"),
            aten.scatter.value_reduce(x, 1, i, 2.0, reduce="multiply"),
        ],
        (X, SLOTS, r(3, 2)),
    ),
    masked_scatter=(lambda x, v: x.masked_scatter(x > 0, v), (X, r(15))),
    nonzero=(
        lambda x: [
            torch.nonzero(x > 0),
            *torch.where(x > 0),
            *torch.nonzero(x > 0, as_tuple=True),
            torch.argwhere(x > 0),
        ],
        (X,),
    ),
    masked_select=(lambda x, y: [torch.masked_select(x, x > 0), torch.masked_select(y, x > 0)], (X, Y)),
    topk=(lambda x: [*torch.topk(x, 2), *torch.topk(x, 2, 0, largest=False)], (distinct(3, 5),)),
    sort=(
        lambda x: [
            *torch.sort(x),
            *torch.sort(x, 0, descending=True),
            torch.argsort(x, 1),
            torch.argsort(x, descending=True),
        ],
        (distinct(3, 5),),
    ),
    sort_stable=(
        lambda x: [*torch.sort(x, stable=True), *torch.sort(x, stable=True, descending=True)],
        (ints(0, 4, 9),),
    ),
    sort_floats_with_ties=(lambda x: [*torch.sort(x, stable=True, dim=0)], (ints(0, 4, 9, 2).float(),)),
    kthvalue=(lambda x: [*torch.kthvalue(x, 2), *torch.median(x, 1), torch.median(x)], (distinct(3, 5),)),
    triangle=(lambda x: [x.tril(), x.triu(1), x.tril(-1), torch.triu(x > 0)], (r(2, 4, 4),)),
    triangle_indices=(lambda x: x[torch.tril_indices(3, 3)[0]] + x[torch.triu_indices(3, 3)[1]], (X,)),
    one_hot=(lambda i: F.one_hot(i, 5), (ints(0, 5, 2, 3),)),
    meshgrid=(lambda x, y: [*torch.meshgrid(x, y, indexing="ij"), *torch.meshgrid(x, y, indexing="xy")], (r(3), r(4))),
    cartesian=(lambda x, y: torch.cartesian_prod(x, y), (r(3), r(2))),
    bucketize=(
        lambda x, b: [torch.bucketize(x, b), torch.searchsorted(b, x, right=True)],
        (X, torch.tensor([-1.0, 0.0, 1.0])),
    ),
    unique=(lambda x: torch.unique(x), (ints(0, 5, 12),)),
    bincount=(lambda x: torch.bincount(x, minlength=6), (torch.tensor([0, 5, 2, 2]),)),
    isin=(lambda x, y: torch.isin(x, y), (ints(0, 9, 8), ints(0, 4, 3))),
)

family(
    "reductions",
    sum=(lambda x: [x.sum(), x.sum(1), x.sum((0, 2), keepdim=True), torch.sum(x, -1, dtype=torch.float64)], (V,)),
    sum_of_integers=(lambda x: [x.sum(), (x > 0).sum(), x.to(torch.int32).sum(1), x.prod(0)], (ints(-3, 4, 3, 4),)),
    mean=(lambda x: [x.mean(), x.mean((1, 2)), x.mean(0, True), torch.mean(x, dtype=torch.float64)], (V,)),
    prod=(lambda x: [x.prod(), x.prod(1), x.prod(0, keepdim=True)], (X,)),
    amax=(lambda x: [x.amax(), x.amax(1), x.amin((0, 1), True), x.amin()], (V,)),
    max=(lambda x: [x.max(), *x.max(1), *torch.max(x, 0, keepdim=True), x.min(), *x.min(-1)], (distinct(3, 5),)),
    aminmax=(lambda x: [*torch.aminmax(x), *torch.aminmax(x, dim=1)], (X,)),
    arg=(lambda x: [x.argmax(), x.argmax(1), x.argmin(0, keepdim=True), torch.argmin(x)], (distinct(3, 5),)),
    truth=(lambda x: [(x > 0).all(), (x > 0).any(1), x.all(0), torch.any(x, 0, True), torch.all(x)], (X,)),
    count_nonzero=(lambda x: [torch.count_nonzero(x), torch.count_nonzero(x, 1)], (X.relu(),)),
    var=(
        lambda x: [
            x.var(),
            x.var(1),
            x.std((0, 1)),
            x.std(2, unbiased=False),
            torch.var(x, 0, correction=2, keepdim=True),
        ],
        (V,),
    ),
    var_mean=(lambda x: [*torch.var_mean(x, 1), *torch.std_mean(x), *torch.var_mean(x, (0, 1), correction=0)], (V,)),
    norm=(
        lambda x: [
            x.norm(),
            torch.norm(x, 1, 1),
            x.norm(dim=(0, 1)),
            torch.norm(x, math.inf, 0),
            torch.norm(x, p=3, dim=1, keepdim=True),
        ],
        (X,),
    ),
    vector_norm=(
        lambda x: (
            [torch.linalg.vector_norm(x, p, 1) for p in (0, 1, 2, 3.5, math.inf, -math.inf)] + [torch.linalg.norm(x)]
        ),
        (X,),
    ),
    normalize=(
        lambda x: [
            F.normalize(x),
            F.normalize(x, 1, 0),
            F.cosine_similarity(x, x.flip(0)),
            F.pairwise_distance(x, x.flip(0)),
        ],
        (X,),
    ),
    logsumexp=(lambda x: [torch.logsumexp(x, 1), torch.logsumexp(x, (0, 1), True)], (X,)),
    logsumexp_of_nothing=(lambda x: torch.logsumexp(torch.where(x > 100, x, -torch.inf), 1), (X,)),
    cumsum=(lambda x: [x.cumsum(1), torch.cumsum(x, 0), x.long().cumsum(1)], (X,)),
    cumprod=(lambda x: [x.cumprod(1), torch.cumprod(x, 0)], (X,)),
    cummax=(lambda x: [*torch.cummax(x, 1), *torch.cummin(x, 0)], (distinct(3, 5),)),
    logcumsumexp=(lambda x: torch.logcumsumexp(x, 1), (X,)),
    nan=(lambda x: [torch.nansum(x), torch.nanmean(x, 0)], (torch.tensor([[1.0, math.nan], [2.0, 3.0]]),)),
    of_bools=(lambda x: [x.any(), x.all(0), x.sum(0), x.float().mean()], (bools(3, 4),)),
    cdist=(lambda x, y: [torch.cdist(x, y), torch.cdist(x, y, 1.0)], (r(3, 4), r(5, 4))),
    diff=(lambda x: torch.diff(x, dim=1), (X,)),
)
