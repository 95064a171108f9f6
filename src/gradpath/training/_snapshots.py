"""The state of a run on disk: written whole or not at all, checked by its digest, the last two kept.

    RUN/snapshots/step-00000120.safetensors

A snapshot is a safetensors file. Its metadata hold everything that is not a tensor as JSON (`gradpath_state`, numbers
to the last bit), the file's version (`gradpath_snapshot`) and `sha256`: the digest of the whole file with this field
written as zeros. Nothing is pickled, so that nothing is executed by reading it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradpath.errors import MissingExtraError, SnapshotError, first_line
from gradpath.record import write_whole

VERSION = 1
KEPT = 2
FOLDER = "snapshots"
_ENDING = ".safetensors"
_NAME = re.compile(r"step-(\d+)\.safetensors")
_NO_DIGEST = b"0" * hashlib.sha256().digest_size * 2
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
State = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """The newest snapshot that can be read."""

    file: Path
    state: State
    refused: tuple[str, ...]
    """Of each newer one, in one line, why it was not used."""


class Snapshots:
    """The snapshots of one run. One process writes them."""

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER
        self._good: list[Path] = []  # written or read here, oldest first

    def files(self) -> list[Path]:
        """Those on disk, newest first, unchecked."""
        found = [(int(match[1]), file) for file in self.folder.glob("*") if (match := _NAME.fullmatch(file.name))]
        return [file for _, file in sorted(found, reverse=True)]

    def write(self, state: State, step: int) -> Path:
        """Write the state after `step` steps, then drop all but the last two. Returns the file.

        It is on the disk, not only in the system's cache, before the one before the last is dropped. Raises
        UserError where it cannot be written, for want of space say: those that were there are left.
        """
        file = write_whole(self.folder / f"step-{step:08}{_ENDING}", to_bytes(state), durable=True)
        self._good = [*(good for good in self._good if good != file), file][-KEPT:]
        self._tidy()
        return file

    def newest(self) -> Found | None:
        """The newest one that is whole; None where there is none at all. Raises SnapshotError where none is whole."""
        refused: list[str] = []
        for file in self.files():
            try:
                state = from_bytes(file.read_bytes(), file)
            except OSError as error:
                refused.append(f"{file}: cannot be read ({error.strerror})")
            except SnapshotError as error:
                refused.append(str(error))
            else:
                self._good = [file]
                return Found(file, state, tuple(refused))
        if refused:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise SnapshotError(f"{refused[0]}{more}; there is no other to go on from: train anew")
        return None

    def clear(self) -> None:
        """Remove them all; the folder too where nothing else is in it."""
        self._good = []
        self._tidy()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _tidy(self) -> None:
        """Remove what is not good, and what a killed process left half written."""
        for file in [*self.files(), *self.folder.glob(f".step-*{_ENDING}.*")]:
            if file not in self._good:
                file.unlink(missing_ok=True)


def to_bytes(state: State) -> bytes:
    """A state (mappings, lists, tuples, tensors, numbers, strings, None) as the content of a file.

    Raises TypeError for anything else.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encoded(state, tensors), allow_nan=False)
    metadata = {"gradpath_snapshot": str(VERSION), "gradpath_state": text, "sha256": _NO_DIGEST.decode()}
    content: bytes = _safetensors().save(tensors, metadata)
    place = _place_of_digest(content)
    if place is None:  # cannot be, as long as safetensors writes its header as compact JSON
        raise RuntimeError("safetensors wrote its metadata in another way than expected")
    return b"".join((content[: place[0]], hashlib.sha256(content).hexdigest().encode(), content[place[1] :]))


def from_bytes(content: bytes, file: Path) -> State:
    """The state in the content of a file. Raises SnapshotError naming the file, where the content is not whole."""
    place = _place_of_digest(content)
    if place is None:
        raise SnapshotError(f"{file}: is not a snapshot of gradpath, or was cut short")
    blank = b"".join((content[: place[0]], _NO_DIGEST, content[place[1] :]))
    if hashlib.sha256(blank).hexdigest().encode() != content[place[0] : place[1]]:
        raise SnapshotError(f"{file}: its content is not what its digest says: it was cut short or changed")
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    if int(metadata["gradpath_snapshot"]) > VERSION:
        raise SnapshotError(f"{file}: was written by a newer gradpath: upgrade gradpath to go on from it")
    try:
        state: State = _decoded(json.loads(metadata["gradpath_state"]), _safetensors().load(content))
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{file}: cannot be read ({type(error).__name__}: {first_line(error)})") from error
    return state


def _place_of_digest(content: bytes) -> tuple[int, int] | None:
    """Where in the header the digest stands. A quote within the state's own text is escaped there: no match."""
    end = 8 + int.from_bytes(content[:8], "little")
    match = _DIGEST.search(content, 8, min(end, len(content)))
    return None if match is None else match.span(1)


def _encoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    """As JSON; tensors go into `tensors`, by number."""
    if isinstance(value, Tensor):
        return _encoded_tensor(value.detach(), tensors)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {"dict": [[_encoded(key, tensors), _encoded(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_encoded(item, tensors) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    kind = type(value).__name__
    raise TypeError(f"a snapshot holds tensors, numbers, strings, and lists and mappings of them, no {kind}")


def _encoded_tensor(tensor: Tensor, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Its strides are kept, so that what is computed with it later is computed in the same way, to the bit."""
    name = str(len(tensors))
    strides = list(tensor.stride())
    order = sorted(range(tensor.dim()), key=lambda dim: (-strides[dim], dim))
    outward = tensor.permute(order)
    dense = outward.is_contiguous()
    tensors[name] = _owned((outward if dense else tensor).cpu().contiguous())
    return {"tensor": name} | ({"shape": list(tensor.shape), "strides": strides} if dense else {})


def _owned(tensor: Tensor) -> Tensor:
    """A tensor that is all of its storage: safetensors refuses those that share one."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _decoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return _decoded_tensor(value, tensors[value["tensor"]])
    if "float" in value:
        return float(value["float"])
    if "tuple" in value:
        return tuple(_decoded(item, tensors) for item in value["tuple"])
    return {_decoded(key, tensors): _decoded(item, tensors) for key, item in value["dict"]}


def _decoded_tensor(value: dict[str, Any], stored: Tensor) -> Tensor:
    if "strides" not in value:
        return stored
    tensor = torch.empty_strided(value["shape"], value["strides"], dtype=stored.dtype)
    order = sorted(range(tensor.dim()), key=lambda dim: (-value["strides"][dim], dim))
    tensor.permute(order).copy_(stored)
    return tensor


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise MissingExtraError("safetensors", "build", "snapshots of a run") from error
