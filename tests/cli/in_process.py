"""The command line run in this process: its exit code, what it printed, what it told."""

from __future__ import annotations

import sys
import warnings
from typing import NamedTuple

import pytest

from gradpath.cli import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """A folder to be in, and commands run there."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def __call__(self, *arguments, check=None) -> Done:
        with self.monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["gradpath", *map(str, arguments)])
            patch.setattr(warnings, "formatwarning", warnings.formatwarning)
            patch.setenv("GOMP_SPINCOUNT", "20000")
            self.capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        if check is not None:
            assert ended.value.code == check, err
        return Done(int(ended.value.code or 0), out, err)

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")
