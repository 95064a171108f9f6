"""What a block computes, where that is proved: a row of convolutions with BatchNorm and ReLU between, and a shortcut.

A form is read off a module whose class is known, ours or torchvision's or timm's, and whose parts are all seen to be
what the class's own constructor makes of its defaults. Everything else has no form: it is run by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from gradpath.nets._blocks import PadShortcut, Projection

_POST, _PRE = False, True


@dataclass(frozen=True, eq=False)
class Shortcut:
    """What is added to the branch: its source itself, zero-padded, or pool, convolution and norm of it."""

    conv: nn.Conv2d | None = None
    """The projection; None for the identity and zero padding."""
    norm: nn.BatchNorm2d | None = None
    """After the projection."""
    pool: nn.AvgPool2d | None = None
    """Before the projection."""
    padding: tuple[int, int, int] | None = None
    """(stride, zero channels before, after): every stride-th pixel and new channels; None for no padding."""
    from_activated: bool = False
    """Of a pre-activation block: its source is the first norm and ReLU, not the input."""


@dataclass(frozen=True, eq=False)
class Form:
    """A block of n convolutions c and n norms.

    Post-activation: relu(norm_n(c_n(… relu(norm_1(c_1 x)))) + shortcut(x)).
    Pre-activation: c_n(relu(norm_n(… c_1(relu(norm_1 x))))) + shortcut(x or relu(norm_1 x)).
    """

    convs: tuple[nn.Conv2d, ...]
    norms: tuple[nn.BatchNorm2d, ...]
    pre: bool
    shortcut: Shortcut | None
    """None in a plain net."""
    adds_in_place: bool
    """`out += shortcut`: the sum has the branch's dtype, not the promoted one. They differ under autocast."""
    owners: tuple[tuple[nn.Module, str], ...]
    """(module, attribute) of each parameter, in the order of block.parameters(): the form covers them all."""

    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The block's parameters as they are now, in the order of block.parameters()."""
        return tuple(getattr(module, name) for module, name in self.owners)


class _NotProved(Exception):
    """Why a module has no form, in a few words."""


def form_of(module: nn.Module) -> Form | None:
    """The form of a block; None where it cannot be shown that the block computes exactly that.

    Known are our plain and residual blocks and the BasicBlock and Bottleneck of torchvision.models.resnet and of
    timm.models.resnet (told by the class's full name: neither library is imported). Asked are BatchNorm2d and Conv2d
    themselves, no subclass, no bias beside a norm, no hook, nothing patched in, no parameter shared within the block.
    """
    try:
        return _read(module)
    except _NotProved:
        return None


def why_not(module: nn.Module) -> str:
    """Why `form_of` gives None, in a few words; empty where it gives a form."""
    try:
        _read(module)
    except _NotProved as reason:
        return str(reason)
    return ""


def is_known_class(module: nn.Module) -> bool:
    """Whether the module's class is one whose arithmetic is known, be this one's proved or not."""
    return _full_name(module) in _READERS


def _read(module: nn.Module) -> Form:
    read = _READERS.get(_full_name(module))
    _ask(read is not None, f"{type(module).__name__} is not a block whose arithmetic is known")
    assert read is not None
    for name, part in module.named_modules():
        _ask_untouched(part, name or type(module).__name__)
    form = read(module)
    _ask_covers(form, module)
    return form


# ---- readers: one for each family of classes


def _read_ours(module: nn.Module, convs: int, pre: bool) -> Form:
    """gradpath.nets: conv1, norm1 …, and a shortcut that is None, Identity, PadShortcut or Projection. Dropout,
    a gate and what branch or shortcut is wrapped in are further parts, which nobody has proved."""
    names = _numbered("conv", convs) + _numbered("norm", convs)
    _ask_children(module, [*names, "shortcut"])
    _ask(getattr(module, "nonlinearity", F.relu) is F.relu, "its nonlinearity is not ReLU")
    shortcut = _our_shortcut(getattr(module, "shortcut"), pre and bool(getattr(module, "first")))  # noqa: B009
    return _form(module, convs, "norm", pre, shortcut, adds_in_place=False)


