"""What theory expects, against closed forms, brute force and the numbers that nets of given seeds measure."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from patients import Block
from torch import nn

import gradpath as gp
from gradpath.flow._findings._shattering import shattering
from gradpath.flow._findings._theory import _CHI, _mean_square, expectations, taps_inside
from gradpath.flow._findings._theory_trunks import branch_share


def random_loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """⟨output, noise⟩: a gradient at the output that is independent of the signal, as theory has it."""
    output = model(x)
    return (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(9))).sum()


def stack(width, depth, variance, activation=nn.ReLU, norm=None, bias_variance=0.0) -> nn.Sequential:
    """Linear layers of weight variance variance/n, each with norm and activation where given."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Linear(width, width))
        nn.init.normal_(layers[-1].weight, std=math.sqrt(variance / width))
        nn.init.normal_(layers[-1].bias, std=math.sqrt(bias_variance))
        layers += [norm(width)] if norm else []
        layers += [activation()] if activation else []
    return nn.Sequential(*layers)


def measured_and_expected(model, batch, width):
    flow = gp.trace(model, torch.randn(batch, width), step=random_loss)
    (expected,) = expectations(model, flow)
    assert expected.measured == flow.gain_per_layer[0].energy_gain
    assert expected.unit == "layer"
    return expected.measured, expected


@pytest.mark.parametrize("variance", [1.0, 2.0, 2.5])
def test_relu_multiplies_energy_by_half_the_weight_variance(variance):
    """T8: measured .501, 1.002, 1.253 at width 512."""
    measured, expected = measured_and_expected(stack(512, 40, variance), 64, 512)
    assert expected.energy_gain == pytest.approx(variance / 2, rel=2e-3)  # of the weights that were drawn
    assert measured == pytest.approx(variance / 2, rel=0.03)
    assert expected.explains
    assert expected.rule.startswith("ReLU σ²/2, σ² = ")
    assert "He et al. 2015" in expected.source


@pytest.mark.parametrize("variance", [0.5, 2.0])
def test_batchnorm_in_a_plain_net_multiplies_energy_by_pi_over_pi_minus_one(variance):
    """T6: 1.467 whatever the weight variance; measured 1.486 at width 256, batch 64."""
    measured, expected = measured_and_expected(stack(256, 40, variance, norm=nn.BatchNorm1d), 64, 256)
    assert expected.energy_gain == pytest.approx(1.46694, abs=1e-5)
    assert measured == pytest.approx(1.486, abs=0.03)
    assert expected.explains
    assert "Yang et al. 2019" in expected.source


def test_layernorm_keeps_energy_and_so_does_batchnorm_without_activation():
    """T7: measured 1.005 and 1.009."""
    measured, expected = measured_and_expected(stack(512, 40, 2.0, norm=nn.LayerNorm), 64, 512)
    assert expected.energy_gain == 1.0
    assert measured == pytest.approx(1.0, abs=0.03)
    measured, expected = measured_and_expected(stack(256, 40, 2.0, activation=None, norm=nn.BatchNorm1d), 64, 256)
    assert expected.energy_gain == 1.0
    assert measured == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("variance", "chi"),
    [(1.0, 0.758), (1.3, 0.879), (1.5, 0.938), (1.76, 1.001), (2.0, 1.050), (2.5, 1.136), (3.0, 1.214)],
)
def test_tanh_is_ordered_below_1_76_and_chaotic_above(variance, chi):
    """T9: σ_b² = 0.05. The values of the table are measured ones, of another width and seed."""
    model = stack(400, 50, variance, activation=nn.Tanh, bias_variance=0.05)
    measured, expected = measured_and_expected(model, 32, 400)
    assert expected.energy_gain == pytest.approx(chi, rel=0.03)
    assert measured == pytest.approx(chi, rel=0.03)
    assert expected.explains
    assert (measured < 1) == (variance < 1.7) or variance == 1.76


def test_a_sigmoid_keeps_at_most_a_sixteenth_of_the_energy():
    """T10: Xavier, width 512: .0557."""
    measured, expected = measured_and_expected(stack(512, 30, 1.0, activation=nn.Sigmoid), 64, 512)
    assert measured == pytest.approx(0.0557, rel=0.02)
    assert expected.energy_gain == pytest.approx(0.0557, rel=0.02)
    assert expected.energy_gain < 1 / 16


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.ELU])
def test_other_activations_have_their_chi(activation):
    measured, expected = measured_and_expected(stack(600, 12, 2.0, activation=activation), 32, 600)
    assert expected.explains
    assert measured == pytest.approx(expected.energy_gain, rel=0.05)


@pytest.mark.parametrize("rms", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("operation", ["Tanh", "Sigmoid", "Gelu", "Silu", "Elu", "Relu"])
def test_the_mean_square_of_each_derivative_agrees_with_autograd_on_samples(operation, rms):
    function = {"Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Gelu": F.gelu, "Silu": F.silu, "Elu": F.elu}
    torch.manual_seed(0)
    h = (torch.randn(400_000, dtype=torch.float64) * rms).requires_grad_()
    (slope,) = torch.autograd.grad(function.get(operation, F.relu)(h).sum(), h)
    assert _mean_square(_CHI[operation][1], rms) == pytest.approx(float(slope.square().mean()), rel=0.04)


def test_unknown_mixtures_expect_nothing():
    model = nn.Sequential(stack(64, 5, 2.0), stack(64, 5, 2.0, activation=nn.Tanh))
    flow = gp.trace(model, torch.randn(8, 64), step=random_loss)
    assert expectations(model, flow) == ()
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8))
    flow = gp.trace(model, torch.randn(2, 3, 6, 6), step=random_loss)
    assert expectations(model, flow) == ()


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "dilation"), [(32, 3, 1, 1), (8, 5, 2, 1), (8, 3, 2, 2), (6, 3, 0, 1)]
)
def test_the_padding_factor_counts_taps_inside(size, kernel, padding, dilation):
    """Brute force: a convolution of ones over ones adds up the taps that lie inside."""
    inputs = size + dilation * (kernel - 1) - 2 * padding
    ones = F.conv1d(torch.ones(1, 1, inputs), torch.ones(1, 1, kernel), padding=padding, dilation=dilation)
    assert ones.shape[-1] == size
    assert taps_inside(size, kernel, padding, dilation) == pytest.approx(float(ones.mean()) / kernel, rel=1e-6)


