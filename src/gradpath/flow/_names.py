"""What a record calls a model."""

from __future__ import annotations

from torch import nn


def model_name(model: nn.Module) -> str:
    """Its attribute `model_name` where it has one that is text (gradpath's own nets: 'resnet-110'), else its class."""
    own = getattr(model, "model_name", None)
    return own if isinstance(own, str) and own else type(model).__name__
