"""A block's form without its modules: a description in plain data, and a form made of it and of given tensors.

A backward computes with the tensors that its forward was given, whatever the modules hold by then; a registered
operator has no modules at all. Both get a form whose convolutions and norms are stand-ins with the attributes that
LeanMoves and the norm passes read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from gradpath.nets import Form
from gradpath.nets._form import Shortcut


class ConvPlan(NamedTuple):
    """A convolution's settings, and which of the block's parameters is its weight."""

    weight: int
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class NormPlan(NamedTuple):
    """A norm's settings and state, and which of the block's parameters and buffers are its own."""

    weight: int
    bias: int
    running: tuple[int, int, int] | None
    """running_mean, running_var, num_batches_tracked; None where there are none of them."""
    eps: float
    momentum: float | None
    training: bool
    tracks: bool

    @property
    def of_batch(self) -> bool:
        """Whether it normalises by the batch, where `running` says what there is."""
        return self.training or self.running is None


class FormPlan(NamedTuple):
    """A form: `repr` and `ast.literal_eval` hand it through where only a string will go."""

    pre: bool
    adds_in_place: bool
    convs: tuple[ConvPlan, ...]
    norms: tuple[NormPlan, ...]
    shortcut: tuple[ConvPlan | None, NormPlan | None, tuple[Any, ...] | None, tuple[int, int, int] | None, bool] | None
    """Convolution, norm, settings of the average pool, padding, from_activated; None in a plain net."""


@dataclass(eq=False)
class StandInConv:
    """What is read of an nn.Conv2d."""

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    @property
    def _parameters(self) -> dict[str, Tensor]:
        return {"weight": self.weight}


@dataclass(eq=False)
class StandInNorm:
    """What is read of an nn.BatchNorm2d."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    eps: float
    momentum: float | None
    training: bool
    track_running_stats: bool

    @property
    def num_features(self) -> int:
        return self.weight.shape[0]

    @property
    def _parameters(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "bias": self.bias}


def plan_of(form: Form, buffers: Sequence[Tensor] | None = None) -> FormPlan:
    """The description of a form as it is now.

    buffers: the block's, in the order of block.buffers(), where the description is to say which are whose. Raises
    KeyError where a norm's are not among them.
    """
    place = {(id(module), name): index for index, (module, name) in enumerate(form.owners)}
    at = {id(buffer): index for index, buffer in enumerate(buffers or ())}

    def conv_plan(conv: nn.Conv2d) -> ConvPlan:
        padding = cast("tuple[int, ...]", conv.padding)
        return ConvPlan(place[id(conv), "weight"], conv.stride, padding, conv.dilation, conv.groups)

    def norm_plan(norm: nn.BatchNorm2d) -> NormPlan:
        return plan_of_norm(norm, (place[id(norm), "weight"], place[id(norm), "bias"]), None if buffers is None else at)

    side = form.shortcut
    shortcut = None
    if side is not None:
        conv = None if side.conv is None else conv_plan(side.conv)
        norm = None if side.norm is None else norm_plan(side.norm)
        pool = None if side.pool is None else _pool_settings(side.pool)
        shortcut = conv, norm, pool, side.padding, side.from_activated
    convs, norms = tuple(map(conv_plan, form.convs)), tuple(map(norm_plan, form.norms))
    return FormPlan(form.pre, form.adds_in_place, convs, norms, shortcut)


def plan_of_norm(norm: nn.BatchNorm2d, places: tuple[int, int], at: dict[int, int] | None) -> NormPlan:
    """The description of a norm as it is now. places: of its weight and its bias; at: of each buffer, by the buffer's
    id, None where that is not wanted.

    Raises KeyError where the norm's buffers are not among them.
    """
    held = [norm.running_mean, norm.running_var, norm.num_batches_tracked]
    running = None
    if at is not None and held[0] is not None:
        running = cast("tuple[int, int, int]", tuple(at[id(buffer)] for buffer in held))
    return NormPlan(*places, running, norm.eps, norm.momentum, norm.training, norm.track_running_stats)


def norm_from(plan: tuple[Any, ...], parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> Any:
    """A norm's stand-in. Without buffers it has no running statistics."""
    weight, bias, running, *rest = plan
    vectors: list[Any] = [None] * 3 if running is None or not buffers else [buffers[index] for index in running]
    return StandInNorm(parameters[weight], parameters[bias], *vectors, *rest)


def form_from(plan: tuple[Any, ...], parameters: Sequence[Tensor], buffers: Sequence[Tensor] = ()) -> Form:
    """A form of stand-ins. Without buffers its norms have no running statistics: good for a backward."""
    pre, adds_in_place, conv_plans, norm_plans, side = plan
    owners: list[tuple[Any, str]] = [(None, "")] * len(parameters)

    def conv(settings: tuple[Any, ...]) -> Any:
        weight, *rest = settings
        made = StandInConv(parameters[weight], *rest)
        owners[weight] = (made, "weight")
        return made

    def norm(settings: tuple[Any, ...]) -> Any:
        weight, bias, *_ = settings
        made = norm_from(settings, parameters, buffers)
        owners[weight], owners[bias] = (made, "weight"), (made, "bias")
        return made

    shortcut = None
    if side is not None:
        conv_plan, norm_plan, pool, padding, from_activated = side
        shortcut = Shortcut(
            conv=None if conv_plan is None else conv(conv_plan),
            norm=None if norm_plan is None else norm(norm_plan),
            pool=None if pool is None else nn.AvgPool2d(*pool),
            padding=padding,
            from_activated=from_activated,
        )
    convs, norms = tuple(map(conv, conv_plans)), tuple(map(norm, norm_plans))
    return Form(convs, norms, pre, shortcut, adds_in_place, tuple(owners))


def _pool_settings(pool: nn.AvgPool2d) -> tuple[Any, ...]:
    return (
        pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.count_include_pad, pool.divisor_override,
    )  # fmt: skip
