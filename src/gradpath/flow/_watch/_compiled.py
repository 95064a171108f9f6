"""Has this model's first compiled call run already? Then hooks set now would do nothing, silently.

Dynamo does not look at hooks again once it has compiled a function (`skip_nnmodule_hook_guards`), and it reuses the
compiled code for other instances of the class. So the question is put to the code objects that a compiled call runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

from torch import nn

from gradpath.errors import TraceError


def refuse_compiled(model: nn.Module) -> None:
    """Raises TraceError where compiled code of this model's class, or of one of its modules, is in use."""
    for module in model.modules():
        if any(_entries(code) for code in _codes(module)):
            name = type(getattr(module, "_orig_mod", module)).__name__
            raise TraceError(
                f"{name} has been compiled and run already: watch first, compile second (hooks set later do nothing, "
                "silently). Call gp.watch before the first compiled call, or torch._dynamo.reset() before gp.watch"
            )


def is_wrapped(module: nn.Module) -> bool:
    """Whether a call of this module goes through torch.compile."""
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None


def _codes(module: nn.Module) -> Iterator[CodeType]:
    """Code whose compiled form serves this module: its class's forward, or, for a class of torch's own, the code that
    calls all such classes (only where this module is known to be compiled)."""
    inner = getattr(module, "_orig_mod", module)
    forward = inspect.unwrap(type(inner).forward)
    if not str(getattr(forward, "__module__", "")).startswith("torch."):
        yield from _code_of(forward)
    elif is_wrapped(module):
        yield from _code_of(forward)
        yield from _code_of(nn.Module._call_impl)
        yield from _code_of(_inline(inner))


def _code_of(function: Any) -> Iterator[CodeType]:
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        yield code


def _inline(module: nn.Module) -> Any:
    try:
        from torch._dynamo.external_utils import wrap_inline
    except ImportError:
        return None
    return wrap_inline(module)


def _entries(code: CodeType) -> list[Any]:
    """Dynamo's compiled forms of a code object; none where this version of torch does not tell."""
    try:
        from torch._C._dynamo.eval_frame import _debug_get_cache_entry_list
    except ImportError:
        return []
    return list(_debug_get_cache_entry_list(code))  # type: ignore[no-untyped-call,unused-ignore]
