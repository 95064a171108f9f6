"""Write the list of networks beside its source: python scripts/write_nets.py (a test tells when it is due)."""

from __future__ import annotations

from pathlib import Path

import gradpath.nets
from gradpath.nets._catalogue import catalogue

print(catalogue().save(Path(gradpath.nets.__file__).parent / "catalogue.json"))
