"""What a record calls a model: a name of its own, else its class."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import gradpath as gp


@pytest.mark.parametrize("name", ["resnet-8", "plain-8"])
def test_our_nets_are_called_by_their_names(name: str) -> None:
    batch = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    net = gp.build(name, input_size=8, width=4)
    assert gp.trace(gp.build(name, input_size=32), (torch.randn(2, 3, 32, 32), batch[1]), cross_entropy).model == name
    assert gp.trace(net, batch, cross_entropy).model == net.spec.label, "no name says this width"


def test_other_models_are_called_by_their_class_unless_they_say_more() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    batch = torch.randn(3, 4), torch.tensor([0, 1, 1])
    assert gp.trace(net, batch, cross_entropy).model == "Sequential"
    assert gp.paths(net, batch, cross_entropy).model == "Sequential"
    net.model_name = ""  # type: ignore[assignment]
    assert gp.trace(net, batch, cross_entropy).model == "Sequential"
    net.model_name = "mine"  # type: ignore[assignment]
    assert gp.paths(net, batch, cross_entropy).model == gp.trace(net, batch, cross_entropy).model == "mine"
