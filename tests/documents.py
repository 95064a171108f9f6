"""Pages whose examples run: each block of Python, each `$ gradpath …`, and what they print against what is shown.

A block of language `python` runs in one namespace per page; one whose first line is a comment with a file's name,
`# train.py`, is written to that file instead. The block after it, if it has no language, is what it prints. In a block
of language `console`, lines that begin with `$ gradpath` run, in a folder that has the examples; `$ echo $?` shows the
exit code; what follows is what is printed. Words are compared exactly, numbers loosely, layout and bars not at all. A
line with `…` alone stands for anything.

    python tests/documents.py README.md docs/questions/*.md    # write what is printed now into the pages
"""

from __future__ import annotations

import contextlib
import difflib
import io
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradpath.cli import main

ROOT = Path(__file__).parents[1]
RELATIVE = 0.05
ELISION = "…"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_DRAWN = re.compile(r"\s+|[▁▂▃▄▅▆▇█▏▎▍▌▋▊▉━─]+")
_FILE = re.compile(r"# ([\w/]+\.py)\b")


@dataclass(frozen=True)
class Shown:
    """Something that runs, and what the page says that it prints."""

    code: str
    is_command: bool
    output: str


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return _BLOCK.findall(text)


def examples(text: str) -> Iterator[Shown]:
    """All that runs on a page, in order."""
    found = blocks(text)
    for (language, content), (next_language, following) in zip(found, [*found[1:], ("end", "")], strict=True):
        if language == "python":
            yield Shown(content, False, "" if next_language else following)
        elif language == "console":
            for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield Shown(command, True, output)


class Reader:
    """Someone who follows a page from top to bottom, in a folder with the examples."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.namespace, self.code = folder, {"__name__": "page"}, 0
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """In the folder, its modules importable; everything as before afterwards."""
        path, modules, before = list(sys.path), set(sys.modules), Path.cwd()
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        try:
            yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", None)).startswith(str(self.folder)):
                    del sys.modules[name]

    def printed(self, shown: Shown) -> str:
        """Run it."""
        if shown.is_command:
            return self._command(shown.code)
        if match := _FILE.match(shown.code):
            (self.folder / match[1]).write_text(shown.code, encoding="utf-8")
            return ""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(shown.code, "page", "exec"), self.namespace)
        return out.getvalue()

    def _command(self, line: str) -> str:
        if line.strip() == "echo $?":
            return f"{self.code}\n"
        name, *arguments = shlex.split(line, comments=True)
        if name != "gradpath":
            return ""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as told:
            self.code = _exit_code(arguments)
        return out.getvalue() if self.code in (0, 1) else out.getvalue() + told.getvalue()


def _exit_code(arguments: list[str]) -> int:
    arguments_before, style = sys.argv, warnings.formatwarning
    sys.argv = ["gradpath", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv, warnings.formatwarning = arguments_before, style
    return 0


def differences(shown: str, printed: str) -> str | None:
    """What is wrong with a page's output: None where it is what is printed."""
    words, numbers = _shape(printed)
    parts = [_shape(part) for part in re.split(rf"^{ELISION}$", shown, flags=re.MULTILINE)]
    cursor = 0
    for number, (part, expected) in enumerate(parts):
        last = number == len(parts) - 1
        if number and last and not part:
            return None
        begin = len(words) - len(part) if number and last else words.find(part, cursor)
        if begin < cursor or (number == 0 and begin) or words[begin : begin + len(part)] != part:
            return f"these words are not printed (there):\n{part}\nwhat is printed:\n{printed}"
        first = words[:begin].count("\0")
        wrong = _wrong_number(expected, numbers[first : first + len(expected)])
        if wrong:
            return f"{wrong}; what is printed:\n{printed}"
        cursor = begin + len(part)
    return None if cursor == len(words) else f"more is printed than shown: {words[cursor:]!r}"


def _shape(text: str) -> tuple[str, list[str]]:
    """The words without spaces and bars, a mark in place of each number; and the numbers as they stand."""
    return _DRAWN.sub("", _NUMBER.sub("\0", text)), _NUMBER.findall(text)


def _wrong_number(shown: list[str], printed: list[str]) -> str | None:
    for ours, theirs in zip(shown, printed, strict=True):
        if not math.isclose(float(ours), float(theirs), rel_tol=RELATIVE, abs_tol=_last_digit(ours)):
            return f"{ours} is shown, {theirs} is printed"
    return None


def _last_digit(number: str) -> float:
    """What its last decimal is worth: 0.01 for '8.37'; 0 for whole numbers, which may be parts of names."""
    digits, _, exponent = number.partition("e")
    decimals = len(digits.partition(".")[2])
    return 10.0 ** (int(exponent) - decimals) if exponent else (10.0**-decimals if decimals else 0.0)


def wrong_on(page: str, folder: Path) -> list[str]:
    """Follow a page; what does not print what is shown."""
    reader, wrong = Reader(folder), []
    with reader.reading():
        for shown in examples(page):
            difference = differences(shown.output, reader.printed(shown))
            if difference:
                wrong.append(f"{shown.code.splitlines()[0]}: {difference}")
    return wrong


def rewritten(page: str, folder: Path) -> str:
    """The page with what is printed now; elided parts are found again by their first and last lines."""
    reader = Reader(folder)
    with reader.reading():
        for shown in examples(page):
            printed = reader.printed(shown)
            if shown.output.strip() and differences(shown.output, printed):
                head = f"$ {shown.code}\n" if shown.is_command else f"{shown.code}```\n"
                place = page.index(shown.output, page.index(head) + len(head))
                fresh = _elided(shown.output, printed)
                page = page[:place] + fresh + page[place + len(shown.output) :]
    return page


def _elided(shown: str, printed: str) -> str:
    lines, parts = printed.splitlines(), re.split(rf"^{ELISION}\n", shown, flags=re.MULTILINE)
    fresh: list[str] = []
    begin = 0
    for number, part in enumerate(parts):
        old = part.splitlines()
        if old:
            begin = _nearest(old[0], lines, begin) if number else 0
            end = _nearest(old[-1], lines, begin) + 1 if number < len(parts) - 1 else len(lines)
            fresh += lines[begin:end]
            begin = end
        fresh += [ELISION] * (number < len(parts) - 1)
    return "\n".join(fresh) + "\n"


def _nearest(line: str, lines: list[str], begin: int) -> int:
    def likeness(place: int) -> Any:
        return difflib.SequenceMatcher(None, line, lines[place]).ratio(), -place

    return max(range(min(begin, len(lines) - 1), len(lines)), key=likeness)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        with tempfile.TemporaryDirectory() as scratch:
            before = file.read_text(encoding="utf-8")
            after = rewritten(before, Path(scratch))
        if after != before:
            file.write_text(after, encoding="utf-8")
        print(f"{name}: {'rewritten' if after != before else 'as printed'}")
