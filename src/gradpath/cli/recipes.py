"""`gradpath recipes`."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from gradpath.cli._asked import as_format
from gradpath.cli._console import laid_out, show
from gradpath.cli._recipe_flags import named
from gradpath.record import Recipe


@click.command("recipes")
@click.argument("name", required=False)
@as_format
def command(name: str | None, form: str) -> None:
    """List the recipes to train by, or show one whole: every field, its value and meaning, its source.

    NAME is one of the list, or a file: a recipe that `--format json` printed here, or the run.json of a run. Each
    field is a flag of `gradpath train` too, where another value takes the place of the recipe's.
    """
    show(_list(form) if name is None else _one(named(name), form))


def _one(recipe: Recipe, form: str) -> str:
    from gradpath.report._recipe_text import recipe_markdown, recipe_text

    if form == "json":
        return recipe.to_json()
    return recipe_markdown(recipe) if form == "markdown" else laid_out(partial(recipe_text, recipe), sys.stdout)


def _list(form: str) -> str:
    from gradpath.report._recipe_text import recipes_markdown, recipes_text
    from gradpath.training import RECIPES

    held = list(RECIPES.values())
    if form == "json":
        return json.dumps([recipe.to_dict() for recipe in held], ensure_ascii=False, indent=1) + "\n"
    return recipes_markdown(held) if form == "markdown" else laid_out(partial(recipes_text, held), sys.stdout)
