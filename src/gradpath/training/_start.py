"""The net to train as it begins: built or given, filled from a file, its classifier made for the data's classes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from gradpath.errors import UserError, WeightsError, first_line
from gradpath.nets import OUR_HEAD, Network, build, data_of, load_body, macs, resolve
from gradpath.record import DataInfo, NetSpec, Padding, Start
from gradpath.training._data import Images, with_channels
from gradpath.training._fitting import fitting, with_padding

Model: TypeAlias = NetSpec | str | nn.Module | Callable[[], nn.Module]
"""What can be trained: a specification, a name, a model, or a function that makes one."""
Normalise = Literal["weights", "imagenet", "data"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation per channel, of pixels in 0..1, as torchvision and most of timm have them."""
_PROBES = 2  # images of the run that finds the classifier: BatchNorm in train mode needs two


@dataclass(frozen=True)
class Weights:
    """A file to start from, and what its keys do not tell."""

    file: str | os.PathLike[str]
    normalise: Normalise | None = None
    """By whose mean and standard deviation; None: those stored with the weights, else the model's own, else
    ImageNet's for three channels, else the data's."""
    padding: Padding | None = None
    """Of a net with option A shortcuts: where they pad."""


@dataclass(frozen=True)
class Beginning:
    """A net ready to be trained on some images."""

    net: nn.Module
    head: str
    """The classifier's module."""
    images: Images
    """As the net takes them, with the mean and standard deviation that it is fed by."""
    depth: int
    """Convolutions and linear layers that are run."""
    macs: int
    start: Start | None = None
    notes: tuple[str, ...] = ()

    @property
    def spec(self) -> NetSpec | None:
        return self.net.spec if isinstance(self.net, Network) else None


def begin(model: Model, images: Images, seed: int, weights: Weights | None = None) -> Beginning:
    """The net with a classifier for the classes of `images`, filled from `weights`.

    Raises SpecError, WeightsError, DataError, and UserError for a model that is no classifier of images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, images = _made(model, images, weights)
        head, depth, cost = _ours_known(net) if isinstance(net, Network) else find_head(net, images.info)
        notes = fit_head(net, head, images.info)
        if notes and not isinstance(net, Network):
            head, depth, cost = find_head(net, images.info)  # with the new one
        if weights is None:
            info = _own_normalisation(net, images.info) if not isinstance(net, Network) else images.info
            return Beginning(net, head, replace(images, info=info), depth, cost, None, notes)
        replaced, said = _filled(net, head, weights, images.info)
    info, normalise = _normalisation(net, weights, images.info)
    start = Start(weights=Path(weights.file).name, replaced=replaced, normalise=normalise)
    told = f"normalised by {_WHOSE[normalise]}: mean {_numbers(info.mean)}, std {_numbers(info.std)}"
    return Beginning(net, head, replace(images, info=info), depth, cost, start, (*notes, *said, told))


# ------------------------------------------------------------ the model


def _made(model: Model, images: Images, weights: Weights | None) -> tuple[nn.Module, Images]:
    """The model, new or a copy, and the images with the channels that it takes."""
    if isinstance(model, NetSpec | str):
        return _ours(model, images, weights)
    net = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
    if not isinstance(net, nn.Module):
        raise UserError(f"a model is asked for, the function gave a {type(net).__name__}: return a torch.nn.Module")
    return net, images if images.info.channels != 1 or _takes(net, images.info) else with_channels(images, 3)


def _ours(model: NetSpec | str, images: Images, weights: Weights | None) -> tuple[Network, Images]:
    if weights is None:
        return build(fitting(model, images)), images
    stored = data_of(weights.file)
    asked = resolve(model) if isinstance(model, str) else model
    images = with_channels(images, stored.channels if stored is not None else asked.input_channels)
    spec = fitting(model, images)
    asked_by = model if stored is None else None  # a file of ours says it
    return build(with_padding(spec, asked_by, weights.padding, f"{weights.file}: ")), images


def _takes(net: nn.Module, info: DataInfo) -> bool:
    """Whether the model runs on such images; what is wrong where it does not is said later."""
    try:
        _run(net, info)
    except UserError:
        return False
    return True


# ------------------------------------------------------------ the classifier


def _ours_known(net: Network) -> tuple[str, int, int]:
    """As `find_head`, without running it."""
    return OUR_HEAD, net.spec.depth, macs(net.spec)


def find_head(net: nn.Module, info: DataInfo) -> tuple[str, int, int]:
    """(name of the classifier, weighted layers that are run, multiply-accumulates of an image), seen by running it.

    The classifier is the last linear layer, or 1×1 convolution, with as many outputs as the net. Everything is left
    as found. Raises UserError for a model that does not turn N C H W into N classes.
    """
    calls: list[tuple[str, nn.Module, Tensor]] = []
    with _hooked(net, lambda name, module, out: calls.append((name, module, out))):
        out = _run(net, info)
    heads = [name for name, module, _ in calls if _is_classifier(module) and _outputs(module) == out.shape[1]]
    if not heads:
        raise UserError(
            f"the model's classifier was not found: no linear layer or 1×1 convolution has its {out.shape[1]} "
            "outputs; give a model whose last layer is one"
        )
    return heads[-1], len(calls), sum(_macs(module, result) for _, module, result in calls)


@contextmanager
def _hooked(net: nn.Module, told: Callable[[str, nn.Module, Tensor], None]) -> Iterator[None]:
    """Hear of each call of a convolution or linear layer."""
    weighted = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [m.register_forward_hook(lambda m, _, out, name=name: told(name, m, out)) for name, m in weighted]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _run(net: nn.Module, info: DataInfo) -> Tensor:
    """The outputs (N classes) for images of noise, in train mode as training runs it; modes and buffers as found."""
    parameter = next(net.parameters(), None)
    if parameter is None:
        raise UserError("the model has no parameters: there is nothing to train")
    size = info.image_size
    images = torch.randn(_PROBES, info.channels, size, size, device=parameter.device)
    modes = [(module, module.training) for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        with torch.no_grad():
            out = net.train()(images)
    except Exception as error:
        asked = f"images of {size} px and {info.channels} channels"
        raise UserError(
            f"the model cannot take {asked} ({type(error).__name__}: {first_line(error)[:100]}): "
            "is it for another size? image_size resizes photos"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != _PROBES:
        seen = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UserError(
            f"the model gives {seen} for {_PROBES} images; a classifier gives one tensor of {_PROBES} rows, a column "
            "for each class"
        )
    return out


def _is_classifier(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))


def _outputs(module: Any) -> int:
    return int(module.out_features if isinstance(module, nn.Linear) else module.out_channels)


def _macs(module: Any, out: Tensor) -> int:
    """Of one image."""
    per_output = module.in_features if isinstance(module, nn.Linear) else module.weight[0].numel()
    return out[0].numel() * int(per_output)


def fit_head(net: nn.Module, head: str, info: DataInfo) -> tuple[str, ...]:
    """Replace the classifier where it is for another number of classes. Returns what there is to say of it."""
    old, classes = net.get_submodule(head), len(info.classes)
    if _outputs(old) == classes:
        return ()
    if isinstance(net, Network):  # a specification that the user gave: with more classes than there are
        return (f"{head} tells {_outputs(old)} classes apart, {info.name} has {classes}",)
    parent, _, name = head.rpartition(".")
    setattr(net.get_submodule(parent), name, _resized(old, classes))
    return (f"the classifier {head} was replaced: {_outputs(old)} classes before, {classes} now",)


def _resized(old: Any, classes: int) -> nn.Module:
    where: dict[str, Any] = {"device": old.weight.device, "dtype": old.weight.dtype, "bias": old.bias is not None}
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, classes, **where)
    return nn.Conv2d(old.in_channels, classes, 1, **where)


# ------------------------------------------------------------ the weights


def _filled(net: nn.Module, head: str, weights: Weights, info: DataInfo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fill the net from the file. Returns the parameters it did not give, and what there is to say of them."""
    own = copy.deepcopy(net.get_submodule(head).state_dict())
    replaced = load_body(net, weights.file, head)
    file, stored = Path(weights.file).name, data_of(weights.file)
    if replaced:
        return replaced, (f"{file} was loaded but for the classifier {head}: it is for other classes",)
    if stored is None or stored.classes == info.classes:
        return (), (f"{file} was loaded, classifier included",)
    net.get_submodule(head).load_state_dict(own)
    begun = tuple(f"{head}.{name}" for name in own)
    return begun, (f"{file} was loaded but for the classifier {head}: its classes are {_listed(stored.classes)}",)


