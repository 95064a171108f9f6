"""Finds in a model the chain of blocks that can be planned, and proves that nothing else uses what is between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gradpath.errors import PlanError, first_line
from gradpath.memory._as_found import left_as_found
from gradpath.memory._blocks._calls import Calls
from gradpath.memory._blocks._ours import AFTER, BEFORE, LEFT_ALONE, known_chain
from gradpath.memory._blocks._routing import Routing
from gradpath.memory._blocks._rows import Blocks, Row, best_rows, given_row
from gradpath.memory._blocks._signature import Layout
from gradpath.nets import Network

Run = Callable[[nn.Module], Any]
"""Runs the model once, on a batch, and returns what it computes: `lambda model: model(x)`."""
_CANDIDATES = 4
_MOST_NAMED = 12


@dataclass(frozen=True)
class Chain:
    """Blocks that a model runs one after the other, each on exactly what the one before returned."""

    blocks: tuple[tuple[nn.Module, ...], ...]
    """Each is one or more modules that run one after the other."""
    names: tuple[str, ...]
    """As in a plan: the names of a block's modules, joined by '+'."""
    layouts: tuple[Layout, ...]
    """Of the input of each block, then of the last one's output."""
    left_alone: tuple[str, ...]
    """What is not in the chain, and why."""


def find_chain(model: nn.Module, run: Run, blocks: Blocks = None) -> Chain:
    """The chain that is worth planning; with `blocks`, the chain of these blocks.

    model: as it is; it is run a few times without grad mode and left as found. run: see Run.
    blocks: an nn.Sequential or nn.ModuleList (or its name), or a list of modules or of their names.

    Without `blocks`, rows of calls are searched for at every level of the model, nn.Sequential seen through. Layers
    without parameters join a group that begins at a layer with weights, and what writes to its input in place joins
    what computed that input. Of all rows the one is taken that has most to save. Then the model is run once more,
    with all blocks computed where the first one is called: outputs must be bitwise the same, else something uses what
    is between the blocks. Where no row passes, the chain is empty and `left_alone` says why.

    Raises PlanError for a model that cannot be planned at all (TorchScript, sharded parameters), and where the given
    blocks are no chain.
    """
    check_plannable(model)
    if blocks is None and isinstance(model, Network):
        if (known := known_chain(model, run)) is not None:
            return _of_ours(model, *known)
        blocks = list(model.blocks())
    calls, plain = _recorded(model, run)
    rows = best_rows(calls)[:_CANDIDATES] if blocks is None else [given_row(model, calls, blocks)]
    reasons: list[str] = []
    for row in rows:
        problem = _used_between(model, run, row, plain)
        if not problem:
            return _chain_of(model, calls, row, reasons)
        if blocks is not None:
            raise PlanError(f"blocks: {problem}")
        reasons.append(f"{_row_name(row)}: {problem}")
    return Chain(
        (), (), (), tuple(reasons or ["no two modules run one after the other, each one tensor to one tensor"])
    )


def check_plannable(model: nn.Module) -> None:
    """Raises PlanError for TorchScript and for parameters that are sharded (FSDP2)."""
    if not isinstance(model, nn.Module):
        raise PlanError(f"plan: the model must be a torch.nn.Module, got a {type(model).__name__}")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise PlanError(
                f"plan: {name or 'the model'} is TorchScript, which cannot be run in part: "
                "give the module that it was made of"
            )
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "to_local"):
            raise PlanError(
                f"plan: the parameter {name} is sharded (a DTensor of FSDP2): gather it, or use DistributedDataParallel"
            )


def _recorded(model: nn.Module, run: Run) -> tuple[Calls, list[Tensor]]:
    calls = Calls(model)
    with left_as_found([model], _device(model)), calls.recorded():
        plain = _outputs(model, run)
    _find_problems(model, calls)
    return calls, plain


def _find_problems(model: nn.Module, calls: Calls) -> None:
    times = Counter(call.module for call in calls.all())
    for call in calls.all():
        if times[call.module] > 1:
            call.problem = f"is called {times[call.module]} times"
    for name, module in model.named_modules():
        if (
            getattr(module, "grad_checkpointing", False) is True
            or getattr(module, "gradient_checkpointing", False) is True
        ):
            for call in calls.all() if module is model else [c for of in calls.of(module) for c in calls.inside(of)]:
                call.problem = f"is checkpointed by {name or 'the model'} itself: switch that off"


