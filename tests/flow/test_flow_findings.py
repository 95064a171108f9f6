"""Findings: the tables of healthy, benign and sick nets; each rule at its threshold; `assert_healthy`."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from patients import BENIGN, HEALTHY, SICK, Apply, changed, mlp, residual_mlp, vectors
from torch import nn

import gradpath as gp
from gradpath.cli import _console
from gradpath.errors import TraceError
from gradpath.flow._findings import KINDS, findings, with_findings
from gradpath.flow._findings._healthy import assert_healthy
from gradpath.flow._findings._not_finite import first_not_finite
from gradpath.flow._findings._shattering import mean_cosine, shattered, shattering
from gradpath.flow._findings._words import factor
from gradpath.flow._whatif._changes import CHANGES, INITIALISATIONS, INSERTS
from gradpath.flow._whatif._entry import whatif
from gradpath.record import Flow, read
from gradpath.report import flow_text
from gradpath.report._signs import replacing

PATIENTS = {**HEALTHY, **BENIGN, **SICK}
QUICK = [name for name, patient in PATIENTS.items() if not patient.slow]
EACH = [pytest.param(n, marks=[pytest.mark.slow] * PATIENTS[n].slow) for n in PATIENTS]


@cache
def diagnosis(name: str) -> Flow:
    return PATIENTS[name].flow()


def kinds_of(flow: Flow) -> tuple[str, ...]:
    return tuple(finding.kind for finding in flow.findings)


@pytest.mark.parametrize("name", EACH)
def test_each_patient_has_exactly_its_findings(name):
    flow = diagnosis(name)
    assert kinds_of(flow) == PATIENTS[name].kinds, [finding.sentence for finding in flow.findings]


def test_precision_and_recall_over_the_tables_are_one(capsys):
    told = [(name, kind) for name in QUICK for kind in kinds_of(diagnosis(name))]
    true = [(name, kind) for name in QUICK for kind in PATIENTS[name].kinds]
    right = len(set(told) & set(true))
    precision, recall = right / len(told), right / len(true)
    counts = [sum(name in table for name in QUICK) for table in (HEALTHY, BENIGN, SICK)]
    with capsys.disabled():
        print(
            f"\nfindings on {counts[0]} healthy, {counts[1]} benign and {counts[2]} sick nets: "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
    assert min(counts) >= 12
    assert precision == recall == 1.0


def test_the_tables_hold_what_they_say():
    """A benign net that does not look sick, or a plain-20 that is not lopsided, would prove nothing."""
    zero = [p.log10_gradient_norm == -math.inf for p in diagnosis("zero-initialised last norm").parameters]
    assert sum(zero) > len(zero) / 2
    assert diagnosis("LayerScale 1e-6").stem_over_head < 1e-4
    assert diagnosis("loss near zero").loss < 0.01
    assert diagnosis("unused heads").unseen.layers_without_gradient == ("other",)
    assert diagnosis("frozen front").unseen.parameters_without_gradient == ()
    assert diagnosis("plain-20 with BatchNorm").gain_per_layer[0].energy_gain > 1.3
    assert diagnosis("Fixup").layers[0].log10_gradient_norm == -math.inf


@pytest.mark.slow
def test_108_of_167_parameters_of_a_zero_initialised_resnet_56_have_no_gradient_and_it_is_no_finding():
    flow = diagnosis("zero-initialised last norm, ResNet-56")
    zero = [p.log10_gradient_norm == -math.inf for p in flow.parameters]
    assert (sum(zero), len(zero)) == (108, 167)
    assert flow.findings == ()


@pytest.mark.parametrize("name", [n for n in QUICK if PATIENTS[n].kinds])
def test_each_finding_speaks(name):
    for finding in diagnosis(name).findings:
        assert finding.kind in KINDS
        assert finding.sentence.endswith(".")
        assert finding.remedy.endswith((".", "bfloat16."))
        assert finding.severity > 0
        assert "nan" not in finding.sentence
        names = dict(PATIENTS[name].build()[0].named_modules())
        assert finding.where in names


@pytest.mark.parametrize("name", [n for n in QUICK if PATIENTS[n].kinds])
def test_its_screen_fits_a_console_without_signs(name):
    """σ² is written sigma^2 there, and still no line is wider than 80 columns."""
    signs = _console._Replacements("ascii")
    with replacing(signs):
        lines = flow_text(diagnosis(name)).splitlines()
    assert [line for line in lines if len(line.translate(signs)) > 80] == []


def test_where_the_trouble_lies_is_named():
    assert diagnosis("starving layer").findings[0].where == "4"
    assert diagnosis("dead ReLUs by bias").findings[0].where == "5"
    assert diagnosis("detached front").findings[0].where == "0.6"
    assert diagnosis("GroupNorm with a channel per group").findings[0].where == "body.3"
    assert diagnosis("infinite weight").findings[0].where == "2"
    assert diagnosis("plain-56 with BatchNorm").findings[0].where == "stem.conv"
    assert diagnosis("VGG of 13 layers, default init").findings[0].where == "body.0"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain-20, no norm, default init", "ReLU σ²/2"),
        ("plain-56 with BatchNorm", "BatchNorm in a plain net π/(π−1)"),
        ("sigmoid, 8 layers", "sigmoid χ₁"),
        ("tanh, too small", "tanh χ₁"),
        ("skips of 0.5, 20 blocks", "λ = 0.5"),
        ("VGG of 13 layers, default init", "ReLU σ²/2"),
    ],
)
def test_the_cause_is_named_by_theory(name, words):
    assert words in diagnosis(name).findings[0].evidence


def test_outside_its_band_theory_names_no_cause():
    flow = diagnosis("MLP, too small")
    off = tuple(replace(expected, measured=expected.measured * 1.5) for expected in flow.expected)
    (finding,) = findings(replace(flow, expected=off))
    assert "no rule known here" in finding.sentence
    assert "theory" not in finding.evidence


KNOWN_CURES = {f"init={v}" for v in INITIALISATIONS} | {f"insert={v}" for v in INSERTS}
KNOWN_CURES |= {"skip=every:2", "activation=relu", "train=1"}


@pytest.mark.parametrize("name", [n for n in QUICK if PATIENTS[n].kinds])
def test_cures_are_changes_of_whatif(name):
    for finding in diagnosis(name).findings:
        assert set(finding.cures) <= KNOWN_CURES
        assert {cure.split("=")[0] for cure in finding.cures} <= {change.key for change in CHANGES}


@pytest.mark.parametrize("name", ["MLP, too small", "MLP, too large", "sigmoid, 8 layers", "tanh, saturated"])
def test_the_first_cure_cures(name):
    """The change is made to the model and traced again: the finding is gone."""
    cure = diagnosis(name).findings[0].cures[0]
    after = whatif(*PATIENTS[name].build(), cure).after
    assert findings(after) == ()


# ------------------------------------------------------------------------------------------------- thresholds


def chain(gain: float, depth: int = 31) -> Flow:
    """A made-up flow of linear layers whose RMS gradient changes by exactly `gain` per layer, going backward."""
    flow = gp.trace(mlp(4), vectors()(), F.cross_entropy)
    layer = next(layer for layer in flow.layers if layer.weighted)
    levels = [math.log10(gain) * (depth - 1 - i) for i in range(depth)]
    layers = (
        replace(layer, scope=str(i), log10_gradient_rms=level, log10_gradient_norm=level)
        for i, level in enumerate(levels)
    )
    return replace(flow, layers=tuple(layers), nonlinearities=(), findings=(), expected=())


@pytest.mark.parametrize("decades", [-3.1, -2.9, 0.0, 2.9, 3.1])
def test_vanishing_and_exploding_begin_at_three_decades(decades):
    found = findings(chain(10 ** (decades / 30)))
    assert tuple(f.kind for f in found) == ({-3.1: ("vanishing",), 3.1: ("exploding",)}.get(decades, ()))
    assert all(f.severity == pytest.approx(0.1) for f in found)


def test_residual_nets_with_norms_may_grow_with_a_power_of_the_depth():
    """110 layers: three decades for a plain net, 2.5 · log10(110) = 5.1 where branches hold norms."""
    plain = chain(10 ** (4.5 / 109), depth=110)
    assert [f.kind for f in findings(plain)] == ["exploding"]
    residual = diagnosis("residual MLP of 30 blocks")
    (norm, *_) = (layer for layer in residual.layers if "Norm" in layer.module)
    fork = replace(residual.residual_forks[0], shape=(1, 2, 3))  # of another resolution: the layers are the profile
    trunk = replace(plain, forks=(fork,) * 20, layers=(*plain.layers, *[replace(norm, resolution="x")] * 20))
    assert findings(trunk) == ()
    assert [f.kind for f in findings(replace(trunk, layers=plain.layers))] == ["exploding"]
    steeper = chain(10 ** (5.5 / 109), depth=110)
    steeper = replace(steeper, forks=trunk.forks, layers=(*steeper.layers, *trunk.layers[110:]))
    assert [f.kind for f in findings(steeper)] == ["exploding"]


def test_a_quick_trace_has_findings_too():
    model, batch, criterion = SICK["plain-56 with BatchNorm"].build()
    (finding,) = with_findings(model, gp.trace(model, batch, criterion, quick=True)).findings
    assert finding.kind == "exploding"


def test_the_numbers_of_a_vanishing_gradient():
    """Energy × 0.056 per layer, the sigmoid of the article: float16's smallest number 2⁻²⁴ is passed at layer 12,
    float32's 2⁻¹⁴⁹ at layer 72: 24·ln 2 / 1.441 = 11.5, 149·ln 2 / 1.441 = 71.7."""
    evidence = findings(chain(math.sqrt(0.056)))[0].evidence
    assert "gradient energy × 0.056 per layer (RMS × 0.237)" in evidence
    assert "float16 after 12, float32 after 72 layers" in evidence
    assert "half-length 0.5 layers" in evidence


