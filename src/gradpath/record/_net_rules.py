"""What makes the fields of a NetSpec a network: types, ranges, and which options go with which nets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from gradpath.errors import SpecError
from gradpath.record._base import field_hints

if TYPE_CHECKING:
    from gradpath.record._net import NetSpec

Rule = Callable[["NetSpec"], bool]


def check(spec: NetSpec) -> None:
    """Raise SpecError for the first thing that does not make a network, saying what would."""
    check_types(type(spec), vars(spec))
    for name, least in _AT_LEAST.items():
        value = getattr(spec, name)
        if value is not None and value < least:
            raise SpecError(f"{name} must be at least {least}, got {value}")
        if value is not None and value > _MOST:
            raise SpecError(f"{name} must be at most {_MOST:,}, got {value:,}")
    for name in ("dropout", "shortcut_dropout", "stochastic_depth"):
        if not 0 <= getattr(spec, name) < 1:
            raise SpecError(f"{name} is a rate, at least 0 and below 1, got {getattr(spec, name)}")
    for name in ("shortcut_scale", "branch_scale", "gate_bias"):
        if not math.isfinite(getattr(spec, name)):
            raise SpecError(f"{name} must be a finite number, got {getattr(spec, name)}")
    _check_owners(spec)
    _check_depth(spec)
    _check_size(spec)
    for broken, message in _RULES:
        if broken(spec):
            raise SpecError(message.format(**vars(spec)))
    _check_groups(spec)
    _check_compression(spec)


_MOST = 1_000_000
"""Beyond it the elements of a weight are more than torch can count."""
_AT_LEAST = dict.fromkeys(("growth_rate", "width", "classes", "input_channels", "groups", "group_width", "widen"), 1)
"""growth_rate first: a name derives the width of a DenseNet-BC from it."""

_PLAIN_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    int | None: ((int, type(None)), "a whole number or None"),
    float: ((int, float), "a number"),
    bool: ((bool,), "True or False"),
}


def check_types(cls: type[NetSpec], values: Mapping[str, Any]) -> None:
    """Raise SpecError for the first of some fields that is not of its type."""
    hints = field_hints(cast(Any, cls))
    for name, value in values.items():
        hint = hints[name]
        if hint in _PLAIN_TYPES:
            types, words = _PLAIN_TYPES[hint]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise SpecError(f"{name} must be {words}, got {value!r}")
        elif choices := _choices(hint):
            if value not in choices:
                raise SpecError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
        elif not isinstance(value, (tuple, list)) or any(type(n) is not int or n < 1 for n in value):
            raise SpecError(f"{name} must be whole numbers of at least 1, as (3, 4, 6, 3), got {value!r}")


def _choices(hint: Any) -> tuple[Any, ...]:
    """What a Literal, or `Literal | None`, allows; nothing for another type."""
    args = get_args(hint)
    if type(None) in args:
        return (*(choice for arg in args for choice in get_args(arg)), None)
    return args if args and all(isinstance(arg, str) for arg in args) else ()


class _Owner(NamedTuple):
    """Which nets look at a field."""

    families: tuple[str, ...]
    kind: str = ""
    """Which of these families' nets, in words."""
    told_by: str = ""
    """The field that says whether a net is of that kind."""
    belongs: Rule = lambda spec: True


_STACK, _RESIDUAL, _DENSE = ("plain", "residual"), ("residual",), ("dense",)
_BOTTLENECK = _Owner(_STACK, "bottleneck ", "bottleneck", lambda s: s.bottleneck)
_OWNERS: dict[str, _Owner] = {
    "growth_rate": _Owner(_DENSE),
    "compression": _Owner(_DENSE),
    "concat": _Owner(_DENSE),
    "activation": _Owner(_STACK),
    "shortcut": _Owner(_STACK),  # of a plain net too: it has the fields of its residual twin
    "padding": _Owner(_STACK),
    "groups": _BOTTLENECK,
    "group_width": _BOTTLENECK,
    "stride_on": _BOTTLENECK,
    "widen": _Owner(_STACK, "basic ", "bottleneck", lambda s: not s.bottleneck),
    "stochastic_depth": _Owner(_RESIDUAL),
    "stochastic_depth_mode": _Owner(
        _RESIDUAL, "stochastic-depth ", "stochastic_depth", lambda s: s.stochastic_depth > 0
    ),
    "shortcut_scale": _Owner(_RESIDUAL),
    "branch_scale": _Owner(_RESIDUAL),
    "shortcut_dropout": _Owner(_RESIDUAL),
    "gate": _Owner(_RESIDUAL),
    "gate_bias": _Owner(_RESIDUAL, "gated ", "gate", lambda s: s.gate != "none"),
    "zero_last_norm": _Owner(_RESIDUAL, "post-activation ", "activation", lambda s: s.activation == "post"),
    "dropout": _Owner(
        (*_STACK, *_DENSE), "basic or dense ", "bottleneck", lambda s: s.family == "dense" or not s.bottleneck
    ),
}
_ONCE_ACCEPTED = ("growth_rate", "activation", "shortcut", "padding", "stochastic_depth_mode", "gate_bias")
"""Fields that files of older versions may hold for nets that do not look at them."""


