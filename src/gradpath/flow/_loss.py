"""From (model, batch, criterion or step) to one scalar loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.errors import TraceError


def compute_losses(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None,
    step: Callable[..., Any] | None,
) -> dict[str, Tensor]:
    """The losses of one batch by name. Only a step may return several, as a mapping; one alone is named ''."""
    try:
        return _compute_losses(model, batch, criterion, step)
    except RuntimeError as error:
        for sign, explanation in _EXPLAINED.items():
            if sign in str(error):
                raise TraceError(explanation) from error
        raise


_EXPLAINED = {
    "Inference tensors": "a parameter or an input was made inside torch.inference_mode(), and autograd does not take "
    "it: make it outside, or clone it",
}
"""What torch says of the user's mistake, and what we say."""


def _compute_losses(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None,
    step: Callable[..., Any] | None,
) -> dict[str, Tensor]:
    if step is None:
        return {"": compute_loss(model, batch, criterion, None)}
    found = step(model, batch)
    if not isinstance(found, Mapping):
        return {"": _checked(model, found, "step(model, batch) returned")}
    if not found:
        raise TraceError("step(model, batch) returned an empty mapping: it must hold at least one scalar loss")
    return {str(name): _checked(model, loss, f"step(model, batch)[{name!r}] is") for name, loss in found.items()}


def compute_loss(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None,
    step: Callable[..., Any] | None,
) -> Tensor:
    """The loss of one batch.

    step(model, batch) if given. With a criterion, the batch is a pair (input, target) and the loss is
    criterion(output, target). With neither, the output is a scalar, has `.loss`, or a key "loss". An input that is a
    mapping becomes keyword arguments, a tuple becomes positional ones.
    Raises TraceError when the loss is not one number that depends on a parameter.
    """
    if step is not None:
        return _checked(model, step(model, batch), "step(model, batch) returned")
    if criterion is None:
        return _checked(model, _loss_of(_call_or_explain(model, batch)), "the model's output is")
    if isinstance(batch, (str, bytes, Mapping, Tensor)) or not hasattr(batch, "__len__") or len(batch) != 2:
        raise TraceError(
            f"with a criterion the batch must be a pair (input, target), got {_describe(batch)}: "
            "pass a pair, or a step=function(model, batch) that returns the loss"
        )
    output = _call(model, batch[0])
    return _checked(model, criterion(output, batch[1]), "criterion(output, target) returned")


def _call(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _call_or_explain(model: nn.Module, batch: Any) -> Any:
    """A pair of tensors without a criterion is the likeliest mistake of all."""
    try:
        return _call(model, batch)
    except TypeError as error:
        if isinstance(batch, tuple) and len(batch) == 2:
            raise TraceError(
                f"the model does not take the two tensors of the batch as arguments ({error}): if they are input and "
                "target, give a criterion, for example trace(model, batch, torch.nn.functional.cross_entropy)"
            ) from error
        raise


def _loss_of(output: Any) -> Any:
    if isinstance(output, Mapping) and "loss" in output:
        return output["loss"]
    return getattr(output, "loss", output)


def _checked(model: nn.Module, loss: Any, what: str) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TraceError(
            f"{what} {_describe(loss)}, not one number: give a criterion(output, target) or a step(model, batch) "
            "that returns a scalar loss"
        )
    if loss.grad_fn is None:
        raise TraceError(f"the loss has no graph behind it ({_why_no_graph(model)}): nothing can be traced")
    if loss.is_complex():
        raise TraceError(f"{what} a complex number: a loss is real, take .abs() or .real of it")
    return loss


def _why_no_graph(model: nn.Module) -> str:
    if torch.is_inference_mode_enabled():
        return "inside torch.inference_mode()"
    parameters = list(model.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        lack = "all parameters are frozen" if parameters else "the model has no parameters"
        return f"{lack} and no input requires a gradient"
    return "is it detached, or computed under torch.no_grad()?"


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
