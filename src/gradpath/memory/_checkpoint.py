"""A block that is computed again in the backward pass instead of kept, and that leaves no trace of the second time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.utils import checkpoint as torch_checkpoint
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from gradpath.errors import UserError
from gradpath.memory._reachable import modules_of
from gradpath.memory._state import Snapshot

_LEAF = (Tensor, bool, int, float, str, type(None))  # what a structure of tensors ends in
Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


@_disable_dynamo
def checkpoint(
    block: Callable[..., Any],
    *inputs: Any,
    preserve_rng_state: bool = True,
    use_reentrant: bool | None = None,
    context_fn: Contexts = torch_checkpoint.noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """`block(*inputs, **kwargs)`, of which only the inputs are kept: the backward pass computes the block again.

    Takes what `torch.utils.checkpoint.checkpoint` takes and returns what the block returns. Loss and gradients are
    bitwise those of the plain call where the block's operations are deterministic, and so are its buffers: the second
    forward finds the buffers and training flags that the first one found, and afterwards they are put back. So
    BatchNorm's running statistics are updated once a step (torch's own function updates them twice), and so is all
    that any module writes to its buffers.

    block: a module, a method of one, or any callable. Buffers are those of the modules that can be reached from it
        and from the inputs: children, a method's owner, `functools.partial`, a function's closure, defaults and
        globals, in lists and dicts too. Where a function closes over a whole model, all of the model is searched at
        every call: give the block itself.
    inputs, kwargs: anything; tensors in lists, tuples, dicts and registered structures take part in autograd, and
        their devices' random generators are preserved.
    preserve_rng_state: the second forward draws the random numbers of the first (torch's generators, 5 KB a call;
        not Python's and not numpy's). False where the block draws none.
    use_reentrant: accepted and of no effect: autograd's graph inside the block is always recorded, so that
        `gp.trace` and `gp.paths` see it.
    context_fn, determinism_check, debug, early_stop: as in the installed torch (2.4 has no `early_stop`).

    Kept between the passes: the inputs, what other blocks keep, and one copy of the block's floating-point buffers.
    Forward hooks run at both forwards, since they may change what is computed. Without grad mode it is a plain call.
    Raises UserError when the block cannot be called or holds TorchScript; torch's CheckpointError, in the backward
    pass, when the second forward saves other tensors than the first.
    """
    del use_reentrant
    if not callable(block):
        raise UserError(f"gp.checkpoint: a {type(block).__name__} cannot be called: give the block first, then inputs")
    if not torch.is_grad_enabled():
        return block(*inputs, **kwargs)
    options: dict[str, Any] = {"context_fn": context_fn, "determinism_check": determinism_check, "debug": debug}
    if not early_stop:
        options["early_stop"] = early_stop
    twice = _Twice(block, inputs, kwargs)
    return torch_checkpoint.checkpoint(
        twice, *twice.leaves(), preserve_rng_state=preserve_rng_state, use_reentrant=False, **options
    )


class _Twice:
    """Calls a block for the forward, and again for the backward, which then finds and leaves all as it should be."""

    def __init__(self, block: Callable[..., Any], inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        modules = modules_of(block, inputs, kwargs)
        if any(isinstance(module, torch.jit.ScriptModule) for module in modules):
            raise UserError(
                "gp.checkpoint: the block holds TorchScript, which cannot be computed again in part: "
                "give the module that it was made of"
            )
        self.block, self.before = block, Snapshot(modules)
        self.first: tuple[tuple[Any, ...], dict[str, Any]] | None = (inputs, kwargs)
        self.structure: TreeSpec | None = None

    def leaves(self) -> list[Any]:
        """What the block is given, one by one, so that torch sees, keeps and checks each tensor of it."""
        assert self.first is not None
        inputs, kwargs = self.first
        if not kwargs and all(isinstance(one, _LEAF) for one in inputs):
            return list(inputs)
        leaves, self.structure = tree_flatten((inputs, kwargs))
        return leaves

    def __call__(self, *leaves: Any) -> Any:
        """The first time with the caller's own lists and dicts, which the block may change; then with fresh ones."""
        if self.first is not None:
            (inputs, kwargs), self.first = self.first, None  # let go: torch keeps the leaves
            output = self.block(*inputs, **kwargs)
            self.before.forget_constants()
            return output
        inputs, kwargs = tree_unflatten(leaves, self.structure) if self.structure else (leaves, {})
        with self.before.again():
            return self.block(*inputs, **kwargs)
