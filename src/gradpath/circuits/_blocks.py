"""One gate, the article's block with and without a skip, and the dense block."""

from __future__ import annotations

from collections.abc import Iterator

from gradpath.circuits._engine import Circuit, Part, Walk
from gradpath.circuits._entry import Chosen, Entry, Finding, Option, gate, leaf, weight
from gradpath.circuits._gates import GATES
from gradpath.circuits._products import effect, product
from gradpath.circuits._words import Text, counted, each, factor, show

ARTICLE_X = 10.0
ARTICLE_W = 0.1
ARTICLE_WEIGHTS = ("w1", "w2", "w3", "w4")
_ARTICLE = {"x": ARTICLE_X} | dict.fromkeys(ARTICLE_WEIGHTS, ARTICLE_W)
_GATE_INPUTS = {"x": 3.0, "y": 2.0, "u": 7.0, "v": 1.0}


def _build_gate(chosen: Chosen) -> Circuit:
    kind = str(chosen["gate"])
    count = 4 if kind == "dot" else GATES[kind].inputs or 3  # two values and their two weights
    names = tuple(_GATE_INPUTS)[:count]
    leaves = [leaf(name, "input", _GATE_INPUTS[name], column=min(i, 1), lane=min(i, 1)) for i, name in enumerate(names)]
    return Circuit("gate", (*leaves, gate("z", kind, *names, column=1)), "z", upstream=chosen["upstream"])


