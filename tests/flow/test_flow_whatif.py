"""What-ifs against models written by hand that have the change built in, and against closed forms."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow import CHANGES, whatif
from gradpath.flow._whatif._changes import parse
from gradpath.flow._whatif._norm_terms import norm_terms
from gradpath.flow._whatif._sentence import number, sentence
from problems import PROBLEMS, PlainMLP, ResidualMLP


def parameter_norms(flow):
    return {p.name: p.log10_gradient_norm for p in flow.parameters}


def norms_of(model, batch, criterion=F.cross_entropy):
    """An independent backward pass: log10 of each parameter's gradient norm."""
    grads = torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    return {n: None if g is None else math.log10(float(g.norm())) for n, g in zip(names, grads, strict=True)}


class ByHand(ResidualMLP):
    """The residual MLP with its skip and branch replaced: combine(x, branch(input_of_branch(x)))."""

    def __init__(self, combine, entrance=lambda x: x):
        super().__init__()
        self.combine, self.entrance = combine, entrance

    def forward(self, x):
        x = self.stem(x)
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            x = self.combine(index, x, second(F.relu(first(self.entrance(x)))))
        return self.head(x)


EDGES = {
    "cut=skips": ByHand(lambda i, x, y: x.detach() + y),
    "cut=branches": ByHand(lambda i, x, y: x + y, lambda x: x.detach()),
    "cut=first.1": ByHand(lambda i, x, y: (x.detach() if i == 1 else x) + y),
    "scale=skips:0.5": ByHand(lambda i, x, y: x / 2 + x.detach() / 2 + y),
    "scale=second.2:-3": ByHand(lambda i, x, y: (4 * x.detach() - 3 * x if i == 2 else x) + y),
    "scale=branches:0.25": ByHand(lambda i, x, y: x + y, lambda x: x / 4 + 3 / 4 * x.detach()),
}


@pytest.mark.parametrize("change", EDGES)
@pytest.mark.parametrize("name", ["residual", "residual in place"])
def test_cut_and_scaled_edges_equal_a_model_that_has_them_so(name, change):
    model, batch, criterion = PROBLEMS[name].build()
    twin = EDGES[change].double()
    twin.load_state_dict(model.state_dict())
    found = whatif(model, batch, criterion, change)
    assert parameter_norms(found.after) == pytest.approx(norms_of(twin, batch), abs=1e-9)
    assert parameter_norms(found.before) == pytest.approx(norms_of(model, batch), abs=1e-9)
    assert parameter_norms(found.after) != pytest.approx(norms_of(model, batch), abs=1e-3)


def test_without_skips_every_path_passes_every_branch_and_without_branches_none():
    model, batch, criterion = PROBLEMS["residual"].build()
    without_skips, without_branches = (whatif(model, batch, criterion, f"cut={what}") for what in ("skips", "branches"))
    assert without_skips.after.effective_depth == pytest.approx(3)
    assert without_branches.after.effective_depth == pytest.approx(0, abs=1e-12)
    assert "effective depth" in without_skips.sentence
    one = whatif(model, batch, criterion, "cut=branches:first.0").after  # the other two branches are as they were
    assert [fork.skip_share == pytest.approx(1) for fork in one.residual_forks] == [True, False, False]


@pytest.mark.parametrize("blocks", [6, 54])
def test_scaled_skips_multiply_up_along_the_pure_skip_path(blocks):
    model = ResidualMLP(blocks).double()
    for second in model.second:
        nn.init.zeros_(second.weight)  # nothing comes through the branches
    batch = (torch.randn(7, 5, dtype=torch.float64), torch.randint(4, (7,)))
    found = whatif(model, batch, F.cross_entropy, "scale=skips:0.5")
    ratio = found.after.layers[0].gradient_norm / found.before.layers[0].gradient_norm
    assert ratio == pytest.approx(0.5**blocks, rel=1e-9)
    assert f"falls by {blocks * math.log10(2):.1f} decades" in found.sentence


@pytest.mark.parametrize("name", ["dense, list", "dense, running", "parallel", "scaled", "shortcut B"])
def test_skips_of_other_models_can_be_cut(name):
    model, batch, criterion = PROBLEMS[name].build()
    after = whatif(model, batch, criterion, "cut=skips").after
    edges = [edge for fork in after.residual_forks for edge in fork.edges if edge.kind in ("skip", "projection")]
    assert edges
    assert all(edge.norm == 0 for edge in edges)


