"""What `gp.checkpoint` keeps, refuses and leaves behind."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from families import plain
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

import gradpath as gp
from gradpath.errors import UserError
from gradpath.memory import checkpoint
from gradpath.memory._state import Snapshot

pytestmark = pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast:FutureWarning")  # torch 2.4's own


class Block(nn.Module):
    """Notes its calls; raises in the one that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
        self.calls, self.raises_in = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out = torch.tanh(self.norm(self.linear(x)))
        if self.calls == self.raises_in:
            raise ValueError("as asked")
        return x * out


def block_and_input() -> tuple[Block, Tensor]:
    torch.manual_seed(0)
    return Block(), torch.randn(8, 6, requires_grad=True)


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_is_the_public_name():
    assert gp.checkpoint is checkpoint


def test_without_grad_mode_it_is_a_plain_call():
    for mode in (torch.no_grad, torch.inference_mode):
        block, x = block_and_input()
        with mode():
            out = checkpoint(block, x)
        assert block.calls == 1 and not out.requires_grad
        assert block.norm.num_batches_tracked == 1


def test_a_frozen_block_of_an_input_without_gradient_is_not_computed_again():
    block, x = block_and_input()
    block.requires_grad_(False)
    out = checkpoint(block, x.detach())
    assert not out.requires_grad
    (out.sum() + x.sum()).backward()
    assert block.calls == 1 and block.norm.num_batches_tracked == 1


def test_outputs_of_any_structure_are_returned_as_they_are():
    def several(x: Tensor, *, note: str) -> tuple[dict, str, None, int]:
        return {"a": [x * 2, x.detach()], "b": (x.sin(),)}, note, None, 3

    _, x = block_and_input()
    (tree, note, nothing, three) = checkpoint(several, x, note="hello")
    assert (note, nothing, three) == ("hello", None, 3) and not tree["a"][1].requires_grad
    (tree["a"][0].sum() + tree["b"][0].sum()).backward()
    torch.testing.assert_close(x.grad, 2 + x.detach().cos())


def test_the_block_may_change_the_lists_and_dicts_that_it_is_given():
    """Its caller sees that, once; the second forward finds them as the first did."""

    def grow(features: list[Tensor], cache: dict[str, Tensor]) -> Tensor:
        cache["seen"] = features[-1]
        features.append(features[-1].sin())
        return features[-1] * len(features)

    _, x = block_and_input()
    features, cache = [x], {}
    checkpoint(grow, features, cache).sum().backward()
    assert len(features) == 2 and cache.keys() == {"seen"}
    torch.testing.assert_close(x.grad, 2 * x.detach().cos())


def test_the_training_flag_is_that_of_the_forward():
    """Someone evaluates between the forward and the backward pass."""
    found = []
    for call in (plain, checkpoint):
        block, x = block_and_input()
        out = call(block, x)
        block.eval()
        out.sum().backward()
        assert not block.training and not block.norm.training
        found.append(x.grad)
    assert torch.equal(*found)


def test_a_block_that_runs_again_before_the_backward_pass_keeps_both_updates():
    found = []
    for call in (plain, checkpoint):
        block, x = block_and_input()
        first, second = call(block, x), call(block, 2 * x)
        second.sum().backward()
        first.sum().backward()
        found.append({**values(block), "gradient": x.grad})
    assert same(*found) and found[1]["norm.num_batches_tracked"] == 2


def test_version_counters_are_as_if_nothing_had_happened():
    """A graph outside may hold a buffer for its own backward pass; autograd would refuse one that was written."""
    block, x = block_and_input()
    out = checkpoint(block, x)
    versions = [buffer._version for buffer in block.buffers()]
    held = (x * block.norm.running_var).sum()
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert [buffer._version for buffer in block.buffers()] == versions and gradient.any()
    assert torch.equal(torch.autograd.grad(held, x)[0], block.norm.running_var.expand_as(x))


def test_several_backward_passes_of_one_graph():
    block, x = block_and_input()
    out = checkpoint(block, x).sum()
    after = values(block)
    first = torch.autograd.grad(out, x, retain_graph=True)[0]
    second = torch.autograd.grad(out, [x, block.linear.weight])[0]
    assert torch.equal(first, second) and block.calls == 3
    assert same(values(block), after)


