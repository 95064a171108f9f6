"""What an in-place operation on a view did: autograd hides the operation in one node, `CopySlices`.

The node hands back a gradient of ones as it would any other, and what comes out tells the operations apart: a sum
gives constants on both sides, a copy gives zeros where it wrote over, anything else (ReLU, a product) gives data.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from gradpath.flow._graph import Graph, Node, operation

Write = Literal["pass", "add", "concat", "other"]
"""pass: linear in its one input. add: `view += y`. concat: `view[...] = y` beside what stays of the base."""


def is_write(node: Node) -> bool:
    """An in-place operation on a view of a tensor."""
    return operation(node) == "CopySlices"


def write_kind(graph: Graph, node: Node) -> Write:
    """What the operation inside was, seen from the gradient of ones; 'other' where that cannot be told."""
    known: dict[Node, Write] = graph.writes
    if node not in known:
        known[node] = _answer(node)
    return known[node]


def _answer(node: Node) -> Write:
    metadata = getattr(node, "_input_metadata", None)
    if not metadata:  # torch 2.4 does not tell the shape
        return "other"
    try:
        ones = torch.ones(metadata[0].shape, dtype=metadata[0].dtype, device=metadata[0].device)
        found = node(ones)
    except RuntimeError:  # a tensor that it kept has been written over, or freed
        return "other"
    grads = found if isinstance(found, (tuple, list)) else (found,)
    live = [
        g for g, (source, _) in zip(grads, node.next_functions, strict=False) if source is not None and g is not None
    ]
    return _kind_of(live)


def _kind_of(grads: list[Tensor]) -> Write:
    constant = [bool((g == g.flatten()[:1]).all()) for g in grads]
    if all(constant):
        return "add" if len(grads) > 1 else "pass"
    if len(grads) == 2 and constant[1] and bool(((grads[0] == 0) | (grads[0] == 1)).all()):
        return "concat"
    return "other"
