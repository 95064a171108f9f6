"""Invented records: every outcome that the rules must know, with numbers like those that were measured."""

from __future__ import annotations

import dataclasses
import math

from gradpath.record import (
    Comparison,
    DataInfo,
    Edge,
    Epoch,
    Execution,
    Flow,
    Fork,
    Gain,
    GradientHistory,
    Layer,
    Machine,
    NetSpec,
    Recipe,
    RunRecord,
    Trial,
    Unseen,
)

GUESSING = math.log(10)
DATA = DataInfo(
    name="fashion-mini",
    train_images=5000,
    test_images=1000,
    image_size=28,
    channels=1,
    classes=tuple("abcdefghij"),
    mean=(0.286,),
    std=(0.353,),
)
MACHINE = Machine(
    system="Linux",
    processor="a processor",
    cpu_features=("avx2", "avx512f"),
    threads=2,
    device="cpu",
    python="3.11.7",
    torch="2.13.0",
)
EXECUTION = Execution(precision="float32", layout="channels_last", reason="no bfloat16 units")
SIZES = {("plain", 20): 269_434, ("plain", 56): 852_730, ("residual", 56): 852_730, ("dense", 58): 110_310}


def epochs(*losses: float, accuracy: float = 0.8) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(train_loss=loss, train_accuracy=accuracy, test_accuracy=accuracy - 0.01, seconds=9.5) for loss in losses
    )


def layer(scope: str, log10_norm: float | None, resolution: str = "28x28", weighted: bool = True) -> Layer:
    return Layer(
        scope=scope,
        call=0,
        module="Conv2d" if weighted else "BatchNorm2d",
        weighted=weighted,
        shape=(64, 16, 28, 28),
        resolution=resolution,
        log10_activation_rms=-0.1,
        log10_gradient_rms=None if log10_norm is None else log10_norm - 3,
        log10_gradient_norm=log10_norm,
        log10_parameter_gradient_norm=None if log10_norm is None else log10_norm + 0.4,
        log10_parameter_norm=1.2,
    )


def fork(i: int, skip: float | None = 0.62, kind: str = "residual", cancellation: float | None = 0.12) -> Fork:
    branch = None if skip is None else 1 - skip
    return Fork(
        name=f"stages.{i}: relu",
        kind=kind,  # type: ignore[arg-type]
        merge="add" if kind == "residual" else "none",
        shape=(64, 16, 28, 28),
        cancellation=cancellation,
        log10_norm=-0.4,
        edges=(
            Edge(consumer=f"stages.{i}: add", kind="skip", share=skip, norm_mass=0.6, log10_norm=-0.5),
            Edge(
                consumer=f"stages.{i}.conv1: Convolution", kind="branch", share=branch, norm_mass=0.4, log10_norm=-0.7
            ),
        ),
    )


