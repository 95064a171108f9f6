"""The networks with a name of their own: families, papers, published errors. Counts come from the builder.

`catalogue()` builds every net on the meta device; `gradpath nets` reads what `scripts/write_nets.py` wrote of it into
`catalogue.json`, so that a list needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.nets._counts import macs, parameters
from gradpath.nets._names import resolve
from gradpath.record import NetEntry, NetGroup, NetList

_CIFAR = "CIFAR-10, flip and crop, 32 px"
_IMAGENET = "ImageNet, top-1, 224 px, one crop where not said"
_PAPER, _TEN_CROPS, _CODE, _FACEBOOK = "the paper", "the paper, 10 crops", "the authors' code", "fb.resnet.torch"
_REPLICATION = "a-martyn/resnet, n=5"  # the paper has a figure, no number


@dataclass(frozen=True)
class _Line:
    """Names that differ in a number, and the error of each, in percent."""

    form: str
    errors: dict[str, float | None]
    source: str = _PAPER


_HE_2015 = "He et al. 2015, arXiv:1512.03385"
_HE_2016 = "He et al. 2016, arXiv:1603.05027"
_WIDE = "Zagoruyko and Komodakis 2016, arXiv:1605.07146"
_RESNEXT = "Xie et al. 2017, arXiv:1611.05431"
_DENSE = "Huang et al. 2017, arXiv:1608.06993"

_GROUPS: tuple[tuple[NetGroup, tuple[_Line, ...]], ...] = (
    (
        NetGroup(title="Plain and residual nets for CIFAR", paper=_HE_2015, data=_CIFAR),
        (
            _Line("plain-{}", {"20": 9.78, "32": None, "44": None, "56": 12.95, "110": None, "1202": None},
                  _REPLICATION),
            _Line("resnet-{}", {"20": 8.75, "32": 7.51, "44": 7.17, "56": 6.97}),
            _Line("resnet-{}", {"110": 6.43}, "the paper, best of 5"),
            _Line("resnet-{}", {"1202": 7.93}),
        ),
    ),
    (
        NetGroup(title="Pre-activation nets for CIFAR", paper=_HE_2016, data=_CIFAR),
        (_Line("preresnet-{}", {"110": 6.37, "164": 5.46, "1001": 4.92}),),
    ),
    (
        NetGroup(title="Wide residual nets for CIFAR", paper=_WIDE, data=_CIFAR),
        (_Line("wrn-{}", {"16-4": None, "16-8": 4.27, "28-10": 4.00, "40-4": 4.53}, _CODE),),
    ),
    (
        NetGroup(title="ResNeXts for CIFAR", paper=_RESNEXT, data=_CIFAR),
        (_Line("resnext-29-{}", {"8x64d": 3.65, "16x64d": 3.58}),),
    ),
    (
        NetGroup(title="DenseNets for CIFAR", paper=_DENSE, data=_CIFAR),
        (
            _Line("densenet-{}", {"40-12": 5.24, "100-12": 4.10, "100-24": 3.74}),
            _Line("densenet-bc-{}", {"100-12": 4.51, "250-24": 3.62, "190-40": 3.46}),
            _Line("densenet-bc-{}", {"40-36": 4.58, "40-48": 3.99, "40-60": 4.01}, _CODE),
        ),
    ),
    (
        NetGroup(title="Plain and residual nets for ImageNet", paper=_HE_2015, data=_IMAGENET),
        (
            _Line("plain-{}", {"18": 27.94, "34": 28.54}, _TEN_CROPS),
            _Line("resnet-{}", {"18": 30.43, "34": 26.73}, _FACEBOOK),
            _Line("resnet-{}", {"50-v1": 22.85}, _TEN_CROPS),
            _Line("resnet-{}", {"50": 24.01, "101": 22.44, "152": 22.16, "200": None}, _FACEBOOK),
        ),
    ),
    (
        NetGroup(title="Pre-activation nets for ImageNet", paper=_HE_2016, data=_IMAGENET),
        (_Line("resnetv2-{}", {"50": None, "101": None}),),
    ),
    (
        NetGroup(title="Wide residual nets for ImageNet", paper=_WIDE, data=_IMAGENET),
        (_Line("wide-resnet-{}", {"50-2": 21.9, "101-2": None}),),
    ),
    (
        NetGroup(title="ResNeXts for ImageNet", paper=_RESNEXT, data=_IMAGENET),
        (_Line("resnext-{}", {"50-32x4d": 22.2, "101-32x8d": None, "101-64x4d": 20.4}),),
    ),
    (
        NetGroup(title="DenseNets for ImageNet", paper=_DENSE, data=_IMAGENET),
        (
            _Line("densenet-{}", {"121": 25.02}),
            _Line("densenet-{}", {"161": 22.2}, _CODE),
            _Line("densenet-{}", {"169": 23.80, "201": 22.58, "264": 22.15}),
        ),
    ),
)  # fmt: skip


def catalogue() -> NetList:
    """The list, with every count taken from the builder."""
    nets = tuple(
        _entry(line.form.format(number), group.title, error, line.source)
        for group, lines in _GROUPS
        for line in lines
        for number, error in line.errors.items()
    )
    return NetList(groups=tuple(group for group, _ in _GROUPS), nets=nets)


def _entry(name: str, group: str, error: float | None, source: str) -> NetEntry:
    spec = resolve(name)
    return NetEntry(
        name=name,
        group=group,
        layers=spec.depth,
        parameters=parameters(spec),
        macs=macs(spec),
        input_size=spec.input_size,
        classes=spec.classes,
        error=error,
        source=source if error is not None else "",
    )
