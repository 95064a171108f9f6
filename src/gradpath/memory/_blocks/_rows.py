"""From the calls of one forward to rows of groups that run one after the other: searched for, or given by the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from torch import nn

from gradpath.errors import PlanError
from gradpath.memory._blocks._calls import Call, Calls, Token

Blocks = str | nn.Module | Sequence[str | nn.Module] | None
Group = list[Call]
Row = list[Group]
_LEAST_SHARE = 0.01
"""Groups at a row's ends that make less of its bytes than this are left to plain autograd."""


def best_rows(calls: Calls) -> list[Row]:
    """Rows of at least two groups, the one with most to save first."""
    rows = [row for parent in [calls.root, *calls.all()] for run in _runs(_flat(parent)) for row in _grouped(run)]
    return sorted(rows, key=_savings, reverse=True)


def given_row(model: nn.Module, calls: Calls, blocks: Blocks) -> Row:
    """The row of the user's blocks: an nn.Sequential or nn.ModuleList or its name, or a list of modules or names.

    Raises PlanError where they are no row.
    """
    groups = [[_only_call(calls, name, module)] for name, module in _given(model, blocks)]
    for (before,), (after,) in pairwise(groups):
        if after.input != before.output:
            raise PlanError(f"blocks: {after.name} is not run on what {before.name} returned, as a chain of blocks is")
    groups = _joined_where_written(groups)
    if not groups:
        raise PlanError("blocks: the first writes to its own input, which a plan must keep: use inplace=False there")
    return groups


def _flat(parent: Call) -> list[Call]:
    """The calls that a module made, with those of each sequence in its place."""
    flat: list[Call] = []
    waiting = list(reversed(parent.children))
    while waiting:
        call = waiting.pop()
        if _is_sequence(call) and not call.problem:
            waiting += reversed(call.children)
        else:
            flat.append(call)
    return flat


def _is_sequence(call: Call) -> bool:
    """An nn.Sequential, or a module that runs its children as one, such as a stage that is made of blocks.

    What is a block itself stays whole: a convolution with its norm, of whatever class but nn.Sequential.
    """
    module, children = call.module, call.children
    if _is_hooked(module) or not children:
        return False
    if type(module).forward is nn.Sequential.forward:
        return type(module) is nn.Sequential or all(map(_is_compound, children))
    ends = call.input is not None and call.input == children[0].input and call.output == children[-1].output
    in_a_row = ends and all(before.output == after.input for before, after in pairwise(children))
    blocks = len(children) > 1 and all(map(_is_compound, children))
    return in_a_row and (blocks or any(_is_sequence_of_blocks(child) for child in children))


def _is_sequence_of_blocks(call: Call) -> bool:
    return type(call.module) is nn.Sequential and sum(map(_is_compound, call.children)) > 1


def _runs(calls: list[Call]) -> Iterator[list[Call]]:
    """Longest stretches of calls of which each takes what the one before returned, and nobody else does."""
    readers = Counter(token for call in calls for token in call.inputs if token != call.output)  # no identities
    run: list[Call] = []
    for call in calls:
        if run and (call.problem or not _follows(call, run[-1], readers)):
            yield run
            run = []
        if not call.problem:
            run.append(call)
    if run:
        yield run


def _follows(call: Call, before: Call, readers: Counter[Token]) -> bool:
    return call.input is not None and call.input == before.output and readers[call.input] <= 1


def _grouped(run: list[Call]) -> Iterator[Row]:
    """A stretch of calls as groups, without ends that keep next to nothing."""
    groups: Row = []
    for call in run:
        if groups and not _begins(call) and not _is_compound(groups[-1][-1]):
            groups[-1].append(call)
        else:
            groups.append([call])
    groups = _joined_where_written(groups)
    least = _LEAST_SHARE * sum(map(_bytes, groups))
    while groups and _bytes(groups[0]) < least:
        del groups[0]
    while groups and _bytes(groups[-1]) < least:
        del groups[-1]
    if len(groups) > 1:
        yield groups


def _begins(call: Call) -> bool:
    """Whether it holds weights, of which norms have none."""
    return any(parameter.dim() > 1 for parameter in call.module.parameters())


def _is_compound(call: Call) -> bool:
    return bool(call.module._modules)


def _joined_where_written(groups: Iterable[Group]) -> Row:
    """Groups none of which writes to its own input."""
    joined: Row = []
    for group in groups:
        joined.append(group)
        while len(joined) > 1 and _writes_to_its_input(joined[-1]):
            last = joined.pop()
            joined[-1] = joined[-1] + last
        if _writes_to_its_input(joined[-1]):  # the first: what it writes to is computed outside
            joined.pop()
    return joined


def _writes_to_its_input(group: Group) -> bool:
    return any(call.writes and call.storage == group[0].storage for call in group)


def _bytes(group: Group) -> int:
    return sum(call.bytes for call in group)


def _savings(row: Row) -> int:
    """What need not be kept if each group is computed again: all but the largest."""
    sizes = [_bytes(group) for group in row]
    return sum(sizes) - max(sizes)


def _given(model: nn.Module, blocks: Blocks) -> list[tuple[str, nn.Module]]:
    names = {module: name for name, module in model.named_modules()}
    if isinstance(blocks, (str, nn.Module)):
        whole = _named(names, blocks)
        found = list(whole) if isinstance(whole, (nn.Sequential, nn.ModuleList)) else [whole]
    else:
        if blocks is not None and not isinstance(blocks, Iterable):
            raise PlanError(f"blocks: got a {type(blocks).__name__}: give a nn.Sequential, a nn.ModuleList or a list")
        found = [_named(names, one) for one in blocks or ()]
    if not found:
        raise PlanError("blocks: none given: a nn.Sequential, a nn.ModuleList or a list of modules or of their names")
    return [(names[module], module) for module in found]


def _named(names: dict[nn.Module, str], block: str | nn.Module) -> nn.Module:
    if isinstance(block, str):
        found = next((module for module, name in names.items() if name == block), None)
        if found is None:
            raise PlanError(f"blocks: the model has no module {block!r}: see model.named_modules()")
        return found
    if block not in names:
        raise PlanError(f"blocks: the given {type(block).__name__} is no module of the model")
    return block


def _only_call(calls: Calls, name: str, module: nn.Module) -> Call:
    found = calls.of(module)
    if not found:
        raise PlanError(f"blocks: {name} is not called in this forward, or inside a compiled module")
    if found[0].problem:
        raise PlanError(f"blocks: {name} {found[0].problem}: a block takes one tensor and returns one")
    return found[0]


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
