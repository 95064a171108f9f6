"""The columns of the tables: one list for comparisons, one for layers, one for forks; text, HTML and CSV share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gradpath import units
from gradpath.record import Epoch, Flow, Fork, Layer, RunRecord
from gradpath.report import _facts as facts

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    head: str
    """Two words at most, so that a narrow table can break it."""
    cell: Callable[[T], str]
    key: str = ""
    """Name in CSV, with its unit."""
    value: Callable[[T], Any] | None = None
    """The raw value for CSV; None where the text is the value."""
    keep: int = 9
    """Narrow tables drop columns with a small number first."""
    left: bool = False
    minor: bool = False
    """Said by the name already: not shown on a narrow page."""


def _epoch(net: RunRecord, get: Callable[[Epoch], str], otherwise: str = "-") -> str:
    epoch = facts.last_epoch(net)
    return otherwise if epoch is None else get(epoch)


def _epoch_value(net: RunRecord, get: Callable[[Epoch], float | None]) -> float | None:
    epoch = facts.last_epoch(net)
    return None if epoch is None else get(epoch)


def _flow_value(net: RunRecord, get: Callable[[Flow], float | None]) -> float | None:
    flow = facts.initial(net)
    return None if flow is None else get(flow)


def note(net: RunRecord) -> str:
    """What the numbers of a row do not say: it diverged, it was interrupted, its learning rate was chosen."""
    parts = []
    if facts.diverged(net):
        parts.append(facts.divergence(net))
    elif net.interrupted or not net.epochs:
        parts.append(f"stopped after {facts.epochs_text(len(net.epochs))}")
    elif facts.outcome(net) == "not learned":
        parts.append("did not learn")
    if len(net.trials) > 1:
        parts.append(facts.learning_rate_text(net))
    return "; ".join(parts)


def effective_depth_text(flow: Flow | None) -> str:
    """'8.37'; 'cancels' where the average means nothing; '-' where there is none."""
    if flow is None or flow.effective_depth is None:
        return "-"
    depth = facts.effective_depth(flow)
    return "cancels" if depth is None else units.number(depth, 3)


NET_COLUMNS: tuple[Column[RunRecord], ...] = (
    Column("net", lambda n: facts.label(n), "net", left=True),
    Column(
        "train loss",
        lambda n: "diverged" if facts.diverged(n) else _epoch(n, lambda e: facts.loss_text(e.train_loss)),
        "train_loss_nats",
        lambda n: _epoch_value(n, lambda e: e.train_loss),
    ),
    Column(
        "train acc.",
        lambda n: _epoch(n, lambda e: units.percent(e.train_accuracy)),
        "train_accuracy",
        lambda n: _epoch_value(n, lambda e: e.train_accuracy),
        keep=4,
    ),
    Column(
        "test acc.",
        lambda n: _epoch(n, lambda e: units.percent(e.test_accuracy)),
        "test_accuracy",
        lambda n: _epoch_value(n, lambda e: e.test_accuracy),
        keep=8,
    ),
    Column("params", lambda n: units.count(n.parameters), "parameters", lambda n: n.parameters, keep=5),
    Column(
        "stem/ head",
        lambda n: facts.ratio_text(_flow_value(n, lambda f: f.stem_over_head), 2),
        "stem_over_head_initial",
        lambda n: _flow_value(n, lambda f: f.stem_over_head),
        keep=7,
    ),
    Column(
        "gain/ layer",
        lambda n: facts.ratio_text(_flow_value(n, facts.mean_gain)),
        "energy_gain_per_layer_initial",
        lambda n: _flow_value(n, facts.mean_gain),
        keep=3,
    ),
    Column(
        "eff. depth",
        lambda n: effective_depth_text(facts.initial(n)),
        "effective_depth_initial",
        lambda n: _flow_value(n, lambda f: f.effective_depth),
        keep=6,
    ),
    Column("norm", lambda n: n.norm or "-", "norm", keep=2, left=True, minor=True),
    Column("init", lambda n: "-" if n.spec is None else n.spec.init, "init", keep=1, left=True, minor=True),
    Column("note", note, "note", keep=0, left=True),
)
NET_CAPTION = (
    "train: means over the last epoch, as the images were seen. stem/head: ratio of the gradient norms at the outputs "
    f"of the first and last weighted layer; below {units.number(facts.VANISHED)} we say that the gradient vanishes, "
    f"above {facts.EXPLODED:.0f} that it explodes. gain/layer: factor of gradient energy per layer, going backward "
    "(mean over the resolutions). eff. depth: branches that the gradient at the stem passed, on average; 'cancels' "
    "where paths of opposite sign leave no average. These three at initialisation, on one batch."
)


def log10_text(value: float | None, digits: int = 3) -> str:
    """A norm that is kept as log10: a number even where it is far below the smallest float, 'exactly 0', '-'."""
    if value is None:
        return "-"
    if value == float("-inf"):
        return "exactly 0"
    return "not finite" if value != value else units.number(10.0**value, digits) if value > -300 else f"1e{value:.0f}"


def layer_text(layer: Layer) -> str:
    """'blocks.3.fc'; 'cell (call 2)' where it is not the first call of the module."""
    return facts.printable(layer.scope) + f" (call {layer.call})" * bool(layer.call)


LAYER_COLUMNS: tuple[Column[Layer], ...] = (
    Column("layer", layer_text, "layer", left=True),
    Column("module", lambda x: facts.printable(x.module), "module", keep=3, left=True),
    Column("output", lambda x: "×".join(map(str, x.shape)), "shape", keep=2, left=True),
    Column("gradient norm", lambda x: log10_text(x.log10_gradient_norm), "log10_gradient_norm",
           lambda x: x.log10_gradient_norm),
    Column("gradient RMS", lambda x: log10_text(x.log10_gradient_rms), "log10_gradient_rms",
           lambda x: x.log10_gradient_rms, keep=8),
    Column("activation RMS", lambda x: log10_text(x.log10_activation_rms), "log10_activation_rms",
           lambda x: x.log10_activation_rms, keep=4),
    Column("weight gradient", lambda x: log10_text(x.log10_parameter_gradient_norm), "log10_parameter_gradient_norm",
           lambda x: x.log10_parameter_gradient_norm, keep=5),
)  # fmt: skip


def share_text(fork: Fork) -> str:
    """A fork's skip share; 'cancelled' where its edges cancel and the share divides by almost nothing."""
    if fork.cancellation is not None and fork.cancellation > facts.CANCELLED:
        return "cancelled"
    return facts.percent_text(fork.skip_share)


FORK_COLUMNS: tuple[Column[Fork], ...] = (
    Column("fork", lambda f: facts.printable(f.name), "fork", left=True),
    Column("meets in", lambda f: f.merge, "merge", keep=3, left=True),
    Column("skip share", share_text, "skip_share", lambda f: f.skip_share),
    Column("cancel- lation", lambda f: facts.percent_text(f.cancellation), "cancellation", lambda f: f.cancellation),
    Column("gradient norm", lambda f: log10_text(f.log10_norm), "log10_norm", lambda f: f.log10_norm, keep=4),
)
EPOCH_COLUMNS: tuple[Column[tuple[int, Epoch]], ...] = (
    Column("epoch", lambda e: str(e[0]), "epoch"),
    Column("train loss", lambda e: facts.loss_text(e[1].train_loss, 3), "train_loss_nats"),
    Column("train acc.", lambda e: units.percent(e[1].train_accuracy), "train_accuracy"),
    Column("valid. acc.", lambda e: units.percent(e[1].validation_accuracy), "validation_accuracy"),
    Column("test acc.", lambda e: units.percent(e[1].test_accuracy), "test_accuracy"),
    Column("time", lambda e: units.seconds(e[1].seconds), "seconds"),
)
