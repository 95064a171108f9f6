"""The specification of a network: data with the arithmetic that makes it valid. Built by `gradpath.nets`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from gradpath.errors import SpecError
from gradpath.record._base import Record

Family = Literal["plain", "residual", "dense"]
NormKind = Literal["none", "batch"]
Shortcut = Literal["A", "B", "C"]
Padding = Literal["both", "end"]
Init = Literal["he", "default"]
Activation = Literal["post", "pre"]
_CHOICES = {
    "family": Family,
    "norm": NormKind,
    "init": Init,
    "activation": Activation,
    "shortcut": Shortcut,
    "padding": Padding,
}


@dataclass(frozen=True, kw_only=True)
class NetSpec(Record, kind="net"):
    """One specification for plain, residual and dense networks (He et al. 2015, 2016; Huang et al. 2017).

    A plain net is the exact twin of the residual net of the same fields, without the add.
    Raises SpecError for fields that do not make a network, with the nearest that do.
    """

    family: Family
    depth: int
    """Weighted layers on the main path: 6n+2 (basic), 9n+2 (bottleneck); dense 3n+4, with bottleneck 6n+4."""
    width: int = 16
    """Channels of the stem and of the first stage; the next stages have 2 and 4 times as many. Dense: of the stem."""
    norm: NormKind = "batch"
    init: Init = "he"
    """he: normal with variance 2/fan_out for convolutions. default: PyTorch's own."""
    activation: Activation = "post"
    """post: conv, norm, ReLU. pre: norm, ReLU, conv (He et al. 2016). Dense nets are always pre."""
    bottleneck: bool = False
    shortcut: Shortcut = "A"
    """Where the shape changes: A pads with zeros, B projects (1×1); C projects on every shortcut."""
    padding: Padding = "both"
    """Option A: new zero channels on both sides, or all at the end. Weights of one do not work in the other."""
    growth_rate: int = 12
    """Dense: channels each layer adds."""
    compression: float = 1.0
    """Dense: factor of channels kept by a transition (0.5 in DenseNet-C and -BC)."""
    classes: int = 10
    input_size: int = 32
    input_channels: int = 3

    def __post_init__(self) -> None:
        self._check_types()
        self._check_ranges()
        if self.family == "dense":
            self._check_dense()
        else:
            self._check_stages()

    @property
    def blocks_per_stage(self) -> int:
        """n: blocks in each of the three stages (residual, plain) or layers in each of the three dense blocks."""
        step, rest, _ = self.depth_rule
        return (self.depth - rest) // step

    @property
    def depth_rule(self) -> tuple[int, int, str]:
        """(step, rest, formula) of the legal depths: step·n + rest."""
        if self.family == "dense":
            return (6, 4, "6n+4") if self.bottleneck else (3, 4, "3n+4")
        return (9, 2, "9n+2") if self.bottleneck else (6, 2, "6n+2")

    @property
    def preactivated(self) -> bool:
        """Norm and ReLU come before the convolutions."""
        return self.family == "dense" or self.activation == "pre"

    @property
    def label(self) -> str:
        """A short name, such as 'residual 56' or 'DenseNet-BC 58'."""
        if self.family != "dense":
            return f"{self.family} {self.depth}"
        suffix = "B" * self.bottleneck + "C" * (self.compression < 1)
        return f"DenseNet{'-' if suffix else ''}{suffix} {self.depth}"

    def _check_types(self) -> None:
        for name, literal in _CHOICES.items():
            if getattr(self, name) not in get_args(literal):
                choices = " or ".join(map(repr, get_args(literal)))
                raise SpecError(f"{name} must be {choices}, got {getattr(self, name)!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (not isinstance(value, int) or isinstance(value, bool)):
                raise SpecError(f"{field.name} must be a whole number, got {value!r}")

    def _check_ranges(self) -> None:
        for name in ("width", "growth_rate", "classes", "input_channels"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.input_size < 8:
            raise SpecError(f"input_size must be at least 8 (three stages halve it twice), got {self.input_size}")
        step, rest, formula = self.depth_rule
        below = (self.depth - rest) // step * step + rest
        if self.depth != below or self.depth < step + rest:
            near = [d for d in (below, below + step) if d >= step + rest] or [step + rest]
            kind = f"{self.family}{' bottleneck' if self.bottleneck else ''}"
            raise SpecError(
                f"depth {self.depth} does not make a {kind} net: its depth is {formula}: {' or '.join(map(str, near))}"
            )

    def _check_dense(self) -> None:
        if not 0 < self.compression <= 1:
            raise SpecError(
                f"compression is the factor of channels kept, above 0 and at most 1, got {self.compression}"
            )
        if self.compression * self.blocks_per_stage * self.growth_rate < 1:
            raise SpecError(f"compression {self.compression} leaves a transition without a channel")
        if self.norm == "none":
            raise SpecError(
                "a dense net without norm is not offered: use norm='batch', or family='residual' with norm='none'"
            )

    def _check_stages(self) -> None:
        if self.compression != 1.0:
            raise SpecError(f"compression belongs to dense nets, got {self.compression} with family={self.family!r}")
        if self.padding == "both" and self.shortcut == "A" and self.width % 2 and self.family == "residual":
            raise SpecError(
                f"padding='both' needs an even width to pad both sides alike, got {self.width}: use padding='end'"
            )
        if self.activation == "pre" and self.shortcut == "C":
            raise SpecError("pre-activation nets have shortcut A or B: C would put a projection on every express lane")
