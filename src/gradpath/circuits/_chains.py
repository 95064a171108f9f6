"""Blocks in a row: one product against a sum over 2ⁿ paths; and the same as a truck with a queue of customers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradpath.circuits._blocks import ARTICLE_W, ARTICLE_WEIGHTS
from gradpath.circuits._entry import Chosen, Entry, Finding, Option, gate, leaf, weight
from gradpath.circuits._words import Text, show
from gradpath.circuits.engine import Circuit, Walk

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


def _with_skips(factors: Sequence[float]) -> float:
    return math.prod(1 + factor for factor in factors)


def _over_paths(factors: Sequence[float], longest: int) -> list[float]:
    """[Σ over all paths through k blocks of the product of their factors, for k = 0 … longest]."""
    sums = [1.0] + [0.0] * longest
    for factor in factors:
        for k in range(longest, 0, -1):
            sums[k] += factor * sums[k - 1]
    return sums


def _count(power: int) -> str:
    return f"2^{power} = {2**power}" if power <= _COUNT_WRITTEN_OUT else f"2^{power}"


def _see_plain_chain(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    factors = _factors(walk)
    gradient = walk.gradients["x"]
    yield _CHAIN_PRODUCT, {"blocks": str(len(factors)), "first": show(factors[0]), "gradient": show(gradient)}
    if gradient == 0 and all(factors):
        yield _CHAIN_UNDERFLOW, {"power": show(math.fsum(math.log10(abs(factor)) for factor in factors))}
    yield _CHAIN_OTHER, {"sum": show(_with_skips(factors)), "gradient": show(gradient)}


def _see_residual_chain(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    factors = _factors(walk)
    blocks = len(factors)
    yield _PATHS_COUNT, {"paths": _count(blocks), "blocks": str(blocks)}
    for k, together in enumerate(_over_paths(factors, min(2, blocks))):
        yield (
            _PATHS_LENGTH,
            {
                "k": str(k),
                "blocks": str(blocks),
                "paths": str(math.comb(blocks, k)),
                "together": show(together),
            },
        )
    yield _PATHS_ALL, {"sum": show(walk.gradients["x"]), "product": show(math.prod(factors))}


_CHAIN_PRODUCT = Text(
    "One path, one product: {blocks} blocks (the first multiplies by {first}) leave {gradient} for x.",
    "只有一条路径，一个乘积：{blocks} 个块（第一个块乘以 {first}）之后，x 只得到 {gradient}。",
)
_CHAIN_UNDERFLOW = Text(
    "That 0 is not exact: the true product is about 10^{power}, too small for a float64 number.",
    "这个 0 并不精确：真正的乘积约为 10^{power}，小到 float64 无法表示。",
)
_CHAIN_OTHER = Text(
    "With a skip around each block (residual-chain) the same blocks would leave {sum} instead of {gradient}.",
    "如果每个块都有跳跃连接（residual-chain），同样的块会留下 {sum}，而不是 {gradient}。",
)
_PATHS_COUNT = Text(
    "Each of the {blocks} blocks can be passed or skipped: {paths} paths, and what reaches x is the sum over them.",
    "{blocks} 个块中每一个都可以穿过或跳过：共有 {paths} 条路径，到达 x 的梯度是所有路径之和。",
)
_PATHS_LENGTH = Text(
    "Paths through {k} of the {blocks} blocks: {paths}. Together they carry {together}.",
    "穿过 {blocks} 个块中 {k} 个的路径：{paths} 条，合计传回 {together}。",
)
_PATHS_ALL = Text(
    "All paths together: (1 + F1) × (1 + F2) × … = {sum}. Without the skips only the longest path is left: {product}.",
    "所有路径合计：(1 + F1) × (1 + F2) × … = {sum}。没有跳跃连接时只剩最长的一条路径：{product}。",
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
                "without": show(math.prod(behind_the_truck)),
                "express": show(_with_skips(behind_the_truck)),
            },
        )
    yield _TRUCK_END, {"without": show(math.prod(factors)), "express": show(_with_skips(factors))}
    delivered = math.fsum(_with_skips(factors[i:]) for i in range(1, last + 1))
    yield _TRUCK_COPIES, {"delivered": show(delivered)}
    yield _TRUCK_SCALES, {"factor": show(factors[-1])}


_TRUCK_CUSTOMER = Text(
    "Customer {customer} is brought {without} without the express lane, {express} with it.",
    "顾客 {customer}：没有快捷通道时送到 {without}，有快捷通道时送到 {express}。",
)
_TRUCK_END = Text(
    "At x, the end of the queue, {without} arrives without the express lane, {express} with it.",
    "队尾的 x：没有快捷通道时只到 {without}，有快捷通道时到 {express}。",
)
_TRUCK_COPIES = Text(
    "Where the picture breaks, first: goods are used up, gradients are not. An add gate copies: both roads get all of "
    "it. The truck set out with 1, and with the express lane the customers are brought {delivered} between them.",
    "比喻失效之处一：货物会被取走，梯度不会。加法门是复制，两条路都得到全部。"
    "货车出发时只有 1，有快捷通道时送到各顾客手中的合计却是 {delivered}。",
)
_TRUCK_SCALES = Text(
    "Where it breaks, second: a customer takes nothing away. A multiply gate scales what goes on to the next one "
    "(the first customer by {factor}); a weight above 1 would make it more.",
    "比喻失效之处二：顾客并没有拿走什么。乘法门只是缩放继续往后送的量"
    "（第一位顾客处乘以 {factor}）；权重大于 1 时反而变多。",
)

TRUCK = Entry(
    "truck",
    Text("The truck and the queue", "货车与排队的顾客"),
    Text(
        "The article's picture: gradients are goods on a truck that sets out from the loss with 1, on the right, and "
        "serves a queue of customers, the weights c1, c2 and so on. The back of the queue, near x, goes short, "
        "unless there is an express lane beside each customer: the skip.",
        "文章的比喻：梯度是货车上的货物，从右边的损失处带着 1 出发，依次送给排队的顾客，也就是各个权重 c1、c2……"
        "靠近 x 的队尾几乎分不到，除非每位顾客旁边都有一条快捷通道：跳跃连接。",
    ),
    _build_truck,
    _see_truck,
    (Option("lane", "express", choices=("express", "none")), Option("customers", 4, 1, 20)),
)
