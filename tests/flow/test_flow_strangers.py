"""Models that nobody thought of: what was once a traceback, a false alarm or a puzzling sentence."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.report import flow_text


class Gan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
        self.judge = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))


def losses(model: Gan, real: Tensor) -> dict[str, Tensor]:
    fake = model.make(torch.randn(8, 8))
    ones, zeros = torch.ones(8, 1), torch.zeros(8, 1)
    told = F.binary_cross_entropy_with_logits
    return {
        "judge": told(model.judge(real), ones) + told(model.judge(fake.detach()), zeros),
        "make": told(model.judge(fake), ones),
    }


def test_a_generator_that_its_own_loss_feeds_is_no_finding():
    torch.manual_seed(0)
    model, real = Gan(), torch.randn(8, 16)
    flows = gp.trace(model, real, step=losses)
    assert [flow.findings for flow in flows.values()] == [(), ()]
    assert gp.assert_healthy(model, real, step=losses).keys() == flows.keys()
    with gp.trace(model) as traced:
        for loss in losses(model, real).values():
            loss.backward(retain_graph=True)
    assert [flow.findings for flow in traced.flows] == [(), ()]


def test_a_generator_that_no_loss_feeds_is_one():
    torch.manual_seed(0)

    def cut(model: Gan, real: Tensor) -> dict[str, Tensor]:
        loss = losses(model, real)["judge"]
        return {"judge": loss, "again": 2 * loss}

    for flow in gp.trace(Gan(), torch.randn(8, 16), step=cut).values():
        assert [finding.kind for finding in flow.findings] == ["no gradient"]


class Energy(nn.Module):
    """Forces: the gradient of an energy by its input, in the forward pass."""

    def __init__(self, transform: bool) -> None:
        super().__init__()
        self.transform, self.energy = transform, nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.transform:
            return torch.func.grad(lambda x: self.energy(x).sum())(x)
        x = x.requires_grad_()
        (force,) = torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)
        return force


def square(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).square().mean()


def test_inside_a_transform_of_torch_func_nothing_is_measured_and_that_is_said():
    x = torch.randn(8, 3)
    with pytest.raises(TraceError, match=r"torch\.func .*create_graph=True"):
        gp.trace(Energy(True), x, step=square)
    assert gp.trace(Energy(False), x, step=square).depth == 2
    flow = gp.trace(nn.Sequential(nn.Linear(3, 3), Energy(True)), x, step=square)
    assert [layer.scope for layer in flow.layers] == ["0"]
    assert "1.energy.0 and 3 more ran inside a transform of torch.func" in " ".join(flow.unseen.notes)


def test_watch_lets_a_transform_of_torch_func_be(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), Energy(True))
    with gp.watch(model, folder=tmp_path, every=1) as watched:
        for _ in range(2):
            loss = square(model, torch.randn(8, 3))
            loss.backward()
            watched.step(loss)
    lines = [json.loads(line) for line in (tmp_path / "watch.jsonl").read_text().splitlines()]
    reports = [line for line in lines if line["kind"] == "watch-report"]
    assert len(reports) == 2
    for report in reports:
        stem, *inside = report["log10_gradient_rms"]
        assert stem is not None and inside == [None, None]


class OwnProducts(nn.Module):
    """Multiplies by parameters that it holds in a list, as no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(0.4 * torch.randn(8, 8)) for _ in range(4))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = torch.relu(x @ weight)
        return self.head(x)


def test_layers_that_no_module_stands_for_are_told_and_paths_begin_at_the_first_of_them():
    torch.manual_seed(0)
    model, batch = OwnProducts(), (torch.randn(4, 8), torch.arange(4))
    flow, paths = gp.trace(model, batch, F.cross_entropy), gp.paths(model, batch, F.cross_entropy)
    assert "4 layers of weights are applied in a larger module's own code (the first: Mm)" in flow.unseen.notes[0]
    assert (flow.at, paths.at, paths.lengths) == ("Mm", "Mm", (4,))
    assert gp.trace(nn.Linear(8, 10), batch, F.cross_entropy).unseen.notes == ()


def test_a_bare_layer_has_its_paths_taken_at_the_output():
    assert gp.trace(nn.Linear(8, 10), (torch.randn(4, 8), torch.arange(4)), F.cross_entropy).at == "the output"


class OfComplex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8, dtype=torch.complex64), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.fft.fft(x * 9))).abs())


def test_a_complex_tanh_is_not_judged_by_the_curve_of_the_real_one():
    torch.manual_seed(0)
    flow = gp.trace(OfComplex(), (torch.randn(4, 8), torch.arange(4)), F.cross_entropy)
    assert flow.nonlinearities == () and flow.findings == ()


class Adapted(nn.Module):
    """LoRA at its start: B is zero, and so is the gradient of A."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(16, 16).requires_grad_(False)
        self.a, self.b = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight(x) + self.b(self.a(x))


def test_the_screen_of_a_model_without_findings_does_not_say_that_the_gradient_vanishes():
    torch.manual_seed(0)
    model = nn.Sequential(Adapted(), nn.ReLU(), Adapted())
    batch = (torch.randn(8, 16), torch.arange(8))
    flow = gp.trace(model, batch, F.cross_entropy)
    text = " ".join(flow_text(flow).split())
    assert text.startswith("No finding.") and "stem over head exactly 0" in text and "vanishes" not in text
    quick = gp.trace(model, batch, F.cross_entropy, quick=True)
    assert flow.was_searched and not quick.was_searched
    assert "vanishes" in flow_text(quick), "nobody looked: the ratio is all there is"


def test_parametrized_weights_are_not_initialised_and_that_is_said():
    torch.manual_seed(0)
    normed = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(normed(nn.Linear(8, 8)), nn.ReLU(), normed(nn.Linear(8, 10)))
    found = gp.whatif(model, (torch.randn(4, 8), torch.arange(4)), F.cross_entropy, "init=he")
    assert found.sentence == (
        "nothing changes: no convolution or linear layer has a weight of its own: tied and parametrized ones stay"
    )
