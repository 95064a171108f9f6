"""Names of networks: family, depth, width and growth rate, read by rule, for any depth."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any

from gradpath.errors import SpecError
from gradpath.record import NetSpec
from gradpath.record._net_rules import check_types

NAME_FORMS = (
    "plain-DEPTH",
    "resnet-DEPTH",
    "preplain-DEPTH",
    "preresnet-DEPTH",
    "resnetv2-DEPTH",
    "wrn-DEPTH-WIDEN",
    "wide-resnet-DEPTH-WIDEN",
    "resnext-DEPTH-GROUPSxWIDTHd",
    "densenet-DEPTH",
    "densenet-DEPTH-GROWTH",
    "densenet-b-DEPTH-GROWTH",
    "densenet-c-DEPTH-GROWTH",
    "densenet-bc-DEPTH-GROWTH",
)
"""The forms a name can take. 'basic' or 'bottleneck' may stand before DEPTH, as in 'resnet-bottleneck-110', and
'plain-' before the name of a residual net, as in 'plain-wrn-28-10'."""

PUBLISHED = (
    *(f"{family}-{depth}" for family in ("plain", "resnet") for depth in (20, 32, 44, 56, 110, 1202)),
    *("preresnet-110", "preresnet-164", "preresnet-1001"),
    *("wrn-16-4", "wrn-16-8", "wrn-28-10", "wrn-40-4", "resnext-29-8x64d", "resnext-29-16x64d"),
    *("densenet-40-12", "densenet-100-12", "densenet-100-24"),
    *("densenet-bc-100-12", "densenet-bc-250-24", "densenet-bc-190-40"),
    *("densenet-bc-40-36", "densenet-bc-40-48", "densenet-bc-40-60"),
    *("plain-18", "plain-34", "resnet-18", "resnet-34", "resnet-50-v1", "resnet-50", "resnet-101", "resnet-152"),
    *("resnet-200", "resnetv2-50", "resnetv2-101", "wide-resnet-50-2", "wide-resnet-101-2"),
    *("resnext-50-32x4d", "resnext-101-32x8d", "resnext-101-64x4d"),
    *("densenet-121", "densenet-161", "densenet-169", "densenet-201", "densenet-264"),
)
"""The nets of the papers and of torchvision, for CIFAR and then for ImageNet; a name may have any other depth too."""

IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""Depth → blocks of each stage; basic blocks up to 34 (He et al. 2015, table 1; 2016)."""

IMAGENET_DENSE = {
    121: ((6, 12, 24, 16), 32),
    161: ((6, 12, 36, 24), 48),
    169: ((6, 12, 32, 32), 32),
    201: ((6, 12, 48, 32), 32),
    232: ((6, 32, 48, 28), 48),
    264: ((6, 12, 64, 48), 32),
}
"""Name → layers of each dense block, growth rate (Huang et al. 2017, table 1; 161: their code, 232: their report). The
paper's 232 and 264 have 233 and 265 layers by the count that gives the others."""

_FIRST_PAPER_BOTTLENECK = 164
_IMAGENET = {"stem": "imagenet", "input_size": 224, "classes": 1000}
Fields = dict[str, Any]


def resolve(name: str, /, **overrides: Any) -> NetSpec:
    """The specification that a name stands for, with fields of NetSpec overridden.

    'resnet-110' and 'ResNet110' are the same. Nets of depth 18, 34, 50, 101, 152 and 200, and DenseNets without a
    growth rate, are those for ImageNet (stride on the 3×3, as torchvision's; 'resnet-50-v1': on the first 1×1). The
    others are for CIFAR: depths are 6n+2 (basic blocks) or 9n+2 (bottleneck blocks); where both fit, depths below 164
    are basic and the others bottleneck, as in the papers. Projections (shortcut B) are the default of pre-activation,
    bottleneck and ImageNet nets, zero padding (A) of the others and of plain nets, which have none. A DenseNet's stem
    has 16 channels, a DenseNet-BC's 2·growth_rate. Raises SpecError, with the nearest name or depth.
    """
    known = [field.name for field in dataclasses.fields(NetSpec)]
    for field in overrides:
        if field not in known:
            raise SpecError(f"a network has no field {field!r}{_nearest(field, known)}: {', '.join(known)}")
    check_types(NetSpec, overrides)
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    fields = _fields(text, overrides)
    if fields is None and (twin := re.fullmatch(r"plain-?((?:pre|res|w).+)", text)):
        fields = _fields(twin[1], {"family": "plain", **overrides})
    if fields is None:
        raise SpecError(_unknown(name, text))
    return NetSpec(**fields)


