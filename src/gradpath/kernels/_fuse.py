"""`gp.fuse`: fast blocks into a model, in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from torch import nn

from gradpath.errors import KernelError, UserError
from gradpath.kernels import _dense_modules as dense
from gradpath.kernels import _residual_modules as residual
from gradpath.kernels._choose import BACKENDS, canonical
from gradpath.kernels._dense_choose import dense_passes
from gradpath.kernels._dense_function import KEEPS
from gradpath.kernels._fused_module import FusedModule, unfuse_module
from gradpath.kernels._trial import residual_choice

Reasons = dict[str, str]
"""Name of a block → why it was left alone."""


def fuse(
    model: nn.Module, backend: str = "auto", *, keep: str = "features", say: Callable[[str], object] = print
) -> nn.Module:
    """Let the residual and dense blocks of a model run as fast and lean ones; the same model, changed in place.

    Knows the blocks of gradpath's plain, residual and dense nets and those of torchvision's and timm's ResNets and
    DenseNets, by their exact types and parts; any other module is left alone. Parameters, buffers, their names and the
    state dict stay as they are, and so do results, to rounding: outputs, gradients, running statistics. In C++ 3×3
    convolutions in float32 have Winograd's form, whose errors are at most 5e-6 of the largest number. Outputs are
    channels-last. Of a residual block only its input and what its convolutions gave is kept for the backward, of a
    dense block its features. Inside torch.compile a fused residual block is one operator. Where a fused block
    cannot be used (a hook inside it, torch.func, an input that does not fit) the plain layers run; inside the module's
    `plain_view()` they always do: `gp.trace` and `gp.paths` see those. A second derivative is refused.

    backend: 'auto', on the CPU the fastest that this machine has, by its compiler and a short trial that is kept in
        the user's cache folder, elsewhere the plain layers; 'compiled', passes in C++, compiled at the first use and
        cached; 'torch', plain torch operations; 'triton', GPU kernels, not measured yet, so that 'auto' never gives
        them; 'reference', the plain layers: undoes an earlier call.
    keep: what the backward finds. 'features': of a residual block its input and all that its convolutions gave, of a
        dense block its output alone. 'bottlenecks': of a dense block also what the 1×1 convolutions gave (five times
        that, and no redo of them). 'least': of a residual block its input and what its last norm or convolution reads;
        the convolutions before are redone (not inside torch.compile).
    say: called once, with a line that says what was fused, on what, and what was left alone and why.

    Raises UserError for an argument that is none of these, KernelError for a backend that there is not.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"gp.fuse: the model must be a torch.nn.Module, got a {type(model).__name__}")
    if keep not in KEEPS:
        raise UserError(f"gp.fuse: keep={keep!r} is unknown, choose from {', '.join(KEEPS)}")
    if canonical(backend) not in BACKENDS:
        raise KernelError(f"gp.fuse: backend {backend!r} is unknown, choose from {', '.join(BACKENDS)}")
    for module in model.modules():
        unfuse_module(module)
    if backend == "reference":
        say("fuse: all blocks are plain, as asked")
        return model
    left: Reasons = {}
    if backend == "auto" and (device := _other_device(model)):
        say(f"fuse: nothing was changed: the model is on {device}, where no fused block has been measured to be faster")
        return model
    done = [_fuse_residual(model, backend, keep, left), _fuse_dense(model, backend, keep, left)]
    said = " and ".join(filter(None, done))
    if not said and not left:
        say(f"fuse: {type(model).__name__} has no blocks that are known: nothing was changed")
    else:
        say("; ".join([f"fuse: {said or 'nothing was changed'}", *_told(model, left)]))
    return model


def fused_modules(model: nn.Module) -> dict[str, FusedModule]:
    """The fused modules of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, FusedModule)}


def backend_of(model: nn.Module) -> str:
    """What the blocks of a model run on here: 'compiled', 'torch', or 'reference' where none is fused."""
    used = {module.runs_on for module in fused_modules(model).values()}
    return "reference" if not used else "compiled" if "compiled" in used else used.pop()


def _fuse_residual(model: nn.Module, backend: str, keep: str, left: Reasons) -> str:
    """Fuse what can be, note the rest in `left`; what was done, in a few words."""
    found = {name: why for name, m in model.named_modules() if (why := residual.why_not_fused(m)) is not None}
    left |= {name: why for name, why in found.items() if why}
    names = [name for name, why in found.items() if not why]
    if not names:  # nothing is compiled for nothing
        return ""
    choice = residual_choice(backend)
    if choice.backend == "reference":
        left |= dict.fromkeys(names, choice.line)
        return ""
    for name in names:
        residual.fuse_module(model.get_submodule(name), backend, keep)
    return f"{len(names)} residual block{'' if len(names) == 1 else 's'} on {choice.line}"


def _fuse_dense(model: nn.Module, backend: str, keep: str, left: Reasons) -> str:
    """The same for dense blocks."""
    found = {name: why for name, m in model.named_modules() if (why := dense.why_not_fused(m)) is not None}
    left |= {name: why for name, why in found.items() if why}
    names = [name for name, why in found.items() if not why]
    if not names:
        return ""
    passes = dense_passes(backend).line
    for name in names:
        dense.fuse_module(model.get_submodule(name), backend, keep)
    return f"{len(names)} dense block{'' if len(names) == 1 else 's'} on {passes}, keeping {keep}"


def _other_device(model: nn.Module) -> str:
    """Where parameters are that are not on the CPU; '' where all are."""
    return next((str(p.device) for p in model.parameters() if p.device.type != "cpu"), "")


def _told(model: nn.Module, left: Reasons) -> list[str]:
    """One clause for each reason, with the first block that it holds for."""
    by_reason = defaultdict(list)
    for name, why in left.items():
        by_reason[why].append(name or type(model).__name__)
    clauses = [
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {why}" for why, names in by_reason.items()
    ]
    return [f"left alone: {clauses[0]}", *clauses[1:]] if clauses else []
