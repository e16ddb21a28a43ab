# SPDX-License-Identifier: Apache-2.0
"""Operators of ai.onnx whose cases in the backend suite are few, against ONNX Runtime; and random ones, by their
distribution."""

from __future__ import annotations

import lathe
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from single_node import Case, check

RNG = np.random.default_rng(3)


def onnx_case(name, op, inputs, outputs=(0,), opset=18, **more):
    attributes = more.pop("attributes", {})
    return Case(name, op, inputs, attributes, outputs=outputs, domain="", opset=opset, **more)


def image(*shape):
    return RNG.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)


def pool(name, x, symbols=None, **attributes):
    return onnx_case(f"indices {name}", "MaxPool", [x], (0, 1), attributes=attributes, symbols=symbols or {})


def ngrams(name, x, mode, **attributes):
    pool_and_places = dict(
        mode=mode,
        ngram_counts=[0, 3],
        ngram_indexes=[4, 0, 2, 1, 3],
        pool_int64s=[2, 3, 5, 5, 6, 7, 8],
        weights=[0.5, 2.0, 3.0, 1.5, 4.0],
    )
    return onnx_case(name, "TfIdfVectorizer", [x], attributes=pool_and_places | attributes)


WORDS = np.asarray([[2, 3, 5, 6, 5, 6], [7, 8, 7, 5, 5, 6]], np.int64)
CASES = [
    pool("plain", image(2, 3, 6, 5), kernel_shape=[2, 2], strides=[2, 2]),
    pool("pads", image(1, 2, 5, 7), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    pool("uneven pads", image(1, 2, 5, 7), kernel_shape=[3, 2], pads=[2, 0, 1, 1], strides=[2, 3]),
    pool("dilated", image(2, 1, 9, 8), kernel_shape=[3, 2], dilations=[2, 3]),
    pool("ceil", image(1, 1, 6, 6), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    pool("columns first", image(2, 2, 4, 6), kernel_shape=[2, 2], storage_order=1),
    pool("one dimension", image(2, 3, 11), kernel_shape=[3], pads=[1, 1]),
    pool("three dimensions", image(1, 2, 4, 5, 6), kernel_shape=[2, 3, 2], pads=[0, 1, 0, 1, 1, 1]),
    pool("an open batch", image(3, 2, 4, 4), {(0, 0): "batch"}, kernel_shape=[2, 2]),
    pool("below zero", -1 - image(1, 2, 4, 4), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    *(
        ngrams(f"{mode} {lengths} skipping {skips}", x, mode, max_skip_count=skips, min_gram_length=lengths[0],
               max_gram_length=lengths[1])
        for mode in ("TF", "IDF", "TFIDF")
        for lengths in ((1, 1), (1, 2), (2, 2))
        for skips in (0, 3)
        for x in (WORDS,)
    ),
    ngrams("a vector of i32", WORDS[0].astype(np.int32), "TF", min_gram_length=1, max_gram_length=2, max_skip_count=1),
    ngrams("too short", WORDS[:, :1], "TF", min_gram_length=2, max_gram_length=2, max_skip_count=0),
    onnx_case("diagonal", "Einsum", [RNG.random((4, 4), np.float32)], attributes={"equation": "ii->i"}),
    onnx_case("trace", "Einsum", [RNG.random((4, 4), np.float32)], attributes={"equation": "ii"}),
    onnx_case("open", "Einsum", [RNG.random((3, 4, 4), np.float32)], attributes={"equation": "bii->bi"},
              symbols={(0, 0): "b", (0, 1): "n", (0, 2): "n"}),
    onnx_case("first and last", "Einsum", [RNG.random((3, 2, 3), np.float32)], attributes={"equation": "iji->ji"}),
    onnx_case("product with a diagonal", "Einsum", [RNG.random((3, 3), np.float32), RNG.random((3, 5), np.float32)],
              attributes={"equation": "ii,ik->k"}),
    *(
        onnx_case(f"{bands} bands of {length}", "MelWeightMatrix",
                  [*(np.asarray(v, np.int64) for v in (bands, length, rate)), np.asarray(low, np.float32), np.asarray(high, np.float32)])
        for bands, length, rate, low, high in ((8, 16, 8192, 0, 4096), (40, 400, 16000, 20, 8000), (3, 64, 8000, 1, 9))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_onnx_runtime(case, tmp_path):
    check(case, tmp_path)


def model_of(tmp_path, op, inputs, **attributes):
    case = Case("random", op, inputs, attributes, domain="", opset=22)
    path = tmp_path / f"{op}.onnx"
    onnx.save(case.model([attributes.get("dtype", TensorProto.FLOAT)]), path)
    return lathe.compile(str(path), threads=2), case.feed()


def drawn(tmp_path, op, inputs, **attributes):
    model, feed = model_of(tmp_path, op, inputs, **attributes)
    return model(feed)["out0"]


LIKE = np.zeros((100, 300), np.float32)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "mean", "deviation"),
    [
        ("RandomUniform", [], {"shape": [100, 300], "low": 2.0, "high": 6.0}, 4, 4 / 12**0.5),
        ("RandomNormal", [], {"shape": [100, 300], "mean": 3.0, "scale": 2.0}, 3, 2),
        ("RandomUniformLike", [LIKE], {"seed": 4.0}, 0.5, 1 / 12**0.5),
        ("RandomNormalLike", [LIKE], {"dtype": TensorProto.DOUBLE}, 0, 1),
        ("Bernoulli", [LIKE + np.float32(0.2)], {}, 0.2, 0.4),
        (
            "Multinomial",
            [np.log(np.asarray([[1, 2, 5]] * 100, np.float32))],
            {"sample_size": 300, "dtype": 7},
            1.5,
            0.7071,
        ),
    ],
)
def test_random_numbers_are_distributed_as_they_should(tmp_path, op, inputs, attributes, mean, deviation):
    y = drawn(tmp_path, op, inputs, **attributes)
    assert y.shape == (100, 300)
    assert y.dtype == np.dtype(onnx.helper.tensor_dtype_to_np_dtype(attributes.get("dtype", TensorProto.FLOAT)))
    assert abs(y.mean() - mean) < 0.05 * (1 + abs(mean))
    assert abs(y.std() - deviation) < 0.05 * deviation
    # Columns differ from each other: no number decides another.
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 0.4


def test_the_seed_decides(tmp_path):
    first = drawn(tmp_path, "RandomNormalLike", [LIKE], seed=1.0)
    np.testing.assert_array_equal(first, drawn(tmp_path, "RandomNormalLike", [LIKE], seed=1.0))
    assert not np.array_equal(first, drawn(tmp_path, "RandomNormalLike", [LIKE], seed=2.0))
