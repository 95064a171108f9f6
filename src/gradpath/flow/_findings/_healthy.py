"""`assert_healthy`: a model's gradients as a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from gradpath.errors import TraceError
from gradpath.flow._findings import KINDS
from gradpath.flow._trace import trace
from gradpath.record import Finding, Flow


def assert_healthy(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
    allow: Iterable[str] = (),
) -> Any:
    """Fail where a trace of one batch has findings: vanishing, exploding, dead units, NaN …

    Args:
        model, batch, criterion, step: as in `trace`. A batch of eight small images or sequences is enough.
        allow: kinds of findings that are no failure, for example ("vanishing",).

    Returns: the `Flow`; for a step with several losses, a dictionary of them.

    Raises: AssertionError with each finding, its evidence and its remedy; TraceError where nothing can be traced.
    """
    __tracebackhide__ = True  # pytest shows the failing test, not this function
    allowed = _known({allow} if isinstance(allow, str) else set(allow))
    found = trace(model, batch, criterion, step=step)
    flows: Mapping[str, Flow] = found if isinstance(found, dict) else {"": found}
    failures = [(name, finding) for name, flow in flows.items() for finding in flow.findings]
    failures = [(name, finding) for name, finding in failures if finding.kind not in allowed]
    if failures:
        raise AssertionError(_message(type(model).__name__, failures))
    return dict(flows) if isinstance(found, dict) else flows[""]


def _known(kinds: set[str]) -> set[str]:
    for kind in sorted(kinds - set(KINDS)):
        raise TraceError(f"allow: {kind!r} is no kind of finding; kinds are: {', '.join(KINDS)}")
    return kinds


def _message(model: str, failures: list[tuple[str, Finding]]) -> str:
    lines = [f"{model} is not healthy: {len(failures)} finding{'s' * (len(failures) > 1)}"]
    for number, (loss, finding) in enumerate(failures, 1):
        lines += [
            f"  {number}. {finding.kind}{f' (loss {loss!r})' if loss else ''}: {finding.sentence}",
            f"     evidence: {finding.evidence}",
            f"     remedy:   {finding.remedy}",
        ]
        lines += [f"     try:      {' · '.join(finding.cures)} (gradpath.whatif)"] if finding.cures else []
    kinds = ", ".join(repr(kind) for kind in dict.fromkeys(finding.kind for _, finding in failures))
    return "\n".join([*lines, f"  To accept this, pass allow=({kinds},)."])
