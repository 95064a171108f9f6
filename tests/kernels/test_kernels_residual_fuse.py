"""Models with fused residual blocks: names, copies, hooks, DDP, traces, torch.compile, and what gp.fuse says."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from blocks import results, worst
from fused import passes_or_skip
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

import gradpath as gp
from gradpath.errors import KernelError
from gradpath.kernels import _choose, _trial, fuse, fused_modules
from gradpath.kernels._residual_modules import FusedResidualBlock
from gradpath.nets import PostBasic, build, form_of
from sweep.libraries import load, load_torchvision


def net(name: str = "resnet-14", dtype: torch.dtype = torch.float64, **options: object) -> nn.Module:
    torch.manual_seed(0)
    made = build(name, **({"width": 4, "input_size": 8} | options)).to(dtype)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.3, 1.5)
    return made


def pair(name: str = "resnet-14", backend: str = "torch", **options: object) -> tuple[nn.Module, nn.Module]:
    plain = net(name, **options)
    return plain, quiet(copy.deepcopy(plain), backend)


def quiet(model: nn.Module, backend: str = "torch") -> nn.Module:
    return fuse(model, backend, say=lambda line: None)


def images(dtype: torch.dtype = torch.float64, count: int = 4) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def runs_fused(block: nn.Module, x: Tensor) -> bool:
    return block(x).grad_fn.name().startswith("ResidualBlock")


@pytest.mark.parametrize("name", ["resnet-14", "preresnet-14", "plain-14", "preresnet-bottleneck-20"])
def test_training_and_evaluation_are_those_of_the_plain_net(name):
    plain, fused = pair(name)
    assert len(fused_modules(fused)) == 6
    for model in (plain, fused):
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        for step in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(images() + step), torch.arange(4)).backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), fused.state_dict().values(), strict=True))
    assert torch.equal(plain.eval()(images()), fused.eval()(images()))
    with torch.no_grad():
        assert torch.equal(plain(images()), fused(images()))


def test_names_classes_copies_and_files():
    plain, fused = pair()
    assert list(plain.state_dict()) == list(fused.state_dict())
    assert isinstance(fused.stages[0][0], PostBasic)
    assert fused.stages[0][0].branch_convs()[0] is fused.stages[0][0].conv1
    fused(images())
    fused.load_state_dict(plain.state_dict())
    file = io.BytesIO()
    torch.save(fused, file)
    file.seek(0)
    for again in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused)), torch.load(file, weights_only=False)):
        assert len(fused_modules(again)) == 6
        assert torch.equal(again.eval()(images()), fused.eval()(images()))
        assert runs_fused(again.stages[0][0], again.stem(images()))
        assert again.stages[0][0].conv1 is not fused.stages[0][0].conv1


def test_fusing_twice_is_fusing_once_and_reference_undoes_it():
    plain, fused = pair()
    quiet(fused)
    block = fused.stages[1][0]
    assert type(block).__mro__.count(type(plain.stages[1][0])) == 1 and len(fused_modules(fused)) == 6
    assert form_of(block) is not None
    quiet(fused, "reference")
    assert [type(m) for m in fused.modules()] == [type(m) for m in plain.modules()]
    assert [set(vars(m)) for m in fused.modules()] == [set(vars(m)) for m in plain.modules()]


def test_the_line_says_what_runs_on_what_and_what_was_left_alone():
    lines: list[str] = []
    model = net()
    model.stages[0][1].conv1 = nn.Conv2d(4, 4, 3, padding=1).double()
    model.stages[1][0].norm2 = model.stages[2][1].norm2 = nn.Identity()
    fuse(model, "torch", say=lines.append)
    fuse(net(), "reference", say=lines.append)
    fuse(net("resnet-8", norm="none"), "torch", say=lines.append)
    assert lines == [
        "fuse: 3 residual blocks on plain torch operations; left alone: stages.0.1: conv1: has a bias; "
        "stages.1.0 and 1 more: norm2: is a Identity",
        "fuse: all blocks are plain, as asked",
        "fuse: nothing was changed; left alone: stages.0.0 and 2 more: conv1: has a bias",
    ]


@pytest.mark.parametrize(
    "options",
    [{"nonlinearity": "silu"}, {"dropout": 0.2}, {"stochastic_depth": 0.2}, {"gate": "shortcut"}, {"norm": "group"}],
)
def test_blocks_with_options_that_are_not_known_are_left_alone(options):
    model = quiet(net("preresnet-8", **options))
    assert not fused_modules(model)


def test_without_a_compiler_or_where_it_is_slower_auto_leaves_blocks_plain(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(_choose, "_fused", lambda: (None, "compiled kernels: no C++ compiler found: install g++"))
    fuse(net(), say=lines.append)
    with pytest.raises(KernelError, match=r"no C\+\+ compiler found: install g\+\+; backend 'reference' works"):
        fuse(net(), "compiled")
    monkeypatch.undo()
    passes_or_skip()
    for ratio in (1.3, 0.8):
        monkeypatch.setattr(_trial, "trial_ratio", lambda threads, ratio=ratio: ratio)
        fuse(net(), say=lines.append)
    assert lines == [
        "fuse: nothing was changed; left alone: stages.0.0 and 5 more: as fast plain without C++ passes "
        "(compiled kernels: no C++ compiler found: install g++)",
        "fuse: nothing was changed; left alone: stages.0.0 and 5 more: faster plain on this machine "
        "(a fused block took 1.30 of the time)",
        "fuse: 6 residual blocks on C++ passes (0.80 of the plain time in a trial)",
    ]


def test_auto_leaves_a_model_on_another_device_plain():
    lines: list[str] = []
    assert not fused_modules(fuse(net().to("meta"), say=lines.append))
    assert lines == [
        "fuse: nothing was changed: the model is on meta, where no fused block has been measured to be faster"
    ]
    moved = quiet(net(), "auto").to("meta")
    assert moved(images().to("meta")).shape == (4, 10)


def test_the_trial_is_kept_and_read_again(monkeypatch, tmp_path):
    passes_or_skip()
    monkeypatch.setattr(_trial, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(_trial, "SHAPE", (2, 8, 4, 4))
    before = torch.random.get_rng_state()
    measure = _trial.trial_ratio.__wrapped__
    with torch.inference_mode():
        found = measure(1)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["ratio"] == found > 0
    file.write_text('{"ratio": 0.5}')
    assert measure(1) == 0.5
    file.write_text("{")
    assert measure(1) > 0
    assert torch.equal(before, torch.random.get_rng_state())


def test_hooks_inside_are_called_and_the_block_runs_plainly_while_there_are_any():
    _, fused = pair()
    block, x, called = fused.stages[0][0], fused.stem(images()), []
    handle = block.norm1.register_forward_hook(lambda *_: called.append(1))
    assert not runs_fused(block, x) and called == [1]
    handle.remove()
    assert runs_fused(block, x) and called == [1]
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: called.append(module))
    try:
        fused(images())
    finally:
        handle.remove()
    assert block.conv2 in called


def test_a_forward_replaced_later_is_called():
    plain, fused = pair()
    for model in (plain, fused):
        model(images())
        conv = model.stages[0][0].conv1
        conv.forward = lambda x, forward=conv.forward: forward(x).sin()
    assert torch.equal(plain(images()), fused(images()))


def test_parts_put_in_later_are_noticed():
    plain, fused = pair()
    for model in (plain, fused):
        model(images())
        model.stages[0][0].norm1 = nn.Sequential(nn.BatchNorm2d(4), nn.Tanh()).double()
        model.stages[1][1].conv1.weight = nn.Parameter(2 * model.stages[1][1].conv1.weight.detach())
    assert torch.equal(plain(images()), fused(images()))
    assert runs_fused(fused.stages[0][1], fused.stem(images()))


def test_parameter_hooks_and_frozen_parameters():
    _, fused = pair()
    called = []
    weight = fused.stages[1][0].conv1.weight
    weight.register_hook(lambda grad: called.append(grad.shape))
    fused.stages[0].requires_grad_(False)
    fused(images()).square().sum().backward()
    assert called == [weight.shape]
    assert all(p.grad is None for p in fused.stages[0].parameters())


@pytest.mark.parametrize("reentrant", [False, True])
def test_inside_a_checkpoint(reentrant):
    plain, fused = pair()
    F.cross_entropy(plain(images().requires_grad_()), torch.arange(4)).backward()
    out = checkpoint(fused, images().requires_grad_(), use_reentrant=reentrant)
    F.cross_entropy(out, torch.arange(4)).backward()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(plain.parameters(), fused.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch's own, at the first make_dual
@pytest.mark.parametrize("grad", [True, False])
def test_forward_mode_derivatives_are_those_of_the_plain_net(grad):
    tangents = []
    for model in pair():
        with forward_ad.dual_level(), torch.set_grad_enabled(grad):
            tangents.append(forward_ad.unpack_dual(model.eval()(forward_ad.make_dual(images(), images()))).tangent)
    assert tangents[0].any() and torch.equal(*tangents)


def test_functional_call_uses_the_weights_that_are_given():
    plain, fused = pair()
    weights = {name: 1.1 * p.detach() for name, p in plain.named_parameters()}
    grads = []
    for model in (plain, fused):
        given = {name: p.clone().requires_grad_() for name, p in weights.items()}
        loss = torch.func.functional_call(model, given, (images(),)).square().sum()
        grads.append(torch.autograd.grad(loss, list(given.values())))
    assert all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(*grads, strict=True))


def test_under_ddp_gradients_are_those_of_the_whole_batch(tmp_path):
    _, fused = pair()
    alone = copy.deepcopy(fused)
    alone(images()).square().sum().backward()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        nn.parallel.DistributedDataParallel(fused)(images()).square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(alone.parameters(), fused.parameters(), strict=True))


def test_trace_and_paths_are_those_of_the_plain_net():
    passes_or_skip()
    plain, fused = pair("preresnet-14", "compiled", dtype=torch.float32)
    batch = images(torch.float32), torch.arange(4)
    flows = [gp.trace(model, batch, F.cross_entropy) for model in (plain, fused)]
    edges = [[edge for fork in flow.forks for edge in fork.edges] for flow in flows]
    assert len(edges[0]) == len(edges[1]) >= 6
    assert all(a.share == pytest.approx(b.share, rel=1e-4) for a, b in zip(*edges, strict=True))
    lengths = [gp.paths(model, batch, F.cross_entropy) for model in (plain, fused)]
    assert lengths[0].lengths == lengths[1].lengths
    assert lengths[0].mean_length == pytest.approx(lengths[1].mean_length, rel=1e-4)


def test_a_fused_model_can_be_planned():
    passes_or_skip()
    plain, fused = pair("resnet-14", "compiled", dtype=torch.float32)
    plan = gp.plan(fused, (images(torch.float32), torch.arange(4)), "95%", criterion=F.cross_entropy)
    planned = gp.apply_plan(fused, plan)
    for model in (plain, planned):
        F.cross_entropy(model(images(torch.float32)), torch.arange(4)).backward()
    grads = zip(plain.parameters(), fused.parameters(), strict=True)
    assert all(torch.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-5) for p, q in grads)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_nets_of_other_libraries(library, name):
    try:
        load_torchvision()
        module = load("torchvision.models" if library == "torchvision" else "timm.models.resnet")
    except ImportError as error:
        pytest.skip(f"{library} is not installed: {error}")
    torch.manual_seed(0)
    plain = getattr(module, name)(num_classes=3).double()
    fused = quiet(copy.deepcopy(plain))
    assert len(fused_modules(fused)) == sum(len(getattr(plain, f"layer{i}")) for i in range(1, 5))
    x = torch.randn(2, 3, 32, 32).double()
    right, found = (results(model, x, torch.ones(2, 3).double()) for model in (plain, fused))
    assert worst(found, right) <= (1e-10, "~")


def stepped(model: nn.Module, twin: nn.Module) -> None:
    """Two steps of both, the second in the compiled code: outputs, gradients, buffers are equal; then evaluation."""
    for _ in range(2):
        for one in (model, twin):
            one.zero_grad()
            one(images(torch.float32)).square().sum().backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max() <= 1e-5 * q.grad.abs().max()
    assert all(torch.allclose(p, q, rtol=1e-5) for p, q in zip(model.buffers(), twin.buffers(), strict=True))
    assert torch.allclose(model.eval()(images(torch.float32)), twin.eval()(images(torch.float32)), rtol=1e-4, atol=1e-5)


def test_torch_compile_works_around_fused_blocks():
    passes_or_skip()
    _, fused = pair("resnet-8", "compiled", dtype=torch.float32)
    model, graphs = nn.Sequential(fused.stem, fused.stages[0], nn.ReLU()), []

    def backend(graph: torch.fx.GraphModule, example: list[Tensor]) -> object:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return torch._dynamo.lookup_backend("aot_eager")(graph, example)

    torch.compiler.reset()
    stepped(torch.compile(copy.deepcopy(model), backend=backend, fullgraph=True), model)
    assert [sum("residual_block" in target for target in targets) for targets in graphs] == [1, 1]


def test_a_compiled_block_notices_when_it_is_evaluated():
    """Its norms are hidden in the operator: nothing but what it reads itself tells the compiler of eval()."""
    passes_or_skip()
    _, fused = pair("resnet-8", "compiled", dtype=torch.float32)
    block, x = fused.stages[0][0], fused.stem(images(torch.float32)).detach()
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(block), backend="eager", fullgraph=True)
    for training in (True, False, True):
        block.norm1.train(training), compiled._orig_mod.norm1.train(training)
        assert torch.allclose(block(x), compiled(x), rtol=1e-5, atol=1e-6)
        assert all(map(torch.allclose, block.buffers(), compiled.buffers()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch's own, when it loads inductor
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
@pytest.mark.parametrize("name", ["preresnet-11", "plain-8", "resnet-bottleneck-11"])
def test_torch_compile_with_every_backend(name, backend):
    passes_or_skip()
    _, fused = pair(name, "compiled", dtype=torch.float32)
    torch.compiler.reset()
    stepped(torch.compile(copy.deepcopy(fused), backend=backend, fullgraph=True), fused)


@pytest.mark.slow
def test_the_operator_under_bfloat16_autocast_and_with_frozen_parts():
    passes_or_skip()
    _, fused = pair("resnet-8", "compiled", dtype=torch.float32)
    fused.stages[0].requires_grad_(False)
    fused.stages[1].eval()
    torch.compiler.reset()
    twin = torch.compile(copy.deepcopy(fused), backend="aot_eager", fullgraph=True)
    for one in (fused, twin):
        with torch.autocast("cpu", torch.bfloat16):
            out = one(images(torch.float32))
        out.float().square().sum().backward()
    for p, q in zip(fused.parameters(), twin.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or torch.allclose(p.grad, q.grad, rtol=0.02, atol=0.02 * float(p.grad.abs().max()))
    for p, q in zip(fused.buffers(), twin.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_the_operator_passes_torch_s_own_checks():
    passes_or_skip()
    _, fused = pair("resnet-8", "compiled", dtype=torch.float32)
    block = fused.stages[1][0]
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    arguments = (x, list(block.parameters()), list(block.buffers()), block.described(()), "")
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.gradpath.residual_block.default, arguments, test_utils=tests)


def test_a_block_is_described_to_the_compiler_as_torch_would_mark_it():
    """The mark is set without importing torch._dynamo, which takes seconds; it has to be torch's own."""

    def marked() -> None: ...

    torch.compiler.assume_constant_result(marked)
    assert vars(FusedResidualBlock.described) == vars(marked) != {}


def test_importing_the_package_does_not_import_the_compiler():
    code = "import sys, gradpath.training, gradpath.kernels; print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