def test_the_layer_where_the_slope_breaks_is_named():
    flow = chain(1.0)
    levels = [min(0.0, (i - 12) * 0.4) for i in range(31)]  # flat behind layer 12, steep in front of it
    layers = (replace(x, log10_gradient_rms=y, log10_gradient_norm=y) for x, y in zip(flow.layers, levels, strict=True))
    (finding,) = findings(replace(flow, layers=tuple(layers)))
    assert finding.kind == "vanishing"
    assert "the slope breaks at 13" in finding.evidence or "the slope breaks at 12" in finding.evidence


def test_a_scale_of_the_loss_changes_nothing():
    flow = replace(diagnosis("MLP, too small"), dtype="float64")  # float32 ends there: see "denormal loss"
    for decades in (-37, 37):
        layers = (
            replace(
                x,
                log10_gradient_norm=None if x.log10_gradient_norm is None else x.log10_gradient_norm + decades,
                log10_gradient_rms=None if x.log10_gradient_rms is None else x.log10_gradient_rms + decades,
            )
            for x in flow.layers
        )
        (finding,) = findings(replace(flow, layers=tuple(layers)))
        assert finding.severity == pytest.approx(flow.findings[0].severity, rel=1e-9)


def test_a_loss_below_the_smallest_normal_number_is_told_with_the_scale_that_cures_it():
    (finding,) = diagnosis("denormal loss").findings
    assert "the loss is" in finding.sentence and "e-44" in finding.sentence and "(1.2e-38)" in finding.sentence
    assert "exactly 0 at 11 of 11 layers" in finding.evidence
    assert "about 1e44" in finding.remedy
    assert "its gradient at the head is" in diagnosis("denormal gradient").findings[0].sentence
    for flow in (diagnosis("loss times 1e-30"), diagnosis("loss of exactly 0")):
        assert flow.findings == ()
    assert findings(replace(diagnosis("denormal gradient"), dtype="float64")) == ()


