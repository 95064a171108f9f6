"""One thread for each test process: the nets here are tiny, and threads that wait for each other cost more.

Without a GPU, Triton interprets its kernels: it reads the variable when it is imported, which torch.compile does too.
"""

from __future__ import annotations

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
