"""The model card: it says what the record says, and nothing in a record can break out of it."""

from __future__ import annotations

from dataclasses import replace

from invented import DATA, net, residual

from gradpath import render
from gradpath.record import Epoch, Evaluation, NetSpec, Start
from gradpath.report._card import model_card

TEST = Evaluation(
    name="residual 56",
    data="pets",
    right=70,
    images=100,
    classes=("cat", "dog"),
    class_images=(60, 40),
    class_right=(50, 20),
    confusion=((50, 10), (20, 20)),
)
PETS = replace(DATA, name="pets", classes=("cat", "dog"), class_shares=(0.7, 0.3), channels=3, mean=(0.1, 0.2, 0.3),
               std=(0.4, 0.5, 0.6), train_images=900, validation_images=100, test_images=100)  # fmt: skip
EPOCHS = tuple(
    Epoch(train_loss=0.5, train_accuracy=0.8, test_accuracy=None, seconds=30.0, validation_accuracy=accuracy)
    for accuracy in (0.61, 0.72, 0.68)
)


def trained(**changes):
    return replace(residual(), data=PETS, epochs=EPOCHS, best_epoch=2, test=TEST, weights="r.safetensors", **changes)


def section(card, name):
    return card.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_results_are_those_of_the_kept_weights():
    card = model_card(trained())
    assert card.startswith("---\nlibrary_name: gradpath\n")
    assert "\n# residual 56: 2 classes of pets\n" in card
    results = section(card, "Results")
    assert "| 100 images held out of training, by which the weights were chosen | 72.0 % |" in results
    assert "| 100 test images, read once, at the end | 70.0 % |" in results
    assert "| always naming the most frequent class | 70.0 % |" in results
    assert "| cat | 60 | 50 | 83.3 % |" in results
    assert "Most often confused: dog called cat (20), cat called dog (10)." in results


def test_how_to_use_it_and_how_it_was_made():
    card = model_card(trained(start=Start(weights="in.th", replaced=(), normalise="imagenet"), notes=("x was frozen",)))
    use = section(card, "Use")
    assert "gradpath predict r.safetensors photos/" in use
    assert "RGB images" in use
    assert "28 px" in use
    assert "0.1000, 0.2000, 0.3000 subtracted, divided by 0.4000, 0.5000, 0.6000" in use
    training = section(card, "Training")
    assert "900 images to train on, 100 more held out to choose the weights, 100 to test on (cat 70.0 %" in training
    assert "Started from in.th." in training
    assert "- X was frozen." in training
    assert "| batch\\_size | 32 |" in training
    assert "1 min 30 s" in training
    assert "| norm |" not in section(card, "The net")
    assert "| input\\_size | 28 |" in section(card, "The net")
    gradient = section(card, "Its gradient")
    assert "Before training" in gradient
    assert "5.31 of 27 branches" in gradient
    assert "8.1 of 27 branches" in gradient
    assert "| torch | 2.13.0 |" in section(card, "Made with")


def test_limits_that_this_run_has():
    limits = section(model_card(trained()), "Limits")
    assert "Classes are uneven: 30.0 % to 70.0 %" in limits
    assert "after every epoch" not in limits
    assert "interrupted" not in limits
    before = section(model_card(replace(residual(), interrupted=True)), "Limits")  # as `gradpath compare` trains
    assert "test images were looked at after every epoch" in before
    assert "Its training was interrupted." in before
    assert "uneven" not in before
    untested = replace(trained(), test=None)
    assert "It was not tried on test images." in section(model_card(untested), "Limits")


def test_runs_of_every_outcome_have_a_card(tmp_path):
    for run in (
        net(diverged=7),
        replace(net(), spec=None, family=None, norm=None, weights="w.safetensors"),
        replace(net(), spec=NetSpec(family="dense", depth=58, bottleneck=True, compression=0.5, growth_rate=4)),
        net(losses=()),
    ):
        card = render(run, tmp_path / "card.md").read_text(encoding="utf-8")
        assert "## Limits" in card
    assert "No weights were kept." in card
    assert "diverged at step 7" in model_card(net(diverged=7))
    given = model_card(replace(net(), spec=None, weights="w.safetensors"))
    assert "--net TARGET" in given
    assert "--net file.py:model" in model_card(replace(net(), name="file.py:model", spec=None, weights="w.safetensors"))


def test_names_cannot_break_out():
    bad = "a|b\n# <script>"
    run = trained(name=bad)
    run = replace(
        run,
        data=replace(PETS, name=bad, classes=(bad, "dog")),
        test=replace(TEST, classes=(bad, "dog")),
        weights="x\n```\n# y.safetensors",
    )
    card = model_card(run)
    assert "<script" not in card.replace("\\<script", "")
    heads = [line for line in card.splitlines() if line.startswith("# ")]
    assert len(heads) == 1
    rows = [line for line in section(card, "Results").splitlines() if line.startswith("| a")]
    assert all(line.replace("\\|", "").count("|") in (3, 5) for line in rows)