def _used_between(model: nn.Module, run: Run, row: Row, plain: list[Tensor]) -> str:
    """Why the blocks cannot be computed as one where the first is called; empty if they can."""
    span = [(call.name, call.module) for group in row for call in group]
    for probe in (_run_and_check, _run_only):  # some layers compute otherwise without grad mode
        try:
            with left_as_found([model], _device(model)), Routing([span], partial(probe, row)):
                outputs = _outputs(model, run)
        except Exception as error:  # whatever the model raises on values that it does not expect
            return f"the model uses what is between these blocks: {first_line(error).removeprefix('plan: ')}"
        if _equal(outputs, plain):
            return ""
    with left_as_found([model], _device(model)):
        if not _equal(again := _outputs(model, run), plain):
            close = len(again) == len(outputs) and all(map(_close, outputs, again))
            return "" if close else "the model computes something else each time, which is not to be told apart"
    return "the model uses what is between these blocks, its outputs are others without: give blocks= that it does not"


def _run_only(row: Row, index: int, x: Tensor) -> Tensor:
    for group in row:
        for call in group:
            x = call.module(x)
    return x


def _run_and_check(row: Row, index: int, x: Tensor) -> Tensor:
    """The same under grad mode, group by group: their gradients go to their own parameters and nowhere else."""
    for group in row:
        leaf = x.detach()
        leaf.requires_grad_(leaf.is_floating_point())
        own = {leaf, *(parameter for call in group for parameter in call.module.parameters())}
        with torch.enable_grad():
            out = _run_only([group], index, leaf)
        if any(found not in own for found in _leaves(out)):
            names = "+".join(call.name for call in group)
            raise PlanError(f"{names} uses a tensor that needs a gradient and is no parameter of its own")
        x = out.detach()
    return x


def _leaves(out: Tensor) -> Iterator[Tensor]:
    """The tensors at which autograd's graph behind `out` ends."""
    seen, waiting = set(), [out.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [behind for behind, _ in node.next_functions]


def _of_ours(model: nn.Module, blocks: list[nn.Module], layouts: list[Layout]) -> Chain:
    names = {module: name for name, module in model.named_modules()}
    return Chain(
        tuple((block,) for block in blocks), tuple(names[block] for block in blocks), tuple(layouts), LEFT_ALONE
    )


def _chain_of(model: nn.Module, calls: Calls, row: Row, reasons: list[str]) -> Chain:
    layouts = [group[0].layout for group in row] + [row[-1][-1].made]
    return Chain(
        blocks=tuple(tuple(call.module for call in group) for group in row),
        names=tuple("+".join(call.name for call in group) for group in row),
        layouts=tuple(layout for layout in layouts if layout is not None),
        left_alone=(*reasons, *_left_alone(model, calls, row)),
    )


def _left_alone(model: nn.Module, calls: Calls, row: Row) -> list[str]:
    """The largest modules with parameters that have no part in the chain, with what is known of each."""
    inside = {inner for group in row for call in group for inner in call.module.modules()}
    order = {call.module: (place, call) for place, call in enumerate(calls.all())}
    first, last = order[row[0][0].module][0], order[row[-1][-1].module][0]
    found: list[str] = []
    waiting = list(reversed([*model.named_children()]))
    while waiting:
        name, module = waiting.pop()
        if module in inside or next(module.parameters(), None) is None:
            continue
        called = module in order
        if not inside.isdisjoint(module.modules()) or (not called and any(one in order for one in module.modules())):
            waiting += [(f"{name}.{child}", inner) for child, inner in reversed([*module.named_children()])]
        elif not called:
            found.append(f"{name}: is not called in this forward")
        else:
            place, call = order[module]
            where = BEFORE if place < first else AFTER if place > last else "beside the blocks"
            found.append(f"{name}: {call.problem or where}")
    return found[:_MOST_NAMED] + ([f"… and {len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else [])


def _row_name(row: Row) -> str:
    return f"{row[0][0].name} to {row[-1][-1].name}"


def _device(model: nn.Module) -> torch.device:
    held = next(model.parameters(), None)
    return torch.device("cpu") if held is None else held.device


def _outputs(model: nn.Module, run: Run) -> list[Tensor]:
    with torch.no_grad():
        found = [one.detach() for one in tree_leaves(run(model)) if isinstance(one, Tensor)]
    if not found:
        raise PlanError("plan: the model returned no tensor, so that nothing can be compared: give criterion= or step=")
    return found


def _equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    """Bitwise; NaN equals NaN."""
    return len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, 1e-3, 1e-5, equal_nan=True)
