# SPDX-License-Identifier: Apache-2.0
"""The com.microsoft operators, each in several forms, against ONNX Runtime's own kernels."""

from __future__ import annotations

import numpy as np
import pytest
from single_node import Case, check

pytest.importorskip("onnxruntime")

random = np.random.default_rng(7)


def f32(*shape):
    return random.standard_normal(shape).astype(np.float32)


def u8(*shape):
    return random.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    # Seven bits: ONNX Runtime's u8 x i8 kernels saturate beyond on machines without VNNI.
    return random.integers(-64, 64, shape).astype(np.int8)


def i32(*values):
    return np.array(values, np.int32)


def one(value, dtype=np.float32):
    return np.array(value, dtype)


def fused():
    x, w, b = f32(2, 6, 9, 7), f32(8, 6, 3, 3), f32(8)
    same = {"pads": [1, 1, 1, 1]}
    yield Case("relu", "FusedConv", [x, w, b], same | {"activation": "Relu"}, (1, 2))
    yield Case("sum", "FusedConv", [x, w, b, f32(2, 8, 9, 7)], same | {"activation": "Relu"}, (1, 2))
    yield Case("sum without bias", "FusedConv", [x, w, None, f32(2, 8, 9, 7)], same | {"activation": "Tanh"}, (1,))
    for kind, parameters in (("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.75]), ("HardSigmoid", [0.3, 0.4])):
        attributes = same | {"activation": kind, "activation_params": parameters}
        yield Case(kind, "FusedConv", [x, w, b], attributes, (1, 2))
    a, b, c = f32(5, 7), f32(7, 3), f32(3)
    yield Case("relu", "FusedGemm", [a, b, c], {"activation": "Relu"}, (1, 2))
    yield Case("leaky", "FusedGemm", [a, b], {"activation": "LeakyRelu", "activation_alpha": 0.3, "alpha": 0.5}, (1,))
    yield Case("transposed", "FusedGemm", [f32(7, 5), f32(3, 7), c], {"activation": "Tanh", "transA": 1, "transB": 1})
    yield Case("alpha", "FusedMatMul", [f32(2, 3, 4, 5), f32(2, 3, 5, 6)], {"alpha": 0.25})
    yield Case("transposed", "FusedMatMul", [f32(3, 5, 4), f32(3, 6, 5)], {"transA": 1, "transB": 1})
    yield Case("batch", "FusedMatMul", [f32(4, 2, 3, 5), f32(5, 2, 3, 6)], {"transBatchA": 1, "transBatchB": 1})
    both = {"transBatchA": 1, "transA": 1, "transB": 1, "alpha": 2.0}
    yield Case("batch and rows", "FusedMatMul", [f32(5, 3, 4), f32(3, 6, 5)], both)
    yield Case("old name", "TransposeMatMul", [f32(5, 4), f32(5, 6)], {"transA": 1})


def activations():
    x, bias = f32(3, 5, 17), f32(17)
    yield Case("plain", "Gelu", [x])
    yield Case("plain", "FastGelu", [x])
    yield Case("bias", "FastGelu", [x, bias])
    yield Case("weights", "BiasGelu", [x, bias], weights=(1,))
    yield Case("default", "QuickGelu", [x])
    yield Case("alpha", "QuickGelu", [x], {"alpha": 0.8})
    yield Case("any batch", "FastGelu", [x, bias], symbols={(0, 0): "batch"})
    data, mask = f32(2, 3, 5, 5), f32(2, 1, 1, 5)

    def softmax(v):
        e = np.exp(v - v.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(np.float32)

    yield Case(
        "rows", "BiasSoftmax", [data, mask], {"axis": 3, "is_inner_broadcast": 1}, expected=[softmax(data + mask)]
    )
    wide = softmax((data + mask).reshape(6, 25)).reshape(data.shape)
    yield Case("matrix", "BiasSoftmax", [data, mask], {"axis": 2, "is_inner_broadcast": 1}, expected=[wide])


def norms():
    x, skip, gamma, beta, bias = f32(2, 5, 24), f32(2, 5, 24), f32(24), f32(24), f32(24)
    yield Case("plain", "SkipLayerNormalization", [x, skip, gamma, beta], {"epsilon": 1e-5}, (2, 3))
    yield Case("no beta", "SkipLayerNormalization", [x, skip, gamma])
    yield Case("bias and sum", "SkipLayerNormalization", [x, skip, gamma, beta, bias], {}, (2, 3, 4), outputs=(0, 3))
    yield Case("one skip", "SkipLayerNormalization", [x, f32(1, 5, 24), gamma, beta])
    yield Case("flat skip", "SkipLayerNormalization", [x, f32(5, 24), gamma, None, bias])
    yield Case("any batch", "SkipLayerNormalization", [x, skip, gamma, beta], symbols={(0, 0): "b", (1, 0): "b"})
    rms = "SkipSimplifiedLayerNormalization"
    yield Case("plain", rms, [x, skip, gamma], {"epsilon": 1e-6})
    yield Case("bias and sum", rms, [x, skip, gamma, bias], outputs=(0, 3))
    yield Case("plain", "SimplifiedLayerNormalization", [x, gamma], {"epsilon": 1e-6}, domain="")
    yield Case("axis", "SimplifiedLayerNormalization", [x, f32(5, 24)], {"axis": 1}, domain="", outputs=(0, 1))
    ids = random.integers(0, 11, (2, 5)).astype(np.int32)
    segments = random.integers(0, 2, (2, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32)
    tables = [f32(11, 16), f32(8, 16), f32(2, 16)]
    weights, scale = (2, 3, 4, 5, 6), [f32(16), f32(16)]
    embed = "EmbedLayerNormalization"
    yield Case("all", embed, [ids, segments, *tables, *scale, mask], {}, weights, outputs=(0, 1, 2))
    yield Case("no mask", embed, [ids, segments, *tables, *scale], {"epsilon": 1e-5}, weights, outputs=(0, 1))
    yield Case("no segments", embed, [ids, None, tables[0], tables[1], None, *scale], {}, weights, outputs=(0, 1))
    position = np.array([[4, 3, 2, 1, 0]], np.int32)
    yield Case("positions", embed, [ids, segments, *tables, *scale, None, position], {}, weights, outputs=(0, 1))
    symbols = {(i, d): s for i in (0, 1, 7) for d, s in enumerate(("batch", "length"))}
    yield Case("any size", embed, [ids, segments, *tables, *scale, mask], {}, weights, outputs=(0, 1), symbols=symbols)
    image, gamma, beta = f32(2, 5, 3, 8), f32(8), f32(8)

    def group_norm(v, groups, silu):
        g = v.reshape(2, 15, groups, 8 // groups)
        g = (g - g.mean((1, 3), keepdims=True)) / np.sqrt(g.var((1, 3), keepdims=True) + 1e-5)
        y = g.reshape(v.shape) * gamma + beta
        return (y / (1 + np.exp(-y)) if silu else y).astype(np.float32)

    for groups, silu in ((4, 0), (2, 1)):
        attributes = {"groups": groups, "activation": silu, "epsilon": 1e-5}
        want = group_norm(image, groups, silu)
        yield Case(f"last {groups}", "GroupNorm", [image, gamma, beta], attributes, expected=[want])
        first = [np.ascontiguousarray(np.moveaxis(image, 3, 1)), gamma, beta]
        want = np.ascontiguousarray(np.moveaxis(want, 3, 1))
        yield Case(f"second {groups}", "GroupNorm", first, attributes | {"channels_last": 0}, expected=[want])


def attention():
    x, w, b = f32(2, 5, 12), f32(12, 48), f32(48)
    op, weights, heads = "Attention", (1, 2), {"num_heads": 4}
    yield Case("plain", op, [x, w, b], heads, weights)
    yield Case("no bias", op, [x, w, None], heads, (1,))
    yield Case("causal", op, [x, w, b], heads | {"unidirectional": 1}, weights)
    yield Case("scale", op, [x, w, b], heads | {"scale": 0.5}, weights)
    yield Case("sizes", op, [x, f32(12, 56), f32(56)], heads | {"qkv_hidden_sizes": [16, 16, 24]}, weights)
    yield Case("ends", op, [x, w, b, i32(3, 5)], heads, weights)
    yield Case("ends and starts", op, [x, w, b, i32(4, 5, 1, 2)], heads, weights)
    rows = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)
    yield Case("rows", op, [x, w, b, rows], heads, weights)
    yield Case("rows, filter", op, [x, w, b, rows], heads | {"mask_filter_value": -3.0}, weights)
    squares = random.integers(0, 2, (2, 5, 5)).astype(np.int32)
    yield Case("squares", op, [x, w, b, squares], heads, weights)
    past = f32(2, 2, 4, 3, 4)
    present = {"outputs": (0, 1), "weights": weights}
    yield Case("present", op, [x, w, b], heads | {"unidirectional": 1}, **present)
    yield Case("past", op, [x, w, b, None, past], heads | {"unidirectional": 1}, **present)
    padded = np.array([[1] * 8, [0] * 2 + [1] * 6], np.int32)
    yield Case("past and rows", op, [x, w, b, padded, past], heads | {"unidirectional": 1}, **present)
    square = np.tril(np.ones((2, 1, 10, 10), np.int32))
    twin = Case("", op, [x, w, b, square[:, 0, 3:8, :8].copy(), past], heads, **present)
    yield Case("past and square", op, [x, w, b, square, past], heads, twin=twin, **present)
    yield Case("bias of scores", op, [x, w, b, None, None, f32(2, 4, 5, 5)], heads, weights)
    yield Case("shared bias of scores", op, [x, w, b, rows, None, f32(1, 4, 5, 5)], heads, weights)
    symbols = {(0, 0): "batch", (0, 1): "length", (3, 0): "batch", (3, 1): "length"}
    yield Case("any size", op, [x, w, b, rows], heads, weights, symbols=symbols)
    q, k, v = f32(2, 5, 16), f32(2, 7, 16), f32(2, 7, 24)
    op = "MultiHeadAttention"
    yield Case("plain", op, [q, k, v], heads)
    yield Case("bias", op, [q, k, v, f32(56)], heads, (3,))
    yield Case("mask", op, [q, k, v, None, np.array([[1] * 7, [1] * 4 + [0] * 3], np.int32)], heads)
    yield Case("ends", op, [q, k, v, None, i32(7, 3)], heads)
    yield Case("bias of scores", op, [q, k, v, None, None, f32(1, 4, 5, 7)], heads)
    packed, pair = f32(2, 5, 4, 3, 8), f32(2, 7, 4, 2, 8)
    twin = Case("", op, [packed[..., i, :].reshape(2, 5, 32) for i in range(3)], heads)
    yield Case("packed", op, [packed], heads, twin=twin)
    twin = Case("", op, [f32(2, 5, 32), *(pair[..., i, :].reshape(2, 7, 32) for i in range(2))], heads)
    yield Case("packed pair", op, [twin.inputs[0], pair], heads, twin=twin)
    yield Case("by heads", op, [q, f32(2, 4, 7, 4), f32(2, 4, 7, 4)], heads)
    yield Case("causal", op, [q, q, q], heads | {"unidirectional": 1})
    yield Case("scale", op, [q, k, v], heads | {"scale": 0.7})
    state = [f32(2, 4, 3, 4), f32(2, 4, 3, 4)]
    own = [q, f32(2, 5, 16), f32(2, 5, 16)]
    yield Case("past", op, [*own, None, None, None, *state], heads, outputs=(0, 1, 2))
    yield Case(
        "past, causal", op, [*own, f32(48), None, None, *state], heads | {"unidirectional": 1}, outputs=(0, 1, 2)
    )
    yield Case("present", op, [q, k, f32(2, 7, 16)], heads, outputs=(0, 1, 2))
    names = {0: ("b", "s"), 1: ("b", "l"), 2: ("b", "l"), 4: ("b", "l")}
    symbols = {(i, d): s for i, pair in names.items() for d, s in enumerate(pair)}
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3], np.int32)
    yield Case("any size", op, [q, k, v, None, mask], heads, symbols=symbols)


def caches(length, half):
    angles = np.outer(np.arange(length), 10000.0 ** -(np.arange(half) / half))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotary():
    cos, sin = caches(12, 4)
    x, positions = f32(2, 5, 24), np.stack([np.arange(5), np.arange(5) + 3]).astype(np.int64)
    for interleaved in (0, 1):
        attributes = {"interleaved": interleaved}
        yield Case(f"rows {interleaved}", "RotaryEmbedding", [x, positions, cos, sin], attributes, (2, 3))
        start = np.array([2], np.int64)
        yield Case(f"offset {interleaved}", "RotaryEmbedding", [x, start, cos, sin], attributes, (2, 3))
        yield Case(f"heads {interleaved}", "RotaryEmbedding", [f32(2, 3, 5, 8), positions, cos, sin], attributes)
    part = {"rotary_embedding_dim": 8, "num_heads": 2}
    yield Case("part", "RotaryEmbedding", [x, positions, cos, sin], part, (2, 3))
    symbols = {(0, 0): "b", (0, 1): "s", (1, 0): "b", (1, 1): "s"}
    yield Case("any size", "RotaryEmbedding", [x, positions, cos, sin], {}, (2, 3), symbols=symbols)


def grouped():
    op, heads = "GroupQueryAttention", {"num_heads": 4, "kv_num_heads": 2}
    q, k, v = f32(2, 5, 64), f32(2, 5, 32), f32(2, 5, 32)
    total = np.array([5], np.int32)
    out = {"outputs": (0, 1, 2)}
    cos, sin = caches(20, 8)
    yield Case("prompt", op, [q, k, v, None, None, i32(4, 4), total], heads, **out)
    yield Case("packed prompt", op, [f32(2, 5, 128), None, None, None, None, i32(4, 4), total], heads, **out)
    rotary = heads | {"do_rotary": 1}
    for interleaved in (0, 1):
        inputs = [q, k, v, None, None, i32(4, 4), total, cos, sin]
        yield Case(f"rotary {interleaved}", op, inputs, rotary | {"rotary_interleaved": interleaved}, (7, 8), **out)
    past = [f32(2, 2, 6, 16), f32(2, 2, 6, 16)]
    step = [f32(2, 1, 64), f32(2, 1, 32), f32(2, 1, 32)]
    seven = np.array([7], np.int32)
    yield Case("step", op, [*step, *past, i32(6, 6), seven], heads, **out)
    yield Case("step, rotary", op, [*step, *past, i32(6, 6), seven, cos, sin], rotary, (7, 8), **out)
    yield Case("window", op, [*step, *past, i32(6, 6), seven, cos, sin], rotary | {"local_window_size": 3}, **out)
    yield Case("prompt window", op, [q, k, v, None, None, i32(4, 4), total], heads | {"local_window_size": 2}, **out)
    yield Case("softcap", op, [q, k, v, None, None, i32(4, 4), total], heads | {"softcap": 1.5}, **out)
    yield Case("scale", op, [q, k, v, None, None, i32(4, 4), total], heads | {"scale": 0.9}, **out)
    yield Case("smooth", op, [*step, *past, i32(6, 6), seven], heads | {"smooth_softmax": 1}, **out)
    sink = [*step, *past, i32(6, 6), seven, None, None, None, None, f32(4)]
    yield Case("sink", op, sink, heads, **out)
    bias = [q, k, v, None, None, i32(4, 4), total, None, None, None, f32(1, 4, 5, 5)]
    yield Case("bias of scores", op, bias, heads, **out)
    weights = [f32(16), f32(16)]
    own = [
        (x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * w).astype(np.float32).reshape(2, 5, -1)
        for x, w in zip((q.reshape(2, 5, 4, 16), k.reshape(2, 5, 2, 16)), weights, strict=True)
    ]
    rest = [v, None, None, i32(4, 4), total, cos, sin]
    twin = Case("", op, [*own, *rest], rotary, **out)
    yield Case("norms", op, [q, k, *rest, *[None] * 5, *weights], rotary, twin=twin, **out)
    # A buffer that is longer than what it holds, and rows of different lengths; what is behind them is nobody's.
    shared = [f32(2, 2, 10, 16), f32(2, 2, 10, 16)]
    yield Case("buffer", op, [*step, *shared, i32(6, 4), seven, cos, sin], rotary, (7, 8), compared=(0,), **out)
    symbols = {(0, 0): "b", (0, 1): "s", (1, 0): "b", (1, 1): "s", (2, 0): "b", (2, 1): "s", (5, 0): "b"}
    symbols |= {(i, d): s for i in (3, 4) for d, s in ((0, "b"), (2, "p"))}
    yield Case("any size", op, [*step, *past, i32(6, 6), seven, cos, sin], rotary, (7, 8), symbols=symbols, **out)


def packed_weights():
    for bits, block, k, n in ((4, 16, 40, 6), (4, 32, 64, 9), (8, 16, 48, 5), (2, 32, 64, 7)):
        blocks = -(-k // block)
        b, scales = u8(n, blocks, block * bits // 8), np.abs(f32(n, blocks)) + 0.1
        attributes = {"K": k, "N": n, "bits": bits, "block_size": block}
        name = f"{bits} bits {block}"
        yield Case(name, "MatMulNBits", [f32(2, 3, k), b, scales], attributes, (1, 2))
        zero = u8(n, -(-blocks * bits // 8))
        yield Case(name + " zeros", "MatMulNBits", [f32(4, k), b, scales, zero], attributes, (1, 2, 3))
        inputs = [f32(4, k), b, scales, None, None, f32(n)]
        yield Case(name + " bias", "MatMulNBits", inputs, attributes, (1, 2, 5))


def quantized():
    scale, zero = one(0.05), one(117, np.uint8)
    to = [one(0.04), one(101, np.uint8)]
    x = u8(2, 6, 7, 9)
    for layout, data in ((0, x), (1, u8(2, 7, 9, 6))):
        attributes = {"channels_last": layout}
        pool = attributes | {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
        yield Case(f"layout {layout}", "QLinearAveragePool", [data, scale, zero, *to], pool, quanta=1)
        yield Case(f"layout {layout}", "QLinearGlobalAveragePool", [data, scale, zero, *to], attributes, quanta=1)
    pads = {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1, "ceil_mode": 1, "strides": [2, 2]}
    yield Case("padding counted", "QLinearAveragePool", [x, scale, zero, *to], pads, quanta=1)
    yield Case("default", "QLinearLeakyRelu", [x, scale, zero, *to], {"alpha": 0.2}, quanta=1)
    yield Case(
        "i8",
        "QLinearLeakyRelu",
        [i8(3, 5), scale, one(3, np.int8), one(0.1), one(-9, np.int8)],
        {"alpha": 0.1},
        quanta=1,
    )
    yield Case("plain", "QLinearSigmoid", [x, scale, zero, one(1 / 256), one(0, np.uint8)], quanta=1)
    softmax = [u8(3, 4, 5), scale, zero, one(1 / 256), one(0, np.uint8)]
    yield Case("last", "QLinearSoftmax", softmax, {"axis": -1, "opset": 13}, quanta=1)
    yield Case("middle", "QLinearSoftmax", softmax, {"axis": 1, "opset": 13}, quanta=1)
    yield Case("matrix", "QLinearSoftmax", softmax, {"axis": 1, "opset": 12}, quanta=1)
    condition = random.integers(0, 2, (3, 1, 5)).astype(bool)
    where = [condition, u8(3, 4, 5), scale, zero, u8(4, 5), one(0.03), one(90, np.uint8), *to]
    yield Case("broadcast", "QLinearWhere", where, quanta=1)
    yield Case("plain", "QLinearAdd", [x, scale, zero, u8(2, 6, 7, 9), one(0.02), one(7, np.uint8), *to], quanta=1)
    yield Case("broadcast", "QLinearMul", [x, scale, zero, u8(9), one(0.02), one(7, np.uint8), *to], quanta=1)
    parts = [*to, u8(2, 3, 4), scale, zero, u8(2, 5, 4), one(0.07), one(11, np.uint8)]
    yield Case("two", "QLinearConcat", parts, {"axis": 1}, quanta=1)
    conv = [u8(1, 7, 9, 6), scale, zero, i8(8, 6, 3, 3), one(0.01), one(0, np.int8), one(0.5), one(120, np.uint8)]
    attributes = {"channels_last": 1, "pads": [1, 1, 1, 1]}
    yield Case("last", "QLinearConv", conv, attributes, (1, 2, 3, 4, 5, 6, 7), quanta=1)
    conv = [np.ascontiguousarray(np.moveaxis(conv[0], 3, 1)), *conv[1:]]
    bias = np.arange(8, dtype=np.int32) * 50
    yield Case("second", "QLinearConv", [*conv, bias], {"pads": [1, 1, 1, 1]}, (1, 2, 3, 4, 5, 6, 7, 8), quanta=1)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    yield Case("u8", "NhwcMaxPool", [u8(2, 7, 9, 6)], pool)
    yield Case("i8", "NhwcMaxPool", [i8(2, 7, 9, 6)], pool)


def integer_products():
    a, b, zero_a, zero_b = u8(5, 12), i8(12, 7), one(120, np.uint8), one(3, np.int8)
    scale_a, scale_b, columns = one(0.02), one(0.01), np.abs(f32(7)) * 0.01
    c = random.integers(-3000, 3000, 7).astype(np.int32)
    to = [one(0.2), one(128, np.uint8)]
    yield Case("u8", "QGemm", [a, scale_a, zero_a, b, scale_b, zero_b, c, *to], {"alpha": 1.0}, quanta=1)
    yield Case("columns", "QGemm", [a, scale_a, zero_a, b, columns, i8(7), None, *to], {}, quanta=1)
    turned = {"transB": 1, "alpha": 0.5}
    yield Case("f32", "QGemm", [a, scale_a, zero_a, np.ascontiguousarray(b.T), columns, i8(7), c], turned)
    yield Case("transposed a", "QGemm", [np.ascontiguousarray(a.T), scale_a, zero_a, b, scale_b, zero_b], {"transA": 1})
    op = "MatMulIntegerToFloat"
    yield Case("all", op, [a, b, scale_a, scale_b, zero_a, zero_b, f32(7)])
    yield Case("columns", op, [u8(2, 3, 12), b, scale_a, columns, zero_a, i8(7)])
    yield Case("no zeros", op, [a, b, scale_a, scale_b])
    op = "DynamicQuantizeMatMul"
    yield Case("plain", op, [f32(5, 12), b, scale_b])
    yield Case("all", op, [f32(2, 5, 12), b, columns, i8(7), f32(7)], {}, (1, 2, 3, 4))
    x, w = u8(2, 5, 12), i8(12, 48)
    inputs = [x, w, f32(48), one(0.02), one(0.01), None, one(100, np.uint8), one(2, np.int8)]
    weights = (1, 2, 3, 4, 6, 7)
    yield Case("plain", "QAttention", inputs, {"num_heads": 4}, weights)
    yield Case("causal", "QAttention", inputs, {"num_heads": 4, "unidirectional": 1}, weights)
    mask = np.array([[1] * 5, [1] * 3 + [0] * 2], np.int32)
    yield Case("mask", "QAttention", [*inputs[:5], mask, *inputs[6:]], {"num_heads": 4}, weights)
    past = [*inputs, f32(2, 2, 4, 3, 4)]
    yield Case("past", "QAttention", past, {"num_heads": 4, "unidirectional": 1}, weights, outputs=(0, 1))
    each = [x, w, f32(48), one(0.02), np.abs(f32(48)) * 0.01, None, one(100, np.uint8), i8(48) // 16]
    yield Case("columns", "QAttention", each, {"num_heads": 4}, weights)


def recurrent():
    # ONNX Runtime quantizes the activations too: its own error is the tolerance here.
    for direction, dirs in (("forward", 1), ("bidirectional", 2)):
        w, r = i8(dirs, 6, 20), i8(dirs, 5, 20)
        scale, zero = np.full(dirs, 0.004, np.float32), np.zeros(dirs, np.int8)
        attributes = {"hidden_size": 5, "direction": direction}
        inputs = [f32(4, 2, 6), w, r, f32(dirs, 40), None, f32(dirs, 2, 5), f32(dirs, 2, 5), None]
        parameters = [scale, zero, scale, zero]
        weights = (1, 2, 3, 8, 9, 10, 11)
        op = "DynamicQuantizeLSTM"
        yield Case(direction, op, [*inputs, *parameters], attributes, weights, outputs=(0, 1, 2), tolerance=0.02)
        columns = np.abs(random.standard_normal((dirs, 20))).astype(np.float32) * 0.005
        zeros = np.zeros((dirs, 20), np.int8)
        parameters = [columns, zeros, columns, zeros]
        yield Case(direction + " columns", op, [*inputs, *parameters], attributes, weights, tolerance=0.02)


def others():
    x, w, b = f32(1, 3, 5, 4), f32(3, 6, 3, 3), f32(6)
    pads = np.array([1, 0, 1, 2], np.int64)
    op = "ConvTransposeWithDynamicPads"
    yield Case("pads", op, [x, w, pads, b], {"strides": [2, 2]}, (1, 2, 3))
    yield Case("no bias", op, [x, w, pads], {}, (1, 2))
    yield Case("float", "Range", [one(1.5), one(4), one(0.5)])
    yield Case("no step", "Range", [one([2], np.int64), one([7], np.int64)])
    yield Case("last", "ExpandDims", [x, one(-1, np.int32)], {}, (1,))
    yield Case("first", "ExpandDims", [x, one(0, np.int32)], {}, (1,))
    yield Case("squares", "CDist", [f32(4, 6), f32(5, 6)], {"metric": "sqeuclidean"})
    yield Case("roots", "CDist", [f32(4, 6), f32(5, 6)], {"metric": "euclidean"})
    yield Case("upper", "Trilu", [f32(4, 6), one(1, np.int64)], {"upper": 1})
    yield Case("lower", "Trilu", [f32(2, 6, 6)], {"upper": 0})
    yield Case("pairs", "GatherND", [f32(4, 6), np.array([[0, 1], [3, 2]], np.int64)])
    yield Case(
        "constant", "Pad", [f32(3, 4), np.array([1, 0, 2, 1], np.int64), one([2.5])], {"mode": "constant"}, (1, 2)
    )


GROUPS = (
    fused,
    activations,
    norms,
    attention,
    rotary,
    grouped,
    packed_weights,
    quantized,
    integer_products,
    recurrent,
    others,
)
CASES = [case for group in GROUPS for case in group()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_onnxruntime(case, tmp_path):
    check(case, tmp_path)
