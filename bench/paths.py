"""What `gp.paths` costs: ResNet-110 (54 branches) against one plain backward pass over the same graph.

    python bench/paths.py [--pairs 5] [--steps 300] [--batch 32] [--net resnet-110] [--data FILE]

At initialisation and after some steps of training. The plain pass goes from the loss to the tensor at which the paths
are taken; parameters are not asked for. `passes` counts all that is done on the graph, `call` the whole of `gp.paths`
with its own forward pass. A ratio is one of CPU seconds, on one thread: the machine may be shared. Aims for `passes`:
at most 15 with tolerance 1e-4 after 300 steps, at a relative error of at most 1e-4; at most 28 with nothing left out;
at most 3.2 for the mean alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from _common import keep, ratios
from _trained import Trainee
from torch import Tensor, nn

import gradpath as gp
from gradpath.flow._forward import Forward, forward_pass
from gradpath.flow._paths._marks import BlockCalls
from gradpath.flow._paths._path_lengths import _Answer
from gradpath.flow._paths._question import Question
from gradpath.record import PathLengths

ASKED = {
    "exact, tolerance 1e-4": {"method": "exact", "tolerance": 1e-4},
    "exact, tolerance 1e-6": {"method": "exact", "tolerance": 1e-6},
    "exact, nothing left out": {"method": "exact", "tolerance": 0.0},
    "mean": {"method": "mean", "tolerance": 0.0},
}
MIB = 2**20


@contextmanager
def retained_graph(net: nn.Module, batch: Any) -> Iterator[tuple[Forward, int]]:
    """A forward pass whose graph stays, with the bytes that the graph holds (weights are counted once)."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        forward_pass(net, batch, F.cross_entropy) as forward,
    ):
        yield forward, sum(storages.values())


def passes(forward: Forward, batch: Any, options: dict[str, Any]) -> Callable[[], PathLengths]:
    question = Question("branches", options["method"], options["tolerance"], False, (), 1, 0)
    return lambda: _Answer(forward, question, batch, BlockCalls(()), []).record()


def row(net: nn.Module, batch: Any, options: dict[str, Any], pairs: int) -> dict[str, Any]:
    with retained_graph(net, batch) as (forward, graph_bytes):

        def plain() -> None:
            torch.autograd.grad(forward.loss, [forward.at], retain_graph=True)

        def call() -> PathLengths:
            return gp.paths(net, batch, F.cross_entropy, **options)

        ask = passes(forward, batch, options)
        record = ask()
        result = {
            "passes": ratios(ask, plain, pairs, time.process_time),
            "call": ratios(
                lambda: gp.paths(net, batch, F.cross_entropy, **options), plain, max(1, pairs // 2), time.process_time
            ),
        }
    return result | {
        "relative_error": record.relative_error,
        "mean_length": record.mean_length,
        "lengths": len(record.lengths),
        "parts_left_out": record.dropped,
        "held_mib": round(record.held_bytes / MIB, 1),
        "graph_mib": round(graph_bytes / MIB, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--net", default="resnet-110")
    parser.add_argument("--data")
    given = parser.parse_args()
    threads = torch.get_num_threads()
    trainee = Trainee(given.net, given.data)
    batch = trainee.batch(given.batch)
    result: dict[str, Any] = {
        "net": given.net,
        "batch": given.batch,
        "data": trainee.images.info.name,
        "threads_used": 1,
    }
    for steps in dict.fromkeys((0, given.steps)):
        torch.set_num_threads(threads)
        trainee.train_until(steps)
        torch.set_num_threads(1)
        rows = {name: row(trainee.net, batch, options, given.pairs) for name, options in ASKED.items()}
        result[f"after {steps} steps"] = {"train_loss": trainee.loss if steps else None, **rows}
    keep("paths", result)


if __name__ == "__main__":
    main()
