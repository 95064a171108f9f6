"""How a training run was measured, as labelled lines: images, recipe, machine, time."""

from __future__ import annotations

from gradpath import units
from gradpath.record import Comparison, DataInfo, Execution, Machine, Recipe, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._headline import flow_headline

Pairs = list[list[str]]


def comparison_pairs(record: Comparison) -> Pairs:
    """Of what all nets share; the learning rate is in the table where it was chosen."""
    recipes = sorted({_recipe(net.recipe) for net in record.nets})
    pairs = {
        "started": record.started,
        "images": _images(record.data),
        "recipe": "; ".join(recipes),
        "computed in": _execution(record.execution),
        "machine": _machine(record.machine),
        "time": f"{units.seconds(record.seconds)} (expected {units.seconds(record.estimated_seconds)})",
    }
    return _printable(pairs)


def run_pairs(run: RunRecord) -> Pairs:
    pairs = {
        "size": f"{units.count(run.parameters)} parameters, {units.count(run.macs)} MACs an image",
        "recipe": f"{facts.recipe_prefix(run)}{_recipe(run.recipe)}, {facts.learning_rate_text(run)}, seed {run.seed}, "
        f"{facts.counted(run.steps, 'step')}",
        "images": _images(run.data),
        "computed in": _execution(run.execution),
        "machine": _machine(run.machine),
    }
    return _printable(pairs | ({} if run.weights is None else {"weights": run.weights}))


def gradient_facts(run: RunRecord) -> list[str]:
    """The gradient before and after training, a sentence each."""
    if run.gradient is None:
        return []
    facts_ = [f"At initialisation: {flow_headline(run.gradient.initial)}"]
    if run.gradient.final is not None:
        facts_.append(f"After training: {flow_headline(run.gradient.final)}")
    return facts_


def _recipe(recipe: Recipe) -> str:
    decay = units.number(recipe.weight_decay)
    return f"{recipe.schedule}, batch {recipe.batch_size}, weight decay {decay}, augmentation {recipe.augment}"


def _images(data: DataInfo) -> str:
    held = f"{data.validation_images:,} to validate, " if data.validation_images else ""
    return (
        f"{data.name}: {data.train_images:,} for training, {held}{data.test_images:,} for testing, "
        f"{data.image_size} px, "
        f"{facts.counted(data.channels, 'channel')}, {len(data.classes)} classes"
    )


def _execution(execution: Execution) -> str:
    return f"{execution.precision}, {execution.layout}: {execution.reason}"


def _machine(machine: Machine) -> str:
    threads = facts.counted(machine.threads, "thread")
    return (
        f"{machine.processor}, {threads}, {machine.device}; {machine.system}, Python {machine.python}, "
        f"torch {machine.torch}"
    )


def _printable(pairs: dict[str, str]) -> Pairs:
    return [[label, facts.printable(text)] for label, text in pairs.items()]
