"""A name or a specification, made to fit the images."""

from __future__ import annotations

from gradpath.errors import SpecError
from gradpath.nets import NetSpec, resolve
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
