"""Two processes train as one does: their BatchNorm, their weights, their metrics, and a run that goes on."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import killed
import pytest
import ranks
import torch
import torch.nn.functional as F
from torch import nn

from gradpath.errors import UserError
from gradpath.nets import build, read_weights
from gradpath.record import NetSpec, Recipe, RunRecord, read
from gradpath.training import Progress, ignore, train
from gradpath.training._distributed import ALONE, Team, team_of
from gradpath.training._sync_norm import SyncNorm2d, moments, synchronise_norms

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not hasattr(os, "fork"), reason="no processes to speak with"
)
SPLIT = 3  # of 8 images: the processes' parts differ in size


def case(dtype: torch.dtype, offset: float = 0.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 4, 5, 3, generator=generator, dtype=torch.float64) * 2 + offset
    grad = torch.randn(8, 4, 5, 3, generator=generator, dtype=torch.float64)
    return x.to(dtype).to(memory_format=torch.channels_last), grad.to(dtype)


def norm_of(dtype: torch.dtype, momentum: float | None = 0.1) -> nn.BatchNorm2d:
    """Of float32 for images of bfloat16, as under autocast."""
    norm = nn.BatchNorm2d(4, momentum=momentum).to(torch.float32 if dtype == torch.bfloat16 else dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0]))
        norm.bias.copy_(torch.arange(4.0))
    return norm


def in_two_processes(folder: Path) -> None:
    """What each of them does."""
    with team_of("cpu") as (team, _):
        what_a_team_does(team)
        torch.save(normalised(team), folder / f"{team.rank}.pt")
        what_one_process_sees(team, folder)
    assert torch.distributed.is_initialized()  # torchrun's store keeps the addresses of the first group: no second one
    trained(folder)


def normalised(team: Team) -> dict[str, list[torch.Tensor]]:
    """Forward and backward on this process's part, for all cases."""
    mine = slice(0, SPLIT) if team.leads else slice(SPLIT, None)
    found = {}
    for name, (dtype, offset, momentum) in CASES.items():
        net = nn.Sequential(norm_of(dtype, momentum))
        keys = list(net.state_dict())
        assert synchronise_norms(net) == 1
        assert list(net.state_dict()) == keys
        x, grad = case(dtype, offset)
        x = x[mine].requires_grad_()
        y = net(x)
        y.backward(grad[mine])
        sums = [team.total(p.grad) for p in net.parameters()]
        found[name] = [y.detach(), x.grad, *sums, *(buffer.clone() for buffer in net.buffers())]
    with net[0].plain_view():
        alone = net(x)
    assert torch.equal(alone, F.batch_norm(x, None, None, net[0].weight, net[0].bias, training=True))
    assert torch.equal(net.eval()(x), nn.Sequential(net[0])(x))
    found["moments"] = list(moments(case(torch.float32, 1e4)[0][mine]))
    return found


def trained(folder: Path) -> None:
    """Runs of several nets, one of them stopped and gone on with. All processes return the record that is written."""
    for name in NETS:
        record = run(name, folder / "two")
        assert record == read(folder / "two" / name / "run.json")
    stopped = run("residual", folder / "again", listener=stops_in_the_first_epoch)
    assert stopped.interrupted
    assert stopped.steps == 5
    assert not run("residual", folder / "again").interrupted


def run(name: str, folder: Path, listener=ignore) -> RunRecord:
    recipe = Recipe(epochs=2, batch_size=15, augment="crop-flip", learning_rate=0.01, ema=0.9, mixup=0.2)
    how = {"execution": killed.EXECUTION, "backend": "reference", "resume": True, "device": "cpu"}
    how["sync_norm"] = name != "plain"
    return train(
        NETS[name], killed.images(folder.parent), recipe=recipe, output=folder / name, listener=listener, **how
    )


def stops_in_the_first_epoch(event: object) -> None:
    """The first process alone is told to stop (the others hear no news)."""
    if isinstance(event, Progress) and event.step == 1:
        os.kill(os.getpid(), signal.SIGINT)


