"""Whether modules are still what their arithmetic was read from."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import nn

from gradpath.nets import hooks_of


class Fingerprint:
    """The parts and parameters of modules, and that nobody hooks into them or has replaced a forward."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        inside = list(dict.fromkeys(inner for module in modules for inner in module.modules()))
        self.held = [named for m in inside for named in (m._modules, m._parameters) if named]
        self.hooks = [hooks for m in inside for hooks in hooks_of(m)]
        self.own = [vars(m) for m in inside]
        self.seen = self._now()

    def still_holds(self) -> bool:
        now = self._now()
        return len(now) == len(self.seen) and all(map(operator.is_, now, self.seen))

    def _now(self) -> list[Any]:
        held = [one for named in self.held for one in named.values()]
        return [*held, *filter(None, self.hooks), *(own["forward"] for own in self.own if "forward" in own)]
