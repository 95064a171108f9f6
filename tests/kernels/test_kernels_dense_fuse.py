"""Fused models: the same results, the same names, and plain layers wherever the fused block cannot be used."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

import gradpath as gp
from gradpath.errors import KernelError, UserError
from gradpath.kernels import fuse, fused_modules
from gradpath.kernels._dense_form import block_form
from gradpath.kernels._dense_operator import plan_of, tensors_of
from gradpath.memory import checkpoint
from gradpath.nets import DenseBottleneckLayer, build

SMALL = {"depth": 16, "growth_rate": 4, "width": 6, "input_size": 8}


def dense_net(name: str = "densenet-bc-40-12", dtype: torch.dtype = torch.float64, **overrides: object) -> nn.Module:
    torch.manual_seed(0)
    net = build(name, **(SMALL | overrides)).to(dtype)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.3, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
    return net


def pair(**overrides: object) -> tuple[nn.Module, nn.Module]:
    """A plain net and its fused copy."""
    net = dense_net(**overrides)
    return net, quiet(copy.deepcopy(net))


def quiet(model: nn.Module, **options: object) -> nn.Module:
    return fuse(model, say=lambda line: None, **options)


def images(dtype: torch.dtype = torch.float64, count: int = 4) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def spread(a: nn.Module, b: nn.Module) -> float:
    """Largest difference of gradients (against the largest one) and of state (against each one's largest value)."""
    grads = [(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters(), strict=True)]
    assert all((p is None) == (q is None) for p, q in grads)
    kept = [(p, q) for p, q in grads if p is not None]
    largest = max((float(p.abs().max()) for p, _ in kept), default=1.0)
    found = [float((p - q).abs().max()) / largest for p, q in kept]
    for (name, p), (other, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other
        found.append(float((p - q).abs().max()) / max(1e-30, float(p.abs().max())))
    return max(found)


@pytest.mark.parametrize("name", ["densenet-bc-40-12", "densenet-40-12"])
@pytest.mark.parametrize("keep", ["features", "bottlenecks"])
def test_three_training_steps_are_those_of_the_plain_net(name, keep):
    plain = dense_net(name)
    fused = quiet(copy.deepcopy(plain), keep=keep)
    assert len(fused_modules(fused)) == 3
    for net in (plain, fused):
        optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
        for step in range(3):
            optimizer.zero_grad()
            for part in (images() + step).chunk(2):  # two backward passes add up
                F.cross_entropy(net(part), torch.arange(2)).backward()
            optimizer.step()
    assert spread(plain, fused) <= 1e-10
    for net in (plain, fused):
        net.eval()
    assert torch.allclose(plain(images()), fused(images()), rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(fused(images()), fused(images()))


def test_without_grad_running_statistics_move_as_in_the_plain_net():
    plain, fused = pair()
    with torch.no_grad():
        plain(images()), fused(images())
    assert spread(plain, fused) <= 1e-12
    assert fused.stages[0][0].norm1.num_batches_tracked == 1


def test_state_dict_pickle_and_copies():
    plain, fused = pair()
    assert list(plain.state_dict()) == list(fused.state_dict())
    fused.load_state_dict(plain.state_dict())
    file = io.BytesIO()
    torch.save(fused, file)
    file.seek(0)
    copies = [copy.deepcopy(fused), pickle.loads(pickle.dumps(fused)), torch.load(file, weights_only=False)]
    for again in copies:
        assert len(fused_modules(again)) == 3
        assert torch.equal(again.eval()(images()), fused.eval()(images()))


def test_reference_puts_the_plain_blocks_back():
    net, fused = pair()
    lines: list[str] = []
    assert fuse(fused, "reference", say=lines.append) is fused
    assert [type(m) for m in fused.modules()] == [type(m) for m in net.modules()]
    assert fused_modules(fused) == {} and len(lines) == 1
    assert set(vars(fused.stages[0])) == set(vars(net.stages[0]))


def test_the_line_says_what_was_fused_and_what_was_left_alone():
    lines: list[str] = []
    fuse(dense_net(), say=lines.append)
    fuse(nn.Linear(2, 2), say=lines.append)
    net = dense_net()
    net.stages[1][2].conv1 = nn.Conv2d(net.stages[1][2].channels_in, 16, 1, bias=True).double()
    fuse(net, "torch", say=lines.append)
    assert lines[0].startswith("fuse: 3 dense blocks on ")
    assert lines[1] == "fuse: Linear has no blocks that are known: nothing was changed"
    assert lines[2] == (
        "fuse: 2 dense blocks on plain torch, keeping features; "
        "left alone: stages.1: layer 1 has a convolution with a bias"
    )
    assert all("\n" not in line for line in lines)


def test_a_single_block_can_be_fused():
    plain, fused = (net.stages[1] for net in pair())
    x = torch.randn(2, plain[0].channels_in, 8, 8).double()
    quiet(fused, backend="reference")
    assert not fused_modules(fused)
    quiet(fused)
    assert torch.allclose(plain(x), fused(x), rtol=1e-12)


def test_what_is_asked_for_wrongly_is_refused():
    with pytest.raises(UserError, match=r"must be a torch\.nn\.Module, got a int"):
        fuse(3)
    with pytest.raises(UserError, match="keep='all' is unknown, choose from features, bottlenecks, least"):
        fuse(dense_net(), keep="all")
    with pytest.raises(KernelError, match="backend 'gpu' is unknown, choose from auto, compiled, torch, triton, ref"):
        fuse(dense_net(), "gpu")


@pytest.mark.parametrize("where", ["layer", "norm", "relu"])
def test_hooks_are_called_though_the_block_is_fused(where):
    plain, fused = pair()
    called = []
    layer = fused.stages[1][1]
    handle = (layer if where == "layer" else layer.norm2).register_forward_hook(lambda *_: called.append(1))
    fused(images())
    assert called == [1]
    handle.remove()
    node = fused.stages[1](fused.stages[0](fused.stem(images()))).grad_fn
    assert "DenseBlock" in node.name()
    fused(images())
    assert called == [1] and plain is not fused


def test_hooks_on_all_modules_are_called():
    _, fused = pair()
    called = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: called.append(type(module)))
    try:
        fused(images())
    finally:
        handle.remove()
    assert called.count(nn.BatchNorm2d) == 15


def test_other_layers_put_in_after_fusing_are_noticed():
    _, fused = pair()
    layer = fused.stages[0][1]
    layer.norm1 = nn.Sequential(nn.BatchNorm2d(layer.channels_in).double(), nn.Tanh())
    expected = copy.deepcopy(fused)
    quiet(expected, backend="reference")
    assert torch.allclose(fused(images()), expected(images()), rtol=1e-12)


def test_trace_and_paths_are_those_of_the_plain_net():
    plain, fused = pair()
    batch = images(), torch.arange(4)
    flows = [gp.trace(net, batch, F.cross_entropy) for net in (plain, fused)]
    edges = [[edge for fork in flow.forks for edge in fork.edges] for flow in flows]
    assert len(edges[0]) == len(edges[1]) > 10
    assert all(abs(a.share - b.share) <= 1e-10 for a, b in zip(*edges, strict=True) if a.share is not None)
    lengths = [gp.paths(net, batch, F.cross_entropy) for net in (plain, fused)]
    assert lengths[0].lengths == lengths[1].lengths and lengths[0].mean_length == pytest.approx(lengths[1].mean_length)
    assert all(module.shown_plain == 0 for module in fused_modules(fused).values())


def test_plain_view_is_left_when_something_raises():
    _, fused = pair()
    stage = fused.stages[0]
    x = fused.stem(images())
    with pytest.raises(ZeroDivisionError), stage.plain_view(), stage.plain_view():
        assert "Cat" in stage(x).grad_fn.name()
        1 / 0  # noqa: B018
    assert "DenseBlock" in stage(x).grad_fn.name()


def test_a_fused_net_is_planned_and_a_planned_net_is_fused():
    plain, fused = pair(dtype=torch.float32)
    later = copy.deepcopy(plain)
    batch = images(torch.float32), torch.arange(4)
    plans = [
        gp.plan(model, batch, "98%", criterion=F.cross_entropy, check=False, within_seconds=0.3)
        for model in (fused, later)
    ]
    assert plans[0].blocks and plans[1].blocks
    for model in (plain, gp.apply_plan(fused, plans[0]), quiet(gp.apply_plan(later, plans[1]))):
        F.cross_entropy(model(batch[0]), batch[1]).backward()
    assert spread(plain, fused) < 1e-3
    assert spread(plain, later) < 1e-3


def test_a_replaced_forward_and_a_shared_norm_are_left_to_the_plain_layers():
    plain, fused = pair()
    for model in (plain, fused):
        first = model.stages[0][0]
        first.conv1.forward = lambda x, forward=first.conv1.forward: forward(x).sin()
        model.stages[2][2].norm2 = model.stages[2][1].norm2
        model(images()).square().sum().backward()
    assert spread(plain, fused) < 1e-9


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch's own, at the first make_dual
def test_forward_mode_derivatives_are_those_of_the_plain_net():
    tangents = []
    for model in pair():
        with forward_ad.dual_level():
            tangents.append(forward_ad.unpack_dual(model.eval()(forward_ad.make_dual(images(), images()))).tangent)
    assert torch.allclose(*tangents)


def test_a_second_derivative_is_refused_and_plain_view_has_it():
    _, fused = pair()
    x = images().requires_grad_()
    with pytest.raises(UserError, match="no second derivative"):
        torch.autograd.grad(fused(x).square().sum(), x, create_graph=True)
    for module in fused_modules(fused).values():
        module.shown_plain += 1
    (grad,) = torch.autograd.grad(fused(x).square().sum(), x, create_graph=True)
    assert grad.requires_grad


def test_a_retained_graph_gives_the_same_gradient_again():
    _, fused = pair()
    x = images().requires_grad_()
    loss = fused(x).square().sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_writing_to_the_output_is_noticed():
    _, fused = pair()
    out = fused.stages[0](fused.stem(images()))
    out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_one_pixel_is_refused_as_by_batchnorm():
    _, fused = pair()
    x = torch.randn(1, 6, 1, 1).double()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fused.stages[0](x)
    assert fused.eval().stages[0](x).shape == (1, 14, 1, 1)
    assert fused.train()(images()).shape == (4, 10)


@pytest.mark.parametrize("wrong", [torch.randn(4, 5, 8, 8), torch.randn(6, 8, 8), torch.randn(4, 6, 8, 8)])
def test_inputs_that_do_not_fit_are_refused_in_the_layers_own_words(wrong):
    plain, fused = (net.stages[0] for net in pair())
    with pytest.raises(Exception) as one:
        plain(wrong)
    with pytest.raises(type(one.value)) as other:
        fused(wrong)
    assert str(one.value) == str(other.value)


def test_constant_channels_give_no_nan():
    plain, fused = pair(dtype=torch.float32)
    with torch.no_grad():
        plain.stem.conv.weight.zero_(), fused.stem.conv.weight.zero_()
    for net in (plain, fused):
        net(images(torch.float32)).square().sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("outside", [torch.float32, torch.bfloat16])
def test_autocast_is_as_near_to_float64_as_the_plain_net_is(outside):
    exact, fused = pair(dtype=torch.float32)
    plain = copy.deepcopy(exact)
    exact.double()
    losses = []
    for net in (exact, plain, fused):
        x = images(torch.float64 if net is exact else torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=net is not exact):
            features = net.stages[0](x.repeat(1, 2, 1, 1).to(x.dtype if net is exact else outside))
            losses.append(features.double().square().mean())
        if net is not exact:
            assert features.dtype == outside
        losses[-1].backward()
    grads = [
        torch.cat([p.grad.double().flatten() for p in net.stages[0].parameters()]) for net in (exact, plain, fused)
    ]
    assert (grads[2] - grads[0]).norm() <= 1.1 * (grads[1] - grads[0]).norm() < 0.2 * grads[0].norm()
    assert abs(losses[2] - losses[0]) <= 2 * abs(losses[1] - losses[0]) + 1e-3 * abs(losses[0])


def test_threads_change_nothing_but_rounding():
    _, fused = pair(dtype=torch.float32)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            net = copy.deepcopy(fused)
            net(images(torch.float32)).square().sum().backward()
            found.append(net)
        finally:
            torch.set_num_threads(1)
    assert spread(*found) <= 1e-4


def test_under_checkpoint_running_statistics_move_once():
    plain, fused = pair()
    x = fused.stem(images()).detach().requires_grad_()
    checkpoint(fused.stages[0], x).square().sum().backward()
    plain.stages[0](x.detach().clone()).square().sum().backward()
    assert spread(plain.stages[0], fused.stages[0]) <= 1e-10


def graphs_of(model: nn.Module, backend: str = "aot_eager") -> tuple[nn.Module, list[list[str]]]:
    """The compiled model, without a break, and the operations of each graph that is made of it."""
    graphs: list[list[str]] = []

    def listed(graph: torch.fx.GraphModule, example: list[Tensor]) -> object:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return torch._dynamo.lookup_backend(backend)(graph, example)

    torch.compiler.reset()
    return torch.compile(model, backend=listed, fullgraph=True), graphs


def kept_bytes(model: nn.Module) -> int:
    """What a forward keeps for the backward, parameters not counted."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        model(images(torch.float32)).sum().backward()
    known = {p.data_ptr() for p in model.parameters()}
    return sum(t.nbytes for address, t in kept.items() if address not in known)


@pytest.mark.parametrize("keep", ["features", pytest.param("bottlenecks", marks=pytest.mark.slow)])
def test_torch_compile_works_around_dense_blocks(keep):
    net = dense_net(dtype=torch.float32, depth=22)
    fused = quiet(copy.deepcopy(net), keep=keep)
    model = nn.Sequential(fused.stem, fused.stages[0])
    compiled, graphs = graphs_of(copy.deepcopy(model))
    for _ in range(2):
        for one in (model, compiled):
            one.zero_grad()
            one(images(torch.float32)).square().sum().backward()
    assert spread(model, compiled._orig_mod) <= 1e-5
    assert sum("dense_block" in operation for operation in graphs[0]) == 1
    held = [kept_bytes(one) for one in (compiled, model, nn.Sequential(net.stem, net.stages[0]))]
    assert 0.8 * held[1] < held[0] < 1.3 * held[1] and held[0] < 0.7 * held[2], held
    model.eval(), compiled.eval()
    assert torch.allclose(model(images(torch.float32)), compiled(images(torch.float32)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch's own, when it loads inductor
@pytest.mark.parametrize("name", ["densenet-40-12", "densenet-bc-40-12"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_dense_nets_compile_with_every_backend(name, backend):
    model = quiet(dense_net(name, torch.float32))
    twin, graphs = graphs_of(copy.deepcopy(model), backend)
    model.stages[0][0].requires_grad_(False), twin.stages[0][0].requires_grad_(False)
    model.stages[1].eval(), twin.stages[1].eval()
    for autocast in (False, True):
        for one in (model, twin):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = one(images(torch.float32)).float().square().sum()
            one.zero_grad()
            loss.backward()
        assert spread(model, twin._orig_mod) <= (0.1 if autocast else 1e-4)
    assert [sum("dense_block" in operation for operation in graph) for graph in graphs] == [3, 3]


@pytest.mark.slow
def test_the_operator_passes_torch_s_own_checks():
    stage = quiet(dense_net(dtype=torch.float32, depth=22), keep="bottlenecks").stages[0]
    count = sum(isinstance(child, DenseBottleneckLayer) for child in stage)
    layers, tests = list(stage)[:count], ("test_schema", "test_autograd_registration", "test_faketensor")
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    for training in (True, False):
        stage.train(training)
        arguments = (x, *tensors_of(layers), stage.described(0, count, "cpu", ()), "")
        torch.library.opcheck(torch.ops.gradpath.dense_block.default, arguments, test_utils=tests)


def test_with_dropout_or_another_device_the_compiler_sees_plain_layers():
    stage = quiet(dense_net(dtype=torch.float32)).stages[0]
    assert stage.described(0, 2, "cpu", ()) and not stage.described(0, 2, "cuda", ())
    with stage.plain_view():
        assert not stage.described(0, 2, "cpu", ())
    form, buffers = block_form(list(stage)[:2]), tensors_of(list(stage)[:2])[1]
    assert plan_of(form, buffers, "torch", "lean")
    assert not plan_of([replace(form[0], rate=0.1)], buffers, "torch", "lean")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # torch's own, when it loads its jvp
def test_compiled_and_transformed_models_run_their_plain_layers():
    plain, fused = pair()
    plain.eval(), fused.eval()
    compiled = torch.compile(fused, backend="eager")
    assert torch.allclose(compiled(images()), plain(images()), rtol=1e-12)
    tangent = torch.func.jvp(fused, (images(),), (images(),))
    assert torch.allclose(tangent[1], torch.func.jvp(plain, (images(),), (images(),))[1], rtol=1e-10)


def test_functional_call_uses_the_weights_that_are_given():
    plain, fused = pair()
    weights = {name: 1.1 * p.detach() for name, p in plain.named_parameters()}
    grads = []
    for net in (plain, fused):
        given = {name: p.clone().requires_grad_() for name, p in weights.items()}
        loss = torch.func.functional_call(net, given, (images(),)).square().sum()
        grads.append(torch.autograd.grad(loss, list(given.values())))
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(*grads, strict=True))


def test_under_ddp_gradients_are_those_of_the_whole_batch(tmp_path):
    _, fused = pair()
    alone = copy.deepcopy(fused)
    alone(images()).square().sum().backward()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(fused)
        called = []
        wrapped.register_comm_hook(None, lambda _, bucket: called.append(1) or done(bucket.buffer()))
        wrapped(images()).square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert called and spread(alone, fused) <= 1e-12


def done(buffer: Tensor) -> torch.futures.Future[Tensor]:
    future: torch.futures.Future[Tensor] = torch.futures.Future()
    future.set_result(buffer)
    return future


def test_a_net_converted_to_synchronised_norms_runs_its_plain_layers():
    _, fused = pair()
    nn.SyncBatchNorm.convert_sync_batchnorm(fused)
    fused.eval()
    assert "DenseBlock" not in fused.stages[0](fused.stem(images())).grad_fn.name()
