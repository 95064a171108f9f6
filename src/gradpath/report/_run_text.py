"""A trained net, its test images class by class, and several seeds side by side, as plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from gradpath import units
from gradpath.record import Evaluation, RunRecord, SeedRun, Seeds, mean_and_std
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._grid import shorten, table, wrap
from gradpath.report._headline import flow_headline
from gradpath.report._plan_words import plan_line
from gradpath.report._say import listed, say

_MOST_ROWS = 24
"""Epochs that a table shows; of more, every so many."""
_NAMED = 3
"""Classes and mistakes that a run's text names."""


def run_text(run: RunRecord, width: int = 80) -> str:
    """One trained net: what it was, its epochs, what it gets right, its gradient before training."""
    lines = wrap(say(f"{facts.label(run)}: {run_headline(run)}", f"{facts.label(run)}：{run_headline(run)}"), width)
    lines += wrap(_setting(run), width)
    for note in run.notes:
        lines += wrap(f"- {facts.printable(note)}", width, indent="  ")
    if run.plan is not None:
        lines += wrap(say("trained by a plan: ", "按规划训练：") + plan_line(run.plan), width)
    if run.epochs:
        lines += ["", *epoch_table(run, width)]
    if run.test is not None:
        lines += ["", *(line for told in class_lines(run.test) for line in wrap(told, width, indent="  "))]
    if run.gradient is not None:
        lines += ["", *(line for fact in gradient_facts(run) for line in wrap(fact, width))]
    if run.weights is not None:
        lines += ["", *wrap(say("weights: ", "权重：") + facts.printable(run.weights), width)]
    return "\n".join(lines) + "\n"


def _setting(run: RunRecord) -> str:
    parameters, macs, recipe = units.count(run.parameters), units.count(run.macs), run.recipe
    rate, steps, precision = facts.learning_rate_text(run), facts.counted(run.steps, "step"), run.execution.precision
    return say(
        f"{parameters} parameters, {macs} MACs an image; {facts.recipe_prefix(run)}batch {recipe.batch_size}, {rate}, "
        f"{recipe.schedule}, seed {run.seed}, {steps} in {precision}{_blocks(run)}",
        f"{parameters} 个参数，每张图像 {macs} MACs；{facts.recipe_prefix(run)}批次 {recipe.batch_size}，{rate}，"
        f"{recipe.schedule}，随机种子 {run.seed}，{steps}，{precision}{_blocks(run)}",
    )


def gradient_facts(run: RunRecord) -> list[str]:
    """The gradient before and after training, a sentence each."""
    if run.gradient is None:
        return []
    told = [say("At initialisation: ", "初始化时：") + flow_headline(run.gradient.initial)]
    if run.gradient.final is not None:
        told.append(say("After training: ", "训练后：") + flow_headline(run.gradient.final))
    return told


def _blocks(run: RunRecord) -> str:
    """What its blocks ran on, where that is not plain torch."""
    used = run.execution.backend
    return "" if used == "reference" else say(f" on fused blocks ({used})", f"，融合块（{used}）")


def run_headline(run: RunRecord) -> str:
    """What came of it: the test images, read once, where it came to them."""
    epoch = facts.last_epoch(run)
    if facts.diverged(run):
        return facts.divergence_place(run)
    if epoch is None:
        return say("no epoch finished", "没有完成任何一轮")
    if run.test is not None:
        right, whose = right_of(run.test), _whose(run)
        return say(f"{right}, by the weights of {whose}", f"{right}，用的是{whose}的权重")
    stopped = say(", interrupted", "（中断）") if run.interrupted else ""
    epochs, loss = facts.epochs_text(len(run.epochs)), facts.loss_text(epoch.train_loss)
    after = say(f"after {epochs}{stopped} (training loss {loss})", f"{epochs}之后{stopped}（训练损失 {loss}）")
    if epoch.test_accuracy is not None:
        right = units.percent(epoch.test_accuracy)
        return say(f"{right} of the test images right {after}", f"{after}答对 {right} 的测试图像")
    if epoch.validation_accuracy is not None:
        right = units.percent(epoch.validation_accuracy)
        return say(
            f"{right} of the images held out right {after}; not tested", f"{after}答对 {right} 的留出图像；未测试"
        )
    right = units.percent(epoch.train_accuracy)
    return say(f"{right} of the training images right {after}; not tested", f"{after}答对 {right} 的训练图像；未测试")


def _whose(run: RunRecord) -> str:
    count = len(run.epochs)
    if run.best_epoch is None:
        return say(f"the last of {facts.epochs_text(count)}", f"{facts.epochs_text(count)}中最后一轮")
    best, held = run.best_epoch, f"{run.data.validation_images:,}"
    return say(
        f"epoch {best} of {count}, the best on {held} images held out of training",
        f"第 {best} 轮（共 {count} 轮，在留出的 {held} 张图像上最好）",
    )


