"""From a record's graph to groups: module calls, with wrappers merged and names that begin alike put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gradpath.record import Graph
from gradpath.report._layout._terms import GroupKind

Child = int
"""A node i as i, a group g as ~g."""
ROOT = 0


@dataclass
class Branch:
    """A group while the tree is made."""

    kind: GroupKind
    name: str = ""
    module: str = ""
    call: int = 0
    children: list[Child] = field(default_factory=list)


@dataclass
class Tree:
    """Groups by number; `branches[ROOT]` holds all. After a change of children, `link` again."""

    graph: Graph
    branches: list[Branch] = field(default_factory=lambda: [Branch("root")])
    names: dict[int, str] = field(default_factory=dict)
    """Nodes that stand for a module call that made nothing else: its name."""
    order: list[int] = field(default_factory=list)
    """Groups, each before those in it."""
    parent: dict[int, int] = field(default_factory=dict)
    depth: dict[int, int] = field(default_factory=dict)
    place: dict[Child, tuple[int, int]] = field(default_factory=dict)
    """Each child's group, and its position there."""

    def add(self, branch: Branch) -> Child:
        """A new group, not yet anyone's child."""
        self.branches.append(branch)
        return ~(len(self.branches) - 1)

    def link(self) -> None:
        """Find parents, depths and positions of all that hangs on the root."""
        self.order, self.parent, self.depth, self.place = [], {ROOT: -1}, {ROOT: 0}, {}
        stack = [ROOT]
        while stack:
            group = stack.pop()
            self.order.append(group)
            children = self.branches[group].children
            for position, child in enumerate(children):
                self.place[child] = group, position
            inner = [~child for child in children if child < 0]
            for each in inner:
                self.parent[each], self.depth[each] = group, self.depth[group] + 1
            stack.extend(reversed(inner))

    def nodes_in(self, group: int) -> Iterator[int]:
        """All nodes of a group, in order."""
        stack = list(reversed(self.branches[group].children))
        while stack:
            child = stack.pop()
            if child < 0:
                stack.extend(reversed(self.branches[~child].children))
            else:
                yield child


def grow(graph: Graph) -> Tree:
    """The tree of module calls; calls that hold one thing are replaced by it, adjacent calls with a common path are
    put together."""
    tree = Tree(graph)
    _hang(tree)
    _open_model(tree)
    _merge_wrappers(tree)
    _gather_paths(tree)
    tree.link()
    return tree


def _hang(tree: Tree) -> None:
    """Nodes into calls, calls into the calls that they lie in, all in the order of their first node."""
    calls, branches = tree.graph.calls, tree.branches
    for name, call, module in zip(calls.name, calls.call, calls.module, strict=True):
        tree.add(Branch("module", name, module, call))
    hung = {-1}
    for node, scope in enumerate(tree.graph.nodes.scope):
        branches[scope + 1].children.append(node)  # call c is group c + 1, the root holds what lies in none
        while scope not in hung:
            hung.add(scope)
            parent = calls.parent[scope]
            children = branches[parent + 1].children
            children.append(~(scope + 1))
            scope = parent


def _open_model(tree: Tree) -> None:
    """The model itself, called once, is no group: what is in it lies in the root."""
    root = tree.branches[ROOT]
    calls = [child for child in root.children if child < 0]
    if len(calls) == 1 and not tree.branches[~calls[0]].name:
        at = root.children.index(calls[0])
        root.children[at : at + 1] = tree.branches[~calls[0]].children


def _merge_wrappers(tree: Tree) -> None:
    for number in range(len(tree.branches) - 1, -1, -1):  # what lies in a group has a larger number
        children = tree.branches[number].children
        for position, child in enumerate(children):
            if child < 0 and len(tree.branches[~child].children) == 1:
                only = tree.branches[~child].children[0]
                children[position] = only
                if only >= 0:
                    tree.names.setdefault(only, tree.branches[~child].name)


def _gather_paths(tree: Tree) -> None:
    """'stages.0.0', 'stages.0.1' … side by side in the model: a group 'stages.0', though no such module was called."""
    for number in range(len(tree.branches)):
        todo = [(number, tree.branches[number].name)]
        while todo:
            group, prefix = todo.pop()
            todo += [(~child, path) for child, path in _gather(tree, tree.branches[group], prefix)]


def _gather(tree: Tree, branch: Branch, prefix: str) -> list[tuple[Child, str]]:
    """Put adjacent children with the next part of their paths in common into groups; these, with their paths."""
    runs = _runs(tree, branch, prefix)
    while len(runs) == 1 and runs[0][0]:  # all of them: the group is there already, look one part further
        runs = _runs(tree, branch, runs[0][0])
    made = []
    branch.children = []
    for path, children in runs:
        if path and len(children) > 1:
            made.append((tree.add(Branch("path", path, children=children)), path))
            branch.children.append(made[-1][0])
        else:
            branch.children += children
    return made


def _runs(tree: Tree, branch: Branch, prefix: str) -> list[tuple[str, list[Child]]]:
    runs: list[tuple[str, list[Child]]] = []
    for child in branch.children:
        path = _next_path(tree.branches[~child].name if child < 0 else tree.names.get(child, ""), prefix)
        if runs and path and runs[-1][0] == path:
            runs[-1][1].append(child)
        else:
            runs.append((path, [child]))
    return runs


def _next_path(name: str, prefix: str) -> str:
    """'stages' for 'stages.0.0' inside '', 'stages.0' for it inside 'stages'; '' for what lies directly inside."""
    start = f"{prefix}." if prefix else ""
    inner = name[len(start) :] if name.startswith(start) else ""
    first, dot, _ = inner.partition(".")
    return start + first if dot else ""
