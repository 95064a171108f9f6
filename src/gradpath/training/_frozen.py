"""A net of which the classifier alone is trained."""

from __future__ import annotations

from torch import nn


def frozen_modules(net: nn.Module, head: nn.Module | None) -> tuple[nn.Module, ...]:
    """All modules but the classifier and those around it: kept in eval mode, so that norms use what they have."""
    own = set() if head is None else set(head.modules())
    around = {module for module in net.modules() if own & set(module.modules())}
    return tuple(module for module in net.modules() if module not in around)


def freeze(net: nn.Module, head: nn.Module) -> None:
    """Let the classifier's parameters alone have gradients."""
    own = set(head.parameters())
    for parameter in net.parameters():
        parameter.requires_grad_(parameter in own)
