"""The moves of a dense block: every mode gives the same, and keeps what it says."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.kernels._dense_form import DenseLayerForm, block_form
from gradpath.kernels._dense_function import dense_block
from gradpath.kernels._dense_moves import DenseMoves, dense_moves
from gradpath.kernels._dense_passes import TorchDensePasses
from gradpath.kernels._dense_tiles import Frame, Moments
from gradpath.nets import DenseBottleneckLayer, DenseLayer
from gradpath.record import NetSpec

GROWTH, GIVEN, LAYERS = 5, 7, 3
PASSES = TorchDensePasses()


def stack(bottleneck: bool = True, dtype: torch.dtype = torch.float64, growth: int = GROWTH) -> nn.Sequential:
    torch.manual_seed(0)
    spec = NetSpec(family="dense", depth=10, width=GIVEN, growth_rate=growth, bottleneck=bottleneck)
    kind = DenseBottleneckLayer if bottleneck else DenseLayer
    layers = nn.Sequential(*(kind(spec, GIVEN + i * growth) for i in range(LAYERS))).to(dtype)
    for norm in layers.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.3, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
    return layers


def batch(channels: int = GIVEN, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, channels, 6, 5, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("mode", DenseMoves.modes)
def test_every_mode_gives_the_gradients_of_autograd_and_moves_statistics_once(bottleneck, mode):
    plain, layers = stack(bottleneck), stack(bottleneck)
    x, grad = batch().requires_grad_(), batch(GIVEN + LAYERS * GROWTH, seed=2)
    out = plain(x)
    expected = torch.autograd.grad(out, [x, *plain.parameters()], grad)
    moves = DenseMoves(block_form(layers), PASSES)
    tape = moves.new_tape()
    assert tape.tensors() == []
    first = moves.advance(x.detach(), tape, mode)
    again = moves.advance(x.detach(), tape, mode)
    assert torch.equal(first, again) and torch.allclose(first, out, rtol=1e-12)
    grad_x, grads = moves.backward(grad, x.detach(), tape)
    for got, wanted in zip([grad_x, *grads], expected, strict=True):
        assert (got - wanted).abs().max() <= 1e-11 * wanted.abs().max()
    for got, wanted in zip(layers.buffers(), plain.buffers(), strict=True):
        assert torch.allclose(got, wanted, rtol=1e-12, atol=1e-14)
    assert [p.shape for p in moves.parameters] == [g.shape for g in grads]


def test_what_the_modes_keep():
    pixels, size = 3 * 6 * 5, 8
    kept = {}
    for mode in DenseMoves.modes:
        moves = DenseMoves(block_form(stack()), PASSES)
        tape = moves.new_tape()
        moves.advance(batch(), tape, mode)
        kept[mode] = sum(t.untyped_storage().nbytes() for t in tape.tensors())
    statistics = 2 * (GIVEN + LAYERS * GROWTH) * size + LAYERS * 2 * 4 * GROWTH * size
    assert kept["none"] == kept["input"] == statistics
    assert kept["lean"] - statistics == pixels * (GIVEN + LAYERS * GROWTH) * size
    assert kept["full"] - kept["lean"] == pixels * LAYERS * 4 * GROWTH * size


def saved_bytes(forward, x: Tensor, parameters) -> int:
    """Bytes of the storages that autograd keeps for the backward, parameters not counted."""
    known = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # alive, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward(x)
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in known)


def test_features_alone_are_less_than_a_tenth_of_what_autograd_keeps():
    spec = NetSpec(family="dense", depth=10, width=24, growth_rate=12, bottleneck=True)
    layers = nn.Sequential(*(DenseBottleneckLayer(spec, 24 + i * 12) for i in range(16)))
    x, form = torch.randn(2, 24, 8, 8, requires_grad=True), block_form(layers)
    plain = saved_bytes(layers, x, layers.parameters())
    features = saved_bytes(lambda x: dense_block(x, form, PASSES), x, layers.parameters())
    bottlenecks = saved_bytes(lambda x: dense_block(x, form, PASSES, "bottlenecks"), x, layers.parameters())
    assert features == 2 * 8 * 8 * (24 + 16 * 12) * 4 and bottlenecks == features + 2 * 8 * 8 * 16 * 48 * 4
    assert plain > 20 * features and plain > 4 * bottlenecks


def test_a_frozen_parameter_gets_no_gradient_and_the_input_none_unless_asked():
    layers = stack()
    for parameter in (layers[0].conv1.weight, layers[1].norm1.bias, layers[2].conv2.weight):
        parameter.requires_grad_(False)
    moves = DenseMoves(block_form(layers), PASSES)
    tape = moves.new_tape()
    out = moves.advance(batch(), tape, "lean")
    grad_x, grads = moves.backward(torch.ones_like(out), batch(), tape, needs_input_grad=False)
    assert grad_x is None
    assert [g is None for g in grads] == [not p.requires_grad for p in moves.parameters]


def dropping(layers: nn.Sequential, rate: float) -> tuple[DenseLayerForm, ...]:
    return tuple(dataclasses.replace(form, rate=rate) for form in block_form(layers))


@pytest.mark.parametrize("keep", ["features", "bottlenecks"])
def test_dropout_draws_what_plain_layers_draw_in_channels_last(keep):
    plain, layers = stack(dtype=torch.float32), stack(dtype=torch.float32)
    found = []
    for fused in (False, True):
        net = layers if fused else plain.to(memory_format=torch.channels_last)
        x = batch(dtype=torch.float32).contiguous(memory_format=torch.channels_last).requires_grad_()
        torch.manual_seed(5)
        if fused:
            out = dense_block(x, dropping(net, 0.3), PASSES, keep)
        else:
            out = x
            for layer in net:
                out = torch.cat([out, F.dropout(layer.new_features(out), 0.3)], 1)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *net.parameters()])])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() <= 2e-5 * a.abs().max()
    assert (found[0][0] == 0).sum() > 50


def test_a_redo_drops_the_same_features():
    moves = DenseMoves(dropping(stack(), 0.5), PASSES)
    tape = moves.new_tape()
    first = moves.advance(batch(), tape, "input")
    state = torch.get_rng_state()
    assert torch.equal(first, moves.advance(batch(), tape, "input"))
    assert torch.equal(state, torch.get_rng_state())


def test_moments_hold_far_from_zero_whatever_the_tiles():
    values = torch.randn(4 * 60 * 50, 3) + torch.tensor([0.0, 1e3, -1e4])
    frame = Frame(4, 60, 50, torch.float32, torch.float32, PASSES)
    exact = values.double()
    for step in (7, 1000, len(values)):
        moments = Moments(frame)
        for begin in range(0, len(values), step):
            moments.add(values[begin : begin + step])
        mean, variance = moments.merged()
        assert torch.allclose(mean.double(), exact.mean(0), rtol=3e-7, atol=3e-7)
        assert torch.allclose(variance.double(), exact.var(0, correction=0), rtol=1e-5)


def test_values_are_used_in_place_of_the_parameters():
    layers = stack()
    moved = copy.deepcopy(layers)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.mul_(1.1)
    moves = DenseMoves(block_form(layers), PASSES, [p.detach() for p in moved.parameters()])
    assert torch.allclose(moves.advance(batch(), moves.new_tape(), "none"), moved(batch()), rtol=1e-12)


def test_moves_of_modules():
    layers = stack()
    assert dense_moves(list(layers)).channels_out == GIVEN + LAYERS * GROWTH
    assert dense_moves(list(layers)[::2]) is None
    assert dense_moves([layers]) is None
    assert dense_moves([]) is None
    other = nn.ModuleDict({"layer": layers[0]})
    assert dense_moves([other]) is None


def test_moves_made_once_follow_the_modes_of_their_modules():
    layers = stack()
    moves = DenseMoves(dropping(layers, 0.5), PASSES)
    layers.eval()
    plain = copy.deepcopy(layers)
    tape = moves.new_tape()
    assert torch.allclose(moves.advance(batch(), tape, "lean"), plain(batch()), rtol=1e-12)
    layers.train()
    grad_x, _ = moves.backward(torch.ones(3, moves.channels_out, 6, 5).double(), batch(), tape)
    x = batch().requires_grad_()
    plain(x).sum().backward()
    assert torch.allclose(grad_x, x.grad, rtol=1e-10)


def test_a_tape_that_was_not_filled_is_refused():
    moves = DenseMoves(block_form(stack()), PASSES)
    with pytest.raises(RuntimeError, match="needs a tape that was filled"):
        moves.backward(batch(GIVEN + LAYERS * GROWTH), batch(), moves.new_tape())
