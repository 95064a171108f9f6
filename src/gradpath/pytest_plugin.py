"""The pytest fixture `assert_healthy`. It imports torch when a test asks for it, not when pytest starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def assert_healthy() -> Callable[..., Any]:
    """`assert_healthy(model, batch, criterion)` fails where the gradients of one batch are not healthy."""
    from gradpath.flow import assert_healthy as check

    return check
