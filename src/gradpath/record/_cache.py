"""Where files that can be made again are kept between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(what: str) -> Path:
    """gradpath's folder for `what` in the user's cache folder. Raises RuntimeError where there is not even a home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gradpath" / what