class Normed(nn.Module):
    """Two layers, each with a norm by its parts, so that its statistics can be detached."""

    def __init__(self, kind, detached=None):
        super().__init__()
        self.kind, self.detached = kind, detached
        self.first, self.second, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 4)
        self.weight, self.bias = nn.Parameter(torch.rand(4) + 0.5), nn.Parameter(torch.randn(4))
        self.image_weight = nn.Parameter(torch.rand(6, 6) + 0.5)

    def library_norm(self, x):
        if self.kind == "batch":
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)
        if self.kind == "instance":
            return F.instance_norm(x, weight=self.weight, bias=self.bias)
        if self.kind == "group":
            return F.group_norm(x, 2, self.weight, self.bias)
        return F.layer_norm(x, x.shape[-2:], self.image_weight[: x.shape[-2], : x.shape[-1]])

    def norm(self, x):
        if self.detached is None:
            return self.library_norm(x)
        dims = {"batch": (0, 2, 3), "instance": (2, 3), "group": (2, 3, 4), "layer": (2, 3)}[self.kind]
        view = x.unflatten(1, (2, 2)) if self.kind == "group" else x
        mean = view.mean(dims, keepdim=True)
        mean = mean.detach() if "mean" in self.detached else mean
        variance = (view - mean).square().mean(dims, keepdim=True)
        variance = variance.detach() if "variance" in self.detached else variance
        normed = ((view - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        if self.kind == "layer":
            return normed * self.image_weight[: x.shape[-2], : x.shape[-1]]
        return normed * self.weight[:, None, None] + self.bias[:, None, None]

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        return self.head(F.relu(self.norm(self.second(x))).mean((2, 3)))


@pytest.mark.parametrize("kind", ["batch", "instance", "group", "layer"])
@pytest.mark.parametrize(
    ("change", "detached"),
    [("norm=detach", ("mean", "variance")), ("norm=mean", ("mean",)), ("norm=variance", ("variance",))],
)
def test_norms_without_terms_equal_norms_with_detached_statistics(kind, change, detached):
    torch.manual_seed(1)
    model, twin = Normed(kind).double(), Normed(kind, detached).double()
    twin.load_state_dict(model.state_dict())
    batch = (torch.randn(5, 2, 8, 8, dtype=torch.float64), torch.randint(4, (5,)))
    expected = norms_of(twin, batch)
    found = parameter_norms(whatif(model, batch, F.cross_entropy, change).after)
    keep = [name for name, value in expected.items() if value is not None and value > -10]  # biases before a norm: 0
    assert "first.weight" in keep
    assert {n: found[n] for n in keep} == pytest.approx({n: expected[n] for n in keep}, abs=1e-8)
    assert found["first.weight"] != pytest.approx(norms_of(model, batch)["first.weight"], abs=1e-5)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(4), (6, 4)),
        (nn.BatchNorm2d(4, affine=False), (3, 4, 5, 2)),
        (nn.GroupNorm(2, 4), (3, 4, 7)),
        (nn.LayerNorm((3, 4)), (2, 5, 3, 4)),
        (nn.LayerNorm(4, elementwise_affine=False), (6, 4)),
    ],
)
def test_all_terms_together_are_autograds_own_gradient(norm, shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = norm.double()(x)
    grad = torch.randn_like(y)
    terms = norm_terms(y.grad_fn)
    (expected,) = torch.autograd.grad(y, [x], grad, retain_graph=True)
    assert torch.allclose(terms.input_gradient(grad), expected, rtol=1e-10, atol=1e-12)


def test_batchnorm_in_eval_mode_has_no_terms_to_drop():
    model, batch, criterion = PROBLEMS["shortcut B"].build()
    found = whatif(model.eval(), batch, criterion, "norm=detach")
    assert found.sentence.startswith("nothing changes: 3 norms unchanged: BatchNorm in eval mode")
    assert found.after == found.before


# --- copies ---


def shallow_images(count=8):
    return torch.randn(count, 3, 8, 8), torch.randint(10, (count,))


def test_he_initialisation_brings_the_articles_plain_net_back():
    torch.manual_seed(0)
    net = gp.build("plain-56", norm="none", init="default", input_size=8)
    found = whatif(net, shallow_images(), F.cross_entropy, "init=he")
    assert found.before.log10_stem_gradient_norm < -15
    assert found.after.log10_stem_gradient_norm > found.before.log10_stem_gradient_norm + 10
    assert found.sentence.startswith("with He initialisation the gradient at stem.conv rises by ")


def test_added_skips_are_residual_forks():
    torch.manual_seed(0)
    net = gp.build("plain-20", norm="none", init="default", input_size=8)
    found = whatif(net, shallow_images(), F.cross_entropy, "skip=every:2")
    # 6 convolutions in the first stage; in each other stage 5 that keep the shape
    assert found.notes[0] == "7 skips added"
    assert len(found.after.residual_forks) == 7
    assert {edge.kind for fork in found.after.residual_forks for edge in fork.edges} == {"skip", "branch"}
    assert found.before.effective_depth is None
    assert 0 < found.after.effective_depth < 7
    assert "where there was no residual fork" in found.sentence
    assert [layer.scope for layer in found.after.layers] == [layer.scope for layer in found.before.layers]


class SkippedByHand(PlainMLP):
    """The plain MLP 5 → 6 → 6 → 6 → 4 with a skip around its two middle layers, or around one with its norm."""

    def forward(self, x):
        x = F.relu(self[0](x))
        return self[6](F.relu(x + self[4](F.relu(self[2](x)))))


def test_added_skips_and_norms_equal_those_made_by_hand():
    model, batch, criterion = PROBLEMS["plain"].build()
    twin = SkippedByHand().double()
    twin.load_state_dict(model.state_dict())
    after = whatif(model, batch, criterion, "skip=every:2").after
    assert parameter_norms(after) == pytest.approx(norms_of(twin, batch), abs=1e-9)
    normed = nn.Sequential(
        *(
            m
            for layer in model
            for m in ([layer, nn.BatchNorm1d(6).double()] if layer in (model[0], model[2], model[4]) else [layer])
        )
    )
    after = parameter_norms(whatif(model, batch, criterion, "insert=batchnorm").after)
    expected = norms_of(normed, batch)
    assert after["0.weight"] == pytest.approx(expected["0.weight"], abs=1e-9)
    assert after["6.weight"] == pytest.approx(expected["9.weight"], abs=1e-9)
    assert after["4.inserted_norm.weight"] == pytest.approx(expected["7.weight"], abs=1e-9)


def test_a_skip_around_a_module_is_its_input_added_to_its_output():
    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return x + self.inner(x.clone())

    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 4)).double()
    batch = (torch.randn(7, 5, dtype=torch.float64), torch.randint(4, (7,)))
    twin = nn.Sequential(model[0], Around(model[1]), model[2])
    found = whatif(model, batch, F.cross_entropy, "skip=1")
    assert parameter_norms(found.after) == pytest.approx(norms_of(twin, batch), abs=1e-9)
    assert found.after.loss == pytest.approx(float(F.cross_entropy(twin(batch[0]), batch[1]).detach()))


