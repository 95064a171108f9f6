"""Names of networks, their misses, and specifications that do not make a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gradpath.errors import RecordError, SpecError
from gradpath.nets import PUBLISHED, NetSpec, net_name, resolve, spec_name
from gradpath.record._base import decode

DENSE: dict[str, Any] = {"family": "dense", "growth_rate": 12}
LARGE: dict[str, Any] = {"stem": "imagenet", "classes": 1000, "input_size": 224}
IMAGENET: dict[str, Any] = {**LARGE, "blocks": (3, 4, 6, 3), "width": 64}
BOTTLENECK_50: dict[str, Any] = {**IMAGENET, "depth": 50, "bottleneck": True}


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
        ("resnet-bottleneck-101", {"family": "residual", "depth": 101, "bottleneck": True, "shortcut": "B"}),
        ("resnet-basic-50", {"family": "residual", "depth": 50}),
        ("plain-34", {**IMAGENET, "family": "plain", "depth": 34}),
        ("resnet-34", {**IMAGENET, "family": "residual", "depth": 34, "shortcut": "B"}),
        ("resnet-50", {**BOTTLENECK_50, "family": "residual", "shortcut": "B"}),
        ("resnet-50-v1", {**BOTTLENECK_50, "family": "residual", "shortcut": "B", "stride_on": "1x1"}),
        ("plain-50", {**BOTTLENECK_50, "family": "plain"}),
        ("resnetv2-50", {**BOTTLENECK_50, "family": "residual", "shortcut": "B", "activation": "pre"}
         | {"stride_on": "3x3"}),
        ("wide-resnet-50-2", {**BOTTLENECK_50, "family": "residual", "shortcut": "B", "group_width": 128}),
        ("resnext-50-32x4d", {**BOTTLENECK_50, "family": "residual", "shortcut": "B", "group_width": 4, "groups": 32}),
        ("plain-resnext-50-32x4d", {**BOTTLENECK_50, "family": "plain", "group_width": 4, "groups": 32}),
        ("resnext-29-8x64d", {"family": "residual", "depth": 29, "bottleneck": True, "shortcut": "B", "width": 64}
         | {"groups": 8, "group_width": 64}),
        ("wrn-28-10", {"family": "residual", "depth": 28, "widen": 10, "activation": "pre", "shortcut": "B"}),
        ("plain-wrn-28-10", {"family": "plain", "depth": 28, "widen": 10, "activation": "pre"}),
        ("densenet-161", {**DENSE, **LARGE, "depth": 161, "blocks": (6, 12, 36, 24), "bottleneck": True, "width": 96}
         | {"growth_rate": 48, "compression": 0.5}),
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
        ("resnet50", "resnet-50"),
        ("ResNet-50 v1.5", "resnet-50"),
        ("resnet50v2", "resnetv2-50"),
        ("resnetv2_101", "resnetv2-101"),
        ("wide_resnet50_2", "wide-resnet-50-2"),
        ("wide-resnet-28-10", "wrn-28-10"),
        ("WRN-40-4", "wrn-40-4"),
        ("resnext50_32x4d", "resnext-50-32x4d"),
        ("plain-resnet-110", "plain-110"),
        ("densenet121", "densenet-121"),
        ("wrn28x10", "wrn-28-10"),
        ("WRN-50-2", "wide-resnet-50-2"),
        ("resnext-50-32x4", "resnext-50-32x4d"),
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
    assert net_name(resolve("resnet-110", classes=100, input_size=64)) == "resnet-110"  # other images, the same net
    assert net_name(resolve("resnet-110", width=8)) == resolve("resnet-110").label
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
        ("densenet-100", r"lacks the growth rate: .*densenet-bc-100-12; without one there are 121, .* and 264"),
        ("resnet-56-v1", r"'resnet-56-v1': v1 and v1\.5 are of ImageNet nets, of depth 18, .* and 200"),
        ("resnetv2-56", "no ImageNet net has depth 56: give 18, "),
        ("wrn-27-10", r"depth 27 does not make a wide residual net: its depth is 6n\+4: 22 or 28"),
        ("wnr-28-10", r"did you mean wrn-28-10\?"),
        ("rexnext-50-32x4d", r"did you mean resnext-50-32x4d\?"),
        ("preact-resnet-18", r"did you mean preresnet-DEPTH\?"),
        ("preresnet-18", "the net for ImageNet is resnetv2-18$"),
        ("preplain-34", "the net for ImageNet is plain-resnetv2-34$"),
        ("densenet-b-121", "such a network is named densenet-b-DEPTH-GROWTH"),
        ("densenet-bc-100-0", "growth_rate must be at least 1, got 0"),
        ("resnext-50", "'resnext-50' is no whole name: such a network is named resnext-DEPTH-GROUPSxWIDTHd"),
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
        ({"depth": 56, "norm": "batchnorm"}, "norm must be 'none' or 'batch' or 'layer' or 'group', got 'batchnorm'"),
        ({"depth": 56, "stride_on": "5x5"}, "stride_on must be '1x1' or '3x3' or None, got '5x5'"),
        ({"depth": 56, "widen": "2"}, "widen must be a whole number or None, got '2'"),
        ({"depth": 56, "dropout": "much"}, "dropout must be a number, got 'much'"),
        ({"depth": 56, "bottleneck": 1}, "bottleneck must be True or False, got 1"),
        ({"depth": 56, "blocks": (3, 0)}, r"blocks must be whole numbers .* as \(3, 4, 6, 3\), got \(3, 0\)"),
        ({"depth": 56, "blocks": 3}, "blocks must be whole numbers"),
        ({"depth": 56, "blocks": (3, 4, 6, 3)}, r"not that of a residual net with blocks \(3, 4, 6, 3\), which is 34"),
        ({"depth": 34, "blocks": (3, 4, 6, 3), "stem": "imagenet", "input_size": 28},
         "at least 32 .*5 times.*, got 28: use stem='cifar'"),
        ({"depth": 56, "dropout": 1.0}, "dropout is a rate, at least 0 and below 1, got 1.0"),
        ({"depth": 56, "groups": 2}, "groups belongs to bottleneck plain and residual nets, got 2"),
        ({"depth": 56, "group_width": 2}, "group_width belongs to bottleneck"),
        ({"depth": 56, "stride_on": "1x1"}, "stride_on belongs to bottleneck"),
        ({"depth": 29, "bottleneck": True, "dropout": 0.3}, "dropout belongs to basic or dense nets"),
        ({"depth": 29, "bottleneck": True, "groups": 3}, "groups must divide the inner channels, got 3 groups of 16"),
        ({"depth": 29, "bottleneck": True, "widen": 2}, "widen belongs to basic"),
        ({"depth": 56, "concat": "prepend"}, "concat belongs to dense nets"),
        ({"depth": 56, "family": "plain", "gate": "shortcut"}, "gate belongs to residual nets, got 'shortcut'"),
        ({"depth": 56, "family": "plain", "stochastic_depth": 0.5}, "stochastic_depth belongs to residual nets"),
        ({"depth": 56, "family": "plain", "init": "rezero"}, "which only a skip survives"),
        ({"depth": 56, "init": "fixup"}, "takes the place of norms, got norm='batch': use norm='none'"),
        ({"depth": 56, "init": "fixup", "norm": "none", "activation": "pre"}, "post-activation"),
        ({"depth": 56, "zero_last_norm": True, "activation": "pre"}, "zero_last_norm belongs to post-activation"),
        ({"depth": 56, "zero_last_norm": True, "norm": "none"}, "zero_last_norm needs a norm"),
        ({"depth": 56, "family": "vgg"}, "family must be 'plain' or 'residual' or 'dense'"),
        ({"depth": 56, "classes": 0}, "classes must be at least 1"),
        ({"depth": 56, "input_size": 4}, "input_size must be at least 8"),
        ({"depth": 56, "width": 15}, "even width"),
        ({"depth": 56, "width": 99_999_999_998}, "width must be at most 1,000,000, got 99,999,999,998"),
        ({"depth": 56, "compression": 0.5}, "compression belongs to dense nets"),
        ({"depth": 56, "growth_rate": 3}, "growth_rate belongs to dense nets, got 3 with .*: leave it at 12"),
        ({"depth": 56, "gate_bias": -3.0}, "gate_bias belongs to gated residual nets, got -3.0 .* gate='none'"),
        ({"depth": 56, "stochastic_depth_mode": "row"}, "stochastic_depth_mode belongs to stochastic-depth residual"),
        ({"depth": 40, "family": "dense", "shortcut": "B"}, "shortcut belongs to plain and residual nets"),
        ({"depth": 40, "family": "dense", "padding": "end"}, "padding belongs to plain and residual nets"),
        ({"depth": 40, "family": "dense", "activation": "pre"}, "activation belongs to plain and residual nets"),
        ({"depth": 56, "shortcut_scale": float("nan")}, "shortcut_scale must be a finite number, got nan"),
        ({"depth": 56, "branch_scale": float("inf")}, "branch_scale must be a finite number"),
        ({"depth": 56, "zero_last_norm": True, "init": "rezero"}, "no gradient would ever reach them"),
        ({"depth": 56, "activation": "pre", "shortcut": "C"}, "shortcut A or B"),
        ({"depth": 40, "family": "dense", "compression": 0}, "above 0"),
        ({"depth": 40, "family": "dense", "compression": 0.001}, "without a channel: give a larger one"),
        ({"depth": 40, "family": "dense", "norm": "none"}, "without norm"),
    ],
)  # fmt: skip
def test_what_does_not_make_a_network(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NetSpec(**{"family": "residual", "depth": 56, **fields})


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_are_names(name: str) -> None:
    assert spec_name(resolve(name)) == name


def test_a_file_of_an_older_version_reads_as_before() -> None:
    old = {"family": "residual", "depth": 20, "width": 16, "norm": "batch", "init": "he", "activation": "post",
           "bottleneck": False, "shortcut": "A", "padding": "both", "growth_rate": 12, "compression": 1.0,
           "classes": 10, "input_size": 32, "input_channels": 3}  # fmt: skip
    assert decode(NetSpec, old, "") == resolve("resnet-20")
    new = resolve("resnet-50", stochastic_depth=0.2)
    assert decode(NetSpec, new.to_dict(), "") == new


@pytest.mark.parametrize(
    ("name", "stranger"),
    [
        ("resnet-20", {"growth_rate": 3}),
        ("resnet-20", {"gate_bias": -1.0, "stochastic_depth_mode": "row"}),
        ("densenet-40-12", {"shortcut": "B", "padding": "end", "activation": "pre"}),
    ],
)
def test_a_file_with_fields_that_its_net_does_not_look_at_reads(name: str, stranger: dict[str, Any]) -> None:
    spec = resolve(name)
    with pytest.raises(SpecError, match="belongs to"):
        resolve(name, **stranger)
    assert decode(NetSpec, spec.to_dict() | stranger, "") == spec
    with pytest.raises(RecordError, match="groups belongs to"):
        decode(NetSpec, spec.to_dict() | {"groups": 2}, "")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": "20"}, "depth must be a whole number, got '20'"),
        ({"growth_rate": "x"}, "growth_rate must be a whole number"),
        ({"name": "x"}, "a network has no field 'name'; it has: family, "),
    ],
)
def test_overrides_of_another_type_are_refused_before_any_arithmetic(fields: dict[str, Any], message: str) -> None:
    for name in ("resnet-20", "densenet-bc-100-12"):
        with pytest.raises(SpecError, match=message):
            resolve(name, **fields)


def test_compression_is_refused_only_where_no_channel_is_left() -> None:
    assert resolve("densenet-bc-10-1").compression == 0.5
    with pytest.raises(SpecError, match="without a channel"):
        resolve("densenet-bc-10-1", width=1, compression=0.3)


def test_blocks_of_any_depth() -> None:
    assert resolve("resnet-20").with_blocks(18) == resolve("resnet-110")
    assert resolve("wrn-16-4").with_blocks(4) == resolve("wrn-28-4")
    assert resolve("resnet-50").with_blocks(3).blocks == (3, 3, 3, 3)
    assert resolve("resnet-50").with_blocks(3).depth == 38
    assert resolve("densenet-bc-100-12").with_blocks(2).depth == 16
    assert NetSpec(family="residual", depth=8, blocks=[1, 1, 1]).blocks == (1, 1, 1)  # type: ignore[arg-type]


def test_a_plain_twin_has_nothing_that_only_skips_can_have() -> None:
    spec = resolve("resnet-20", gate="exclusive", shortcut_scale=0.5, stochastic_depth=0.5, zero_last_norm=True)
    assert spec.plain_twin() == resolve("plain-20")
    assert resolve("resnet-20", init="fixup", norm="none").plain_twin() == resolve("plain-20", norm="none")