@pytest.mark.parametrize("exponent", [-126, -127])
def test_the_smallest_normal_number_is_still_one(exponent):
    flow = replace(diagnosis("loss times 1e-30"), loss=2.0**exponent)
    assert bool(findings(flow)) == (exponent < -126)


# -------------------------------------------------------------------------------------------------- over time


@pytest.mark.parametrize(
    ("name", "remedy", "memory"),
    [
        ("RNN cell, 60 steps", "gated cell", 8),
        ("LSTM cell, 60 steps", "forget gate open: its bias at 1", 14),
        ("GRU cell, 60 steps", "update gate", 14),
        ("cell of linear layers, 60 steps", "skip over every step", 8),
    ],
)
def test_a_recurrence_is_judged_by_time_step_with_remedies_that_fit_its_cell(name, remedy, memory):
    (finding,) = diagnosis(name).findings
    assert remedy in finding.remedy and "He init" not in finding.remedy and "BatchNorm" not in finding.remedy
    assert "60 time steps of cell" in finding.sentence and "per layer" not in finding.evidence
    steps = int(re.search(r"more than (\d+) steps back", finding.sentence)[1])
    assert steps == pytest.approx(memory, abs=1)
    energies = [2 * x.log10_gradient_rms for x in diagnosis(name).layers if x.scope == finding.where]
    per_step = 10 ** ((energies[0] - energies[-1]) / (len(energies) - 1))  # the ends, instead of a fitted line
    told = float(re.search(r"energy × ([\d.e-]+) per time step", finding.evidence)[1])
    assert told == pytest.approx(per_step, rel=0.1)


def test_a_recurrence_that_explodes_is_clipped():
    (finding,) = diagnosis("RNN cell, weights too large").findings
    assert "explodes over time" in finding.sentence and "clip_grad_norm_" in finding.remedy


