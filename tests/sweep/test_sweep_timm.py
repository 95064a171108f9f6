"""Architectures of timm: name → (image size, number of residual forks; None: not known from the paper)."""

from __future__ import annotations

import pytest
import torch

from sweep.checks import awake, check_paths, check_trace, image_step

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NETS = {
    # residual
    "resnet18": (64, 8),
    "resnet50": (64, 16),
    "resnet50d": (64, 16),  # average pool and projection: option D
    "resnetv2_50": (64, 16),  # pre-activation
    "nf_resnet50": (64, 16),
    "seresnet50": (64, 16),
    "skresnet18": (64, 8),
    "resnest14d": (64, 4),
    "eca_nfnet_l0": (64, 12),
    "regnetx_002": (64, 13),
    "regnety_002": (64, 13),
    "gernet_s": (64, 14),
    "tresnet_m": (64, 21),
    "darknet53": (64, 23),
    "cspdarknet53": (64, 23),
    "cspresnet50": (64, 13),
    "res2net50_26w_4s": (64, None),
    "dla34": (64, None),
    "hrnet_w18_small": (64, None),
    "xception41": (96, 12),
    "inception_resnet_v2": (96, 40),
    # small ones: a residual fork where stride and channels allow it
    "efficientnet_b0": (64, 9),
    "mobilenetv2_050": (64, 10),
    "mobilenetv3_small_100": (64, 6),
    "ghostnet_050": (64, 43),  # 11 blocks with an identity, 32 ghost modules
    "rexnet_100": (64, None),
    "tf_efficientnetv2_b0": (64, None),
    "repvgg_a0": (64, 21),
    "fastvit_t8": (64, None),
    # dense
    "densenet121": (64, 58),
    "vovnet39a": (64, 30),
    "ese_vovnet19b_dw": (64, 12),
    "selecsls42": (64, None),
    "dpn68": (64, 18),  # 22 blocks, 4 of them with a pre-activated, not linear shortcut
    # plain and inception
    "vgg11_bn": (32, 0),
    "inception_v3": (96, 0),
    "inception_v4": (96, 0),
    # attention, and what took its place: two forks a block
    "vit_tiny_patch16_224": (32, 24),
    "deit_tiny_patch16_224": (32, 24),
    "cait_xxs24_224": (32, 52),
    "swin_tiny_patch4_window7_224": (56, 24),
    "maxvit_nano_rw_256": (64, 35),  # 7 blocks of 5
    "coatnet_nano_rw_224": (64, 25),  # 7 convolutional blocks, 9 transformer blocks
    "visformer_tiny": (64, 23),  # 7 blocks without attention, 8 with
    "pvt_v2_b0": (64, 16),
    "twins_svt_small": (64, 40),  # 18 blocks of 2, 4 positional encodings
    "xcit_nano_12_p16_224": (64, None),
    "levit_128s": (64, None),
    "mixer_s32_224": (64, 16),
    "gmlp_ti16_224": (64, 30),
    "resmlp_12_224": (64, 24),
    "poolformer_s12": (64, 24),
    "caformer_s18": (64, 36),
    "focalnet_tiny_srf": (64, 24),
    "convnext_atto": (64, 12),
    "convmixer_768_32": (32, 32),
    "mobilevit_xxs": (64, None),
    "edgenext_xx_small": (64, None),
}


def make(timm, name: str, size: int):
    torch.manual_seed(0)
    try:
        return awake(timm.create_model(name, img_size=size))
    except TypeError:  # a net that takes any size
        return awake(timm.create_model(name))


@pytest.mark.parametrize("name", NETS)
def test_an_architecture_of_timm(timm, name):
    size, forks = NETS[name]
    model = make(timm, name, size)
    images = torch.randn(2, 3, size, size)
    flow = check_trace(model, images, image_step, forks)
    check_paths(model, images, image_step, flow)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "convnext_atto"])
def test_in_eval_mode_the_forks_are_the_same(timm, name):
    size, forks = NETS[name]
    check_trace(make(timm, name, size).eval(), torch.randn(2, 3, size, size), image_step, forks)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_checkpointed_blocks_have_the_same_forks(timm, name):
    size, forks = NETS[name]
    model = make(timm, name, size)
    model.set_grad_checkpointing()
    check_trace(model, torch.randn(2, 3, size, size), image_step, forks)
