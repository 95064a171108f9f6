"""`watch`: where the gradient goes, live in any training loop, within a measured share of its time."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.errors import TraceError
from gradpath.flow._context import TraceContext
from gradpath.flow._forward import check_model
from gradpath.flow._names import model_name
from gradpath.flow._watch._adapters import Listener, to_tensorboard, to_wandb
from gradpath.flow._watch._budget import Budget
from gradpath.flow._watch._compiled import is_wrapped, refuse_compiled
from gradpath.flow._watch._parallel import (
    agree,
    first_device,
    is_sharded,
    notes,
    put_sharded,
    rank_and_world,
    unwrapped,
)
from gradpath.flow._watch._probes import Probes
from gradpath.flow._watch._reports import Reporter
from gradpath.flow._watch._requests import Requests
from gradpath.flow._watch._ring import Ring, spike_text
from gradpath.flow._watch._writer import Writer
from gradpath.record import Flow, WatchEvent, WatchHeader, WatchReport

_COMPILED = "compiled: two variants, with and without probes; what a sample costs is the difference between their steps"


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    folder: str | os.PathLike[str] | None = None
    max_overhead: float = 0.01
    every: int | None = None
    ring: int = 100
    spike_factor: float = 3.0
    signal: bool = False

    def __post_init__(self) -> None:
        for name, least in (("max_overhead", 0), ("spike_factor", 1), ("ring", 0), ("every", 0)):
            value = getattr(self, name)
            if value is not None and not value > least:
                raise TraceError(f"watch: {name} must be above {least}, got {value!r}")


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: Any = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    max_overhead: float = 0.01,
    every: int | None = None,
    ring: int = 100,
    spike_factor: float = 3.0,
    signal: bool = False,
) -> Watch:
    """Watch a model while it trains: call `.step(loss)` once after each optimiser step (after `scaler.update()`).

    For every module that owns parameters: RMS of its output, RMS of the gradient there, norm of its parameters'
    gradient. Hooks write them on the device; a sampled step ends with one copy to the host. Watch first, compile
    second: with `torch.compile` the hooks become part of the compiled code, which a later hook does not.

    Args:
        model: on its device already; DistributedDataParallel and `fully_shard` are understood.
        optimizer: for the learning rate in the reports.
        scaler: a `torch.amp.GradScaler`: values are divided by its scale, steps that it skipped are marked.
        folder: where `watch.jsonl`, `spike-<step>.json` and `trace-<step>.json` go (rank 0 alone writes). In it,
            touch `trace-now` to have the next step traced.
        max_overhead: bound on time inside the probes over step time; the period between samples follows from it.
        every: a fixed period in steps instead. 1 never switches the probes off (one compiled variant, not two).
        ring: reports kept in memory, and dumped at a loss spike.
        spike_factor: a loss this many times the median of the last 50 is a spike; so is one that is not finite.
        signal: let SIGUSR1 ask for a trace of the next step, too.

    Raises: TraceError where the model has no layers, or where its first compiled call has run already.
    """
    settings = Settings(folder, max_overhead, every, ring, spike_factor, signal)
    return Watch(model, optimizer, scaler, settings)


class Watch:
    """A watched model. `step` once after each optimiser step; `close`, or leave the `with` block, at the end."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        scaler: Any = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        check_model(model)
        refuse_compiled(model)
        self.settings, self.model = settings or Settings(), unwrapped(model)
        self.rank, self.world = rank_and_world()
        self.steps = 0
        """Steps so far."""
        self.listeners: list[Listener] = []
        """Called with each report, on rank 0."""
        self.traced: Flow | None = None
        """The record of the last step that was traced on request."""
        self.budget = Budget(self.settings.max_overhead, self.settings.every, clock)
        self.probes = Probes(self.model, self.budget, first_device(self.model))
        if not self.probes.layers:
            raise TraceError(f"watch: {type(self.model).__name__} has no module that owns parameters")
        self.budget.by_difference = self.probes.buffers.device.type == "cuda"
        self.header = self._header(any(map(is_wrapped, model.modules())))
        self.reporter = Reporter(self.probes, self.budget, optimizer, scaler)
        self.ring = Ring(self.header, self.settings.ring, self.settings.spike_factor)
        self._lockstep = is_sharded(self.model)
        self._clock, self._began = clock, clock()
        self._next, self._fed, self._warned = 1, 0, False
        self._tracing: TraceContext | None = None
        self._open()

    def _open(self) -> None:
        """What must be closed again."""
        folder = self.settings.folder if self.rank == 0 else None
        self._writer = None if folder is None else Writer(folder)
        self._write(self.header)
        self._requests = Requests(self._writer.folder if self._writer else None, self.settings.signal, self._clock)
        self.probes.arm()

    def _header(self, wrapped: bool) -> WatchHeader:
        device = self.probes.buffers.device
        return WatchHeader(
            model=model_name(self.model),
            layers=tuple(probe.record() for probe in self.probes.layers),
            system=f"{platform.system()} {platform.machine()}",
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            threads=torch.get_num_threads(),
            python=platform.python_version(),
            torch=torch.__version__,
            rank=self.rank,
            world_size=self.world,
            max_overhead=self.settings.max_overhead,
            every=self.settings.every,
            notes=(*notes(self.model, self.world), *((_COMPILED,) if wrapped else ())),
        )

    @property
    def reports(self) -> tuple[WatchReport, ...]:
        """The last reports, oldest first."""
        return tuple(self.ring.reports)

    @property
    def overhead(self) -> float | None:
        """Time inside the probes over step time so far, the first (compiling) samples left out."""
        return self.budget.overhead

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def step(self, loss: float | Tensor | None = None) -> None:
        """Say that one optimiser step is done. `loss`: its loss, unscaled, one number; nothing waits for it. Give it
        at every step or at none. Raises TraceError for a loss that is not one number."""
        self.budget.enter()
        known = self.reporter.note(loss)
        self.steps += 1
        sampled = self.probes.switch.on
        self._end_trace()
        if sampled:
            self._sample()
        self._take(self.reporter.arrived())
        if known is not None:
            self._feed(self.steps, known)
        if not self._lockstep and self._requests.asked():
            self.trace_next()
        self._switch()
        self.budget.leave(sampled)

    def _sample(self) -> None:
        self._take(self.reporter.arrived(wait=True))
        buffers, period = self.probes.buffers, self.budget.period()
        if self._lockstep:
            put_sharded(buffers, self.probes.parameters)
            period = agree(period, buffers.device)
        self.reporter.send(self.steps, self._clock() - self._began, period)
        self._next = self.steps + period

    def _take(self, report: WatchReport | None) -> None:
        """Act on a report that has arrived."""
        if report is None:
            return
        self.budget.by_difference |= report.compiled
        self._write(report)
        self.ring.reports.append(report)
        for listener in self.listeners if self.rank == 0 else ():
            listener(self.header, report)
        for step, loss in enumerate(report.losses, report.step - len(report.losses) + 1):
            self._feed(step, loss)
        if not (self._warned or self.probes.written):
            self._warn(report.step)

    def _feed(self, step: int, loss: float) -> None:
        """Look at each loss once, as soon as the host knows it."""
        if step <= self._fed:
            return
        self._fed = step
        spike = self.ring.loss(step, loss)
        if spike is not None:
            name = f"spike-{step}.json"
            self._save(spike, name)
            self._write(WatchEvent(step=step, what="spike", text=spike_text(spike), file=name))
            self._next = self._next if self._lockstep else self.steps + 1  # the next step is worth a sample

    def _warn(self, step: int) -> None:
        """Hooks that never fire are the trap of torch.compile: say so once."""
        self._warned = True
        text = (
            f"watch: no layer reported in step {step}: the model was not called with gradients on, ran inside a "
            "transform of torch.func, or compiled code without the hooks is in use (watch first, compile second; "
            "torch._dynamo.reset() clears it)"
        )
        self._write(WatchEvent(step=step, what="warning", text=text))
        warnings.warn(text, stacklevel=4)

    def trace_next(self) -> None:
        """Have the next step traced, as a signal or a touched file does: forks, shares, layers, without the
        effective depth, from the user's own forward and `loss.backward()`. Compiled modules run eagerly in it."""
        if self._tracing is None:
            self._tracing = TraceContext(self.model, None, False, True, scaler=self.reporter.scaler)
            self._tracing.__enter__()

    def _end_trace(self) -> None:
        tracing, self._tracing = self._tracing, None
        if tracing is None:
            return
        tracing.__exit__(TraceError, None, None)  # a step without a backward pass is told below
        self.traced = tracing.flows[-1] if tracing.flows else None
        name, text = None, "nothing was traced: no loss.backward() of this model in the step"
        if self.traced is not None:
            name, text = f"trace-{self.steps}.json", "traced: gradpath view shows it"
            self._save(self.traced, name)
        self._write(WatchEvent(step=self.steps, what="trace", text=text, file=name))

    def _switch(self) -> None:
        """Probes on or off for the next step; off while it is traced."""
        if self._tracing is None and self.steps + 1 >= self._next:
            self.probes.arm()
        elif self.probes.switch.on:
            self.probes.disarm()

    def _write(self, record: Any) -> None:
        if self._writer is not None:
            self._writer.write(record)

    def _save(self, record: Any, name: str) -> None:
        if self._writer is not None:
            record.save(self._writer.folder / name)

    def close(self) -> None:
        """Take all hooks away, report what is pending, close the file. May be called twice."""
        self.probes.close()
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            tracing.__exit__(TraceError, None, None)
        self._requests.close()
        self._take(self.reporter.arrived(wait=True))
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def to_tensorboard(self, writer: Any) -> None:
        """Send each report to a `SummaryWriter` (anything with `add_scalar(tag, value, step)`)."""
        self.listeners.append(to_tensorboard(writer))

    def to_wandb(self, log: Callable[..., Any]) -> None:
        """Send each report to `wandb.log` or `run.log` (anything called as `log(values, step=step)`)."""
        self.listeners.append(to_wandb(log))
