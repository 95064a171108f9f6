"""Write what the page takes from the circuits: gates, sentences, circuits, and walks to check its engine against.

python scripts/write_web.py            # after a change of circuits/, before `npm run build` in web/
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gradpath.circuits import GATES, Circuit, circuit, circuit_parts, names
from gradpath.circuits._gallery import GALLERY
from gradpath.circuits._gates import Gate
from gradpath.circuits._words import Text
from gradpath.report._circuit_layout import GATE_WORDS
from gradpath.report.circuit import frame_texts
from gradpath.units import circuit_number

WEB = Path(__file__).parents[1] / "web"
WALKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gate", {}), ("gate", {"gate": "max"}), ("gate", {"gate": "sigmoid", "upstream": -2.0}), ("plain", {}),
    ("residual", {}), ("plain-chain", {"blocks": 7}), ("residual-chain", {"blocks": 7, "w": 0.6}),
    ("dense", {"layers": 3}), ("dense", {"layers": 5}), ("vanishing-forward", {}), ("normalised-forward", {}),
    ("truck", {}), ("truck", {"lane": "none", "customers": 6}),
)  # fmt: skip
FILMS = ("plain", "residual", "plain-chain", "residual-chain")
"""Those that the page draws as circuits too; a dense block has a drawing of its own there."""
_NUMBER = re.compile(r"[-−.\de]+ [▸▴]|[◂▾=] ∂[-−.\de]+")
NUMBERS = (0.0, 0.1 * 0.1, 1.0001, 10.0, 1e-4, 1.23456789e-5, 99999.4, 99999.6, 123456.0, -0.1, -2.5e-8, 1e300, 5e-324,
           0.00012345678, 2 / 3, 1e5, 1e21, 12345.678)  # fmt: skip


def vocabulary() -> dict[str, Any]:
    """Gates and circuits with their sentences in both languages."""
    return {"gates": {name: _gate(gate) for name, gate in GATES.items()}, "circuits": dict(map(_circuit, names()))}


def golden() -> dict[str, Any]:
    """Walks and printed numbers that the page's engine has to repeat."""
    walks = [_walk(name, options) for name, options in WALKS]
    numbers = [[value, circuit_number(value)] for value in NUMBERS]
    return {"walks": walks, "numbers": numbers, "films": {name: _film(name) for name in FILMS}}


def _film(name: str) -> list[list[str]]:
    """The numbers that stand in each frame of the moving picture, sorted; arrows all point along the line."""
    record = circuit(name)
    frames = (frame_texts(record, k) for k in range(len(record.steps) + 1))
    return [sorted(_along(text) for text in texts if _NUMBER.fullmatch(text)) for texts in frames]


def _along(text: str) -> str:
    return text.replace("▴", "▸").replace("▾", "◂")


def _text(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"en": text.en, "zh": text.zh}


def _gate(gate: Gate) -> dict[str, Any]:
    word = {"en": gate.name, "zh": GATE_WORDS.get(gate.name, gate.name)}
    sentences = {"computes": _text(gate.computes), "sends": _text(gate.sends), "atTie": _text(gate.at_tie)}
    return {"label": gate.label, "inputs": gate.inputs, "word": word, **sentences}


def _circuit(name: str) -> tuple[str, dict[str, Any]]:
    entry = GALLERY[name]
    return name, {"title": _text(entry.title), "caption": _text(entry.caption), **_parts(circuit_parts(name))}


def _parts(built: Circuit) -> dict[str, Any]:
    parts = [
        {"name": p.name, "gate": p.gate, "inputs": p.inputs, "value": p.value, "index": p.index, "lane": p.lane,
         "column": p.column}
        for p in built.parts
    ]  # fmt: skip
    return {"output": built.output, "upstream": built.upstream, "parts": parts}


def _walk(name: str, options: dict[str, Any]) -> dict[str, Any]:
    english, chinese = (circuit(name, language=language, **options) for language in ("en", "zh"))
    plain = english.to_dict()
    kept = {key: plain[key] for key in ("nodes", "wires", "steps")}
    chinese_steps = [step.sentence for step in chinese.steps]
    return {"name": name, "options": options, **_parts(circuit_parts(name, **options)), **kept, "zh": chinese_steps}


def main() -> None:
    """Both files, in the form in which they are committed."""
    for path, content in (("src/generated/circuits.json", vocabulary()), ("test/golden/circuits.json", golden())):
        file = WEB / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
