"""The folder that a run writes to."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from pathlib import Path

from torch import nn

from gradpath.errors import UserError
from gradpath.nets import save_weights
from gradpath.record import RunRecord


def can_keep_weights() -> bool:
    """Whether the optional package that writes them is installed."""
    return importlib.util.find_spec("safetensors") is not None


def claim(folder: Path) -> Path:
    """Make sure that results can be written to a folder, before there are any. Raises UserError naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: cannot be written ({reason}): name a folder you may write to") from error


def save(net: nn.Module, folder: Path, record: RunRecord) -> str:
    name = re.sub(r"[^a-z0-9.]+", "-", record.name.lower()).strip("-") or "net"
    return save_weights(net, folder / f"{name}.safetensors", record.data).name
