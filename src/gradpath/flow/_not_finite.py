"""Where a forward pass first leaves what is finite."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from gradpath.flow._layers import tensors


def first_not_finite(model: nn.Module, inputs: Tensor) -> str | None:
    """The first module, in the order they finish, whose output is not finite, and what of it: 'stages.1.2.norm2
    (output not finite)', 'stem.conv (weight not finite)'; None where all is finite.

    Makes one forward pass in the mode, precision and gradient mode that it finds. BatchNorm's statistics move.
    """
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if not found and not all(map(_finite, tensors(output))):
                broken = (kind for kind, held in module.named_parameters() if not _finite(held))
                found.append(f"{name or type(module).__name__} ({next(broken, 'output')} not finite)")

        return hook

    if not _finite(inputs):
        return "the input"
    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_hook(look(name)).remove)
        model(inputs)
    return found[0] if found else None


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())
