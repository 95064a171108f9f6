"""Questions to a model: what it prints goes to stderr, what it raises is one line."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import nn

from gradpath.cli._inputs import Subject
from gradpath.cli._target import users_error
from gradpath.errors import GradpathError, TraceError, UserError
from gradpath.flow import paths, trace, whatif
from gradpath.flow._whatif._changes import parse
from gradpath.record import Flow, PathLengths, WhatIf

CURES = 2
"""Cures of the worst finding that are simulated without being asked for: each costs two traces."""


def check_changes(changes: Sequence[str]) -> None:
    """Raises TraceError, before any work, for a change that is not known."""
    for change in changes:
        parse(change)


def traced(subject: Subject, lines: bool = False) -> Flow:
    """`gp.trace` of the subject's batches; what was assumed about them stands in the record's notes."""
    with models_code(subject.model):
        flow = trace(
            subject.model,
            subject.batch,
            subject.criterion,
            step=subject.step,
            at=subject.at,
            source_lines=lines,
            batches=subject.batches[1:],
        )
    if not isinstance(flow, Flow):
        raise UserError(f"the loss is a mapping of {len(flow)} losses: return one of them")
    unseen = replace(flow.unseen, notes=(*subject.notes, *flow.unseen.notes))
    return replace(flow, model=subject.name or flow.model, unseen=unseen)


def split(subject: Subject, unit: str | None, method: str, by_depth: bool, seed: int) -> PathLengths:
    """`gp.paths` of the subject's batch."""
    with models_code(subject.model):
        found = paths(
            subject.model,
            subject.batch,
            subject.criterion,
            step=subject.step,
            at=subject.at,
            unit=unit,
            method=method,
            by_depth=by_depth,
            seed=seed,
        )
    return replace(found, model=subject.name or found.model, notes=(*subject.notes, *found.notes))


def simulated(subject: Subject, changes: Sequence[str], tell: Callable[[str], None]) -> list[WhatIf]:
    """What each change does. Raises TraceError for one that does not fit the model."""
    found = []
    for change in changes:
        tell(f"simulating {change} …")
        with models_code(subject.model):
            found.append(
                whatif(subject.model, subject.batch, subject.criterion, change, step=subject.step, at=subject.at)
            )
    return found


def simulated_cures(flow: Flow, subject: Subject, done: Sequence[str], tell: Callable[[str], None]) -> list[WhatIf]:
    """What the first cures of the worst finding would do; one that does not fit the model is said, and left out."""
    cures = [cure for cure in (flow.findings[0].cures if flow.findings else ()) if cure not in done]
    found = []
    for cure in cures[:CURES]:
        try:
            found += simulated(subject, [cure], tell)
        except UserError as error:
            tell(f"{cure} could not be simulated: {error}")
    return found


@contextlib.contextmanager
def models_code(model: nn.Module | None = None) -> Iterator[None]:
    """What goes wrong in the model's forward, or for want of memory, is one line; an error of ours stays what it is."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except GradpathError:
        raise
    except Exception as error:
        if not _is_the_models(error):
            raise
        raise TraceError(f"{users_error('the model raised', error)}{_where(error, model)}") from error


def _where(error: Exception, model: nn.Module | None) -> str:
    """'; in layers.3 (Linear)', the innermost module that was being called; '' outside of all modules."""
    names = {id(module): name for name, module in model.named_modules()} if model is not None else {}
    called = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [module for module in called if names.get(id(module))]
    return f"; in {names[id(inside[-1])]} ({type(inside[-1]).__name__})" if inside else ""


def _is_the_models(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    called = any(frame.name == "_call_impl" and "torch" in frame.filename for frame in frames)
    return called or "OutOfMemory" in type(error).__name__ or "out of memory" in str(error)
