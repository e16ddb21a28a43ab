# SPDX-License-Identifier: Apache-2.0
"""The models of test_keras.py, written by Keras: `python keras_models.py FOLDER`. keras_files/layers.tar.xz holds what Keras
3.15 wrote; after a change here make it again: `tar --sort=name --owner=0 --group=0 -cf - * | xz -9e` in the folder."""

from __future__ import annotations

import sys

import keras
import numpy as np
from keras import layers as L  # noqa: N812 - as its users call it
from keras import ops

# name → expression of a model; L: keras.layers, I: keras.Input, S: keras.Sequential, M: keras.Model, ops: keras.ops.
MODELS = {
    "dense": "S([I((7,)), L.Dense(5, 'relu'), L.Dense(3, 'softmax')])",
    "dense_of_sequence": "S([I((4, 7)), L.Dense(5, 'gelu', use_bias=False), L.Flatten(), L.Dense(2)])",
    "activations": "M(x := I((9,)), L.Concatenate()([L.Activation(a)(x) for a in ACTIVATIONS]))",
    "activation_layers": (
        "M(x := I((4, 6)), L.Concatenate()([L.ReLU()(x), L.ReLU(max_value=0.5, negative_slope=0.1)(x), L.LeakyReLU(0.2)(x),"
        " L.ELU(0.7)(x), L.PReLU()(x), L.Softmax(axis=1)(x), L.Dropout(0.5)(x)]))"
    ),
    "conv2d": "S([I((9, 10, 3)), L.Conv2D(4, 3, padding='same', activation='relu'), L.Conv2D(6, (2, 3), strides=2)])",
    "conv2d_same_strided": "S([I((9, 10, 4)), L.Conv2D(4, 3, strides=2, padding='same', groups=2)])",
    "conv2d_dilated": "S([I((12, 12, 3)), L.Conv2D(4, 3, dilation_rate=2, padding='same')])",
    "conv1d": "S([I((12, 3)), L.Conv1D(4, 3, padding='causal', dilation_rate=2), L.Conv1D(5, 3, strides=2, padding='same')])",
    "depthwise": "S([I((8, 8, 4)), L.DepthwiseConv2D(3, depth_multiplier=2, padding='same'), L.DepthwiseConv2D(3)])",
    "depthwise_1d": "S([I((9, 4)), L.DepthwiseConv1D(3, padding='same')])",
    "separable": "S([I((8, 8, 4)), L.SeparableConv2D(6, 3, padding='same', activation='relu')])",
    "separable_1d": "S([I((9, 4)), L.SeparableConv1D(6, 3)])",
    "conv_transpose": "S([I((5, 6, 3)), L.Conv2DTranspose(4, 3, strides=2, padding='same'), L.Conv2DTranspose(2, 3)])",
    "conv_transpose_1d": "S([I((5, 3)), L.Conv1DTranspose(4, 4, strides=2, padding='same')])",
    "pools": (
        "M(x := I((9, 9, 3)), [L.MaxPooling2D()(x), L.AveragePooling2D(3, strides=2, padding='same')(x),"
        " L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D(keepdims=True)(x)])"
    ),
    "pools_1d": "M(x := I((9, 3)), [L.MaxPooling1D(3, 2)(x), L.AveragePooling1D(2)(x), L.GlobalMaxPooling1D()(x)])",
    "edges": (
        "M(x := I((6, 7, 2)), [L.ZeroPadding2D(((1, 2), (0, 3)))(x), L.Cropping2D(((1, 0), (2, 1)))(x),"
        " L.UpSampling2D(2)(x), L.UpSampling2D((2, 3), interpolation='bilinear')(x)])"
    ),
    "edges_1d": "M(x := I((6, 2)), [L.ZeroPadding1D(2)(x), L.Cropping1D((1, 2))(x), L.UpSampling1D(3)(x)])",
    "resizing": "M(x := I((6, 8, 2)), [L.Resizing(9, 5)(x), L.Resizing(3, 4, interpolation='nearest')(x)])",
    "norms": (
        "M(x := I((4, 5, 6)), [L.BatchNormalization()(x), L.BatchNormalization(axis=1, scale=False)(x),"
        " L.LayerNormalization()(x), L.LayerNormalization(axis=(2, 3), center=False)(x), L.GroupNormalization(3)(x),"
        " L.UnitNormalization()(x)])"
    ),
    "preprocessing": "S([I((4, 5, 3)), L.Rescaling(1 / 127.5, offset=-1.0), L.Conv2D(2, 1)])",
    "normalization": "S([I((3,)), L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 0.25]), L.Dense(2)])",
    "shapes": (
        "M(x := I((4, 6)), [L.Reshape((3, -1))(x), L.Permute((2, 1))(x), L.RepeatVector(3)(L.Flatten()(x)),"
        " L.Flatten()(x)])"
    ),
    "merges": (
        "M([x := I((5,)), y := I((5,))], [L.Add()([x, y]), L.Subtract()([x, y]), L.Multiply()([x, y, x]),"
        " L.Average()([x, y]), L.Maximum()([x, y]), L.Minimum()([x, y]), L.Concatenate(axis=1)([x, y])])"
    ),
    "functions": "M(x := I((4, 5)), [x + 1.0, (x * 2.0 - x) / 3.0, ops.mean(x, axis=1), ops.max(x, axis=-1, keepdims=True)])",
    "lstm": "S([I((6, 3)), L.LSTM(4, return_sequences=True), L.LSTM(5)])",
    "gru": "S([I((6, 3)), L.GRU(4, return_sequences=True), L.GRU(5, reset_after=False)])",
    "simple_rnn": "S([I((6, 3)), L.SimpleRNN(4, return_sequences=True), L.SimpleRNN(5, go_backwards=True)])",
    "bidirectional": (
        "S([I((6, 3)), L.Bidirectional(L.GRU(4, return_sequences=True)), L.Bidirectional(L.LSTM(3), merge_mode='sum')])"
    ),
    "time_distributed": "S([I((4, 6, 6, 2)), L.TimeDistributed(L.Conv2D(3, 3)), L.TimeDistributed(L.Flatten())])",
    "embedding": "S([I((6,), dtype='int32'), L.Embedding(10, 4), L.GlobalAveragePooling1D(), L.Dense(2)])",
    "attention": (
        "M(x := I((5, 8)), L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x) + L.MultiHeadAttention(2, 3)(x, x,"
        " use_causal_mask=True)))"
    ),
    "shared": "M([x := I((5,)), y := I((5,))], L.Concatenate()([(d := L.Dense(3, 'tanh'))(x), d(y), L.Dense(2)(d(x))]))",
    "nested": (
        "M(x := I((8, 8, 3)), L.Dense(2)(S([I((8, 8, 3)), L.Conv2D(4, 3), L.BatchNormalization(), L.Flatten(),"
        " L.Dense(5)], name='inner')(x)))"
    ),
    "same_classes": "M(x := I((5,)), L.Add()([L.Dense(4, name='z')(x), L.Dense(4, name='a')(x), L.Dense(4, name='m')(x)]))",
}
ACTIVATIONS = (
    "linear relu sigmoid tanh softplus softsign selu exponential mish silu hard_silu elu gelu leaky_relu relu6 hard_sigmoid"
    " softmax log_softmax"
).split()


