"""What makes the fields of a NetSpec a network: types, ranges, and which options go with which nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, cast, get_args

from gradpath.errors import SpecError
from gradpath.record._base import field_hints

if TYPE_CHECKING:
    from gradpath.record._net import NetSpec

Rule = Callable[["NetSpec"], bool]


def check(spec: NetSpec) -> None:
    """Raise SpecError for the first thing that does not make a network, saying what would."""
    _check_types(spec)
    for name, least in _AT_LEAST.items():
        value = getattr(spec, name)
        if value is not None and value < least:
            raise SpecError(f"{name} must be at least {least}, got {value}")
    for name in ("dropout", "shortcut_dropout", "stochastic_depth"):
        if not 0 <= getattr(spec, name) < 1:
            raise SpecError(f"{name} is a rate, at least 0 and below 1, got {getattr(spec, name)}")
    _check_owners(spec)
    _check_depth(spec)
    _check_size(spec)
    for broken, message in _RULES:
        if broken(spec):
            raise SpecError(message.format(**vars(spec)))
    _check_groups(spec)


_AT_LEAST = dict.fromkeys(("width", "growth_rate", "classes", "input_channels", "groups", "group_width", "widen"), 1)

_PLAIN_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    int | None: ((int, type(None)), "a whole number or None"),
    float: ((int, float), "a number"),
    bool: ((bool,), "True or False"),
}


def _check_types(spec: NetSpec) -> None:
    for name, hint in field_hints(cast(Any, type(spec))).items():
        value = getattr(spec, name)
        if hint in _PLAIN_TYPES:
            types, words = _PLAIN_TYPES[hint]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise SpecError(f"{name} must be {words}, got {value!r}")
        elif choices := _choices(hint):
            if value not in choices:
                raise SpecError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
        elif not isinstance(value, tuple) or any(type(n) is not int or n < 1 for n in value):
            raise SpecError(f"{name} must be whole numbers of at least 1, as (3, 4, 6, 3), got {value!r}")


def _choices(hint: Any) -> tuple[Any, ...]:
    """What a Literal, or `Literal | None`, allows; nothing for another type."""
    args = get_args(hint)
    if type(None) in args:
        return (*(choice for arg in args for choice in get_args(arg)), None)
    return args if args and all(isinstance(arg, str) for arg in args) else ()


_STACK, _RESIDUAL, _DENSE = ("plain", "residual"), ("residual",), ("dense",)
_OWNERS: dict[str, tuple[tuple[str, ...], str, Rule]] = {
    "compression": (_DENSE, "", lambda s: True),
    "concat": (_DENSE, "", lambda s: True),
    "groups": (_STACK, "bottleneck ", lambda s: s.bottleneck),
    "group_width": (_STACK, "bottleneck ", lambda s: s.bottleneck),
    "stride_on": (_STACK, "bottleneck ", lambda s: s.bottleneck),
    "widen": (_STACK, "basic ", lambda s: not s.bottleneck),
    "stochastic_depth": (_RESIDUAL, "", lambda s: True),
    "shortcut_scale": (_RESIDUAL, "", lambda s: True),
    "branch_scale": (_RESIDUAL, "", lambda s: True),
    "shortcut_dropout": (_RESIDUAL, "", lambda s: True),
    "gate": (_RESIDUAL, "", lambda s: True),
    "zero_last_norm": (_RESIDUAL, "post-activation ", lambda s: s.activation == "post"),
    "dropout": (("plain", "residual", "dense"), "basic or dense ", lambda s: s.family == "dense" or not s.bottleneck),
}
"""Field → families it belongs to, the kind of their blocks in words, and the test for it."""


def _check_owners(spec: NetSpec) -> None:
    defaults = {field.name: field.default for field in fields(spec)}
    for name, (families, kind, belongs) in _OWNERS.items():
        value = getattr(spec, name)
        assert defaults[name] is not MISSING
        if value != defaults[name] and not (spec.family in families and belongs(spec)):
            owners = "" if len(families) == 3 else " and ".join(families) + " "
            raise SpecError(
                f"{name} belongs to {kind}{owners}nets, got {value!r} with family={spec.family!r}, "
                f"bottleneck={spec.bottleneck}: leave it at {defaults[name]!r}"
            )


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
        lambda s: s.family == "dense" and not 0 < s.compression <= 1,
        "compression is the factor of channels kept, above 0 and at most 1, got {compression}",
    ),
    (
        lambda s: s.family == "dense" and s.compression * min(s.stage_blocks) * s.growth_rate < 1,
        "compression {compression} leaves a transition without a channel",
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
)
"""Each: what is broken, and the message, formatted with the fields."""


def _check_groups(spec: NetSpec) -> None:
    if spec.group_width is None and spec.width % spec.groups:
        raise SpecError(
            f"groups must divide the inner channels, got {spec.groups} groups of {spec.width} channels: "
            f"give a group_width, the channels of each"
        )
