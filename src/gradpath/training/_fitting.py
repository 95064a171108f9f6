"""A name or a specification, made to fit the images."""

from __future__ import annotations

from dataclasses import replace

from gradpath.errors import SpecError, WeightsError
from gradpath.nets import NetSpec, resolve
from gradpath.record import Padding
from gradpath.training._data import Images


def fitting(net: NetSpec | str, images: Images) -> NetSpec:
    """The specification for the images: of a name, with their classes, channels and size. Raises SpecError where a
    specification does not fit them."""
    info = images.info
    if isinstance(net, NetSpec):
        if net.classes < len(info.classes) or net.input_channels != info.channels:
            raise SpecError(
                f"{net.label} is for {net.classes} classes and {net.input_channels} channels, "
                f"{info.name} has {len(info.classes)} and {info.channels}"
            )
        return net
    return resolve(net, classes=len(info.classes), input_size=info.image_size, input_channels=info.channels)


def with_padding(spec: NetSpec, asked: object, padding: Padding | None, where: str = "") -> NetSpec:
    """The specification of foreign weights, with the padding that their keys do not tell.

    It is never guessed where a net was `asked` for by its name alone: the wrong one loads as well, and fails. Raises
    WeightsError there, its text begun by `where`.
    """
    if padding is not None:
        return replace(spec, padding=padding)
    if isinstance(asked, str) and spec.family == "residual" and spec.shortcut == "A":
        raise WeightsError(
            f"{where}the weights of {asked} do not tell where its shortcuts pad: give padding 'both' or 'end'"
        )
    return spec
