"""DistributedDataParallel on two processes: hooks fire once, ranks stay in step, all is as with kept blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, batches, plain
from torch import Tensor, nn

from gradpath.memory import checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed"),
]
CALLS = {"kept": plain, "computed twice": checkpoint}


class Net(nn.Module):
    def __init__(self, call: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.chain, self.call = FAMILIES["dropout"](), call

    def forward(self, x: Tensor) -> Tensor:
        return self.chain.run(x, CALLS[self.call])


def train(rank: int, folder: str) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for call in CALLS:
        model = nn.parallel.DistributedDataParallel(Net(call))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        fired: list[str] = []
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(lambda _, f=fired, n=name: f.append(n))
        for x, y in batches():
            optimizer.zero_grad()
            F.cross_entropy(model(x + rank), y).backward()
            optimizer.step()
        assert sorted(fired) == sorted([name for name, _ in model.named_parameters()] * 3)
        torch.save(model.module.state_dict(), Path(folder, f"{call}-{rank}.pt"))
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    torch.multiprocessing.spawn(train, (str(tmp_path),), nprocs=2)
    states = {(c, r): torch.load(tmp_path / f"{c}-{r}.pt", weights_only=True) for c in CALLS for r in (0, 1)}
    for rank in (0, 1):
        kept, twice = states["kept", rank], states["computed twice", rank]
        assert all(torch.equal(value, twice[name]) for name, value in kept.items())
        assert twice["chain.blocks.0.0.norm.num_batches_tracked"] == 3
    weights = [name for name in states["kept", 0] if "norm.running" not in name]
    assert all(torch.equal(states["computed twice", 0][n], states["computed twice", 1][n]) for n in weights)
    assert not torch.equal(*(states["kept", r]["chain.blocks.0.0.norm.running_mean"] for r in (0, 1)))
