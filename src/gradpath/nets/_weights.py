"""Weights on disk: ours as safetensors with the specification inside, those of others by their own names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gradpath.errors import GradpathError, MissingExtraError, UserError, WeightsError
from gradpath.nets._network import Network
from gradpath.record import SCHEMA_VERSION, DataInfo, NetSpec, Record, write_whole
from gradpath.record._base import decode

PathLike = str | os.PathLike[str]
M = TypeVar("M", bound=nn.Module)
R = TypeVar("R", bound=Record)

SPEC_KEY, DATA_KEY = "gradpath_spec", "gradpath_data"
_TORCH_ENDINGS = (".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
_FOREIGN_NAMES = (
    (r"^conv1\.", "stem.conv."),
    (r"^bn1\.", "stem.norm."),
    (r"^layer([123])\.(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.(?:shortcut|downsample)\.0\.", ".shortcut.conv."),
    (r"\.(?:shortcut|downsample)\.1\.", ".shortcut.norm."),
    (r"^(?:linear|fc)\.", "head.linear."),
)
"""The names of CIFAR ResNets elsewhere (akamaster/pytorch_resnet_cifar10 and its relatives), as ours."""


def save_weights(net: nn.Module, file: PathLike, data: DataInfo | None = None) -> Path:
    """Write parameters and buffers to a .safetensors file, in one piece; with the net's specification and its data.

    Raises WeightsError for another ending, MissingExtraError without safetensors. Returns the path.
    """
    path = Path(file)
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are written as safetensors: name a file that ends in .safetensors")
    metadata = {"format": "pt"}
    if isinstance(net, Network):
        metadata[SPEC_KEY] = _to_text(net.spec)
    if data is not None:
        metadata[DATA_KEY] = _to_text(data)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in net.state_dict().items()}
    return write_whole(path, _safetensors().torch.save(tensors, metadata))


def read_weights(file: PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a weight file by name, on the CPU, and its metadata (empty where the format has none).

    .safetensors, and torch files (.pt .pth .th .bin .ckpt .tar), of which only tensors are unpickled; a state_dict
    inside a checkpoint and the prefixes of DataParallel and torch.compile are unwrapped.
    Raises WeightsError naming the file when it is missing, damaged or something else.
    """
    path = Path(file)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    if path.suffix != ".safetensors" and path.suffix not in _TORCH_ENDINGS:
        raise WeightsError(f"{path}: weights are read from .safetensors, {', '.join(_TORCH_ENDINGS)}")
    try:
        if path.suffix == ".safetensors":
            state, metadata = _read_safetensors(path)
        else:
            state, metadata = _unwrap(torch.load(path, map_location="cpu", weights_only=True)), {}
    except GradpathError:
        raise
    except Exception as error:  # the loaders raise whatever the damaged bytes lead them to
        reason = next(iter(str(error).splitlines()), "")[:100]
        raise WeightsError(f"{path}: cannot be read as weights ({type(error).__name__}: {reason})") from error
    if not state:
        raise WeightsError(f"{path}: holds no weights: expected a state_dict, tensors by name")
    return _without_prefixes(state), metadata


def load_weights(net: M, file: PathLike) -> M:
    """Fill `net` with the weights of a file, all of them, and return it; unchanged when they do not fit.

    Names of other CIFAR ResNets are understood; batch counters may be missing. Raises WeightsError naming the first
    parameter that does not fit, and when a file of ours says that its net computed something else (plain or
    residual, zero padding on both sides or at the end: the shapes are the same).
    """
    state, metadata = read_weights(file)
    return _fill(net, state, metadata, Path(file))


def build_from(file: PathLike) -> Network:
    """The network that `save_weights` wrote, with its weights. Raises WeightsError where the file does not say."""
    state, metadata = read_weights(file)
    spec = _record_in(NetSpec, SPEC_KEY, metadata, Path(file))
    if spec is None:
        raise WeightsError(f"{file}: does not say which network it is of: build the network and use load_weights")
    return _fill(Network(spec), state, metadata, Path(file))


def data_of(file: PathLike) -> DataInfo | None:
    """The images that the weights of a file were trained on; None where it does not say."""
    return _record_in(DataInfo, DATA_KEY, read_weights(file)[1], Path(file))


def _fill(net: M, state: dict[str, Tensor], metadata: Mapping[str, str], path: Path) -> M:
    own = net.state_dict()
    if isinstance(net, Network):
        _check_function(net.spec, _record_in(NetSpec, SPEC_KEY, metadata, path), path)
        if "layer1.0.conv1.weight" in state:
            state = {_our_name(key): tensor for key, tensor in state.items()}
    counters = {key: own[key] for key in own if key.endswith("num_batches_tracked")}
    state = counters | state
    if message := _misfit(own, state):
        raise WeightsError(
            f"{path}: does not fit this {getattr(getattr(net, 'spec', None), 'label', 'net')}: {message}"
        )
    net.load_state_dict(state)
    return net


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What does not fit, in one line; empty when all does."""
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    misshaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    parts = [
        f"{len(keys)} of {len(own)} {what}, the first {keys[0]}"
        for keys, what in ((missing, "are missing"), (misshaped, "have another shape"))
        if keys
    ]
    if misshaped:
        parts[-1] += f" ({_shape(state[misshaped[0]])} in the file, {_shape(own[misshaped[0]])} in the net)"
    if unexpected:
        parts.append(f"{len(unexpected)} of {len(state)} in the file are unknown, the first {unexpected[0]}")
    return "; ".join(parts)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def _check_function(net: NetSpec, file: NetSpec | None, path: Path) -> None:
    """Refuse weights of the same shapes that belong to another function."""
    if file is None:
        return
    differ = [name for name in ("family", "preactivated") if getattr(net, name) != getattr(file, name)]
    if net.family == file.family == "residual" and net.shortcut == file.shortcut == "A" and net.padding != file.padding:
        differ.append("padding")
    if differ:
        theirs, ours = ([f"{name}={getattr(spec, name)!r}" for name in differ] for spec in (file, net))
        raise WeightsError(
            f"{path}: holds weights of a net with {', '.join(theirs)}, this one has {', '.join(ours)}: "
            f"use build_from(file) for the net they belong to"
        )


def _our_name(key: str) -> str:
    for pattern, ours in _FOREIGN_NAMES:
        key = re.sub(pattern, ours, key)
    return key


def _unwrap(content: Any) -> dict[str, Tensor]:
    """The state_dict in a torch file; empty where there is none."""
    if not isinstance(content, Mapping):
        return {}
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    return dict(content) if all(isinstance(tensor, Tensor) for tensor in content.values()) else {}


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingExtraError("safetensors", "build", "reading and writing weights") from error
    return safetensors


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with _safetensors().safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _to_text(record: Record) -> str:
    return json.dumps({"schema": SCHEMA_VERSION} | record.to_dict(), ensure_ascii=False, allow_nan=False)


def _record_in(cls: type[R], key: str, metadata: Mapping[str, str], path: Path) -> R | None:
    """The record that a file's metadata holds under `key`, None where it holds none."""
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