def write(folder: str) -> None:
    """Every model as .keras and .h5, and what it gives."""
    names = {"L": L, "ops": ops, "S": keras.Sequential, "M": keras.Model, "I": keras.Input, "ACTIVATIONS": ACTIVATIONS}
    for name, text in MODELS.items():
        keras.utils.set_random_seed(1)
        model = eval(text, dict(names))
        random = np.random.default_rng(2)
        for v in model.variables:
            if not str(v.dtype).startswith("float"):
                continue
            values = random.normal(size=v.shape)
            v.assign(np.abs(values) + 0.5 if "variance" in v.path else values * 0.5)
        feed = [
            random.integers(0, 10, (2, *x.shape[1:])).astype("int32")
            if str(x.dtype).startswith("int")
            else random.normal(size=(2, *x.shape[1:])).astype("float32")
            for x in model.inputs
        ]
        wanted = model(feed if len(feed) > 1 else feed[0])
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        arrays = {f"in{i}": x for i, x in enumerate(feed)}
        arrays |= {f"out{i}": ops.convert_to_numpy(x) for i, x in enumerate(wanted)}
        np.savez(f"{folder}/{name}.npz", **arrays)
        model.save(f"{folder}/{name}.keras")
        model.save(f"{folder}/{name}.h5")


if __name__ == "__main__":
    write(sys.argv[1])
