"""What one forward and backward pass did: layers, forks, gains. Definitions: docs/definitions.md.

Norms are stored as log10, taken with float64 accumulators: -inf is an exact zero, NaN is "not finite". So a stem
gradient of 7e-24, whose square is 0 in float32, is kept as -23.15.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from gradpath.record._base import Record
from gradpath.record._finding import Expectation, Finding, TriedChange
from gradpath.record._graph import Graph
from gradpath.record._layers import Layer, Nonlinearity, Parameter, from_log10
from gradpath.record._side_by_side import forks_side_by_side, side_by_side

EdgeKind = Literal["skip", "gated", "projection", "branch", "exit"]
"""exit: it does not lead to the fork's merge, but to another loss or stream; path lengths do not count it."""
ForkKind = Literal["residual", "inner", "shared", "other"]
Merge = Literal["add", "concat", "multiply", "other"]

_FEWEST_CALLS = 4
"""Calls of one module from which on it is called over and over."""


@dataclass(frozen=True, kw_only=True)
class Edge(Record):
    """What one consumer sent back to a fork, before accumulation."""

    consumer: str
    """Scope and operation that consumed the tensor, e.g. 'stages.0.0.conv1: Convolution'."""
    kind: EdgeKind
    share: float | None
    """⟨gᵢ, g⟩ / ‖g‖²: signed, sums to 1 over the edges; None where g = 0 or no gradient arrived."""
    norm_mass: float | None
    """‖gᵢ‖ / Σ‖gⱼ‖."""
    log10_norm: float | None
    """log10 ‖gᵢ‖; None where no gradient arrived."""
    line: str | None = None
    """File and line of the consumer, where asked for."""

    @property
    def norm(self) -> float | None:
        return None if self.log10_norm is None else from_log10(self.log10_norm)


@dataclass(frozen=True, kw_only=True)
class Fork(Record):
    """A tensor with several consumers. Its gradient is the sum of its edges' gradients."""

    name: str
    """Scope and operation that made the tensor."""
    kind: ForkKind
    """residual: its routes meet again in an add or concat, with a skip or projection and a route that holds a
    parameter. inner: inside a norm, gate or activation. shared: a parameter used several times. other: parallel
    routes without a skip."""
    merge: Merge
    """Where its routes meet again (immediate post-dominator)."""
    shape: tuple[int, ...]
    """Of the tensor, batch first; () where no gradient arrived."""
    cancellation: float | None
    """1 − ‖g‖ / Σ‖gᵢ‖: 0 when all edges agree, 1 when they cancel."""
    log10_norm: float | None
    edges: tuple[Edge, ...]
    line: str | None = None
    """File and line of the merge, where asked for."""

    @property
    def norm(self) -> float | None:
        return None if self.log10_norm is None else from_log10(self.log10_norm)

    @property
    def skip_share(self) -> float | None:
        """Sum of the shares of its skips and projections; None where there are no shares."""
        shares = [e.share for e in self.edges if e.kind in ("skip", "projection") and e.share is not None]
        return sum(shares) if shares else None


@dataclass(frozen=True, kw_only=True)
class Gain(Record):
    """Factor of gradient energy (mean square per element) per weighted layer, going backward, in one resolution."""

    resolution: str
    layers: int
    """Number of weighted layers in the fit."""
    energy_gain: float
    """exp of the slope of a least-squares line through ln(energy) over depth; below 1 vanishes, above 1 explodes."""
    r_squared: float | None
    """Of that line; None with two layers."""

    @property
    def rms_gain(self) -> float:
        """Factor of the RMS gradient: the square root of `energy_gain`."""
        return math.sqrt(self.energy_gain)


@dataclass(frozen=True, kw_only=True)
class Reuse(Record):
    """Concatenations that share sources (a dense block): what each source gets back from each consumer.

    The parts are slices of different tensors, so their energies can be compared, but are no shares."""

    sources: tuple[str, ...]
    """Scope and operation that made each tensor that was concatenated."""
    consumers: tuple[str, ...]
    log10_norms: tuple[tuple[float | None, ...], ...]
    """[source][consumer]: log10 of the norm of the gradient that came back; None where the source was not read."""
    mean_weights: tuple[tuple[float | None, ...], ...]
    """[source][consumer]: mean |w| of the weights that read the source (Huang et al. 2017, Fig. 5); None where there
    are none."""


@dataclass(frozen=True, kw_only=True)
class Statistic(Record):
    """A quantity over several batches."""

    name: str
    """'stem_over_head', 'gain 28x28', 'log10_gradient_rms of conv1' …"""
    mean: float
    standard_error: float
    """Standard deviation over √n (n − 1 in the deviation)."""
    n: int


