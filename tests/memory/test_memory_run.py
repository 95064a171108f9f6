"""Segments and autograd's moves: odd blocks, frozen and shared parameters, what is refused, and what is left behind."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from plans import grid, segment
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import PlanError
from gradpath.memory._running._module_moves import ModuleMoves
from gradpath.memory._running._planned import moves_of
from gradpath.memory._running._run import Work

WIDTH = 5


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.linear(x)))


class OwnNorm(nn.BatchNorm1d):
    """Of another class than torch's: its buffers are held by copies."""


class OwnResidual(Residual):
    def __init__(self) -> None:
        super().__init__()
        self.norm = OwnNorm(WIDTH)


class Unused(Residual):
    """Has a parameter that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.ones(3))


class Cut(nn.Module):
    """Hands no gradient on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.detach())


class InPlace(nn.Module):
    """Writes to what it has computed itself, and returns a view."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).add_(1.0).relu_()[:, :WIDTH]


def shared() -> list[nn.Module]:
    one = Residual()
    return [one, Residual(), nn.Sequential(one.linear, nn.Tanh()), one.linear]


CHAINS: dict[str, Callable[[], list[nn.Module]]] = {
    "residual": lambda: [Residual() for _ in range(4)],
    "own norm": lambda: [OwnResidual() for _ in range(4)],
    "unused parameter": lambda: [Residual(), Unused(), Residual(), Unused()],
    "identity": lambda: [nn.Identity(), Residual(), nn.Identity(), nn.Identity()],
    "no gradient": lambda: [Residual(), Cut(), Residual(), Residual()],
    "in place inside": lambda: [InPlace() for _ in range(4)],
    "shared": shared,
    "embedding": lambda: [nn.Embedding(7, WIDTH), Residual(), Residual(), nn.Dropout(0.4)],
    "dropout": lambda: [nn.Sequential(Residual(), nn.Dropout(0.3)) for _ in range(4)],
    "no parameters": lambda: [nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Sigmoid()],
}
WAYS = grid(4)
QUICK = {"full", "input", "none", "raw in twos", "each in turn"}


def made(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*CHAINS[name]()).double()


def the_input(name: str) -> Tensor:
    torch.manual_seed(3)
    return torch.randint(7, (6,)) if name == "embedding" else torch.randn(6, WIDTH, dtype=torch.float64)


def works(blocks: nn.Sequential, way: str) -> list[Work]:
    moves = [ModuleMoves([block]) for block in blocks]
    return [Work(one, moves) for one in WAYS[way]]


def run(all_works: list[Work], x: Tensor) -> Tensor:
    for work in all_works:
        x = work(x)
    return x


def results(blocks: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, times: int = 1) -> dict[str, Any]:
    torch.manual_seed(1)
    out = None
    for _ in range(times):
        out = forward(x)
        if out.requires_grad:
            (out * torch.arange(out.numel()).view_as(out)).sum().backward()
    assert out is not None
    found = {"out": out.detach(), "x": x.grad, "random": torch.get_rng_state()}
    found |= {f"gradient {name}": p.grad for name, p in blocks.named_parameters()}
    return found | dict(blocks.named_buffers())


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name] is None) == (value is None), name
        assert value is None or torch.equal(ours[name], value), name


@pytest.mark.parametrize("needs_input_grad", [True, False])
@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
@pytest.mark.parametrize("name", CHAINS)
def test_any_modules_by_any_plan(name, way, needs_input_grad):
    blocks, x = made(name), the_input(name)
    x.requires_grad_(needs_input_grad and name != "embedding")
    plain, y = copy.deepcopy(blocks), x.detach().clone().requires_grad_(x.requires_grad)
    assert_same(results(blocks, lambda z: run(works(blocks, way), z), x), results(plain, plain, y))


@pytest.mark.parametrize("way", sorted(QUICK))
@pytest.mark.parametrize("frozen", [(0,), (0, 1), (0, 1, 2), (1, 3), (0, 1, 2, 3)])
def test_frozen_blocks(frozen, way):
    blocks, x = made("dropout"), the_input("dropout")
    for index in frozen:
        blocks[index].requires_grad_(False)
    next(blocks[3].parameters()).requires_grad_(False)  # part of a block
    plain = copy.deepcopy(blocks)
    ours = results(blocks, lambda z: run(works(blocks, way), z), x)
    assert_same(ours, results(plain, plain, x))


@pytest.mark.parametrize("way", ["full", "input", "none", "each in turn"])
def test_gradients_accumulate(way):
    blocks, x = made("dropout"), the_input("dropout").requires_grad_()
    plain, y = copy.deepcopy(blocks), x.detach().clone().requires_grad_()
    assert_same(results(blocks, lambda z: run(works(blocks, way), z), x, 3), results(plain, plain, y, 3))


@pytest.mark.parametrize("way", ["full", "input", "none", "raw"])
def test_two_forwards_before_the_backward(way):
    blocks, x = made("dropout"), the_input("dropout")
    plain = copy.deepcopy(blocks)
    both = results(blocks, lambda z: run(works(blocks, way), z) * run(works(blocks, way), z + 1), x)
    assert_same(both, results(plain, lambda z: plain(z) * plain(z + 1), x))


@pytest.mark.parametrize("way", ["full", "input", "none"])
def test_flags_and_generators_are_those_of_the_forward(way):
    """The user goes on to evaluate, and draws numbers, before the backward."""
    found = []
    for forward in (lambda b: lambda z: run(works(b, way), z), lambda b: b):
        blocks, x = made("dropout"), the_input("dropout")
        torch.manual_seed(1)
        out = forward(blocks)(x)
        blocks.eval()
        drawn = torch.rand(3)
        out.sum().backward()
        assert not any(module.training for module in blocks.modules())
        assert all(norm.track_running_stats for norm in blocks.modules() if isinstance(norm, nn.BatchNorm1d))
        found.append([drawn, torch.rand(3), *(p.grad for p in blocks.parameters()), *blocks.buffers()])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("way", ["full", "input", "none"])
def test_hooks_of_parameters_run_once(way):
    blocks, x = made("residual"), the_input("residual")
    plain, seen = copy.deepcopy(blocks), []
    for net in (blocks, plain):
        for parameter in net.parameters():
            parameter.register_hook(lambda g: 0.5 * g)
            parameter.register_post_accumulate_grad_hook(lambda p: seen.append(p))
    assert_same(results(blocks, lambda z: run(works(blocks, way), z), x), results(plain, plain, x))
    assert len(seen) == 2 * len(list(blocks.parameters()))
    assert all(len(p._backward_hooks) == 1 for p in blocks.parameters())


class Exact(nn.Module):
    """Computes in float32 whatever autocast says."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.linear(x.float())


