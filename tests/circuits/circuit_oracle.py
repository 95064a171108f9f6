"""The same circuits in torch, float64: what autograd says about values and gradients."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from gradpath.circuits._engine import LEAVES, Circuit, Walk
from gradpath.circuits._gates import NORMALISE_EPSILON

TORCH_GATES = {
    "add": lambda x, i: torch.stack(x).sum(),
    "subtract": lambda x, i: torch.sub(*x),
    "multiply": lambda x, i: torch.mul(*x),
    "divide": lambda x, i: torch.div(*x),
    "max": lambda x, i: torch.maximum(*x),
    "relu": lambda x, i: torch.relu(x[0]),
    "sigmoid": lambda x, i: torch.sigmoid(x[0]),
    "tanh": lambda x, i: torch.tanh(x[0]),
    "exp": lambda x, i: torch.exp(x[0]),
    "log": lambda x, i: torch.log(x[0]),
    "square": lambda x, i: torch.square(x[0]),
    "sqrt": lambda x, i: torch.sqrt(x[0]),
    "copy": lambda x, i: x[0].clone(),
    "mean": lambda x, i: torch.stack(x).mean(),
    "variance": lambda x, i: torch.stack(x).var(unbiased=False),
    "dot": lambda x, i: torch.stack(x[: len(x) // 2]) @ torch.stack(x[len(x) // 2 :]),
    "normalise": lambda x, i: torch.nn.functional.batch_norm(
        torch.stack(x).view(-1, 1), None, None, training=True, eps=NORMALISE_EPSILON
    )[i, 0],
    "concat": lambda x, i: torch.cat([v.view(1) for v in x])[i],
}


def autograd(circuit: Circuit, leaves: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """(values, gradients) of every node; the leaves' values are given."""
    nodes: dict[str, Tensor] = {}
    for part in circuit.parts:
        if part.gate in LEAVES:
            nodes[part.name] = torch.tensor(leaves[part.name], dtype=torch.float64, requires_grad=True)
        else:
            nodes[part.name] = TORCH_GATES[part.gate]([nodes[name] for name in part.inputs], part.index)
            nodes[part.name].retain_grad()
    nodes[circuit.output].backward(torch.tensor(circuit.upstream, dtype=torch.float64))
    gradients = {name: 0.0 if t.grad is None else t.grad.item() for name, t in nodes.items()}
    return {name: t.item() for name, t in nodes.items()}, gradients


def assert_agrees(circuit: Circuit, leaves: dict[str, float]) -> None:
    """Our walk and autograd give the same values and gradients everywhere, to 1e-10 of the largest of each."""
    walk = Walk(circuit, leaves)
    for _ in walk.steps():
        pass
    for ours, theirs in zip((walk.values, walk.gradients), autograd(circuit, walk.values), strict=True):
        assert ours.keys() == theirs.keys()
        largest = max(map(abs, theirs.values()))
        for name, value in theirs.items():
            assert abs(ours[name] - value) <= 1e-10 * max(abs(value), 1e-3 * largest), (circuit.name, name)


def random_leaves(circuit: Circuit, seed: int) -> dict[str, float]:
    """Values in [0.3, 2], of both signs where every gate of the circuit can take that."""
    rng = random.Random(seed)
    positive = any(part.gate in ("log", "sqrt") for part in circuit.parts)
    return {
        part.name: rng.uniform(0.3, 2) * (1 if positive else rng.choice((-1, 1)))
        for part in circuit.parts
        if part.gate in LEAVES
    }
