# SPDX-License-Identifier: Apache-2.0
"""The operators of ai.onnx.ml against ONNX Runtime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import numpy_helper
from single_node import Case, check

pytest.importorskip("onnxruntime")

random = np.random.default_rng(11)
FEATURES = 5
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


def f32(*shape):
    return random.standard_normal(shape).astype(np.float32)


def forest(trees, depth, ids, prefix, modes=MODES[:1], positive=False, missing=False, each=1):
    """Random trees: `ids` are the targets, each leaf has weights of `each` of them."""
    nodes = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")}
    weights = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(trees):
        count = 2 ** (depth + 1) - 1
        for node in range(count):
            leaf = node >= 2**depth - 1
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if leaf else int(random.integers(FEATURES)))
            nodes["modes"].append("LEAF" if leaf else str(random.choice(modes)))
            nodes["values"].append(0.0 if leaf else float(np.float32(random.integers(-4, 5) / 4)))
            nodes["truenodeids"].append(0 if leaf else 2 * node + 1)
            nodes["falsenodeids"].append(0 if leaf else 2 * node + 2)
            for target in random.choice(ids, each, replace=False) if leaf else ():
                weights["treeids"].append(tree)
                weights["nodeids"].append(node)
                weights["ids"].append(int(target))
                w = random.random() if positive else random.standard_normal()
                weights["weights"].append(float(np.float32(w)))
    attributes = {f"nodes_{k}": v for k, v in nodes.items()} | {f"{prefix}_{k}": v for k, v in weights.items()}
    if missing:
        attributes["nodes_missing_value_tracks_true"] = [int(v) for v in random.integers(0, 2, len(nodes["treeids"]))]
    return attributes


def case(name, op, inputs, attributes=None, version=3, **more):
    return Case(name, op, inputs, attributes or {}, domain="ai.onnx.ml", version=version, **more)


def samples(rows=9):
    # Quarters: some hit the splits exactly.
    return (random.integers(-6, 7, (rows, FEATURES)) / 4).astype(np.float32)


def trees():
    op = "TreeEnsembleRegressor"
    x = samples()
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        # Every leaf scores both targets: ONNX Runtime gives no base value to a target that no leaf of a row has scored.
        attributes = forest(4, 3, [0, 1], "target", each=2) | {"n_targets": 2, "aggregate_function": aggregate}
        yield case(aggregate.lower(), op, [x], attributes | {"base_values": [0.5, -0.25]})
    yield case("modes", op, [samples(40)], forest(3, 4, [0], "target", MODES) | {"n_targets": 1})
    holes = x.copy()
    holes[::2, ::2] = np.nan
    yield case("missing", op, [holes], forest(3, 3, [0], "target", missing=True) | {"n_targets": 1})
    yield case("f64", op, [x.astype(np.float64)], forest(3, 3, [0], "target") | {"n_targets": 1})
    yield case("stump", op, [x], forest(2, 0, [0], "target") | {"n_targets": 1})
    rows = {(0, 0): "rows"}
    yield case("any rows", op, [samples(70)], forest(5, 4, [0, 1, 2], "target") | {"n_targets": 3}, symbols=rows)
    for kind in ("SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
        attributes = forest(2, 2, [0, 1, 2], "target") | {"n_targets": 3, "post_transform": kind}
        yield case(kind.lower(), op, [x], attributes)
    attributes = forest(1, 2, [0], "target", positive=True) | {"n_targets": 1, "post_transform": "PROBIT"}
    yield case("probit", op, [x], attributes)

    op, both = "TreeEnsembleClassifier", {"outputs": (0, 1)}
    labels = {"classlabels_int64s": [3, 7, 11]}
    yield case("three", op, [x], forest(4, 3, [0, 1, 2], "class", each=3) | labels, **both)
    attributes = forest(4, 3, [0, 1, 2], "class", each=3) | labels | {"post_transform": "SOFTMAX"}
    yield case("three, softmax", op, [x], attributes | {"base_values": [0.1, 0.2, -0.3]}, **both)
    pair = {"classlabels_int64s": [0, 1]}
    for positive, kind, only in itertools.product((True, False), ("NONE", "LOGISTIC"), (0, 1)):
        attributes = forest(4, 3, [only], "class", positive=positive) | pair | {"post_transform": kind}
        yield case(f"two, {only} {'positive' if positive else 'mixed'}, {kind.lower()}", op, [x], attributes, **both)
    yield case("two, base", op, [x], forest(4, 3, [0], "class") | pair | {"base_values": [0.75]}, **both)
    double = forest(4, 3, [0, 1, 2], "class", each=3) | labels
    yield case("f64", op, [x.astype(np.float64)], double, **both)


def new_trees():
    def tensor(values, dtype=np.float32):
        return numpy_helper.from_array(np.array(values, dtype))

    attributes = {
        "n_targets": 2,
        "tree_roots": [0, 2],
        "nodes_featureids": [0, 1, 2],
        "nodes_splits": tensor([0.25, -0.5, 1.0]),
        "nodes_modes": tensor([0, 4, 3], np.uint8),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 4],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1, 0],
        "leaf_weights": tensor([1.5, -2.0, 0.75, 0.5, 3.0]),
    }
    for aggregate in range(4):
        more = {"aggregate_function": aggregate}
        yield case(f"aggregate {aggregate}", "TreeEnsemble", [samples()], attributes | more, version=5)
    for transform, theirs in ((1, 2), (2, 1)):  # ONNX Runtime exchanges softmax and logistic
        x = samples()
        twin = case("", "TreeEnsemble", [x], attributes | {"post_transform": theirs}, version=5)
        more = {"post_transform": transform}
        yield case(f"transform {transform}", "TreeEnsemble", [x], attributes | more, version=5, twin=twin)


def linear():
    x = f32(6, FEATURES)
    for targets in (1, 3):
        weights = {"coefficients": f32(targets * FEATURES).tolist(), "intercepts": f32(targets).tolist()}
        # ONNX Runtime transforms no single score.
        for kind in ("NONE", "LOGISTIC", "SOFTMAX") if targets > 1 else ("NONE",):
            attributes = weights | {"targets": targets, "post_transform": kind}
            yield case(f"{targets} {kind.lower()}", "LinearRegressor", [x], attributes, version=1)
    weights = {"coefficients": f32(3 * FEATURES).tolist(), "intercepts": f32(3).tolist()}
    both = {"outputs": (0, 1), "version": 1}
    for kind in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        attributes = weights | {"classlabels_ints": [5, 6, 7], "post_transform": kind}
        yield case(f"three {kind.lower()}", "LinearClassifier", [x], attributes, **both)
    weights = {"coefficients": f32(FEATURES).tolist(), "intercepts": f32(1).tolist(), "classlabels_ints": [0, 1]}
    yield case("one row", "LinearClassifier", [x], weights, **both)
    for kind in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        for one_class in (0, 1):
            attributes = {
                "kernel_type": kind,
                "kernel_params": [0.3, 0.2, 2.0],
                "n_supports": 4,
                "support_vectors": f32(4 * FEATURES).tolist(),
                "coefficients": f32(4).tolist(),
                "rho": [0.1],
                "one_class": one_class,
            }
            yield case(f"{kind.lower()} {one_class}", "SVMRegressor", [x], attributes, version=1)


def encoders():
    x = f32(4, 3)
    ones = {"version": 1}
    each = {"offset": [0.5, -1.0, 2.0], "scale": [2.0, 0.5, 3.0]}
    yield case("each", "Scaler", [x], each, **ones)
    yield case(
        "one", "Scaler", [np.arange(12, dtype=np.int64).reshape(4, 3)], {"offset": [1.0], "scale": [0.5]}, **ones
    )
    zeros = x.copy()
    zeros[1] = 0
    for norm in ("MAX", "L1", "L2"):
        yield case(norm, "Normalizer", [np.abs(zeros)], {"norm": norm}, **ones)
    yield case("plain", "Binarizer", [x], {"threshold": 0.2}, **ones)
    yield case(
        "i64",
        "Imputer",
        [np.array([[1, -1], [-1, 4]])],
        {"replaced_value_int64": -1, "imputed_value_int64s": [9]},
        **ones,
    )
    holes = x.copy()
    holes[0, 0] = holes[2, 1] = np.nan
    nan = {"replaced_value_float": float("nan"), "imputed_value_floats": [1.0, 2.0, 3.0]}
    yield case("NaN", "Imputer", [holes], nan, **ones)
    yield case("columns", "ArrayFeatureExtractor", [x, np.array([[2, 0]])], **ones)
    yield case("vector", "ArrayFeatureExtractor", [f32(5), np.array([4, 0, 0])], **ones)
    yield case("two", "FeatureVectorizer", [x, f32(4, 2)], {"inputdimensions": [3, 2]}, **ones)
    keys = np.array([[4, 1, 2], [7, 4, -3]])
    yield case("known", "OneHotEncoder", [keys], {"cats_int64s": [1, 2, 4], "zeros": 1}, **ones)
    yield case("floats", "OneHotEncoder", [np.array([[1.0, 2.0]], np.float32)], {"cats_int64s": [2, 1, 4]}, **ones)
    table = {"keys_int64s": [4, 1, 7], "values_int64s": [40, 10, 70], "default_int64": -5}
    yield case("i64 to i64", "LabelEncoder", [keys], table, version=2)
    table = {"keys_int64s": [4, 1, 7], "values_floats": [0.4, 0.1, 0.7], "default_float": 9.0}
    yield case("i64 to f32", "LabelEncoder", [keys], table, version=2)
    numbers = np.array([1.5, np.nan, -2.0, 0.25], np.float32)
    table = {"keys_floats": [float("nan"), 1.5, 0.25], "values_int64s": [3, 2, 1]}
    yield case("f32 to i64", "LabelEncoder", [numbers], table, version=4)


CASES = [c for group in (trees, new_trees, linear, encoders) for c in group()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_onnxruntime(case, tmp_path):
    check(case, tmp_path)


def test_a_category_that_is_none_is_an_error_where_zeros_are_not_allowed(tmp_path):
    import lathe
    import onnx

    strict = case("", "OneHotEncoder", [np.array([[1, 3]])], {"cats_int64s": [1, 2], "zeros": 0}, version=1)
    onnx.save(strict.model(), tmp_path / "m.onnx")
    with pytest.raises(lathe.Error, match="index"):
        lathe.compile(str(tmp_path / "m.onnx"))(strict.feed())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"nodes_truenodeids": [1, 1, 0], "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"]}, "no root|two parents"),
        ({"nodes_falsenodeids": [9, 0, 0]}, "no node 9"),
        ({"nodes_nodeids": [0, 1, 1]}, "twice"),
        ({"target_ids": [5, 0]}, "target 5"),
        ({"nodes_values": [1.0]}, "length"),
        ({"target_nodeids": [0, 2]}, "leaf"),
    ],
)
def test_damaged_trees_are_refused(tmp_path, change, why):
    import lathe
    import onnx

    attributes = forest(1, 1, [0], "target") | {"n_targets": 1} | change
    onnx.save(case("", "TreeEnsembleRegressor", [samples()], attributes).model(), tmp_path / "m.onnx")
    with pytest.raises(lathe.Error, match=why):
        lathe.compile(str(tmp_path / "m.onnx"))
