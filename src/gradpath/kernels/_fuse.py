"""`gp.fuse`: fast blocks into a model, in place."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gradpath.errors import KernelError, UserError
from gradpath.kernels._dense_choose import BACKENDS, dense_passes
from gradpath.kernels._dense_function import KEEPS
from gradpath.kernels._dense_modules import FusedModule, fuse_module, unfuse_module, why_not_fused


def fuse(
    model: nn.Module, backend: str = "auto", *, keep: str = "features", say: Callable[[str], object] = print
) -> nn.Module:
    """Let the dense blocks of a model run as fast and lean ones; the same model, changed in place.

    Knows the dense nets of gradpath, torchvision and timm by the exact types of their blocks and layers; any other
    module is left alone. Parameters, buffers, their names and the state dict stay as they are, and so do results, to
    rounding: outputs, gradients, running statistics. Outputs are channels-last. Where a fused block cannot be used (a
    hook on a layer, torch.compile, torch.func, an input that does not fit) the plain layers run; inside the module's
    `plain_view()` they always do: `gp.trace` and `gp.paths` see those. A second derivative is refused.

    backend: 'auto', the fastest that this machine has; 'fused', passes in C++, compiled at the first use and cached;
        'torch', plain torch operations; 'reference', the plain layers: undoes an earlier call.
    keep: what the backward finds: 'features', the block's output alone (least memory), or 'bottlenecks', also what the
        1×1 convolutions gave (five times that, and no redo of them).
    say: called once, with a line that says what was fused, on what, and what was left alone and why.

    Raises UserError for an argument that is none of these, KernelError for a backend that there is not.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"gp.fuse: the model must be a torch.nn.Module, got a {type(model).__name__}")
    if keep not in KEEPS:
        raise UserError(f"gp.fuse: keep={keep!r} is unknown, choose from {', '.join(KEEPS)}")
    if backend not in ("reference", *BACKENDS):
        raise KernelError(f"gp.fuse: backend {backend!r} is unknown, choose from reference, {', '.join(BACKENDS)}")
    for module in model.modules():
        unfuse_module(module)
    if backend == "reference":
        say("fuse: all blocks are plain, as asked")
        return model
    found = {name: why for name, module in model.named_modules() if (why := why_not_fused(module)) is not None}
    done = [name for name, why in found.items() if not why]
    passes = dense_passes(backend).line if done else ""  # nothing is compiled for nothing
    for name in done:
        fuse_module(model.get_submodule(name), backend, keep)
    say(_line(model, done, {name: why for name, why in found.items() if why}, passes, keep))
    return model


def fused_modules(model: nn.Module) -> dict[str, FusedModule]:
    """The fused modules of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, FusedModule)}


def _line(model: nn.Module, done: list[str], left: dict[str, str], passes: str, keep: str) -> str:
    if not done and not left:
        return f"fuse: {type(model).__name__} has no dense blocks that are known: nothing was changed"
    blocks = f"{len(done)} dense block{'' if len(done) == 1 else 's'} on {passes}, keeping {keep}"
    alone = "; ".join(f"{name or type(model).__name__}: {why}" for name, why in left.items())
    return f"fuse: {blocks}" + (f"; left alone: {alone}" if left else "")
