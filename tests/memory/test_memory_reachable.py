"""The modules that a callable can run are found, however it holds them, and nothing else is searched."""

from __future__ import annotations

import functools
import types

import pytest
import torch
from torch import nn

from gradpath.memory._reachable import MOST_HELD, modules_of

NET = nn.Linear(2, 2)
TABLE = {"nets": [nn.Linear(2, 2)]}


def uses_a_global(x):
    return NET(x)


def uses_a_table(x):
    return TABLE["nets"][0](x)


def uses_another_function(x):
    return (lambda z: uses_a_global(z))(x)


class Trainer:
    """No module itself."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.samples, self.logger = net, list(range(MOST_HELD + 1)), types.SimpleNamespace(other=nn.Tanh())

    def run(self, x):
        return self.net(x)

    def __call__(self, x):
        return self.net(x)


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Sequential(nn.Tanh(), nn.Tanh())
        self.again = self.child[0]

    def part(self, x):
        return self.child(x)


net = nn.Linear(2, 2)
parent = Parent()
trainer = Trainer(net)


def closure():
    held = net
    return lambda x: held(x)


def early():
    """Its closure has a cell that is still empty."""

    def call(x):
        return later(x)

    found = modules_of(call)
    later = net
    assert later is net
    return found


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        ((net,), [net]),
        ((parent,), [parent, parent.child, *parent.child]),
        ((parent.part,), [parent, parent.child, *parent.child]),
        ((net.__call__,), [net]),
        ((functools.partial(lambda m, x: m(x), net),), [net]),
        ((functools.partial(lambda x, m: m(x), m=net),), [net]),
        ((closure(),), [net]),
        ((functools.lru_cache(closure()),), [net]),
        (((lambda x, m=net: m(x)),), [net]),
        (((lambda x, *, m=net: m(x)),), [net]),
        ((uses_a_global,), [NET]),
        ((uses_a_table,), TABLE["nets"]),
        ((uses_another_function,), [NET]),
        ((trainer,), [net]),
        ((trainer.run,), [net]),
        (((lambda x, t=trainer: t.run(x)),), [net]),
        ((torch.tanh, ({"a": [net, (net,)]},), {"m": {NET}}), [NET, net]),
        ((torch.compile(net, backend="eager"),), "compiled"),
        ((torch.tanh, (torch.ones(2), 3, None, "x")), []),
        ((nn.functional.relu,), []),
    ],
)
def test_every_module_is_found_once(roots, expected):
    found = modules_of(*roots)
    if expected == "compiled":
        assert net in found
        return
    assert len(found) == len(set(found)) and set(found) == set(expected)


def test_a_name_that_is_not_bound_yet_is_no_error():
    assert early() == []


def test_cycles_end():
    loop: list = [net]
    loop.append(loop)
    assert modules_of(loop) == [net]


def test_a_thousand_nested_modules_need_no_recursion():
    nested: nn.Module = nn.Tanh()
    for _ in range(5000):
        nested = nn.Sequential(nested)
    assert len(modules_of(nested)) == 5001
