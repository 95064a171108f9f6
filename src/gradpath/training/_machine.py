"""What this machine is, and which way of computing a training step is fastest on it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.errors import UserError
from gradpath.nets import NetSpec, build, macs
from gradpath.record import Execution, Layout, Machine, Precision

PROBE_SECONDS = 3.0
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
_BF16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
_CLEARLY_FASTER = 0.8  # another precision or layout must save a fifth: less is noise, and a run with the same seed
# would be another one when the machine is busy
_ROUNDS = 3
Prepare = Callable[[nn.Module], object]


def machine(device: torch.device) -> Machine:
    """Facts about this machine, for the record."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cpu_features=tuple(sorted(cpu_features())),
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        python=platform.python_version(),
        torch=torch.__version__,
    )


def pick_device(name: str | None) -> torch.device:
    """The device asked for, else CUDA, else MPS, else the CPU. Raises UserError for one that is not there."""
    if name is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else ("mps" if mps else "cpu"))
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a meta tensor has none
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {name}: this machine has none; it has {', '.join(_devices())}") from error
    return device


def _devices() -> list[str]:
    """The names that may be given."""
    cuda = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(cuda if len(cuda) > 1 else []), *mps]


def cpu_features() -> set[str]:
    """The instruction sets that matter here, read from the system; empty where it does not tell."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return {torch.backends.cpu.get_cpu_capability().lower()} & set(_FEATURES)
    lines = (line for line in info.read_text().splitlines() if line.lower().startswith(("flags", "features")))
    return set(next(lines, "").split()) & set(_FEATURES)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware. Read from the CPU's features: trying it without can take minutes."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(cpu_features() & _BF16_FEATURES)


def memory_format(layout: Layout) -> torch.memory_format:
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


def precision_context(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Autocast for bfloat16 and float16, nothing for float32. Raises UserError for float16 elsewhere than on CUDA."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "float16":
        if device.type != "cuda":
            raise UserError(f"precision float16 is for CUDA, the device is {device.type}: use bfloat16 or float32")
        return torch.autocast(device.type, torch.float16)
    return nullcontext()


@contextmanager
def own_threads(count: int | None) -> Iterator[None]:
    """Within it the CPU computes on so many threads; None: as found. Raises UserError for fewer than one."""
    if count is not None and count < 1:
        raise UserError(f"threads of an execution must be at least 1, got {count}")
    found = torch.get_num_threads()
    try:
        if count is not None and count != found:
            torch.set_num_threads(count)
        yield
    finally:
        if torch.get_num_threads() != found:
            torch.set_num_threads(found)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Probe:
    """Measures training steps until its time is used up."""

    def __init__(self, device: torch.device, batch_size: int, limit_seconds: float = PROBE_SECONDS) -> None:
        self.device, self.batch_size = device, batch_size
        _load_optimizer()  # the first one made imports much of torch: not a cost of training
        self._end = time.perf_counter() + limit_seconds
        self._seconds_per_mac = 0.0  # of the last step measured

    def step_seconds(
        self, spec: NetSpec, precision: Precision, layout: Layout, prepare: Prepare = nn.Module.train
    ) -> float | None:
        """Seconds of one training step of a net; None when the time left is not enough to measure it.

        prepare: called with the net before its first step.
        """
        if not self._has_time(spec):
            return None
        step = _training_step(spec, self.device, self.batch_size, precision, layout, prepare)
        warm = _timed(step, self.device)
        again = _timed(step, self.device) if time.perf_counter() + warm < self._end else warm
        self._seconds_per_mac = min(warm, again) / macs(spec)
        return min(warm, again)

    def _has_time(self, spec: NetSpec) -> bool:
        """Whether a step of it is expected to end in time."""
        return time.perf_counter() + self._seconds_per_mac * macs(spec) <= self._end

    def choose(self, spec: NetSpec) -> Execution:
        """The fastest way on this machine, measured on the shallowest net of the spec's kind: the least of a few rounds
        in turns, on the CPU of its own seconds, which other processes do not make longer."""
        small = spec.with_blocks(1)
        ways: list[tuple[Precision, Layout]] = [("float32", "channels_last"), ("float32", "contiguous")]
        if has_bf16(self.device):
            ways.append(("bfloat16", "channels_last"))
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        steps = {
            way: _training_step(small, self.device, self.batch_size, *way) for way in ways if self._has_time(small)
        }
        times: dict[tuple[Precision, Layout], float] = {}
        for turn in range(1 + _ROUNDS):
            for way, step in steps.items():
                if self._has_time(small):
                    began = time.perf_counter()
                    seconds = _timed(step, self.device, clock)
                    times[way] = min(seconds, times.get(way, seconds)) if turn > 1 else seconds  # the first warms up
                    self._seconds_per_mac = (time.perf_counter() - began) / macs(small)  # of the clock on the wall
        if not times:
            return Execution(
                precision="float32", layout="channels_last", reason="not measured: the probe's time was up"
            )
        best = min(times, key=lambda way: times[way])
        if times[best] > _CLEARLY_FASTER * times.get(ways[0], float("inf")):
            best = ways[0]
        return Execution(precision=best[0], layout=best[1], reason=_reason(times, best, has_bf16(self.device)))


def _reason(times: dict[tuple[Precision, Layout], float], best: tuple[Precision, Layout], bf16: bool) -> str:
    measured = ", ".join(f"{p} {n} {1000 * t:.0f} ms" for (p, n), t in times.items())
    without = "" if bf16 else "; bfloat16 was not tried: this machine does not compute it in hardware"
    return (
        f"fastest, or within a fifth of it, of a small step each ({measured}){without}"
        if len(times) > 1
        else f"{measured}{without}"
    )


def _load_optimizer() -> None:
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)


def _training_step(
    spec: NetSpec,
    device: torch.device,
    batch_size: int,
    precision: Precision,
    layout: Layout,
    prepare: Prepare = nn.Module.train,
) -> Callable[[], None]:
    with torch.random.fork_rng(devices=[]):
        net: nn.Module = build(spec).to(device).to(memory_format=memory_format(layout))  # type: ignore[call-overload]
        images = torch.randn(batch_size, spec.input_channels, spec.input_size, spec.input_size)
        labels = torch.randint(spec.classes, (batch_size,), device=device)
    prepare(net)
    images = images.to(device).contiguous(memory_format=memory_format(layout))  # N C H W
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, nesterov=True)

    def step() -> None:
        with precision_context(precision, device):
            loss: Tensor = F.cross_entropy(net(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _timed(step: Callable[[], None], device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    begin = clock()
    step()
    synchronise(device)
    return clock() - begin
