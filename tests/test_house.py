"""The house: imports run one way, some rooms are free of torch, nothing is imported before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gradpath

SOURCE = Path(gradpath.__file__).parent
EVERYWHERE = {"errors", "units", ""}  # '' is the package itself: its version
MAY_IMPORT = {
    "_notebook": {"report"},
    "errors": set(),
    "units": set(),
    "record": {"units"},
    "circuits": {"record"},
    "flow": {"record"},
    "report": {"record"},
    "nets": {"record"},
    "kernels": {"nets", "record"},
    "memory": {"kernels", "nets", "record"},
    "training": {"memory", "kernels", "nets", "flow", "record"},
    "__main__": {"cli"},
    "pytest_plugin": {"flow"},
    "cli": {"training", "memory", "kernels", "nets", "flow", "report", "circuits", "record"},
}
WITHOUT_TORCH = ("record", "circuits", "report")


def imported(source: str) -> set[str]:
    """Modules that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {
                f"{node.module}.{alias.name}" for alias in node.names if node.module == "gradpath"
            }
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def violations(room: str, source: str) -> list[str]:
    """What a file of a room imports and must not."""
    allowed = MAY_IMPORT[room] | {room} | EVERYWHERE
    bad = []
    for name in imported(source):
        top, _, rest = name.partition(".")
        inside = rest.split(".")[0] if top == "gradpath" else None
        if inside in MAY_IMPORT and inside not in allowed:
            bad.append(f"{room} imports {name}")
        if top == "torch" and room in WITHOUT_TORCH:
            bad.append(f"{room} imports torch")
        if name.startswith("."):
            bad.append(f"{room} imports relatively: {name}")
    return bad


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_imports_run_one_way():
    files = [file for file in SOURCE.rglob("*.py") if room_of(file) != "__init__"]
    assert len(files) > 40
    assert [v for file in files for v in violations(room_of(file), file.read_text())] == []


@pytest.mark.parametrize(
    ("room", "source", "count"),
    [
        ("record", "from gradpath.flow import trace", 1),
        ("flow", "import gradpath.nets", 1),
        ("report", "def f():\n    import torch", 1),
        ("report", "from gradpath import circuits", 1),
        ("nets", "from .blocks import Block", 1),
        ("cli", "from gradpath.training import train", 0),
    ],
)
def test_the_check_above_can_fail(room, source, count):
    assert len(violations(room, source)) == count


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import gradpath",
        "import gradpath.record, gradpath.circuits, gradpath.report",
        "from click.testing import CliRunner; from gradpath.cli import cli; CliRunner().invoke(cli, ['--help'])",
    ],
)
def test_torch_is_not_imported_before_it_is_needed(code):
    loaded = loaded_after(code)
    assert "gradpath" in loaded
    assert "torch" not in loaded


def test_every_public_name_resolves_also_after_all_packages_were_imported():
    rooms = ", ".join(
        f"gradpath.{room}"
        for room in ("circuits", "cli", "flow", "kernels", "memory", "nets", "record", "report", "training")
    )
    code = (
        f"import {rooms}\nimport gradpath as gp\nassert all(callable(getattr(gp, n)) for n in gp.__all__), gp.__all__"
    )
    assert "gradpath.training" in loaded_after(code)
    assert {"trace", "circuit", "compare", "render", "read", "build", "load_weights", "train"} <= set(gradpath.__all__)
    assert {"checkpoint", "plan", "apply_plan", "fuse"} <= set(gradpath.__all__)


def test_an_unknown_public_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"it has: .*trace"):
        _ = gradpath.tracee
