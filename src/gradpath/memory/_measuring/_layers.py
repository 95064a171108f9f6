"""Memory per layer under plain autograd: what each call of a layer keeps, and what its gradient needs.

A layer is a module without children; operations that a module runs itself, between its children, are a row of that
module's name. A storage is counted where it is first kept; parameters, buffers and the batch are not counted.
Blocks of a chain are looked at one of each signature, alone, and their rows repeated for the others of that signature.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gradpath.memory._as_found import left_as_found
from gradpath.memory._blocks._chain import Chain
from gradpath.memory._blocks._signature import Layout, signature
from gradpath.memory._measuring._outside import Stub
from gradpath.memory._measuring._peak import metered
from gradpath.memory._measuring._step import Step, device_of, tensors_of
from gradpath.record import LayerBytes

MOST_ROWS = 2_000
"""Beyond these, blocks of one signature that follow each other are shown by the first of them, with their number."""


def layers_of_model(model: nn.Module, step: Step) -> tuple[LayerBytes, ...]:
    """Runs the model forward once, everything kept. The model is left as found."""
    device = device_of(model, step.batch)
    watch = _Watch(device, [*model.parameters(), *model.buffers(), *tensors_of(step.batch)])
    with left_as_found([model], device), torch.enable_grad(), watch.over(model.named_modules()):
        output = step.forward(model)
    del output
    return tuple(watch.rows)


def layers_of_chain(
    model: nn.Module,
    step: Step,
    chain: Chain,
    named: Sequence[tuple[str, nn.Module]],
    signatures: Sequence[int],
    autocast: Callable[[], Any],
) -> tuple[LayerBytes, ...]:
    """The same of a model with a chain, which is never run at full length. named: all modules of the chain."""
    device = device_of(model, step.batch)
    with left_as_found([model], device), torch.enable_grad():
        kinds = _kinds(chain, signatures, device, autocast)
        return _around(model, step, chain, named, [kinds[place] for place in signatures], device)


@dataclass(frozen=True)
class _Kind:
    """The layers of a block, run alone."""

    rows: tuple[LayerBytes, ...]
    """Names begin with the place of the module in its block: '0.conv1'."""
    input_row: int | None
    """Which of them is the first to keep the block's input."""
    input_bytes: int
    keeps_output: bool


def _kinds(
    chain: Chain, signatures: Sequence[int], device: torch.device, autocast: Callable[[], Any]
) -> dict[int, _Kind]:
    found: dict[int, _Kind] = {}
    for block, layout, place in zip(chain.blocks, chain.layouts, signatures, strict=False):
        if place not in found:
            found[place] = _kind(block, layout, device, autocast)
    return found


def _kind(block: Sequence[nn.Module], layout: Layout, device: torch.device, autocast: Callable[[], Any]) -> _Kind:
    x = y = layout.random(device).requires_grad_(layout.dtype.is_floating_point)
    watch = _Watch(device, [tensor for m in block for tensor in (*m.parameters(), *m.buffers())], apart=x)
    named = [(f"{i}.{name}".rstrip("."), inner) for i, m in enumerate(block) for name, inner in m.named_modules()]
    with watch.over(named), autocast():
        for module in block:
            y = module(y)
    return _Kind(tuple(watch.rows), watch.apart_row, x.nbytes, _storage(y) in watch.seen)


def _around(
    model: nn.Module,
    step: Step,
    chain: Chain,
    named: Sequence[tuple[str, nn.Module]],
    kinds: Sequence[_Kind],
    device: torch.device,
) -> tuple[LayerBytes, ...]:
    """Rows of the stem, of every block, of the head."""
    inside = {inner for _, module in named for inner in module.modules()}
    watch = _Watch(device, [*model.parameters(), *model.buffers(), *tensors_of(step.batch)])
    stub = _Standing(named, chain.layouts[-1], watch, kinds[-1].keeps_output)
    with watch.over((name, module) for name, module in model.named_modules() if module not in inside):
        output = stub.output_of(step, model)
    del output
    blocks = list(_of_blocks(chain.names, kinds, stub.input_kept))
    if sum(map(len, blocks)) + len(watch.rows) > MOST_ROWS:
        blocks = list(_runs(blocks, kinds))
    return (*watch.rows[: stub.row], *itertools.chain.from_iterable(blocks), *watch.rows[stub.row :])


def _of_blocks(names: Sequence[str], kinds: Sequence[_Kind], kept: bool) -> Iterator[list[LayerBytes]]:
    """The rows of each block. kept: whether its input is kept already, by what made it."""
    for name, kind in zip(names, kinds, strict=True):
        parts, rows = name.split("+"), []
        for index, row in enumerate(kind.rows):
            place, _, rest = row.name.partition(".")
            more = kind.input_bytes if index == kind.input_row and not kept else 0
            full = f"{parts[int(place)]}.{rest}".rstrip(".")
            rows.append(dataclasses.replace(row, name=full, kept_bytes=row.kept_bytes + more))
        yield rows
        kept = kind.keeps_output


