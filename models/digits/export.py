# SPDX-License-Identifier: Apache-2.0
"""Writes digits.onnx and digits.pt2 from a checkpoint, and compares both with the network in PyTorch.

python models/digits/export.py --checkpoint build/digits.pt
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from evaluate import mean_ap, onnxruntime_detector, to_input
from network import Conv, Detector
from scenes import read
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDER = Path(__file__).parent
OPSET = 20


def folded(model: Detector) -> Detector:
    """Batch normalisation folded into the convolutions before it, in place."""
    for module in model.modules():
        if isinstance(module, Conv):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), torch.nn.Identity()
    return model


def strip_paths(file: Path) -> None:
    """Drops the exporter's notes (stack traces with local paths), which are no part of the model."""
    model = onnx.load(file)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for entry in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
    ):
        del entry.metadata_props[:]
        entry.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("build/digits.pt"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    model = Detector()
    model.load_state_dict(torch.load(arguments.checkpoint, weights_only=True))
    model.eval()
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        unfolded = model(image)
    folded(model).requires_grad_(False)

    onnx_file, pt2_file = arguments.out / "digits.onnx", arguments.out / "digits.pt2"
    torch.onnx.export(
        model, (image,), onnx_file, dynamo=True, external_data=False, opset_version=OPSET,
        input_names=["image"], output_names=["detections"],
    )  # fmt: skip
    strip_paths(onnx_file)
    program = torch.export.export(model, (image,))
    program.example_inputs = None  # 0.8 MB of noise
    for node in program.graph.nodes:  # local paths
        node.meta.pop("stack_trace", None)
    torch.export.save(program, pt2_file)

    samples = read(FOLDER / "scenes")
    again, session = torch.export.load(pt2_file).module(), onnxruntime_detector(onnx_file)
    inputs = [image.numpy()] + [to_input(s[0]) for s in samples[:20]]
    worst = {"folded": float((model(image) - unfolded).abs().max()), "onnx": 0.0, "pt2": 0.0}
    for x in inputs:
        expected = model(torch.from_numpy(x)).numpy()
        worst["onnx"] = max(worst["onnx"], float(np.abs(session(x) - expected).max()))
        worst["pt2"] = max(worst["pt2"], float(np.abs(again(torch.from_numpy(x)).numpy() - expected).max()))
    graph = onnx.load(onnx_file).graph
    print("nodes:", dict(sorted(Counter(n.op_type for n in graph.node).items())))
    print(
        "weights:",
        sum(int(np.prod(i.dims)) for i in graph.initializer),
        "bytes:",
        onnx_file.stat().st_size,
        pt2_file.stat().st_size,
    )
    print("largest difference from PyTorch (pixels and scores):", {k: f"{v:.2e}" for k, v in worst.items()})
    print(f"mAP@0.5 with ONNX Runtime: {mean_ap(session, samples):.4f}")
    if max(worst.values()) > 1e-2:
        raise SystemExit("the export differs from the network")


if __name__ == "__main__":
    main()
