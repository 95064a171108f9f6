"""A net's layers one by one, from one forward pass without memory: shapes, parameters, MACs, receptive fields, tape.

The pass is watched operation by operation, so functional pooling, slices and whatever a block does between its modules
count too. The receptive field follows the tensors: a convolution or pool of size k and dilation d, on an input whose
neighbours are s pixels apart, adds d·(k−1)·s; where tensors meet the largest counts, so that a shortcut's slice needs
no rule (Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, equation 2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradpath.nets._network import Network
from gradpath.nets._shapes import NORMS, POOLS, macs, outputs, window
from gradpath.record import NetLayer, NetSpec

BATCH = 2  # of one image, batch norm refuses a last stage of one pixel


class Seen(NamedTuple):
    """What one forward pass shows."""

    layers: tuple[NetLayer, ...]
    activation_bytes: int
    """Kept for the backward pass, for each image, in float32."""


def watch_forward(spec: NetSpec) -> Seen:
    """The layers of a net in the order of its forward pass: convolutions, norms, pools, linear, mean, and scalars."""
    image = torch.empty(BATCH, spec.input_channels, spec.input_size, spec.input_size, device="meta")
    return watch(without_memory(spec).train(), image)


def without_memory(spec: NetSpec) -> Network:
    """The network with shapes alone: 10,001 layers take no memory. Every branch is there at every step."""
    with torch.device("meta"):
        return Network(dataclasses.replace(spec, stochastic_depth=0.0, stochastic_depth_mode="batch"))


def watch(module: nn.Module, image: Tensor) -> Seen:
    """The same of any module of 2-D layers, on the meta device; `image` is N C H W."""
    watcher, kept = _Watcher(module), _Kept(module)
    with watcher.following_modules(), torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda kept: kept), watcher:
        module(image)
    return Seen(tuple(watcher.layers), kept.bytes // image.shape[0])


class _Kept:
    """Bytes that a forward pass keeps: every storage once, without parameters and what belongs to no image."""

    def __init__(self, module: nn.Module) -> None:
        self.bytes = 0
        self._known = {parameter.untyped_storage()._cdata for parameter in module.parameters()}  # their views too
        self._alive: list[Tensor] = []

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in self._known and tensor.dim() > 1:
            self._known.add(storage)
            self._alive.append(tensor)
            self.bytes += tensor.numel() * tensor.element_size()
        return tensor


class _Field(NamedTuple):
    """What one element of a tensor sees of the input: size² pixels; its neighbour sees those `stride` pixels on."""

    size: int | None
    stride: int | None


_WHOLE, _PIXEL = _Field(None, None), _Field(1, 1)


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes a layer for every operation that has weights or looks at more than a pixel."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net = net
        self.layers: list[NetLayer] = []
        self._inside: list[str] = [""]
        self._noted: set[str] = set()
        self._fields: dict[int, _Field] = {}
        self._alive: list[Tensor] = []  # so that no two tensors of the pass share an id

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler for seconds, to keep it away from this

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        result = outputs(name, args)
        if result is None:
            result = func(*args, **(kwargs or {}))
        out = result[0] if isinstance(result, tuple) else result
        if isinstance(out, Tensor):
            self._fields[id(out)] = self._field_after(name, args)
            self._alive.append(out)
            if kind := _kind(name, args):
                self._note(kind, out, macs(name, args, out))
        return result

    def following_modules(self) -> ExitStack:
        """A context in which operations are known by the module they run in."""
        stack = ExitStack()
        for name, module in self.net.named_modules():
            stack.callback(module.register_forward_pre_hook(lambda *_, n=name: self._inside.append(n)).remove)
            stack.callback(module.register_forward_hook(self._leave).remove)
        return stack

    def _leave(self, module: nn.Module, _: Any, out: Any) -> None:
        """Parameters that no operation stood for, such as a block's scalars, are a line of their own."""
        if _own(module) and self._inside[-1] not in self._noted:
            self._note("scalar" if _own(module) == 1 else "scalars", out, 0)
        self._inside.pop()

    def _note(self, kind: str, out: Tensor, used: int) -> None:
        name, field = self._inside[-1], self._fields[id(out)]
        layer = NetLayer(
            name=name,
            block=".".join(name.split(".")[:3]) if name.startswith("stages.") else "",
            kind=kind,
            shape=tuple(out.shape[1:]),
            parameters=0 if name in self._noted else _own(self.net.get_submodule(name)),
            macs=used,
            receptive_field=field.size,
            stride=field.stride,
        )
        self._noted.add(name)
        self.layers.append(layer)

    def _field_after(self, name: str, args: tuple[Any, ...]) -> _Field:
        seen = _largest([self._fields.get(id(tensor), _PIXEL) for tensor in _tensors(args)])
        if seen.size is None or seen.stride is None or name in ("mean", "_adaptive_avg_pool2d"):
            return _WHOLE
        size, stride, dilation = window(name, args)
        return _Field(seen.size + dilation * (size - 1) * seen.stride, seen.stride * stride)


def _kind(name: str, args: tuple[Any, ...]) -> str:
    """What a line calls the operation; empty where it has none."""
    if name in NORMS:
        return "norm"
    if name in ("addmm", "mm"):
        return "linear"
    if name == "mean" and args[0].dim() == 4:
        return "mean over pixels"
    if name != "convolution" and name not in POOLS:
        return ""
    size, stride, _ = window(name, args)
    groups = f" in {args[8]} groups" if name == "convolution" and args[8] > 1 else ""
    return f"{POOLS.get(name, '')} {size}×{size}{f' /{stride}' if stride > 1 else ''}{groups}".strip()


def _own(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse=False))


def _largest(fields: list[_Field]) -> _Field:
    if any(field.size is None for field in fields):
        return _WHOLE
    sizes, strides = [f.size or 1 for f in fields], [f.stride or 1 for f in fields]
    return _Field(max(sizes, default=1), max(strides, default=1))


def _tensors(args: Sequence[Any]) -> Iterator[Tensor]:
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, (list, tuple)):
            yield from _tensors(arg)
