"""Names of networks, their misses, and specifications that do not make a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gradpath.errors import SpecError
from gradpath.nets import NetSpec, resolve, spec_name

DENSE: dict[str, Any] = {"family": "dense", "growth_rate": 12}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet-110", {"family": "residual", "depth": 110}),
        ("plain-56", {"family": "plain", "depth": 56}),
        ("resnet-1202", {"family": "residual", "depth": 1202}),
        ("resnet-164", {"family": "residual", "depth": 164, "bottleneck": True, "shortcut": "B"}),
        ("resnet-basic-164", {"family": "residual", "depth": 164}),
        ("resnet-29", {"family": "residual", "depth": 29, "bottleneck": True, "shortcut": "B"}),
        ("resnet-bottleneck-110", {"family": "residual", "depth": 110, "bottleneck": True, "shortcut": "B"}),
        ("preresnet-110", {"family": "residual", "depth": 110, "activation": "pre", "shortcut": "B"}),
        (
            "preresnet-1001",
            {"family": "residual", "depth": 1001, "activation": "pre", "shortcut": "B", "bottleneck": True},
        ),
        ("preplain-164", {"family": "plain", "depth": 164, "activation": "pre", "bottleneck": True}),
        ("densenet-40-12", {**DENSE, "depth": 40}),
        ("densenet-b-40-12", {**DENSE, "depth": 40, "bottleneck": True}),
        ("densenet-c-40-12", {**DENSE, "depth": 40, "compression": 0.5}),
        ("densenet-bc-100-12", {**DENSE, "depth": 100, "bottleneck": True, "compression": 0.5, "width": 24}),
        ("densenet-bc-190-40", {**DENSE, "depth": 190, "bottleneck": True, "compression": 0.5, "width": 80}
         | {"growth_rate": 40}),
    ],
)  # fmt: skip
def test_a_name_and_its_specification(name: str, fields: dict[str, Any]) -> None:
    assert resolve(name) == NetSpec(**fields)
    assert spec_name(resolve(name)) == name


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("resnet110", "resnet-110"),
        ("ResNet 110", "resnet-110"),
        ("PreResNet_164", "preresnet-164"),
        ("pre-resnet-164", "preresnet-164"),
        ("DenseNet-BC (100, 12)", "densenet-bc-100-12"),
        ("densenetbc100-k12", "densenet-bc-100-12"),
        ("densenet40-12", "densenet-40-12"),
    ],
)
def test_spellings(name: str, same: str) -> None:
    assert resolve(name) == resolve(same)


def test_overrides_come_before_the_defaults_that_depend_on_them() -> None:
    assert resolve("densenet-bc-100-12", growth_rate=24).width == 48
    assert resolve("densenet-bc-100-12", growth_rate=24, width=20).width == 20
    assert resolve("resnet-110", bottleneck=True).shortcut == "B"
    assert resolve("resnet-110", classes=100) == dataclasses.replace(resolve("resnet-110"), classes=100)


def test_a_specification_without_a_name() -> None:
    assert spec_name(resolve("resnet-110", classes=100)) is None
    assert spec_name(resolve("densenet-bc-100-12", width=16)) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet-57", r"depth 57 does not make a residual net: its depth is 6n\+2: 56 or 62"),
        ("preresnet-bottleneck-165", r"residual bottleneck net: its depth is 9n\+2: 164 or 173"),
        ("densenet-bc-43-12", r"dense bottleneck net: its depth is 6n\+4: 40 or 46"),
        ("resnet-2", r"6n\+2: 8$"),
        ("resent-110", r"no network 'resent-110': did you mean resnet-110\?"),
        ("desnet-bc-100-12", r"did you mean densenet-bc-100-12\?"),
        ("plane56", r"did you mean plain-56\? Names are plain-DEPTH, "),
        ("densenet-121", "lacks the growth rate"),
        ("vgg-16", r"no network 'vgg-16'; names are plain-DEPTH, "),
        ("", "no network ''; names are"),
    ],
)
def test_misses_suggest(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        resolve(name)
    assert "\n" not in str(error.value)


def test_an_unknown_override_suggests() -> None:
    with pytest.raises(SpecError, match=r"no field 'clases': did you mean 'classes'\? It has: family, "):
        resolve("resnet-110", clases=100)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 57}, r"6n\+2: 56 or 62"),
        ({"depth": "56"}, "depth must be a whole number, got '56'"),
        ({"depth": 56.0}, "depth must be a whole number"),
        ({"classes": True}, "classes must be a whole number"),
        ({"depth": 56, "norm": "group"}, "norm must be 'none' or 'batch', got 'group'"),
        ({"depth": 56, "family": "vgg"}, "family must be 'plain' or 'residual' or 'dense'"),
        ({"depth": 56, "classes": 0}, "classes must be at least 1"),
        ({"depth": 56, "input_size": 4}, "input_size must be at least 8"),
        ({"depth": 56, "width": 15}, "even width"),
        ({"depth": 56, "compression": 0.5}, "compression belongs to dense nets"),
        ({"depth": 56, "activation": "pre", "shortcut": "C"}, "shortcut A or B"),
        ({"depth": 40, "family": "dense", "compression": 0}, "above 0"),
        ({"depth": 40, "family": "dense", "compression": 0.001}, "without a channel"),
        ({"depth": 40, "family": "dense", "norm": "none"}, "without norm"),
    ],
)
def test_what_does_not_make_a_network(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NetSpec(**{"family": "residual", "depth": 56, **fields})
