"""Every outcome that a comparison can have, and the sentence that must be said about it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from invented import (
    DATA,
    comparison,
    dense,
    flow,
    net,
    norm_free,
    plain,
    residual,
    typical,
)

from gradpath.record import Comparison, RunRecord
from gradpath.report import Finding, findings, next_steps, paragraph
from gradpath.report import _facts as facts
from gradpath.report import _wording as wording
from gradpath.report._headline import flow_headline, headline


def said(rule: str, *nets: RunRecord, **changes: object) -> str:
    """The sentence of the one finding with this rule."""
    found = findings(comparison(*nets, **changes))
    sentences = [f.sentence for f in found if f.rule == rule]
    assert len(sentences) == 1, f"{rule!r} not once among {[f.rule for f in found]}"
    return sentences[0]


def rules(*nets: RunRecord, **changes: object) -> set[str]:
    return {f.rule for f in findings(comparison(*nets, **changes))}


NORM_FREE = [
    (
        norm_free(),
        "vanished, not learned",
        ["vanishes", "1.8e-23", "2.9e-22", "did not learn", "best of 3", "2.303", "PyTorch's default"],
    ),
    (norm_free(losses=(2.3, 1.1), accuracy=0.6), "vanished, learned", ["vanishes", "and yet", "learned", "1.1"]),
    (norm_free(diverged=12), "vanished, diverged", ["vanishes", "diverged at step 12", "lr 0.005"]),
    (norm_free(losses=()), "vanished, unfinished", ["finished no epoch"]),
    (norm_free(ratio=0.0), "vanished, not learned", ["exactly 0", "did not learn"]),
    (norm_free("he", 0.21, losses=(1.6, 0.93), accuracy=0.66), "shrank, learned", ["does not vanish", "0.93"]),
    (norm_free("he", 2.0), "grew, not learned", ["does not vanish", "and yet the net did not learn"]),
    (norm_free("he", 2.0, diverged=7), "grew, diverged", ["does not vanish", "diverged at step 7"]),
    (norm_free("he", 1e9, diverged=1), "exploded, diverged", ["explodes", "diverged at step 1"]),
    (norm_free("he", 1e9, losses=(1.0, 0.5), accuracy=0.7), "exploded, learned", ["explodes", "and yet", "learned"]),
    (norm_free("he", math.nan), "not finite, not learned", ["not finite"]),
    (norm_free("he", gradient=None), "unknown, not learned", ["did not learn"]),
]


@pytest.mark.parametrize(("one", "rule", "words"), NORM_FREE, ids=[row[1] for row in NORM_FREE])
def test_a_net_without_norm(one: RunRecord, rule: str, words: list[str]) -> None:
    sentence = said(f"norm-free: {rule}", one)
    assert all(word in sentence for word in words), sentence
    assert ("He's" in sentence) == (one.spec.init == "he")


def test_initialisation_alone_cures() -> None:
    default, he = norm_free(), norm_free("he", 0.2, losses=(1.6, 0.9), accuracy=0.66)
    assert "He's is enough" in said("initialisation: cures", default, he)
    assert "initialisation: cures" not in rules(default, norm_free("he", 0.2))


def test_with_batchnorm_plain_gradients_grow_and_the_legend_is_not_repeated() -> None:
    sentence = said("plain norm: exploded", *typical())
    assert "does not vanish" in sentence and "explodes going backward" in sentence and "3100" in sentence
    assert "energy changes by ×1.34 to ×1.39 per layer" in sentence and "more than 1000" in sentence


@pytest.mark.parametrize(
    ("ratio", "rule", "words"),
    [(40.0, "grew", "it grows"), (0.3, "shrank", "it shrinks"), (1.1, "grew", "hardly changes"),
     (1e-9, "vanished", "Even with BatchNorm"),
     (math.nan, "not finite", "not finite")],
)  # fmt: skip
def test_plain_with_batchnorm_is_told_as_measured(ratio: float, rule: str, words: str) -> None:
    assert words in said(f"plain norm: {rule}", plain(gradient=flow(ratio)))


DEGRADATION = [
    ("seen", plain(20, 0.51), plain(56, 1.87),
     ["Over epoch 2 (3,120 steps) plain 20, BatchNorm averages a training loss of 0.51 and plain 56, BatchNorm 1.87",
      "which is degradation, not overfitting"]),
    ("begins", plain(20, 1.31, steps=312), plain(56, 2.19, steps=312),
     ["Over epoch 2 (312 steps)", "1.31", "2.19", "how degradation begins", "a longer run shows whether it stays"]),
    ("too short", plain(20, 1.31, steps=49), plain(56, 2.19, steps=49), ["49 steps", "too short to tell"]),
    ("not seen", plain(20, 0.51), plain(56, 0.55), ["no degradation"]),
    ("deeper better", plain(20, 1.51), plain(56, 0.55), ["deeper net trains better"]),
    ("deeper better", plain(20, 2.31, 0.1), plain(56, 0.55), ["deeper net trains better"]),
    ("the shallower one did not learn", plain(20, 2.31, 0.1), plain(56, 3.9, 0.3), ["cannot be judged"]),
    ("diverged", plain(20, 0.51), plain(56, diverged=31),
     ["Plain 56, BatchNorm diverged at step 31 at learning rate 0.05 and plain 20, BatchNorm did not",
      "cannot be judged at this learning rate"]),
    ("neither learned", plain(20, 2.31, 0.1), plain(56, 2.3, 0.1), ["cannot be judged"]),
    ("diverged", plain(20, diverged=3), plain(56, diverged=4), ["step 3", "step 4", "cannot be judged"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "shallow", "deep", "words"), DEGRADATION)
def test_degradation_is_a_statement_about_two_depths(
    rule: str, shallow: RunRecord, deep: RunRecord, words: list[str]
) -> None:
    sentence = said(f"degradation: {rule}", deep, shallow)
    assert all(word in sentence for word in words), sentence
    assert not any(r.startswith("degradation") for r in rules(deep)), "one depth cannot show degradation"


TWINS = [
    ("residual better", plain(56, 1.87), residual(0.49),
     ["In 2 epochs at the same learning rate, 0.05", "852.7 k", "make it train better", "mean over epoch 2"]),
    ("residual better", plain(56, 2.19, steps=312), residual(1.32, steps=312),
     ["In 312 steps", "gets to a training loss of 1.32", "to 2.19: the skips are the only difference between the two"]),
    ("too short", plain(56, 2.19, steps=12), residual(1.32, steps=12), ["In 12 steps", "too short to tell"]),
    ("no clear difference", plain(56, 0.55), residual(0.5), ["no clear difference at this length"]),
    ("plain better", plain(56, 0.4), residual(0.9), ["plain net trains better", "did not help"]),
    ("residual fails", plain(56, 0.4), residual(2.31, accuracy=0.1), ["residual net fails"]),
    ("diverged", plain(56, 0.4), residual(diverged=5), ["Residual 56 diverged at step 5", "cannot be judged"]),
    ("diverged", plain(56, diverged=9), residual(0.49),
     ["Plain 56, BatchNorm diverged at step 9 at learning rate 0.05", "cannot be judged at this learning rate"]),
    ("neither learned", plain(56, 2.3, 0.1), residual(2.3, accuracy=0.1), ["says nothing about skips"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "a", "b", "words"), TWINS)
def test_plain_against_its_residual_twin(rule: str, a: RunRecord, b: RunRecord, words: list[str]) -> None:
    sentence = said(f"twins: {rule}", a, b)
    assert all(word in sentence for word in words), sentence


def test_nets_of_other_depths_are_no_twins() -> None:
    assert not any(rule.startswith("twins") for rule in rules(plain(20), residual()))


@pytest.mark.parametrize("other", [residual(0.49, rate=0.1), residual(0.49, seed=1), residual(0.49, init="default")])
def test_nets_that_were_trained_otherwise_are_no_twins(other: RunRecord) -> None:
    assert not any(rule.startswith("twins") for rule in rules(plain(56, 1.87), other))
    assert "depth repaired" not in rules(plain(20, 0.5, rate=0.2, seed=3), other)


def test_repeated_nets_are_told_once() -> None:
    once, twice = comparison(*typical()), comparison(*typical(), *typical())
    assert paragraph(twice) == paragraph(once)
    seeds = comparison(plain(56, seed=0), residual(seed=0), plain(56, 1.9, seed=1), residual(0.6, seed=1))
    assert len([f for f in findings(seeds) if f.rule.startswith("twins: residual")]) == 2


def test_the_mean_over_an_epoch_is_said_once() -> None:
    assert paragraph(comparison(plain(56), residual())).count("mean over") == 1
    assert paragraph(comparison()).count("mean over") + paragraph(comparison()).count("averages") == 1


@pytest.mark.parametrize("nets", [(plain(20, 0.5), plain(56, diverged=3), residual(diverged=4)),
                                  (plain(20, diverged=2), plain(56), residual(0.5)), (residual(), dense(diverged=1)),
                                  (residual(diverged=6), dense())])  # fmt: skip
def test_nothing_is_judged_against_a_diverged_net(nets: tuple[RunRecord, ...]) -> None:
    assert "depth repaired" not in rules(*nets)
    text = f"{paragraph(comparison(*nets))} {headline(comparison(*nets))}".lower()
    assert "inf" not in text.replace("information", "").split() and " inf" not in text
    assert "cannot be judged" in text and "as well as" not in text and "better than" not in text


def test_when_everything_diverged_it_says_so_and_does_not_advise_to_train_longer() -> None:
    record = comparison(*(net("plain", depth, diverged=depth) for depth in (20, 56)), residual(diverged=3),
                        data=dataclasses.replace(comparison().data, name="mine.npz"))  # fmt: skip
    sentence = said("everything diverged", *record.nets)
    assert "the learning rate" in sentence and "the data" in sentence
    assert headline(record) == "Every net diverged: look at the learning rate and at the data"
    steps = next_steps(record)
    assert steps[0].startswith("gradpath train plain-20 --data mine.npz --learning-rate 0.005  #")
    assert steps[1].startswith("gradpath compare  # the shipped images")
    assert not any("longer" in step or "--minutes 20" in step or "--seed 1" in step for step in steps)


def test_without_a_shallower_net_depth_is_not_blamed() -> None:
    assert "cannot be told" in said("twins: depth not tested", plain(56), residual())
    assert "twins: depth not tested" not in rules(*typical())


def test_unequal_lengths_are_compared_at_the_last_epoch_of_both() -> None:
    sentence = said(
        "twins: residual better", plain(losses=(2.0, 1.2, 0.4), steps=4680), residual(losses=(0.9,), steps=1560)
    )
    assert "In 1 epoch at" in sentence and "a training loss of 0.90" in sentence and "to 2.00" in sentence


def test_depth_repaired_only_where_it_is() -> None:
    assert "In 2 epochs, 56 layers with skips train as well as 20 layers without" in said("depth repaired", *typical())
    assert "depth repaired" not in rules(plain(20, 0.5), residual(1.2))


DENSE = [
    (
        "no clear difference",
        dense(0.55),
        ["110.3 k", "about an eighth of those of residual 56", "a DenseNet-BC", "no clear difference"],
    ),
    ("better", dense(0.2), ["dense net trains better"]),
    ("residual better", dense(1.2), ["trains less well"]),
    ("too short", dense(1.2, steps=3), ["too short"]),
    ("diverged", dense(diverged=8), ["diverged at step 8", "cannot be judged"]),
]


@pytest.mark.parametrize(("rule", "one", "words"), DENSE)
def test_dense_against_residual(rule: str, one: RunRecord, words: list[str]) -> None:
    sentence = said(f"dense: {rule}", residual(), one)
    assert all(word in sentence for word in words), sentence


def test_dense_alone() -> None:
    assert "learned: its training loss is 0.55" in said("dense alone: learned", dense())


def test_effective_depth() -> None:
    sentence = said("effective depth", residual())
    assert (
        "56 layers deep" in sentence
        and "5.31 of its 27 branches" in sentence
        and "at initialisation and 8.1 after" in sentence
    )
    assert "effective depth" not in rules(plain())


@pytest.mark.parametrize("depth", [-3.0, 27.5, math.inf, math.nan])
def test_where_paths_cancel_no_average_is_given(depth: float) -> None:
    odd = flow(4.2, forks=27, effective_depth=depth)
    sentence = said("effective depth: paths cancel", residual(gradient=odd, final=None))
    assert "paths of opposite sign cancel" in sentence and "no average" in sentence
    later = said("effective depth", residual(final=odd))
    assert "5.31" in later and "after training paths of opposite sign cancel" in later
    assert "paths cancel" in flow_headline(odd) and "branches on average" not in flow_headline(odd)


@pytest.mark.parametrize("gain", [0.9, 1.3])
def test_verb_and_fate_come_from_one_quantity(gain: float) -> None:
    sentence = said("plain norm: exploded", plain(gradient=flow(3000.0, gain=gain)))
    assert "explodes" in sentence and "shrink" not in sentence and f"×{gain}" in sentence


def test_a_gain_without_a_trend_carries_no_sentence() -> None:
    traced = flow(3000.0)
    loose = tuple(dataclasses.replace(g, r_squared=0.2) for g in traced.gain_per_layer)
    sentence = said("plain norm: exploded", plain(gradient=dataclasses.replace(traced, gain_per_layer=loose)))
    assert "×" not in sentence and "per layer" not in sentence


def test_best_on_test_and_ties() -> None:
    told = said("test: tied", *typical())
    assert told == (
        "Residual 56 is best with 81.0 % of the test images right; plain 20, BatchNorm and dense 58 are within the "
        "noise of it."
    )
    assert "Residual 56 is best with 81.0 %" in said("test: one best", plain(56), residual())


def test_exact_ties_and_perfect_scores() -> None:
    told = said("test: tied", residual(accuracy=0.81), dense(0.5, accuracy=0.81))
    assert told.startswith("Residual 56 and dense 58 are best with 80.0 %")
    assert "are best" in said("test: tied", residual(accuracy=1.01), dense(0.5, accuracy=1.01))
    assert "within the noise" in said("test: tied", residual(accuracy=1.01), dense(0.5, accuracy=1.009))


def test_who_ran_alone_or_was_interrupted_is_not_best() -> None:
    assert said("test: one net", residual()) == "Residual 56 gets 81.0 % of the test images right."
    cut = residual(losses=(0.9,), interrupted=True)
    assert said("test: one best", plain(56), cut).startswith("So far residual 56 gets the most test images right")


def test_guessing_on_imbalanced_data_is_naming_the_largest_class() -> None:
    shares = (0.82, *(0.02,) * 9)
    data = dataclasses.replace(DATA, class_shares=shares)
    assert facts.guessing_loss(data) == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert facts.guessing_accuracy(data) == 0.82 and facts.guessing_loss(DATA) == pytest.approx(math.log(10))
    lazy = net("plain", 56, losses=(1.0, 0.86), accuracy=0.82, data=data)
    assert facts.outcome(lazy) == "not learned", "names the largest class and no more"
    assert facts.outcome(net("plain", 56, losses=(1.0, 0.86), accuracy=0.95, data=data)) == "learned"
    one_class = dataclasses.replace(DATA, class_shares=(1.0,), classes=("a",))
    assert facts.outcome(net("plain", 56, losses=(0.1, 0.0), accuracy=1.0, data=one_class)) == "not learned"
    assert "guessing gives 0.867" in paragraph(comparison(norm_free(losses=(0.9, 0.87), accuracy=0.8, data=data)))


def test_nothing_learned_says_so_and_blames_nothing() -> None:
    nets = (plain(20, 2.31, 0.1), plain(56, 2.3, 0.1), residual(2.3, accuracy=0.1))
    assert "nothing is said here about depth" in said("nothing learned", *nets)
    assert "No net learned" in headline(comparison(*nets))
    assert any("--minutes 20" in step for step in next_steps(comparison(*nets)))


def test_interrupted_before_anything_and_in_the_middle() -> None:
    nothing = dataclasses.replace(comparison(), nets=(), interrupted=True)
    assert {f.rule for f in findings(nothing)} == {"interrupted", "nothing trained"}
    assert headline(nothing) == "No net was trained"
    cut = said("interrupted", plain(), residual(interrupted=True, losses=(0.9,)), interrupted=True)
    assert "5 min 3 s" in cut and "residual 56" in cut and "plain 56" not in cut
    assert next_steps(nothing)[0].startswith("gradpath compare --quick")
    quick = comparison(norm_free(), plain(interrupted=True), minutes=1.0, interrupted=True)
    assert next_steps(quick)[0].startswith("gradpath compare --quick --depth 56 --epochs 1  #")


def test_quick_mode_reads_well() -> None:
    quick = comparison(norm_free(), plain(56), residual())
    assert "no norm" in paragraph(quick) and "degradation" not in paragraph(quick)
    assert any(step.startswith("gradpath compare  #") for step in next_steps(quick))


def longer(count: int = 6, **changes: object) -> Comparison:
    """The typical run, of more epochs."""
    nets = tuple(dataclasses.replace(n, epochs=n.epochs[:1] + n.epochs[-1:] * (count - 1)) for n in typical())
    return comparison(*nets, **changes)


def test_next_steps_follow_what_was_seen() -> None:
    few = next_steps(comparison())
    assert few[0].startswith("gradpath compare --minutes 20  #") and not any("--depth" in step for step in few)
    steps = next_steps(longer())
    assert steps[0].startswith("gradpath compare --depth 110  # 110 layers") and "twice" not in steps[0]
    assert any("--seed 1" in step for step in steps) and any("explain residual" in step for step in steps)
    unclear = next_steps(longer(nets=(plain(20, 2.3, 0.1), plain(56, 2.3, 0.1))))
    assert "--minutes 20" in unclear[0]
    by_epochs = next_steps(comparison(minutes=None))
    assert by_epochs[0].startswith("gradpath compare --epochs 4")


def test_advice_repeats_the_users_run() -> None:
    data = dataclasses.replace(DATA, name="my photos.npz")
    quick = (norm_free(), plain(56), residual())
    steps = next_steps(comparison(*quick, data=data, seed=4, minutes=3.0))
    assert any(
        step.startswith("gradpath compare --data 'my photos.npz' --quick --depth 56 --minutes 3 --seed 5  #")
        for step in steps
    )
    assert any(
        step.startswith("gradpath compare --epochs 2 --seed 1  #") for step in next_steps(comparison(minutes=None))
    )
    assert all(step.startswith(("gradpath compare ", "gradpath explain ")) for step in steps)


HEADLINES = [
    (typical(), "After 2 epochs, plain 56, BatchNorm has a training loss of 1.87; with skips, residual 56 has 0.49"),
    ((plain(56, 2.19, steps=156), residual(1.32, steps=156)), "After 156 steps, plain 56, BatchNorm has"),
    ((plain(56, 2.19, steps=7), residual(1.32, steps=7)), "7 steps: too short"),
    ((plain(56, 0.5), residual(0.5)), "train alike"),
    ((plain(56, 0.4), residual(0.9)), "is worse"),
    ((plain(56, diverged=3), residual(0.9)), "diverged at step 3: skips cannot be judged at learning rate 0.05"),
    ((norm_free(), plain(20, 0.5)), "1.8e-23"),
    ((plain(20, 0.5, 0.8),), "79.0 % of the test images"),
]


@pytest.mark.parametrize(("nets", "words"), HEADLINES)
def test_headline(nets: tuple[RunRecord, ...], words: str) -> None:
    assert words in headline(comparison(*nets))


def test_every_sentence_is_a_sentence_and_names_its_nets() -> None:
    record: Comparison = comparison()
    for finding in findings(record):
        assert isinstance(finding, Finding)
        assert finding.sentence[0].isupper() and finding.sentence.endswith(".") and "  " not in finding.sentence
        assert set(finding.nets) <= {n.name for n in record.nets}
        assert "nan" not in finding.sentence.lower().split()
    assert paragraph(record) == " ".join(f.sentence for f in findings(record))


def test_a_diverged_loss_without_a_step_is_still_divergence() -> None:
    broken = net("plain", 56, losses=(0.9, math.nan))
    assert said("twins: diverged", broken, residual()).startswith("Plain 56, BatchNorm diverged at learning rate 0.05")


def test_one_name_a_net_everywhere() -> None:
    renamed = tuple(dataclasses.replace(n, name=f"mine{i}") for i, n in enumerate(typical()))
    record = comparison(*renamed)
    text = f"{paragraph(record)} {headline(record)}".lower()
    assert all(f"mine{i}" in text for i in range(6))
    assert not any(word in text for word in ("plain-56", "plain 56", "residual 56", "residual-56", "dense 58"))


def test_names_with_commas_are_joined_by_semicolons() -> None:
    assert wording.join(["a", "b", "c"]) == "a, b and c"
    assert wording.join(["plain 20, He", "b", "c"]) == "plain 20, He; b; and c"


@pytest.mark.parametrize(
    ("own", "other", "words"),
    [(100, 270, "about a third of"), (100, 101, "about as many as"), (100, 150, "about 67 % of"),
     (100, 5000, "about 2 % of"), (300, 100, "3 times those of")],
)  # fmt: skip
def test_sizes_are_fractions(own: int, other: int, words: str) -> None:
    nets = (dataclasses.replace(residual(), parameters=n) for n in (own, other))
    assert words in wording.size(*nets)
