"""Images too many for the memory: decoded once into a file, read from there as they are asked for."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

AHEAD_BYTES = 2**28
"""Pixels that are read ahead of the training step, at most (and two batches at least)."""
Rows = np.ndarray[Any, np.dtype[np.int64]]


class Streamed:
    """Stands for a tensor of images, uint8 N C H W, that lies in a .npy file; holds none of them in memory.

    `streamed[index]` with a tensor of indices reads these images and gives them as a tensor on `device`; a slice, `to`
    and `subset` read nothing and give another of these. What else a tensor can do, it does as soon as it is read.
    `prefetch(order)` reads ahead in a thread: the same images, sooner.
    """

    def __init__(
        self,
        file: Path,
        rows: Rows,
        fingerprint: str,
        *,
        device: torch.device | str = "cpu",
        channels: int | None = None,
    ) -> None:
        """rows: which images of the file these are; fingerprint: of the file's content; channels: grey, repeated."""
        self.file, self.rows, self.device = file, rows, torch.device(device)
        self._pixels = torch.from_numpy(np.load(file, mmap_mode="c"))  # never written to: 'c' gives a writable view
        self._content, self._channels = fingerprint, channels
        self._ahead: _Ahead | None = None
        own = tuple(self._pixels.shape[1:])
        self.shape = torch.Size((len(rows), channels or own[0], *own[1:]))
        self.dtype, self.ndim = torch.uint8, 4
        self.nbytes = self.shape.numel()

    @property
    def held_bytes(self) -> int:
        """What is in memory at most, on the device: nothing that outlasts a step."""
        return 0

    @property
    def fingerprint(self) -> str:
        """A digest of which images these are."""
        digest = hashlib.sha256(f"{self._content} {tuple(self.shape)}".encode())
        digest.update(self.rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._like(self.rows[key])
        if isinstance(key, Tensor) and key.ndim == 1 and key.dtype == torch.int64:
            return self._read(key.cpu())
        return self.read()[key] if not isinstance(key, int) else self._read(torch.tensor([key]))[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # such as __array__: nothing reads them all unasked
            raise AttributeError(name)
        return getattr(self.read(), name)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.split:
            return arguments[0].split(*arguments[1:])
        read = [value.read() if isinstance(value, cls) else value for value in arguments]
        return function(*read, **(keywords or {}))

    def split(self, size: int) -> tuple[Streamed, ...]:
        """Parts of `size` images, none of them read."""
        return tuple(self[start : start + size] for start in range(0, len(self), size))

    def to(self, device: torch.device | str) -> Streamed:
        """The same images, given as tensors on another device."""
        return Streamed(self.file, self.rows, self._content, device=device, channels=self._channels)

    def subset(self, index: Tensor | Rows) -> Streamed:
        """Some of the images."""
        return self._like(self.rows[np.asarray(index)])

    def expand(self, *shape: int) -> Streamed:
        """Grey images with as many channels as the second number says; the others are those of `shape`, or −1."""
        return Streamed(self.file, self.rows, self._content, device=self.device, channels=shape[1])

    def read(self) -> Tensor:
        """All of them."""
        return self._read(torch.arange(len(self)))

    def prefetch(self, order: Tensor) -> None:
        """Read ahead: `order` (steps × batch) are the indices of the next batches. Ends what was begun before."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = _Ahead(self._from_file, order.cpu(), order.shape[1] * self._pixels[0].numel())

    def _like(self, rows: Rows) -> Streamed:
        return Streamed(self.file, rows, self._content, device=self.device, channels=self._channels)

    def _read(self, index: Tensor) -> Tensor:
        found = None if self._ahead is None else self._ahead.take(index)
        images = self._from_file(index) if found is None else found
        images = images.to(self.device)
        return images if self._channels is None else images.expand(-1, self._channels, -1, -1)

    def _from_file(self, index: Tensor) -> Tensor:
        return self._pixels[torch.from_numpy(self.rows)[index]]


class _Ahead:
    """Reads batches in a thread, in the order in which they will be asked for."""

    def __init__(self, read: Callable[[Tensor], Tensor], order: Tensor, batch_bytes: int) -> None:
        self._read, self._order = read, iter(order)
        self._depth = max(AHEAD_BYTES // max(batch_bytes, 1), 2)
        self._pool = ThreadPoolExecutor(1, "gradpath-images")
        self._coming: deque[tuple[Tensor, Future[Tensor]]] = deque()
        self._present: tuple[Tensor, Tensor] | None = None
        self._fill()

    def take(self, index: Tensor) -> Tensor | None:
        """The images, where all are of the present batch or of the next one, which is then the present one."""
        if self._present is not None and (found := _among(*self._present, index)) is not None:
            return found
        if not self._coming or not bool(torch.isin(index, self._coming[0][0]).all()):
            return None
        ids, images = self._coming.popleft()
        self._present = ids, images.result()
        self._fill()
        return _among(*self._present, index)

    def close(self) -> None:
        """Read no further. What has been read is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._coming) < self._depth and (ids := next(self._order, None)) is not None:
            self._coming.append((ids, self._pool.submit(self._read, ids)))


def _among(ids: Tensor, images: Tensor, index: Tensor) -> Tensor | None:
    """The images of `index` out of those of `ids`; None where one is missing."""
    if torch.equal(ids, index):
        return images
    known, place = ids.sort()
    found = torch.searchsorted(known, index).clamp(max=len(known) - 1)
    return images[place[found]] if torch.equal(known[found], index) else None


def rows_of(images: Tensor, index: Tensor) -> Tensor:
    """Some of the images: in memory where they all are, else none of them."""
    return images.subset(index) if isinstance(images, Streamed) else images[index]


def as_tensor(images: Streamed) -> Tensor:
    """For the type checker: what stands for a tensor is one."""
    return cast(Tensor, images)
