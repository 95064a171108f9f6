"""The lean tape: values, gradients and buffers are autograd's, whatever a tape keeps."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lean_blocks import BLOCKS, C, Result, by_autograd, by_moves, images, make, same
from torch import Tensor, nn

from gradpath.nets import LeanMoves, PreBasic, TorchPasses, form_of

MODES = ("full", "lean", "raw", "last", "input", "none")
SCRIPTS = [
    *((mode,) for mode in MODES),
    ("none", "lean"),
    ("none", "none", "last", "last"),
    ("raw", "raw", "full"),
    ("input", "full", "none"),
]
FEW = [("full",), ("last",), ("none", "raw")]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def problem(
    name: str, dtype: torch.dtype = torch.float64, layout: str = "contiguous", size: int = 7
) -> tuple[nn.Module, Tensor, Tensor]:
    """(block, input, gradient of the output). An odd size: strides and poolings have a rest."""
    block, x = make(name, dtype), images(dtype, LAYOUTS[layout], size)
    block = block.to(memory_format=LAYOUTS[layout])
    grad = torch.randn_like(copy.deepcopy(block)(x).detach())
    return block, x, grad


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", BLOCKS)
def test_every_mode_gives_what_autograd_gives(name: str, dtype: torch.dtype, layout: str) -> None:
    block, x, grad = problem(name, dtype, layout)
    expected = by_autograd(block, x, grad)
    found = {script: by_moves(block, x, grad, script).differences(expected) for script in SCRIPTS}
    assert {script: where for script, where in found.items() if where} == {}


@pytest.mark.parametrize("name", BLOCKS)
def test_norms_in_evaluation_use_their_running_statistics(name: str) -> None:
    block, x, grad = problem(name)
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    norms[0].eval()
    norms[-1].eval()
    expected = by_autograd(block, x, grad)
    assert [by_moves(block, x, grad, script).differences(expected) for script in FEW] == [[]] * len(FEW)
    block.eval()
    expected = by_autograd(block, x, grad)
    assert [by_moves(block, x, grad, script).differences(expected) for script in FEW] == [[]] * len(FEW)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stream", [torch.float32, torch.bfloat16], ids=["float32 input", "bfloat16 input"])
@pytest.mark.parametrize("name", BLOCKS)
def test_autocast_gives_what_autograd_gives_under_it(name: str, stream: torch.dtype, layout: str) -> None:
    block, x, grad = problem(name, torch.float32, layout)
    x = x.to(stream)
    expected = by_autograd(block, x, grad, cast=True)
    found = [by_moves(block, x, grad, script, cast=True).differences(expected) for script in FEW]
    assert found == [[]] * len(FEW)


@pytest.mark.parametrize("name", ["post basic, projection", "pre bottleneck, projection"])
def test_autocast_leaves_float64_alone(name: str) -> None:
    block, x, grad = problem(name)
    expected = by_autograd(block, x, grad, cast=True)
    assert expected.out.dtype == torch.float64
    assert [by_moves(block, x, grad, script, cast=True).differences(expected) for script in FEW] == [[]] * len(FEW)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["post basic, projection", "pre bottleneck, projection"])
def test_parameters_of_half_precision_give_what_autograd_gives(name: str, dtype: torch.dtype) -> None:
    block, x, grad = problem(name, dtype)
    expected = by_autograd(block, x, grad)
    found = [by_moves(block, x, grad, script).differences(expected) for script in SCRIPTS]
    assert found == [[]] * len(SCRIPTS)


def test_an_input_that_is_not_dense_gives_thesame_in_every_mode() -> None:
    """Its norm is another order of operations in ATen: equal to rounding alone, and to the bit from mode to mode."""
    block, _, grad = problem("pre bottleneck, projection", torch.float32)
    x = torch.randn(3, 2 * C, 7, 7)[:, ::2]
    found = [by_moves(block, x, grad, script) for script in SCRIPTS]
    assert [result.differences(found[0]) for result in found] == [[]] * len(SCRIPTS)
    block, x, grad = block.double(), x.double(), grad.double()
    ours, plain = by_moves(block, x, grad, ("raw",)).tensors(), by_autograd(block, x, grad).tensors()
    assert max(float((a - b).norm() / b.norm()) for a, b in zip(ours, plain, strict=True)) < 1e-12


@pytest.mark.parametrize("name", BLOCKS)
def test_frozen_parameters_get_none_and_change_nothing_else(name: str) -> None:
    block, x, grad = problem(name)
    count = len(list(block.parameters()))
    for frozen in ({0}, {count - 1}, {1, 2}, set(range(count - 1)), set(range(count))):
        for i, parameter in enumerate(block.parameters()):
            parameter.requires_grad_(i not in frozen)
        expected = by_autograd(block, x, grad)
        for script in FEW[:2]:
            result = by_moves(block, x, grad, script)
            assert result.differences(expected) == [], (frozen, script)
            assert {i for i, g in enumerate(result.grads) if g is None} == frozen


@pytest.mark.parametrize("name", BLOCKS)
def test_an_input_without_gradient_gets_none(name: str) -> None:
    block, x, grad = problem(name)
    count = len(list(block.parameters()))
    for frozen in (set(), {0}, set(range(count // 2)), set(range(1, count))):
        for i, parameter in enumerate(block.parameters()):
            parameter.requires_grad_(i not in frozen)
        expected = by_autograd(block, x, grad, needs_x=False)
        for script in FEW[1:]:
            result = by_moves(block, x, grad, script, needs_x=False)
            assert result.grad_x is None
            assert result.differences(expected) == [], (frozen, script)


@pytest.mark.parametrize("momentum", [None, 0.3])
@pytest.mark.parametrize("tracks", [True, False])
def test_running_statistics_move_as_the_norm_says(momentum: float | None, tracks: bool) -> None:
    torch.manual_seed(0)
    block, x = make("post basic, projection"), images()
    for place in ("norm1", "norm2"):
        norm = nn.BatchNorm2d(2 * C, momentum=momentum, track_running_stats=tracks).double()
        setattr(block, place, norm)
    assert isinstance(block.shortcut.norm, nn.BatchNorm2d)
    block.shortcut.norm.track_running_stats = False  # its buffers are there, and stay
    grad = torch.randn_like(copy.deepcopy(block)(x).detach())
    for _ in range(2):  # the second batch has another weight in a cumulative average
        expected = by_autograd(block, x, grad)
        assert by_moves(block, x, grad, ("none", "last")).differences(expected) == []
        block(x)


def test_a_norm_that_tracks_nothing_uses_the_batch_in_evaluation_too() -> None:
    block, x = make("pre basic, identity"), images()
    block.norm2 = nn.BatchNorm2d(C, track_running_stats=False).double()
    block.eval()
    grad = torch.randn_like(x)
    assert by_moves(block, x, grad, ("none", "lean")).differences(by_autograd(block, x, grad)) == []


def test_running_statistics_that_move_before_the_backward_do_not_reach_it() -> None:
    block, x, grad = problem("pre bottleneck, identity")
    block.eval()
    expected = by_autograd(block, x, grad)
    form = form_of(block)
    assert form is not None
    moves = LeanMoves(form)
    tape = moves.new_tape()
    with torch.no_grad():
        moves.advance(x, tape, "lean")
        for norm in form.norms:
            norm.running_mean.add_(1)  # type: ignore[union-attr]
            norm.running_var.mul_(2)  # type: ignore[union-attr]
        grad_x, grads = moves.backward(grad, x, tape)
    assert all(map(same, [grad_x, *grads], [expected.grad_x, *expected.grads]))


def test_one_value_in_a_channel_raises_what_the_block_raises() -> None:
    block, x = make("post basic, identity"), torch.randn(1, C, 1, 1, dtype=torch.float64)
    form = form_of(block)
    assert form is not None
    moves = LeanMoves(form)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        block(x)
    with torch.no_grad(), pytest.raises(ValueError, match="more than 1 value per channel"):
        moves.advance(x, moves.new_tape(), "lean")


UNITS = {
    # raw outputs and activations in block inputs (reference: what each mode keeps); 4w channels outside, w inside
    "pre bottleneck, identity": {"full": 8 / 4, "lean": 2 / 4, "raw": 2 / 4, "last": 1 / 4, "input": 0, "none": 0},
    "post basic, identity": {"full": 3, "lean": 2, "raw": 2, "last": 1, "input": 0, "none": 0},
    "post bottleneck, identity": {"full": 8 / 4, "lean": 6 / 4, "raw": 6 / 4, "last": 1, "input": 0, "none": 0},
    "pre basic, identity": {"full": 3, "lean": 1, "raw": 1, "last": 1, "input": 0, "none": 0},
    # half the resolution and twice the channels: 1/2 each; the projection's raw output counts where a norm reads it
    "post basic, projection": {"full": 2, "lean": 1.5, "raw": 1.5, "last": 1, "input": 0, "none": 0},
    "post basic, pad": {"full": 1.5, "lean": 1, "raw": 1, "last": 0.5, "input": 0, "none": 0},
    "pre basic, projection": {"full": 2, "lean": 0.5, "raw": 0.5, "last": 0.5, "input": 0, "none": 0},
    "timm bottleneck, pooled projection": {
        "full": 2.5,  # twice 1/2 and 1/8 inside, 1/2, 1/2, pooled 1/4
        "lean": 1.625,
        "raw": 1.625,
        "last": 1,
        "input": 0,
        "none": 0,
    },
}


@pytest.mark.parametrize("name", UNITS)
def test_a_tape_keeps_what_its_mode_says(name: str) -> None:
    block, x, _ = problem(name, size=6)
    form = form_of(block)
    assert form is not None
    moves = LeanMoves(form)
    for mode, units in UNITS[name].items():
        for script in ([mode], ["none", mode], ["full", mode]):
            tape = moves.new_tape()
            with torch.no_grad():
                for step in script:
                    moves.advance(x, tape, step)
            large = sum(tensor.nbytes for tensor in tape.tensors() if tensor.dim() == 4)
            vectors = [tensor for tensor in tape.tensors() if tensor.dim() != 4]
            assert large == units * x.nbytes, (mode, script)
            norms = sum(isinstance(module, nn.BatchNorm2d) for module in block.modules())
            assert all(tensor.dim() == 1 for tensor in vectors) and len(vectors) == 4 * norms


def test_a_backward_uses_its_tape_up() -> None:
    for name in BLOCKS:
        block, x, grad = problem(name)
        form = form_of(block)
        assert form is not None
        moves = LeanMoves(form)
        for mode in MODES:
            tape = moves.new_tape()
            with torch.no_grad():
                moves.advance(x, tape, mode)
                moves.backward(grad, x, tape)
            assert [tensor for tensor in tape.tensors() if tensor.dim() == 4] == [], (name, mode)


def test_many_pre_activation_blocks_in_a_row_agree() -> None:
    """A chain run as a plan runs it: boundaries rebuilt by sweeps from a segment's input."""
    torch.manual_seed(0)
    blocks = [make("pre bottleneck, identity", seed=i) for i in range(4)]
    x, grad = images(), torch.randn(3, C, 6, 6, dtype=torch.float64)
    expected = by_autograd(nn.Sequential(*blocks), x, grad)
    moves = [LeanMoves(form) for block in blocks if (form := form_of(block)) is not None]
    for mode in MODES:
        chain = [copy.deepcopy(block) for block in blocks]
        moves = [LeanMoves(form) for block in chain if (form := form_of(block)) is not None]
        tapes, inputs = [m.new_tape() for m in moves], [x]
        with torch.no_grad():
            for m, tape in zip(moves, tapes, strict=True):
                inputs.append(m.advance(inputs[-1], tape, mode))
            d, grads = grad, []
            inputs = [x]
            for m, tape in zip(moves, tapes, strict=True):  # the sweep
                inputs.append(m.advance(inputs[-1], tape, mode))
            for m, tape, source in reversed(list(zip(moves, tapes, inputs, strict=False))):
                d, found = m.backward(d, source, tape)
                grads[:0] = found
        buffers = [b for block in chain for b in block.buffers()]
        assert Result(inputs[-1], d, grads, buffers).differences(expected) == []


