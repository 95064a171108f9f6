"""How much memory a step may take: what was asked for, in bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from gradpath.errors import UserError
from gradpath.units import parse_memory

CPU_RESERVE, DEVICE_RESERVE = 0.25, 0.1
"""Parts of the free memory that 'auto' leaves alone: a C library's heap holds more than the tensors in it (up to
2.3 times was seen with glibc), a caching allocator splits its blocks."""

Asked = str | int | float


def budget_bytes(asked: Asked, keep_all_bytes: int, held_bytes: int, device: torch.device) -> int:
    """The bytes that a whole step may take.

    asked: bytes (4_000_000_000, '4GiB'), a part of what keeping everything takes ('80%'), or 'auto': the device's free
    memory less a reserve, and what of the step's own tensors is there already (`held_bytes`).
    Raises UserError for anything else.
    """
    text = str(asked).strip().lower()
    if text == "auto":
        reserve = CPU_RESERVE if device.type == "cpu" else DEVICE_RESERVE
        return held_bytes + int(free_bytes(device) * (1 - reserve))
    if (match := re.fullmatch(r"([0-9]*\.?[0-9]+)\s*%", text)) is not None:
        return _share(asked, float(match[1]), keep_all_bytes)
    return parse_memory(asked)


def _share(asked: Asked, percent: float, keep_all_bytes: int) -> int:
    if not 0 < percent <= 100:
        raise UserError(f"memory={asked!r}: a part of what keeping everything takes is above 0 and at most 100 %")
    return round(keep_all_bytes * percent / 100)


def free_bytes(device: torch.device) -> int:
    """Memory that a process can still take on a device: of the machine and of its control group on the CPU.

    Raises UserError where the system does not tell (then give bytes).
    """
    if device.type == "cpu":
        known = [size for size in (_available(), _left_in_group()) if size is not None]
        if known:
            return max(0, min(known))
    elif (backend := getattr(torch, device.type, None)) is not None and hasattr(backend, "mem_get_info"):
        free, _ = backend.mem_get_info(device)
        cached = backend.memory_reserved(device) - backend.memory_allocated(device)  # torch's own, free to be used
        return int(free + cached)
    raise UserError(f"memory='auto': this system does not tell how much is free on {device}: give it, such as 4GiB")


def _available() -> int | None:
    """Of the machine: Linux's MemAvailable, Windows' free physical memory, elsewhere all physical memory."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        if match := re.search(r"MemAvailable:\s*(\d+) kB", text):
            return int(match[1]) * 1024
    except OSError:
        pass
    if os.name == "nt":
        return _available_on_windows()
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _available_on_windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("size", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", *(f"other{i}" for i in range(5)))),
        )

    status = Status()
    status.size = ctypes.sizeof(Status)
    known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status.free) if known else None


GROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files of a control group's limit and use: version 2, version 1."""


def _left_in_group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves; None without a limit."""
    for limit, used in GROUPS:
        try:
            text = (root / limit).read_text(encoding="ascii").strip()
            if text != "max" and int(text) < 2**60:
                return int(text) - int((root / used).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None