class NormedMLP(nn.Module):
    """Layers with a BatchNorm each; a skip around the two in the middle that comes back behind the second norm."""

    def __init__(self, skip):
        super().__init__()
        self.skip = skip
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm1d(6) for _ in range(3))

    def forward(self, x):
        kept = x = F.relu(self.norms[0](self.layers[0](x)))
        x = F.relu(self.norms[1](self.layers[1](x)))
        x = self.norms[2](self.layers[2](x))
        return self.layers[3](F.relu(x + kept if self.skip else x))


def test_a_skip_comes_back_behind_the_norm():
    torch.manual_seed(0)
    model, twin = NormedMLP(False).double(), NormedMLP(True).double()
    twin.load_state_dict(model.state_dict())
    batch = (torch.randn(7, 6, dtype=torch.float64), torch.randint(6, (7,)))
    found = whatif(model, batch, F.cross_entropy, "skip=every:2")
    assert found.notes == ("1 skip added",)
    after, expected = parameter_norms(found.after), norms_of(twin, batch)
    assert after["norms.0.weight"] == pytest.approx(expected["norms.0.weight"], abs=1e-9)
    assert after["layers.3.weight"] == pytest.approx(expected["layers.3.weight"], abs=1e-9)


def test_the_head_is_in_no_run_and_the_data_begin_none():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    found = whatif(model, (torch.randn(7, 6), torch.randint(6, (7,))), F.cross_entropy, "skip=every:1")
    assert found.notes == ("1 skip added",)


