"""What the page takes from Python is what Python says now: generated files are fresh."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("made", "file"), [("vocabulary", "src/generated/circuits.json"), ("golden", "test/golden/circuits.json")]
)
def test_the_circuits_of_the_page_are_those_of_the_package(made: str, file: str) -> None:
    fresh = json.dumps(getattr(script("write_web"), made)(), ensure_ascii=False)
    committed = json.loads((ROOT / "web" / file).read_text(encoding="utf-8"))
    assert committed == json.loads(fresh), f"{file} is stale: python scripts/write_web.py"
