"""bench/gpu.py without a GPU, and the step graph's way back where there is none."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from gradpath.kernels._step_graph import StepGraph
from gradpath.kernels._triton import _choose

BENCH = Path(__file__).parents[2] / "bench"
needs_triton = pytest.mark.skipif(not _choose.interpreted(), reason="no TRITON_INTERPRET=1")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("gpu")


@needs_triton
def test_a_dry_run_checks_kernels_and_says_which_is_wrong(bench, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "dry", lambda dry=bench.dry: dataclasses.replace(dry(), nets=()))
    assert bench.main(["--dry", "--output", str(tmp_path / "gpu.json")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert len(found["kernels"]) == 6 and all(row["right"] for row in found["kernels"])
    text = capsys.readouterr().out
    assert text.count("float32") == 6 and "WRONG" not in text
    found["kernels"][0]["right"] = False
    assert bench.table(found).count("WRONG") == 1


@needs_triton
@pytest.mark.slow
def test_a_dry_run_times_nets(bench, capsys):
    assert bench.main(["--dry"]) == 0
    text = capsys.readouterr().out
    assert text.count("\ntriton ") == text.count("\neager ") == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_script_says_what_to_do(bench, capsys):
    assert bench.main([]) == 2
    assert capsys.readouterr().err == "bench/gpu.py: no CUDA device: try --dry\n"


def test_steps_on_the_cpu_run_as_they_are_and_say_so_once():
    torch.manual_seed(0)
    net, images = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)

    def step(batch: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = net(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    said: list[str] = []
    graph = StepGraph(step, say=said.append)
    losses = [float(graph(images)) for _ in range(6)]
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 6
    assert said == ["CUDA graph: not used (the batch is not on a CUDA device)"]


class FakeCuda:
    """What StepGraph uses of torch.cuda: a capture runs the step on a copy of nothing, a replay counts."""

    def __init__(self, refuses: bool = False) -> None:
        self.replays, self.refuses, self.synchronize = 0, refuses, lambda: None

    CUDAGraph = property(lambda self: lambda: self)
    Stream = current_stream = lambda self: self

    def wait_stream(self, other: object) -> None:
        assert other is self

    def stream(self, stream: object) -> FakeCuda:
        return self

    def graph(self, graph: object) -> FakeCuda:
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def replay(self) -> None:
        self.replays += 1


@pytest.mark.parametrize("refuses", [False, True])
def test_the_first_steps_warm_up_the_next_is_captured_and_the_rest_replayed(monkeypatch, refuses):
    fake, steps, said = FakeCuda(refuses), [], []
    monkeypatch.setattr("gradpath.kernels._step_graph.torch.cuda", fake)
    monkeypatch.setattr(Tensor, "is_cuda", True)

    def step(batch: Tensor) -> Tensor:
        steps.append(batch)
        return batch.sum()

    graph = StepGraph(step, warm_up=2, say=said.append)
    batches = [torch.full((2,), float(i)) for i in range(6)] + [torch.ones(1)]
    for batch in batches:
        graph(batch)
    if refuses:
        assert [float(s[0]) for s in steps] == [0, 1, 2, 3, 4, 5, 1] and fake.replays == 0
        assert said == ["CUDA graph: not used (operation not permitted when stream is capturing)"]
        return
    assert fake.replays == 4 and said == []  # steps 2 to 5
    assert len(steps) == 4 and steps[3] is batches[6]  # two of warm-up, the capture, the smaller batch
    assert steps[2] is not batches[2] and float(steps[2][0]) == 5  # the static input holds the last batch replayed


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(("capability", "most_shared"), [(80, 163 << 10), (90, 227 << 10)])
def test_every_kernel_compiles_for_a_gpu(capability, most_shared, tmp_path):
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(Path(__file__).parent / "triton_compile.py"), str(capability)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kernels = [line.split() for line in done.stdout.splitlines()]
    assert len({name for name, _, _ in kernels}) == 10
    assert max(int(shared) for _, shared, _ in kernels) <= most_shared
    products = [mma for name, _, mma in kernels if name.startswith("product")]
    assert products.count("-") == 2 < len(products)  # of float32, without TF32
