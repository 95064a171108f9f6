"""`whatif`: one change to the backward pass, or to a copy of the model, and its effect on the gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from gradpath.errors import TraceError, UserError
from gradpath.flow._forward import Place
from gradpath.flow._paths._question import unwrapped
from gradpath.flow._tracing import Tracing
from gradpath.flow._whatif._activations import activated
from gradpath.flow._whatif._additions import inserted, skipped
from gradpath.flow._whatif._changes import Asked, Done, parse
from gradpath.flow._whatif._initialise import initialised, trained
from gradpath.flow._whatif._lesions import lesioned
from gradpath.flow._whatif._sentence import facts, sentence
from gradpath.flow._whatif._surgery import Question, copied
from gradpath.record import Flow, WhatIf

Outcome = tuple[Flow, Flow, Done]

_SURGERIES: dict[str, Callable[[nn.Module, Asked, Question, Flow], AbstractContextManager[Done]]] = {
    "init": initialised,
    "skip": skipped,
    "insert": inserted,
    "activation": activated,
    "train": trained,
}


def whatif(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    change: str = "",
    *,
    step: Callable[..., Any] | None = None,
    at: Place = None,
) -> WhatIf:
    """What one change would do to the gradient: `whatif(model, batch, F.cross_entropy, "init=he")`.

    Args:
        model: any module, in the mode it is in. It is left as found; a change to the model is made to a copy.
            DistributedDataParallel is unwrapped.
        batch, criterion, step, at: as for `trace`; one loss. A step must use the model that it is given.
        change: KEY=VALUE[:VALUE]. In the backward pass alone, with the forward pass as it is: cut=skips,
            cut=branches, cut=MODULE, scale=skips:0.5, norm=detach … On a copy: init=he, skip=every:2, skip=MODULE,
            insert=batchnorm, activation=gelu, train=1:0.1 … `CHANGES` lists all; docs/definitions.md defines them.

    Returns: a `WhatIf` record with both flows and a sentence. Both passes start from the same random state; what a
        change draws comes from seed 0.

    Raises: TraceError for a change that is not known or does not fit, a model that cannot be copied or does not run
        once it is changed, and for what `trace` cannot trace.
    """
    if isinstance(criterion, str):
        raise TraceError(f"the criterion is the text {criterion!r}: a change comes fourth, or as change={criterion!r}")
    asked = parse(change)
    model, wrapper = unwrapped(model)  # its forward waits for the other processes
    question = Question(batch, criterion, step, _by_name(model, at))
    before, after, done = (_on_a_copy if asked.change.on_copy else _in_the_backward_pass)(model, asked, question)
    told = sentence(asked, done, before, after)
    return WhatIf(
        change=asked.text,
        sentence=told,
        before=before,
        after=after,
        notes=(*wrapper, *done.notes),
        facts=facts(done, before, after),
    )


def _by_name(model: nn.Module, at: Place) -> Place:
    """A module as its name, which the copy has too."""
    if not isinstance(at, nn.Module):
        return at
    name = next((name for name, module in model.named_modules() if module is at), None)
    if name is None:
        raise TraceError(f"at: the given {type(at).__name__} is no module of the model")
    return str(name)


def _in_the_backward_pass(model: nn.Module, asked: Asked, question: Question) -> Outcome:
    """Two backward passes over one graph."""
    with question.forward(model) as forward:
        before = Tracing(forward, keep_graph=True).flow()
        with lesioned(forward, asked) as done:
            after = Tracing(forward).flow() if done.count else before
    return before, after, done


def _on_a_copy(model: nn.Module, asked: Asked, question: Question) -> Outcome:
    before = question.flow(model)
    changed = copied(model)
    try:
        with _SURGERIES[asked.change.key](changed, asked, question, before) as done:
            after = question.flow(changed) if done.count else before
    except UserError:
        raise
    except Exception as error:  # the user's own model, under a change that it was not made for
        first = (str(error).strip().splitlines() or [""])[0]
        raise TraceError(f"{asked.text}: the changed model does not run ({type(error).__name__}: {first})") from error
    if before.layers and not after.layers:
        raise TraceError(f"{asked.text}: step(model, batch) did not call the model that it was given, a changed copy")
    return before, after, done
