"""Every outcome that a comparison can have, and the sentence that must be said about it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from invented import (
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
from gradpath.report import findings, next_steps, paragraph
from gradpath.report.headline import headline
from gradpath.report.verdict import Finding


def said(rule: str, *nets: RunRecord, **changes: object) -> str:
    """The sentence of the one finding with this rule."""
    found = findings(comparison(*nets, **changes))
    sentences = [f.sentence for f in found if f.rule == rule]
    assert len(sentences) == 1, f"{rule!r} not once among {[f.rule for f in found]}"
    return sentences[0]


def rules(*nets: RunRecord, **changes: object) -> set[str]:
    return {f.rule for f in findings(comparison(*nets, **changes))}


NORM_FREE = [
    (norm_free(), "vanished, not learned", ["vanishes", "1.8e-23", "2.9e-22", "did not learn", "best of 3", "2.303"]),
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
    assert "do not vanish" in sentence and "grow going backward" in sentence and "3100" in sentence
    assert "×1.34 to ×1.39 in energy" in sentence


@pytest.mark.parametrize(
    ("ratio", "rule", "words"),
    [(40.0, "grew", "grow"), (0.3, "shrank", "shrink"), (1e-9, "vanished", "Even with BatchNorm"),
     (math.nan, "not finite", "not finite")],
)  # fmt: skip
def test_plain_with_batchnorm_is_told_as_measured(ratio: float, rule: str, words: str) -> None:
    assert words in said(f"plain norm: {rule}", plain(gradient=flow(ratio)))


DEGRADATION = [
    ("seen", plain(20, 0.51), plain(56, 1.87), ["plain-20", "0.51", "plain-56", "1.87", "not overfitting"]),
    ("not seen", plain(20, 0.51), plain(56, 0.55), ["no degradation"]),
    ("deeper better", plain(20, 1.51), plain(56, 0.55), ["deeper net trains better"]),
    ("seen", plain(20, 0.51), plain(56, diverged=31), ["plain-56 diverged at step 31", "degradation"]),
    ("neither learned", plain(20, 2.31, 0.1), plain(56, 2.3, 0.1), ["cannot be judged"]),
    ("neither learned", plain(20, diverged=3), plain(56, diverged=4), ["step 3", "step 4", "cannot be judged"]),
]


@pytest.mark.parametrize(("rule", "shallow", "deep", "words"), DEGRADATION)
def test_degradation_is_a_statement_about_two_depths(
    rule: str, shallow: RunRecord, deep: RunRecord, words: list[str]
) -> None:
    sentence = said(f"degradation: {rule}", deep, shallow)
    assert all(word in sentence for word in words), sentence
    assert not any(r.startswith("degradation") for r in rules(deep)), "one depth cannot show degradation"


TWINS = [
    ("residual better", plain(56, 1.87), residual(0.49), ["852.7 k", "skips make the difference"]),
    ("no clear difference", plain(56, 0.55), residual(0.5), ["no clear difference at this length"]),
    ("plain better", plain(56, 0.4), residual(0.9), ["plain net trains better", "did not help"]),
    ("residual fails", plain(56, 0.4), residual(2.31, accuracy=0.1), ["residual net fails"]),
    ("residual fails", plain(56, 0.4), residual(diverged=5), ["residual-56", "diverged at step 5", "fails"]),
    ("residual better", plain(56, diverged=9), residual(0.49), ["Plain-56 diverged at step 9", "0.49 after 2 epochs"]),
    ("neither learned", plain(56, 2.3, 0.1), residual(2.3, accuracy=0.1), ["says nothing about skips"]),
]


@pytest.mark.parametrize(("rule", "a", "b", "words"), TWINS)
def test_plain_against_its_residual_twin(rule: str, a: RunRecord, b: RunRecord, words: list[str]) -> None:
    sentence = said(f"twins: {rule}", a, b)
    assert all(word in sentence for word in words), sentence


def test_nets_of_other_depths_are_no_twins() -> None:
    assert not any(rule.startswith("twins") for rule in rules(plain(20), residual()))


def test_without_a_shallower_net_depth_is_not_blamed() -> None:
    assert "cannot be told" in said("twins: depth not tested", plain(56), residual())
    assert "twins: depth not tested" not in rules(*typical())


def test_unequal_lengths_are_compared_at_the_last_epoch_of_both() -> None:
    sentence = said("twins: residual better", plain(losses=(2.0, 1.2, 0.4)), residual(losses=(0.9,)))
    assert "After 1 epoch plain-56 has a training loss of 2" in sentence and "0.9" in sentence


def test_depth_repaired_only_where_it_is() -> None:
    assert "as well as 20 layers" in said("depth repaired", *typical())
    assert "depth repaired" not in rules(plain(20, 0.5), residual(1.2))


DENSE = [
    ("no clear difference", dense(0.55), ["110.3 k", "7.7 times fewer", "no clear difference"]),
    ("better", dense(0.2), ["it trains better"]),
    ("residual better", dense(1.2), ["trains less well"]),
    ("residual better", dense(diverged=8), ["diverged at step 8"]),
]


@pytest.mark.parametrize(("rule", "one", "words"), DENSE)
def test_dense_against_residual(rule: str, one: RunRecord, words: list[str]) -> None:
    sentence = said(f"dense: {rule}", residual(), one)
    assert all(word in sentence for word in words), sentence


def test_dense_alone() -> None:
    assert "learned: its training loss is 0.55" in said("dense alone: learned", dense())


def test_effective_depth() -> None:
    sentence = said("effective depth", residual())
    assert "56 layers deep" in sentence and "5.31 of its 27 branches" in sentence and "8.1 after" in sentence
    assert "effective depth" not in rules(plain())


def test_best_on_test_and_ties() -> None:
    assert "plain-20 and DenseNet-BC 58 within the noise" in said("test: tied", *typical())
    assert "residual-56 is best with 81.0 %" in said("test: one best", plain(56), residual())


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
    assert "5 min 3 s" in cut and "residual-56" in cut and "plain-56" not in cut
    assert next_steps(nothing)[0].startswith("gradpath compare --quick")


def test_quick_mode_reads_well() -> None:
    quick = comparison(norm_free(), plain(56), residual())
    assert "without norm" in paragraph(quick) and "degradation" not in paragraph(quick)
    assert any(step.startswith("gradpath compare  #") for step in next_steps(quick))


def test_next_steps_follow_what_was_seen() -> None:
    steps = next_steps(comparison())
    assert steps[0].startswith("gradpath compare --depth 110")
    assert any("--seed 1" in step for step in steps) and any("explain residual" in step for step in steps)
    unclear = next_steps(comparison(plain(56, 0.55), residual(0.5)))
    assert unclear[0].startswith("gradpath compare --minutes 20")
    by_epochs = next_steps(comparison(plain(56, 0.55), residual(0.5), minutes=None))
    assert by_epochs[0].startswith("gradpath compare --epochs 4")


HEADLINES = [
    (typical(), "56 layers deep, the plain net trains to a loss of 1.87; with skip connections it reaches 0.49"),
    ((plain(56, 0.5), residual(0.5)), "train alike"),
    ((plain(56, 0.4), residual(0.9)), "is worse"),
    ((plain(56, diverged=3), residual(0.9)), "diverged at step 3"),
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
    assert said("twins: residual better", broken, residual()).startswith("Plain-56 diverged and residual-56")
