"""Hand-made plans: small ones whose numbers can be followed with a pencil, and one as long as they get."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from gradpath.record import BlockCost, CurvePoint, LayerBytes, MeasuredStep, ModeCost, Plan, PlanSegment, StepBytes

MIB = 2**20
ALWAYS = StepBytes(
    parameters=20 * MIB, gradients=20 * MIB, optimizer=20 * MIB, buffers=MIB, activations=0, temporaries=0
)


def cost(label="PreBottleneck 64×64×32×32 → 64×64×32×32", input_mib=16, full_mib=48, lean_mib=24):
    """Full, lean, input and none; 1 s forward, 2 s backward."""

    def mode(name, kept, seconds):
        return ModeCost(mode=name, kept_bytes=kept * MIB, backward_seconds=seconds, backward_bytes=input_mib * MIB)

    return BlockCost(
        label=label,
        input_bytes=input_mib * MIB,
        output_bytes=input_mib * MIB,
        always_bytes=0,
        parameter_bytes=0,
        ends_in_relu=False,
        forward_bytes=input_mib * MIB,
        first_seconds=1.0,
        redo_seconds=1.0,
        sweep_seconds=1.0,
        plain_seconds=3.0,
        plain_bytes=full_mib * MIB,
        modes=(mode("full", full_mib, 2.0), mode("lean", lean_mib, 2.2), mode("input", 0, 3.0), mode("none", 0, 3.0)),
    )


def kept_segment(start, stop, mode):
    """Blocks that keep their inputs and a tape of one mode."""
    forward = tuple((block, mode, False) for block in range(start, stop))
    backward = tuple((block, "backward", False) for block in reversed(range(start, stop)))
    return PlanSegment(start=start, stop=stop, mode=mode, forward=forward, backward=backward)


def redone_segment(start, stop):
    """Blocks that keep nothing but the segment's input; the backward runs all of them forward again."""
    forward = tuple((block, "none", block > start) for block in range(start, stop))
    again = tuple((block, "full", False) for block in range(start, stop))
    back = tuple((block, "backward", False) for block in reversed(range(start, stop)))
    return PlanSegment(start=start, stop=stop, mode="none", forward=forward, backward=again + back)


def live(segments, block, fixed):
    """Bytes within each move: inputs and tapes of one block cost, what is always there below."""
    tapes, held, found = {}, fixed, []
    for segment in segments:
        for at, mode, _ in segment.forward:
            tapes[at] = 0 if mode == "none" else block.input_bytes + block.of(mode).kept_bytes
            held += tapes[at]
            found.append(held + block.output_bytes)
        if segment.mode == "none":
            held += block.input_bytes
    for segment in reversed(segments):
        for at, mode, _ in segment.backward:
            if mode == "backward":
                found.append(held + block.input_bytes)
                held -= tapes[at]
            else:
                tapes[at] = block.input_bytes + block.of(mode).kept_bytes
                held += tapes[at]
                found.append(held + block.output_bytes)
        if segment.mode == "none":
            held -= block.input_bytes
    return tuple(found)


def made(segments, *, blocks=None, block=None, memory_mib=900, asked="900MiB", **changes):
    """A plan of these segments, its predicted peak that of its moves."""
    block = block or cost()
    count = segments[-1].stop if segments else 0
    names = blocks or tuple(f"stages.0.{i}" for i in range(count))
    fixed = ALWAYS.total
    found = live(segments, block, fixed)
    peak = max(found, default=fixed)
    whole = fixed + count * (block.input_bytes + block.plain_bytes)
    forwards = sum(mode != "backward" for s in segments for _, mode, _ in (*s.forward, *s.backward))
    ratio = 1 + (forwards - count) / (3 * count) if count else 1.0
    return dataclasses.replace(
        Plan(
            name="resnet-110",
            batch="64×3×32×32",
            device="cpu",
            dtype="float32",
            autocast=None,
            optimizer="sgd-momentum",
            kernels="torch",
            asked=asked,
            memory_bytes=memory_mib * MIB,
            blocks=names,
            signatures=(0,) * count,
            costs=(block,) if count else (),
            segments=tuple(segments),
            predicted=dataclasses.replace(ALWAYS, activations=peak - fixed - 16 * MIB, temporaries=16 * MIB),
            keep_all=dataclasses.replace(ALWAYS, activations=whole - fixed, temporaries=16 * MIB),
            outside_seconds=0.5,
            time_ratio=ratio,
            smallest_bytes=fixed + 200 * MIB,
            curve=curve(fixed + 200 * MIB, whole),
            live_bytes=found,
            plan_seconds=1.25,
        ),
        **changes,
    )


