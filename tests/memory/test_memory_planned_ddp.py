"""A planned model under DistributedDataParallel on two processes: hooks fire once, ranks stay in step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from families import batches
from plans import grid, plan_of
from torch import nn

import gradpath as gp
from gradpath.memory._blocks._chain import find_chain
from gradpath.memory._running._planned import apply_plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed"),
]
WAYS = ("plain", "none in twos", "raw", "plain, unused", "lean, unused")


class Extra(nn.Module):
    """A net with a parameter that no forward uses, in a planned block and outside."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.spare = net, nn.Linear(2, 2)
        net.stages[1][1].shortcut.spare = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def model_of(way: str, x: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = gp.build("resnet-20", width=4, input_channels=2, input_size=8, classes=4)
    kind, _, unused = way.partition(", ")
    if unused:
        model = Extra(model)
    if kind == "plain":
        return model
    names = find_chain(model, lambda m: m(x)).names
    return apply_plan(model, plan_of(names, grid(len(names))[kind]))


def train(rank: int, folder: str) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for way in WAYS:
        model = nn.parallel.DistributedDataParallel(
            model_of(way, next(batches(1))[0]), find_unused_parameters="unused" in way
        )
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        fired: list[str] = []
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(lambda _, f=fired, n=name: f.append(n))
        for x, y in batches():
            optimizer.zero_grad()
            F.cross_entropy(model(x + rank), y).backward()
            optimizer.step()
        used = [name for name, _ in model.named_parameters() if "spare" not in name]
        assert sorted(name for name in fired if "spare" not in name) == sorted(used * 3)
        torch.save(model.module.state_dict(), Path(folder, f"{way}-{rank}.pt"))
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    torch.multiprocessing.spawn(train, (str(tmp_path),), nprocs=2)
    states = {(w, r): torch.load(tmp_path / f"{w}-{r}.pt", weights_only=True) for w in WAYS for r in (0, 1)}
    for way in WAYS:
        expected = states[("plain, unused" if "unused" in way else "plain"), 0]
        ours = states[way, 0]
        weights = [name for name in ours if "running" not in name]
        assert all(torch.equal(ours[name], states[way, 1][name]) for name in weights)
        assert all(torch.allclose(value, ours[name], 1e-4, 1e-5) for name, value in expected.items())
        assert next(value for name, value in ours.items() if "num_batches_tracked" in name) == 3
