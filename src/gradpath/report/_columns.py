"""The columns of the tables: one list for comparisons, one for layers, one for forks; text, HTML and CSV share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gradpath import units
from gradpath.record import Epoch, Flow, Fork, Layer, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._say import say

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
    zh: str = ""
    """The head in Chinese; '' where it is the same."""

    @property
    def title(self) -> str:
        """The head in the language of the block."""
        return say(self.head, self.zh or self.head)


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
        done = facts.epochs_text(len(net.epochs))
        parts.append(say(f"stopped after {done}", f"{done}后停止"))
    elif facts.outcome(net) == "not learned":
        parts.append(say("did not learn", "没有学到东西"))
    if len(net.trials) > 1:
        parts.append(facts.learning_rate_text(net))
    return say("; ", "；").join(parts)


def effective_depth_text(flow: Flow | None) -> str:
    """'8.37'; 'cancels' where the average means nothing; '-' where there is none."""
    if flow is None or flow.effective_depth is None:
        return "-"
    depth = facts.effective_depth(flow)
    return say("cancels", "抵消") if depth is None else units.number(depth, 3)


NET_COLUMNS: tuple[Column[RunRecord], ...] = (
    Column("net", lambda n: facts.label(n), "net", left=True, zh="网络"),
    Column(
        "train loss",
        lambda n: say("diverged", "发散") if facts.diverged(n) else _epoch(n, lambda e: facts.loss_text(e.train_loss)),
        "train_loss_nats",
        lambda n: _epoch_value(n, lambda e: e.train_loss),
        zh="训练 损失",
    ),
    Column(
        "train acc.",
        lambda n: _epoch(n, lambda e: units.percent(e.train_accuracy)),
        "train_accuracy",
        lambda n: _epoch_value(n, lambda e: e.train_accuracy),
        keep=4,
        zh="训练 准确率",
    ),
    Column(
        "test acc.",
        lambda n: _epoch(n, lambda e: units.percent(e.test_accuracy)),
        "test_accuracy",
        lambda n: _epoch_value(n, lambda e: e.test_accuracy),
        keep=8,
        zh="测试 准确率",
    ),
    Column("params", lambda n: units.count(n.parameters), "parameters", lambda n: n.parameters, keep=5, zh="参数"),
    Column(
        "stem/ head",
        lambda n: facts.ratio_text(_flow_value(n, lambda f: f.stem_over_head), 2),
        "stem_over_head_initial",
        lambda n: _flow_value(n, lambda f: f.stem_over_head),
        keep=7,
        zh="首尾 之比",
    ),
    Column(
        "gain/ layer",
        lambda n: facts.ratio_text(_flow_value(n, facts.mean_gain)),
        "energy_gain_per_layer_initial",
        lambda n: _flow_value(n, facts.mean_gain),
        keep=3,
        zh="每层 增益",
    ),
    Column(
        "eff. depth",
        lambda n: effective_depth_text(facts.initial(n)),
        "effective_depth_initial",
        lambda n: _flow_value(n, lambda f: f.effective_depth),
        keep=6,
        zh="有效 深度",
    ),
    Column("norm", lambda n: n.norm or "-", "norm", keep=2, left=True, minor=True, zh="归一化"),
    Column(
        "init", lambda n: "-" if n.spec is None else n.spec.init, "init", keep=1, left=True, minor=True, zh="初始化"
    ),
    Column("note", note, "note", keep=0, left=True, zh="备注"),
)


def net_caption() -> str:
    """What stands below a table of nets."""
    return say(_CAPTION, _CAPTION_ZH)


_CAPTION = (
    "train: means over the last epoch, as the images were seen. stem/head: ratio of the gradient norms at the outputs "
    f"of the first and last weighted layer; below {units.number(facts.VANISHED)} we say that the gradient vanishes, "
    f"above {facts.EXPLODED:.0f} that it explodes. gain/layer: factor of gradient energy per layer, going backward "
    "(mean over the resolutions). eff. depth: branches that the gradient at the stem passed, on average; 'cancels' "
    "where paths of opposite sign leave no average. These three at initialisation, on one batch."
)
_CAPTION_ZH = (
    "训练：最后一轮的平均值，按图像出现时计算。首尾之比：第一个与最后一个加权层输出处梯度范数之比；低于 "
    f"{units.number(facts.VANISHED)} 称为梯度消失，高于 {facts.EXPLODED:.0f} 称为梯度爆炸。每层增益：往回每经过一层，"
    "梯度能量的倍数（对各分辨率取平均）。有效深度：首层的梯度平均经过的分支数；符号相反的路径使平均失去意义时写“抵消”。"
    "这三项都在初始化时、对一个批次测得。"
)


def log10_text(value: float | None, digits: int = 3) -> str:
    """A norm that is kept as log10: a number even where it is far below the smallest float, 'exactly 0', '-'."""
    if value is None:
        return "-"
    if value == float("-inf"):
        return say("exactly 0", "恰为 0")
    return (
        say("not finite", "非有限")
        if value != value
        else units.number(10.0**value, digits)
        if value > -300
        else f"1e{value:.0f}"
    )


def layer_text(layer: Layer) -> str:
    """'blocks.3.fc'; 'cell (call 2)' where it is not the first call of the module."""
    again = say(f" (call {layer.call})", f"（第 {layer.call} 次调用）") if layer.call else ""
    return facts.printable(layer.scope) + again


LAYER_COLUMNS: tuple[Column[Layer], ...] = (
    Column("layer", layer_text, "layer", left=True, zh="层"),
    Column("module", lambda x: facts.printable(x.module), "module", keep=3, left=True, zh="模块"),
    Column("output", lambda x: "×".join(map(str, x.shape)), "shape", keep=2, left=True, zh="输出"),
    Column("gradient norm", lambda x: log10_text(x.log10_gradient_norm), "log10_gradient_norm",
           lambda x: x.log10_gradient_norm, zh="梯度 范数"),
    Column("gradient RMS", lambda x: log10_text(x.log10_gradient_rms), "log10_gradient_rms",
           lambda x: x.log10_gradient_rms, keep=8, zh="梯度 均方根"),
    Column("activation RMS", lambda x: log10_text(x.log10_activation_rms), "log10_activation_rms",
           lambda x: x.log10_activation_rms, keep=4, zh="激活 均方根"),
    Column("weight gradient", lambda x: log10_text(x.log10_parameter_gradient_norm), "log10_parameter_gradient_norm",
           lambda x: x.log10_parameter_gradient_norm, keep=5, zh="权重 梯度"),
)  # fmt: skip


def share_text(fork: Fork) -> str:
    """A fork's skip share; 'cancelled' where its edges cancel and the share divides by almost nothing."""
    if fork.cancellation is not None and fork.cancellation > facts.CANCELLED:
        return say("cancelled", "抵消")
    return facts.percent_text(fork.skip_share)


