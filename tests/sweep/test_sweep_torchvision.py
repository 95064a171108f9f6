"""Families of torchvision: name → (image size, number of residual forks; None: not known from the paper)."""

from __future__ import annotations

import pytest
import torch

from sweep.checks import awake, check_paths, check_trace, image_step

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NETS = {
    "convnext_tiny": (64, 18),
    "densenet121": (64, 58),
    "efficientnet_b0": (64, 9),
    "efficientnet_v2_s": (64, 35),
    "googlenet": (96, 0),
    "inception_v3": (299, 0),
    "maxvit_t": (224, 55),
    "mnasnet0_5": (64, 10),
    "mobilenet_v2": (64, 10),
    "mobilenet_v3_small": (64, 6),
    "regnet_x_400mf": (64, 22),
    "regnet_y_400mf": (64, 16),
    "resnet18": (64, 8),
    "resnet50": (64, 16),
    "resnext50_32x4d": (64, 16),
    "shufflenet_v2_x0_5": (64, None),
    "squeezenet1_0": (64, 0),
    "swin_t": (64, 24),
    "swin_v2_t": (64, 24),
    "lraspp_mobilenet_v3_large": (64, None),
    "fcn_resnet50": (64, 16),
}


@pytest.mark.parametrize("name", NETS)
def test_a_family_of_torchvision(torchvision_models, name):
    size, forks = NETS[name]
    torch.manual_seed(0)
    more = {"weights_backbone": None} if name.startswith(("fcn", "lraspp")) else {}
    model = awake(torchvision_models.get_model(name, weights=None, **more))
    images = torch.randn(2, 3, size, size)
    flow = check_trace(model, images, image_step, forks)
    check_paths(model, images, image_step, flow)


def test_a_vision_transformer_of_the_usual_size(torchvision_models):
    torch.manual_seed(0)
    model = awake(torchvision_models.VisionTransformer(32, 16, 12, 3, 192, 768))
    images = torch.randn(2, 3, 32, 32)
    check_paths(model, images, image_step, check_trace(model, images, image_step, 24))