def _listed(names: tuple[str, ...]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# ------------------------------------------------------------ the normalisation

_WHOSE = {"weights": "the statistics kept with the weights", "imagenet": "ImageNet's statistics",
          "model": "the model's own statistics", "data": "the data's own statistics"}  # fmt: skip


def _normalisation(net: nn.Module, weights: Weights, info: DataInfo) -> tuple[DataInfo, str]:
    """The data's info with the mean and standard deviation that the net is fed by, and whose they are."""
    stored, asked = data_of(weights.file), weights.normalise
    if asked == "weights" and stored is None:
        raise WeightsError(
            f"{weights.file}: does not say how its images were normalised: give normalise 'data' or 'imagenet'"
        )
    if stored is not None and asked in (None, "weights"):
        return replace(info, mean=stored.mean, std=stored.std), "weights"
    if asked is None and (own := _config(net, info.channels)) is not None:
        return replace(info, mean=own[0], std=own[1]), "model"
    if asked == "data" or (asked is None and info.channels != 3):
        return info, "data"
    return imagenet(info), "imagenet"


def imagenet(info: DataInfo) -> DataInfo:
    """The info with ImageNet's mean and standard deviation. Raises UserError where they do not apply."""
    if info.channels != 3:
        raise UserError(f"ImageNet's normalisation is for 3 channels, {info.name} has {info.channels}: use 'data'")
    return replace(info, mean=IMAGENET[0], std=IMAGENET[1])


def _own_normalisation(net: nn.Module, info: DataInfo) -> DataInfo:
    """A given model may hold trained weights: what it says that its images were normalised by, else the data's."""
    own = _config(net, info.channels)
    return info if own is None else replace(info, mean=own[0], std=own[1])


def _config(net: nn.Module, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation as timm's models carry them."""
    config = getattr(net, "pretrained_cfg", None) or getattr(net, "default_cfg", None)
    found = [tuple(config[key]) if isinstance(config, dict) and key in config else () for key in ("mean", "std")]
    if not all(len(values) == channels and all(isinstance(v, float | int) for v in values) for values in found):
        return None
    return found[0], found[1]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