@pytest.mark.parametrize("activation", ["post", "pre"])
def test_residual_blocks_get_no_further_skip(activation):
    torch.manual_seed(0)
    net = gp.build("resnet-8", input_size=8, activation=activation)
    found = whatif(net, shallow_images(), F.cross_entropy, "skip=every:2")
    assert found.sentence == "nothing changes: no run of 2 layers fits"


def test_one_of_two_parallel_branches_can_be_cut():
    model, batch, criterion = PROBLEMS["parallel"].build()
    found = whatif(model, batch, criterion, "cut=branches:a")
    norms = {edge.consumer.partition(":")[0]: edge.norm for edge in found.after.forks[0].edges}
    assert norms["a"] == 0
    assert norms["b"] == pytest.approx(next(e.norm for e in found.before.forks[0].edges if e.consumer[0] == "b"))
    assert norms["b"] > 0


def test_attention_inputs_and_shared_modules_get_no_skip():
    for name in ("shared", "highway", "parallel", "residual", "dense, list"):
        model, batch, criterion = PROBLEMS[name].build()
        assert whatif(model, batch, criterion, "skip=every:1").sentence.startswith("nothing changes: no run")


class Mixed(nn.Module):
    """Functions, modules and in-place operations, a gate, and a sigmoid at the output."""

    def __init__(self, hidden=None):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(5, 5) for _ in range(5))
        self.module, self.in_place, self.hidden = nn.Tanh(), nn.ReLU(inplace=True), hidden

    def act(self, which, x):
        if self.hidden is not None:
            return self.hidden(x)
        if which == 2:
            y = x * 1
            torch.relu_(y)
            return y
        return (self.module, self.in_place, None, torch.sigmoid)[which](x)

    def forward(self, x):
        for which in range(4):
            x = self.act(which, self.layers[which](x))
        gate = torch.sigmoid(self.layers[4](x))
        return torch.sigmoid(self.layers[0](gate * self.layers[1](x)))


def test_activations_are_changed_whatever_they_are_but_gates_and_outputs():
    torch.manual_seed(0)
    model, twin = Mixed().double(), Mixed(F.gelu).double()
    twin.load_state_dict(model.state_dict())
    batch = (torch.randn(7, 5, dtype=torch.float64), torch.rand(7, 5, dtype=torch.float64))
    found = whatif(model, batch, F.binary_cross_entropy, "activation=gelu")
    assert parameter_norms(found.after) == pytest.approx(norms_of(twin, batch, F.binary_cross_entropy), abs=1e-9)
    assert found.notes == (
        "4 activations (relu, sigmoid, tanh) → gelu; 2 left: gates, behind the last layer, or gelu already",
    )
    same = whatif(twin, batch, F.binary_cross_entropy, "activation=gelu")
    assert same.sentence.startswith("nothing changes: no activation to change to gelu")


