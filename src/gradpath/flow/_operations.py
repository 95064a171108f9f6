"""What the caller, or a library, says that operations are: autograd shows nothing of a custom Function's inside.

A library says it once, on its own class: `class ResidualAdd(torch.autograd.Function): gradpath_operation = "add"`. For
one that is not yours, and for operations written in C++, `operations={"ResidualAdd": "add"}` says it for one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from torch.autograd import Function

from gradpath.errors import TraceError

Operation: TypeAlias = Literal["skip", "add", "concat", "gated", "norm", "layer", "branch"]
"""skip: linear and free of parameters (an identity, an all-reduce). add, concat: a merge of its inputs. gated: a skip
times data. norm, layer: as those of torch. branch: anything else."""
Operations: TypeAlias = Mapping[str | type[Function], Operation]


def checked(operations: Operations | None) -> dict[str, Operation]:
    """The given operations by the name that autograd has for them. Raises TraceError for a kind that there is not."""
    found = {_name(key): value for key, value in (operations or {}).items()}
    for name, kind in found.items():
        _check(name, kind)
    return found


def said(node: Any, given: Mapping[str, Operation], name: str) -> Operation | None:
    """What is said of a node, by the caller or else by its own Function. Raises TraceError as `checked` does."""
    if name in given:
        return given[name]
    own: Any = getattr(getattr(node, "_forward_cls", None), "gradpath_operation", None)
    if own is not None:
        _check(name, own)
    return own  # type: ignore[no-any-return]


def operation_name(name: str) -> str:
    """'Convolution' for 'ConvolutionBackward0', 'Add' for 'torch::autograd::AddBackward'."""
    return name.rsplit("::", 1)[-1].rstrip("0123456789").removesuffix("Backward")


def _name(key: Any) -> str:
    if isinstance(key, str):
        return operation_name(key)
    if isinstance(key, type) and issubclass(key, Function):
        return key.__name__
    raise TraceError(f"operations: {key!r} is neither a name nor a class of torch.autograd.Function")


def _check(name: str, kind: Any) -> None:
    if kind not in get_args(Operation):
        raise TraceError(f"operations: {name} is said to be {kind!r}: give one of {', '.join(get_args(Operation))}")
