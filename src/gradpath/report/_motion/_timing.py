"""When each thing of a circuit is seen: frame 0 has the inputs, frame k what steps 1 to k did."""

from __future__ import annotations

from collections.abc import Mapping

from gradpath.record import CircuitRecord
from gradpath.report._circuit_layout import LEAVES
from gradpath.report._circuit_marks import Cue


def first_frames(record: CircuitRecord) -> Mapping[Cue, int]:
    """Cue → the first frame at which it has happened. What no step does has happened from the beginning.

    A value is known after the step that computes it, those of inputs and weights at frame 0; a gate's gradients are
    sent in its backward step; a node's sum is there with the last of its parts. The gradient that the walk starts
    from, at the output, is there with the first backward step.
    """
    found = {Cue("value", node.name): 0 for node in record.nodes if node.gate in LEAVES}
    for k, step in enumerate(record.steps, 1):
        found[Cue("value" if step.direction == "forward" else "sent", step.node)] = k
    begin = next((k for k, step in enumerate(record.steps, 1) if step.direction == "backward"), 0)
    found |= {Cue("sum", node.name): begin for node in record.nodes}
    for wire in record.wires:
        last = Cue("sum", wire.source)
        found[last] = max(found[last], found.get(Cue("sent", wire.target), 0))
    return found