def test_training_first_equals_an_optimiser():
    model, batch, criterion = PROBLEMS["shortcut A"].build()
    twin = copy.deepcopy(model)
    optimiser = torch.optim.SGD(twin.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        criterion(twin(batch[0]), batch[1]).backward()
        optimiser.step()
    found = whatif(model, batch, criterion, "train=3:0.1")
    assert found.after.loss < found.before.loss
    assert found.after.loss == pytest.approx(gp.trace(twin, batch, criterion).loss, rel=1e-10)
    assert found.notes == ("3 steps of SGD at rate 0.1",)


def test_initialisations_have_the_variance_that_they_promise():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(100, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.LayerNorm(100), nn.Linear(100, 2)
    )
    batch = (torch.randn(4, 100), torch.randint(2, (4,)))
    variances = {"he": 2 / 300, "lecun": 1 / 300, "xavier": 2 / 400, "orthogonal": 2 / 300}
    for how, variance in variances.items():
        (after,) = (
            p for p in whatif(model, batch, F.cross_entropy, f"init={how}").after.parameters if p.name == "2.weight"
        )
        assert 10 ** (2 * after.log10_norm) / 30_000 == pytest.approx(variance, rel=0.05), how
    with torch.no_grad():
        model[2].weight.zero_()
    found = {p.name: p for p in whatif(model, batch, F.cross_entropy, "init=default").after.parameters}
    assert 10 ** (2 * found["2.weight"].log10_norm) / 30_000 == pytest.approx(1 / 900, rel=0.05)
    assert found["4.weight"].log10_norm == pytest.approx(1)  # ‖(1, …, 1)‖ of 100


def test_zeroed_last_norms_leave_the_skips_alone():
    torch.manual_seed(0)
    net = gp.build("resnet-8", input_size=8)
    found = whatif(net, shallow_images(), F.cross_entropy, "init=zero-last-norm")
    assert found.before.effective_depth > 0.1
    assert found.after.effective_depth == 0
    assert found.notes == ("3 of 3 residual forks end a branch in a norm with a weight",)
    weights = {p.name: p.log10_norm for p in found.after.parameters if p.name.startswith("stages.1.0.norm")}
    assert weights["stages.1.0.norm2.weight"] == -math.inf
    assert weights["stages.1.0.norm1.weight"] == pytest.approx(math.log10(32) / 2)


# --- manners ---

FORMS = {  # a change of each form in the table, on a model that it changes
    "cut=skips": "residual",
    "cut=branches": "residual",
    "cut=MODULE": ("cut=second.0", "residual"),
    "cut=branches:MODULE": ("cut=branches:a", "parallel"),
    "scale=skips:FACTOR": ("scale=skips:0.5", "residual"),
    "scale=branches:FACTOR": ("scale=branches:2", "dense, list"),
    "scale=MODULE:FACTOR": ("scale=first.0:0.5", "residual"),
    "scale=branches:MODULE:FACTOR": ("scale=branches:first.2:3", "residual"),
    "norm=detach": "shortcut A",
    "norm=mean": "shortcut A",
    "norm=variance": "shortcut A",
    "init=he": "plain",
    "init=xavier": "highway",
    "init=lecun": "shared",
    "init=orthogonal": "dense, running",
    "init=default": "keyword and mapping",
    "init=zero-last-norm": "shortcut D",
    "skip=every:N": ("skip=every:2", "plain"),
    "skip=MODULE": ("skip=cell", "shared"),
    "insert=batchnorm": "residual",
    "insert=layernorm": "shortcut B",
    "train=STEPS": ("train=2", "scaled"),
    "train=STEPS:RATE": ("train=1:1e-3", "keyword and mapping"),
    **{f"activation={name}": "plain" for name in "leaky_relu elu selu gelu silu tanh sigmoid identity".split()},
    "activation=relu": "highway",
}


def case(form):
    change, name = FORMS[form] if isinstance(FORMS[form], tuple) else (form, FORMS[form])
    return change, PROBLEMS[name].build()


def test_the_table_of_forms_is_the_table_of_changes():
    assert set(FORMS) == {f"{change.key}={value}" for change in CHANGES for value in change.values}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_changes_something_and_its_record_comes_back_equal(form, tmp_path):
    change, (model, batch, criterion) = case(form)
    found = whatif(model, batch, criterion, change)
    assert found.change == change
    assert found.after != found.before
    assert "\n" not in found.sentence
    found.save(tmp_path / "whatif.json")
    assert gp.read(tmp_path / "whatif.json") == found


def state_of(model):
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    values = [t.clone() for t in model.state_dict().values()] + [p.grad.clone() for p in model.parameters()]
    return (
        values,
        hooks,
        [m.training for m in model.modules()],
        [type(m) for m in model.modules()],
        torch.get_rng_state(),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fails_at", [None, 1, 2])
def test_everything_is_left_as_found(form, fails_at):
    change, (model, batch, criterion) = case(form)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    list(model.children())[-1].eval()
    calls = []

    def step(net, batch):
        torch.rand(3)
        calls.append(1)
        if len(calls) == fails_at:
            raise RuntimeError("as planned")
        return criterion(net(batch[0]), batch[1]) if criterion else net(**batch)["loss"]

    before = state_of(model)
    try:
        whatif(model, batch, change=change, step=step)
        assert fails_at is None or len(calls) < fails_at  # a change to the backward pass calls the step once
    except RuntimeError:
        assert fails_at == 1
    except TraceError as error:
        assert fails_at == 2
        assert "as planned" in str(error)
    (values, *rest, random), (values_, *rest_, random_) = before, state_of(model)
    assert rest == rest_
    assert torch.equal(random, random_)
    assert all(torch.equal(a, b) for a, b in zip(values, values_, strict=True))


def test_both_passes_see_the_same_dropout():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 50), nn.Dropout(), nn.LayerNorm(50), nn.Linear(50, 4))
    batch = (torch.randn(3, 5), torch.randint(4, (3,)))
    found = whatif(model, batch, F.cross_entropy, "train=1:0")
    assert found.after == found.before
    assert found.sentence.startswith("nothing changes: after 1 SGD step (rate 0) no layer's gradient is 5 %")


