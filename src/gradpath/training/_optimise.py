"""The update of the weights by a recipe: SGD, gradient scaling and clipping, and what averages the weights."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.record import Recipe
from gradpath.training._averages import Average, Lookahead

_FUSED = ("cpu", "cuda")  # devices on which SGD is one kernel from torch 2.4 on


class Optimiser:
    """SGD with momentum by a recipe; one `step` for each batch.

    On the CPU and on CUDA a step whose loss is not finite changes nothing: weights and momentum stay as they were,
    without the host waiting for the loss (the flag that `GradScaler` uses, read by the fused kernel).
    """

    def __init__(self, net: nn.Module, recipe: Recipe, head: nn.Module | None = None, scaling: bool = False) -> None:
        self.recipe, self.net = recipe, net
        self.names = {parameter: name for name, parameter in net.named_parameters() if parameter.requires_grad}
        self.parameters = list(self.names)
        device = self.parameters[0].device
        self.guarded = device.type in _FUSED and all(p.dtype.is_floating_point for p in self.parameters)
        self.sgd = torch.optim.SGD(
            parameter_groups(net, recipe, head),
            recipe.learning_rate,
            recipe.momentum,
            nesterov=recipe.nesterov,
            fused=self.guarded,
        )
        if recipe.momentum:
            self._still()
        self.scaler = torch.amp.GradScaler(device.type) if scaling else None
        self.average = Average(net, recipe.ema) if recipe.ema else None
        self.lookahead = Lookahead(self.parameters, recipe.lookahead_pull) if recipe.lookahead else None
        self._skips = torch.zeros(2, dtype=torch.int64, device=device)  # steps skipped: in all, in a row until now
        self._counts = scaling or recipe.clip_norm is not None
        if self._counts:
            self.sgd.register_step_pre_hook(self._count)

    def _count(self, sgd: torch.optim.Optimizer, *_: Any) -> None:
        """Called before every step, whose flag says whether it will be skipped: ours, or the scaler's."""
        if (flag := getattr(sgd, "found_inf", None)) is not None:
            skipped = flag.bool().long().to(self._skips.device).view(())
            self._skips += skipped
            self._skips[1] *= skipped

    def skipped(self) -> tuple[int, int]:
        """Steps that changed nothing since their gradient was not finite: in all, and in a row until now. Counted
        where the gradient is clipped or scaled, else 0: there the next loss is not finite, and tells."""
        total, row = self._skips.tolist() if self._counts else (0, 0)
        return total, row

    def _still(self) -> None:
        """Momentum 0 for every parameter. torch's fused step makes the buffers itself in the first step: left unset
        where that one is skipped (a loss that is not finite, the scaler's first overflow), and refused where a
        parameter has its first gradient in a later one."""
        for parameter in self.parameters:
            self.sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part of the batch."""
        loss = loss if self.scaler is None else self.scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, rate: float, loss: Tensor, number: int, last: bool) -> None:
        """Update the weights at a learning rate. `loss`: the batch's, on the device; `number`: of the step, from 1."""
        for group in self.sgd.param_groups:
            group["lr"] = rate * group["factor"]
        finite = self._clip(loss)
        if self.scaler is not None:
            self.scaler.step(self.sgd)
            self.scaler.update()
        else:
            self._guard(finite)
            self.sgd.step()
        self.sgd.zero_grad()
        if self.lookahead is not None and (number % self.recipe.lookahead == 0 or last):
            self.lookahead.pull()
        if self.average is not None:
            self.average.update(number)

    def _clip(self, loss: Tensor) -> Tensor:
        """Clip the gradient if asked to. Returns the loss, or what is not finite if the gradient's norm is not."""
        if self.recipe.clip_norm is None:
            return loss
        if self.scaler is not None:
            self.scaler.unscale_(self.sgd)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        return loss + norm.to(loss.device) * 0

    def _guard(self, loss: Tensor) -> None:
        if self.guarded:
            self.sgd.found_inf = loss.isfinite().logical_not().float()  # type: ignore[attr-defined]

    def evaluated(self) -> AbstractContextManager[None]:
        """The net with the weights that are evaluated and kept: their moving average where there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def adopt(self) -> None:
        """Put those weights into the net for good."""
        if self.average is not None:
            self.average.copy_to_net()

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, besides the net: momentum, averages, the scaler's numbers."""
        return {
            "momentum": {name: self.sgd.state[p]["momentum_buffer"] for p, name in self._moved()},
            "average": None if self.average is None else self.average.state(),
            "lookahead": None if self.lookahead is None else dict(self._named(self.lookahead.slow)),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "skips": self._skips,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        for parameter, name in self._moved():
            self.sgd.state[parameter]["momentum_buffer"].copy_(state["momentum"][name])
        if self.average is not None:
            self.average.restore(state["average"])
        if self.lookahead is not None:
            for name, slow in self._named(self.lookahead.slow):
                slow.copy_(state["lookahead"][name])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self._skips.copy_(state["skips"])

    def _moved(self) -> Iterable[tuple[nn.Parameter, str]]:
        """Parameters that have a momentum, with their names."""
        return self.names.items() if self.recipe.momentum else ()

    def _named(self, tensors: Iterable[Tensor]) -> Iterable[tuple[str, Tensor]]:
        return zip(self.names.values(), tensors, strict=True)


def parameter_groups(net: nn.Module, recipe: Recipe, head: nn.Module | None = None) -> list[dict[str, Any]]:
    """Trainable parameters by weight decay and learning rate; 'factor' is a group's share of the scheduled rate.

    With decay on 'weights' alone, what has fewer than two dimensions (norms, biases, scales) has none.
    """
    of_head = set() if head is None else set(head.parameters())
    head_factor = (recipe.head_learning_rate or recipe.learning_rate) / recipe.learning_rate
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            decayed = recipe.weight_decay_on == "all" or parameter.dim() > 1
            key = (recipe.weight_decay if decayed else 0.0, head_factor if parameter in of_head else 1.0)
            groups.setdefault(key, []).append(parameter)
    return [{"params": held, "weight_decay": decay, "factor": factor} for (decay, factor), held in groups.items()]