FORK_COLUMNS: tuple[Column[Fork], ...] = (
    Column("fork", lambda f: facts.printable(f.name), "fork", left=True, zh="分叉"),
    Column("meets in", lambda f: f.merge, "merge", keep=3, left=True, zh="汇合于"),
    Column("skip share", share_text, "skip_share", lambda f: f.skip_share, zh="跳跃 占比"),
    Column(
        "cancel- lation",
        lambda f: facts.percent_text(f.cancellation),
        "cancellation",
        lambda f: f.cancellation,
        zh="抵消 程度",
    ),
    Column(
        "gradient norm",
        lambda f: log10_text(f.log10_norm),
        "log10_norm",
        lambda f: f.log10_norm,
        keep=4,
        zh="梯度 范数",
    ),
)
EPOCH_COLUMNS: tuple[Column[tuple[int, Epoch]], ...] = (
    Column("epoch", lambda e: str(e[0]), "epoch", zh="轮"),
    Column("train loss", lambda e: facts.loss_text(e[1].train_loss, 3), "train_loss_nats", zh="训练 损失"),
    Column("train acc.", lambda e: units.percent(e[1].train_accuracy), "train_accuracy", zh="训练 准确率"),
    Column("valid. acc.", lambda e: units.percent(e[1].validation_accuracy), "validation_accuracy", zh="验证 准确率"),
    Column("test acc.", lambda e: units.percent(e[1].test_accuracy), "test_accuracy", zh="测试 准确率"),
    Column("time", lambda e: units.seconds(e[1].seconds), "seconds", zh="用时"),
)
