"""What every benchmark shares: alternate A and B, tell the spread, keep the result beside machine and versions."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import gradpath
from gradpath.training._machine import machine

RESULTS = Path(__file__).parent / "results"


Clock = Callable[[], float]


def seconds(job: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    begin = clock()
    job()
    return clock() - begin


def ratios(a: Callable[[], Any], b: Callable[[], Any], pairs: int, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """Time of a over time of b, pair by pair, after one warm-up of each. `time.process_time` as the clock counts the
    CPU's seconds: for one thread on a machine whose cores are shared."""
    a(), b()
    times = [(seconds(a, clock), seconds(b, clock)) for _ in range(pairs)]
    found = sorted(x / y for x, y in times)
    return {
        "pairs": pairs,
        "median_ratio": round(statistics.median(found), 3),
        "lowest_ratio": round(found[0], 3),
        "highest_ratio": round(found[-1], 3),
        "ratio_of_least_times": round(min(x for x, _ in times) / min(y for _, y in times), 3),
        "least_seconds": [round(min(x for x, _ in times), 4), round(min(y for _, y in times), 4)],
    }


def spread(found: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(found), 3),
        "lowest": round(min(found), 3),
        "highest": round(max(found), 3),
    }


def high_water_bytes() -> int:
    """VmHWM of this process (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def keep(name: str, result: dict[str, Any]) -> None:
    """Print a result and write it to bench/results/NAME.json; what is not finite as null."""
    about = machine(torch.device("cpu")).to_dict() | {"gradpath": gradpath.__version__}
    RESULTS.mkdir(exist_ok=True)
    whole = finite({"benchmark": name, "machine": about, **result})
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
