"""Write what the explainer's first figures are checked against: gates by torch, the truck's findings, paths one by one.

python scripts/write_web_explain.py    # after a change of circuits/
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gradpath.circuits import Walk
from gradpath.circuits._gallery import GALLERY

GOLDEN = Path(__file__).parents[1] / "web" / "test" / "golden" / "explain.json"
SEED = 0
UPSTREAM = 0.7
POINTS = 4
Output = Callable[..., torch.Tensor]


def _normalised(*x: torch.Tensor) -> torch.Tensor:
    batch = torch.stack(x)
    return torch.nn.functional.batch_norm(batch[:, None], None, None, training=True)[0, 0]


GATES: dict[str, tuple[int, Output]] = {
    "add": (3, lambda *x: torch.stack(x).sum()),
    "subtract": (2, lambda x, y: x - y),
    "multiply": (2, lambda x, y: x * y),
    "divide": (2, lambda x, y: x / y),
    "max": (2, torch.maximum),
    "relu": (1, torch.relu),
    "sigmoid": (1, torch.sigmoid),
    "tanh": (1, torch.tanh),
    "exp": (1, torch.exp),
    "log": (1, torch.log),
    "square": (1, torch.square),
    "sqrt": (1, torch.sqrt),
    "copy": (1, torch.clone),
    "mean": (3, lambda *x: torch.stack(x).mean()),
    "variance": (3, lambda *x: torch.stack(x).var(correction=0)),
    "dot": (4, lambda *x: torch.dot(torch.stack(x[:2]), torch.stack(x[2:]))),
    "normalise": (3, _normalised),
    "concat": (3, lambda *x: torch.stack(x)[0]),
}
"""Gate → how many inputs the page gives it, and what torch calls it."""
TIES = {"max": (2.0, 2.0), "relu": (0.0,)}
POSITIVE = ("log", "sqrt")
ROUNDS: tuple[tuple[int, dict[str, float]], ...] = (
    (1, {}), (4, {}), (8, {}), (4, {"c4": 2.0}), (3, {"c1": 0.5, "c2": -0.25, "x": 3.0}), (5, {"c3": 0.0}),
)  # fmt: skip
CHAINS = ((1, 1e-4), (6, 0.5), (9, 1e-4), (12, 1.0), (10, 0.2446))


def gates() -> list[dict[str, Any]]:
    """Every gate at random points and where it has a corner: value and gradients by torch, float64."""
    dice = random.Random(SEED)
    found = []
    for name, (count, output) in GATES.items():
        low = 0.2 if name in POSITIVE else -2.0
        points = [tuple(round(dice.uniform(low, 2.0), 3) for _ in range(count)) for _ in range(POINTS)]
        for point in (*points, *([TIES[name]] if name in TIES else [])):
            inputs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in point]
            value = output(*inputs)
            slopes = torch.autograd.grad(value, inputs, torch.tensor(UPSTREAM, dtype=value.dtype))
            gradients = [slope.item() for slope in slopes]
            found.append({"gate": name, "inputs": point, "value": value.item(), "gradients": gradients})
    return found


def rounds() -> list[dict[str, Any]]:
    """What `gradpath explain truck` says, as the numbers that stand in its sentences."""
    return [_round(customers, values) for customers, values in ROUNDS]


def _round(customers: int, values: dict[str, float]) -> dict[str, Any]:
    entry = GALLERY["truck"]
    chosen = {"lane": "express", "customers": customers}
    walk = Walk(entry.build(chosen), values, "en")
    list(walk.steps())  # a walk is made by being read
    return {"customers": customers, "set": values, "findings": [slots for _, slots in entry.findings(walk, chosen)]}


def chains() -> list[dict[str, Any]]:
    """Every path through n blocks, one by one: which blocks it passes, and the product over them."""
    return [_chain(blocks, factor) for blocks, factor in CHAINS]


def _chain(blocks: int, factor: float) -> dict[str, Any]:
    brought: list[list[float]] = [[] for _ in range(blocks + 1)]
    for path in itertools.product((False, True), repeat=blocks):
        brought[sum(path)].append(math.prod(factor for passed in path if passed))
    whole = math.fsum(itertools.chain.from_iterable(brought))
    depth = math.fsum(length * math.fsum(each) for length, each in enumerate(brought)) / whole
    lengths = [{"paths": len(each), "together": math.fsum(each)} for each in brought]
    return {"blocks": blocks, "factor": factor, "lengths": lengths, "whole": whole, "depth": depth,
            "quantile95": _reached([math.fsum(each) for each in brought], 0.95 * whole)}  # fmt: skip


def _reached(parts: Sequence[float], goal: float) -> int:
    sums = itertools.accumulate(parts)
    return next(length for length, total in enumerate(sums) if total >= goal)


def main() -> None:
    """The file in the form in which it is committed."""
    content = {"upstream": UPSTREAM, "gates": gates(), "rounds": rounds(), "chains": chains()}
    GOLDEN.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
