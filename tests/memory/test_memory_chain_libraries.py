"""Chains of torchvision's and timm's models, and one step by a plan; left out where the library is not installed."""

from __future__ import annotations

import copy

import pytest
import torch
from plans import grid, plan_of
from torch import Tensor, nn

from gradpath.memory._blocks._chain import find_chain
from gradpath.memory._running._planned import apply_plan
from sweep.libraries import load, load_torchvision

pytestmark = pytest.mark.slow
EXPECTED = {
    "torchvision:resnet18": ("conv1+bn1+relu+maxpool", "layer4.1", 9),
    "torchvision:densenet121": (
        "features.conv0+features.norm0+features.relu0+features.pool0",
        "features.denseblock4",
        8,
    ),
    "torchvision:mobilenet_v2": ("features.0", "features.16", None),
    "timm:resnet26": ("conv1+bn1+act1+maxpool", "layer4.1", 9),
    "timm:resnetv2_50": ("stem.conv+stem.pool", "stages.3.blocks.2", 17),
    "timm:vit_tiny_patch16_224": ("blocks.0", "blocks.11", 12),
}


def built(name: str) -> nn.Module:
    library, _, name = name.partition(":")
    torch.manual_seed(0)
    try:
        if library == "torchvision":
            return load_torchvision().models.get_model(name)
        load_torchvision()
        return load("timm").create_model(name, **({"img_size": 64} if "vit" in name else {}))
    except ImportError as error:
        pytest.skip(str(error))


def step(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(1)
    model(x).square().sum().backward()
    found = {f"gradient {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | dict(model.named_buffers()) | {"random": torch.get_rng_state()}


@pytest.mark.parametrize("name", EXPECTED)
def test_models_of_libraries(name):
    model, x = built(name), torch.randn(2, 3, 64, 64)
    found = find_chain(model, lambda m: m(x))
    first, last, count = EXPECTED[name]
    assert (found.names[0], found.names[-1]) == (first, last)
    assert count is None or len(found.names) == count
    plain = step(copy.deepcopy(model), x)
    for way in ("none", "each in turn"):
        other = copy.deepcopy(model)
        ours = step(apply_plan(other, plan_of(found.names, grid(len(found.names))[way])), x)
        assert ours.keys() == plain.keys()
        assert [key for key, value in plain.items() if not torch.equal(value, ours[key])] == []