def flow(
    ratio: float | None = 0.8,
    *,
    depth: int = 56,
    forks: int = 0,
    effective_depth: float | None = None,
    model: str = "net",
    head: float = -1.2,
    gain: float | None = None,
) -> Flow:
    """A flow whose log10 norms run straight from the head (last layer) to the stem."""
    log_ratio = None if ratio is None else (math.log10(ratio) if ratio > 0 else -math.inf if ratio == 0 else math.nan)
    slope = log_ratio if log_ratio is not None and math.isfinite(log_ratio) else -3.0
    where = [i / (depth - 1) for i in range(depth)]
    norms: list[float | None] = [head + slope * (1 - w) + 0.15 * math.sin(20 * w) * w * (1 - w) * 4 for w in where]
    if log_ratio is not None and not math.isfinite(log_ratio):
        norms[0] = log_ratio
    sizes = ["28x28", "14x14", "7x7"]
    layers = [layer(f"layer{i}", norms[i], sizes[min(2, 3 * i // depth)]) for i in range(depth)]
    layers.insert(1, layer("norm0", norms[1], weighted=False))
    energy = gain if gain is not None else math.exp(2 * slope * math.log(10) / (depth - 1))
    return Flow(
        model=model,
        mode="train",
        dtype="float32",
        autocast=None,
        device="cpu",
        loss=GUESSING,
        at="stem.conv",
        stem_over_head=ratio,
        log10_stem_gradient_norm=norms[0],
        gain_per_layer=tuple(
            Gain(resolution=s, layers=depth // 3, energy_gain=energy * (1 + 0.02 * i), r_squared=0.98)
            for i, s in enumerate(sizes)
        ),
        skip_share=0.62 if forks else None,
        effective_depth=effective_depth,
        forks=tuple(fork(i, 0.5 + 0.4 * i / max(forks, 1)) for i in range(forks)),
        layers=tuple(layers),
        unseen=Unseen(),
    )


def net(
    family: str = "plain",
    depth: int = 56,
    *,
    norm: str = "batch",
    init: str = "he",
    name: str | None = None,
    losses: tuple[float, ...] = (0.9, 0.51),
    accuracy: float = 0.81,
    diverged: int | None = None,
    interrupted: bool = False,
    trials: int = 0,
    gradient: Flow | None = None,
    final: Flow | None = None,
    steps: int = 3120,
    data: DataInfo = DATA,
    rate: float | None = None,
    seed: int = 0,
) -> RunRecord:
    bare = ", He" if init == "he" else ", no norm"
    tail = bare if norm == "none" else ", BatchNorm" if family == "plain" else ""
    own_name = name if name is not None else f"{family} {depth}{tail}"
    dense = {"bottleneck": True, "compression": 0.5} if family == "dense" else {}
    spec = NetSpec(family=family, depth=depth, norm=norm, init=init, input_channels=1, input_size=28, **dense)  # type: ignore[arg-type]
    return RunRecord(
        name=own_name,
        family=spec.family,
        depth=depth,
        norm=spec.norm,
        parameters=SIZES.get((family, depth), 500_000),
        macs=95_000_000,
        seed=seed,
        spec=spec,
        recipe=Recipe(epochs=2, learning_rate=rate or (0.005 if trials else 0.05)),
        execution=EXECUTION,
        data=data,
        machine=MACHINE,
        epochs=() if diverged is not None else epochs(*losses, accuracy=accuracy),
        steps=steps,
        diverged_at_step=diverged,
        interrupted=interrupted,
        trials=tuple(Trial(learning_rate=10.0**-i, steps=20, loss=2.3) for i in range(trials)),
        gradient=None if gradient is None else GradientHistory(initial=gradient, final=final),
        weights=None,
    )


def norm_free(init: str = "default", ratio: float | None = 2.9e-22, **changes: object) -> RunRecord:
    own: dict[str, object] = {"losses": (2.303, 2.3027), "accuracy": 0.1, "trials": 3, "gradient": flow(ratio)}
    return net(norm="none", init=init, **(own | changes))  # type: ignore[arg-type]


def plain(depth: int = 56, loss: float = 1.87, accuracy: float = 0.3, **changes: object) -> RunRecord:
    own = {"losses": (loss + 0.4, loss), "accuracy": accuracy, "gradient": flow(3.1e3 ** (depth / 56), depth=depth)}
    return net("plain", depth, **(own | changes))  # type: ignore[arg-type]


def residual(loss: float = 0.49, **changes: object) -> RunRecord:
    own = {
        "losses": (loss + 0.5, loss),
        "accuracy": 0.82,
        "gradient": flow(4.2, forks=27, effective_depth=5.31),
        "final": flow(2.2, forks=27, effective_depth=8.1),
    }
    return net("residual", 56, **(own | changes))  # type: ignore[arg-type]


def dense(loss: float = 0.55, **changes: object) -> RunRecord:
    own = {
        "losses": (loss + 0.4, loss),
        "accuracy": 0.8,
        "gradient": flow(1.3, depth=58, forks=27, effective_depth=11.2),
    }
    return net("dense", 58, **(own | changes))  # type: ignore[arg-type]


def typical() -> tuple[RunRecord, ...]:
    """The six nets of `gradpath compare`, as they usually come out."""
    he = norm_free("he", 0.21, losses=(1.6, 0.93), accuracy=0.66)
    return norm_free(), he, plain(20, 0.51, 0.81), plain(56), residual(), dense()


def comparison(*nets: RunRecord, **changes: object) -> Comparison:
    record = Comparison(
        started="2026-01-05T10:00:00Z",
        minutes=5.0,
        estimated_seconds=290.0,
        seconds=303.0,
        interrupted=False,
        seed=0,
        data=DATA,
        machine=MACHINE,
        execution=EXECUTION,
        nets=nets or typical(),
    )
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]
