"""A file of weights as what it takes to use it: the net, the names of its classes, how its images are normalised."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gradpath.errors import GradpathError, UserError, WeightsError, first_line
from gradpath.nets import Network, build, build_from, data_of, load_weights, read_metadata, read_weights, resolve
from gradpath.nets._weights import SPEC_KEY
from gradpath.record import DataInfo, NetSpec, Padding
from gradpath.training._batches import mean_image
from gradpath.training._fitting import with_padding
from gradpath.training._start import IMAGENET, find_head, fit_head

PathLike = str | os.PathLike[str]
Normalisation = Literal["weights", "imagenet", "none"]


@dataclass(frozen=True)
class Opened:
    """A net ready to be used, on the CPU and in eval mode."""

    net: nn.Module
    label: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    mean: Tensor
    """Per channel, or per pixel, of pixel values in 0..1; broadcasts over N C H W."""
    std: Tensor

    normalises: bool
    """False where the caller normalises, or nobody does: mean 0, std 1."""
    stored: DataInfo | None
    """What the weights say that they were trained on."""

    def on_pixels(self) -> OnPixels:
        """The net with its normalisation in front."""
        return OnPixels(self.net, self.mean, self.std).eval()


class OnPixels(nn.Module):
    """pixels N C H W → logits N classes. uint8 is 0..255, floats are 0..1."""

    mean: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1 / std)

    def forward(self, pixels: Tensor) -> Tensor:
        values = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        logits: Tensor = self.net((values - self.mean) * self.scale)
        return logits


def open_weights(
    weights: PathLike,
    *,
    net: NetSpec | str | nn.Module | None = None,
    padding: Padding | None = None,
    normalise: Normalisation = "weights",
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
) -> Opened:
    """What a file of weights is for.

    Args:
        net: for a foreign file, of which the keys do not tell the net; None for files of gradpath's.
        padding: for a foreign residual net with option A shortcuts: where they pad.
        normalise: by what is stored with the weights, by ImageNet's mean and standard deviation, or not at all.
        classes: names in the order of the net's outputs; None takes those stored with the weights, else numbers.
        image_size: pixels of a side; None takes what the net was trained on.

    Raises WeightsError, SpecError, UserError: one line that names the file.
    """
    stored = data_of(weights)
    model = _model(weights, net, padding, stored).eval()
    channels, size = _channels(model, stored), image_size or _size(model, stored, weights)
    mean, std = _normalisation(normalise, weights, stored, channels)
    if mean.shape[-1] not in (1, size):
        raise WeightsError(f"{weights}: subtracts a mean image of {mean.shape[-1]} px: leave out image_size")
    return Opened(
        net=model,
        label=model.model_name if isinstance(model, Network) else type(model).__name__,
        classes=_class_names(classes, stored, _outputs(model, channels, size), weights),
        image_size=size,
        channels=channels,
        mean=mean,
        std=std,
        normalises=normalise != "none",
        stored=stored,
    )


def _model(
    weights: PathLike, net: NetSpec | str | nn.Module | None, padding: Padding | None, stored: DataInfo | None
) -> nn.Module:
    if net is None:
        if SPEC_KEY not in read_metadata(weights):
            raise WeightsError(f"{weights}: does not say which net it is of: give net, such as resnet-20")
        return build_from(weights)
    if isinstance(net, nn.Module):
        if stored is not None:  # trained here, with a classifier of the data's size
            fit_head(net, find_head(net, stored)[0], stored)
        return load_weights(net, weights)
    spec = net if isinstance(net, NetSpec) else _named(net, weights, stored)
    return load_weights(build(with_padding(spec, net, padding, f"{weights}: ")), weights)


def _named(net: str, weights: PathLike, stored: DataInfo | None) -> NetSpec:
    """A named net with as many classes as the file has rows in its last matrix."""
    state, _ = read_weights(weights)
    matrices = [tensor for tensor in state.values() if tensor.ndim == 2]
    fields = {} if not matrices else {"classes": matrices[-1].shape[0]}
    if stored is not None:
        fields |= {"input_size": stored.image_size, "input_channels": stored.channels}
    return resolve(net, **fields)


def _channels(model: nn.Module, stored: DataInfo | None) -> int:
    if isinstance(model, Network):
        return model.spec.input_channels
    return 3 if stored is None else stored.channels


def _size(model: nn.Module, stored: DataInfo | None, weights: PathLike) -> int:
    """Pixels of a side that the net was trained on."""
    if stored is not None:
        return stored.image_size
    if not isinstance(model, Network):
        raise WeightsError(f"{weights}: does not say for which size of images it is: give image_size")
    return model.spec.input_size


def _outputs(model: nn.Module, channels: int, size: int) -> int:
    """How many classes the net tells apart, seen by running it. Raises UserError where it takes no such images."""
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, channels, size, size))
    except GradpathError:
        raise
    except Exception as error:
        raise UserError(
            f"the net cannot take images of {size} px and {channels} channels "
            f"({type(error).__name__}: {first_line(error)[:100]}): give image_size as it was trained on"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError("the net is no classifier: for N images it must give one tensor, N by classes")
    return logits.shape[1]


def _class_names(
    asked: Sequence[str] | None, stored: DataInfo | None, outputs: int, weights: PathLike
) -> tuple[str, ...]:
    if asked is not None and len(asked) != outputs:
        raise UserError(f"{Path(weights).name} tells {outputs} classes apart, {len(asked)} names were given for them")
    names = tuple(asked) if asked is not None else (() if stored is None else stored.classes[:outputs])
    return names + tuple(map(str, range(len(names), outputs)))


def _normalisation(
    kind: Normalisation, weights: PathLike, stored: DataInfo | None, channels: int
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixels in 0..1, which broadcast over N C H W."""
    if kind == "none":
        return torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    if kind == "imagenet":
        if channels != 3:
            raise UserError(f"ImageNet's normalisation is for 3 channels, {Path(weights).name} takes {channels}")
        return _per_channel(IMAGENET[0]), _per_channel(IMAGENET[1])
    if stored is None:
        raise WeightsError(
            f"{weights}: does not say how its images were normalised: give normalise 'imagenet', or 'none' for pixels "
            "from 0 to 1 as they are"
        )
    return mean_image(stored) if stored.pixel_mean else _per_channel(stored.mean), _per_channel(stored.std)


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)
