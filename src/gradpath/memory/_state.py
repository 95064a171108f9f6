"""What a forward pass reads and writes beside its inputs: buffers, and whether a module trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Snapshot:
    """The buffers of modules (which tensor has which name, and its values) and their training flags, at one moment.

    `buffers` are those whose values are copied: all by default, because the version counter does not tell which a
    forward pass will write, nor, afterwards, which it wrote: `F.batch_norm` writes running statistics past it.
    """

    def __init__(self, modules: Sequence[nn.Module], buffers: Sequence[Tensor] | None = None) -> None:
        self.modules = modules
        self.training = [module.training for module in modules]
        self.named = [(module._buffers, dict(module._buffers)) for module in modules if module._buffers]
        self.buffers = list(_writable(named for _, named in self.named) if buffers is None else buffers)
        self.values = [buffer.detach().clone() for buffer in self.buffers]
        self.versions = [buffer._version for buffer in self.buffers]

    def forget_constants(self) -> None:
        """After the forward: drop the copies of what it surely did not write.

        That is known of integers and flags (masks, tables of indices): what writes past the version counter writes
        floating-point numbers.
        """
        kept = [place for place in range(len(self.buffers)) if self._may_be_written(place)]
        self.buffers = [self.buffers[place] for place in kept]
        self.values = [self.values[place] for place in kept]
        self.versions = [self.versions[place] for place in kept]

    def _may_be_written(self, place: int) -> bool:
        buffer = self.buffers[place]
        return buffer.is_floating_point() or buffer.is_complex() or buffer._version != self.versions[place]

    def put_back(self) -> None:
        """In place, so that whatever holds a buffer sees its values: a compiled block, a captured CUDA graph."""
        for module, training in zip(self.modules, self.training, strict=True):
            if module.training is not training:
                module.training = training
        for entries, named in self.named:
            if len(entries) != len(named) or any(entries.get(name) is not buffer for name, buffer in named.items()):
                entries.clear()
                entries.update(named)
        if self.buffers:
            with torch.no_grad():
                torch._foreach_copy_(self.buffers, self.values)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, all is as in this snapshot; afterwards as before, whatever was written or raised inside.

        Version counters too: for the rest of the graph, which may wait for these buffers, nothing has happened.
        """
        now = Snapshot(self.modules, self.buffers)
        versions = [torch.autograd._unsafe_preserve_version_counter(b) for b in self.buffers]  # type: ignore[attr-defined]
        try:
            self.put_back()
            yield
        finally:
            now.put_back()
            for version in versions:
                version.__exit__(None, None, None)


def _writable(named: Iterable[dict[str, Tensor | None]]) -> Iterator[Tensor]:
    """Each buffer once, without those whose values nobody can write in place: expanded, inference, meta, sparse."""
    unique = {id(buffer): buffer for buffers in named for buffer in buffers.values() if buffer is not None}
    for buffer in unique.values():
        if buffer.layout is torch.strided and not (buffer.is_inference() or buffer.is_meta or _is_expanded(buffer)):
            yield buffer


def _is_expanded(buffer: Tensor) -> bool:
    if buffer.is_contiguous():
        return False
    return any(stride == 0 and size > 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True))
