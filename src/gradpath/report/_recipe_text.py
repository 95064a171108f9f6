"""Recipes as text and Markdown: one with every field it uses, or a list side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from gradpath import units
from gradpath.record import Recipe
from gradpath.report._columns import Column
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain

_NOT_SET = ("name", "source", "notes")
GROUPS = {
    "Length": ("epochs", "steps", "batch_size", "accumulate", "balance"),
    "Learning rate": (
        "learning_rate", "head_learning_rate", "freeze", "schedule", "peak_at", "start_factor", "end_factor",
        "milestones", "decay_factor", "warmup", "warmup_factor", "warmup_shape", "count_in",
    ),
    "Update, SGD": ("momentum", "nesterov", "weight_decay", "weight_decay_on", "clip_norm"),
    "Images": ("augment", "crop_padding", "crop_fill", "crop_area", "crop_size", "flip", "pixel_mean"),
    "Loss": ("label_smoothing", "mixup", "cutmix"),
    "Averages": ("ema", "lookahead", "lookahead_pull"),
}  # fmt: skip
"""Heading → fields, in the order in which they are shown."""
_ONLY = {  # field → the schedules or augmentations for which it means something
    "peak_at": ("one-cycle",),
    "start_factor": ("one-cycle",),
    "end_factor": ("one-cycle", "cosine"),
    "milestones": ("step",),
    "decay_factor": ("step",),
    "crop_padding": ("crop-flip",),
    "crop_fill": ("crop-flip",),
    "crop_area": ("resized-crop-flip",),
    "crop_size": ("resized-crop-flip",),
    "flip": ("flip", "crop-flip", "resized-crop-flip"),
}
_NEEDS = {"warmup_factor": "warmup", "warmup_shape": "warmup", "lookahead_pull": "lookahead"}
_WIDEST = 16  # of the values; a longer one pushes its meaning aside
_LIST_HINT = "gradpath recipes NAME shows one whole; gradpath train NET --recipe NAME trains by it."


def recipe_text(recipe: Recipe, width: int = 80) -> str:
    """The whole screen of one recipe: each field as its flag, its value, what it means; source and notes."""
    lines = wrap(f"Recipe {recipe.name or 'without a name'}: {length(recipe)}", width)
    lines += wrap(f"  {recipe.source}", width, indent="  ") if recipe.source else []
    for heading, names in GROUPS.items():
        used = [name for name in names if _applies(recipe, name)]
        lines += ["", heading, *(line for name in used for line in _lines(recipe, name, width))] if used else []
    unused = ", ".join(flag(name) for names in GROUPS.values() for name in names if not _applies(recipe, name))
    lines += ["", "Off, or without effect here", *wrap(f"  {unused}", width, indent="  ")]
    if recipe.notes:
        lines += ["", "Notes", *(line for note in recipe.notes for line in wrap(f"- {note}", width, indent="  "))]
    return "\n".join(lines) + "\n"


def flag(name: str) -> str:
    """'batch_size' → '--batch-size', as `gradpath train` has it."""
    return "--" + name.replace("_", "-")


def _lines(recipe: Recipe, name: str, width: int) -> list[str]:
    values = [len(value(recipe, f.name)) for f in fields(Recipe) if f.name not in _NOT_SET]
    head = f"  {flag(name):<20}  {value(recipe, name):<{min(max(values), _WIDEST)}}  "
    first, *rest = wrap(meaning(name), max(width - len(head), 20))
    return [head + first, *(" " * len(head) + line for line in rest)]


def recipe_markdown(recipe: Recipe) -> str:
    """The same as Markdown."""
    used = [name for names in GROUPS.values() for name in names if _applies(recipe, name)]
    columns: tuple[Column[str], ...] = (
        Column("field", lambda name: name, "field", left=True),
        Column("value", lambda name: value(recipe, name), "value", left=True),
        Column("meaning", meaning, "meaning", left=True),
    )
    parts = [f"### Recipe{recipe.name and f' {plain(recipe.name)}'}: {length(recipe)}", plain(recipe.source)]
    parts += [markdown_table(columns, used), "\n".join(f"- {plain(note)}" for note in recipe.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def recipes_text(recipes: Sequence[Recipe], width: int = 80) -> str:
    """A line each, and what to type next."""
    return "\n".join([*table(_COLUMNS, recipes, width)[0], "", *wrap(_LIST_HINT, width)]) + "\n"


def recipes_markdown(recipes: Sequence[Recipe]) -> str:
    """The list as a Markdown table."""
    return markdown_table(_COLUMNS, recipes) + "\n"


def length(recipe: Recipe) -> str:
    """'64,000 steps of 128 images'."""
    count = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs:,} epoch{'s' * (recipe.epochs > 1)}"
    return f"{count} in batches of {recipe.batch_size}"


def value(recipe: Recipe, name: str) -> str:
    """A field's value as text."""
    held: Any = getattr(recipe, name)
    if isinstance(held, bool):
        return "yes" if held else "no"
    if isinstance(held, tuple):
        return ", ".join(map(_number, held)) or "none"
    return "none" if held is None else held if isinstance(held, str) else _number(held)


def meaning(name: str) -> str:
    """What a field means, without the kinds that it is for."""
    about: str = next(f.metadata["about"] for f in fields(Recipe) if f.name == name)
    kinds, colon, rest = about.partition(": ")
    return rest if colon and set(kinds.split(", ")) <= set(_ONLY.get(name, ())) else about


def _number(held: float) -> str:
    whole = isinstance(held, int) or (held >= 1000 and held == int(held))
    return f"{held:,.0f}" if whole else units.number(held)


def _applies(recipe: Recipe, name: str) -> bool:
    """Whether the recipe's other fields give this one a meaning, and it is not off."""
    if name in _ONLY:
        return bool(set(_ONLY[name]) & {recipe.schedule, recipe.augment})
    if name in ("epochs", "steps"):
        return (name == "steps") == (recipe.steps is not None)
    if name == "count_in":
        return recipe.schedule == "step" or recipe.warmup > 0
    held = getattr(recipe, _NEEDS.get(name, name))
    return held is not None and (name in ("nesterov", "weight_decay") or bool(held))


def _source(recipe: Recipe) -> str:
    """'He et al. 2015', or the first words."""
    match = re.match(r"(\w+)(,? [^;(]{0,36}?)(\d{4})", recipe.source)
    if match is None:
        return re.split("[,:;]", recipe.source)[0]
    return f"{match[1]} et al. {match[3]}" if match[2].count(",") > 1 else match[0]


_COLUMNS: tuple[Column[Recipe], ...] = (
    Column("recipe", lambda r: r.name, "name", left=True),
    Column("length", lambda r: f"{r.steps:,} steps" if r.steps else f"{r.epochs} epochs", "epochs"),
    Column("batch", lambda r: str(r.batch_size), "batch_size"),
    Column("rate", lambda r: units.number(r.learning_rate), "learning_rate"),
    Column("schedule", lambda r: r.schedule, "schedule", left=True),
    Column("source", _source, "source", left=True),
)
