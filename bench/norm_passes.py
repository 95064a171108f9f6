"""The norm passes of residual blocks: fused C++ against plain torch, pass by pass and for a whole block.

    python bench/norm_passes.py [pairs]

Shapes: what a BatchNorm sees in pre-activation ResNet-1001 at batch 16 (32 × 32 images), in ResNet-110 at batch 128 and
        in ResNet-50 at batch 8 (224 × 224), channels-last, float32 and bfloat16 (float32 norm).
Time:   a ratio is the fused pass's CPU seconds over plain torch's, the two in turns; a turn repeats the pass until
        plain torch takes some 10 ms. One thread. Plain torch is given the kept output for its backward, the fused pass
        finds the mask by itself.
Norms:  all norm passes of one pre-activation bottleneck of ResNet-1001 in a training step on a lean tape: of each of
        its three norms the statistics, the first pass, one redo and the backward.
Block:  the same block whole, convolutions included, forward and backward on a lean tape (float32: bfloat16
        convolutions say nothing on a machine without them), and against autograd with everything kept.
Errors: against float64, relative to the largest number; of plain torch too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _common import keep, ratios, seconds
from torch import Tensor, nn

from gradpath.kernels import norm_passes
from gradpath.nets import LeanMoves, NormPasses, build, form_of

TURN_SECONDS = 0.01
Shape = tuple[int, int, int, int]  # N C H W
SHAPES: dict[str, list[Shape]] = {
    "ResNet-1001, batch 16": [
        (16, 16, 32, 32), (16, 64, 32, 32), (16, 32, 16, 16), (16, 128, 16, 16), (16, 64, 8, 8), (16, 256, 8, 8),
    ],
    "ResNet-110, batch 128": [(128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8)],
    "ResNet-50, batch 8": [
        (8, 64, 112, 112), (8, 64, 56, 56), (8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (8, 2048, 7, 7),
    ],
}  # fmt: skip
BLOCKS: list[list[Shape]] = [
    [(16, 4 * width, size, size), (16, width, size, size), (16, width, size, size)]
    for width, size in ((16, 32), (32, 16), (64, 8))
]


class Norm:
    """One norm, its input, an incoming gradient, a skip, and what the passes found."""

    def __init__(self, passes: NormPasses, shape: Shape, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.passes, self.norm = passes, nn.BatchNorm2d(shape[1])
        self.x, self.grad, self.skip = (
            torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last) for _ in range(3)
        )
        self.found = passes.stats(self.x, self.norm)
        self.y = self.act()

    def stats_and_act(self) -> Tensor:
        return self.passes.act(self.x, self.norm, self.passes.stats(self.x, self.norm))

    def act(self) -> Tensor:
        return self.passes.act(self.x, self.norm, self.found)

    def act_add(self) -> Tensor:
        return self.passes.act(self.x, self.norm, self.found, add=self.skip)

    def backward(self) -> Any:
        out = self.y if self.passes.wants_out else None
        return self.passes.act_backward(self.grad, self.x, self.norm, self.found, out=out, add=self.skip)


PASSES = {
    "statistics and act": Norm.stats_and_act,
    "act": Norm.act,
    "act with add": Norm.act_add,
    "backward with add": Norm.backward,
}


class BlockNorms:
    """The passes of a bottleneck's norms in one training step."""

    def __init__(self, passes: NormPasses, shapes: list[Shape], dtype: torch.dtype) -> None:
        self.norms = [Norm(passes, shape, dtype) for shape in shapes]

    def __call__(self) -> None:
        for norm in self.norms:
            norm.stats_and_act()
        for norm in reversed(self.norms):
            norm.act()
            norm.backward()


