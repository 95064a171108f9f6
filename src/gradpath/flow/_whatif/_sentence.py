"""What a change did, in one sentence, from the two flows alone."""

from __future__ import annotations

import math

from gradpath.flow._whatif._changes import ACTIVATIONS, INITIALISATIONS, INSERTS, TERMS, Asked, Done
from gradpath.record import Flow, Layer

_SMALL = 0.05
"""A change of less than this share is none."""


def sentence(asked: Asked, done: Done, before: Flow, after: Flow) -> str:
    """'without the skips the gradient at conv1 falls by 4.1 decades (1.2e-2 → 9.8e-7)'."""
    if not done.count:
        return f"nothing changes: {done.notes[0] if done.notes else 'there is nothing to change'}"
    moved = _moved_most(before, after)
    clauses = [clause for clause in (moved and _told(*moved), _depth_clause(before, after)) if clause]
    if clauses:
        return f"{_lead(asked)} {'; '.join(clauses)}"
    return f"nothing changes: {_lead(asked)} no layer's gradient is {100 * _SMALL:.0f} % larger or smaller"


def facts(done: Done, before: Flow, after: Flow) -> dict[str, str]:
    """What the sentence is made of, beside the change itself."""
    if not done.count:
        return {"nothing": done.notes[0] if done.notes else ""}
    found = {"smallest": f"{100 * _SMALL:.0f}"}
    if (moved := _moved_most(before, after)) is not None:
        place, old, new = moved
        found |= {"place": place, "before": number(old), "after": number(new)}
        if math.isfinite(new - old):
            found["moved"] = _moved(new - old)
    if _depth_clause(before, after) is not None:
        depths = {"depth_before": before.effective_depth, "depth_after": after.effective_depth}
        found |= {name: _two(depth) for name, depth in depths.items() if depth is not None}
    return found


def _lead(asked: Asked) -> str:
    key, words = asked.change.key, asked.words
    simple = {"norm": TERMS, "init": INITIALISATIONS, "activation": ACTIVATIONS}
    if key in simple:
        return f"with {simple[key][words[0]]}"
    if key == "insert":
        return f"with {INSERTS[words[0]]} after each layer"
    if key == "skip":
        return f"with a skip around {_every(words[1]) if len(words) > 1 else words[0]}"
    if key == "train":
        steps = "1 SGD step" if float(words[0]) == 1 else f"{words[0]} SGD steps"
        return f"after {steps}" + (f" (rate {words[1]})" if len(words) > 1 else "")
    return _edges_lead(key, list(words))


def _every(layers: str) -> str:
    return "each layer" if float(layers) == 1 else f"every {layers} layers"


def _edges_lead(key: str, words: list[str]) -> str:
    factor = words.pop() if key == "scale" else ""
    what = words.pop(0) if words[0] in ("skips", "branches") else "skips"
    what += f" of {words[0]}" if words else ""
    return f"with the {what} times {factor}" if factor else f"without the {what}"


def _moved_most(before: Flow, after: Flow) -> tuple[str, float, float] | None:
    """(layer, log10 of its gradient before, after), None where none moved. It is the first layer whose gradient changed
    by at least half as many decades as where it changed most: a change adds up towards the front, and there it matters.
    """
    old, new = _norms(before), _norms(after)
    changes = {place: _decades(old[place], new[place]) for place in old if place in new}
    largest = max(changes.values(), default=0.0)
    if not largest:
        return None
    place = next(place for place, change in changes.items() if change >= largest / 2)
    if largest < math.log10(1 + _SMALL):
        return None
    return place, old[place], new[place]


def _norms(flow: Flow) -> dict[str, float]:
    """log10 of the gradient's norm at each weighted layer, by its name; −inf where none arrived. Without weighted
    layers at each layer, without layers at each parameter."""
    calls = [layer for layer in flow.layers if layer.weighted] or list(flow.layers)
    if calls:
        named = [(_name(call), call.log10_gradient_norm) for call in calls]
    else:
        named = [(p.name, p.log10_gradient_norm) for p in flow.parameters]
    return {name: -math.inf if value is None else value for name, value in named}


def _name(call: Layer) -> str:
    """'blocks.3.fc, call 2'; 'layer 36' for a Sequential's bare number."""
    return f"{'layer ' * call.scope.isdigit()}{call.scope or call.module}{f', call {call.call}' * bool(call.call)}"


def _decades(old: float, new: float) -> float:
    """|log10 (new / old)|; infinite where one of them is zero or not finite and the other is not."""
    if old == new or (math.isnan(old) and math.isnan(new)):
        return 0.0
    return abs(new - old) if math.isfinite(old) and math.isfinite(new) else math.inf


def _told(place: str, old: float, new: float) -> str:
    numbers = f"({number(old)} → {number(new)})"
    if math.isnan(new):
        return f"the gradient at {place} is not finite any more {numbers}"
    if math.isnan(old):
        return f"the gradient at {place} is finite {numbers}"
    if new == -math.inf:
        return f"nothing arrives at {place} any more {numbers}"
    if old == -math.inf:
        return f"{place} receives {number(new)} instead of nothing"
    return f"the gradient at {place} {_moved(new - old)} {numbers}"


def _moved(decades: float) -> str:
    verb = "falls" if decades < 0 else "rises"
    if abs(decades) >= 1:
        return f"{verb} by {abs(decades):.1f} decades"
    factor = 10**decades
    return f"{verb} {factor:.1f}-fold" if factor >= 2 else f"{verb} by {100 * abs(factor - 1):.0f} %"


def _depth_clause(before: Flow, after: Flow) -> str | None:
    """Where effective depth changed, appeared or went."""
    old, new = before.effective_depth, after.effective_depth
    if new is None:
        return None
    if old is None:
        return None if before.residual_forks else f"effective depth {_two(new)}, where there was no residual fork"
    if math.isclose(old, new, rel_tol=_SMALL, abs_tol=0.01):
        return None
    return f"effective depth {_two(old)} → {_two(new)}"


def _two(value: float) -> str:
    """Two decimals, and no -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


def number(log10: float) -> str:
    """A norm from its log10: '0.0123', '9.8e-7', '6.3e-412', '0', 'not finite'."""
    if not math.isfinite(log10):
        return "not finite" if math.isnan(log10) or log10 > 0 else "0"
    if -3 <= log10 < 4:
        return f"{10**log10:.3g}"
    exponent = math.floor(log10)
    mantissa = f"{10 ** (log10 - exponent):.1f}"
    return f"1.0e{exponent + 1}" if mantissa == "10.0" else f"{mantissa}e{exponent}"