def test_what_is_proposed_for_a_cell_of_linear_layers_can_be_simulated_and_recurrences_have_no_cure_that_cannot():
    assert diagnosis("cell of linear layers, 60 steps").findings[0].cures == ("init=orthogonal",)
    assert diagnosis("LSTM cell, 60 steps").findings[0].cures == ()


@pytest.mark.parametrize("kept", [0.6, 0.72])
def test_a_cell_forgets_when_a_step_keeps_less_than_two_thirds(kept):
    flow = diagnosis("GRU cell, 60 steps")
    calls = sum(flow.repeated.values())
    layers = (
        replace(x, log10_gradient_rms=math.log10(kept) * (calls - x.call), log10_gradient_norm=0.0)
        if x.scope == "cell"
        else x
        for x in flow.layers
    )
    found = findings(replace(flow, layers=tuple(layers)))
    assert bool(found) == (kept < 2 / 3)


def test_only_modules_called_over_and_over_on_one_shape_are_repeated():
    assert diagnosis("LSTM cell, 60 steps").repeated == {"cell": 60}
    assert diagnosis("cell of linear layers, 60 steps").repeated == {"cell.inward": 60, "cell.recurrent": 59}
    for name in ("ResNet-20", "LSTM", "GPT", "unused heads"):
        assert diagnosis(name).repeated == {}
    flow = diagnosis("LSTM cell, 60 steps")
    pyramid = tuple(replace(x, shape=(8, 32 + x.call)) for x in flow.layers)
    assert replace(flow, layers=pyramid).repeated == {}
    assert replace(flow, layers=flow.layers[-4:]).repeated == {}, "three calls and a head"


@pytest.mark.parametrize(("scale", "found"), [(1e-2, ()), (1e-4, ("starving layer",))])
def test_a_cliff_is_above_three_decades(scale, found):
    flow = with_findings(*traced(changed(mlp(6), lambda net: net[6].weight.mul_(scale))))
    assert kinds_of(flow) == found


@pytest.mark.parametrize(("factor", "found"), [(0.05, ()), (0.001, ("silent skip",))])
def test_a_skip_is_silent_below_one_percent(factor, found):
    flow = with_findings(*traced(residual_mlp(6, skip=factor)))
    assert kinds_of(flow) == found


def traced(model: nn.Module) -> tuple[nn.Module, Flow]:
    torch.manual_seed(0)
    return model, gp.trace(model, vectors()(), F.cross_entropy)


def test_few_units_die_by_chance_and_many_do_not():
    flow = diagnosis("dead ReLUs by bias")
    few = tuple(replace(unit, units=4) for unit in flow.nonlinearities)
    assert "dead units" not in {f.kind for f in findings(replace(flow, nonlinearities=few))}


def test_underflow_is_found_in_float16_alone():
    flow = diagnosis("float16 underflow")
    assert kinds_of(flow) == ("float16 underflow",)
    assert "float16 underflow" not in {f.kind for f in findings(replace(flow, autocast="bfloat16"))}
    assert "float16 underflow" not in {f.kind for f in findings(replace(flow, autocast=None))}
    assert "float16 underflow" in {f.kind for f in findings(replace(flow, autocast=None, dtype="float16"))}


def test_a_record_with_findings_comes_back_equal(tmp_path):
    flow = diagnosis("plain-56 with BatchNorm")
    assert read(flow.save(tmp_path / "flow.json")) == flow


def test_the_worst_comes_first():
    flow = diagnosis("MLP, too small")
    spoiled = tuple(replace(unit, dead_units=0.95, units=32) for unit in flow.nonlinearities[:1])
    found = findings(replace(flow, nonlinearities=spoiled))
    assert [f.severity for f in found] == sorted((f.severity for f in found), reverse=True)


# ------------------------------------------------------------------------------------------------- not finite


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("logarithm of a negative", "It begins at log in 1 ("),
        ("square root at zero", "It begins at the gradient of Sqrt in 1 ("),
        ("logarithm in the loss", "It begins at log ("),
        ("infinite weight", "the parameter 2.weight itself holds NaN or infinity"),
    ],
)
def test_the_first_operation_that_is_not_finite_is_named_with_its_line(name, words):
    sentence = diagnosis(name).findings[0].sentence
    assert words in sentence
    assert ("patients.py:" in sentence) == words.endswith("(")


