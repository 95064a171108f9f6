"""Run a function in several processes that know each other (gloo), forked from one fresh interpreter: one import.

    python ranks.py MODULE FUNCTION FOLDER [SIZE]

FUNCTION(folder) is called in each process, with torchrun's variables set. Threads forbid a fork: hence an interpreter
of its own, which has started none.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path


def run(module: str, function: str, folder: Path, size: int = 2) -> None:
    """Call `function` of a test module in `size` processes. Raises CalledProcessError, with what they printed."""
    here = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(here)])}
    command = [sys.executable, __file__, module, function, str(folder), str(size)]
    subprocess.run(command, check=True, env=environment, timeout=300)


def _ranks(size: int) -> int | None:
    """Fork; the rank of a child, None in the parent once all have ended well."""
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
            return rank
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    if any(ends):
        sys.exit(f"ended with {ends}")
    return None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    module, function, folder, size = sys.argv[1:]
    call = getattr(importlib.import_module(module), function)
    os.environ.update(WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()))
    if _ranks(int(size)) is not None:
        try:
            call(Path(folder))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