def spec_name(spec: NetSpec) -> str | None:
    """The name for which `resolve` gives exactly this specification; None where only overrides can say it."""
    return next((name for name in _candidates(spec) if _resolves(name, spec)), None)


def net_name(spec: NetSpec) -> str:
    """What people call this net, whatever its images and classes are: 'resnet-20', else 'residual 20'."""
    data = {"classes": spec.classes, "input_channels": spec.input_channels, "input_size": spec.input_size}
    return next((name for name in _candidates(spec) if _resolves(name, spec, **data)), spec.label)


def _resolves(name: str, spec: NetSpec, **overrides: int) -> bool:
    try:
        return resolve(name, **overrides) == spec
    except SpecError:
        return False


def _candidates(spec: NetSpec) -> list[str]:
    """Names that may be this net's; the first that is, is its name."""
    depth = spec.depth
    if spec.family == "dense":
        suffix = "b" * spec.bottleneck + "c" * (spec.compression < 1)
        labels = [label for label, (blocks, _) in IMAGENET_DENSE.items() if blocks == spec.blocks]
        return [
            *(f"densenet-{label}" for label in labels),
            f"densenet-{suffix}-{depth}-{spec.growth_rate}".replace("--", "-"),
        ]
    twin = "plain-" if spec.family == "plain" else ""
    if spec.widen is not None:
        return [f"{twin}wrn-{depth}-{spec.widen}"]
    if spec.group_width is not None:
        wide = f"wide-resnet-{depth}-{spec.group_width // spec.width}"
        return [twin + (f"resnext-{depth}-{spec.groups}x{spec.group_width}d" if spec.groups > 1 else wide)]
    family = ("pre" if spec.activation == "pre" else "") + ("plain" if spec.family == "plain" else "resnet")
    kind = "bottleneck" if spec.bottleneck else "basic"
    return [f"{family}-{depth}", f"{family}-{kind}-{depth}", f"{family}-{depth}-v1", f"{twin}resnetv2-{depth}"]


# ---- forms: a pattern, and what its match says beside the overrides


def _fields(text: str, overrides: Fields) -> Fields | None:
    """The fields that a name in lower case stands for; None where it has none of the forms."""
    for pattern, read in _FORMS:
        if match := re.fullmatch(pattern, text):
            return read(match, overrides)
    return None


def _stack(match: re.Match[str], overrides: Fields) -> Fields:
    pre, family, kind, number, v1 = match.groups()
    depth = int(number)
    fields: Fields = {"family": "plain" if family == "plain" else "residual", "depth": depth}
    if depth in IMAGENET_BLOCKS and not pre and not kind:
        stride: Fields = {"stride_on": "1x1"} if v1 == "-v1" and depth >= 50 else {}
        return _imagenet(depth, {**fields, **stride, **overrides})
    if pre and depth in IMAGENET_BLOCKS and depth % 6 != 2 and depth % 9 != 2:
        large = f"{'plain-' * (family == 'plain')}resnetv2-{depth}"
        raise SpecError(f"{match[0]!r} is not of a depth for CIFAR, 6n+2 or 9n+2; the net for ImageNet is {large}")
    if v1:
        raise SpecError(f"{match[0]!r}: v1 and v1.5 are of ImageNet nets, of depth {_depths(IMAGENET_BLOCKS)}")
    fields |= {"activation": "pre" if pre else "post", **overrides}
    fields.setdefault("bottleneck", kind == "bottleneck" if kind else _is_bottleneck(fields["depth"]))
    return _with_shortcut(fields, projects=fields["bottleneck"] or fields["activation"] == "pre")


def _imagenet(depth: int, fields: Fields) -> Fields:
    """A stack of four stages for 224 px; the depth is one of those published."""
    if depth not in IMAGENET_BLOCKS:
        raise SpecError(
            f"no ImageNet net has depth {depth}: give {_depths(IMAGENET_BLOCKS)}, or build(..., blocks=...)"
        )
    shape = {"depth": depth, "blocks": IMAGENET_BLOCKS[depth], "width": 64, "bottleneck": depth >= 50}
    return _with_shortcut({**_IMAGENET, **shape, **fields}, projects=True)


def _version_two(match: re.Match[str], overrides: Fields) -> Fields:
    depth = int(match[1] or match[2])
    stride: Fields = {"stride_on": "3x3"} if depth >= 50 else {}
    return _imagenet(depth, {"family": "residual", "activation": "pre", **stride, **overrides})