@pytest.mark.parametrize("way", ["full", "input", "none", "lean in twos"])
@pytest.mark.parametrize("forward_cast", [True, False])
@pytest.mark.parametrize("backward_cast", [True, False])
def test_autocast_is_that_of_the_forward(way, forward_cast, backward_cast):
    """Whatever surrounds the backward."""
    found = []
    for is_planned in (True, False):
        torch.manual_seed(0)
        blocks = nn.Sequential(Residual(), Exact(), nn.Dropout(0.3), Residual())
        x = the_input("dropout").float().requires_grad_()
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=forward_cast):
            out = run(works(blocks, way), x) if is_planned else blocks(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=backward_cast and is_planned):
            out.backward(torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype))
        found.append([out, x.grad, *(p.grad for p in blocks.parameters()), *blocks.buffers()])
    assert all(map(torch.equal, *found))


def test_the_users_gradient_is_not_written_to():
    """A ReLU's mask comes after a block that hands the gradient on as it is."""
    torch.manual_seed(0)
    net = gp.build("resnet-20", width=4, input_channels=2, input_size=8)
    blocks = [*net.stages[0], nn.Identity()]
    x, grad = torch.randn(2, 4, 8, 8, requires_grad=True), torch.ones(2, 4, 8, 8)
    out = Work(segment(0, 4, "lean"), [moves_of((block,)) for block in blocks])(x)
    out.backward(grad)
    assert (out == 0).any() and (grad == 1).all()


def test_nothing_is_computed_for_frozen_blocks_at_the_front():
    counts: list[int] = []
    blocks = nn.Sequential(*(Counting(counts, index) for index in range(4))).double()
    blocks[:2].requires_grad_(False)
    run(works(blocks, "input"), the_input("residual")).sum().backward()
    assert sorted(counts) == [0, 1, 2, 2, 3, 3]  # the first two are not computed again
    asked: list[bool] = []
    moves = [Asked(block, asked) for block in blocks]
    Work(segment(0, 4, "input"), moves)(the_input("residual")).sum().backward()
    assert asked == [True, False]  # of blocks 3 and 2


class Counting(nn.Module):
    def __init__(self, counts: list[int], index: int) -> None:
        super().__init__()
        self.linear, self.counts, self.index = nn.Linear(WIDTH, WIDTH), counts, index

    def forward(self, x: Tensor) -> Tensor:
        self.counts.append(self.index)
        return self.linear(x)


class Asked(ModuleMoves):
    """Notes whether the input's gradient is asked for."""

    def __init__(self, block: nn.Module, asked: list[bool]) -> None:
        super().__init__([block])
        self.asked = asked

    def backward(self, grad: Tensor, x: Tensor, tape: Any, needs_input_grad: bool = True) -> Any:
        self.asked.append(needs_input_grad)
        return super().backward(grad, x, tape, needs_input_grad)


def test_no_tape_without_grad_mode():
    blocks, x = made("dropout"), the_input("dropout").requires_grad_()
    plain = copy.deepcopy(blocks)
    with torch.no_grad():
        torch.manual_seed(1)
        ours = run(works(blocks, "full"), x)
        torch.manual_seed(1)
        assert torch.equal(ours, plain(x)) and not ours.requires_grad
    assert_same(dict(blocks.named_buffers()), dict(plain.named_buffers()))


