"""What other libraries call the modules of our nets: one table of names each, read in both directions.

A table says where a library keeps each of our modules; the name of every tensor follows from our own module tree, so
that a renaming is a dictionary (ours → theirs) without two equal values, and its inverse is the way back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn

from gradpath.errors import WeightsError
from gradpath.nets._blocks import Transition
from gradpath.nets._network import Network
from gradpath.record import NetSpec

Library = Literal["torchvision", "timm", "akamaster", "kuangliu", "gpleiss"]
"""The last three: akamaster/pytorch_resnet_cifar10, kuangliu/pytorch-cifar, gpleiss/efficient_densenet_pytorch."""

_IN_BLOCK = re.compile(r"(stages\.\d+\.\d+)\.(.+)")


@dataclass(frozen=True)
class Naming:
    """How a library names one kind of net, and what its code computes that names and shapes do not tell."""

    dense: bool
    preactivated: bool
    bottleneck: bool | None
    """None: both kinds of block."""
    modules: Mapping[str, str]
    """Our module → theirs; those inside a block without the block."""
    block: str
    """Where a block lies. {stage} and {layer} count from 1, {stage0} and {block} from 0; transitions do not count."""
    computes: Mapping[str, Any]
    """Field of NetSpec → its value in the library's own model."""
    transition: str = ""
    """Where the transition after {stage} lies."""
    conv_head: bool = False
    """The last layer is a 1×1 convolution."""


_CONVS = {f"conv{n}": f"conv{n}" for n in (1, 2, 3)}
_NORMS = {f"norm{n}": f"norm{n}" for n in (1, 2, 3)}
_BNS = {f"norm{n}": f"bn{n}" for n in (1, 2, 3)}
_RESNET = _CONVS | _BNS | {"stem.conv": "conv1", "stem.norm": "bn1"}
_LINEAR_SHORTCUT = {"shortcut.conv": "shortcut.0", "shortcut.norm": "shortcut.1", "head.linear": "linear"}
_DENSENET = (
    _CONVS | _NORMS | {"stem.conv": "features.conv0", "norm": "norm", "conv": "conv", "head.linear": "classifier"}
)

RESNET = Naming(
    dense=False,
    preactivated=False,
    bottleneck=None,
    modules=_RESNET | {"shortcut.conv": "downsample.0", "shortcut.norm": "downsample.1", "head.linear": "fc"},
    block="layer{stage}.{block}",
    computes={"stem": "imagenet", "shortcut": "B", "stride_on": "3x3"},
)
DENSENET = Naming(
    dense=True,
    preactivated=True,
    bottleneck=True,
    modules=_DENSENET | {"stem.norm": "features.norm0", "head.norm": "features.norm5"},
    block="features.denseblock{stage}.denselayer{layer}",
    transition="features.transition{stage}",
    computes={"stem": "imagenet", "concat": "append"},
)
RESNETV2 = Naming(
    dense=False,
    preactivated=True,
    bottleneck=None,
    modules=_CONVS
    | _NORMS
    | {"stem.conv": "stem.conv", "shortcut.conv": "downsample.conv", "head.norm": "norm", "head.linear": "head.fc"},
    block="stages.{stage0}.blocks.{block}",
    computes={"stem": "imagenet", "shortcut": "B", "stride_on": "3x3"},
    conv_head=True,
)
AKAMASTER = Naming(
    dense=False,
    preactivated=False,
    bottleneck=False,
    modules=_RESNET | _LINEAR_SHORTCUT,
    block="layer{stage}.{block}",
    computes={"stem": "cifar", "padding": "both"},
)
KUANGLIU_RESNET = Naming(
    dense=False,
    preactivated=False,
    bottleneck=None,
    modules=_RESNET | _LINEAR_SHORTCUT,
    block="layer{stage}.{block}",
    computes={"stem": "cifar", "shortcut": "B", "stride_on": "3x3"},
)
KUANGLIU_DENSENET = Naming(
    dense=True,
    preactivated=True,
    bottleneck=True,
    modules=_CONVS
    | _BNS
    | {"stem.conv": "conv1", "norm": "bn", "conv": "conv", "head.norm": "bn", "head.linear": "linear"},
    block="dense{stage}.{block}",
    transition="trans{stage}",
    computes={"stem": "cifar", "concat": "prepend"},
)
GPLEISS = Naming(
    dense=True,
    preactivated=True,
    bottleneck=True,
    modules=_DENSENET | {"stem.norm": "features.norm0", "head.norm": "features.norm_final"},
    block="features.denseblock{stage}.denselayer{layer}",
    transition="features.transition{stage}",
    computes={"concat": "append"},
)
NAMINGS: Mapping[str, tuple[Naming, ...]] = MappingProxyType(
    {
        "torchvision": (RESNET, DENSENET),
        "timm": (RESNET, DENSENET, RESNETV2),
        "akamaster": (AKAMASTER,),
        "kuangliu": (KUANGLIU_RESNET, KUANGLIU_DENSENET),
        "gpleiss": (GPLEISS,),
    }
)