def test_paths_are_taken_where_asked_in_both():
    model, batch, criterion = PROBLEMS["residual"].build()
    for at in ("first.1", model.first[1]):
        for change in ("cut=skips", "init=he"):
            found = whatif(model, batch, criterion, change, at=at)
            assert (found.before.at, found.after.at) == ("first.1", "first.1")


def test_checkpointed_blocks_can_be_changed():
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(ResidualMLP):
        def forward(self, x):
            x = self.stem(x)
            for first, second in zip(self.first, self.second, strict=True):
                x = checkpoint(lambda x, f=first, s=second: x + s(F.relu(f(x))), x, use_reentrant=False)
            return self.head(x)

    model, batch, criterion = PROBLEMS["residual"].build()
    twin = Checkpointed().double()
    twin.load_state_dict(model.state_dict())
    for change in ("cut=skips", "insert=layernorm", "init=he"):
        plain, again = (whatif(net, batch, criterion, change).after for net in (model, twin))
        assert parameter_norms(again) == pytest.approx(parameter_norms(plain), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "no change was given: write KEY=VALUE with a key of cut, scale, norm, init"),
        ("inti=he", r"did you mean 'init'\?"),
        ("init", "init=: a value is missing; give one of: init=he"),
        ("init=hee", r"'hee' is not known \(did you mean 'he'\?\); give one of: init=he, init=xavier"),
        ("init=he:3", "'he:3' is not known"),
        ("cut=frist.1", r"no module 'frist.1' \(did you mean 'first.1'\?\)"),
        ("cut=skips:first.1:0.5", "too many parts"),
        ("scale=skips", "the factor is missing"),
        ("scale=skips:half", "the factor must be a number, got 'half'"),
        ("scale=skips:nan", "the factor must be a number, got 'nan'"),
        ("skip=every:0", "the number of layers must be a whole number from 1, got '0'"),
        ("skip=every:two", "must be a number"),
        ("skip=stem", "a skip needs one shape at both ends, and stem makes 7×6 of 7×5"),
        ("skip=first", "first was not called in this pass"),
        ("train=1.5", "must be a whole number"),
        ("train=1:0.1:2", "too many parts"),
        ("norm=batch", "give one of: norm=detach, norm=mean, norm=variance"),
    ],
)
def test_errors_say_what_to_do(change, message):
    model, batch, criterion = PROBLEMS["residual"].build()
    with pytest.raises(TraceError, match=message) as error:
        whatif(model, batch, criterion, change)
    assert "\n" not in str(error.value)


