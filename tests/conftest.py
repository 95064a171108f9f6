"""One thread for each test process: the nets here are tiny, and threads that wait for each other cost more."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
