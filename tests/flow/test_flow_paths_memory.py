"""What exact paths hold beside the graph: bytes counted, not resident memory; and the line where it would not fit."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow import paths
from gradpath.flow._forward import forward_pass
from gradpath.flow._paths import _memory
from gradpath.flow._paths._marks import Reach, branch_exits, find_branches, layer_marks, made_by
from problems import PROBLEMS, ResidualMLP

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ones(1, requires_grad=True).exp().grad_fn, "_input_metadata"),
    reason="torch 2.4 has no exact paths",
)
WIDTH, TOKENS, BLOCKS, IMAGES = 32, 16, 40, 4


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.stem, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)
        self.body = nn.TransformerEncoder(layer, BLOCKS, enable_nested_tensor=False)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean(1))


def transformer():
    torch.manual_seed(0)
    return Transformer(), (torch.randn(IMAGES, TOKENS, WIDTH), torch.randint(10, (IMAGES,)))


def resnet():
    torch.manual_seed(0)
    return gp.build("resnet-110"), (torch.randn(2, 3, 32, 32), torch.randint(10, (2,)))


def retained_bytes(model, batch):
    """What autograd keeps for the backward pass, parameters and buffers left out, each piece of memory once."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(model(batch[0]), batch[1])
    del loss
    return sum(kept.values())


@pytest.mark.parametrize("make", [transformer, resnet])
@pytest.mark.parametrize("asked", [{}, {"unit": "layers"}, {"by_depth": True}], ids=["branches", "layers", "by depth"])
def test_exact_paths_stay_within_three_times_the_graph(make, asked):
    model, batch = make()
    graph = retained_bytes(model, batch)
    found = paths(model, batch, F.cross_entropy, tolerance=1e-3, **asked)
    assert len(found.lengths) > 5
    assert 0 < found.held_bytes <= 2 * graph


def test_two_gradients_are_held_for_each_branch():
    """40 blocks with two branches each. Nothing is left out: near the middle lengths, all of them hold something."""
    found = paths(*transformer(), F.cross_entropy, tolerance=0.0)
    gradient = IMAGES * TOKENS * WIDTH * 4
    assert found.branches == 2 * BLOCKS
    assert 1.5 * BLOCKS * gradient < found.held_bytes <= 2 * found.branches * gradient


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_held_is_no_more_than_what_is_expected(name):
    with forward_pass(*PROBLEMS[name].build()) as forward:
        reach = Reach(forward.graph, forward.at)
        ways = {"branches": branch_exits(find_branches(forward, reach)), "layers": layer_marks(reach)}
        marked = {unit: {made_by(use) for use in uses} for unit, uses in ways.items()}
    for unit, made in marked.items():
        found = paths(*PROBLEMS[name].build(), unit=unit, tolerance=0.0)
        assert found.held_bytes <= _memory.most_held_bytes(made)
        assert (found.held_bytes > 0) == bool(made) or found.lengths == (0,)


def test_where_it_would_not_fit_one_line_says_which_batch_does(monkeypatch):
    torch.manual_seed(0)
    model, batch = ResidualMLP(10, 8), (torch.randn(64, 5), torch.randint(4, (64,)))
    whole = 2 * 10 * 64 * 8 * 4  # two gradients for each of ten branches
    monkeypatch.setattr(_memory, "free_bytes", lambda device: whole)
    paths(model, batch, F.cross_entropy)
    monkeypatch.setattr(_memory, "free_bytes", lambda device: whole * 3 // 8)
    message = (
        r"would hold 40 KiB of gradients .* 15 KiB are free: give a batch of 24 \(this one: 64\), or method='mean'"
    )
    with pytest.raises(TraceError, match=message) as error:
        paths(model, batch, F.cross_entropy)
    assert "\n" not in str(error.value)
    paths(model, (batch[0][:24], batch[1][:24]), F.cross_entropy)
    paths(model, batch, F.cross_entropy, method="mean")
    with pytest.raises(TraceError, match="give a batch of 24 "):
        paths(model, {"x": batch[0], "y": batch[1]}, step=lambda m, b: F.cross_entropy(m(b["x"]), b["y"]))
    with pytest.raises(TraceError, match="give a smaller input"):
        paths(model, None, step=lambda m, _: F.cross_entropy(m(batch[0]), batch[1]))


def test_free_memory_is_what_linux_and_the_container_leave(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    assert _memory.free_bytes(cpu) is None  # neither is known: nothing is checked
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:    3000 kB\n")
    assert _memory.free_bytes(cpu) == 3000 * 1024
    for name, text in [
        ("memory.max", "2048000"),
        ("memory.current", "1024000"),
        ("memory.stat", "inactive_file 24000"),
    ]:
        (tmp_path / name).write_text(text + "\n")
    assert _memory.free_bytes(cpu) == 1024000 + 24000
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.free_bytes(cpu) == 3000 * 1024
    assert _memory.free_bytes(torch.device("meta")) is None


def test_the_bytes_of_a_gradient_are_those_of_its_tensor():
    weight = torch.ones(3, 5, dtype=torch.float64, requires_grad=True)
    first, second = (weight.half() * 2).split([2, 1])
    for tensor, expected in [(first, 2 * 5 * 2), (second, 5 * 2), (weight * 1, 15 * 8)]:
        edge = torch.autograd.graph.get_gradient_edge(tensor)
        assert _memory.bytes_of((edge.node, edge.output_nr)) == expected
    edge = torch.autograd.graph.get_gradient_edge(weight)
    assert _memory.bytes_of((edge.node, edge.output_nr)) == math.prod(weight.shape) * 8


def test_on_a_gpu_it_is_what_the_driver_and_torchs_cache_have_left(monkeypatch):
    found = {"mem_get_info": (5000, 9000), "memory_reserved": 700, "memory_allocated": 300}
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert _memory.free_bytes(torch.device("cuda", 0)) == 5000 + 700 - 300
