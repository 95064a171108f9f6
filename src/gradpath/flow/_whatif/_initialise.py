"""`init=…` and `train=…`: other parameters in a copy of the model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradpath.flow._asfound import plain_view
from gradpath.flow._forward import Forward
from gradpath.flow._layers import NORMS
from gradpath.flow._loss import compute_loss
from gradpath.flow._whatif._changes import INITIALISATIONS, Asked, Done, counted
from gradpath.flow._whatif._surgery import Question, seeded
from gradpath.record import Flow

_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
_RESET = (*NORMS, nn.RMSNorm)
_RECTIFIERS = ("Relu", "LeakyRelu", "Elu", "Gelu", "Silu", "Mish", "Hardswish", "Hardtanh")


@contextmanager
def initialised(model: nn.Module, asked: Asked, question: Question, before: Flow) -> Iterator[Done]:
    """Initialise the copy anew, from seed 0."""
    how = asked.word_of(INITIALISATIONS)
    if how == "zero-last-norm":
        yield _zero_last_norms(model, question)
        return
    with seeded(model), torch.no_grad():
        done = _default(model) if how == "default" else _by_fan_in(model, how, _gain(how, before))
    yield done


def _default(model: nn.Module) -> Done:
    found = [module for module in model.modules() if callable(getattr(module, "reset_parameters", None))]
    for module in found:
        module.reset_parameters()  # type: ignore[operator]
    return Done(len(found), (f"reset_parameters() of {counted(len(found), 'module')}, seed 0",))


def _gain(how: str, before: Flow) -> float:
    """The factor of the weights' standard deviation: √2 makes up for what a rectifier takes (He et al. 2015). An
    orthogonal one has it where rectifiers are what the model mostly has."""
    kinds = Counter(unit.operation for unit in before.nonlinearities)
    rectified = 2 * sum(kinds[kind] for kind in _RECTIFIERS) > kinds.total()
    return math.sqrt(2) if how == "he" or (how == "orthogonal" and rectified) else 1.0


def _by_fan_in(model: nn.Module, how: str, gain: float) -> Done:
    """Convolutions and linear layers; tables of embeddings, recurrences and weights that are computed stay."""
    tied = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    done, left = 0, 0
    for module in model.modules():
        own = [parameter for parameter in module._parameters.values() if parameter is not None]
        if isinstance(module, _RESET) and own:
            module.reset_parameters()  # type: ignore[operator]
        elif isinstance(module, _WEIGHTED) and module._parameters.get("weight") is not None and not tied & set(own):
            _fill(module.weight, how, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            done += 1
        else:
            left += any(parameter.dim() > 1 for parameter in own)
    if not done:
        return Done(0, ("no convolution or linear layer has a weight of its own: tied and parametrized ones stay",))
    notes = [
        f"{counted(done, 'convolution or linear layer', 'convolutions and linear layers')}, gain {gain:.3g}, seed 0"
    ]
    return Done(done, (*notes, f"{counted(left, 'other module')} with weights unchanged") if left else tuple(notes))


def _fill(weight: Tensor, how: str, gain: float) -> None:
    """he and lecun: normal, variance gain² / fan_in. xavier: normal, variance 2 / (fan_in + fan_out)."""
    if how == "xavier":
        nn.init.xavier_normal_(weight, gain)
    elif how == "orthogonal":
        nn.init.orthogonal_(weight, gain)
    else:
        nn.init.kaiming_normal_(weight, nonlinearity="relu" if how == "he" else "linear")


def _zero_last_norms(model: nn.Module, question: Question) -> Done:
    with question.forward(model) as forward:
        branches, norms = _last_norms(forward)
    for norm in norms:
        nn.init.zeros_(norm.weight)  # type: ignore[arg-type]
    note = f"{len(norms)} of {counted(branches, 'residual fork')} end a branch in a norm with a weight"
    return Done(len(norms), (note,))


def _last_norms(forward: Forward) -> tuple[int, list[nn.Module]]:
    """The number of residual forks, and the norms behind which nothing in a branch holds a parameter."""
    graph = forward.graph
    found: dict[nn.Module, None] = {}
    calls = [
        c for c in forward.meter.calls if isinstance(c.module, NORMS) and c.module._parameters.get("weight") is not None
    ]
    made = {call.edge.node: call.module for call in calls if call.edge is not None}
    plans = [plan for plan in forward.plans if plan.kind == "residual"]
    for plan in plans:
        starts = [use[0] for use, kind in zip(plan.uses, plan.kinds, strict=True) if kind == "branch"]
        for node in set(graph.route(starts, plan.meeting)) & made.keys():
            consumers = [consumer for consumer, _ in graph.uses_of_node[node]]
            if not graph.parametric & set(graph.route(consumers, plan.meeting)):
                found[made[node]] = None
    return len(plans), list(found)


_RATE = 0.01


@contextmanager
def trained(model: nn.Module, asked: Asked, question: Question, before: Flow) -> Iterator[Done]:
    """Steps of plain SGD on the copy, in the mode it is in. The random state is left as found."""
    if len(asked.words) > 2:
        raise asked.error("too many parts")
    steps = asked.count(asked.words[0], "the number of steps")
    rate = asked.number(asked.words[1], "the rate") if len(asked.words) > 1 else _RATE
    done = 0
    with seeded(model), plain_view(model), torch.enable_grad():
        while done < steps and math.isfinite(_sgd_step(model, question, rate)):
            done += 1
    notes = [f"{counted(done, 'step')} of SGD at rate {rate:g}"]
    if done < steps:
        notes.append(f"stopped there: the loss before step {done + 1} was not finite")
    yield Done(steps, tuple(notes))


def _sgd_step(model: nn.Module, question: Question, rate: float) -> float:
    """One step; the loss before it. A step from a loss that is not finite is not taken."""
    loss = compute_loss(model, question.batch, question.criterion, question.step)
    if not math.isfinite(float(loss.detach())):
        return math.nan
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.add_(gradient, alpha=-rate)
    return float(loss.detach())
