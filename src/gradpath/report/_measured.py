"""How a training run was measured, as labelled lines: images, recipe, machine, time."""

from __future__ import annotations

from gradpath import units
from gradpath.record import Comparison, DataInfo, Execution, Machine, Recipe, RunRecord
from gradpath.report import _facts as facts
from gradpath.report._run_text import gradient_facts as gradient_facts
from gradpath.report._say import say

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
        "time": _time(record),
    }
    return _printable(pairs)


def _time(record: Comparison) -> str:
    took, expected = units.seconds(record.seconds), units.seconds(record.estimated_seconds)
    return say(f"{took} (expected {expected})", f"{took}（预计 {expected}）")


def run_pairs(run: RunRecord) -> Pairs:
    parameters, macs, steps = units.count(run.parameters), units.count(run.macs), facts.counted(run.steps, "step")
    recipe, rate = f"{facts.recipe_prefix(run)}{_recipe(run.recipe)}", facts.learning_rate_text(run)
    pairs = {
        "size": say(f"{parameters} parameters, {macs} MACs an image", f"{parameters} 个参数，每张图像 {macs} MACs"),
        "recipe": say(f"{recipe}, {rate}, seed {run.seed}, {steps}", f"{recipe}，{rate}，随机种子 {run.seed}，{steps}"),
        "images": _images(run.data),
        "computed in": _execution(run.execution),
        "machine": _machine(run.machine),
    }
    return _printable(pairs | ({} if run.weights is None else {"weights": run.weights}))


def _recipe(recipe: Recipe) -> str:
    decay = units.number(recipe.weight_decay)
    return say(
        f"{recipe.schedule}, batch {recipe.batch_size}, weight decay {decay}, augmentation {recipe.augment}",
        f"{recipe.schedule}，批次 {recipe.batch_size}，权重衰减 {decay}，数据增强 {recipe.augment}",
    )


def _images(data: DataInfo) -> str:
    train, validation, tests = f"{data.train_images:,}", f"{data.validation_images:,}", f"{data.test_images:,}"
    held = say(f"{validation} to validate, ", f"{validation} 张验证，") if data.validation_images else ""
    size, channels, classes = data.image_size, facts.counted(data.channels, "channel"), len(data.classes)
    return say(
        f"{data.name}: {train} for training, {held}{tests} for testing, {size} px, {channels}, {classes} classes",
        f"{data.name}：{train} 张训练，{held}{tests} 张测试，{size} px，{channels}，{classes} 个类别",
    )


def _execution(execution: Execution) -> str:
    precision, layout, reason = execution.precision, execution.layout, execution.reason
    return say(f"{precision}, {layout}: {reason}", f"{precision}，{layout}：{reason}")


def _machine(machine: Machine) -> str:
    threads = facts.counted(machine.threads, "thread")
    return (
        f"{machine.processor}, {threads}, {machine.device}; {machine.system}, Python {machine.python}, "
        f"torch {machine.torch}"
    )


def _printable(pairs: dict[str, str]) -> Pairs:
    return [[say(label, _LABELS[label]), facts.printable(text)] for label, text in pairs.items()]


_LABELS = {
    "started": "开始于", "images": "图像", "recipe": "配方", "computed in": "计算方式", "machine": "机器",
    "time": "用时", "size": "规模", "weights": "权重",
}  # fmt: skip
