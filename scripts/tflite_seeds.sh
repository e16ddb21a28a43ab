#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the seeds of fuzz/tflite.cpp, fuzz/corpus/tflite/, from the descriptions below.
set -euo pipefail
cd "$(dirname "$0")/.."
out=fuzz/corpus/tflite
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

seed() { # name; the model as JSON on standard input
  cat >"$work/$1.json"
  flatc --binary -o "$work" src/import/tflite/schema.fbs "$work/$1.json"
  mv "$work/$1.bin" "$out/$1.tflite"
}

seed dense <<'JSON'
{ "version": 3, "operator_codes": [{ "deprecated_builtin_code": 9, "builtin_code": 9 }],
  "buffers": [{}, { "data": [0,0,128,63, 0,0,0,64, 0,0,64,64, 0,0,128,64] }],
  "subgraphs": [{ "tensors": [
      { "shape": [1, 2], "name": "x", "shape_signature": [-1, 2] },
      { "shape": [2, 2], "buffer": 1, "name": "w" }, { "shape": [1, 2], "name": "y" }],
    "inputs": [0], "outputs": [2],
    "operators": [{ "inputs": [0, 1, -1], "outputs": [2], "builtin_options_type": "FullyConnectedOptions",
                    "builtin_options": { "activation": "RELU6" } }] }] }
JSON

seed conv_int8 <<'JSON'
{ "version": 3, "operator_codes": [{ "deprecated_builtin_code": 3, "builtin_code": 3 },
                                   { "deprecated_builtin_code": 25, "builtin_code": 25 }],
  "buffers": [{}, { "data": [1, 2, 3, 255, 5, 6, 7, 8] }, { "data": [1,0,0,0, 2,0,0,0] }],
  "subgraphs": [{ "tensors": [
      { "shape": [1, 3, 3, 1], "type": "INT8", "name": "x", "quantization": { "scale": [0.5], "zero_point": [3] } },
      { "shape": [2, 2, 2, 1], "type": "INT8", "buffer": 1, "name": "w",
        "quantization": { "scale": [0.1, 0.2], "zero_point": [0, 0] } },
      { "shape": [2], "type": "INT32", "buffer": 2, "name": "b", "quantization": { "scale": [0.05, 0.1], "zero_point": [0, 0] } },
      { "shape": [1, 3, 3, 2], "type": "INT8", "name": "h", "quantization": { "scale": [0.7], "zero_point": [-4] } },
      { "shape": [1, 3, 3, 2], "type": "INT8", "name": "y", "quantization": { "scale": [0.00390625], "zero_point": [-128] } }],
    "inputs": [0], "outputs": [4],
    "operators": [
      { "inputs": [0, 1, 2], "outputs": [3], "builtin_options_type": "Conv2DOptions",
        "builtin_options": { "stride_w": 1, "stride_h": 1 } },
      { "opcode_index": 1, "inputs": [3], "outputs": [4], "builtin_options_type": "SoftmaxOptions", "builtin_options": { "beta": 1 } }] }] }
JSON

seed loop <<'JSON'
{ "version": 3, "operator_codes": [{ "deprecated_builtin_code": 119, "builtin_code": 119 },
                                   { "deprecated_builtin_code": 58, "builtin_code": 58 }, {}],
  "buffers": [{}, { "data": [0,0,0,0] }, { "data": [3,0,0,0] }, { "data": [1,0,0,0] }],
  "subgraphs": [
    { "tensors": [{ "shape": [], "type": "INT32", "buffer": 1, "name": "i" }, { "shape": [2], "name": "x" },
                  { "shape": [], "type": "INT32", "name": "end" }, { "shape": [2], "name": "y" }],
      "inputs": [1], "outputs": [3],
      "operators": [{ "inputs": [0, 1], "outputs": [2, 3], "builtin_options_type": "WhileOptions",
                      "builtin_options": { "cond_subgraph": 1, "body_subgraph": 2 } }] },
    { "tensors": [{ "shape": [], "type": "INT32", "name": "i" }, { "shape": [2], "name": "x" },
                  { "shape": [], "type": "INT32", "buffer": 2, "name": "n" }, { "shape": [], "type": "BOOL", "name": "go" }],
      "inputs": [0, 1], "outputs": [3], "operators": [{ "opcode_index": 1, "inputs": [0, 2], "outputs": [3] }] },
    { "tensors": [{ "shape": [], "type": "INT32", "name": "i" }, { "shape": [2], "name": "x" },
                  { "shape": [], "type": "INT32", "buffer": 3, "name": "one" },
                  { "shape": [], "type": "INT32", "name": "next" }, { "shape": [2], "name": "twice" }],
      "inputs": [0, 1], "outputs": [3, 4],
      "operators": [{ "opcode_index": 2, "inputs": [0, 2], "outputs": [3] },
                    { "opcode_index": 2, "inputs": [1, 1], "outputs": [4] }] }],
  "signature_defs": [{ "signature_key": "serve", "subgraph_index": 0,
                       "inputs": [{ "name": "a", "tensor_index": 1 }], "outputs": [{ "name": "b", "tensor_index": 3 }] }] }
JSON

seed sparse <<'JSON'
{ "version": 3, "operator_codes": [{}],
  "buffers": [{}, { "data": [0,0,128,63, 0,0,0,64] }],
  "subgraphs": [{ "tensors": [
      { "shape": [2, 3], "name": "x" },
      { "shape": [2, 3], "buffer": 1, "name": "w", "sparsity": { "traversal_order": [0, 1], "dim_metadata": [
          { "dense_size": 2 }, { "format": "SPARSE_CSR", "array_segments_type": "Int32Vector",
            "array_segments": { "values": [0, 1, 2] }, "array_indices_type": "Uint8Vector", "array_indices": { "values": [0, 1] } }] } },
      { "shape": [2, 3], "name": "y" }],
    "inputs": [0], "outputs": [2],
    "operators": [{ "inputs": [0, 1], "outputs": [2] }] }] }
JSON
ls -l "$out"