def test_a_finite_model_has_no_such_operation():
    assert first_not_finite(*PATIENTS["MLP, too small"].build()) is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_search_leaves_everything_as_found(fails):
    def function(x):
        if fails:
            raise RuntimeError("as planned")
        return torch.log(x)

    model = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.Dropout(), Apply(function), nn.Linear(32, 10))
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="as planned"):
            first_not_finite(model, vectors()(), F.cross_entropy)
        random = torch.get_rng_state()  # of the batch made above
    else:
        torch.manual_seed(0)
        batch, random = vectors()(), torch.get_rng_state()
        assert first_not_finite(model, batch, F.cross_entropy).startswith("log in 3")
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    for module in model.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


# ------------------------------------------------------------------------------------------------- shattering


def test_mean_cosine_of_known_rows():
    rows = torch.tensor([[1.0, 0.0], [0.0, 5.0], [3.0, 3.0]], dtype=torch.float64)
    assert mean_cosine(rows) == pytest.approx((0 + 2**-0.5 + 2**-0.5) / 3)
    assert mean_cosine(rows * 1e-200) == pytest.approx((2 * 2**-0.5) / 3)
    assert math.isnan(mean_cosine(torch.zeros(3, 2)))


def test_shattered_gradients_are_a_finding_when_asked_for():
    torch.manual_seed(0)
    value = shattering(mlp(25, norm=nn.BatchNorm1d), torch.randn(64, 32))
    (finding,) = shattered(value)
    assert finding.kind == "shattered gradients"
    assert shattered(shattering(residual_mlp(25), torch.randn(64, 32))) == []
    assert shattered(math.nan) == []
    with pytest.raises(TraceError, match="at least two samples"):
        shattering(mlp(2), torch.randn(1, 32))


# --------------------------------------------------------------------------------------------- assert_healthy


def test_a_healthy_model_returns_its_flow():
    assert isinstance(assert_healthy(mlp(4), vectors()(), F.cross_entropy), Flow)


def test_a_sick_model_fails_with_all_that_is_needed():
    model, batch, criterion = SICK["MLP, too small"].build()
    with pytest.raises(AssertionError) as caught:
        assert_healthy(model, batch, criterion)
    text = str(caught.value)
    assert text.startswith(
        "Sequential is not healthy: 1 finding\n  1. vanishing: The gradient vanishes: from layer 30 (Linear) back"
    )
    for word in ("evidence: ", "remedy: ", "try:      init=he · skip=every:2", "allow=('vanishing',)"):
        assert word in text
    assert not isinstance(caught.value, TraceError)
    flow = assert_healthy(model, batch, criterion, allow=["vanishing"])
    assert kinds_of(flow) == ("vanishing",)
    assert assert_healthy(model, batch, criterion, allow="vanishing") == flow


def test_an_unknown_kind_to_allow_is_refused():
    with pytest.raises(TraceError, match=r"'vanish' is no kind of finding; kinds are: not finite, "):
        assert_healthy(mlp(2), vectors()(), F.cross_entropy, allow=["vanish"])


def test_each_of_several_losses_is_checked():
    model, batch, criterion = SICK["starving layer"].build()

    def step(model, batch):
        loss = criterion(model(batch[0]), batch[1])
        return {"a": loss, "b": 2 * loss}

    with pytest.raises(AssertionError, match=r"2 findings(.|\n)*\(loss 'a'\)(.|\n)*\(loss 'b'\)"):
        assert_healthy(model, batch, step=step)
    assert set(assert_healthy(model, batch, step=step, allow=["starving layer"])) == {"a", "b"}


TEST_FILE = """
import sys

def test_without(request):
    assert "gradpath.flow" not in sys.modules

def test_with(assert_healthy):
    import torch
    from torch import nn
    torch.manual_seed(0)
    layers = [m for _ in range(20) for m in (nn.Linear(16, 16), nn.ReLU())]
    assert_healthy(nn.Sequential(*layers, nn.Linear(16, 1)), torch.randn(8, 16), step=lambda m, x: m(x).sum())
"""


def test_the_pytest_fixture_fails_readably_and_imports_torch_only_when_used(tmp_path):
    (tmp_path / "test_it.py").write_text(TEST_FILE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    if not _is_registered():
        command += ["-p", "gradpath.pytest_plugin"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "Sequential is not healthy: 1 finding" in done.stdout
    assert "_findings/_healthy.py" not in done.stdout


def _is_registered() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "gradpath.pytest_plugin" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize(
    ("decades", "text"),
    [
        (0, "1"),
        (-2, "0.01"),
        (-6, "1e-6"),
        (-12.9, "1.3e-13"),
        (1.58, "38"),
        (3.5, "3160"),
        (6.3, "2e6"),
        (-400, "1e-400"),
    ],
)
def test_factors_are_short(decades, text):
    assert factor(decades) == text