@pytest.mark.parametrize("size", [4, 16])
def test_the_padding_factor_is_in_the_gain_of_convolutions(size):
    """Wide convolutions without norm, weights of variance 2/(9·n): below 1 by the padding alone."""
    torch.manual_seed(0)
    layers = []
    for _ in range(10):
        layers += [nn.Conv2d(48, 48, 3, padding=1, bias=False), nn.ReLU()]
        nn.init.normal_(layers[-2].weight, std=math.sqrt(2 / (9 * 48)))
    model = nn.Sequential(*layers)
    flow = gp.trace(model, torch.randn(4, 48, size, size), step=random_loss)
    (expected,) = expectations(model, flow)
    inside = ((3 * size - 2) / (3 * size)) ** 2
    assert expected.energy_gain == pytest.approx(inside, rel=0.01)
    assert expected.measured == pytest.approx(inside, rel=expected.tolerance)
    assert expected.tolerance == pytest.approx(0.12 + 2.5 / 47, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain-44", "plain-56"])
def test_plain_convolutional_nets_with_batchnorm_lie_in_the_band(name):
    """Measured 1.42 to 1.50 in the three stages."""
    torch.manual_seed(0)
    model = gp.build(name)
    flow = gp.trace(model, (torch.randn(16, 3, 32, 32), torch.randint(10, (16,))), F.cross_entropy)
    found = expectations(model, flow)
    assert len(found) == 3
    assert all(expected.explains for expected in found)


class PreActivation(nn.Module):
    """x + W₂ relu(bn(W₁ relu(bn(x)))): the residual net of De & Smith 2020."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Linear(width, width), nn.ModuleList()
        for _ in range(blocks):
            linear = nn.Linear(width, width, bias=False)
            nn.init.normal_(linear.weight, std=math.sqrt(2 / width))
            self.blocks.append(nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), linear))
        nn.init.normal_(self.stem.weight, std=math.sqrt(1 / width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def test_the_trunk_of_a_preactivation_net_with_batchnorm():
    torch.manual_seed(0)
    model = PreActivation(20, 128)
    flow = gp.trace(model, (torch.randn(256, 128), torch.randint(10, (256,))), F.cross_entropy)
    shares = [1 - fork.skip_share for fork in flow.residual_forks]
    for block in (1, 2, 5, 10, 20):  # T3: .500 .373 .212 .123 .067
        assert shares[block - 1] == pytest.approx(branch_share(block), abs=0.03)
    expected = next(e for e in expectations(model, flow) if e.unit == "block")
    by_hand = math.exp(-sum(math.log(1 - branch_share(n)) for n in range(1, 20)) / 19)
    assert expected.energy_gain == pytest.approx(by_hand, rel=1e-9)
    assert expected.explains
    assert [round(branch_share(n), 3) for n in (1, 2, 5, 10, 20)] == [0.5, 0.373, 0.212, 0.123, 0.067]


def test_skips_scaled_by_lambda():
    """Branches of 1 %: the gain of a block is λ²."""
    torch.manual_seed(0)
    blocks = [Block(nn.Linear(32, 32), scale=0.01, skip=0.7) for _ in range(10)]
    model = nn.Sequential(nn.Linear(32, 32), *blocks, nn.Linear(32, 10))
    flow = gp.trace(model, torch.randn(8, 32), step=random_loss)
    expected = next(e for e in expectations(model, flow) if e.unit == "block")
    assert "λ = 0.7" in expected.rule
    assert expected.energy_gain == pytest.approx(0.49, rel=0.03)
    assert expected.measured == pytest.approx(0.49, rel=0.03)
    assert "Identity Mappings" in expected.source


class PlainLayer(nn.Module):
    """ReLU(W₁ x) and its sum with random signs; with a skip, x + W₂ relu(W₁ x)."""

    def __init__(self, skip: bool, width: int = 256) -> None:
        super().__init__()
        self.skip = skip
        self.first, self.second = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        nn.init.normal_(self.first.weight, std=math.sqrt(2 / width))
        nn.init.normal_(self.second.weight, std=math.sqrt(1 / width))  # the branch brings as much as the skip
        self.head = nn.Linear(width, 1, bias=False)

    def forward(self, x):
        return self.head(x + self.second(F.relu(self.first(x))) if self.skip else F.relu(self.first(x)))


@pytest.mark.parametrize(("skip", "correlation"), [(False, 0.5), (True, 0.75)])
def test_gradients_shatter_by_a_half_per_plain_layer_and_a_quarter_per_residual_block(skip, correlation):
    """T12: measured .4995 and .746 for one layer at width 256."""
    values = []
    for seed in range(16):
        torch.manual_seed(seed)
        inputs = torch.randn(32, 256, requires_grad=True)
        values.append(shattering(PlainLayer(skip), inputs, at=inputs))
    assert sum(values) / 16 == pytest.approx(correlation, abs=0.02)