def _wide(match: re.Match[str], overrides: Fields) -> Fields:
    """WRN-28-10 by the paper's count for CIFAR; wide-resnet-50-2 is wide inside its bottlenecks."""
    depth, widen = (int(number) for number in match.groups())
    if depth in IMAGENET_BLOCKS and depth >= 50:
        return _imagenet(depth, {"family": "residual", "group_width": 64 * widen, **overrides})
    fields = {"family": "residual", "depth": depth, "widen": widen, "activation": "pre", **overrides}
    return _with_shortcut(fields, projects=True)


def _resnext(match: re.Match[str], overrides: Fields) -> Fields:
    depth, groups, group_width = (int(number) for number in match.groups())
    fields: Fields = {"family": "residual", "groups": groups, "group_width": group_width, **overrides}
    if depth in IMAGENET_BLOCKS and depth >= 50:
        return _imagenet(depth, fields)
    return _with_shortcut({"depth": depth, "width": 64, "bottleneck": True, **fields}, projects=True)


def _with_shortcut(fields: Fields, projects: bool) -> Fields:
    fields.setdefault("shortcut", "B" if projects and fields["family"] == "residual" else "A")
    return fields


def _is_bottleneck(depth: int) -> bool:
    basic_fits, bottleneck_fits = depth % 6 == 2, depth % 9 == 2
    return bottleneck_fits and (not basic_fits or depth >= _FIRST_PAPER_BOTTLENECK)


def _dense(match: re.Match[str], overrides: Fields) -> Fields:
    suffix, depth, growth = match.groups()
    fields: Fields = {
        "family": "dense",
        "depth": int(depth),
        "growth_rate": int(growth),
        "bottleneck": "b" in (suffix or ""),
        "compression": 0.5 if "c" in (suffix or "") else 1.0,
        **overrides,
    }
    fields.setdefault("width", 2 * fields["growth_rate"] if suffix == "bc" else 16)
    return fields


def _imagenet_dense(match: re.Match[str], overrides: Fields) -> Fields:
    label = int(match[1])
    if label not in IMAGENET_DENSE:
        raise SpecError(
            f"{match[0]!r} lacks the growth rate: a dense net is named by depth and growth rate, as "
            f"densenet-bc-100-12; without one there are {_depths(IMAGENET_DENSE)}"
        )
    blocks, growth = IMAGENET_DENSE[label]
    shape = {"blocks": blocks, "depth": 2 * sum(blocks) + 5, "bottleneck": True, "compression": 0.5}
    fields = {**_IMAGENET, "family": "dense", "growth_rate": growth, **shape, **overrides}
    fields.setdefault("width", 2 * fields["growth_rate"])
    return fields


_FORMS: tuple[tuple[str, Callable[[re.Match[str], Fields], Fields]], ...] = (
    (r"(pre-?)?(plain|resnet)-?(basic|bottleneck)?-?(\d+)(-v1|-v1-5)?", _stack),
    (r"resnet-?v2-?(\d+)|resnet-?(\d+)-?v2", _version_two),
    (r"(?:wrn|wide-?resnet)-?(\d+)[-x](\d+)", _wide),
    (r"resnext-?(\d+)-(\d+)[-x](\d+)d?", _resnext),
    (r"densenet-?(bc|b|c)?-?(\d+)-k?(\d+)", _dense),
    (r"densenet-?(?:bc)?-?(\d+)", _imagenet_dense),
)


# ---- misses


def _unknown(name: str, text: str) -> str:
    numbers = "".join(f"-{digits}" for digits in re.findall(r"\d+", text))
    words = re.sub(r"[-\d]+", "-", text).strip("-")
    forms = {re.split(r"-[A-Z]", form)[0]: form for form in reversed(NAME_FORMS)}
    if words in forms:
        return f"{name!r} is no whole name: such a network is named {forms[words]}"
    near = difflib.get_close_matches(words, list(reversed(forms)), n=1)
    names = f": did you mean {_whole(near[0] + numbers) or forms[near[0]]}? Names are" if near else "; names are"
    return f"there is no network {name!r}{names} {', '.join(NAME_FORMS)}"


def _whole(name: str) -> str | None:
    """A name as it is written here; None where it is the name of no network."""
    try:
        return spec_name(resolve(name))
    except SpecError:
        return None


def _depths(table: dict[int, Any]) -> str:
    *others, last = table
    return f"{', '.join(map(str, others))} and {last}"


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {near[0]!r}? It has" if near else "; it has"
