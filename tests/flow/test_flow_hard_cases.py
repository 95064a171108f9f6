"""What models of users do that small examples do not: each case is traced, or refused in one clear line."""

from __future__ import annotations

import socket
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
import torch.distributed.fsdp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gradpath as gp
from architectures import WIDTH, Blocks, Images, Residual, SEBlock, mlp
from gradpath.errors import TraceError
from problems import PlainMLP, ResidualMLP


def square(model, x):
    y = model(x)
    y = y.abs() if y.is_complex() else y
    return (y if y.dtype == torch.float64 else y.float()).square().mean()


def blocks(count=2):
    torch.manual_seed(0)
    return Blocks(Residual, count)


def shares_sum_to_one(flow, tolerance=1e-5):
    return all(
        sum(edge.share for edge in fork.edges) == pytest.approx(1, abs=tolerance)
        for fork in flow.forks
        if fork.norm is not None and fork.norm > 0
    )


def parameter_gradients(flow):
    return {p.name: p.log10_gradient_norm for p in flow.parameters}


def norms_of_autograd(model, loss):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    return {n: None if g is None else float(wide(g).norm().log10()) for n, g in zip(names, found, strict=True)}


def wide(gradient):
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    return gradient.to(torch.complex128 if gradient.is_complex() else torch.float64)


class Loops(nn.Module):
    """As many turns as the data asks for."""

    def __init__(self):
        super().__init__()
        self.stem, self.cell = nn.Linear(5, WIDTH), mlp()

    def forward(self, x: Tensor) -> Tensor:
        x, turns = self.stem(x), 0
        while turns < 1 + int(x.abs().sum()) % 3:
            x, turns = x + self.cell(x), turns + 1
        return x


def test_control_flow_that_depends_on_data():
    torch.manual_seed(0)
    model, seen = Loops(), set()
    for x in torch.randn(12, 3, 5):
        calls = []
        handle = model.cell.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        model(x)
        handle.remove()
        flow = gp.trace(model, x, step=square)
        assert len(flow.residual_forks) == len(calls)
        seen.add(len(calls))
    assert seen == {1, 2, 3}


def test_a_module_called_a_hundred_times_has_a_hundred_calls():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(100):
                x = x + 0.1 * torch.tanh(self.cell(x))
            return x

    flow = gp.trace(Many(), torch.randn(3, 5), step=square)
    assert [layer.call for layer in flow.layers] == list(range(100))
    assert len(flow.residual_forks) == 99  # the first one's tensor is the input, which needs no gradient
    assert sum(len(f.edges) for f in flow.forks if f.kind == "shared") == 200


def test_weights_shared_by_two_modules_are_a_shared_fork_named_once():
    torch.manual_seed(0)

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.block, self.head = nn.Embedding(9, WIDTH), Residual(), nn.Linear(WIDTH, 9, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.block(self.embed(x)))

    model, x = Tied(), torch.randint(9, (4, 3))
    flow = gp.trace(model, x, step=square)
    assert [(f.kind, f.name) for f in flow.forks if f.kind == "shared"] == [("shared", "embed.weight")]
    assert [layer.scope for layer in flow.layers] == ["embed", "block.mlp.0", "block.mlp.2", "head"]
    assert parameter_gradients(flow) == pytest.approx(norms_of_autograd(model, square(model, x)), abs=1e-5)


@dataclass
class Output:
    loss: Tensor
    logits: Tensor


class ModelOutput(OrderedDict):
    """As Hugging Face has it: a mapping whose keys are attributes."""

    def __getattr__(self, name):
        return self[name]


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.body, self.make = blocks(), make

    def forward(self, x: Tensor, labels: Tensor):
        logits = self.body(x)
        return self.make(loss=F.cross_entropy(logits, labels), logits=logits)


@pytest.mark.parametrize("make", [dict, Output, ModelOutput])
@pytest.mark.parametrize("keywords", [False, True])
def test_outputs_with_a_loss(make, keywords):
    x, y = torch.randn(3, 5), torch.randint(4, (3,))
    model = Returns(make)
    flow = gp.trace(model, {"x": x, "labels": y} if keywords else (x, y))
    assert flow.loss == pytest.approx(float(F.cross_entropy(model.body(x), y).detach()), rel=1e-6)
    assert len(flow.residual_forks) == 2


class TwoHeads(nn.Module):
    """Several outputs, one of them not used by the first loss."""

    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = blocks(), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
        x = self.body(x)
        return self.a(x), {"more": [self.b(x)]}


def test_each_of_several_losses_sees_its_own_part():
    def step(model, x):
        a, more = model(x)
        return {"a": a.square().mean(), "both": a.square().mean() + more["more"][0].square().mean()}

    found = gp.trace(TwoHeads(), torch.randn(3, 5), step=step)
    assert "b.weight" in found["a"].unseen.parameters_without_gradient
    assert found["both"].unseen.parameters_without_gradient == ()
    assert len(found["a"].residual_forks) == len(found["both"].residual_forks) == 2
    assert len(found["both"].forks) == len(found["a"].forks) + 1  # what both heads read


