"""Networks described: the list of names, the layers of one, several side by side. MACs: convolution and linear only."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record._base import Record
from gradpath.record._net import NetSpec


@dataclass(frozen=True, kw_only=True)
class NetEntry(Record):
    """A network by name."""

    name: str
    group: str
    """Title of the group that it is in."""
    layers: int
    """Weighted layers as the name counts them."""
    parameters: int
    macs: int
    """Multiply-accumulates of one image of `input_size`."""
    input_size: int
    classes: int
    error: float | None = None
    """Published error in percent, None where we know of none."""
    source: str = ""
    """Where the error is from."""


@dataclass(frozen=True, kw_only=True)
class NetGroup(Record):
    """What the nets of a group have in common."""

    title: str
    paper: str
    data: str
    """Of the errors, and of the sizes."""


@dataclass(frozen=True, kw_only=True)
class NetList(Record, kind="nets"):
    """The networks with a name of their own (`gradpath nets`)."""

    groups: tuple[NetGroup, ...]
    nets: tuple[NetEntry, ...]


@dataclass(frozen=True, kw_only=True)
class NetLayer(Record):
    """One layer, of one image."""

    name: str
    """Its module, as in `net.get_submodule(name)`."""
    block: str
    """The block it lies in; empty outside."""
    kind: str
    """Such as '3×3', '3×3 /2', 'norm', 'max 3×3 /2', 'linear'."""
    shape: tuple[int, ...]
    """Of its output: channels, height, width; after the mean over all pixels channels alone."""
    parameters: int
    macs: int
    receptive_field: int | None
    """Side of the square of input pixels that one output pixel can see, by the longest path; None: the whole image."""
    stride: int | None
    """Input pixels from one output pixel to the next; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class NetTable(Record, kind="net-table"):
    """One network, layer by layer (`gradpath nets NAME`)."""

    name: str
    spec: NetSpec
    parameters: int
    macs: int
    activation_bytes: int
    """Kept by a training step for the backward pass, for each image, in float32."""
    layers: tuple[NetLayer, ...]
    """In the order of the forward pass."""
    published: NetEntry | None = None
    """Its line of the list, where it has one; and the group that line is in."""
    group: NetGroup | None = None


@dataclass(frozen=True, kw_only=True)
class BlockWidth(Record):
    """One block, to compare what its width costs."""

    of: str
    """The net it is from; empty for one of no net."""
    name: str
    """Its module in the net, or what it is."""
    reads: int
    """Channels in."""
    writes: int
    """Channels out: its width."""
    computes: int
    """Of these, the channels it computes: a dense layer copies the others."""
    size: int
    """Height and width of its output."""
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, kw_only=True)
class NetSummary(Record):
    """One network in a comparison."""

    name: str
    spec: NetSpec
    layers: int
    """Convolutions and linear layers, projections included."""
    blocks: int
    parameters: int
    macs: int
    activation_bytes: int
    width: int
    """Channels that leave the last stage."""
    receptive_field: int
    """Of the last convolution, in pixels of the input."""


@dataclass(frozen=True, kw_only=True)
class NetComparison(Record, kind="net-comparison"):
    """Networks side by side (`gradpath nets --compare`)."""

    nets: tuple[NetSummary, ...]
    blocks: tuple[BlockWidth, ...]
    """One block of each, in the middle of the net, and an Inception-style block of the same widths."""
