"""Random weights through torchvision's and timm's own code and through ours: the same logits, and the way back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradpath.nets import build, load_body, load_weights, save_weights
from sweep.libraries import load, load_torchvision

pytestmark = pytest.mark.slow

NETS = [
    ("torchvision", "resnet18", "resnet-18"),
    ("torchvision", "resnet34", "resnet-34"),
    ("torchvision", "resnet50", "resnet-50"),
    ("torchvision", "resnext50_32x4d", "resnext-50-32x4d"),
    ("torchvision", "wide_resnet50_2", "wide-resnet-50-2"),
    ("torchvision", "densenet121", "densenet-121"),
    ("torchvision", "densenet161", "densenet-161"),
    ("timm", "resnet18", "resnet-18"),
    ("timm", "resnet50", "resnet-50"),
    ("timm", "densenet169", "densenet-169"),
    ("timm", "resnetv2_18", "resnetv2-18"),
    ("timm", "resnetv2_34", "resnetv2-34"),
    ("timm", "resnetv2_50", "resnetv2-50"),
    ("timm", "resnetv2_101", "resnetv2-101"),
]


def their_net(library: str, name: str) -> nn.Module:
    try:
        if library == "torchvision":
            return getattr(load_torchvision().models, name)(num_classes=7)
        load_torchvision()
        return load("timm").create_model(name, num_classes=7)
    except ImportError as error:
        pytest.skip(str(error))


def shaken(net: nn.Module) -> nn.Module:
    """Norms as after some training: timm begins the last of each branch with 0, which hides the branch."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var") or (value.dim() == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5)
            elif value.dim() == 1:
                value.normal_(std=0.1)
    return net.eval()


@pytest.mark.parametrize(("library", "theirs", "ours"), NETS)
def test_their_weights_give_their_logits(library: Any, theirs: str, ours: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = shaken(their_net(library, theirs))
    torch.save(net.state_dict(), tmp_path / "theirs.pth")
    loaded = load_weights(build(ours, classes=7, init="default"), tmp_path / "theirs.pth").eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, seen = net(x), loaded(x)
    assert (seen - expected).abs().max() <= 1e-5 * expected.abs().max()
    back = load("safetensors.torch").load_file(save_weights(loaded, tmp_path / "ours.safetensors", names=library))
    assert set(back) == set(net.state_dict())
    assert all(torch.equal(back[key], value) for key, value in net.state_dict().items())
    assert load_body(build(ours, classes=5, init="default"), tmp_path / "theirs.pth") == (
        "head.linear.weight",
        "head.linear.bias",
    )
