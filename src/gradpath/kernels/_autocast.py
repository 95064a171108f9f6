"""The autocast of a forward, entered again by its backward."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class Autocast:
    """The autocast state that it finds. Its cache is off: torch before pytorch#165068 keeps in it what was cast
    without grad mode, cut off from the weight."""

    def __init__(self, device_type: str) -> None:
        self.device_type, self.enabled = device_type, torch.is_autocast_enabled(device_type)
        self.dtype = torch.get_autocast_dtype(device_type) if self.enabled else None

    def again(self) -> AbstractContextManager[object]:
        """Inside, the state that was found, whatever it is outside."""
        if not self.enabled and not torch.is_autocast_enabled(self.device_type):
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled, cache_enabled=False)
