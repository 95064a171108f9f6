"""The pages of docs/questions are true: what they show is what is printed."""

from __future__ import annotations

import importlib
import re

import pytest

import documents
from documents import ROOT, differences

PAGES = sorted((ROOT / "docs/questions").glob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
WRITTEN = [ROOT / "README.md", ROOT / "docs/gallery.md", *PAGES]


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_shows_what_is_printed(name, tmp_path):
    wrong = documents.wrong_on(TEXTS[name], tmp_path)
    assert not wrong, "\n\n".join(wrong) + f"\n\nto write what is printed: python tests/documents.py {name}"


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_has_an_example_with_its_output(name):
    assert any(shown.output.strip() for shown in documents.examples(TEXTS[name]))


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (path.parent / link).exists(), link


def test_the_gallery_is_what_its_results_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    gallery = importlib.import_module("gallery")
    kept = gallery.kept()
    assert (ROOT / "docs/gallery.md").read_text(encoding="utf-8") == gallery.page(kept)
    assert sum(found["effective_depth"] is not None for found in kept["nets"]) >= 20
    old = next(found for found in kept["nets"] if found["net"] == "resnet-20")
    new = gallery.row(next(net for net in gallery.ours() if net.name == "resnet-20"))
    for field in ("parameters", "weighted_layers", "residual_forks", "at", "findings"):
        assert new[field] == old[field]
    for field in ("effective_depth", "skip_share", "stem_over_head"):
        assert new[field]["mean"] == pytest.approx(old[field]["mean"], rel=1e-3)


def test_what_is_shown_is_compared_word_by_word_and_numbers_loosely():
    assert differences("gain 0.50, 3 layers\n", "gain  0.51,\n3 layers\n") is None
    assert differences("gain 0.50, 3 layers\n", "gain 0.60, 3 layers\n")
    assert differences("gain 0.50, 3 layers\n", "gain 0.50, 4 layers\n")
    assert differences("gain 0.50\n", "loss 0.50\n")
    assert differences("1.2e-8\n", "1.4e-8\n")
    assert differences("", "something\n")
    assert differences("something\n", "")


def test_an_elision_stands_for_any_lines_and_for_nothing_else():
    assert differences("one 1\n…\nfour 4\n", "one 1\ntwo 2\nthree 3\nfour 4\n") is None
    assert differences("one 1\n…\n", "one 1\ntwo 2\n") is None
    assert differences("one 1\n…\nfour 4\n", "one 1\ntwo 2\nfour 5\n")
    assert differences("one 1\n…\nfour 4\n", "one 1\nfour 4\nfive 5\n")
    assert differences("one\n…\ntwo\n", "zero\none\ntwo\n")
    assert differences("one\n…\ntwo\n…\nthree\n", "one\nthree\n")


def test_a_page_is_followed_in_order(tmp_path):
    page = "```python\n# train.py\nx = 2\n```\n```python\nfrom train import x\nprint(x + 1)\n```\n```\n3\n```\n"
    assert documents.wrong_on(page, tmp_path / "right") == []
    assert documents.wrong_on(page.replace("3\n", "4\n"), tmp_path / "wrong")


def test_an_exit_code_is_shown(tmp_path):
    page = "```console\n$ gradpath trace nothing.py\n…\n$ echo $?\n2\n```\n"
    assert documents.wrong_on(page, tmp_path / "right") == []
    assert documents.wrong_on(page.replace("\n2\n", "\n0\n"), tmp_path / "wrong")


def test_a_page_can_be_written_anew(tmp_path):
    page = "```python\nprint('one 1\\ntwo 2\\nthree 3\\nfour 4')\n```\n```\none 2\n…\nfour 5\n```\n"
    fresh = documents.rewritten(page, tmp_path / "before")
    assert "one 1\n…\nfour 4\n" in fresh
    assert documents.wrong_on(fresh, tmp_path / "after") == []