def test_the_check_can_fail() -> None:
    block, x, grad = problem("pre basic, identity")
    expected = by_autograd(block, x, grad)
    assert isinstance(block, PreBasic)
    block.norm2.eps *= 1 + 1e-6
    assert len(by_moves(block, x, grad, ("lean",)).differences(expected)) > 3


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("extra", [True, False])
def test_the_passes_alone(relu: bool, training: bool, extra: bool) -> None:
    """Against autograd through relu(norm(x) + residual), and nothing written to but a gradient that is owned."""
    torch.manual_seed(0)
    norm, (x, residual, grad, skip) = (
        make("pre basic, identity").norm1.train(training),
        torch.randn(4, 3, C, 6, 6).double(),
    )
    leaf, passes = x.clone().requires_grad_(), TorchPasses()
    out = copy.deepcopy(norm)(leaf)
    out = F.relu(out) if relu else out
    expected = torch.autograd.grad(out, leaf, grad)[0] + (skip if extra else 0)
    with torch.no_grad():
        total = copy.deepcopy(norm)(x) + (residual if extra else 0)
        stats = passes.stats(x, norm)
        before = [t.clone() for t in (x, residual, grad, skip)]
        y = [passes.act(x, norm, stats, relu=relu, add=residual if extra else None) for _ in range(2)]
        assert torch.equal(y[0], F.relu(total) if relu else total) and torch.equal(y[1], y[0])
        u = passes.act(x, norm, stats, relu=relu)
        options = {"relu": relu, "add": skip if extra else None}
        for given in (None, u, u.clone()):
            found = passes.act_backward(grad, x, norm, stats, out=given, **options)
            assert torch.equal(found[0], expected)
        assert all(map(torch.equal, before, (x, residual, grad, skip))) and torch.equal(u, given)
        assert passes.act_backward(grad, x, norm, stats, needs_input_grad=False, **options)[0] is None
        assert torch.equal(passes.act_backward(grad, x, norm, stats, own=True, **options)[0], expected)