class BreaksInTheSecond(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (math.nan if torch.distributed.get_rank() == 1 else 1)


def what_one_process_sees(team: Team, folder: Path) -> None:
    """The first is not the one whose loss is not finite."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), BreaksInTheSecond())
    recipe = Recipe(epochs=1, batch_size=15)
    record = train(net, killed.images(folder), recipe=recipe, execution=killed.EXECUTION, device="cpu")
    assert (record.diverged_at_step, record.diverged_in) == (1, "2 (output not finite), in process 1 of 2")
    assert team.each(team.rank) == [0, 1]


def what_a_team_does(team: Team) -> None:
    assert team.size == 2
    device = torch.device("cpu")
    assert team.any(team.leads, device)
    assert not team.any(False, device)
    assert team.first(lambda: ["made by", team.rank]) == ["made by", 0]

    def fails() -> None:
        raise UserError("said by the first")

    with pytest.raises(UserError, match="said by the first"):
        team.first(fails)
    value = torch.tensor([1.0, team.rank])
    assert team.total(value).tolist() == [2.0, 1.0]
    assert value.tolist() == [1.0, team.rank]


CASES = {
    "float64": (torch.float64, 0.0, 0.1),
    "float32": (torch.float32, 0.0, 0.1),
    "bfloat16": (torch.bfloat16, 0.0, 0.1),
    "cumulative": (torch.float64, 0.0, None),
    "far from 0": (torch.float32, 1e4, 0.1),
}
SHAPE = {"depth": 8, "width": 4, "classes": 4, "input_size": 8, "input_channels": 1}
NETS = {
    "plain": NetSpec(family="plain", norm="none", init="he", **SHAPE),
    "residual": NetSpec(family="residual", **SHAPE),
}
TOLERANCES = {"float64": 1e-12, "cumulative": 1e-12, "float32": 1e-5, "far from 0": 5e-3, "bfloat16": 2e-2}


def test_two_processes_are_one(tmp_path):
    ranks.run("test_training_distributed", "in_two_processes", tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert_normalised_as_one(first, second)
    assert_moments_to_the_last_digits(second["moments"])
    for name, tolerance in (("plain", 1e-6), ("residual", 1e-5)):
        assert_trained_as_one(tmp_path, name, tolerance)
    two, again = (read_weights(tmp_path / place / "residual/residual-8.safetensors")[0] for place in ("two", "again"))
    assert all(torch.equal(two[key], again[key]) for key in two)
    assert not (tmp_path / "again/residual/snapshots").exists()


def assert_trained_as_one(folder, name, tolerance):
    """The same run in this process alone, with the whole of each batch."""
    record, two = run(name, folder / "one"), read(folder / "two" / name / "run.json")
    assert (record.steps, record.best_epoch) == (two.steps, two.best_epoch) == (10, two.best_epoch)
    for ours, theirs in zip(two.epochs, record.epochs, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert ours.train_accuracy == theirs.train_accuracy
        assert ours.validation_accuracy == theirs.validation_accuracy
    assert two.test.right == record.test.right
    assert two.gradient.final.loss == pytest.approx(record.gradient.final.loss, rel=1e-5)
    ours, theirs = (read_weights(folder / place / name / record.weights)[0] for place in ("two", "one"))
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.allclose(ours[key].double(), theirs[key].double(), rtol=tolerance, atol=tolerance), key


def assert_normalised_as_one(first, second):
    for name, (dtype, offset, momentum) in CASES.items():
        norm = norm_of(dtype, momentum)
        x, grad = case(dtype, offset)
        x = x.to(norm.weight.dtype).requires_grad_()
        y = norm(x)
        y.backward(grad.to(y.dtype))
        expected = [y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()]
        joined = [torch.cat(parts) for parts in zip(first[name][:2], second[name][:2], strict=True)]
        for ours, theirs in zip([*joined, *first[name][2:]], expected, strict=True):
            scale = float(theirs.abs().max())
            assert torch.allclose(ours.double(), theirs.double(), rtol=0, atol=TOLERANCES[name] * scale), name
        assert all(torch.equal(a, b) for a, b in zip(first[name][2:], second[name][2:], strict=True))


def assert_moments_to_the_last_digits(ours):
    """Also where the mean is far from 0."""
    x = case(torch.float32, 1e4)[0].double()
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    assert torch.allclose(ours[0].double(), mean, rtol=1e-6)
    assert torch.allclose(ours[1].double(), variance, rtol=1e-3)  # E[x²] − E[x]² would be off by some 10


def test_alone_it_is_a_batch_norm():
    net = build("resnet-8", width=4)
    keys = list(net.state_dict())
    x = torch.randn(4, 3, 32, 32)
    torch.manual_seed(0)
    expected = net(x)
    again = build("resnet-8", width=4)
    again.load_state_dict(net.state_dict())
    again.load_state_dict({k: torch.zeros_like(v) if "running_mean" in k else v for k, v in net.state_dict().items()})
    count = synchronise_norms(again)
    assert count == sum(type(module) is SyncNorm2d for module in again.modules()) == 7
    assert list(again.state_dict()) == keys
    assert torch.equal(again(x), expected)
    assert synchronise_norms(again) == 7


def test_what_cannot_be_synchronised_is_said():
    with pytest.raises(UserError, match="no BatchNorm"):
        synchronise_norms(nn.Sequential(nn.Conv2d(3, 4, 1)))
    with pytest.raises(UserError, match="1 is a BatchNorm1d"):
        synchronise_norms(nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm1d(2)))


def test_a_process_alone_is_a_team():
    batch = torch.arange(3)
    assert ALONE.total(batch) is batch
    net = nn.Linear(2, 2)
    assert ALONE.wrapped(net, torch.device("cpu")) is net
    assert ALONE.first(lambda: 5) == 5
    assert ALONE.each("here") == ["here"]
    with team_of("cpu") as (team, device):
        assert team == ALONE
        assert device == "cpu"
