"""DistributedDataParallel on two processes: a trace is of a rank's own batch and disturbs no step; a watch says so."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.flow._watch import watch
from gradpath.record import Flow, read, read_watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed"),
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Linear(6, 12), nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12))
        self.norm, self.head = nn.BatchNorm1d(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.norm(x + self.branch(x)))


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def batch(rank: int) -> tuple[Tensor, Tensor]:
    """Each rank its own."""
    generator = torch.Generator().manual_seed(100 + rank)
    return torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)


def train(rank: int, folder: str) -> None:
    """Trace the wrapped model, then three steps under a watch, with a trace of the user's own step in between."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(net())
    (x, y), optimizer = batch(rank), torch.optim.SGD(model.parameters(), 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flow = gp.trace(model, (x, y), F.cross_entropy)
    flow.save(Path(folder, f"flow-{rank}.json"))
    untouched = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    untouched &= all(parameter.grad is None for parameter in model.parameters())
    alone = gp.trace(model, (x, y), F.cross_entropy, quick=True).model if rank == 0 else None
    inside = []
    with watch(model, optimizer, folder=f"{folder}/run", every=1) as watched:
        for step in range(3):
            optimizer.zero_grad()
            with gp.trace(model, quick=True) if step == 1 else nullcontext() as traced:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
            if traced is not None:
                inside.append((traced.flow.model, traced.flow.loss))
            optimizer.step()
            watched.step(loss)
    told = {
        "untouched": untouched,
        "inside": inside,
        "alone": alone,
        "weights": [float(parameter.detach().double().sum()) for parameter in model.parameters()],
        "notes": watched.header.notes,
        "rank": watched.header.rank,
    }
    Path(folder, f"told-{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    torch.multiprocessing.spawn(train, (str(folder),), nprocs=2)
    return folder


def test_one_rank_may_trace_alone(run):
    """The wrapper's forward would wait for the other process for ever."""
    assert told(run, 0)["alone"] == "Net"


def told(run: Path, rank: int) -> dict:
    return json.loads((run / f"told-{rank}.json").read_text())


@pytest.mark.parametrize("rank", [0, 1])
def test_a_trace_is_that_of_the_module_inside_on_the_ranks_own_batch(run, rank):
    alone = gp.trace(net(), batch(rank), F.cross_entropy)
    flow = read(run / f"flow-{rank}.json")
    assert isinstance(flow, Flow)
    assert (flow.model, [x.scope for x in flow.layers]) == ("Net", [x.scope for x in alone.layers])
    assert flow.loss == pytest.approx(alone.loss, rel=1e-6)
    for ours, theirs in zip(flow.layers, alone.layers, strict=True):
        assert ours.log10_gradient_norm == pytest.approx(theirs.log10_gradient_norm, abs=1e-5)
        assert ours.log10_parameter_gradient_norm == pytest.approx(theirs.log10_parameter_gradient_norm, abs=1e-5)
    assert flow.effective_depth == pytest.approx(alone.effective_depth, abs=1e-5)
    assert any("DistributedDataParallel" in note for note in flow.unseen.notes)


def test_the_ranks_are_left_as_found_and_stay_in_step(run):
    first, second = told(run, 0), told(run, 1)
    assert first["untouched"] and second["untouched"]
    assert first["weights"] == pytest.approx(second["weights"], rel=1e-6), "gradients were reduced in every step"
    (ours, own_loss), (theirs, other_loss) = first["inside"] + second["inside"]
    assert ours == theirs == "Net" and own_loss != other_loss, "each rank traced its own loss"


def test_the_weights_are_those_of_a_run_without_traces(run):
    """The mean of both ranks' gradients, step by step; BatchNorm normalises each rank's batch by itself."""
    ranks = [net(), net()]
    for _ in range(3):
        grads = [torch.autograd.grad(F.cross_entropy(m(batch(r)[0]), batch(r)[1]), list(m.parameters())) for r, m in
                 enumerate(ranks)]  # fmt: skip
        with torch.no_grad():
            for model in ranks:
                for parameter, *both in zip(model.parameters(), *grads, strict=True):
                    parameter -= 0.1 * sum(both) / 2
    expected = [float(parameter.detach().double().sum()) for parameter in ranks[0].parameters()]
    assert told(run, 0)["weights"] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_watch_says_that_it_is_rank_local_and_the_first_rank_alone_writes(run):
    log = read_watch(run / "run")
    assert log.header.world_size == 2 and log.header.rank == 0
    assert "rank-local" in log.header.notes[0] and "rank-local" in told(run, 1)["notes"][0]
    assert told(run, 1)["rank"] == 1
    assert [report.step for report in log.reports] == [1, 2, 3] and log.broken == 0
    alone = gp.trace(net(), batch(0), F.cross_entropy)
    by_scope = {x.scope: x for x in alone.layers}
    for layer, rms in zip(log.header.layers, log.reports[0].log10_gradient_rms, strict=True):
        assert rms == pytest.approx(by_scope[layer.scope].log10_gradient_rms, abs=1e-4)