_SPEC_ALONE = ("family", "preactivated", "nonlinearity", "norm", "shortcut_scale", "branch_scale", "gate")
"""Of every net: what its specification alone tells (a norm over one group has the tensors of one over many)."""


def tensor_names(net: Network, naming: Naming) -> dict[str, str] | None:
    """Our name of every tensor of the net → theirs; None where the library has no such module."""
    spec = net.spec
    if (naming.dense, naming.preactivated) != (spec.family == "dense", spec.preactivated):
        return None
    if naming.bottleneck not in (None, spec.bottleneck):
        return None
    places = dict(_places(net, naming))
    names = {}
    for key in net.state_dict():
        module, _, tensor = key.rpartition(".")
        block, inner = match.groups() if (match := _IN_BLOCK.fullmatch(module)) else ("", module)
        if inner not in naming.modules:
            return None
        names[key] = ".".join(filter(None, (places.get(block), naming.modules[inner], tensor)))
    return names


def _places(net: Network, naming: Naming) -> Iterator[tuple[str, str]]:
    """Where each of our blocks lies in theirs."""
    for stage, blocks in enumerate(net.stages):
        before = 0  # transitions
        for index, block in enumerate(cast("nn.Sequential", blocks)):
            ours = f"stages.{stage}.{index}"
            if isinstance(block, Transition):
                before += 1
                yield ours, naming.transition.format(stage=stage)
            else:
                number = index - before
                yield ours, naming.block.format(stage=stage + 1, stage0=stage, block=number, layer=number + 1)


def names_in(net: Network, keys: Collection[str]) -> tuple[dict[str, str], Naming | None]:
    """Our name of every tensor of the net → its name in a file with these keys, and whose naming that is.

    It is the one that most keys agree with; our own (None) where none agrees better.
    """
    candidates: list[tuple[dict[str, str], Naming | None]] = [({key: key for key in net.state_dict()}, None)]
    for naming in (naming for namings in NAMINGS.values() for naming in namings):
        names = tensor_names(net, naming)
        if names is not None:
            candidates.append((names, naming))
    return max(candidates, key=lambda found: sum(name in keys for name in found[0].values()))


def modern(key: str) -> str:
    """The name of a tensor today: the files of torchvision's DenseNets say norm.1 for norm1."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


def foreign_state(net: Network, library: str) -> dict[str, Tensor]:
    """The net's tensors as `library` names and shapes them.

    Raises WeightsError for an unknown library, and where the library's own model of these names would compute
    something else than this net.
    """
    if library not in NAMINGS:
        raise WeightsError(f"names of {library!r} are not known: they are {', '.join(get_args(Library))}")
    reasons = []
    for naming in NAMINGS[library]:
        names = tensor_names(net, naming)
        if names is None:
            continue
        if different := _differs(net.spec, naming):
            reasons.append(different)
            continue
        state = {names[key]: tensor for key, tensor in net.state_dict().items()}
        if naming.conv_head:
            weight = names["head.linear.weight"]
            state[weight] = state[weight][:, :, None, None]
        return state
    raise WeightsError(f"{library} has no {net.spec.label}{f': {reasons[0]}' if reasons else ' of this kind'}")


def function_of(spec: NetSpec) -> dict[str, Any]:
    """What a net computes in evaluation that the names and shapes of its tensors do not tell."""
    facts = {name: getattr(spec, name) for name in _SPEC_ALONE}
    if spec.family == "residual" and spec.shortcut == "A":
        facts["padding"] = spec.padding
    if spec.family == "dense":
        facts["concat"] = spec.concat
    elif spec.bottleneck:
        facts["stride_on"] = spec.stride_on or ("1x1" if spec.preactivated else "3x3")
    scaled = spec.stochastic_depth_mode == "batch"  # in evaluation
    return facts | {"stochastic_depth": spec.stochastic_depth if scaled else 0.0}


def _differs(spec: NetSpec, naming: Naming) -> str:
    """Where the library's model computes something else than a net of this specification; empty where it does not."""
    defaults = {name: NetSpec.__dataclass_fields__[name].default for name in (*_SPEC_ALONE[2:], "stochastic_depth")}
    theirs = defaults | {"family": "dense" if naming.dense else "residual", "preactivated": naming.preactivated}
    theirs |= naming.computes
    ours = function_of(spec) | {name: getattr(spec, name) for name in ("stem", "shortcut")}
    differ = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if not differ:
        return ""
    there, here = (", ".join(f"{name}={facts[name]!r}" for name in differ) for facts in (theirs, ours))
    return f"its own has {there}, this one {here}"