class _Watching(TorchPasses):
    """At each norm's backward: how many activations, and how many raw outputs that were done with, are still alive."""

    wants_out = False

    def __init__(self) -> None:
        self.activations: list[weakref.ref[Tensor]] = []
        self.raw: list[weakref.ref[Tensor]] = []
        self.alive: list[tuple[int, int]] = []

    def act(self, *args: Any, **options: Any) -> Tensor:
        out = super().act(*args, **options)
        self.activations.append(weakref.ref(out))
        return out

    def act_backward(self, grad: Tensor, x: Tensor, *args: Any, **options: Any) -> Any:
        self.alive.append((_alive(self.activations), _alive(self.raw)))
        self.raw.append(weakref.ref(x))
        return super().act_backward(grad, x, *args, **options)


def _alive(references: list[weakref.ref[Tensor]]) -> int:
    return sum(reference() is not None for reference in references)


@pytest.mark.parametrize(
    ("name", "mode", "activations"),
    [
        ("pre bottleneck, identity", "full", [2, 1, 0]),
        ("pre bottleneck, identity", "lean", [0, 0, 0]),
        ("pre bottleneck, identity", "last", [0, 0, 0]),
        ("pre bottleneck, projection", "none", [0, 0, 0]),
        ("post basic, identity", "full", [1, 0]),
        ("post basic, identity", "lean", [0, 0]),
        ("post basic, identity", "none", [1, 0]),  # just made, and read next
        ("post bottleneck, projection", "none", [1, 0, 0, 0]),
    ],
)
def test_a_backward_frees_as_it_goes(name: str, mode: str, activations: list[int]) -> None:
    block, x, grad = problem(name)
    form, passes = form_of(block), _Watching()
    assert form is not None
    moves = LeanMoves(form, passes)
    tape = moves.new_tape()
    with torch.no_grad():
        moves.advance(x, tape, mode)
        moves.backward(grad, x, tape)
    assert passes.alive == [(count, 0) for count in activations]
