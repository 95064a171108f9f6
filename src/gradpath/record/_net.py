"""The specification of a network: data with the arithmetic that makes it valid. Built by `gradpath.nets`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from gradpath.record._base import Record
from gradpath.record._net_rules import check, without_strangers

Family = Literal["plain", "residual", "dense"]
NormKind = Literal["none", "batch", "layer", "group"]
Shortcut = Literal["A", "B", "C"]
Padding = Literal["both", "end"]
Init = Literal["he", "he-in", "xavier", "fixup", "skipinit", "rezero", "delta-orthogonal", "default"]
Activation = Literal["post", "pre"]
StemKind = Literal["cifar", "imagenet"]
StrideOn = Literal["1x1", "3x3"]
Concat = Literal["append", "prepend"]
Nonlinearity = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
DepthMode = Literal["batch", "row"]
GateKind = Literal["none", "exclusive", "shortcut"]

STAGES = 3
"""Of nets whose `blocks` are not given."""


@dataclass(frozen=True, kw_only=True)
class NetSpec(Record, kind="net"):
    """One specification for plain, residual and dense networks (He et al. 2015, 2016; Huang et al. 2017).

    A plain net is the exact twin of the residual net of the same fields, without the add.
    Raises SpecError for fields that do not make a network, with the nearest that do.
    """

    family: Family
    depth: int
    """Weighted layers on the main path: 6n+2 (basic), 9n+2 (bottleneck); dense 3n+4, with bottleneck 6n+4; wide nets,
    whose authors count the projections too, 6n+4. With `blocks`: what their numbers add up to."""
    width: int = 16
    """Channels of the stem and of the first stage (a bottleneck's inner ones); each next stage has twice as many.
    Dense: of the stem."""
    norm: NormKind = "batch"
    """layer: over all channels and pixels (one group). group: 32 groups, fewer where they would have one channel."""
    init: Init = "he"
    """See `gradpath.nets.initialise`. fixup, skipinit and rezero add scalars to the net."""
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
    blocks: tuple[int, ...] = ()
    """Blocks of each stage, as (3, 4, 6, 3) in ResNet-50; dense: layers of each dense block. Empty: three equal stages
    by the depth's rule."""
    stem: StemKind = "cifar"
    """cifar: a 3×3 convolution. imagenet: 7×7 with stride 2, and 3×3 max-pooling with stride 2."""
    groups: int = 1
    """Bottleneck: groups of the 3×3 convolution (the cardinality of ResNeXt)."""
    group_width: int | None = None
    """Bottleneck: inner channels of each group in the first stage, doubled in each next. None: `width` in all."""
    widen: int | None = None
    """Basic: the stages are this many times as wide as the stem (k of WRN-28-k)."""
    stride_on: StrideOn | None = None
    """Bottleneck: which convolution halves the resolution. None: 3×3 in post-, 1×1 in pre-activation nets."""
    concat: Concat = "append"
    """Dense: new features last, [x, new], or first. Weights of one do not work in the other."""
    nonlinearity: Nonlinearity = "relu"
    """Wherever this specification says ReLU. leaky-relu: slope 0.01."""
    dropout: float = 0.0
    """Rate between the convolutions of a basic block (Zagoruyko and Komodakis 2016); dense: after every convolution
    but the first (Huang et al. 2017)."""
    stochastic_depth: float = 0.0
    """Rate at which the last branch is dropped; it grows linearly from the first (Huang et al. 2016: 1 − p_L = 0.5)."""
    stochastic_depth_mode: DepthMode = "batch"
    """batch: one draw for the mini-batch, the l-th of L branches at rate·l/L, scaled by its chance in evaluation (the
    paper). row: one draw for each sample, rate·(l−1)/(L−1), scaled up where kept (timm)."""
    shortcut_scale: float = 1.0
    """Constant factor λ of every shortcut (He et al. 2016, table 1)."""
    branch_scale: float = 1.0
    """Constant factor of every branch."""
    shortcut_dropout: float = 0.0
    """Rate of dropout on every shortcut."""
    gate: GateKind = "none"
    """g = σ(1×1 convolution of the block's input). exclusive: g·branch + (1 − g)·shortcut, as highway networks;
    shortcut: branch + (1 − g)·shortcut."""
    gate_bias: float = -6.0
    """Initial bias of the gates; below 0 the shortcut is open."""
    zero_last_norm: bool = False
    """The last norm of each branch begins with weight 0 (post-activation)."""

    def __post_init__(self) -> None:
        if isinstance(self.blocks, list):
            object.__setattr__(self, "blocks", tuple(self.blocks))
        check(self)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> NetSpec:
        """Of a file: what a net of its kind never looks at, and older versions did not refuse, is left out."""
        return cls(**without_strangers(cls, fields))

    @property
    def stage_blocks(self) -> tuple[int, ...]:
        """Blocks of each stage; dense: layers of each dense block."""
        if self.blocks:
            return self.blocks
        step, rest, _ = self.depth_rule
        return ((self.depth - rest) // step,) * STAGES

    @property
    def blocks_per_stage(self) -> int:
        """n: blocks in the first stage, in nets of equal stages in each; dense: layers."""
        return self.stage_blocks[0]

    @property
    def convs_per_block(self) -> int:
        """Convolutions of a branch, or of a dense layer."""
        if self.family == "dense":
            return 2 if self.bottleneck else 1
        return 3 if self.bottleneck else 2

    @property
    def depth_rule(self) -> tuple[int, int, str]:
        """(step, rest, formula) of the legal depths of nets with equal stages: step·n + rest."""
        stages = len(self.blocks) or STAGES
        step, rest = stages * self.convs_per_block, 2
        if self.family == "dense" or self.widen is not None:
            rest += stages - 1  # dense: the transitions
        if self.widen is not None:
            rest = 1 + stages  # stem and projections, not the linear layer
        return step, rest, f"{step}n+{rest}"

    def with_blocks(self, count: int) -> NetSpec:
        """The net of this kind with `count` blocks in each of its stages."""
        step, rest, _ = self.depth_rule
        return replace(self, depth=step * count + rest, blocks=(count,) * len(self.blocks))

    def plain_twin(self) -> NetSpec:
        """This net without skips, and without what only skips can have; of a residual net with option A and none of
        those it has the same parameters. Raises SpecError for dense nets."""
        bare = {"init": "he"} if self.init in ("fixup", "skipinit", "rezero") else {}
        reset = {name: type(self).__dataclass_fields__[name].default for name in _SKIPS_ALONE}
        return replace(self, family="plain", shortcut="A", **reset, **bare)  # type: ignore[arg-type]

    @property
    def preactivated(self) -> bool:
        """Norm and ReLU come before the convolutions."""
        return self.family == "dense" or self.activation == "pre"

    @property
    def halvings(self) -> int:
        """How often the resolution is halved."""
        return len(self.stage_blocks) - 1 + 2 * (self.stem == "imagenet")

    @property
    def label(self) -> str:
        """A short name, such as 'residual 56', 'wide residual 28-10' or 'DenseNet-BC 58'."""
        if self.family != "dense":
            wide = "" if self.widen is None else f"-{self.widen}"
            groups = f" {self.groups}×{self.group_width or '?'}d" if self.groups > 1 else ""
            return f"{'wide ' * bool(wide)}{self.family} {self.depth}{wide}{groups}"
        suffix = "B" * self.bottleneck + "C" * (self.compression < 1)
        return f"DenseNet{'-' if suffix else ''}{suffix} {self.depth}"


_SKIPS_ALONE = (
    "shortcut_scale branch_scale shortcut_dropout gate gate_bias stochastic_depth stochastic_depth_mode zero_last_norm"
).split()
