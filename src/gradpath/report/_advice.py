"""What to try next, chosen by what was seen: commands that exist, and that repeat the user's run but for one thing."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from gradpath import units
from gradpath.record import Comparison, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._finding import Finding
from gradpath.report._say import say
from gradpath.report._verdict import findings

MOST_STEPS = 5
"""More than this is a manual, not advice."""
LONGER_MINUTES = 20.0
"""At least this long for a run that showed too little."""
SHIPPED = "fashion-mini"
"""The images that a command without --data takes."""
_DEFAULTS = {False: (56, 5.0), True: (32, 1.0)}
"""Is it a quick run? → depth and minutes that `gradpath compare` takes when none are given."""


def next_steps(comparison: Comparison) -> tuple[str, ...]:
    """Shell lines, most useful first: a command, and after '#' what it would show."""
    seen = findings(comparison)
    lines = [write(comparison) for applies, write in _ADVICE if applies(comparison, seen)]
    return tuple(dict.fromkeys(line for line in lines if line))[:MOST_STEPS]


def is_quick(comparison: Comparison) -> bool:
    """Trained with --quick: no shallow net, none in He's initialisation without norm, no dense one.

    An interrupted run may only not have come to them: then its depth or its minutes tell.
    """
    if any(net.family == "dense" or (net.norm, facts.spec_of(net).init) == ("none", "he") for net in comparison.nets):
        return False
    if len({net.depth for net in comparison.nets if net.norm == "batch"}) > 1:
        return False
    if not comparison.interrupted:
        return bool(comparison.nets)
    return comparison.minutes == _DEFAULTS[True][1] or _depth(comparison) == _DEFAULTS[True][0]


def again(comparison: Comparison, **changes: object) -> str:
    """The command that repeats this comparison, with some of its options changed; None leaves one out."""
    quick = is_quick(comparison)
    depth, minutes = _DEFAULTS[quick]
    own = _depth(comparison)
    options: dict[str, object] = {
        "data": None if comparison.data.name == SHIPPED else facts.printable(comparison.data.name),
        "quick": quick or None,
        "depth": None if own in (depth, None) else own,
        "epochs": max((net.recipe.epochs for net in comparison.nets), default=1)
        if comparison.minutes is None
        else None,
        "minutes": None if comparison.minutes in (minutes, None) else units.number(comparison.minutes),
        "seed": comparison.seed or None,
    } | changes
    words = ["gradpath compare"]
    for name, value in options.items():
        if value is not None:
            words.append(f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}")
    return " ".join(words)


def _depth(comparison: Comparison) -> int | None:
    return max((net.depth for net in comparison.nets if net.family != "dense"), default=None)


def _saw(*rules: str) -> Callable[[Comparison, tuple[Finding, ...]], bool]:
    return lambda _, seen: any(finding.rule.startswith(rules) for finding in seen)


def _diverged(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    return any(facts.diverged(net) and net.norm == "batch" for net in comparison.nets)


def _everything_diverged(comparison: Comparison, _: tuple[Finding, ...]) -> bool:
    return facts.everything_diverged(comparison)


def _too_short(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    """Few epochs, or nothing clear yet: more depth or another seed would show as little."""
    if comparison.interrupted or facts.everything_diverged(comparison):
        return False
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    return epochs <= facts.FEW_EPOCHS or _saw(*_UNCLEAR)(comparison, seen)


def _incomplete(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    """A quick run: some of the nets that the whole story needs were not trained."""
    return is_quick(comparison) and not comparison.interrupted and not facts.everything_diverged(comparison)


def _deep_enough(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    if _too_short(comparison, seen) and not _saw("twins: no clear")(comparison, seen):
        return False
    return _saw("degradation: not seen", "degradation: seen", "twins: residual better", "twins: no clear")(
        comparison, seen
    )


def _other_data(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    return facts.everything_diverged(comparison) and comparison.data.name != SHIPPED


def _same_again(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    return not facts.everything_diverged(comparison)


def _always(comparison: Comparison, seen: tuple[Finding, ...]) -> bool:
    return True


def _shorter(comparison: Comparison) -> str:
    if not is_quick(comparison):
        command = again(comparison, quick=True, depth=None, epochs=None, minutes=None)
        return f"{command}  # {say('three nets: it finishes', '三个网络：能做完')}"
    command = again(comparison, epochs=1, minutes=None)
    return f"{command}  # {say('one epoch of each net: it finishes', '每个网络一轮：能做完')}"


def _longer(comparison: Comparison) -> str:
    stays = say("does the difference stay, does one become clear?", "差别会持续吗，会变得明显吗？")
    if comparison.minutes is None:
        epochs = 2 * max((net.recipe.epochs for net in comparison.nets), default=1)
        return f"{again(comparison, epochs=epochs)}  # {say('twice as long: ', '时长加倍：')}{stays}"
    minutes = max(2 * comparison.minutes, LONGER_MINUTES)
    return f"{again(comparison, minutes=units.number(minutes))}  # {say('longer: ', '更久：')}{stays}"


def _whole(comparison: Comparison) -> str:
    own = again(comparison, quick=None, minutes=None, depth=None)
    why = say(
        "all nets: also a shallow one, He's initialisation, a dense one", "全部网络：还有浅的、He 初始化的、密集的"
    )
    return f"{own}  # {why}"


def _deeper(comparison: Comparison) -> str:
    depth = _depth(comparison) or 56
    deeper = 2 * (depth - 2) + 2  # 6n + 2 stays 6n + 2
    why = say(
        f"{deeper} layers: the plain net should suffer, not the residual",
        f"{deeper} 层：普通网络应当受损，残差网络不应",
    )
    return f"{again(comparison, depth=deeper)}  # {why}"


def _lower_rate(comparison: Comparison) -> str:
    """`gradpath train` of the first net that diverged and has a name of its own, at a tenth of the learning rate."""
    net = next((n for n in comparison.nets if facts.diverged(n) and n.norm == "batch" and n.family != "dense"), None)
    if net is None:
        return ""
    rate = units.number(net.recipe.learning_rate / 10)
    data = "" if comparison.data.name == SHIPPED else f" --data {shlex.quote(facts.printable(comparison.data.name))}"
    why = say("a tenth of the learning rate: does it learn?", "十分之一的学习率：它能学会吗？")
    return f"gradpath train {_name(net)}{data} --learning-rate {rate}  # {why}"


def _name(net: RunRecord) -> str:
    return f"{'plain' if net.family == 'plain' else 'resnet'}-{net.depth}"


def _shipped(comparison: Comparison) -> str:
    why = say("the shipped images: if they train, look at your data", "自带的图像：如果能训练，就检查你的数据")
    return f"{again(comparison, data=None)}  # {why}"


def _other_seed(comparison: Comparison) -> str:
    return (
        f"{again(comparison, seed=comparison.seed + 1)}  # {say('another seed: does it hold?', '换个种子：还成立吗？')}"
    )


def _explain(comparison: Comparison) -> str:
    why = say("the same in four numbers: why a skip keeps the gradient alive", "四个数字说明：跳跃连接为何使梯度存活")
    return f"gradpath explain residual  # {why}"


_UNCLEAR = ("nothing", "twins: no clear", "twins: neither", "twins: residual fails", "twins: too short",
            "degradation: neither", "degradation: too short", "degradation: begins")  # fmt: skip
_ADVICE: tuple[tuple[Callable[[Comparison, tuple[Finding, ...]], bool], Callable[[Comparison], str]], ...] = (
    (_saw("interrupted"), _shorter),
    (_everything_diverged, _lower_rate),
    (_other_data, _shipped),
    (_too_short, _longer),
    (_incomplete, _whole),
    (_deep_enough, _deeper),
    (_diverged, _lower_rate),
    (_same_again, _other_seed),
    (_always, _explain),
)
"""(when it applies, what to say), most useful first."""
