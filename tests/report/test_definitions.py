"""The definitions of the page against the normative ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradpath.report._definitions import DEFINITIONS

NORMATIVE = (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("term", DEFINITIONS)
def test_a_term_of_the_page_is_defined(term: str) -> None:
    assert any(f"{sign}{term.lower()}" in NORMATIVE for sign in ("**", "# ", "*")), (
        f"{term} is not in docs/definitions.md"
    )


@pytest.mark.parametrize("term", DEFINITIONS)
def test_both_languages_define_it(term: str) -> None:
    assert set(DEFINITIONS[term]) == {"en", "zh"}
    assert all(DEFINITIONS[term].values())


def test_a_formula_is_the_same_in_both_languages() -> None:
    for term, texts in DEFINITIONS.items():
        for formula in ("⟨gᵢ, g⟩ / ‖g‖²", "‖gᵢ‖ / Σ‖gⱼ‖", "1 − ‖g‖ / Σ‖gᵢ‖", "‖∂loss/∂w‖ / ‖w‖", "2⁻²⁵"):
            assert (formula in texts["en"]) == (formula in texts["zh"]), term
            assert formula not in texts["en"] or formula in (
                Path(__file__).parents[2] / "docs" / "definitions.md"
            ).read_text(encoding="utf-8"), f"{term}: {formula}"