def _is_owned(name: str, spec: NetSpec) -> bool:
    owner = _OWNERS[name]
    return spec.family in owner.families and owner.belongs(spec)


def _check_owners(spec: NetSpec) -> None:
    defaults = {field.name: field.default for field in fields(spec)}
    for name, owner in _OWNERS.items():
        value = getattr(spec, name)
        if value != defaults[name] and not _is_owned(name, spec):
            owners = "" if len(owner.families) == 3 else " and ".join(owner.families) + " "
            told = f", {owner.told_by}={getattr(spec, owner.told_by)!r}" if owner.told_by else ""
            raise SpecError(
                f"{name} belongs to {owner.kind}{owners}nets, got {value!r} with family={spec.family!r}{told}: "
                f"leave it at {defaults[name]!r}"
            )


def without_strangers(cls: type[NetSpec], given: dict[str, Any]) -> dict[str, Any]:
    """A file's fields without those that its net does not look at and that older versions wrote all the same."""
    spec = SimpleNamespace(**{field.name: field.default for field in fields(cls)} | given)
    strangers = [name for name in _ONCE_ACCEPTED if not _is_owned(name, cast("NetSpec", spec))]
    return {name: value for name, value in given.items() if name not in strangers}


def _check_depth(spec: NetSpec) -> None:
    step, rest, formula = spec.depth_rule
    kind = f"{'wide ' * (spec.widen is not None)}{spec.family}{' bottleneck' if spec.bottleneck else ''}"
    if spec.blocks:
        depth = sum(spec.blocks) * spec.convs_per_block + rest
        if spec.depth != depth:
            raise SpecError(
                f"depth {spec.depth} is not that of a {kind} net with blocks {spec.blocks}, which is {depth}: "
                f"give depth={depth}, or other blocks"
            )
        return
    below = (spec.depth - rest) // step * step + rest
    if spec.depth != below or spec.depth < step + rest:
        near = [d for d in (below, below + step) if d >= step + rest] or [step + rest]
        raise SpecError(
            f"depth {spec.depth} does not make a {kind} net: its depth is {formula}: {' or '.join(map(str, near))}"
        )


def _check_size(spec: NetSpec) -> None:
    least = max(8, 2**spec.halvings)
    if spec.input_size < least:
        stem = ": use stem='cifar', which halves it twice less" if spec.stem == "imagenet" else ""
        raise SpecError(
            f"input_size must be at least {least} (this net halves it {spec.halvings} times), "
            f"got {spec.input_size}{stem}"
        )


_WITHOUT_NORM = ("fixup", "skipinit")
_ZERO_BRANCHES = ("fixup", "skipinit", "rezero")

_RULES: tuple[tuple[Rule, str], ...] = (
    (
        lambda s: not 0 < s.compression <= 1,
        "compression is the factor of channels kept, above 0 and at most 1, got {compression}",
    ),
    (
        lambda s: s.family == "dense" and s.norm == "none",
        "a dense net without norm is not offered: use norm='batch', or family='residual' with norm='none'",
    ),
    (
        lambda s: s.family == "residual" and s.padding == "both" and s.shortcut == "A" and bool(s.width % 2),
        "padding='both' needs an even width to pad both sides alike, got {width}: use padding='end'",
    ),
    (
        lambda s: s.activation == "pre" and s.shortcut == "C",
        "pre-activation nets have shortcut A or B: C would put a projection on every express lane",
    ),
    (
        lambda s: s.init in _ZERO_BRANCHES and s.family != "residual",
        "init={init!r} begins with branches of 0, which only a skip survives: use it with family='residual'",
    ),
    (
        lambda s: s.init in _WITHOUT_NORM and s.norm != "none",
        "init={init!r} takes the place of norms, got norm={norm!r}: use norm='none'",
    ),
    (
        lambda s: s.init == "fixup" and s.activation == "pre",
        "init='fixup' is given for post-activation nets: use activation='post', or init='skipinit'",
    ),
    (
        lambda s: s.zero_last_norm and s.norm == "none",
        "zero_last_norm needs a norm, got norm='none': use init='skipinit' or 'rezero', which begin alike",
    ),
    (
        lambda s: s.zero_last_norm and s.init == "rezero",
        "init='rezero' begins with branches of 0 already; with zero_last_norm too no gradient would ever reach them: "
        "leave it at False",
    ),
)
"""Each: what is broken, and the message, formatted with the fields."""


def _check_groups(spec: NetSpec) -> None:
    if spec.group_width is None and spec.width % spec.groups:
        raise SpecError(
            f"groups must divide the inner channels, got {spec.groups} groups of {spec.width} channels: "
            f"give a group_width, the channels of each"
        )


def _check_compression(spec: NetSpec) -> None:
    channels = spec.width
    for layers in spec.stage_blocks[:-1] if spec.family == "dense" else ():
        channels = int(spec.compression * (channels + layers * spec.growth_rate))
        if channels < 1:
            raise SpecError(
                f"compression {spec.compression} leaves a transition without a channel: give a larger one, or a larger "
                f"width or growth_rate"
            )