def _our_shortcut(shortcut: object, from_activated: bool) -> Shortcut | None:
    if shortcut is None:
        return None
    if type(shortcut) is nn.Identity:
        return Shortcut(from_activated=from_activated)
    if type(shortcut) is PadShortcut:
        _ask(min(shortcut.before, shortcut.after) >= 0, "shortcut: takes channels away")
        return Shortcut(padding=(shortcut.stride, shortcut.before, shortcut.after), from_activated=from_activated)
    _ask(type(shortcut) is Projection, f"shortcut: is a {type(shortcut).__name__}")
    assert isinstance(shortcut, Projection)
    _ask_children(shortcut, ["conv", "norm"])
    bare = type(shortcut.norm) is nn.Identity
    norm = None if bare else _norm(shortcut.norm, "shortcut.norm")
    return Shortcut(_conv(shortcut.conv, "shortcut.conv"), norm, from_activated=from_activated)


def _read_torchvision(module: nn.Module, convs: int) -> Form:
    """torchvision.models.resnet: conv1, bn1 …, one relu used after each, downsample None or (conv, norm)."""
    _ask_children(module, [*_numbered("conv", convs), *_numbered("bn", convs), "relu", "downsample"])
    _ask_type(module, "relu", nn.ReLU)
    return _form(module, convs, "bn", _POST, _downsample(module), adds_in_place=True)


def _read_timm(module: nn.Module, convs: int) -> Form:
    """timm.models.resnet: conv1, bn1, act1 …; attention, anti-aliasing, DropBlock and stochastic depth must be off."""
    names = _numbered("conv", convs) + _numbered("bn", convs) + _numbered("act", convs)
    _ask_children(module, [*names, "drop_block", "aa", "se", "downsample", "drop_path"])
    for name in _numbered("act", convs):
        _ask_type(module, name, nn.ReLU)
    for name in ("drop_block", "aa"):
        _ask_type(module, name, nn.Identity)
    for name in ("se", "drop_path"):
        _ask(getattr(module, name) is None, f"{name}: is a {type(getattr(module, name)).__name__}")
    return _form(module, convs, "bn", _POST, _downsample(module), adds_in_place=True)


def _downsample(module: nn.Module) -> Shortcut:
    """None is the identity; else Sequential(conv, norm), or (Identity or AvgPool2d, conv, norm)."""
    downsample = getattr(module, "downsample")  # noqa: B009
    if downsample is None:
        return Shortcut()
    _ask_type(module, "downsample", nn.Sequential)
    parts = list(downsample)
    if len(parts) == 3 and type(parts[0]) is nn.Identity:
        parts.pop(0)
    pool = parts.pop(0) if len(parts) == 3 and type(parts[0]) is nn.AvgPool2d else None
    _ask(len(parts) == 2, "downsample: is not (pool,) convolution and norm")
    return Shortcut(_conv(parts[0], "downsample conv"), _norm(parts[1], "downsample norm"), pool)


def _full_name(module: nn.Module) -> str:
    kind = vars(type(module)).get("fused_from", type(module))  # a fused block (gradpath.kernels) computes the same
    return f"{kind.__module__}.{kind.__qualname__}"


_READERS: dict[str, Callable[[nn.Module], Form]] = {
    "gradpath.nets._blocks.PostBasic": lambda m: _read_ours(m, 2, _POST),
    "gradpath.nets._blocks.PostBottleneck": lambda m: _read_ours(m, 3, _POST),
    "gradpath.nets._blocks.PreBasic": lambda m: _read_ours(m, 2, _PRE),
    "gradpath.nets._blocks.PreBottleneck": lambda m: _read_ours(m, 3, _PRE),
    "torchvision.models.resnet.BasicBlock": lambda m: _read_torchvision(m, 2),
    "torchvision.models.resnet.Bottleneck": lambda m: _read_torchvision(m, 3),
    "timm.models.resnet.BasicBlock": lambda m: _read_timm(m, 2),
    "timm.models.resnet.Bottleneck": lambda m: _read_timm(m, 3),
}