def _see_gate(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    for name, local, sent in zip(walk.circuit.parts[-1].inputs, walk.locals["z"], walk.sent["z"], strict=True):
        numbers = {
            "slope": show(local),
            "local": factor(local),
            "upstream": show(walk.gradients["z"]),
            "sent": show(sent),
        }
        yield _GATE_INPUT, {"name": name, **numbers}


_GATE_INPUT = Text(
    "A small change of {name}, times {slope}, is the change of z; that, times {upstream}, is the change of the loss: "
    "dL/d{name} = dL/dz × dz/d{name} = {upstream} × {local} = {sent}.",
    "{name} 的微小变化乘以 {slope} 就是 z 的变化，再乘以 {upstream} 就是损失的变化："
    "dL/d{name} = dL/dz × dz/d{name} = {upstream} × {local} = {sent}。",
)

GATE = Entry(
    "gate",
    Text("One gate: z = f(x, y)", "一个门：z = f(x, y)"),
    Text(
        "The chain rule needs nothing but this. On the way forward a gate computes z. On the way back it is told one "
        "number, dL/dz, and multiplies it by its own slope for each input: dL/dx = dL/dz × dz/dx.",
        "链式法则只需要这一步。前向传播时，门计算 z。反向传播时，门只收到一个数 dL/dz，"
        "再乘以它对每个输入的局部导数：dL/dx = dL/dz × dz/dx。",
    ),
    _build_gate,
    _see_gate,
    (Option("gate", "multiply", choices=tuple(GATES)), Option("upstream", 0.5)),
)


def _product_chain(weights: tuple[str, ...]) -> list[Part]:
    """x × w1 → z1, z1 × w2 → z2 …, as in the article's figure."""
    parts = [leaf("x", "input", ARTICLE_X, column=0)]
    for i, name in enumerate(weights, 1):
        before = f"z{i - 1}" if i > 1 else "x"
        parts += [weight(name, ARTICLE_W, i), gate(f"z{i}", "multiply", before, name, column=i)]
    return parts


def _build_plain(chosen: Chosen) -> Circuit:
    return Circuit("plain", tuple(_product_chain(ARTICLE_WEIGHTS)), "z4")


def _each_weight(walk: Walk) -> str:
    """'0.01' where all weights get the same, else 'w1: 0.01, w2: 0.1, …'."""
    return each({name: show(walk.gradients[name]) for name in ARTICLE_WEIGHTS}, walk.language)


def _see_plain(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    names = ["x", "z1", "z2", "z3", "z4"]
    yield _PLAIN_FORWARD, {"values": " → ".join(show(walk.values[name]) for name in names)}
    yield (
        _PLAIN_BACKWARD,
        {
            "gradients": " → ".join(show(walk.gradients[name]) for name in reversed(names)),
            "at_x": show(walk.gradients["x"]),
        },
    )
    yield _PLAIN_WEIGHTS, {"each": _each_weight(walk), "at_x": show(walk.gradients["x"])}
    yield from effect([walk.values[name] for name in ARTICLE_WEIGHTS])


_PLAIN_FORWARD = Text("Forward: {values}.", "前向传播：{values}。")
_PLAIN_BACKWARD = Text(
    "Backward: {gradients}. What reaches x is the product of the four weights, {at_x}.",
    "反向传播：{gradients}。到达 x 的是四个权重的乘积 {at_x}。",
)
_PLAIN_WEIGHTS = Text(
    "Each of the four weights gets the product of x and the other three weights ({each}); "
    "only x gets the product of all four weights ({at_x}).",
    "四个权重中的每一个得到 x 与其余三个权重的乘积（{each}）；只有 x 得到四个权重的乘积（{at_x}）。",
)

PLAIN = Entry(
    "plain",
    Text("The plain block: four weights in a row", "普通块：四个权重依次相乘"),
    Text(
        "The article's block: x passes four multiply gates, each with a weight of its own; in the article x is 10 and "
        "every weight 0.1. A gradient of 1 enters at the end; follow it back to x and to the weights.",
        "文章中的块：x 依次通过四个乘法门，每个门有自己的权重；文章中 x 是 10，权重都是 0.1。"
        "末端传入的梯度是 1，看它如何回到 x 和各个权重。",
    ),
    _build_plain,
    _see_plain,
)


def _build_residual(chosen: Chosen) -> Circuit:
    return Circuit("residual", (*_product_chain(ARTICLE_WEIGHTS), gate("h", "add", "z4", "x", column=5)), "h")


def _see_residual(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    edges = walk.edges("x")
    skip, block = show(edges["h", 1]), show(edges["z1", 0])
    total, weight_1 = show(walk.gradients["x"]), show(walk.gradients["w1"])
    yield _RESIDUAL_SUM, {"skip": skip, "block": factor(edges["z1", 0]), "total": total}
    yield _RESIDUAL_INSIDE, {"each": _each_weight(walk)}
    yield _RESIDUAL_EARLIER, {"total": total, "block": block}
    at_the_articles_values = all(walk.values[name] == value for name, value in _ARTICLE.items())
    listing = _RESIDUAL_LIST if at_the_articles_values else _RESIDUAL_LIST_HERE
    yield listing, {"skip": skip, "block": block, "weight": weight_1, "total": total}


_RESIDUAL_SUM = Text(
    "What reaches x: {skip} over the skip + {block} through the block = {total} in all.",
    "到达 x 的梯度：经跳跃连接 {skip} + 经块内 {block}，合计 {total}。",
)
_RESIDUAL_INSIDE = Text(
    "The weights get exactly what they got without the skip ({each}): the add gate copies the gradient, so the block "
    "is handed all of it either way. Inside the block nothing changes.",
    "各权重得到的与没有跳跃连接时完全相同（{each}）：加法门复制梯度，块内总是得到全部。块内没有任何变化。",
)
_RESIDUAL_EARLIER = Text(
    "What changes is what EARLIER blocks receive: {total} instead of {block}.",
    "变化的是更前面的块收到的梯度：{total}，而不是 {block}。",
)
_RESIDUAL_LIST = Text(
    "The article lists [{skip}, {block}, {weight}]. These are three different things: {skip} is the skip's part of "
    "dL/dx, {block} is the block's part of dL/dx, and {weight} is dL/dw1. Only the first two belong to one "
    "sum, {total}.",
    "文章列出 [{skip}, {block}, {weight}]，它们是三个不同的量：{skip} 是 dL/dx 中经跳跃连接的部分，"
    "{block} 是 dL/dx 中经块内的部分，{weight} 是 dL/dw1。只有前两个属于同一个和 {total}。",
)
_RESIDUAL_LIST_HERE = Text(
    "The article's list would read here [{skip}, {block}, {weight}]. These are three different things: {skip} is the "
    "skip's part of dL/dx, {block} is the block's part of dL/dx, and {weight} is dL/dw1. Only the first two belong to "
    "one sum, {total}.",
    "文章的列表在这里应为 [{skip}, {block}, {weight}]，它们是三个不同的量：{skip} 是 dL/dx 中经跳跃连接的部分，"
    "{block} 是 dL/dx 中经块内的部分，{weight} 是 dL/dw1。只有前两个属于同一个和 {total}。",
)

RESIDUAL = Entry(
    "residual",
    Text("The residual block: the same, with a skip around it", "残差块：同样的块，加上跳跃连接"),
    Text(
        "The plain block with one more wire, h(x) = F(x) + x. An add gate copies the gradient to both of its inputs, "
        "so x gets it twice: once over the skip, untouched, and once through the four weights.",
        "在普通块上加一根线：h(x) = F(x) + x。加法门把梯度复制给两个输入，所以 x 收到两份："
        "一份经跳跃连接原样到达，一份穿过四个权重。",
    ),
    _build_residual,
    _see_residual,
)


def _build_dense(chosen: Chosen) -> Circuit:
    parts, fed = [leaf("x", "input", ARTICLE_X, column=0)], ["x"]
    column = 0
    for i in range(1, chosen["layers"] + 1):
        source = fed[0]
        if len(fed) > 1:
            source, column = f"s{i}", column + 1
            parts.append(gate(source, "add", *reversed(fed), column=column))
        column += 1
        parts += [weight(f"w{i}", ARTICLE_W, column), gate(f"h{i}", "multiply", source, f"w{i}", column=column)]
        fed.append(f"h{i}")
    return Circuit("dense", tuple(parts), fed[-1])


def _see_dense(walk: Walk, chosen: Chosen) -> Iterator[Finding]:
    layers: int = chosen["layers"]
    for name in ["x", *(f"h{i}" for i in range(1, layers))]:
        edges = walk.edges(name)
        parts = " + ".join(f"{factor(part)} (h{target[1:]})" for (target, _), part in edges.items())
        yield _DENSE_SUM, {"name": name, "parts": parts, "total": show(walk.gradients[name])}
    connections = counted(walk.language, layers * (layers + 1) // 2, "connection")
    yield _DENSE_LATER, {"connections": connections, "layers": counted(walk.language, layers, "layer")}
    yield (
        _DENSE_PATHS,
        {
            "paths": counted(walk.language, 2 ** (layers - 1), "path"),
            "shortest": show(walk.values[f"w{layers}"]),
            "total": show(walk.gradients["x"]),
            "chain": product([walk.values[f"w{i}"] for i in range(1, layers + 1)]),
        },
    )


_DENSE_SUM = Text(
    "dL/d{name} is a sum over the layers that use {name}: {parts} = {total}.",
    "dL/d{name} 是对所有使用 {name} 的层求和：{parts} = {total}。",
)
_DENSE_LATER = Text(
    "These are LATER layers, always: gradients flow against the arrows. (The article says earlier layers.) "
    "With {layers} that makes {connections}.",
    "这些总是更靠后的层：梯度逆着箭头流动。（文章说的是前面的层。）{layers} 层共有 {connections} 条连接。",
)
_DENSE_PATHS = Text(
    "From the end back to x: {paths}. The shortest passes one weight only ({shortest}); all together carry {total}, "
    "where a plain chain of these weights would carry {chain}.",
    "从末端回到 x 共有 {paths} 条路径。最短的只经过一个权重（{shortest}）；全部路径合计传回 {total}，"
    "而同样权重的普通链只传回 {chain}。",
)

DENSE = Entry(
    "dense",
    Text("The dense block: every layer is fed by all before it", "稠密块：每一层都接收前面所有层"),
    Text(
        "Layer i multiplies the sum of x and all earlier outputs by its weight. (DenseNet lays them side by side and "
        "gives each its own weight; with one weight per layer that is a sum.) Every wire from a layer is a way "
        "back to it.",
        "第 i 层把 x 与前面所有层的输出相加，再乘以自己的权重。（DenseNet 把它们拼接起来，各有各的权重；"
        "每层只有一个权重时，拼接就成了求和。）从一层出发的每根线，都是梯度回到这一层的一条路。",
    ),
    _build_dense,
    _see_dense,
    (Option("layers", 3, 1, 8),),
)
