"""Photos looked at and decoded by worker processes, each with its own list of files."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError, MissingExtraError

_LAUNCH = (  # the user's folder is not searched for modules: it may hold a file called PIL.py
    "import runpy, sys; sys.path[:] = filter(None, sys.path); runpy.run_path(sys.argv[1], run_name='__main__')"
)
_SCRIPT = str(Path(__file__).with_name("_decode.py"))
_WORTH_A_WORKER = 200
"""Files: fewer take less time than a process to start."""


def need_pillow(purpose: str) -> None:
    """Raises MissingExtraError where Pillow is not installed."""
    if importlib.util.find_spec("PIL") is None:
        raise MissingExtraError("pillow", "build", purpose)


def reserve(file: Path, shape: tuple[int, ...]) -> None:
    """A .npy file of that many bytes (N C H W) for workers to decode into."""
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape).flush()


def for_each(files: Sequence[Path], target: Path | None = None) -> list[Any]:
    """Each file's answer in order: what `_decode.look` gives, or with `target` None for decoded into its row of that
    .npy file; a string says why the file cannot be read."""
    answers: list[Any] = ["was not read"] * len(files)
    count = max(min(os.cpu_count() or 1, len(files) // _WORTH_A_WORKER), 1)
    numbered = [(index, str(file)) for index, file in enumerate(files)]
    with ThreadPoolExecutor(count) as pool:  # a thread waits for its process
        for found in pool.map(lambda part: _run(part, target), [numbered[i::count] for i in range(count)]):
            for index, answer in found:
                answers[index] = answer
    return answers


def _run(part: list[tuple[int, str]], target: Path | None) -> list[tuple[int, Any]]:
    """One worker's answers. A file that kills it (out of memory, a crash of a codec) is named, the rest still read."""
    answers: list[tuple[int, Any]] = []
    while part:
        request = json.dumps({"files": part, "target": target and str(target)}).encode()
        done = subprocess.run([sys.executable, "-c", _LAUNCH, _SCRIPT], input=request, capture_output=True)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.endswith(b"]")]
        answers += lines
        part = part[len(lines) :]
        if done.returncode and not lines and b"Traceback" in done.stderr:
            raise DataError(f"{part[0][1]}: no worker could start to read it ({_last_line(done.stderr)})")
        if part:
            answers.append((part[0][0], f"reading it ended the worker (exit code {done.returncode})"))
            part = part[1:]
    return answers


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().splitlines()[-1]