def test_models_that_cannot_be_copied_or_do_not_run_once_changed_say_so():
    import threading

    model, batch, criterion = PROBLEMS["plain"].build()
    with pytest.raises(TraceError, match=r"init=he: step.* did not call the model that it was given"):
        whatif(model, batch, change="init=he", step=lambda _, b: criterion(model(b[0]), b[1]))
    one = (batch[0][:1], batch[1][:1])
    with pytest.raises(TraceError, match=r"insert=batchnorm: the changed model does not run .*more than 1 value per"):
        whatif(model, one, criterion, "insert=batchnorm")
    with pytest.raises(TraceError, match="step returned 2 losses"):
        whatif(model, batch, change="cut=skips", step=lambda m, b: {"a": m(b[0]).sum(), "b": m(b[0]).sum()})
    with pytest.raises(TraceError, match=r"the criterion is the text 'init=he': .* change='init=he'"):
        whatif(model, batch, "init=he")
    model.lock = threading.Lock()
    with pytest.raises(TraceError, match=r"the model cannot be copied .*: make the change yourself"):
        whatif(model, batch, criterion, "init=he")
    assert whatif(model, batch, criterion, "cut=skips").notes == ("the model has no residual fork",)


# --- the sentence ---


def told(old, new, change="cut=skips", depths=(None, None)):
    """The sentence for gradients (log10) at the layers of the plain MLP."""
    flow = gp.trace(*PROBLEMS["plain"].build())

    def with_norms(values, depth):
        layers = (dataclasses.replace(c, log10_gradient_norm=v) for c, v in zip(flow.layers, values, strict=True))
        return dataclasses.replace(flow, layers=tuple(layers), effective_depth=depth)

    asked = parse(change)
    count = type("Count", (), {"count": 1, "notes": ()})()
    return sentence(asked, count, with_norms(old, depths[0]), with_norms(new, depths[1]))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            (-1.92, -1, -1, 0),
            (-6.01, -1, -1, 0),
            "without the skips the gradient at layer 0 falls by 4.1 decades (0.012 → 9.8e-7)",
        ),
        ((0, 0, 0, 0), (-0.2, -0.4, -0.8, 0), "without the skips the gradient at layer 2 falls by 60 % (1 → 0.398)"),
        ((0, 0, 0, 0), (0.5, 0, 0, 0), "without the skips the gradient at layer 0 rises 3.2-fold (1 → 3.16)"),
        ((0, 0, 0, 0), (0.1, 0, 0, 0), "without the skips the gradient at layer 0 rises by 26 % (1 → 1.26)"),
        (
            (0, 0, 0, 0),
            (0.02, 0, -0.01, 0),
            "nothing changes: without the skips no layer's gradient is 5 % larger or smaller",
        ),
        ((-2, 0, 0, 0), (-math.inf, 0, 0, 0), "without the skips nothing arrives at layer 0 any more (0.01 → 0)"),
        ((-2, 0, 0, 0), (None, 0, 0, 0), "without the skips nothing arrives at layer 0 any more (0.01 → 0)"),
        ((-math.inf, 0, 0, 0), (-0.4, 0, 0, 0), "without the skips layer 0 receives 0.398 instead of nothing"),
        (
            (0, 0, 0, 0),
            (math.nan, 0, 0, 0),
            "without the skips the gradient at layer 0 is not finite any more (1 → not finite)",
        ),
        ((math.nan,) * 4, (math.nan, 0, 0, 0), "without the skips the gradient at layer 2 is finite (not finite → 1)"),
        (
            (math.nan,) * 4,
            (math.nan,) * 4,
            "nothing changes: without the skips no layer's gradient is 5 % larger or smaller",
        ),
        (
            (-400, 0, 0, 0),
            (-410, 0, 0, 0),
            "without the skips the gradient at layer 0 falls by 10.0 decades (1.0e-400 → 1.0e-410)",
        ),
    ],
)
def test_sentences(old, new, expected):
    assert told(old, new) == expected


def test_sentences_tell_effective_depth_where_it_changed():
    assert told((0,) * 4, (0,) * 4, depths=(4.0, 4.1)).startswith("nothing changes")
    assert told((0,) * 4, (0,) * 4, depths=(4.0, 8.0)) == "without the skips effective depth 4.00 → 8.00"
    assert told((0,) * 4, (1,) * 4, depths=(None, 8.0)).endswith(
        "(1 → 10); effective depth 8.00, where there was no residual fork"
    )


def test_numbers_are_rounded_before_they_are_written():
    assert [number(v) for v in (-6.0001, math.log10(9.96e-7), -math.inf, math.nan, math.inf, 5.5)] == [
        "1.0e-6",
        "1.0e-6",
        "0",
        "not finite",
        "not finite",
        "3.2e5",
    ]
