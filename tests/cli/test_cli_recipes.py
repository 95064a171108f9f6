"""`gradpath recipes`, and every field of a recipe as a flag of `gradpath train`."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gradpath.cli._recipe_flags import chosen, flag, recipe_flags, settable
from gradpath.cli.recipes import command as recipes_command
from gradpath.errors import UserError
from gradpath.record import Recipe
from gradpath.training import RECIPES, recipe


@click.command()
@recipe_flags()
def ask(**fields: Any) -> None:
    click.echo(json.dumps(chosen(fields).to_dict()))


def asked(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(ask, arguments, catch_exceptions=False, standalone_mode=False)
    found: dict[str, Any] = json.loads(result.output)
    return found


def told(*arguments: str) -> str:
    result = CliRunner().invoke(recipes_command, arguments, catch_exceptions=False, standalone_mode=False)
    return result.output


VALUES = {  # field → (what is typed, what it becomes), with what else it needs
    "milestones": ("1,2.5", [1.0, 2.5]), "schedule": ("cosine", "cosine"), "clip_norm": ("0.5", 0.5),
    "count_in": ("steps", "steps"), "warmup_shape": ("constant", "constant"), "weight_decay_on": ("weights", "weights"),
    "augment": ("flip", "flip"), "crop_fill": ("mean", "mean"), "flip": ("alternating", "alternating"),
    "steps": ("7", 7), "epochs": ("3", 3), "batch_size": ("16", 16), "accumulate": ("2", 2), "lookahead": ("5", 5),
    "crop_padding": ("2", 2), "head_learning_rate": ("0.5", 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", settable())
def test_every_field_has_a_flag_that_sets_it(name):
    default = getattr(RECIPES["default"], name)
    if isinstance(default, bool):
        assert asked(f"--no-{flag(name)[2:]}")[name] is False and asked(flag(name))[name] is True
        return
    more = ["--augment", "resized-crop-flip"] if name == "crop_size" else []
    typed, expected = ("32", 32) if name == "crop_size" else VALUES.get(name, ("0.375", 0.375))
    assert asked(flag(name), typed, *more)[name] == expected != default


def test_flags_change_the_recipe_that_was_named():
    assert asked("--recipe", "wrn") == recipe("wrn").to_dict()
    found = asked("--recipe", "densenet", "--epochs", "40", "--clip-norm", "none")
    assert (found["milestones"], found["clip_norm"], found["name"]) == ([20.0, 30.0], None, "densenet")
    assert asked("--recipe", "imagenet-90", "--crop-size", "none")["crop_size"] is None
    assert asked("--recipe", "wrn", "--milestones", "none")["milestones"] == []
    assert asked() == RECIPES["default"].to_dict()


def test_a_recipe_comes_from_a_file_too(tmp_path):
    file = recipe("fast", ema=0.5).save(tmp_path / "mine.json")
    assert asked("--recipe", str(file))["ema"] == 0.5
    assert "--ema" in told(str(file))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="not a gradpath record"):
        asked("--recipe", str(tmp_path / "other.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "fats"), "did you mean 'fast'"),
        (("--milestones", "3,x"), "30,60"),
        (("--schedule", "linear"), "cosine"),
        (("--momentum", "2"), "momentum"),
        (("--epochs", "0"), "epochs must be at least 1"),
        (("--accumulate", "300"), "300 parts"),
    ],
)
def test_bad_values_are_told_in_one_line(arguments, message):
    with pytest.raises((UserError, click.UsageError), match=message) as seen:
        asked(*arguments)
    assert "\n" not in str(seen.value)


def test_recipes_are_listed_and_shown():
    listed = told()
    assert all(name in listed for name in RECIPES) and "gradpath train NET --recipe NAME" in " ".join(listed.split())
    one = told("he2016")
    assert "--warmup " in one and "arXiv:1603.05027" in " ".join(one.split())
    assert json.loads(told("he2016", "--format", "json"))["milestones"] == [32000.0, 48000.0]
    assert [entry["name"] for entry in json.loads(told("--format", "json"))] == list(RECIPES)
    assert told("wrn", "--format", "markdown").startswith("### Recipe wrn")
    assert "| he2015 |" in told("--format", "markdown")
    with pytest.raises(UserError, match="no recipe"):
        told("nonsense")


def test_help_shows_few_flags_and_says_where_the_others_are():
    result = CliRunner().invoke(ask, ["--help"])
    shown = [name for name in settable() if f"  {flag(name)} " in result.output]
    assert "gradpath recipes" in " ".join(result.output.split())
    assert 6 <= len(shown) <= 10 and {"epochs", "batch_size", "learning_rate"} <= set(shown)
    assert isinstance(Recipe(epochs=1), Recipe)