class Block:
    """A bottleneck of ResNet-1001, forward and backward, on a lean tape or, without passes, by autograd."""

    def __init__(self, passes: NormPasses | None, index: int, shape: Shape) -> None:
        torch.manual_seed(0)
        self.block = list(build("preresnet-1001").blocks())[index].to(memory_format=torch.channels_last)
        self.moves = None if passes is None else LeanMoves(form_of(self.block), passes)
        self.x, self.grad = (torch.randn(shape).contiguous(memory_format=torch.channels_last) for _ in range(2))

    def __call__(self) -> None:
        if self.moves is not None:
            tape = self.moves.new_tape()
            self.moves.advance(self.x, tape, "lean")
            self.moves.backward(self.grad, self.x, tape)
            return
        self.block.zero_grad()
        with torch.enable_grad():
            self.block(self.x.detach().requires_grad_()).backward(self.grad)


def blocks_compared(passes: NormPasses, reference: NormPasses, pairs: int) -> dict[str, Any]:
    """The second block of each stage."""
    found = {}
    for stage, shapes in enumerate(BLOCKS):
        fused, lean, plain = (Block(p, 111 * stage + 1, shapes[0]) for p in (passes, reference, None))
        key = f"block of ResNet-1001, float32, {'x'.join(map(str, shapes[0]))}"
        found[f"{key}: fused lean / torch lean"] = compared(fused, lean, pairs)
        found[f"{key}: fused lean / autograd"] = compared(fused, plain, pairs)
    return found


def compared(fused: Callable[[], Any], torch_: Callable[[], Any], pairs: int) -> dict[str, Any]:
    torch_()
    turns = max(1, round(TURN_SECONDS / seconds(torch_, time.process_time)))

    def turn(job: Callable[[], Any]) -> Callable[[], None]:
        def repeat() -> None:
            for _ in range(turns):
                job()

        return repeat

    found = ratios(turn(fused), turn(torch_), pairs, time.process_time)
    least = found.pop("least_seconds")
    return {"repeats": turns, **found, "least_us": [round(1e6 * s / turns, 1) for s in least]}


def error(norm: Norm) -> float:
    """Of the gradient of x (without ReLU, whose mask may differ), relative to its largest number in float64."""
    got = norm.passes.act_backward(norm.grad, norm.x, norm.norm, norm.found, relu=False)[0]
    x = norm.x.double().requires_grad_()
    with torch.enable_grad():
        y = nn.functional.batch_norm(x, None, None, training=True, eps=norm.norm.eps)
        (right,) = torch.autograd.grad(y, x, norm.grad.double())
    return float((got.double() - right).abs().max() / right.abs().max())


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    chosen, reference = norm_passes("fused"), norm_passes("reference").passes
    found: dict[str, Any] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for net, shapes in SHAPES.items():
            for shape in shapes:
                a, b = Norm(chosen.passes, shape, dtype), Norm(reference, shape, dtype)
                key = f"{net}, {str(dtype).removeprefix('torch.')}, {'x'.join(map(str, shape))}"
                found[key] = {
                    name: compared(lambda a=a, f=f: f(a), lambda b=b, f=f: f(b), pairs) for name, f in PASSES.items()
                } | {"error_against_float64": [float(f"{error(n):.1e}") for n in (a, b)]}
                print(key, *(r["median_ratio"] for r in list(found[key].values())[:-1]), file=sys.stderr, flush=True)
        for shapes in BLOCKS:
            key = (
                f"norms of a block of ResNet-1001, {str(dtype).removeprefix('torch.')}, {'x'.join(map(str, shapes[0]))}"
            )
            found[key] = compared(*(BlockNorms(p, shapes, dtype) for p in (chosen.passes, reference)), pairs)
            print(key, found[key]["median_ratio"], file=sys.stderr, flush=True)
    found |= blocks_compared(chosen.passes, reference, pairs)
    keep(
        "norm_passes",
        {
            "chosen": chosen.line,
            "threads_used": 1,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "note": "the machine was shared with other jobs: CPU seconds, and read ratios; [fused, torch] where two",
            "ratios": found,
        },
    )


if __name__ == "__main__":
    main()
