"""Files of weights: tensors by name, with text beside them. safetensors, and the tensors of torch files."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gradpath.errors import GradpathError, MissingExtraError, UserError, WeightsError
from gradpath.record import SCHEMA_VERSION, Record, write_whole
from gradpath.record._base import decode

PathLike = str | os.PathLike[str]
State = dict[str, Tensor]
R = TypeVar("R", bound=Record)

TORCH_ENDINGS = (".pt", ".pth", ".th", ".bin", ".ckpt", ".tar", ".dat")  # .dat: efficient_densenet_pytorch
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # net: pytorch-cifar
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile
_EMPTY = "holds no weights: expected a state_dict, tensors by name"


def write_tensors(state: Mapping[str, Tensor], metadata: Mapping[str, str], file: PathLike) -> Path:
    """Write tensors and text to a .safetensors file, in one piece. Returns the path.

    Raises WeightsError for another ending, MissingExtraError without safetensors.
    """
    path = Path(file)
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are written as safetensors: name a file that ends in .safetensors")
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    return write_whole(path, _safetensors().torch.save(tensors, {"format": "pt"} | dict(metadata)))


def read_weights(file: PathLike) -> tuple[State, dict[str, str]]:
    """The tensors of a weight file by name, on the CPU, and its metadata (empty where the format has none).

    .safetensors, and torch files (.pt .pth .th .bin .ckpt .tar .dat), of which only tensors are unpickled; a state_dict
    inside a checkpoint and the prefixes of DataParallel and torch.compile are unwrapped.
    Raises WeightsError naming the file when it is missing, damaged or something else.
    """
    path = _checked(file)
    with _said_by(path):
        if path.suffix == ".safetensors":
            state, metadata = _read_safetensors(path)
        else:
            state, metadata = _unwrap(torch.load(path, map_location="cpu", weights_only=True)), {}
    if not state:
        raise WeightsError(f"{path}: {_EMPTY}")
    return _without_prefixes(state), metadata


def read_metadata(file: PathLike) -> dict[str, str]:
    """The metadata of `read_weights`, which raises the same: of .safetensors without reading its tensors."""
    path = _checked(file)
    if path.suffix != ".safetensors":
        return read_weights(path)[1]
    with _said_by(path), _safetensors().safe_open(path, framework="pt") as opened:
        if not opened.keys():
            raise WeightsError(f"{path}: {_EMPTY}")
        return opened.metadata() or {}


def _checked(file: PathLike) -> Path:
    """A file that may hold weights, by its name. Raises WeightsError."""
    path = Path(file)
    if path.is_dir():
        held = next((file for file in sorted(path.glob("*.safetensors"))), path / "FILE.safetensors")
        raise WeightsError(f"{path}: is a folder: name the file of weights in it, such as {held}")
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    if path.suffix != ".safetensors" and path.suffix not in TORCH_ENDINGS:
        raise WeightsError(f"{path}: weights are read from .safetensors, {', '.join(TORCH_ENDINGS)}")
    return path


@contextmanager
def _said_by(path: Path) -> Iterator[None]:
    """What the loaders raise, as a WeightsError that names the file."""
    try:
        yield
    except GradpathError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: cannot be read as weights: it is damaged, or holds objects beside tensors, which are not "
            f"unpickled: save the state_dict() alone"
        ) from error
    except Exception as error:  # the loaders raise whatever the damaged bytes lead them to
        reason = next(iter(str(error).splitlines()), "")[:100]
        raise WeightsError(f"{path}: cannot be read as weights ({type(error).__name__}: {reason})") from error


def record_text(record: Record) -> str:
    """A record as a line of metadata."""
    return json.dumps({"schema": SCHEMA_VERSION} | record.to_dict(), ensure_ascii=False, allow_nan=False)


def record_in(cls: type[R], key: str, metadata: Mapping[str, str], path: Path) -> R | None:
    """The record that a file's metadata holds under `key`, None where it holds none. Raises WeightsError."""
    if key not in metadata:
        return None
    try:
        fields = json.loads(metadata[key])
        schema = int(fields.pop("schema"))
        record = decode(cls, fields, key) if schema <= SCHEMA_VERSION else None
    except (UserError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsError(f"{path}: its {key} cannot be read: {error}") from error
    if record is None:
        raise WeightsError(f"{path}: was written by a newer gradpath (schema {schema}): upgrade gradpath to read it")
    assert isinstance(record, cls)
    return record


def _unwrap(content: Any) -> State:
    """The state_dict in a torch file; empty where there is none."""
    if not isinstance(content, Mapping):
        return {}
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    are_weights = all(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in content.items())
    return dict(content) if are_weights else {}


def _without_prefixes(state: State) -> State:
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingExtraError("safetensors", "build", "reading and writing weights") from error
    return safetensors


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    with _safetensors().safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