def test_a_second_backward_is_refused():
    blocks, x = made("residual"), the_input("residual").requires_grad_()
    out = run(works(blocks, "lean"), x).sum()
    out.backward(retain_graph=True)
    with pytest.raises(PlanError, match="second backward"):
        out.backward()


def test_gradients_of_gradients_are_refused_and_the_step_can_go_on():
    blocks, x = made("residual"), the_input("residual").requires_grad_()
    out = run(works(blocks, "none"), x).sum()
    with pytest.raises(PlanError, match="create_graph"):
        torch.autograd.grad(out, [x], create_graph=True, retain_graph=True)
    out.backward()
    assert x.grad is not None


def test_an_input_that_was_written_to_is_noticed():
    blocks, x = made("residual"), the_input("residual").requires_grad_()
    stem = x * 1.0
    out = run(works(blocks, "input"), stem)
    stem.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


class Failing(nn.Module):
    """Raises the second time it is run: in the backward."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.linear, self.left = nn.Linear(WIDTH, WIDTH), times

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError("on purpose")
        return torch.tanh(self.linear(x))


class Watching(nn.Module):
    """Keeps weak references to what flows through it."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.linear, self.seen = nn.Linear(WIDTH, WIDTH), seen

    def forward(self, x: Tensor) -> Tensor:
        out = torch.tanh(self.linear(x))
        self.seen += [weakref.ref(x.untyped_storage()), weakref.ref(out.untyped_storage())]
        return out


@pytest.mark.parametrize(
    ("way", "times"), [("input", 0), ("full", 0), ("input", 1), ("none", 1), ("raw", 1), ("none", 2)]
)
def test_an_exception_frees_everything(way, times):
    seen: list[Any] = []
    blocks = nn.Sequential(Watching(seen), Failing(times), Watching(seen), Watching(seen)).double()
    x = the_input("residual").requires_grad_()
    with pytest.raises(ZeroDivisionError):
        run(works(blocks, way), x * 1.0).sum().backward()
    gc.collect()
    assert len(seen) >= 2
    assert [reference() for reference in seen] == [None] * len(seen)
    assert all(torch.is_grad_enabled() and module.training for module in blocks.modules())


def test_an_exception_that_is_kept_keeps_no_tapes():
    """Its traceback has the frames of the block that failed, and what these hold."""
    seen: list[Any] = []
    blocks = nn.Sequential(*(Watching(seen) for _ in range(3)), Failing(1)).double()
    with pytest.raises(ZeroDivisionError) as kept:
        run(works(blocks, "input"), the_input("residual")).sum().backward()
    gc.collect()
    assert kept.value is not None
    assert len({id(storage) for reference in seen if (storage := reference()) is not None}) <= 2  # of 4: first and last


@pytest.mark.parametrize("way", ["full", "input", "none"])
def test_a_step_leaves_nothing_behind(way):
    seen: list[Any] = []
    blocks = nn.Sequential(*(Watching(seen) for _ in range(4))).double()
    run(works(blocks, way), the_input("residual")).sum().backward()
    assert len(seen) >= 8
    assert [reference() for reference in seen] == [None] * len(seen)


def test_tapes_die_block_by_block():
    """As the backward reaches the first block, nothing is left of those after it."""
    seen: list[Any] = []
    alive: list[int] = []
    blocks = nn.Sequential(*(Watching(seen) for _ in range(4))).double()
    x = the_input("residual").requires_grad_()
    stem = x * 1.0
    stem.register_hook(lambda g: alive.append(sum(reference() is not None for reference in seen)))
    run(works(blocks, "full in twos"), stem).sum().backward()
    assert alive == [1]  # its own input


def test_what_a_tape_holds():
    x = the_input("dropout").requires_grad_()
    moves = ModuleMoves([made("dropout")[0]])
    tape = moves.new_tape()
    with torch.no_grad():
        moves.advance(x, tape, "input")
        assert [t.numel() for t in tape.tensors()] == [torch.get_rng_state().numel()]
        out = moves.advance(x, tape, "full")
        assert out.shape in [t.shape for t in tape.tensors()] and not out.requires_grad
    quiet, tape = ModuleMoves([Residual()]), ModuleMoves([Residual()]).new_tape()
    quiet.advance(the_input("residual").float(), tape, "none")
    assert tape.tensors() == []  # draws nothing; its statistics need no copy


def test_a_block_that_returns_no_tensor():
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(PlanError, match="Two returned a tuple"):
        Work(segment(0, 1, "input"), [ModuleMoves([Two()])])(the_input("residual").requires_grad_())


def test_a_compiled_block():
    torch.manual_seed(0)
    blocks = nn.Sequential(*(Residual() for _ in range(3)))
    plain, x = copy.deepcopy(blocks), torch.randn(6, WIDTH)
    blocks[1] = torch.compile(blocks[1], backend="aot_eager")
    for way in ("full", "none"):
        moves = [ModuleMoves([block]) for block in blocks]
        ours = Work(segment(0, 3, way), moves)(x)
        F.mse_loss(ours, x).backward()
        F.mse_loss(plain(x), x).backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(blocks.parameters(), plain.parameters(), strict=True))
    assert all(map(torch.equal, blocks.buffers(), plain.buffers()))
