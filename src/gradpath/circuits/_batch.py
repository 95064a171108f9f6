"""A forward signal that vanishes, and the same with normalisation: two units, a ReLU, a batch of four.

Two units, because normalisation makes a chain of one unit blind to the size of its weight; a batch of four, because
two normalised values are always −1 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from gradpath.circuits._engine import Circuit, Part, Walk
from gradpath.circuits._entry import Chosen, Entry, Finding, Option, gate, leaf
from gradpath.circuits._words import Text, counted, listed, show

UNITS = ("a", "b")
_BATCH = {"a": (-0.5, 0.5, -2.0, 2.0), "b": (-1.5, 1.0, -1.0, -0.5)}
_WEIGHTS = {"aa": 0.2, "ab": 0.1, "ba": 0.1, "bb": 0.2}  # 'ab': to unit a, from unit b
_SAMPLES = range(1, 5)
_VANISHED = 0.1  # of the first signal: below it the last one is called gone


def _lane(unit: str, sample: int) -> int:
    return UNITS.index(unit) * len(_SAMPLES) + sample - 1


def _each(stem: str, unit: str) -> list[str]:
    """The names of one unit's values over the batch: 'a1.1', 'a1.2' …"""
    return [f"{stem.format(unit)}.{sample}" for sample in _SAMPLES]


def _inputs() -> list[Part]:
    return [
        leaf(name, "input", value, column=0, lane=_lane(unit, sample))
        for unit in UNITS
        for sample, name, value in zip(_SAMPLES, _each("{}0", unit), _BATCH[unit], strict=True)
    ]


def _weights(step: int, column: int) -> list[Part]:
    first_lane = len(UNITS) * len(_SAMPLES)
    return [
        leaf(f"w{step}{pair}", "weight", value, column=column, lane=first_lane + i)
        for i, (pair, value) in enumerate(_WEIGHTS.items())
    ]


def _layer(step: int, column: int, normalised: bool) -> list[Part]:
    """Weighted sum, ReLU and, if asked, normalisation of each unit over the batch."""
    parts: list[Part] = []
    rectified = "r{}" if normalised else "{}"
    for unit in UNITS:
        for sample in _SAMPLES:
            lane = _lane(unit, sample)
            before = [f"{source}{step - 1}.{sample}" for source in UNITS]
            weights = [f"w{step}{unit}{source}" for source in UNITS]
            name = f"z{unit}{step}.{sample}"
            parts.append(gate(name, "dot", *before, *weights, column=column, lane=lane))
            after = f"{rectified.format(unit)}{step}.{sample}"
            parts.append(gate(after, "relu", name, column=column + 1, lane=lane))
    return parts + (_norms(step, column + 2) if normalised else [])


def _norms(step: int, column: int) -> list[Part]:
    return [
        gate(
            f"{unit}{step}.{sample}",
            "normalise",
            *_each(f"r{{}}{step}", unit),
            column=column,
            lane=_lane(unit, sample),
            index=sample - 1,
        )
        for unit in UNITS
        for sample in _SAMPLES
    ]


def _build(name: str, steps: int, normalised: bool) -> Circuit:
    parts, column = _inputs(), 1
    for step in range(1, steps + 1):
        parts += _weights(step, column - 1) + _layer(step, column, normalised)
        column += 3 if normalised else 2
    products = [f"m.{sample}" for sample in _SAMPLES]
    for sample, product in zip(_SAMPLES, products, strict=True):
        both = [f"{unit}{steps}.{sample}" for unit in UNITS]
        parts.append(gate(product, "multiply", *both, column=column, lane=_lane("a", sample)))
    parts.append(gate("L", "mean", *products, column=column + 1))
    return Circuit(name, tuple(parts), "L")


def _signal(walk: Walk, step: int) -> float:
    """Root mean square of a step's values over units and batch."""
    values = [walk.values[name] for unit in UNITS for name in _each(f"{{}}{step}", unit)]
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


def _weight_gradient(walk: Walk, step: int) -> float:
    """Root sum of squares of the gradients of a step's weights."""
    return math.hypot(*(walk.gradients[f"w{step}{pair}"] for pair in _WEIGHTS))


def _arriving(walk: Walk, step: int) -> float:
    """Root mean square of the gradients that arrive at a step's weighted sums."""
    gradients = [walk.gradients[name] for unit in UNITS for name in _each(f"z{{}}{step}", unit)]
    return math.hypot(*gradients) / math.sqrt(len(gradients))


