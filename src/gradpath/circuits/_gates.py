"""The table of gates: what each computes, its local derivatives, and the sentences that explain it.

A gate takes scalars and gives one scalar. A gate of vectors (`normalise`, `concat`) is one gate per component of its
output: all of them see the whole vector, and `index` says which component this one is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradpath.circuits._words import Language, Text, bracketed

Values = tuple[float, ...]
Notation = Callable[[Sequence[str], int, Language], str]
NORMALISE_EPSILON = 1e-5  # as in torch.nn.BatchNorm2d: keeps a batch of equal values from dividing by zero
_ROUNDING = 1e-14  # each gate rounds its value by about 1e-16 of it; a dozen of them lie behind a term


@dataclass(frozen=True)
class Gate:
    """One entry of the table."""

    name: str
    label: str
    """What stands in the box of a figure."""
    inputs: int | None
    """How many inputs; None: any number."""
    forward: Callable[[Values, int], float]
    """(inputs, index) → value."""
    local: Callable[[Values, float, int], Values]
    """(inputs, value, index) → the derivative of the value with respect to each input."""
    notation: Notation
    """(inputs as text, index, language) → the formula as text."""
    computes: Text
    """The forward sentence, with the slot `equation`."""
    sends: Text
    """The backward sentence, with the slots `node` and `upstream`."""
    at_tie: Text | None = None
    """The backward sentence where the derivative jumps and we have to choose."""
    is_tie: Callable[[Values], bool] = lambda x: False


def total(terms: Iterable[float]) -> float:
    """The sum; 0 where the terms cancel up to their own rounding: 0.11 + (−0.11000000000000001) is 0, not −7e-18."""
    terms = tuple(terms)
    exact = math.fsum(terms)
    return 0.0 if abs(exact) < _ROUNDING * max(map(abs, terms), default=0.0) else exact


def _infix(sign: str) -> Notation:
    return lambda texts, index, language: f" {sign} ".join([texts[0], *map(bracketed, texts[1:])])


def _call(name: str, chinese: str = "") -> Notation:
    """'max(a, b)'; a Chinese name where mathematics has no sign of its own."""
    return lambda texts, index, language: f"{chinese if language == 'zh' and chinese else name}({', '.join(texts)})"


def _component(name: str, chinese: str) -> Notation:
    call = _call(name, chinese)
    return lambda texts, index, language: f"{call(texts, index, language)}[{index + 1}]"


def _weighted(texts: Sequence[str], index: int, language: Language) -> str:
    half = len(texts) // 2
    return " + ".join(f"{bracketed(x)} × {bracketed(w)}" for x, w in zip(texts[:half], texts[half:], strict=True))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))  # never exp of a large number


def _mean(x: Values) -> float:
    return math.fsum(x) / len(x)


def _variance(x: Values) -> float:
    mean = _mean(x)
    return math.fsum((v - mean) ** 2 for v in x) / len(x)


def _normalised(x: Values, index: int) -> float:
    return (x[index] - _mean(x)) / math.sqrt(_variance(x) + NORMALISE_EPSILON)


def _normalised_local(x: Values, y: float, index: int) -> Values:
    """d y_i / d x_j = (δ_ij − 1/n − y_i·y_j/n) / √(variance + ε) (Ioffe & Szegedy 2015, section 3)."""
    n, mean, scale = len(x), _mean(x), math.sqrt(_variance(x) + NORMALISE_EPSILON)
    return tuple(((j == index) - 1 / n - y * (v - mean) / scale / n) / scale for j, v in enumerate(x))


def _max_local(x: Values, y: float, index: int) -> Values:
    return (0.5, 0.5) if x[0] == x[1] else (float(x[0] > x[1]), float(x[1] > x[0]))


_TABLE = (
    Gate(
        "add", "+", None,
        lambda x, i: total(x),
        lambda x, y, i: (1.0,) * len(x),
        _infix("+"),
        Text("{equation}. An add gate sums its inputs.", "{equation}。加法门把输入相加。"),
        Text("{upstream} arrives at {node}. An add gate copies it, whole, to every input.",
             "{node} 收到上游梯度 {upstream}。加法门把它原封不动地复制给每个输入。"),
    ),
    Gate(
        "subtract", "−", 2,
        lambda x, i: total((x[0], -x[1])),
        lambda x, y, i: (1.0, -1.0),
        _infix("−"),
        Text("{equation}. A subtract gate takes the second input from the first.",
             "{equation}。减法门用第一个输入减去第二个输入。"),
        Text("{upstream} arrives at {node}. The first input gets it as it is, the second with the sign turned.",
             "{node} 收到上游梯度 {upstream}。第一个输入原样得到它，第二个输入得到它的相反数。"),
    ),
    Gate(
        "multiply", "×", 2,
        lambda x, i: x[0] * x[1],
        lambda x, y, i: (x[1], x[0]),
        _infix("×"),
        Text("{equation}. A multiply gate scales one input by the other.",
             "{equation}。乘法门用一个输入缩放另一个输入。"),
        Text("{upstream} arrives at {node}. A multiply gate hands each input this times the value of the other.",
             "{node} 收到上游梯度 {upstream}。乘法门把它乘以另一个输入的值，再交给每个输入。"),
    ),
    Gate(
        "divide", "÷", 2,
        lambda x, i: x[0] / x[1],
        lambda x, y, i: (1 / x[1], -y / x[1]),
        _infix("÷"),
        Text("{equation}. A divide gate divides the first input by the second.",
             "{equation}。除法门用第一个输入除以第二个输入。"),
        Text("{upstream} arrives at {node}. The first input gets it divided by the second input; the second gets it "
             "times minus the quotient, divided by the second input.",
             "{node} 收到上游梯度 {upstream}。第一个输入得到它除以第二个输入的结果；"
             "第二个输入得到它乘以商的相反数、再除以第二个输入的结果。"),
    ),
    Gate(
        "max", "max", 2,
        lambda x, i: max(x),
        _max_local,
        _call("max"),
        Text("{equation}. A max gate lets the larger input through.", "{equation}。最大值门只让较大的输入通过。"),
        Text("{upstream} arrives at {node}. All of it goes to the larger input, nothing to the other.",
             "{node} 收到上游梯度 {upstream}。它全部交给较大的输入，另一个输入得到 0。"),
        Text("{upstream} arrives at {node}. Both inputs are equal, so each gets half of it.",
             "{node} 收到上游梯度 {upstream}。两个输入相等，各得一半。"),
        lambda x: x[0] == x[1],
    ),
    Gate(
        "relu", "ReLU", 1,
        lambda x, i: max(x[0], 0.0),
        lambda x, y, i: (float(x[0] > 0),),
        _call("relu"),
        Text("{equation}. ReLU keeps what is positive and makes the rest 0.",
             "{equation}。ReLU 保留正数，其余变为 0。"),
        Text("{upstream} arrives at {node}. ReLU lets it pass if its input was positive, and stops it if not.",
             "{node} 收到上游梯度 {upstream}。输入为正时 ReLU 让它通过，否则把它挡住。"),
        Text("{upstream} arrives at {node}. The input is exactly 0, where ReLU has a corner; the slope counts as 0.",
             "{node} 收到上游梯度 {upstream}。输入恰好为 0，ReLU 在此处有拐角；局部导数按 0 计算。"),
        lambda x: x[0] == 0,
    ),
    Gate(
        "sigmoid", "σ", 1,
        lambda x, i: _sigmoid(x[0]),
        lambda x, y, i: (y * (1 - y),),
        _call("sigmoid"),
        Text("{equation}. The sigmoid squeezes its input between 0 and 1.",
             "{equation}。Sigmoid 把输入压缩到 0 与 1 之间。"),
        Text("{upstream} arrives at {node}. The slope of the sigmoid is value × (1 − value), at most 0.25: at least "
             "three quarters of the gradient are lost.",
             "{node} 收到上游梯度 {upstream}。Sigmoid 的局部导数是 输出 × (1 − 输出)，"
             "最大 0.25：梯度至少损失四分之三。"),
    ),
    Gate(
        "tanh", "tanh", 1,
        lambda x, i: math.tanh(x[0]),
        lambda x, y, i: (1 - y * y,),
        _call("tanh"),
        Text("{equation}. Tanh squeezes its input between −1 and 1.", "{equation}。Tanh 把输入压缩到 −1 与 1 之间。"),
        Text("{upstream} arrives at {node}. The slope of tanh is 1 − value², at most 1.",
             "{node} 收到上游梯度 {upstream}。Tanh 的局部导数是 1 − 输出²，最大为 1。"),
    ),
    Gate(
        "exp", "exp", 1,
        lambda x, i: math.exp(x[0]),
        lambda x, y, i: (y,),
        _call("exp"),
        Text("{equation}. The exponential grows by the factor e for each 1 of its input.",
             "{equation}。输入每增加 1，指数函数增大到 e 倍。"),
        Text("{upstream} arrives at {node}. The slope of exp is its own value.",
             "{node} 收到上游梯度 {upstream}。指数函数的局部导数就是它自己的值。"),
    ),
    Gate(
        "log", "log", 1,
        lambda x, i: math.log(x[0]),
        lambda x, y, i: (1 / x[0],),
        _call("log"),
        Text("{equation}. The natural logarithm undoes exp.", "{equation}。自然对数是指数函数的逆运算。"),
        Text("{upstream} arrives at {node}. The slope of the logarithm is 1 / input.",
             "{node} 收到上游梯度 {upstream}。对数的局部导数是 1 / 输入。"),
    ),
    Gate(
        "square", "x²", 1,
        lambda x, i: x[0] * x[0],
        lambda x, y, i: (2 * x[0],),
        lambda texts, i, language: f"{bracketed(texts[0])}²",
        Text("{equation}. A square gate multiplies its input by itself.", "{equation}。平方门把输入与自身相乘。"),
        Text("{upstream} arrives at {node}. The slope of the square is 2 × input.",
             "{node} 收到上游梯度 {upstream}。平方的局部导数是 2 × 输入。"),
    ),
    Gate(
        "sqrt", "√", 1,
        lambda x, i: math.sqrt(x[0]),
        lambda x, y, i: (0.5 / y,),
        lambda texts, i, language: f"√{bracketed(texts[0])}",
        Text("{equation}. A root gate gives the number whose square is its input.",
             "{equation}。开方门给出平方等于输入的那个数。"),
        Text("{upstream} arrives at {node}. The slope of the root is 1 / (2 × value).",
             "{node} 收到上游梯度 {upstream}。开方的局部导数是 1 / (2 × 输出)。"),
    ),
    Gate(
        "copy", "=", 1,
        lambda x, i: x[0],
        lambda x, y, i: (1.0,),
        lambda texts, i, language: texts[0],
        Text("{equation}. A copy gate changes nothing.", "{equation}。复制门什么也不改变。"),
        Text("{upstream} arrives at {node} and passes unchanged.", "{node} 收到上游梯度 {upstream}，原样传回。"),
    ),
    Gate(
        "mean", "mean", None,
        lambda x, i: _mean(x),
        lambda x, y, i: (1 / len(x),) * len(x),
        _call("mean", "平均"),
        Text("{equation}. The mean shares the sum out evenly.", "{equation}。平均值把总和平均分摊。"),
        Text("{upstream} arrives at {node}. Each of the n inputs gets an equal part, 1/n of it.",
             "{node} 收到上游梯度 {upstream}。n 个输入各得同样的一份，即 1/n。"),
    ),
    Gate(
        "variance", "var", None,
        lambda x, i: _variance(x),
        lambda x, y, i: tuple(2 * (v - _mean(x)) / len(x) for v in x),
        _call("variance", "方差"),
        Text("{equation}. The variance is the mean squared distance from the mean (divided by n).",
             "{equation}。方差是到平均值距离平方的平均（除以 n）。"),
        Text("{upstream} arrives at {node}. Each input gets it times 2/n times its distance from the mean.",
             "{node} 收到上游梯度 {upstream}。每个输入得到它乘以 2/n、再乘以该输入到平均值的距离。"),
    ),
    Gate(
        "dot", "Σ×", None,
        lambda x, i: total(a * b for a, b in zip(x[: len(x) // 2], x[len(x) // 2 :], strict=True)),
        lambda x, y, i: x[len(x) // 2 :] + x[: len(x) // 2],
        _weighted,
        Text("{equation}. A weighted sum: each value times its weight, then everything added.",
             "{equation}。加权和：每个值乘以各自的权重，再全部相加。"),
        Text("{upstream} arrives at {node}. Each value gets it times its weight, each weight gets it times its value.",
             "{node} 收到上游梯度 {upstream}。每个值得到它乘以对应的权重，每个权重得到它乘以对应的值。"),
    ),
    Gate(
        "normalise", "norm", None,
        _normalised,
        _normalised_local,
        _component("norm", "归一化"),
        Text("{equation}. Normalising subtracts the mean of the batch and divides by its spread.",
             "{equation}。归一化减去这一批的平均值，再除以它的标准差。"),
        Text("{upstream} arrives at {node}. Mean and spread hang on the whole batch, so every value of the batch gets "
             "a part; the parts leave out whatever only shifts or stretches the batch.",
             "{node} 收到上游梯度 {upstream}。平均值和标准差取决于整批数据，所以批中每个值都分到一份；"
             "只会平移或拉伸整批数据的成分被去掉。"),
    ),
    Gate(
        "concat", "cat", None,
        lambda x, i: x[i],
        lambda x, y, i: tuple(float(j == i) for j in range(len(x))),
        _component("concat", "拼接"),
        Text("{equation}. Concatenation lays the inputs side by side; this is one of them.",
             "{equation}。拼接把输入并排放在一起；这里取其中一个。"),
        Text("{upstream} arrives at {node}. It goes back, whole, to the one input it came from; the others get 0.",
             "{node} 收到上游梯度 {upstream}。它全部回到来源的那个输入，其余输入得到 0。"),
    ),
)  # fmt: skip

GATES = {gate.name: gate for gate in _TABLE}