# ---- parts and what is asked of them


def _form(
    module: nn.Module, convs: int, norm: str, pre: bool, shortcut: Shortcut | None, *, adds_in_place: bool
) -> Form:
    """The form of a module whose convolutions and norms are conv1, <norm>1, conv2, …"""
    return Form(
        convs=tuple(_conv(getattr(module, name), name) for name in _numbered("conv", convs)),
        norms=tuple(_norm(getattr(module, name), name) for name in _numbered(norm, convs)),
        pre=pre,
        shortcut=shortcut,
        adds_in_place=adds_in_place,
        owners=tuple(_owners(module)),
    )


def _conv(conv: object, name: str) -> nn.Conv2d:
    """A Conv2d itself, without bias, zero-padded by numbers: torch.conv2d with its fields. Stride, groups, dilation
    are handed on; other padding modes and 'same' pad in an operation of their own."""
    _ask(type(conv) is nn.Conv2d, f"{name}: is a {type(conv).__name__}")
    assert isinstance(conv, nn.Conv2d)
    _ask(conv.bias is None, f"{name}: has a bias")
    _ask(conv.padding_mode == "zeros" and not isinstance(conv.padding, str), f"{name}: padding is not plain zeros")
    return conv


def _norm(norm: object, name: str) -> nn.BatchNorm2d:
    """A BatchNorm2d itself (SyncBatchNorm talks to other ranks), with weight and bias. Training or evaluation,
    momentum and whether it tracks are looked at when it runs."""
    _ask(type(norm) is nn.BatchNorm2d, f"{name}: is a {type(norm).__name__}")
    assert isinstance(norm, nn.BatchNorm2d)
    _ask(norm.weight is not None and norm.bias is not None, f"{name}: has no weight or bias")
    return norm


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}{i + 1}" for i in range(count)]


def _owners(module: nn.Module) -> Iterable[tuple[nn.Module, str]]:
    """Where each parameter lives, in the order of module.parameters()."""
    for part in module.modules():
        yield from ((part, name) for name, parameter in part._parameters.items() if parameter is not None)


def _ask(condition: bool, reason: str) -> None:
    if not condition:
        raise _NotProved(reason)


def _ask_type(module: nn.Module, name: str, kind: type[nn.Module]) -> None:
    found = getattr(module, name)
    _ask(type(found) is kind, f"{name}: is a {type(found).__name__}")


def _ask_children(module: nn.Module, names: list[str]) -> None:
    """All names are there, if only as None, and no child beside them: a part we do not know may compute anything."""
    missing = [name for name in names if not hasattr(module, name)]
    unknown = [name for name, _ in module.named_children() if name not in names]
    _ask(not missing, f"has no {', '.join(missing)}")
    _ask(not unknown, f"has an unknown part {', '.join(unknown)}")


def hooks_of(module: nn.Module) -> tuple[Mapping[int, object], ...]:
    """The mappings of what is called around a module's own forward and backward; they stay the same objects."""
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks


def _ask_untouched(part: nn.Module, name: str) -> None:
    """No hook (weight norm, spectral norm and pruning are hooks) and no method put on the object: they would be passed
    over. A parametrisation changes the class, which the readers see."""
    _ask(not any(hooks_of(part)), f"{name}: has a hook")
    _ask(not {"forward", "__call__"} & vars(part).keys(), f"{name}: its forward was replaced")


def _ask_covers(form: Form, module: nn.Module) -> None:
    """The form's parameters are the module's, each its own nn.Parameter (DTensor is a class of its own) used once."""
    shortcut = form.shortcut or Shortcut()
    parts = [part for part in (*form.convs, *form.norms, shortcut.conv, shortcut.norm) if part is not None]
    used = [id(p) for part in parts for p in part._parameters.values() if p is not None]
    _ask(len(set(used)) == len(used), "a parameter is used twice")
    _ask(set(used) == {id(p) for p in module.parameters()}, "has parameters beside those of its convolutions and norms")
    _ask(all(type(p) is nn.Parameter for p in module.parameters()), "its parameters are not plain tensors")
