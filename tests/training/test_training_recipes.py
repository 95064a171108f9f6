"""Recipes: what the papers say, to the number; changes keep what they should; bad values are refused by name."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

import gradpath as gp
from gradpath.errors import UserError
from gradpath.record import Recipe
from gradpath.report._recipe_text import GROUPS, recipe_markdown, recipe_text, recipes_markdown, recipes_text
from gradpath.training import RECIPES, changed, recipe
from gradpath.training._schedule import learning_rate

PAPERS = {  # name → batch, decay of the rate, Nesterov, weight decay, padding, step → rate (390 steps an epoch)
    "he2015": (128, 0.1, False, 1e-4, "mean", {0: 0.1, 31_999: 0.1, 32_000: 0.01, 48_000: 0.001, 63_999: 0.001}),
    "he2016": (128, 0.1, True, 1e-4, "mean", {0: 0.01, 399: 0.01, 400: 0.1, 32_000: 0.01, 48_000: 0.001}),
    "stochastic-depth": (128, 0.1, True, 1e-4, "mean", {249 * 390: 0.1, 250 * 390: 0.01, 375 * 390: 0.001}),
    "wrn": (128, 0.2, True, 5e-4, "reflect", {59 * 390: 0.1, 60 * 390: 0.02, 120 * 390: 0.004, 160 * 390: 0.0008}),
    "densenet": (64, 0.1, True, 1e-4, "mean", {149 * 390: 0.1, 150 * 390: 0.01, 225 * 390: 0.001}),
}
LENGTHS = {"he2015": 64_000, "he2016": 64_000, "stochastic-depth": 500, "wrn": 200, "densenet": 300, "imagenet-90": 90}


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_recipe_is_the_papers(name):
    held, (batch, decay, nesterov, weight_decay, fill, rates) = recipe(name), PAPERS[name]
    assert (held.batch_size, held.learning_rate, held.decay_factor) == (batch, 0.1, decay)
    assert (held.momentum, held.nesterov, held.weight_decay) == (0.9, nesterov, weight_decay)
    assert held.weight_decay_on == "all"  # on norms and biases too, in all of them
    assert (held.augment, held.crop_padding, held.crop_fill) == ("crop-flip", 4, fill)
    assert (held.label_smoothing, held.mixup, held.cutmix, held.ema, held.lookahead) == (0, 0, 0, 0, 0)
    steps = held.steps or 390 * held.epochs
    assert {step: pytest.approx(learning_rate(held, step, steps, 390)) for step in rates} == rates


def test_names_lengths_and_sources():
    assert set(RECIPES) == {"default", "fast", "finetune", *LENGTHS}
    assert {name: RECIPES[name].steps or RECIPES[name].epochs for name in LENGTHS} == LENGTHS
    assert all(held.name == name and held.source for name, held in RECIPES.items())
    assert all("arXiv:" in RECIPES[name].source for name in PAPERS)
    assert recipe("he2015").pixel_mean and not recipe("he2016").pixel_mean
    photos = recipe("imagenet-90")
    assert (photos.batch_size, photos.milestones, photos.nesterov, photos.crop_size) == (256, (30, 60), False, 224)
    assert (photos.augment, photos.crop_area, photos.weight_decay) == ("resized-crop-flip", 0.08, 1e-4)


def test_the_default_is_what_train_always_did():
    plain = Recipe(epochs=10, batch_size=128, learning_rate=0.1, augment="crop-flip")
    assert changed(RECIPES["default"], name="", source="") == plain


def test_a_new_length_takes_milestones_and_warm_up_along():
    short = recipe("he2016", epochs=3)
    assert (short.steps, short.count_in, short.milestones) == (None, "epochs", (1.5, 2.25))
    assert short.warmup == pytest.approx(400 / 64_000 * 3)
    assert "64,000 steps" in short.notes[-1]
    counted = recipe("densenet", steps=1000)
    assert (counted.count_in, counted.milestones, counted.steps) == ("steps", (500, 750), 1000)
    assert recipe("densenet", epochs=40).milestones == (20, 30)
    assert recipe("densenet", epochs=300) == recipe("densenet")
    assert recipe("wrn", epochs=160, milestones=(80, 120)).milestones == (80, 120)
    assert recipe("fast", epochs=5).notes == recipe("fast").notes  # nothing to take along
    assert recipe("he2015", batch_size=64).milestones == (32_000, 48_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"milestones": (2.0, 1.0)}, {"milestones": (0.0,)}, {"decay_factor": 1.0}, {"peak_at": 0.0}, {"warmup": -1.0},
        {"label_smoothing": 1.0}, {"mixup": math.nan}, {"ema": 1.0}, {"lookahead": -1}, {"lookahead_pull": 0.0},
        {"clip_norm": 0.0}, {"accumulate": 0}, {"accumulate": 33}, {"crop_area": 0.0}, {"crop_size": 8},
        {"pixel_mean": True, "augment": "resized-crop-flip"}, {"crop_fill": "white"}, {"flip": "always"},
        {"count_in": "hours"}, {"weight_decay_on": "norms"}, {"steps": 0}, {"head_learning_rate": 0.0},
    ],
)  # fmt: skip
def test_what_cannot_train_is_refused_by_name(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Recipe(**({"epochs": 1} | fields))


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'he2016'"):
        recipe("He2016")
    with pytest.raises(UserError, match="there are: default, fast"):
        recipe("zzz")
    with pytest.raises(UserError, match="'label_smoothin': did you mean 'label_smoothing'"):
        recipe("fast", label_smoothin=0.2)


def test_every_field_is_described_and_shown():
    shown = [name for names in GROUPS.values() for name in names]
    assert sorted(shown) == sorted(f.name for f in fields(Recipe) if f.name not in ("name", "source", "notes"))
    assert all(f.metadata["about"] and not f.metadata["about"].endswith(".") for f in fields(Recipe))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_as_text_fits_and_says_all_its_fields(name):
    text, markdown = recipe_text(RECIPES[name], 80), recipe_markdown(RECIPES[name])
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"--{field.replace('_', '-')}" in text for names in GROUPS.values() for field in names)
    assert RECIPES[name].source.split(",")[0] in text and f"Recipe {name}" in markdown
    assert "weight\\_decay" in markdown


def test_the_list_fits_too():
    text = recipes_text(list(RECIPES.values()), 80)
    assert max(map(len, text.splitlines())) <= 80 and all(name in text for name in RECIPES)
    assert "He et al. 2015" in text and "64,000 steps" in text
    assert recipes_markdown(list(RECIPES.values())).count("\n| ") == len(RECIPES) + 1


def test_recipes_are_files_of_their_own(tmp_path):
    file = recipe("wrn").save(tmp_path / "mine.json")
    assert gp.read(file) == recipe("wrn")
    assert repr(recipe("fast")).startswith("Recipe(epochs=10, batch_size=64, learning_rate=0.15")