def curve(low, high, count=24):
    """1 + (1 − x)/3, steeper at the low end."""
    sizes = [low + i * (high - low) // (count - 1) for i in range(count)]
    return tuple(
        CurvePoint(memory_bytes=size, time_ratio=1 + (1 - size / high) / 3 + 0.02 * (low / size) ** 4) for size in sizes
    )


def layers(count=40):
    """A stem, so many convolutions of which later ones keep less, and a head."""
    rows = [("stem.conv", "Conv2d", "64×16×32×32", 1728, 12 * MIB)]
    rows += [
        (f"stages.{i // 18}.{i}.conv1", "Conv2d", "64×16×32×32", 9216, (8 - 6 * i // count) * MIB) for i in range(count)
    ]
    rows.append(("head.linear", "Linear", "64×10", 2600, 16384))
    return tuple(
        LayerBytes(name=n, kind=k, output=o, parameter_bytes=p, kept_bytes=b, backward_bytes=2 * b)
        for n, k, o, p, b in rows
    )


def measured(plan, *peaks_mib):
    """The same plan after real steps with these peaks."""
    steps = tuple(
        MeasuredStep(predicted_bytes=plan.predicted.total, peak_bytes=peak * MIB, seconds=1.5) for peak in peaks_mib
    )
    return dataclasses.replace(plan, measured=steps)


def split(*edges):
    """Segments that keep nothing between these blocks."""
    return [redone_segment(a, b) for a, b in pairwise(edges)]


PLANNED = made(
    [kept_segment(0, 4, "full"), *split(4, 10, 16), kept_segment(16, 24, "lean")],
    layers=layers(),
    left_alone=("stem: reads the batch", "head: comes after the blocks"),
)
MEASURED = measured(PLANNED, 905, 890)
OVER = measured(PLANNED, 950)
KEPT = made([kept_segment(0, 24, "full")], memory_mib=4096, asked="80%")
ALTERNATING = made([kept_segment(i, i + 1, ("lean", "full")[i % 2]) for i in range(60)], memory_mib=3600)
UNPLANNED = made(
    [],
    layers=layers(),
    name="Transformer",
    batch="8×128",
    left_alone=("no chain of blocks was found: block h.0 takes two inputs",),
    keep_all=dataclasses.replace(ALWAYS, activations=230 * MIB, temporaries=20 * MIB),
    curve=(),
    memory_mib=1024,
    asked="1GiB",
)
DEEP = made(split(*range(0, 3334, 58)[:-1], 3333), memory_mib=6000, asked="auto", name="resnet-10001", dtype="bfloat16")
SINGLE = made([kept_segment(0, 1, "lean")], blocks=("0",), memory_mib=200, asked="209715200")
STRANGE = dataclasses.replace(
    MEASURED,
    name="Net…→<b>|" * 30,
    blocks=tuple(f"stage…→≤{i}" * 9 for i in range(24)),
    layers=tuple(dataclasses.replace(x, name=f"block…→≤{x.name}" * 5, kind="C…→" * 20) for x in MEASURED.layers),
    left_alone=("σ²/2→χ₁≤… " * 30,),
)
PLANS = {
    "planned": PLANNED,
    "measured": MEASURED,
    "over": OVER,
    "kept": KEPT,
    "alternating": ALTERNATING,
    "unplanned": UNPLANNED,
    "deep": DEEP,
    "single": SINGLE,
    "strange": STRANGE,
}
