"""An independent second opinion on edges and path lengths: a walk through autograd's graph in Python, node by node.

Slow and simple. A node of the graph is callable: it takes the gradients of its outputs and returns those of its
inputs. Gradients are tagged with the number of marked edges that they have passed.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import torch


def _order(root):
    waiting, seen, stack = Counter(), {root}, [root]
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None:
                waiting[node] += 1
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
    order, ready = [], [root]
    while ready:
        order.append(ready.pop())
        for node, _ in order[-1].next_functions:
            if node is not None:
                waiting[node] -= 1
                if not waiting[node]:
                    ready.append(node)
    return order


@torch.no_grad()
def walk(loss, marked=frozenset()):
    """(tensor → {length: gradient}, (consumer, slot) → {length: gradient}) for everything behind the loss."""
    at = defaultdict(dict)
    at[loss.grad_fn, 0][0] = torch.ones_like(loss)
    edges = defaultdict(dict)
    for node in _order(loss.grad_fn):
        outputs = len(node._input_metadata)
        lengths = sorted({k for i in range(outputs) for k in at[node, i]})
        if "AccumulateGrad" in node.name():
            continue
        for k in lengths:
            grads = node(*[at[node, i].get(k) for i in range(outputs)])
            grads = grads if isinstance(grads, tuple) else (grads,)
            for slot, (grad, (source, output)) in enumerate(zip(grads, node.next_functions, strict=True)):
                if source is None or grad is None:
                    continue
                grad = grad.sum_to_size(source._input_metadata[output].shape)
                edges[node, slot][k] = grad
                j = k + ((node, slot) in marked)
                at[source, output][j] = at[source, output].get(j, 0) + grad
    return at, edges
