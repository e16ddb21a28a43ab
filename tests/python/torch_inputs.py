# SPDX-License-Identifier: Apache-2.0
"""Tensors for the cases of torch_cases.py, the same in every run, and how a family of cases is declared."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten


Case = tuple[Callable[..., Any], tuple[torch.Tensor, ...]]


FAMILIES: dict[str, dict[str, Case]] = {}


def _random(*key: Any) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(repr(key).encode()))


def r(*shape: int) -> torch.Tensor:
    """Normally distributed, without values so near to zero that signs or quotients hang on rounding."""
    x = torch.randn(shape, generator=_random("r", shape))
    return x + x.sign() * 0.05


def unit(*shape: int) -> torch.Tensor:
    """Between 0.05 and 0.95."""
    return torch.rand(shape, generator=_random("unit", shape)) * 0.9 + 0.05


def ints(low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=_random("ints", low, high, shape)).to(dtype)


def bools(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=_random("bools", shape)) > 0.5


def distinct(*shape: int) -> torch.Tensor:
    """Numbers of which no two are equal, in random order."""
    n = math.prod(shape)
    return (torch.randperm(n, generator=_random("distinct", shape)).float() - n / 2).reshape(shape)


def family(name: str, **cases: Case) -> None:
    FAMILIES.setdefault(name, {}).update(cases)


X = r(3, 5)


Y = r(5)


V = r(2, 3, 4)
