"""`trace`: one forward and backward pass of any model, seen from the inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

from torch import nn

from gradpath.errors import TraceError
from gradpath.flow._context import TraceContext
from gradpath.flow._findings import diagnosed, over_losses
from gradpath.flow._forward import Place, forward_passes
from gradpath.flow._operations import Operations
from gradpath.flow._paths._question import unwrapped
from gradpath.flow._statistics import statistics
from gradpath.flow._tracing import Tracing
from gradpath.record import Flow

_NONE: Any = object()


@overload
def trace(
    model: nn.Module,
    *,
    at: Place = None,
    source_lines: bool = False,
    quick: bool = False,
    operations: Operations | None = None,
    scaler: Any = None,
) -> TraceContext: ...
@overload
def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: None = None,
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
    operations: Operations | None = None,
) -> Flow: ...
@overload
def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any],
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
    operations: Operations | None = None,
) -> Any: ...
def trace(
    model: nn.Module,
    batch: Any = _NONE,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
    operations: Operations | None = None,
    scaler: Any = None,
) -> Any:
    """Where the gradient of one batch went in a model: layers, forks with their edges, gains, effective depth.

    Without a batch, `with trace(model) as traced:` goes around your own forward and `loss.backward()` (a training step
    of Lightning or of a Trainer, a GAN); `traced.flow` is the record. `torch.autograd.backward(...)` is not seen.

    Args:
        model: any module, in the mode it is in; DistributedDataParallel is unwrapped. Its parameters, gradients,
            buffers, hooks and the random state are left as found (but for parameters that its own forward writes).
        batch: with a criterion, a pair (input, target); else the input: a tensor, a tuple of positional arguments or
            a mapping of keyword arguments.
        criterion: criterion(output, target) → scalar loss. Without it the output is a scalar, has `.loss` or a key
            "loss".
        step: step(model, batch) → scalar loss, for anything else, or a mapping of scalar losses. It must not call
            `backward()` itself.
        at: where paths are taken: a module or its name (its output), or an input that needs a gradient. Usually the
            output of the first layer that has parameters.
        source_lines: note file and line of each fork's merge and of each edge's consumer, and how many operations each
            custom Function hides (about 5 times the time).
        batches: more batches of the same form; the record then holds the mean and standard error over all of them.
        quick: layers and forks alone: no effective depth (one more backward pass), nothing about single elements
            (zeros, what float16 would lose, dead and saturated units), no map of reuse, no findings.
        operations: what operations are that autograd does not show the inside of, by name or by class:
            {ResidualAdd: "add"}. One of skip, add, concat, gated, norm, layer, branch. A library says it on its own
            class instead, once: `gradpath_operation = "add"`.
        scaler: for the block alone: the `torch.amp.GradScaler` of your step, whose scale is then divided out of the
            loss and of all gradients. Without it the record is of the scaled loss, and a note says so.

    Returns: a `Flow` record; for a step with several losses, a dictionary of them. Definitions: docs/definitions.md.

    Raises: TraceError when there is no scalar loss, or no gradient can be taken through the model.
    """
    if batch is _NONE:
        if criterion is not None or step is not None:
            raise TraceError("trace was given a criterion or a step, but no batch: pass one, or use it as a context")
        return TraceContext(model, at, source_lines, quick, operations, scaler)
    if scaler is not None:
        raise TraceError("scaler is for `with trace(model, scaler=scaler):` around a step that scales its loss itself")
    model, wrapper = unwrapped(model)  # its forward waits for the other processes

    def flows(batch: Any) -> dict[str, Flow]:
        with forward_passes(model, batch, criterion, step, at, source_lines, not quick, operations) as passes:
            for one in passes.values():
                one.notes += wrapper
            last = next(reversed(passes))
            return {name: Tracing(one, quick, name != last).flow() for name, one in passes.items()}

    found = [flows(one) for one in (batch, *batches)]
    for losses in found:
        if losses.keys() != found[0].keys():
            raise TraceError(
                f"batches: the step returned other losses ({', '.join(losses)}) than for the first batch "
                f"({', '.join(found[0])}): return the same names for every batch"
            )
    records = {name: statistics([each[name] for each in found]) for name in found[0]}
    if not quick:
        records = dict(zip(records, over_losses(list(records.values())), strict=True))
        records = {name: diagnosed(model, flow, batch, criterion, step) for name, flow in records.items()}
    return records[""] if list(records) == [""] else records
