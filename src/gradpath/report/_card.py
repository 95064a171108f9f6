"""The model card of a trained net in Markdown, from its record: how to use it, how good it is, how it was made."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from gradpath import units
from gradpath.record import DataInfo, Evaluation, Flow, NetSpec, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._headline import flow_headline
from gradpath.report._markdown import markdown_table, plain
from gradpath.report._plan_words import plan_line
from gradpath.report._recipe_text import recipe_markdown
from gradpath.report._run_text import CLASS_COLUMNS, class_rows, run_headline
from gradpath.report._sparkline import sparkline

_MOST_CLASSES = 40  # rows of a table
_MISTAKES = 5
_WIDTH = 80  # of the gradient's line
_HEADER = "---\nlibrary_name: gradpath\npipeline_tag: image-classification\ntags: [image-classification, pytorch]\n---"
"""What model hubs read first."""
_Pair = tuple[str, str]
_PAIRS: tuple[Column[_Pair], ...] = (
    Column("field", lambda pair: pair[0], left=True),
    Column("value", lambda pair: pair[1], left=True),
)


def model_card(run: RunRecord) -> str:
    """The whole file. Untrusted text in the record cannot break out of its place."""
    name = facts.label(run)
    sections = (
        (
            f"# {plain(name)}: {len(run.data.classes)} classes of {plain(run.data.name)}",
            [plain(run_headline(run)) + "."],
        ),
        ("## Use", _use(run)),
        ("## Results", _results(run)),
        ("## Limits", [_bullets(_limits(run))]),
        ("## The net", _net(run)),
        ("## Training", _training(run)),
        ("## Its gradient", _gradient(run)),
        ("## Made with", [_made_with(run)]),
    )
    parts = [_HEADER]
    for head, body in sections:
        parts += [head, *filter(None, body)]
    return "\n\n".join(parts) + "\n"


# ------------------------------------------------------------ what it does


def _use(run: RunRecord) -> list[str]:
    if run.weights is None:
        return ["No weights were kept."]
    file, data = facts.printable(run.weights), run.data
    target = shlex.quote(facts.printable(run.name)) if ":" in run.name else "TARGET"
    asked = "" if run.spec is not None else f" --net {target}"
    word = shlex.quote(file)
    shell = f"gradpath predict {word} photos/{asked}\ngradpath export {word}{asked} --output model.onnx"
    python = f'from gradpath.training import predict\n\nfor image in predict({json.dumps(file)}, ["photos/"]).images:\n'
    python += "    print(image.image, image.classes[0], image.probabilities[0])"
    said = [f"```sh\n{shell}\n```"] + ([f"```python\n{python}\n```"] if run.spec is not None else [])
    colour = {1: "Grey", 3: "RGB"}.get(data.channels, f"{data.channels}-channel")
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (data.mean, data.std))
    subtracted = "the mean image stored with the weights subtracted" if data.pixel_mean else f"{mean} subtracted"
    return [
        *said,
        f"Input: {colour} images, turned upright, their shorter side resized to {data.image_size} px, the centre "
        f"cropped; pixels from 0 to 1, {subtracted}, divided by {std}. Both commands do this.",
        f"Classes: {', '.join(plain(name) for name in data.classes)}.",
    ]


def _results(run: RunRecord) -> list[str]:
    epoch = run.kept_epoch
    rows: list[_Pair] = []
    if epoch is not None:
        rows = [("training images, as they were augmented", units.percent(epoch.train_accuracy))]
        if epoch.validation_accuracy is not None:
            held = f"{run.data.validation_images:,} images held out of training, by which the weights were chosen"
            rows.append((held, units.percent(epoch.validation_accuracy)))
    if run.test_accuracy is not None:
        once = ", read once, at the end" if run.test is not None else ", read after every epoch"
        rows.append((f"{run.data.test_images:,} test images{once}", units.percent(run.test_accuracy)))
    rows.append(("always naming the most frequent class", units.percent(facts.guessing_accuracy(run.data))))
    right = (
        Column[_Pair]("images", lambda pair: pair[0], left=True),
        Column[_Pair]("right", lambda pair: pair[1]),
    )
    return [markdown_table(right, rows), *(_by_class(run.test) if run.test is not None else [])]


def _by_class(test: Evaluation) -> list[str]:
    rows, rest = class_rows(test), len(test.classes) - _MOST_CLASSES
    parts = [markdown_table(CLASS_COLUMNS, rows[:_MOST_CLASSES])]
    parts += [f"and {rest:,} more classes, in run.json"] if rest > 0 else []
    if mistakes := test.mistakes()[:_MISTAKES]:
        told = (f"{plain(true)} called {plain(called)} ({count})" for true, called, count in mistakes)
        parts.append(f"Most often confused: {', '.join(told)}.")
    return parts


def _limits(run: RunRecord) -> list[str]:
    """What a reader must not take from the numbers."""
    count = len(run.data.classes)
    said = [
        f"It names one of its {count} classes for every image, also for one that shows none of them.",
        f"It was tried on images of {plain(run.data.name)} alone: nothing is known of other cameras, places, times.",
        "Its probabilities say how sure it is, not how often it is right: they were not calibrated.",
        f"One run with seed {run.seed}: another seed gives another net (`gradpath train --seeds 5` shows it).",
    ]
    if run.test_accuracy is not None and run.test is None:
        said.append("The test images were looked at after every epoch: its accuracy on new images may be lower.")
    if run.test_accuracy is not None:
        said.append(
            "Whether test and training images show the same things (one scene, one person, one copy) was not checked: "
            "where they do, it is less often right on new images."
        )
    if run.test_accuracy is None:
        said.append("It was not tried on test images.")
    shares = facts.class_shares(run.data)
    if max(shares) > 2 * min(shares):
        said.append(
            f"Classes are uneven: {units.percent(min(shares))} to {units.percent(max(shares))} of the training images; "
            "look at the accuracy of each class."
        )
    if run.interrupted:
        said.append("Its training was interrupted.")
    return said


# ------------------------------------------------------------ how it was made


def _net(run: RunRecord) -> list[str]:
    rows = [
        ("parameters", f"{run.parameters:,}"),
        ("multiply-accumulates of an image", f"{run.macs:,}"),
        ("weighted layers", f"{run.depth:,}"),
    ]
    rows += [] if run.spec is None else _set(run.spec)
    return [markdown_table(_PAIRS, rows)]


def _set(spec: NetSpec) -> list[_Pair]:
    """The fields of a specification that differ from what a net of its family and depth has anyway."""
    usual = NetSpec(family=spec.family, depth=spec.depth).to_dict() if _is_usual(spec) else {}
    named = spec.to_dict()
    return [(name, _value(value)) for name, value in named.items() if name == "family" or usual.get(name, ()) != value]


def _is_usual(spec: NetSpec) -> bool:
    """Whether family and depth alone make a net."""
    try:
        NetSpec(family=spec.family, depth=spec.depth)
    except ValueError:
        return False
    return True


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _training(run: RunRecord) -> list[str]:
    data = run.data
    held = f", {data.validation_images:,} more held out to choose the weights" if data.validation_images else ""
    lines = [
        f"Data: {plain(data.name)}, {data.train_images:,} images to train on{held}, {data.test_images:,} to test on"
        f"{_shares(data)}.",
        f"Seed {run.seed}: of the initial weights, the order of the images, their augmentation, and what was held out.",
        _length(run),
    ]
    lines += [f"Started from {plain(run.start.weights)}."] if run.start is not None else []
    lines += [plain(note[:1].upper() + note[1:]) + "." for note in run.notes]
    lines += [f"Trained by a plan: {plain(plan_line(run.plan))}."] if run.plan is not None else []
    return [_bullets(lines), recipe_markdown(run.recipe).rstrip("\n")]


def _shares(data: DataInfo) -> str:
    if not data.class_shares or len(data.classes) > _MOST_CLASSES:
        return ""
    pairs = zip(data.classes, data.class_shares, strict=True)
    return f" ({', '.join(f'{plain(name)} {units.percent(share)}' for name, share in pairs)})"


def _length(run: RunRecord) -> str:
    seconds = sum(epoch.seconds for epoch in run.epochs)
    way = f"{run.execution.precision}, {run.execution.layout}".replace("_", " ")
    return (
        f"{facts.counted(run.steps, 'step')} in {facts.epochs_text(len(run.epochs))}, {units.seconds(seconds)}; {way} "
        f"({plain(run.execution.reason)})."
    )


def _gradient(run: RunRecord) -> list[str]:
    if run.gradient is None:
        return ["It was not traced."]
    parts = _profile("Before training", run.gradient.initial)
    return parts + (_profile("After training", run.gradient.final) if run.gradient.final is not None else [])


def _profile(when: str, flow: Flow) -> list[str]:
    drawn = "\n".join(facts.printable(line) for line in sparkline(flow.layers, _WIDTH))
    return [f"{when}: {plain(flow_headline(flow))}.", f"```text\n{drawn}\n```" if drawn else ""]


def _made_with(run: RunRecord) -> str:
    machine = run.machine
    rows = [
        ("torch", machine.torch),
        ("python", machine.python),
        ("device", f"{machine.device}, {facts.counted(machine.threads, 'thread')}"),
        ("processor", machine.processor),
        ("system", machine.system),
    ]
    return markdown_table(_PAIRS, rows)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
