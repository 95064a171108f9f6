"""Products of many factors: what they do to a gradient, and what is true where a float64 number gives out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradpath.circuits._entry import Finding
from gradpath.circuits._words import Text, show


def power(factors: Sequence[float]) -> str:
    """The size of a product of factors other than 0 as '10^−4000': the exponent, however far out."""
    return f"10^{show(math.fsum(math.log10(abs(factor)) for factor in factors))}"


def product(factors: Sequence[float]) -> str:
    """The product as text: beyond what a float64 number holds, as a power of ten."""
    found = math.prod(factors)
    return show(found) if math.isfinite(found) or not all(factors) else power(factors)


def underflow(factors: Sequence[float]) -> Iterator[Finding]:
    """A sentence that the product is not 0, where it is printed as 0 and no factor is 0."""
    if math.prod(factors) == 0 and all(factors):
        yield _UNDERFLOW, {"power": power(factors)}


def effect(factors: Sequence[float]) -> Iterator[Finding]:
    """What a block whose slope is this product does to the gradient that passes through it."""
    slope = math.prod(factors)
    yield _effect(slope, all(factors)), {"factor": show(slope)}
    yield from underflow(factors)
    if slope < 0:
        yield _TURNED, {"size": show(abs(slope))}


def _effect(slope: float, passes: bool) -> Text:
    if show(abs(slope)) == "1":
        return _KEEPS
    if abs(slope) < 1:
        return _SHRINKS if passes else _STOPS
    return _GROWS


_UNDERFLOW = Text(
    "That 0 is not exact: the true product is about {power}, too small for a float64 number.",
    "这个 0 并不精确：真正的乘积约为 {power}，小到 float64 无法表示。",
)
_SHRINKS = Text(
    "For whatever comes before, this block multiplies the gradient by {factor}; the next block in front does so again. "
    "That is how gradients vanish.",
    "对更前面的层来说，这个块把梯度乘以 {factor}；再往前的块又乘一次。梯度消失（梯度弥散）就是这样发生的。",
)
_STOPS = Text(
    "For whatever comes before, this block multiplies the gradient by {factor}: nothing in front of it learns at all.",
    "对更前面的层来说，这个块把梯度乘以 {factor}：它前面的层完全学不到东西。",
)
_KEEPS = Text(
    "For whatever comes before, this block multiplies the gradient by {factor}: its size passes unchanged, through "
    "any number of such blocks.",
    "对更前面的层来说，这个块把梯度乘以 {factor}：无论经过多少个这样的块，梯度的大小都不变。",
)
_GROWS = Text(
    "For whatever comes before, this block multiplies the gradient by {factor}; the next block in front does so again. "
    "That is how gradients explode.",
    "对更前面的层来说，这个块把梯度乘以 {factor}；再往前的块又乘一次。梯度爆炸就是这样发生的。",
)
_TURNED = Text(
    "The minus sign turns the gradient round; whether it vanishes is decided by the size, {size}.",
    "负号使梯度反向；梯度是否消失，由大小 {size} 决定。",
)
