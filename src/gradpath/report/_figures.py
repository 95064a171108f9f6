"""What the figures show, before anything is drawn: lines and rows with their colours. PNG and HTML share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradpath import units
from gradpath.record import Comparison, Flow, RunRecord
from gradpath.report import _facts as facts


@dataclass(frozen=True)
class Look:
    """How one net looks in every panel. Colour is never the only cue: marker and dashes differ too."""

    index: int
    """Its class in a page is net0, net1 …"""
    light: str
    """On white, contrast at least 3.5."""
    dark: str
    """On #14171c, contrast at least 5.8."""
    marker: str
    """matplotlib's sign, which `svg` draws as well."""
    dashes: tuple[float, ...]


LOOKS = (  # Okabe and Ito's hues, darkened for white where they have less than 3.5 of contrast
    Look(0, "#D55E00", "#F0803C", "o", (1.5, 1.5)),
    Look(1, "#B65C92", "#CC79A7", "s", (5, 2)),
    Look(2, "#2A8BC6", "#56B4E9", "D", (7, 2, 1.5, 2)),
    Look(3, "#444444", "#C8CCD2", "X", (3, 1.5)),
    Look(4, "#008F68", "#2BC99A", "^", ()),
    Look(5, "#0072B2", "#4FA3E0", "v", ()),
    Look(6, "#B47C00", "#E69F00", "P", (7, 2)),
    Look(7, "#6B6BB8", "#9C9CE8", "p", (2, 2)),
)


@dataclass(frozen=True)
class Line:
    """log10 gradient norms over depth, from the stem (0) to the head (1)."""

    name: str
    look: Look
    points: tuple[tuple[float, float], ...]
    """(place, log10 norm), finite ones."""
    zeros: tuple[float, ...]
    """Places where the gradient is exactly 0."""
    broken: tuple[float, ...]
    """Places where it is not finite."""
    arrives: str
    """The norm at the first weighted layer, as text."""


@dataclass(frozen=True)
class Row:
    """One net's results."""

    name: str
    look: Look
    losses: tuple[float, ...]
    """Finite training losses, one an epoch; the last is the result unless the net diverged."""
    loss_text: str
    accuracy: float | None
    accuracy_text: str


@dataclass(frozen=True)
class Axis:
    """A log10 axis: its ends and the powers of ten that get a label."""

    low: float
    high: float
    ticks: tuple[int, ...]

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def look(index: int) -> Look:
    return LOOKS[index % len(LOOKS)]


def lines(comparison: Comparison) -> tuple[Line, ...]:
    """The gradient before training, of each net that was traced."""
    flows = [(i, net, facts.initial(net)) for i, net in enumerate(comparison.nets)]
    return tuple(line(net.name, look(i), flow) for i, net, flow in flows if flow is not None)


def line(name: str, look: Look, flow: Flow) -> Line:
    """The weighted layers of one flow, evenly spaced in the order of the forward pass."""
    norms = [layer.log10_gradient_norm for layer in flow.layers if layer.weighted]
    places = [i / max(len(norms) - 1, 1) for i in range(len(norms))]
    both = [(place, norm) for place, norm in zip(places, norms, strict=True) if norm is not None]
    return Line(
        name=facts.printable(name),
        look=look,
        points=tuple((place, norm) for place, norm in both if math.isfinite(norm)),
        zeros=tuple(place for place, norm in both if norm == -math.inf),
        broken=tuple(place for place, norm in both if math.isnan(norm) or norm == math.inf),
        arrives=facts.ratio_text(flow.stem_gradient_norm, 2),
    )


def rows(comparison: Comparison) -> tuple[Row, ...]:
    return tuple(_row(net, look(i)) for i, net in enumerate(comparison.nets))


def _row(net: RunRecord, look: Look) -> Row:
    epoch = facts.last_epoch(net)
    word = facts.divergence(net) if facts.diverged(net) else "no epoch finished"
    return Row(
        name=facts.label(net),
        look=look,
        losses=tuple(e.train_loss for e in net.epochs if math.isfinite(e.train_loss)) if epoch else (),
        loss_text=word if epoch is None else facts.loss_text(epoch.train_loss),
        accuracy=None if epoch is None else epoch.test_accuracy,
        accuracy_text="-" if epoch is None else units.percent(epoch.test_accuracy),
    )


def log_axis(shown: Sequence[Line]) -> Axis:
    """Whole powers of ten around all points, with room for the marks of exact zeros and of what is not finite."""
    values = [value for line in shown for _, value in line.points] or [0.0]
    low, high = math.floor(min(values)), math.ceil(max(values))
    high += high - low < 1
    step = next(s for s in (1, 2, 3, 4, 5, 10, 20, 50, 100, 1000) if (high - low) / s <= 6)
    ticks = tuple(t for t in range(low, high + 1) if t % step == 0)
    return Axis(low=low - 0.1 * (high - low), high=high + 0.06 * (high - low), ticks=ticks)


def vanishing(shown: Sequence[Line]) -> Line | None:
    """The line that ends lowest, where its gradient vanishes: its last number is written beside it."""
    ended = [line for line in shown if line.points and not line.zeros]
    lowest = min(ended, key=lambda line: line.points[0][1], default=None)
    if lowest is None or lowest.points[0][1] - lowest.points[-1][1] >= math.log10(facts.VANISHED):
        return None
    return lowest


@dataclass(frozen=True)
class ForkBar:
    """The share of a residual fork's gradient that comes back over its skips and projections, and its cancellation."""

    name: str
    share: float | None
    """None where there is no share, or where it is cancelled."""
    text: str
    cancellation: str
    """As text: a share means little where its edges cancel."""


def fork_bars(flow: Flow) -> tuple[ForkBar, ...]:
    bars = []
    for fork in flow.residual_forks:
        cancelled = fork.cancellation is not None and fork.cancellation > facts.CANCELLED
        share = None if cancelled or fork.skip_share is None else fork.skip_share
        share = share if share is not None and math.isfinite(share) else None
        word = "cancelled" if cancelled else "no share"
        text = word if share is None else units.percent(share)
        bars.append(ForkBar(facts.printable(fork.name), share, text, facts.percent_text(fork.cancellation)))
    return tuple(bars)


PROFILE_TITLE = "Gradient at each layer"
WHEN = ", at initialisation"
LOSS_TITLE = "Training loss (nats; less is better)"
ACCURACY_TITLE = "Test images right"
PROFILE_AXIS = "‖∂loss/∂(layer output)‖₂, log scale"
PLACE_AXIS = "place in the net"
SHARE_TITLE = "Share of the gradient that takes the skip"
SHARE_AXIS = "⟨skip, sum⟩ / ‖sum‖² at each residual fork"
SHARE_NOTE = f"{SHARE_AXIS}; beside it, what cancels: 1 − ‖sum‖ / Σ‖parts‖"
EXPLODES_NOTE = f"“explodes”: stem over head above {facts.EXPLODED:.0f}"
ZERO_NOTE, BROKEN_NOTE = "○ exactly 0", "✕ not finite"