def test_gradients_of_gradients():
    found = []
    for call in (plain, checkpoint):
        block, x = block_and_input()
        (gradient,) = torch.autograd.grad(call(block, x).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        found.append({**values(block), "x": x.grad, "weight": block.linear.weight.grad})
    assert same(*found)


def test_forward_hooks_run_at_both_forwards_and_backward_hooks_once():
    block, x = block_and_input()
    seen = []
    block.linear.register_forward_pre_hook(lambda *_: seen.append("before"))
    block.linear.register_forward_hook(lambda *_: seen.append("forward"))
    block.linear.register_full_backward_hook(lambda *_: seen.append("backward"))
    block.linear.weight.register_hook(lambda _: seen.append("weight"))
    checkpoint(block, x).sum().backward()
    assert sorted(seen) == ["backward", "before", "before", "forward", "forward", "weight"]


def test_an_exception_in_the_forward_goes_through():
    block, x = block_and_input()
    block.raises_in = 1
    with pytest.raises(ValueError, match="as asked"):
        checkpoint(block, x)
    assert block.norm.num_batches_tracked == 1  # as in a plain call: the norm had run


@pytest.mark.parametrize("place", ["second forward", "hook"])
def test_an_exception_in_the_backward_pass_leaves_all_as_it_was_and_frees_all(place):
    block, x = block_and_input()
    alive: list[weakref.ref] = []
    block.norm.register_forward_hook(lambda _module, _inputs, out: alive.append(weakref.ref(out)))
    out = checkpoint(block, x).sum()
    block.raises_in = 2 if place == "second forward" else 0
    handle = block.linear.weight.register_hook(lambda _: _raise()) if place == "hook" else None
    before = values(block)
    with pytest.raises(ValueError, match="as asked") as caught:
        out.backward()
    assert same(values(block), before) and block.training and block.calls == 2
    del caught, out
    gc.collect()
    assert len(alive) == 2 and [ref() for ref in alive] == [None, None]
    if handle is not None:
        handle.remove()
    x.grad = None
    checkpoint(block, x).sum().backward()
    assert x.grad is not None and block.norm.num_batches_tracked == 2


def _raise() -> None:
    raise ValueError("as asked")


def test_what_the_block_computes_is_freed_after_the_forward():
    block, x = block_and_input()
    alive: list[weakref.ref] = []
    block.norm.register_forward_hook(lambda _module, _inputs, out: alive.append(weakref.ref(out.untyped_storage())))
    kept = {}
    for call in (plain, checkpoint):
        out = call(block, x)
        kept[call] = alive.pop()() is not None
        del out
    assert not kept[checkpoint]


def test_random_numbers_are_drawn_again_unless_told_not_to():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for preserve in (True, False):
        torch.manual_seed(3)
        out = checkpoint(F.dropout, x, 0.5, preserve_rng_state=preserve)
        state = torch.get_rng_state()
        (gradient,) = torch.autograd.grad(out.sum(), x)
        assert torch.equal(gradient * x.detach(), out.detach()) is preserve
        assert torch.equal(torch.get_rng_state(), state) is preserve


def test_without_random_numbers_none_need_be_kept():
    found = []
    for options in ({}, {"preserve_rng_state": False}):
        block, x = block_and_input()
        checkpoint(block, x, **options).sum().backward()
        found.append({**values(block), "gradient": x.grad})
    assert same(*found)


def test_torchs_other_options_are_taken():
    block, x = block_and_input()
    entered = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            entered.append(self.name)

        def __exit__(self, *error: object) -> None:
            pass

    options = {"use_reentrant": True, "determinism_check": "none"}
    checkpoint(block, x, context_fn=lambda: (Noted("first"), Noted("second")), **options).sum().backward()
    assert entered == ["first", "second"] and block.norm.num_batches_tracked == 1


def test_a_block_that_computes_something_else_the_second_time_is_told():
    block, x = block_and_input()
    out = checkpoint(lambda z: block(z) if block.calls == 0 else z.sin(), x)
    after = values(block)
    with pytest.raises(CheckpointError, match="number of tensors"):
        out.sum().backward()
    assert same(values(block), after)


def test_buffers_that_nobody_can_write_are_left_alone():
    block, x = block_and_input()
    block.register_buffer("expanded", torch.ones(1, 6).expand(8, 6))
    with torch.inference_mode():
        block.register_buffer("inferred", torch.ones(3))
    block.register_buffer("nothing", None)
    block.register_buffer("sparse", torch.eye(2).to_sparse())
    checkpoint(block, x).sum().backward()
    assert x.grad is not None and block.expanded.stride() == (0, 1)


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    """Those that checkpoints take."""
    taken: list[Snapshot] = []

    class Noted(Snapshot):
        def __init__(self, modules: list[nn.Module]) -> None:
            super().__init__(modules)
            taken.append(self)

    monkeypatch.setattr("gradpath.memory._checkpoint.Snapshot", Noted)
    return taken


def test_of_masks_and_tables_no_copy_is_kept(snapshots):
    block, x = block_and_input()
    block.register_buffer("mask", torch.ones(1000, 1000, dtype=torch.bool))
    assert sum(value.nbytes for value in Snapshot([block, block.norm]).values) > 1_000_000
    out = checkpoint(block, x)
    assert out.requires_grad
    assert [sum(value.nbytes for value in taken.values) for taken in snapshots] == [6 * 4 + 6 * 4 + 8]


def test_without_grad_mode_nothing_is_copied(snapshots):
    block, x = block_and_input()
    with torch.no_grad():
        checkpoint(block, x)
    assert snapshots == []


@pytest.mark.parametrize("wrong", [torch.ones(2), None, [nn.Linear(2, 2)]])
def test_what_cannot_be_called_is_refused(wrong):
    with pytest.raises(UserError, match=r"gp.checkpoint: a \w+ cannot be called: give the block first, then inputs"):
        checkpoint(wrong, torch.ones(2))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    with pytest.raises(UserError, match="TorchScript"):
        checkpoint(scripted, torch.ones(2, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's, at a graph break
@pytest.mark.parametrize("place", ["inside", "around"])
def test_compiled_blocks(place):
    found = []
    for call in (plain, checkpoint):
        torch._dynamo.reset()
        block, x = block_and_input()
        inner = nn.Sequential(block.linear, block.norm, nn.Tanh())
        if place == "inside":
            compiled = torch.compile(inner, backend="aot_eager")
            out = call(compiled, x)
        else:
            out = torch.compile(lambda z, c=call, b=inner: c(b, z * 2) + 1, backend="aot_eager")(x)
        out.square().sum().backward()
        found.append({**values(block), "x": x.grad, "weight": block.linear.weight.grad})
    assert same(*found) and found[1]["norm.num_batches_tracked"] == 1