def test_a_tensor_hook_that_reverses_the_gradient_is_honoured():
    """Domain-adversarial training: what lies before the hook gets the opposite gradient, and the shares see it."""

    class Reversed(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.stem, self.mlp, self.sign = nn.Linear(5, WIDTH), mlp(), sign

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.mlp(x)
            y.register_hook(lambda grad: self.sign * grad)
            return x + y

    x, skips = torch.randn(3, 5).double(), []
    for sign in (1, -1):
        torch.manual_seed(0)
        model = Reversed(sign).double()
        flow = gp.trace(model, x, step=square)
        assert parameter_gradients(flow) == pytest.approx(norms_of_autograd(model, square(model, x)), abs=1e-6)
        assert shares_sum_to_one(flow, 1e-10)
        edges = {edge.kind: edge for edge in flow.residual_forks[0].edges}
        overlap = edges["branch"].share * flow.residual_forks[0].norm ** 2 - edges["branch"].norm ** 2  # ⟨branch, skip⟩
        skips.append((edges["skip"].norm, edges["branch"].norm, sign * overlap))
    assert skips[0] == pytest.approx(skips[1], rel=1e-6)


class Checkpointed(nn.Module):
    def __init__(self, active):
        super().__init__()
        self.active = active
        self.stem, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 4)
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Dropout(0.5)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for inner in self.inner:
            x = x + (checkpoint(inner, x, use_reentrant=False) if self.active else inner(x))
        return self.head(x)


@pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast:FutureWarning")  # torch 2.4's own
def test_checkpointed_blocks_give_the_numbers_of_their_twin_and_leave_batch_norm_alone():
    x, flows = torch.randn(8, 5), []
    for active in (False, True):
        torch.manual_seed(0)
        model = Checkpointed(active)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        torch.manual_seed(1)
        flows.append(gp.trace(model, x, step=square))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    plain, again = flows
    assert again.loss == plain.loss
    assert parameter_gradients(again) == parameter_gradients(plain)
    assert [layer.scope for layer in again.layers] == [layer.scope for layer in plain.layers]
    assert again.effective_depth == pytest.approx(plain.effective_depth, rel=1e-5)
    assert [f.kind for f in again.forks] == [f.kind for f in plain.forks]


