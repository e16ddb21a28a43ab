# SPDX-License-Identifier: Apache-2.0
"""torchvision's detectors as torch.export takes them.

torch.export (2.15) refuses four places of torchvision (0.29) that look at how many boxes there are. They are replaced
here, before anything runs, so that eager and lathe compute the same: batched_nms always moves classes apart instead
of choosing a way by the number of boxes; the pooler takes the count as a size; masks are not pasted into the picture and
keypoints are left as heat maps, which torchvision does box by box.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.detection import roi_heads, transform
from torchvision.ops import boxes as box_ops
from torchvision.ops import poolers


def batched_nms_on(size: float) -> Any:
    """No maximum over boxes, of which there may be none: pictures are smaller than `size`."""

    def nms(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, threshold: float) -> torch.Tensor:
        return torchvision.ops.nms(boxes + (labels.to(boxes) * size)[:, None], scores, threshold)

    return nms


def roi_align_of_levels(
    features: list[torch.Tensor],
    boxes: list[torch.Tensor],
    output_size: Any,
    sampling_ratio: int,
    scales: Any,
    mapper: Any,
) -> torch.Tensor:
    rois = poolers._convert_to_roi_format(boxes)
    levels = mapper(boxes)
    result = torch.zeros((rois.shape[0], features[0].shape[1], *output_size))
    for level, (feature, scale) in enumerate(zip(features, scales)):
        here = torch.where(levels == level)[0]
        result[here] = torchvision.ops.roi_align(feature, rois[here], output_size, scale, sampling_ratio)
    return result


def replace(size: float) -> None:
    box_ops.batched_nms = batched_nms_on(size)
    poolers._multiscale_roi_align = roi_align_of_levels
    transform.paste_masks_in_image = lambda masks, boxes, shape: masks
    transform.resize_keypoints = lambda keypoints, old, new: keypoints
    roi_heads.keypointrcnn_inference = lambda maps, boxes: ([maps], [maps.amax((2, 3))])


class OnePicture(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, picture: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.detector([picture])[0]


# Factors and thresholds with which random weights find something.
BOOST = {
    "ssdlite320_mobilenet_v3_large": 30,
    "retinanet_resnet50_fpn": 3,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 30,
    "fasterrcnn_resnet50_fpn": 30,
    "fasterrcnn_resnet50_fpn_v2": 30,
    "maskrcnn_resnet50_fpn": 30,
}
SCORES = {
    "ssd300_vgg16": 0.03,
    "ssdlite320_mobilenet_v3_large": 0.85,
    "retinanet_resnet50_fpn": 0.02,
    "retinanet_resnet50_fpn_v2": 0.02,
    "fcos_resnet50_fpn": 0.1,
}


def make(name: str, size: int) -> tuple[nn.Module, tuple[torch.Tensor]]:
    replace(2 * size)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    if name.startswith("ssd"):
        options |= {"score_thresh": SCORES[name], "detections_per_img": 50}
    elif name in SCORES:
        options |= {"score_thresh": SCORES[name], "min_size": size, "max_size": size, "detections_per_img": 50}
    else:
        options |= {"min_size": size, "max_size": size, "box_score_thresh": 0.02, "box_detections_per_img": 20}
        options |= {"rpn_post_nms_top_n_test": 60, "rpn_pre_nms_top_n_test": 200}
    module = OnePicture(getattr(torchvision.models.detection, name)(**options))
    with torch.no_grad():
        for key, p in module.named_parameters():
            if "cls" in key and key.endswith("weight") or "classification_head" in key and p.dim() == 4:
                p.mul_(BOOST.get(name, 1))  # else all scores are about the same
    picture = torch.rand(3, size, size, generator=torch.Generator().manual_seed(1))
    return module, (picture,)