@dataclass(frozen=True, kw_only=True)
class Unseen(Record):
    """What the trace could not see, or what took no part."""

    modules_not_called: tuple[str, ...] = ()
    layers_without_gradient: tuple[str, ...] = ()
    parameters_without_gradient: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    """Operations whose inside autograd does not show (checkpointed or compiled regions, fused recurrences)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow(Record, kind="flow"):
    """The gradient flow of one batch through one model (`gp.trace`)."""

    model: str
    mode: Literal["train", "eval", "mixed"]
    dtype: str
    autocast: str | None
    device: str
    loss: float
    at: str | None
    """The layer at whose output paths are taken: the first one that has parameters."""
    stem_over_head: float | None
    """Ratio of gradient norms at the outputs of the first and the last weighted layer."""
    log10_stem_gradient_norm: float | None
    gain_per_layer: tuple[Gain, ...]
    skip_share: float | None
    """Mean over the residual forks of the share of their skips and projections; None without residual forks."""
    effective_depth: float | None
    """Signed mean number of branches that the gradient at `at` passed; None without residual forks."""
    forks: tuple[Fork, ...]
    layers: tuple[Layer, ...]
    unseen: Unseen
    parameters: tuple[Parameter, ...] = ()
    nonlinearities: tuple[Nonlinearity, ...] = ()
    reuse: tuple[Reuse, ...] = ()
    statistics: tuple[Statistic, ...] = ()
    """Over several batches, where asked for; everything else is of the first one."""
    expected: tuple[Expectation, ...] = ()
    """What theory says of the gains, for the resolutions where it says something."""
    findings: tuple[Finding, ...] = ()
    """Worst first; empty for a healthy model."""
    tried: tuple[TriedChange, ...] = ()
    """Changes that were simulated on this model and batch, in short: cures of the worst finding, those asked for."""

    graph: Graph | None = None
    """The operations and who feeds whom; None where there are too many of them (a note says so), and in records that
    were written before there was one."""

    parallel: tuple[str, ...] = ()
    """Modules with parameters that were called several times and of which no call feeds another (an encoder for each
    frame, two towers): their calls lie side by side, at one depth."""

    @property
    def was_searched(self) -> bool:
        """Whether findings were looked for (not in a quick trace): none then means that none was found."""
        return any(layer.numerics is not None for layer in self.layers)

    @property
    def residual_forks(self) -> tuple[Fork, ...]:
        return tuple(fork for fork in self.forks if fork.kind == "residual")

    @property
    def repeated(self) -> dict[str, int]:
        """Scope → number of calls, of the weighted modules that are called over and over, one call behind the other,
        on tensors of one shape: a cell at every time step, a layer that is iterated. Empty unless such calls make up
        most of `depth`."""
        calls = Counter(layer.scope for layer in self.layers if layer.weighted)
        shapes = Counter(scope for scope, _ in {(layer.scope, layer.shape) for layer in self.layers})
        behind = {scope: n for scope, n in calls.items() if n >= _FEWEST_CALLS and scope not in self.parallel}
        often = {scope: n for scope, n in behind.items() if shapes[scope] == 1}
        return often if 2 * sum(often.values()) > self.depth else {}

    @property
    def depth(self) -> int:
        """Calls of weighted layers, those of parallel modules once for each of their resolutions."""
        return sum(layer.weighted for layer in side_by_side(self.layers, self.parallel))

    @property
    def branches(self) -> int:
        """Residual forks, those of parallel modules once: the most that `effective_depth` is measured against."""
        return len(forks_side_by_side(self))

    @property
    def stem_gradient_norm(self) -> float | None:
        return None if self.log10_stem_gradient_norm is None else from_log10(self.log10_stem_gradient_norm)

    def to_pandas(self, table: str = "layers") -> Any:
        """A table of this flow as a pandas DataFrame: 'layers' (a row per call), 'forks' (a row per edge),
        'parameters', 'nonlinearities', 'statistics'. Raises UserError for another name, MissingExtraError without
        pandas."""
        from gradpath.record._tables import data_frame

        return data_frame(self, table)

    def __repr__(self) -> str:
        depth = "-" if self.effective_depth is None else f"{self.effective_depth:.2f}"
        ratio = "-" if self.stem_over_head is None else f"{self.stem_over_head:.3g}"
        return (
            f"Flow({self.model}: {self.depth} layer{'s' * (self.depth != 1)}, "
            f"{len(self.residual_forks)} residual forks, "
            f"stem/head {ratio}, effective depth {depth})"
        )
