"""gradpath: where the gradient of a deep network dies, which path still carries it, and what to change.

The public names are resolved on first use, so that `import gradpath` is quick and imports no torch.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "trace": "gradpath.flow",
    "paths": "gradpath.flow",
    "whatif": "gradpath.flow",
    "watch": "gradpath.flow",
    "assert_healthy": "gradpath.flow",
    "circuit": "gradpath.circuits",
    "compare": "gradpath.cli._jobs",
    "train": "gradpath.training",
    "render": "gradpath.report",
    "read": "gradpath.record",
    "NetSpec": "gradpath.record",
    "build": "gradpath.nets",
    "load_weights": "gradpath.nets",
    "checkpoint": "gradpath.memory",
    "plan": "gradpath.memory",
    "apply_plan": "gradpath.memory",
    "largest_batch": "gradpath.memory",
    "deepest": "gradpath.memory",
    "fuse": "gradpath.kernels",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from gradpath.circuits import circuit as circuit
    from gradpath.cli._jobs import compare as compare
    from gradpath.flow import assert_healthy as assert_healthy
    from gradpath.flow import paths as paths
    from gradpath.flow import trace as trace
    from gradpath.flow import watch as watch
    from gradpath.flow import whatif as whatif
    from gradpath.kernels import fuse as fuse
    from gradpath.memory import apply_plan as apply_plan
    from gradpath.memory import checkpoint as checkpoint
    from gradpath.memory import deepest as deepest
    from gradpath.memory import largest_batch as largest_batch
    from gradpath.memory import plan as plan
    from gradpath.nets import build as build
    from gradpath.nets import load_weights as load_weights
    from gradpath.record import NetSpec as NetSpec
    from gradpath.record import read as read
    from gradpath.report import render as render
    from gradpath.training import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradpath' has no attribute {name!r}; it has: {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if "IPython" in sys.modules:  # a notebook or its console: a bare record in a cell shows its page
    from gradpath._notebook import register

    register()
    del register