def _see(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    steps: int = chosen["steps"]
    yield _SIGNAL, {"sizes": " → ".join(show(_signal(walk, step)) for step in range(steps + 1))}
    yield _GRADIENTS, {"sizes": listed(walk.language, (show(_weight_gradient(walk, s)) for s in range(1, steps + 1)))}


def _see_vanishing(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    yield from _see(walk, chosen)
    steps: int = chosen["steps"]
    signals = [_signal(walk, step) for step in range(steps + 1)]
    yield (
        _FACTORS,
        {
            "inputs": listed(walk.language, map(show, signals[:-1])),
            "arriving": listed(walk.language, (show(_arriving(walk, step)) for step in range(1, steps + 1))),
        },
    )
    falls = all(after < before for before, after in pairwise(signals))
    text = _GONE if falls and signals[-1] < _VANISHED * signals[0] else _OTHERWISE
    numbers = {"first": show(signals[0]), "last": show(signals[-1])}
    yield text, {"steps": counted(walk.language, steps, "step"), **numbers}


def _see_normalised(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    yield from _see(walk, chosen)
    other = Walk(_build("vanishing-forward", chosen["steps"], normalised=False), walk.overrides)
    for _ in other.steps():
        pass
    yield (
        _BESIDE,
        {
            "with": show(_signal(walk, chosen["steps"])),
            "without": show(_signal(other, chosen["steps"])),
            "gradient_with": show(_weight_gradient(walk, 1)),
            "gradient_without": show(_weight_gradient(other, 1)),
        },
    )
    yield _DIRECTION, {}


_SIGNAL = Text(
    "The size of the signal (root mean square over units and batch), step by step: {sizes}.",
    "信号的大小（对各单元和整批取均方根），逐步为：{sizes}。",
)
_GRADIENTS = Text(
    "The gradient of each step's four weights (root of the sum of squares), from the first step to the last: {sizes}.",
    "各步四个权重的梯度（平方和开方），从第一步到最后一步：{sizes}。",
)
_FACTORS = Text(
    "A weight's gradient is made of what arrives at its gate times its input. Size of the inputs (root mean square), "
    "from the first step to the last: {inputs}. Size of what arrives: {arriving}.",
    "权重的梯度由到达该门的梯度乘以它的输入而来。输入的大小（均方根），从第一步到最后一步：{inputs}。"
    "到达的梯度的大小：{arriving}。",
)
_GONE = Text(
    "After {steps} the signal is down from {first} to {last}, and the gradients suffer twice. The later weights have "
    "small inputs. The first weights have inputs of full size, but little arrives there: L multiplies the two outputs, "
    "so each is handed the small value of the other, and the small weights on the way back shrink it again. "
    "Compare normalised-forward.",
    "{steps} 步之后信号从 {first} 降到 {last}，梯度因此受两次损失。靠后的权重输入很小；"
    "第一步的权重输入虽然完整，到达的梯度却很少：L 把两个输出相乘，每个输出得到的是另一个输出的小数值，"
    "往回传时又被很小的权重缩小。请与 normalised-forward 对比。",
)
_OTHERWISE = Text(
    "The signal begins at {first}; after {steps} it is {last}. Compare normalised-forward.",
    "信号开始时是 {first}，{steps} 步之后是 {last}。请与 normalised-forward 对比。",
)
_BESIDE = Text(
    "The last signal is {with} with normalisation and {without} without; the gradient of the first weights is "
    "{gradient_with} with and {gradient_without} without.",
    "最后的信号：有归一化时 {with}，没有时 {without}；"
    "第一步权重的梯度：有归一化时 {gradient_with}，没有时 {gradient_without}。",
)
_DIRECTION = Text(
    "Make the two weights into a unit ten times as large and almost nothing changes: normalisation divides their "
    "size out again. What the gradient still tells them is how to share out between the two inputs.",
    "把进入同一单元的两个权重都放大十倍，结果几乎不变：归一化又把大小除掉了。梯度仍能告诉它们的，是如何在两个输入之间分配。",
)

VANISHING = Entry(
    "vanishing-forward",
    Text("A forward signal that vanishes", "前向传播中消失的信号"),
    Text(
        "Two units, a ReLU, a batch of four (lanes a and b, samples 1 to 4). With small weights each step hands on "
        "a smaller signal. L, the mean of a × b over the batch, says how alike the two units answer.",
        "两个单元、ReLU、一批四个样本（通道 a 与 b，样本 1 到 4）。权重很小时，每一步传下去的信号都更小。"
        "L 是 a × b 在这一批上的平均，表示两个单元的回答有多相似。",
    ),
    lambda chosen: _build("vanishing-forward", chosen["steps"], normalised=False),
    _see_vanishing,
    (Option("steps", 3, 1, 4),),
)
NORMALISED = Entry(
    "normalised-forward",
    Text("The same, normalised after each step", "同样的网络，每一步之后归一化"),
    Text(
        "After each ReLU every unit is normalised over the batch of four. Why two units and not a simple chain? In a "
        "chain one unit wide normalisation divides the size of the weight out again, and every weight gradient would "
        "be 0; why four values? Two normalised values are always −1 and 1.",
        "每个 ReLU 之后，对每个单元在四个样本上做归一化。为什么要两个单元，而不是一条简单的链？"
        "在只有一个单元宽的链中，归一化会把权重的大小除掉，所有权重的梯度都会是 0。"
        "为什么要四个值？两个值归一化后总是 −1 和 1。",
    ),
    lambda chosen: _build("normalised-forward", chosen["steps"], normalised=True),
    _see_normalised,
    (Option("steps", 3, 1, 4),),
)