def _runs(blocks: Sequence[list[LayerBytes]], kinds: Sequence[_Kind]) -> Iterator[list[LayerBytes]]:
    """Of neighbours of one kind, the second, which stands for all but the first: that one's input may be kept."""
    for _, run in itertools.groupby(range(len(blocks)), lambda t: (id(kinds[t]), t == 0)):
        members = list(run)
        rows = blocks[members[0]] if len(members) == 1 else blocks[members[1]]
        times = f" ×{len(members)}" if len(members) > 1 else ""
        yield [dataclasses.replace(row, name=row.name + times) for row in rows]


class _Standing(Stub):
    """The stub of the layers' pass: it keeps nothing, and says where the chain's rows belong."""

    def __init__(
        self, named: Sequence[tuple[str, nn.Module]], output: Layout, watch: _Watch, output_kept: bool
    ) -> None:
        super().__init__(named, output)
        self.watch, self.output_kept = watch, output_kept
        self.row, self.input_kept = 0, False

    def call(self, x: Tensor) -> Tensor:
        self.row, self.input_kept = len(self.watch.rows), _storage(x) in self.watch.seen | self.watch.left_out
        out = self.output.random(x.device).requires_grad_(self.output.dtype.is_floating_point)
        if self.output_kept:
            self.watch.seen.add(_storage(out))
        self.watch.held.append(out)
        return out


# ------------------------------------------------------------ one pass, watched


@dataclass
class _Frame:
    """A call that runs."""

    name: str
    module: nn.Module
    kept: int = 0
    keeps_apart: bool = False


class _Watch:
    """Counts what is saved for the backward by the call that saves it. `apart`: a tensor whose keeper is told apart."""

    def __init__(self, device: torch.device, left_out: Iterable[Tensor], apart: Tensor | None = None) -> None:
        self.device, self.apart = device, None if apart is None else _storage(apart)
        self.left_out = {_storage(tensor) for tensor in left_out}
        self.seen: set[int] = set()
        self.held: list[Tensor] = []  # so that no storage takes the address of another
        self.rows: list[LayerBytes] = []
        self.apart_row: int | None = None
        self.open: list[_Frame] = []
        self.needs: dict[Any, int] = {}
        """Growth in the backward by signature of the layer."""

    @contextmanager
    def over(self, named: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
        """Inside, calls of these modules are watched."""
        with ExitStack() as stack:
            for name, module in named:
                before = module.register_forward_pre_hook(partial(self._enter, name))
                stack.callback(before.remove)
                after = module.register_forward_hook(self._leave, with_kwargs=True)
                stack.callback(after.remove)
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor))
            yield
        self.held.clear()

    def _enter(self, name: str, module: nn.Module, args: Any) -> None:
        self.open.append(_Frame(name, module))

    def _pack(self, tensor: Tensor) -> Tensor:
        if tensor.layout is not torch.strided or not self.open:
            return tensor
        storage, frame = _storage(tensor), self.open[-1]
        if storage == self.apart:
            frame.keeps_apart = True
        elif storage not in self.left_out and storage not in self.seen:
            frame.kept += tensor.untyped_storage().nbytes()
        self.seen.add(storage)
        self.held.append(tensor)
        return tensor

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        frame = self.open.pop()
        is_layer = next(module.children(), None) is None
        if not is_layer and not frame.kept and not frame.keeps_apart:
            return
        if frame.keeps_apart and self.apart_row is None:
            self.apart_row = len(self.rows)
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.rows.append(
            LayerBytes(
                name=frame.name,
                kind=type(module).__name__,
                output=" + ".join(Layout.of(tensor).text for tensor in tensors) or "-",
                parameter_bytes=sum(p.nbytes for p in module._parameters.values() if p is not None),
                kept_bytes=frame.kept,
                backward_bytes=self._need(module, args, kwargs) if is_layer else sum(t.nbytes for t in tensors),
            )
        )

    def _need(self, module: nn.Module, args: Any, kwargs: Any) -> int:
        """What a layer's gradient needs, measured once for each signature on the inputs that it has just had."""
        layouts = tuple(Layout.of(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        key = (layouts, signature([module], layouts[0])) if layouts else id(module)
        if key not in self.needs:
            self.needs[key] = _backward_growth(module, args, kwargs, self.device)
        return self.needs[key]


def _backward_growth(module: nn.Module, args: Any, kwargs: Any, device: torch.device) -> int:
    """Largest growth of memory in a layer's backward; counted from its shapes where it cannot be run alone."""
    inputs = [_leaf(value) if isinstance(value, Tensor) else value for value in args]
    sources = [leaf for leaf in (*inputs, *module.parameters()) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not sources:
        return 0
    fed = [value.clone() if isinstance(value, Tensor) and value.requires_grad else value for value in inputs]
    try:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t), metered(device) as meter:
            outputs = [leaf for leaf in tree_leaves(module.forward(*fed, **kwargs)) if _has_gradient(leaf)]
            given = [torch.ones_like(output) for output in outputs]
            meter.mark("backward")
            torch.autograd.grad(outputs, sources, given, allow_unused=True)
    except (RuntimeError, TypeError, ValueError):
        return sum(leaf.nbytes for leaf in sources)
    span = meter.spans[-1]
    return span.peak_bytes - span.start_bytes


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _has_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
