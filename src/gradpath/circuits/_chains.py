"""Blocks in a row: one product against a sum over 2ⁿ paths; and the same as a truck with a queue of customers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradpath.circuits._blocks import ARTICLE_W, ARTICLE_WEIGHTS
from gradpath.circuits._engine import Circuit, Walk
from gradpath.circuits._entry import Chosen, Entry, Finding, Option, gate, leaf, weight
from gradpath.circuits._products import product, underflow
from gradpath.circuits._words import Language, Text, counted, each, show

_MOST_BLOCKS = 10_000
_COUNT_WRITTEN_OUT = 20  # 2^20 = 1048576 is still a number to read


def _blocks(name: str, factors: Sequence[tuple[str, float]], skips: bool) -> Circuit:
    """x → × F1 (→ + skip) → × F2 …; the product of block i is p{i}, its sum with the skip h{i}."""
    parts = [leaf("x", "input", 1.0, column=0)]
    before, column = "x", 0
    for i, (factor, value) in enumerate(factors, 1):
        column += 1
        parts += [weight(factor, value, column), gate(f"p{i}", "multiply", before, factor, column=column)]
        if skips:
            column += 1
            parts.append(gate(f"h{i}", "add", f"p{i}", before, column=column))
        before = f"h{i}" if skips else f"p{i}"
    return Circuit(name, tuple(parts), before)


def _chain(name: str, chosen: Chosen, skips: bool) -> Circuit:
    try:
        factor = chosen["w"] ** len(ARTICLE_WEIGHTS)
    except OverflowError:
        factor = math.inf  # the engine says that F1 must be finite
    return _blocks(name, [(f"F{i}", factor) for i in range(1, chosen["blocks"] + 1)], skips)


def _factors(walk: Walk) -> list[float]:
    return [walk.values[part.name] for part in walk.circuit.parts if part.gate == "weight"]


def _skipped(factors: Sequence[float]) -> list[float]:
    """The same factors with a skip around each."""
    return [1 + factor for factor in factors]


def _over_paths(factors: Sequence[float], longest: int) -> list[float]:
    """[Σ over all paths through k blocks of the product of their factors, for k = 0 … longest]."""
    sums = [1.0] + [0.0] * longest
    for factor in factors:
        for k in range(longest, 0, -1):
            sums[k] += factor * sums[k - 1]
    return sums


def _paths(blocks: int, language: Language) -> str:
    written_out = f" = {2**blocks}" if blocks <= _COUNT_WRITTEN_OUT else ""
    return f"2^{blocks}{written_out}{' paths' if language == 'en' else ''}"


def _see_plain_chain(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    factors = _factors(walk)
    gradient = show(walk.gradients["x"])
    blocks = counted(walk.language, len(factors), "block")
    yield _CHAIN_PRODUCT, {"blocks": blocks, "first": show(factors[0]), "gradient": gradient}
    yield from underflow(factors)
    yield _CHAIN_OTHER, {"sum": product(_skipped(factors)), "gradient": gradient}


def _see_residual_chain(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    factors = _factors(walk)
    count = len(factors)
    blocks = counted(walk.language, count, "block")
    yield _PATHS_COUNT, {"paths": _paths(count, walk.language), "blocks": blocks}
    for k, together in enumerate(_over_paths(factors, min(2, count))):
        paths = counted(walk.language, math.comb(count, k), "path")
        yield _PATHS_LENGTH, {"k": str(k), "blocks": blocks, "paths": paths, "together": show(together)}
    yield _PATHS_ALL, {"sum": show(walk.gradients["x"])}
    yield from underflow(_skipped(factors))
    yield _PATHS_LONGEST, {"product": product(factors)}
    yield from underflow(factors)


_CHAIN_PRODUCT = Text(
    "One path, one product: after {blocks} (the first multiplies by {first}) {gradient} is left for x.",
    "只有一条路径，一个乘积：{blocks} 个块（第一个块乘以 {first}）之后，x 只得到 {gradient}。",
)
_CHAIN_OTHER = Text(
    "With a skip around each block (residual-chain) the same blocks would leave {sum} instead of {gradient}.",
    "如果每个块都有跳跃连接（residual-chain），同样的块会留下 {sum}，而不是 {gradient}。",
)
_PATHS_COUNT = Text(
    "Every block can be passed or skipped. With {blocks} that makes {paths}; what reaches x is the sum over them.",
    "每个块都可以穿过或跳过。{blocks} 个块共有 {paths} 条路径，到达 x 的梯度是所有路径之和。",
)
_PATHS_LENGTH = Text(
    "{paths} through {k} of {blocks}: {together} in all.",
    "穿过 {blocks} 个块中 {k} 个的路径：{paths} 条，合计传回 {together}。",
)
_PATHS_ALL = Text(
    "All paths together: (1 + F1) × (1 + F2) × … = {sum}.",
    "所有路径合计：(1 + F1) × (1 + F2) × … = {sum}。",
)
_PATHS_LONGEST = Text(
    "Without the skips only the longest path is left: {product}.",
    "没有跳跃连接时只剩最长的一条路径：{product}。",
)
_CHAIN_OPTIONS = (Option("blocks", 5, 1, _MOST_BLOCKS), Option("w", ARTICLE_W))

PLAIN_CHAIN = Entry(
    "plain-chain",
    Text("Plain blocks in a row: one long product", "普通块串联：一个长乘积"),
    Text(
        "Each block is drawn as one gate: four weights w multiply by F = w × w × w × w, 0.0001 in the article.",
        "每个块画成一个门：四个权重 w 相当于乘以 F = w × w × w × w，文章中是 0.0001。",
    ),
    lambda chosen: _chain("plain-chain", chosen, skips=False),
    _see_plain_chain,
    _CHAIN_OPTIONS,
)
RESIDUAL_CHAIN = Entry(
    "residual-chain",
    Text("Residual blocks in a row: a sum over many paths", "残差块串联：许多路径之和"),
    Text(
        "The same blocks, each one with a skip around it: h = F × h + h. Every add gate doubles the number of paths.",
        "同样的块，每个都加上跳跃连接：h = F × h + h。每个加法门都让路径数翻倍。",
    ),
    lambda chosen: _chain("residual-chain", chosen, skips=True),
    _see_residual_chain,
    _CHAIN_OPTIONS,
)


def _build_truck(chosen: Chosen) -> Circuit:
    customers = [(f"c{i}", ARTICLE_W) for i in range(1, chosen["customers"] + 1)]
    return _blocks("truck", customers, skips=chosen["lane"] == "express")


def _see_truck(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    factors = _factors(walk)
    last = len(factors)
    for i in range(last, 0, -1):
        behind_the_truck = factors[i:]  # the customers served before this one
        yield (
            _TRUCK_CUSTOMER,
            {
                "customer": f"c{i}",
                "without": product(behind_the_truck),
                "express": product(_skipped(behind_the_truck)),
            },
        )
    yield _TRUCK_END, {"without": product(factors), "express": product(_skipped(factors))}
    if last > 1:
        yield _weights_get(walk, factors)
    delivered = math.fsum(math.prod(_skipped(factors[i:])) for i in range(1, last + 1))
    yield _TRUCK_COPIES, {"delivered": show(delivered)}
    yield _TRUCK_SCALES, {"factor": show(factors[-1])}


def _weights_get(walk: Walk, factors: Sequence[float]) -> Finding:
    """What the weights themselves get: dL/dc, the same for all where their values are the same."""
    without, express = (_gradients(walk, scales) for scales in (factors, _skipped(factors)))
    same = len(set(without.values())) == len(set(express.values())) == 1
    slots = {"without": each(without, walk.language), "express": each(express, walk.language)}
    return _TRUCK_SAME if same else _TRUCK_DIFFERENT, slots


def _gradients(walk: Walk, scales: Sequence[float]) -> dict[str, str]:
    """Customer → dL/dc: x times what all the other customers scale by, before and behind."""
    return {
        f"c{i}": show(walk.values["x"] * math.prod([*scales[: i - 1], *scales[i:]])) for i in range(1, len(scales) + 1)
    }


_TRUCK_CUSTOMER = Text(
    "What arrives at the gate of {customer}: {without} without the express lane, {express} with it.",
    "到达 {customer} 的门的梯度：没有快捷通道时 {without}，有快捷通道时 {express}。",
)
_TRUCK_SAME = Text(
    "Yet every weight's own gradient, dL/dc, is the same: {without} without the express lane, {express} with it. It is "
    "what arrives at the gate times the signal that enters there, and the signal, on its way from x to the end, "
    "changes by the very factors by which the gradient changes on its way back. What changes towards x is what "
    "arrives.",
    "然而每个权重自己的梯度 dL/dc 都相同：没有快捷通道时 {without}，有快捷通道时 {express}。"
    "它等于到达该门的梯度乘以进入该门的信号，而信号从 x 走到末端时改变的倍数，正是梯度往回走时改变的倍数。"
    "越往 x 变化的，是到达的梯度。",
)
_TRUCK_DIFFERENT = Text(
    "A weight's own gradient, dL/dc, is what arrives at the gate times the signal that enters there. Without the "
    "express lane: {without}. With it: {express}.",
    "权重自己的梯度 dL/dc 等于到达该门的梯度乘以进入该门的信号。没有快捷通道时：{without}。有快捷通道时：{express}。",
)
_TRUCK_END = Text(
    "At x, the end of the queue, {without} arrives without the express lane, {express} with it.",
    "队尾的 x：没有快捷通道时只到 {without}，有快捷通道时到 {express}。",
)
_TRUCK_COPIES = Text(
    "Where the picture breaks, first: goods are used up, gradients are not. An add gate copies: both roads get all of "
    "it. The truck set out with 1, and with the express lane the customers' gates get {delivered} between them.",
    "比喻失效之处一：货物会被取走，梯度不会。加法门是复制，两条路都得到全部。"
    "货车出发时只有 1，有快捷通道时到达各顾客的门的合计却是 {delivered}。",
)
_TRUCK_SCALES = Text(
    "Where it breaks, second: a customer takes nothing away. A multiply gate scales what goes on to the next one "
    "(the first customer by {factor}, without the express lane); a weight above 1 makes it more.",
    "比喻失效之处二：顾客并没有拿走什么。乘法门只是缩放继续往后送的量"
    "（没有快捷通道时，第一位顾客处乘以 {factor}）；权重大于 1 时反而变多。",
)

TRUCK = Entry(
    "truck",
    Text("The truck and the queue", "货车与排队的顾客"),
    Text(
        "The article's picture: gradients are goods on a truck that sets out from the loss with 1, on the right, and "
        "passes a queue of customers: the gates of the weights c1, c2 and so on. With weights below 1 little arrives "
        "at the back of the queue, near x, unless there is an express lane beside each customer: the skip.",
        "文章的比喻：梯度是货车上的货物，从右边的损失处带着 1 出发，依次经过排队的顾客，也就是权重 c1、c2……的门。"
        "权重小于 1 时，靠近 x 的队尾几乎什么也到不了，除非每位顾客旁边都有一条快捷通道：跳跃连接。",
    ),
    _build_truck,
    _see_truck,
    (Option("lane", "express", choices=("express", "none")), Option("customers", 4, 1, 20)),
)
