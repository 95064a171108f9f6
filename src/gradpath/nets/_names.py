"""Names of networks: family, depth and growth rate, read by rule, for any depth."""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import Any

from gradpath.errors import SpecError
from gradpath.record import NetSpec

NAME_FORMS = (
    "plain-DEPTH",
    "resnet-DEPTH",
    "preplain-DEPTH",
    "preresnet-DEPTH",
    "densenet-DEPTH-GROWTH",
    "densenet-b-DEPTH-GROWTH",
    "densenet-c-DEPTH-GROWTH",
    "densenet-bc-DEPTH-GROWTH",
)
"""The forms a name can take; 'basic' or 'bottleneck' may stand before DEPTH: 'resnet-bottleneck-110'."""

_STACK = re.compile(r"(pre)?-?(plain|resnet)-?(basic|bottleneck)?-?(\d+)")
_DENSE = re.compile(r"densenet-?(bc|b|c)?-?(\d+)-k?(\d+)")
_FIRST_PAPER_BOTTLENECK = 164


def resolve(name: str, **overrides: Any) -> NetSpec:
    """The specification that a name stands for, with fields of NetSpec overridden.

    'resnet-110' and 'ResNet110' are the same. Plain and residual depths are 6n+2 (basic blocks) or 9n+2 (bottleneck
    blocks); where both fit, depths below 164 are basic and the others bottleneck, as in the papers. Projections
    (shortcut B) are the default of pre-activation and bottleneck nets, zero padding (A) of the others. A DenseNet's
    stem has 16 channels, a DenseNet-BC's 2·growth_rate. Raises SpecError, with the nearest name or depth.
    """
    known = [field.name for field in dataclasses.fields(NetSpec)]
    for field in overrides:
        if field not in known:
            raise SpecError(f"a network has no field {field!r}{_nearest(field, known)}: {', '.join(known)}")
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if match := _STACK.fullmatch(text):
        return _stack_spec(match, overrides)
    if match := _DENSE.fullmatch(text):
        return _dense_spec(match, overrides)
    raise SpecError(_unknown(name, text))


def spec_name(spec: NetSpec) -> str | None:
    """The name for which `resolve` gives exactly this specification; None where only overrides can say it."""
    if spec.family == "dense":
        suffix = "b" * spec.bottleneck + "c" * (spec.compression < 1)
        names = [f"densenet-{suffix}{'-' if suffix else ''}{spec.depth}-{spec.growth_rate}"]
    else:
        family = ("pre" if spec.activation == "pre" else "") + ("plain" if spec.family == "plain" else "resnet")
        kind = "bottleneck" if spec.bottleneck else "basic"
        names = [f"{family}-{spec.depth}", f"{family}-{kind}-{spec.depth}"]
    return next((name for name in names if resolve(name) == spec), None)


def _stack_spec(match: re.Match[str], overrides: dict[str, Any]) -> NetSpec:
    pre, family, kind, depth = match.groups()
    fields: dict[str, Any] = {
        "family": "plain" if family == "plain" else "residual",
        "depth": int(depth),
        "activation": "pre" if pre else "post",
        **overrides,
    }
    fields.setdefault("bottleneck", kind == "bottleneck" if kind else _is_bottleneck(fields["depth"]))
    projects = fields["bottleneck"] or fields["activation"] == "pre"
    fields.setdefault("shortcut", "B" if projects and fields["family"] == "residual" else "A")
    return NetSpec(**fields)


def _is_bottleneck(depth: int) -> bool:
    basic_fits, bottleneck_fits = depth % 6 == 2, depth % 9 == 2
    return bottleneck_fits and (not basic_fits or depth >= _FIRST_PAPER_BOTTLENECK)


def _dense_spec(match: re.Match[str], overrides: dict[str, Any]) -> NetSpec:
    suffix, depth, growth = match.groups()
    fields: dict[str, Any] = {
        "family": "dense",
        "depth": int(depth),
        "growth_rate": int(growth),
        "bottleneck": "b" in (suffix or ""),
        "compression": 0.5 if "c" in (suffix or "") else 1.0,
        **overrides,
    }
    fields.setdefault("width", 2 * fields["growth_rate"] if suffix == "bc" else 16)
    return NetSpec(**fields)


def _unknown(name: str, text: str) -> str:
    if re.fullmatch(r"densenet-?(bc|b|c)?-?\d+", text):
        return f"{name!r} lacks the growth rate: a dense net is named by depth and growth rate, as densenet-bc-100-12"
    numbers = "".join(f"-{digits}" for digits in re.findall(r"\d+", text))
    words = re.sub(r"[-\d]+", "-", text).strip("-")
    families = [form.split("-DEPTH")[0] for form in NAME_FORMS]
    near = difflib.get_close_matches(words, families, n=1)
    names = f": did you mean {near[0]}{numbers or '-DEPTH'}? Names are" if near else "; names are"
    return f"there is no network {name!r}{names} {', '.join(NAME_FORMS)}"


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {near[0]!r}? It has" if near else "; it has"
