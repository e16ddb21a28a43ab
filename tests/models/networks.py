# SPDX-License-Identifier: Apache-2.0
"""The networks of the model table: how each is made, with random weights, and what it is run on.

A network is (module, inputs). All are seeded; whatever a fresh network leaves without effect (layer scales of 1e-6,
residual branches that begin with zero, biases of zero, statistics of batch norms) gets a value first.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

Made = tuple[nn.Module, tuple[Any, ...]]
Make = Callable[[], Made]


def picture(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def awaken(module: nn.Module) -> None:
    """Gives parameters that are constant a value that has an effect."""
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if not p.is_floating_point() or p.numel() < 2 or not bool((p == p.flatten()[0]).all()):
                continue
            if name.endswith("bias"):
                p.add_(torch.randn(p.shape, generator=random) * 0.1)
            elif p.dim() <= 1 or name.rpartition(".")[2] in ("gamma", "weight", "ls1", "ls2", "layer_scale"):
                p.copy_(torch.rand(p.shape, generator=random) * 0.5 + 0.5)
            else:
                p.copy_(torch.randn(p.shape, generator=random) * 0.1)


def settle(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Batch norms take their statistics from a run, so that values neither grow nor fade from layer to layer."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    before = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.9
        m.train()
    two = tuple(torch.cat([x, x.flip(-1) * 0.7]) for x in inputs)
    for batch in (two, inputs):  # some take one picture alone
        try:
            with torch.no_grad():
                module(*batch)
            break
        except (ValueError, RuntimeError, TypeError):
            continue
    for m, momentum in zip(norms, before, strict=True):
        m.momentum = momentum
        m.eval()


def torchvision_network(name: str, size: int = 96, **options: Any) -> Make:
    def make() -> Made:
        import torchvision

        if "densenet" not in name and name in ("googlenet", "inception_v3"):
            options.setdefault("init_weights", False)
        module = torchvision.models.get_model(name, weights=None, **options)
        return module, (picture(size),)

    return make


def video_network(name: str, size: int, frames: int) -> Make:
    def make() -> Made:
        import torchvision

        module = torchvision.models.get_model(name, weights=None)
        x = torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(1))
        return module, (x,)

    return make


def segmentation_network(name: str, size: int = 64) -> Make:
    def make() -> Made:
        import torchvision

        module = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21)
        return module, (picture(size),)

    return make


def detection_network(name: str, size: int) -> Make:
    def make() -> Made:
        import detection

        return detection.make(name, size)

    return make


def timm_network(name: str, **options: Any) -> Make:
    def make() -> Made:
        import timm

        module = timm.create_model(name, pretrained=False, **options)
        size = options.get("img_size") or module.pretrained_cfg["input_size"][-1]
        return module, (picture(size if isinstance(size, int) else size[0]),)

    return make


def zoo_network(name: str) -> Make:
    """The networks that speed is measured with: shared/tools/zoo/models.py makes them."""

    def make() -> Made:
        path = Path(os.environ.get("LATHE_SHARED", "../shared")) / "tools" / "zoo" / "models.py"
        spec = importlib.util.spec_from_file_location("zoo_models", path)
        assert spec and spec.loader
        models = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(models)
        module, inputs, _, _ = models.build(name)
        return module, inputs

    return make


ZOO = (
    "resnet50 mobilenet_v2 mobilenetv3_large efficientnet_b0 yolo_n vit_tiny vit_base bert_base minilm convnext_tiny unet "
    "lstm_audio gru_audio gpt_step"
).split()

CLASSIFICATION: dict[str, dict[str, Any]] = {
    "alexnet": {},
    "convnext_tiny": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "efficientnet_v2_s": {},
    "googlenet": {"aux_logits": False},
    "inception_v3": {"size": 139, "aux_logits": False},
    "maxvit_t": {"size": 224},
    "mnasnet0_5": {},
    "mobilenet_v2": {},
    "mobilenet_v3_large": {},
    "mobilenet_v3_small": {},
    "regnet_x_400mf": {},
    "regnet_y_400mf": {},
    "resnet18": {},
    "resnet50": {},
    "resnext50_32x4d": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_0": {},
    "squeezenet1_1": {},
    "swin_t": {},
    "swin_v2_t": {"size": 128},
    "vgg11": {},
    "vgg11_bn": {},
    "vit_b_32": {"image_size": 96},
    "wide_resnet50_2": {"size": 64},
}
SEGMENTATION = "deeplabv3_mobilenet_v3_large deeplabv3_resnet50 fcn_resnet50 lraspp_mobilenet_v3_large".split()
DETECTION: dict[str, int] = {
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
    "retinanet_resnet50_fpn": 128,
    "retinanet_resnet50_fpn_v2": 128,
    "fcos_resnet50_fpn": 128,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 128,
    "fasterrcnn_resnet50_fpn": 128,
    "fasterrcnn_resnet50_fpn_v2": 128,
    "maskrcnn_resnet50_fpn": 128,
    "keypointrcnn_resnet50_fpn": 128,
}
VIDEO: dict[str, tuple[int, int]] = {
    "r3d_18": (56, 8),
    "mc3_18": (56, 8),
    "r2plus1d_18": (56, 8),
    "s3d": (224, 16),
    "swin3d_t": (64, 8),
    "mvit_v2_s": (224, 16),
}

# One small variant of each family.
TIMM = """
beit_base_patch16_224 botnet26t_256 halonet26t gernet_s lambda_resnet26t cait_xxs24_224 coat_lite_tiny convit_tiny
convmixer_768_32 convnext_atto convnextv2_atto crossvit_9_240 cs3darknet_s cspresnet50 davit_tiny deit_tiny_distilled_patch16_224
densenet121 dla46_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_lite0 mixnet_s
tf_efficientnetv2_b0 efficientvim_m1 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8
focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hrnet_w18_small inception_next_atto
inception_resnet_v2 inception_v4 lcnet_050 levit_128s mambaout_femto coatnet_nano_rw_224 maxvit_pico_rw_256 poolformer_s12
caformer_s18 mixer_s32_224 gmlp_ti16_224 resmlp_12_224 mobilenetv3_small_050 fbnetv3_b mobilenetv4_conv_small mobilevit_xxs
mobilevitv2_050 mvitv2_tiny nest_tiny nextvit_small nf_resnet26 eca_nfnet_l0 pit_ti_224 pvt_v2_b0 rdnet_tiny regnety_002
repghostnet_050 repvit_m0_9 repvgg_a0 res2net50_14w_8s resnest14d resnet10t seresnet18 ecaresnet26t resnetv2_18 resnetv2_50x1_bit rexnet_100
selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_svt_small visformer_tiny
vit_tiny_patch16_224 vit_small_r26_s32_224 vit_relpos_small_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw
xception41 legacy_xception xcit_nano_12_p16_224 vit_small_patch16_dinov3 vit_small_patch16_rope_224
""".split()

GROUPS: dict[str, dict[str, Make]] = {
    "zoo": {name: zoo_network(name) for name in ZOO},
    "torchvision classification": {name: torchvision_network(name, **o) for name, o in CLASSIFICATION.items()},
    "torchvision segmentation": {name: segmentation_network(name) for name in SEGMENTATION},
    "torchvision detection": {name: detection_network(name, size) for name, size in DETECTION.items()},
    "torchvision video": {name: video_network(name, *size) for name, size in VIDEO.items()},
    "timm": {name: timm_network(name) for name in TIMM},
}


def build(group: str, name: str) -> Made:
    torch.manual_seed(0)
    module, inputs = GROUPS[group][name]()
    module.eval()
    if group != "zoo":
        awaken(module)
        settle(module, inputs)
    return module.eval(), inputs