def right_of(test: Evaluation) -> str:
    """'91.2 % of 500 test images right (standard error 1.3 %)'."""
    expected = (test.right + 1) / (test.images + 2)  # keeps the error above 0 where all of few are right
    error = math.sqrt(expected * (1 - expected) / test.images)
    right, images = units.percent(test.accuracy), facts.counted(test.images, f"{test.part} image")
    spread = units.percent(error)
    return say(f"{right} of {images} right (standard error {spread})", f"{images}中答对 {right}（标准误 {spread}）")


def epoch_table(run: RunRecord, width: int) -> list[str]:
    """The epochs, or every so many of them, with the columns that have something to show."""
    rows = list(enumerate(run.epochs, 1))
    every = -(-len(rows) // _MOST_ROWS)
    shown = [row for row in rows if row[0] % every == 0 or row[0] in (1, run.best_epoch, len(rows))]
    kept = [c for c in columns.EPOCH_COLUMNS if any(c.cell(row) != "-" for row in shown)]
    return table(kept, shown, width)[0]


# ------------------------------------------------------------ class by class


def class_lines(test: Evaluation) -> list[str]:
    """The classes that are hardest, and what is most often confused: a line each."""
    known = [(a, name) for a, name in zip(test.class_accuracies, test.classes, strict=True) if a is not None]
    worst = sorted(known)[:_NAMED]
    of_classes = listed([f"{facts.printable(name)} {units.percent(accuracy)}" for accuracy, name in worst])
    few = len(known) <= _NAMED
    begin = say("by class: ", "各类别：") if few else say("hardest classes: ", "最难的类别：")
    lines = [begin + of_classes]
    if test.right < test.images and test.confusion:
        found = test.mistakes()[:_NAMED]
        told = listed(
            [_mistake(facts.printable(true), facts.printable(called), count) for true, called, count in found]
        )
        lines.append(say(f"most often confused: {told}", f"最常混淆：{told}"))
    return lines


def _mistake(true: str, called: str, count: int) -> str:
    return say(f"{true} called {called} ({count})", f"{true} 认成 {called}（{count}）")


CLASS_COLUMNS: tuple[Column[tuple[str, int, int]], ...] = (
    Column("class", lambda c: facts.printable(c[0]), "class", left=True, zh="类别"),
    Column("images", lambda c: f"{c[1]:,}", "images", lambda c: c[1], zh="图像"),
    Column("right", lambda c: f"{c[2]:,}", "right", lambda c: c[2], zh="答对"),
    Column("accuracy", lambda c: units.percent(c[2] / c[1] if c[1] else None), "accuracy",
           lambda c: c[2] / c[1] if c[1] else None, zh="准确率"),
)  # fmt: skip


def class_rows(test: Evaluation) -> list[tuple[str, int, int]]:
    """(class, its images, how many of them are right)."""
    return list(zip(test.classes, test.class_images, test.class_right, strict=True))


def evaluation_text(test: Evaluation, width: int = 80) -> str:
    """What was right, each class, and what was called what."""
    name, data, mean = facts.printable(test.name), facts.printable(test.data), units.percent(test.balanced_accuracy)
    lines = wrap(say(f"{name} on {data}: {right_of(test)}", f"{name}，{data}：{right_of(test)}"), width)
    lines += wrap(
        say(
            f"mean over the classes {mean}; computed in {test.precision}",
            f"各类别的平均 {mean}；以 {test.precision} 计算",
        ),
        width,
    )
    lines += ["", *table(CLASS_COLUMNS, class_rows(test), width)[0]]
    return "\n".join([*lines, *_confusion_lines(test, width)]) + "\n"


def _confusion_lines(test: Evaluation, width: int) -> list[str]:
    """The matrix where it fits the width, else the most frequent mistakes."""
    if not test.confusion:
        return ["", *wrap(_too_many(len(test.classes)), width)]
    matrix = _matrix(test, width)
    if matrix is not None:
        return [
            "",
            *wrap(say("true class by row, what it was called by column", "行是真实类别，列是认成的类别"), width),
            "",
            *matrix,
        ]
    mistakes = test.mistakes()[:20]
    told = [_mistake(facts.printable(true), facts.printable(called), count) for true, called, count in mistakes]
    begin = wrap(
        say(
            "most often confused (a wider terminal may show the whole matrix):",
            "最常混淆的（更宽的终端可显示整个矩阵）：",
        ),
        width,
    )
    return ["", *begin, *(part for line in told for part in wrap(f"  {line}", width, indent="    "))]


def _too_many(classes: int) -> str:
    return say(
        f"{classes} classes: too many to show what was called what", f"{classes} 个类别：太多，无法显示什么认成了什么"
    )


def _matrix(test: Evaluation, width: int) -> list[str] | None:
    called = len(test.confusion[0])
    cell = max(len(str(max(map(max, test.confusion)))), len(str(called)), 3)
    room = width - (cell + 1) * called
    names = [f"{i + 1} {facts.printable(name)}" for i, name in enumerate(test.classes)]
    longest = min(max(map(cell_len, names)), room)
    if longest < min(max(map(cell_len, names)), 12):
        return None
    heads = [str(j + 1) if j < len(test.classes) else "oth" for j in range(called)]
    rows = [" " * longest + "".join(f" {head:>{cell}}" for head in heads)]
    for name, row in zip(names, test.confusion, strict=True):
        short = shorten(name, longest)
        rows.append(
            short + " " * (longest - cell_len(short)) + "".join(f" {count if count else '.':>{cell}}" for count in row)
        )
    return rows


# ------------------------------------------------------------ seeds


SEED_COLUMNS: tuple[Column[SeedRun], ...] = (
    Column("seed", lambda r: str(r.seed), "seed", lambda r: r.seed, zh="种子"),
    Column("epochs", lambda r: str(r.epochs), "epochs", lambda r: r.epochs, keep=4, zh="轮"),
    Column("best", lambda r: "-" if r.best_epoch is None else str(r.best_epoch), "best_epoch", lambda r: r.best_epoch,
           keep=5, zh="最好"),
    Column("train loss", lambda r: facts.loss_text(r.train_loss, 3), "train_loss_nats", lambda r: r.train_loss,
           zh="训练 损失"),
    Column("valid. acc.", lambda r: units.percent(r.validation_accuracy), "validation_accuracy",
           lambda r: r.validation_accuracy, zh="验证 准确率"),
    Column("test acc.", lambda r: units.percent(r.test_accuracy), "test_accuracy", lambda r: r.test_accuracy,
           zh="测试 准确率"),
    Column("time", lambda r: units.seconds(r.seconds), "seconds", lambda r: r.seconds, keep=3, zh="用时"),
    Column("", lambda r: "" if r.diverged_at_step is None else _diverged(r.diverged_at_step),
           "diverged_at_step", lambda r: r.diverged_at_step, keep=2, left=True),
)  # fmt: skip


def _diverged(step: int) -> str:
    return say(f"diverged at step {step}", f"在第 {step} 步发散")


def seeds_headline(seeds: Seeds) -> str:
    """'residual 20: test accuracy 91.2 % ± 0.8 % over 5 seeds'."""
    tested = [run.test_accuracy for run in seeds.runs]
    known = sum(value is not None for value in tested)
    runs, spread = facts.counted(known, "seed"), _spread(tested)
    none = say("no run came to its test", "没有一次运行到达测试")
    told = say(f"test accuracy {spread} over {runs}", f"{runs}的测试准确率 {spread}") if known else none
    done = say(f"; {known} of {seeds.asked} done", f"；完成了 {seeds.asked} 次中的 {known} 次")
    missing = done if known < seeds.asked else ""
    stopped = say(", interrupted", "，中断") if seeds.interrupted else ""
    name = facts.printable(seeds.name)
    return say(f"{name}: {told}{missing}{stopped}", f"{name}：{told}{missing}{stopped}")


def _spread(values: Sequence[float | None]) -> str:
    mean, deviation = mean_and_std(list(values))
    return units.percent(mean) + ("" if deviation is None else f" ± {units.percent(deviation)}")


def seeds_text(seeds: Seeds, width: int = 80) -> str:
    """A row for each seed, then mean ± standard deviation."""
    lines = [*wrap(seeds_headline(seeds), width), ""]
    kept = [c for c in SEED_COLUMNS if c.head or any(run.diverged_at_step is not None for run in seeds.runs)]
    lines += table(kept, seeds.runs, width)[0]
    validated = _spread([run.validation_accuracy for run in seeds.runs])
    tested = _spread([run.test_accuracy for run in seeds.runs])
    told = say(
        f"mean ± standard deviation (n - 1): test {tested}, validation {validated}. Another seed means other initial "
        "weights, another order of the images and other images held out to validate; the test images are the same.",
        f"平均 ± 标准差（n - 1）：测试 {tested}，验证 {validated}。换一个随机种子，就是换初始权重、换图像的顺序、换留出"
        "验证的图像；测试图像不变。",
    )
    lines += ["", *wrap(told, width)]
    return "\n".join(lines) + "\n"
