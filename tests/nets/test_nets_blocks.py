"""The block protocol: whatever a block keeps, values, gradients and statistics are autograd's, bit for bit."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from gradpath.nets import Block, NetSpec, PadShortcut, build
from gradpath.nets._blocks import PreBlock

RESIDUAL = NetSpec(family="residual", depth=8, width=4, input_size=8)
DENSE = NetSpec(family="dense", depth=7, growth_rate=3, width=4, input_size=8)
SPECS = {
    "plain": dataclasses.replace(RESIDUAL, family="plain"),
    "plain pre": dataclasses.replace(RESIDUAL, family="plain", activation="pre"),
    "basic A": RESIDUAL,
    "basic A end": dataclasses.replace(RESIDUAL, padding="end"),
    "basic B": dataclasses.replace(RESIDUAL, shortcut="B"),
    "basic C": dataclasses.replace(RESIDUAL, shortcut="C"),
    "no norm": dataclasses.replace(RESIDUAL, norm="none"),
    "no norm, pre": dataclasses.replace(RESIDUAL, norm="none", activation="pre", shortcut="B"),
    "bottleneck": dataclasses.replace(RESIDUAL, bottleneck=True, depth=11, shortcut="B"),
    "pre basic": dataclasses.replace(RESIDUAL, activation="pre", shortcut="B"),
    "pre bottleneck": dataclasses.replace(RESIDUAL, activation="pre", bottleneck=True, depth=11, shortcut="B"),
    "dense": DENSE,
    "dense B": dataclasses.replace(DENSE, bottleneck=True, depth=10, compression=0.5),
}
MODES = ("full", "none")
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
every_mode = pytest.mark.parametrize("mode", MODES)


def blocks_with_inputs(spec: NetSpec) -> list[tuple[Block, Tensor]]:
    """The blocks of a net, each with the batch that reaches it."""
    torch.manual_seed(0)
    net = build(spec)
    x = net.stem(torch.randn(4, 3, 8, 8)).detach()
    pairs = []
    for block in net.blocks():
        pairs.append((block, x))
        with torch.no_grad():
            x = copy.deepcopy(block)(x)
    return pairs


def by_autograd(block: Block, x: Tensor, grad: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """(output, gradient of the output, gradient of the input) of an ordinary forward and backward."""
    x = x.detach().clone().requires_grad_()
    out = block(x)
    grad = torch.randn_like(out) if grad is None else grad
    out.backward(grad)
    assert x.grad is not None
    return out.detach(), grad, x.grad


def assert_same_state(block: nn.Module, reference: nn.Module) -> None:
    for (name, ours), theirs in zip(block.named_parameters(), reference.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None, name
        assert torch.equal(ours.grad, theirs.grad), name
    for (name, buffer), theirs in zip(block.named_buffers(), reference.buffers(), strict=True):
        assert torch.equal(buffer, theirs), name


@every_mode
@every_spec
def test_a_mode_changes_no_bit(spec: NetSpec, mode: str) -> None:
    for block, x in blocks_with_inputs(spec):
        reference = copy.deepcopy(block)
        expected, grad, expected_grad_x = by_autograd(reference, x)
        out, tape = block(x, mode)
        assert not out.requires_grad
        grad_x = block.backward(tape, grad)
        assert torch.equal(out, expected)
        assert torch.equal(grad_x, expected_grad_x)
        assert_same_state(block, reference)


@every_mode
def test_statistics_move_once(mode: str) -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    out, tape = block(x, mode)
    after_forward = {name: buffer.clone() for name, buffer in block.named_buffers()}
    block.backward(tape, torch.ones_like(out))
    counters = [buffer for name, buffer in block.named_buffers() if name.endswith("num_batches_tracked")]
    assert len(counters) == 2
    assert all(counter == 1 for counter in counters)
    assert all(torch.equal(after_forward[name], buffer) for name, buffer in block.named_buffers())


@every_mode
def test_gradients_accumulate(mode: str) -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    reference = copy.deepcopy(block)
    for _ in range(2):
        _, grad, _ = by_autograd(reference, x)
        _, tape = block(x, mode)
        block.backward(tape, grad)
    assert_same_state(block, reference)


@every_mode
def test_two_tapes_at_once(mode: str) -> None:
    block, x = blocks_with_inputs(DENSE)[0]
    reference = copy.deepcopy(block)
    out, first = block(x, mode)
    _, second = block(2 * x, mode)
    grad = torch.randn_like(out)
    _, _, expected_first = by_autograd(reference, x, grad)
    _, _, expected_second = by_autograd(reference, 2 * x, grad)
    assert torch.equal(block.backward(first, grad), expected_first)
    assert torch.equal(block.backward(second, grad), expected_second)


@every_mode
def test_in_evaluation_statistics_stay(mode: str) -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    block.eval()
    reference = copy.deepcopy(block)
    expected, grad, expected_grad_x = by_autograd(reference, x)
    out, tape = block(x, mode)
    assert torch.equal(out, expected)
    assert torch.equal(block.backward(tape, grad), expected_grad_x)
    assert_same_state(block, reference)


@every_mode
def test_the_redo_is_cast_like_the_forward(mode: str) -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    reference = copy.deepcopy(block)
    x_reference = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        expected = reference(x_reference)
        out, tape = block(x, mode)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    assert torch.equal(out, expected)
    assert torch.equal(block.backward(tape, grad), x_reference.grad)  # outside of autocast, as loss.backward() is
    assert_same_state(block, reference)


def test_the_input_alone_leaves_the_weights_their_gradient_under_autocast() -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    with torch.autocast("cpu", torch.bfloat16):
        block(x, "none")
        block(x).sum().backward()  # fails without cache_enabled=False on torch before pytorch#165068
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_mode_none_keeps_the_input_alone() -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    _, tape = block(x, "none")
    assert tape.out is None
    assert tape.x.data_ptr() == x.data_ptr()
    _, tape = block(x, "full")
    assert tape.out is not None and tape.out.grad_fn is not None


@every_mode
def test_inputs_are_left_as_found(mode: str) -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    before = x.clone()
    with torch.no_grad():  # as an executor would
        out, tape = block(x, mode)
    block.backward(tape, torch.ones_like(out))
    assert torch.equal(x, before)
    assert x.grad is None and not x.requires_grad


def test_an_unknown_mode_is_refused() -> None:
    block, x = blocks_with_inputs(RESIDUAL)[0]
    with pytest.raises(ValueError, match=r"PostBasic has no mode 'lean': its modes are full, none"):
        block(x, "lean")


def test_padding_places_the_zeros() -> None:
    x = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    both = PadShortcut(RESIDUAL, 2, 4, 2)(x)
    end = PadShortcut(dataclasses.replace(RESIDUAL, padding="end"), 2, 4, 2)(x)
    assert torch.equal(both[0, 1], torch.tensor([[1.0, 3.0], [9.0, 11.0]]))
    assert torch.equal(both[:, 1:3], end[:, :2])
    assert not both[:, [0, 3]].any() and not end[:, 2:].any()


def test_only_the_first_block_of_a_stage_shares_its_activation() -> None:
    net = build(dataclasses.replace(SPECS["pre basic"], depth=14))
    shares = [isinstance(block, PreBlock) and block.first for block in net.blocks()]
    assert shares == [True, False] * 3