@contextmanager
def one_process():
    """A process group of this process alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="no gloo"
)


@needs_gloo
def test_data_parallel_gives_the_numbers_of_the_module_inside():
    x = torch.randn(3, 5)
    alone = gp.trace(blocks(), x, step=square)
    with one_process():
        wrapped = gp.trace(nn.parallel.DistributedDataParallel(blocks()), x, step=square)
    assert [layer.scope for layer in wrapped.layers] == [layer.scope for layer in alone.layers]
    assert [layer.log10_gradient_norm for layer in wrapped.layers] == pytest.approx(
        [layer.log10_gradient_norm for layer in alone.layers]
    )
    assert len(wrapped.residual_forks) == 2
    assert wrapped.effective_depth == pytest.approx(alone.effective_depth)


@needs_gloo
@pytest.mark.parametrize("change", ["cut=skips", "init=he"])
def test_a_what_if_is_of_the_module_inside_data_parallel(change):
    x = torch.randn(3, 5)
    alone = gp.whatif(blocks(), x, change=change, step=square)
    with one_process():
        wrapped = gp.whatif(nn.parallel.DistributedDataParallel(blocks()), x, change=change, step=square)
    assert wrapped.sentence == alone.sentence
    assert any("DistributedDataParallel was unwrapped" in note for note in wrapped.notes)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner = (nn.Linear(n, WIDTH, dtype=torch.complex64) for n in (5, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + torch.tanh(self.inner(x))


@needs_gloo
@pytest.mark.skipif(not hasattr(torch.distributed.fsdp, "fully_shard"), reason="FSDP2 needs torch 2.6")
def test_sharded_parameters_leave_layers_and_forks_as_they_are():
    x = torch.randn(3, 5)
    alone = gp.trace(blocks(), x, step=square)
    with one_process():
        mesh = torch.distributed.init_device_mesh("cpu", (1,))
        model = blocks()
        for part in (*model.blocks, model):
            torch.distributed.fsdp.fully_shard(part, mesh=mesh)
        flow = gp.trace(model, x, step=square)
        square(model, x).backward()  # still works
        again = gp.trace(model, x, step=square)
        assert all(p.grad is not None for p in model.parameters())
    assert [f.kind for f in flow.forks] == [f.kind for f in alone.forks]
    assert flow.effective_depth == pytest.approx(alone.effective_depth) == again.effective_depth
    assert [layer.log10_gradient_norm for layer in flow.layers] == pytest.approx(
        [layer.log10_gradient_norm for layer in alone.layers]
    )
    assert [p.log10_norm for p in flow.parameters] == pytest.approx([p.log10_norm for p in alone.parameters])
    assert any("sharded" in note for note in flow.unseen.notes)


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (lambda: nn.Sequential(nn.Embedding(9, WIDTH, sparse=True), Residual()), torch.randint(9, (3, 4))),
        (lambda: blocks().bfloat16(), torch.randn(3, 5).bfloat16()),
        (lambda: blocks().half(), torch.randn(3, 5).half()),
        (Complex, torch.randn(3, 5).to(torch.complex64)),
        (
            lambda: Images(SEBlock()).to(memory_format=torch.channels_last),
            torch.randn(2, 2, 8, 8).to(memory_format=torch.channels_last),
        ),
    ],
    ids=["sparse gradient", "bfloat16", "float16", "complex", "channels last"],
)
def test_other_kinds_of_numbers_and_layouts(make, batch):
    torch.manual_seed(0)
    model = make()
    flow = gp.trace(model, batch, step=square)
    assert flow.residual_forks
    half = any(p.dtype.itemsize == 2 for p in model.parameters())
    assert shares_sum_to_one(flow, 2e-2 if half else 1e-4)
    assert 0 < abs(flow.effective_depth) < 3
    expected = norms_of_autograd(model, square(model, batch))
    assert parameter_gradients(flow) == pytest.approx(expected, abs=1e-2 if half else 1e-4)


@pytest.mark.parametrize("inside", [False, True])
def test_autocast_around_the_trace_or_inside_the_step(inside):
    def step(model, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            return square(model, x)

    with torch.autocast("cpu", torch.bfloat16, enabled=not inside):
        flow = gp.trace(blocks(), torch.randn(8, 5), step=step)
    plain = gp.trace(blocks(), torch.randn(8, 5), step=square)
    assert [f.kind for f in flow.forks if f.kind == "residual"] == [f.kind for f in plain.residual_forks]
    assert shares_sum_to_one(flow, 2e-2)
    assert (flow.autocast, plain.autocast) == ("bfloat16", None)


def test_an_empty_batch_has_no_shares_and_no_depth():
    flow = gp.trace(blocks(), torch.randn(0, 5), step=lambda model, x: model(x).sum())
    assert flow.effective_depth is None
    assert all(edge.share is None for fork in flow.forks for edge in fork.edges)
    assert flow.stem_gradient_norm == 0.0


def test_the_fast_path_of_attention_in_eval_mode_is_traced_when_its_input_needs_a_gradient():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().requires_grad_(False)
    flow = gp.trace(nn.TransformerEncoder(layer, 2), torch.randn(2, 5, 8, requires_grad=True), step=square)
    assert len(flow.residual_forks) == 4
    assert flow.residual_forks[0].name == "an input"
    assert flow.unseen.opaque == ()
    assert 0 < flow.effective_depth < 4


def test_only_the_input_needs_a_gradient():
    model, x = blocks().requires_grad_(False), torch.randn(3, 5)
    frozen = gp.trace(model, x.clone().requires_grad_(), step=square)
    thawed = gp.trace(model.requires_grad_(True), x, step=square)
    assert frozen.effective_depth == pytest.approx(thawed.effective_depth, rel=1e-5)
    assert [layer.log10_gradient_norm for layer in frozen.layers] == pytest.approx(
        [layer.log10_gradient_norm for layer in thawed.layers]
    )


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch 2.4 compiles whatever it meets")
def test_a_compiled_submodule_is_seen_through():
    model = blocks()
    expected = gp.trace(model, torch.ones(3, 5), step=square)
    model.blocks[0] = torch.compile(model.blocks[0], backend="eager")
    flow = gp.trace(model, torch.ones(3, 5), step=square)
    assert [f.kind for f in flow.forks] == [f.kind for f in expected.forks]
    assert flow.effective_depth == pytest.approx(expected.effective_depth)


def made_in_inference_mode():
    with torch.inference_mode():
        return blocks()


def scripted():
    model = blocks()
    model.head = torch.jit.ScriptModule()
    return model


@pytest.mark.parametrize(
    ("make", "step", "message"),
    [
        (nn.ReLU, square, "no parameters"),
        (lambda: PlainMLP().requires_grad_(False), square, "frozen"),
        (made_in_inference_mode, square, "inference_mode"),
        (blocks, torch.no_grad()(square), "no_grad"),
        (Complex, lambda m, x: m(x.to(torch.complex64)).mean(), "real"),
        (blocks, lambda m, x: torch.func.vmap(m)(x).square().mean(), "vmap"),
        (scripted, square, "TorchScript"),
        (lambda: ResidualMLP(2).forward, square, "torch.nn.Module"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(make, step, message):
    with pytest.raises(TraceError, match=message) as error:
        gp.trace(make(), torch.randn(3, 5), step=step)
    assert "\n" not in str(error.value)


def test_inside_inference_mode_nothing_is_traced():
    with torch.inference_mode(), pytest.raises(TraceError, match="inference_mode"):
        gp.trace(blocks(), torch.randn(3, 5), step=square)
