"""docs/article.md: every claim and figure of the article stands there, its commands run, its figures are as drawn."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest

import documents
from cli.in_process import Shell
from documents import ROOT

PAGE = ROOT / "docs/article.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = {
    name: tuple(cell.strip() for cell in cells.split(" | "))
    for name, cells in re.findall(r"^\| (C\d+|Fig\. \d+) \| (.+) \|$", TEXT, re.MULTILINE)
}
ANCHORS = {"#gate", "#plain", "#skip", "#truck", "#norm", "#nets", "#real"}
LONG = {"gradpath compare", "gradpath trace plain-56", "gradpath paths resnet-110", "gradpath paths densenet-bc-100-12"}
COMMANDS = sorted({command for command in re.findall(r"`(gradpath [^`]+)`", TEXT) if command not in LONG})


def test_every_claim_and_every_figure_stands_there():
    assert list(ROWS) == [*(f"C{i}" for i in range(1, 13)), *(f"Fig. {i}" for i in range(1, 11))]


@pytest.mark.parametrize("claim", [row for row in ROWS if row.startswith("C")])
def test_a_claim_has_figure_command_verdict_and_its_own_section(claim):
    said, explainer, command, verdict = ROWS[claim]
    assert len(said) > 30
    assert set(explainer.split(", ")) <= ANCHORS
    assert command.startswith("`gradpath ")
    name, anchor = re.fullmatch(r"\[(right|half right|wrong)\]\(#(c[\w-]+)\)", verdict).groups()
    headings = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-"): head for head in heads()}
    assert anchor in headings
    assert headings[anchor].startswith(f"{claim}:")
    assert re.search(rf"^### {re.escape(headings[anchor])}\n\n\*\*{name.capitalize()}[.*]", TEXT, re.MULTILINE)


def heads() -> list[str]:
    return re.findall(r"^### (.+)$", TEXT, re.MULTILINE)


def test_every_part_of_the_explainer_is_named():
    assert {anchor for row in ROWS if row.startswith("C") for anchor in ROWS[row][1].split(", ")} == ANCHORS


def test_every_author_named_is_among_the_sources():
    sources = TEXT[TEXT.index("## Sources") :]
    for name, year in re.findall(r"\b([A-Z][a-z]+)(?: & \w+| et al\.)? \(?(20\d\d)", TEXT[: TEXT.index("## Sources")]):
        if name != "August":
            assert re.search(rf"^- {name}\b.*\({year}\)", sources, re.MULTILINE), (name, year)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    name, *arguments = shlex.split(command)
    assert name == "gradpath"
    if ".gif" in command:
        pytest.importorskip("resvg_py")
    Shell(tmp_path, monkeypatch, capsys)(*arguments, check=0)
    if "--output" in arguments:
        assert (tmp_path / arguments[arguments.index("--output") + 1]).stat().st_size > 1000


def test_long_commands_are_those_of_other_pages():
    """They are too long for here; what they print is held by the tests of README and docs/questions."""
    others = "".join(
        path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/questions/*.md")]
    )
    assert all(f"`{command}`" in TEXT for command in LONG)
    assert all(" ".join(command.split()[:2]) in others for command in LONG)


def test_the_page_shows_what_is_printed(tmp_path):
    wrong = documents.wrong_on(TEXT, tmp_path)
    assert not wrong, "\n\n".join(wrong) + "\n\nto write what is printed: python tests/documents.py docs/article.md"


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert len(links) > 40
    slugs = {
        re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    for link in links:
        file, _, anchor = link.partition("#")
        assert (PAGE.parent / file).exists() if file else anchor in slugs, link


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("figures")


def test_figures_are_as_drawn_now(figures):
    fresh = figures.drawn()
    kept = {file.name: file.read_text(encoding="utf-8") for file in figures.FOLDER.glob("*.svg")}
    assert sorted(kept) == sorted(fresh)
    assert [name for name, svg in fresh.items() if kept[name] != svg] == [], "run python scripts/figures.py"
    assert len(fresh) == 20
    for svg in fresh.values():
        assert ElementTree.fromstring(svg.encode()).attrib["viewBox"] == "0 0 1280 720"
        assert len(svg.encode()) < 20_000


def test_each_figure_of_the_article_links_to_its_own(figures):
    for i in range(1, 11):
        link = re.search(r"\((figures/[^)]+)\)", ROWS[f"Fig. {i}"][1])[1]
        assert link.startswith(f"figures/figure-{i:02}-")
        assert f"{Path(link).stem}.zh.svg" in TEXT
