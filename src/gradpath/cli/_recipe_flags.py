"""One flag for every field of a recipe, made from the dataclass itself: the few that people reach for are in --help,
`gradpath recipes NAME` lists them all."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gradpath.errors import UserError
from gradpath.record import Recipe, read
from gradpath.record._base import field_hints

if TYPE_CHECKING:
    Kind = click.ParamType[Any]
else:  # generic in later versions of click only
    Kind = click.ParamType
F = TypeVar("F", bound=Callable[..., Any])
NAME = "recipe"
_NOT_SET = ("name", "source", "notes")  # said of a recipe, not set
_SHOWN = (
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "augment",
    "weight_decay",
    "freeze",
    "head_learning_rate",
    "balance",
)
_NONE = "none"


def flag(field: str) -> str:
    """'batch_size' → '--batch-size'."""
    return "--" + field.replace("_", "-")


def settable() -> tuple[str, ...]:
    """The fields that have a flag, in the recipe's order."""
    return tuple(field.name for field in fields(Recipe) if field.name not in _NOT_SET)


def recipe_flags(*, batch: Kind | None = None) -> Callable[[F], F]:
    """--recipe and the fields' flags. The command hands its arguments to `chosen`. `batch`: what --batch-size takes."""

    def decorate(command: F) -> F:
        for name in reversed(settable()):
            command = _option(name, batch)(command)
        return click.option(
            "--recipe",
            NAME,
            metavar="NAME|FILE",
            default="default",
            show_default=True,
            help="How to train. gradpath recipes lists them, and their other fields, each of which is a flag here.",
        )(command)

    return decorate


def chosen(arguments: dict[str, Any]) -> Recipe:
    """The recipe asked for; its arguments are taken out of `arguments`. Raises UserError for what cannot train."""
    from gradpath.training import changed

    base = named(arguments.pop(NAME))
    given = {name: arguments.pop(name) for name in settable()}
    changes = {name: None if value == _NONE else value for name, value in given.items() if value is not None}
    return changed(base, **changes)


def named(text: str) -> Recipe:
    """A recipe by its name, or from a file: a recipe's own, or the record of a run."""
    from gradpath.training import recipe

    if not text.endswith(".json") and not Path(text).is_dir():
        return recipe(text)
    found = read(text)
    held = found if isinstance(found, Recipe) else getattr(found, "recipe", None)
    if not isinstance(held, Recipe):
        raise UserError(f"{text}: holds no recipe: name one that gradpath recipes or gradpath train wrote")
    return held


def _option(name: str, batch: Kind | None) -> Callable[[F], F]:
    field = next(field for field in fields(Recipe) if field.name == name)
    hint = field_hints(Recipe)[name]
    about = field.metadata["about"]
    text, hidden = f"{about[0].upper()}{about[1:]}.", name not in _SHOWN
    if hint is bool:
        return click.option(f"{flag(name)}/--no-{flag(name)[2:]}", name, default=None, help=text, hidden=hidden)
    kind = _kind(hint)
    metavar = {"schedule": "KIND", "augment": "KIND"}.get(name, "N" if hint is int else "X" if hint is float else None)
    if name == "batch_size" and batch is not None:
        kind, metavar, text = batch, "N|auto", f"{text[:-1]}; auto: in as few parts as fit --memory."
    return click.option(flag(name), name, type=kind, metavar=metavar, help=text, hidden=hidden)


def _kind(hint: Any) -> Kind:
    """What the flag of a field takes."""
    if typing.get_origin(hint) is typing.Literal:
        return click.Choice(typing.get_args(hint))
    if typing.get_origin(hint) is types.UnionType:
        return _OrNone(_kind(next(arg for arg in typing.get_args(hint) if arg is not type(None))))
    if typing.get_origin(hint) is tuple:
        return _Numbers()
    return click.INT if hint is int else click.FLOAT


class _OrNone(Kind):
    """What another takes, or 'none'."""

    def __init__(self, inner: Kind) -> None:
        self.inner, self.name = inner, inner.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value.lower() == _NONE:
            return _NONE
        return self.inner.convert(value, param, ctx)


class _Numbers(Kind):
    """Numbers with commas between them, or 'none'."""

    name = "number,number…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return () if value.lower() == _NONE else tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers with commas between them, such as 30,60", param, ctx)
