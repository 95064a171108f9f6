"""Weights of our nets: ours as safetensors with the specification inside, those of other libraries by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from gradpath.errors import WeightsError
from gradpath.nets._foreign import Library, foreign_state, function_of, modern, names_in
from gradpath.nets._network import Network
from gradpath.nets._weight_files import (
    PathLike,
    State,
    read_metadata,
    read_weights,
    record_in,
    record_text,
    write_tensors,
)
from gradpath.record import DataInfo, NetSpec

M = TypeVar("M", bound=nn.Module)

SPEC_KEY, DATA_KEY = "gradpath_spec", "gradpath_data"
OUR_HEAD, WEIGHT = "head.linear", "head.linear.weight"


def save_weights(net: nn.Module, file: PathLike, data: DataInfo | None = None, *, names: Library | None = None) -> Path:
    """Write parameters and buffers to a .safetensors file, in one piece; with the net's specification and its data.

    `names`: call and shape the tensors as a library does, whose own model then loads the file: "torchvision", "timm",
    "akamaster" (pytorch_resnet_cifar10), "kuangliu" (pytorch-cifar), "gpleiss" (efficient_densenet_pytorch). What the
    names do not tell, such as where a shortcut pads, is in the specification beside them.

    Raises WeightsError for another ending and where that library's model of these names would compute something else
    than `net`; MissingExtraError without safetensors. Returns the path.
    """
    metadata = {}
    if isinstance(net, Network):
        metadata[SPEC_KEY] = record_text(net.spec)
    elif names is not None:
        raise WeightsError(f"{file}: only nets of gradpath.build can be written with the names of {names}")
    if data is not None:
        metadata[DATA_KEY] = record_text(data)
    state = foreign_state(net, names) if names is not None and isinstance(net, Network) else net.state_dict()
    return write_tensors(state, metadata, file)


def load_weights(net: M, file: PathLike) -> M:
    """Fill `net` with the weights of a file, all of them, and return it; unchanged when they do not fit.

    Files of torchvision, timm, akamaster, kuangliu and gpleiss (see `save_weights`) load into nets of ours that have
    the same tensors; batch counters may be missing. Names and shapes do not tell where a shortcut pads, whether a
    dense layer appends or prepends, which convolution of a bottleneck has the stride: there the specification that
    `net` was built by is taken at its word, so build it by the name or the fields that the file is of.

    Raises WeightsError naming the first parameter that does not fit, and when a file of ours says that its net
    computed something else.
    """
    _load(net, file, keep=())
    return net


def load_body(net: nn.Module, file: PathLike, head: str = OUR_HEAD) -> tuple[str, ...]:
    """`load_weights` for another number of classes: the module `head` keeps its own weights where the file's differ.

    Returns the parameters that were kept, such as ("head.linear.weight", "head.linear.bias"); () when the file's
    head fits, and is loaded too. `head` names the last layer of a module that is not ours. Raises as `load_weights`.
    """
    return _load(net, file, keep=[key for key in net.state_dict() if key.startswith(f"{head}.")])


def build_from(file: PathLike) -> Network:
    """The network that `save_weights` wrote, with its weights. Raises WeightsError where the file does not say."""
    state, metadata = read_weights(file)
    spec = record_in(NetSpec, SPEC_KEY, metadata, Path(file))
    if spec is None:
        raise WeightsError(f"{file}: does not say which network it is of: build the network and use load_weights")
    net = Network(spec)
    _fill(net, state, (), Path(file))
    return net


def data_of(file: PathLike) -> DataInfo | None:
    """The images that the weights of a file were trained on; None where it does not say."""
    return record_in(DataInfo, DATA_KEY, read_metadata(file), Path(file))


def _load(net: nn.Module, file: PathLike, keep: Collection[str]) -> tuple[str, ...]:
    state, metadata = read_weights(file)
    if isinstance(net, Network):
        _check_function(net.spec, record_in(NetSpec, SPEC_KEY, metadata, Path(file)), Path(file))
    return _fill(net, state, keep, Path(file))


def _fill(net: nn.Module, state: State, keep: Collection[str], path: Path) -> tuple[str, ...]:
    """Load a file's tensors. `keep`: ours that stay as they are, all of them, where one has another shape."""
    own = net.state_dict()
    names = {key: key for key in own}  # ours → the file's
    if isinstance(net, Network):
        state = {modern(key): tensor for key, tensor in state.items()}
        names = _names(net, state, path)
        state |= {names[key]: _matrix(state[names[key]]) for key in own if key == WEIGHT and names[key] in state}
    wanted = {names[key]: tensor for key, tensor in own.items()}
    state = {name: wanted[name] for name in wanted if name.endswith("num_batches_tracked")} | state
    kept = tuple(keep) if any(_shape_in(state, names[key]) != own[key].shape for key in keep) else ()
    state |= {names[key]: own[key] for key in kept}
    if message := _misfit(wanted, state):
        raise WeightsError(
            f"{path}: does not fit this {getattr(getattr(net, 'spec', None), 'label', 'net')}: {message}"
        )
    net.load_state_dict({key: state[name] for key, name in names.items()})
    return kept


def _names(net: Network, state: State, path: Path) -> dict[str, str]:
    """Our name of every tensor → the file's. Raises WeightsError where the library's dense layers join otherwise."""
    names, naming = names_in(net, state.keys())
    theirs = net.spec.concat if naming is None else naming.computes.get("concat", net.spec.concat)
    if theirs != net.spec.concat:
        raise WeightsError(
            f"{path}: by its names its layers {theirs} new features, this net is built with "
            f"concat={net.spec.concat!r}: build it with concat={theirs!r}"
        )
    return names


def _shape_in(state: State, name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None


def _matrix(weight: Tensor) -> Tensor:
    """The weight of a last layer that is a 1×1 convolution elsewhere."""
    return weight.flatten(1) if weight.shape[2:] == (1, 1) else weight


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
    ours, theirs = function_of(net), function_of(file)
    if differ := [name for name in ours if name in theirs and ours[name] != theirs[name]]:
        there, here = (", ".join(f"{name}={facts[name]!r}" for name in differ) for facts in (theirs, ours))
        raise WeightsError(
            f"{path}: holds weights of a net with {there}, this one has {here}: use build_from(file) for the net "
            f"they belong to"
        )
