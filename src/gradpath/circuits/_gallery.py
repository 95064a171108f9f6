"""The gallery: the article's figures as circuits that run. `circuit(name)` walks one and gives the record."""

from __future__ import annotations

from collections.abc import Mapping

from gradpath.circuits._batch import NORMALISED, VANISHING
from gradpath.circuits._blocks import DENSE, GATE, PLAIN, RESIDUAL
from gradpath.circuits._chains import PLAIN_CHAIN, RESIDUAL_CHAIN, TRUCK
from gradpath.circuits._engine import Circuit, Walk, unknown
from gradpath.circuits._entry import Entry
from gradpath.circuits._words import LANGUAGES, Language
from gradpath.errors import CircuitError
from gradpath.record import CircuitRecord

GALLERY = {
    entry.name: entry
    for entry in (GATE, PLAIN, RESIDUAL, PLAIN_CHAIN, RESIDUAL_CHAIN, DENSE, VANISHING, NORMALISED, TRUCK)
}


def circuit(
    name: str, *, values: Mapping[str, float | str] | None = None, language: str = "en", **options: object
) -> CircuitRecord:
    """Walk through a circuit of the gallery, forward and backward, and record every step.

    `values` replaces inputs, weights and constants by name ({"x": 3, "w1": 0.5}; a number may come as text);
    `options` are the circuit's own (`describe(name)` lists them). Raises CircuitError for an unknown name or option,
    for a value that cannot be set, and for a gate that has no finite value or slope there.

    >>> gp.circuit("residual").findings[0]
    'What reaches x: 1 over the skip + 0.0001 through the block = 1.0001 in all.'
    """
    entry = _entry(name)
    spoken = _language(language)
    chosen = _chosen(entry, options)
    walk = Walk(entry.build(chosen), dict(values or {}), spoken)
    steps = tuple(walk.steps())
    findings = tuple(text.say(spoken, **slots) for text, slots in entry.findings(walk, chosen))
    return walk.record(entry.title.say(spoken), entry.caption.say(spoken), findings, steps)


def circuit_parts(name: str, **options: object) -> Circuit:
    """The circuit as it is built, before any walk. Raises CircuitError like `circuit`."""
    entry = _entry(name)
    return entry.build(_chosen(entry, options))


def names() -> tuple[str, ...]:
    """The names of all circuits, in the order in which they are best read."""
    return tuple(GALLERY)


def option_names(name: str) -> tuple[str, ...]:
    """The options of a circuit: what `circuit(name, …)` takes besides `values` and `language`."""
    return tuple(option.name for option in _entry(name).options)


def describe(name: str, language: str = "en") -> str:
    """One line: the title, and the options with their defaults."""
    entry = _entry(name)
    options = ", ".join(f"{option.name}={option.default}" for option in entry.options)
    title = entry.title.say(_language(language))
    return f"{title} [{options}]" if options else title


def _entry(name: str) -> Entry:
    if name not in GALLERY:
        raise CircuitError(unknown("circuit", name, GALLERY))
    return GALLERY[name]


def _language(language: str) -> Language:
    if language not in LANGUAGES:
        raise CircuitError(f"unknown language {language!r}: there are {' and '.join(LANGUAGES)}")
    return language


def _chosen(entry: Entry, options: Mapping[str, object]) -> dict[str, object]:
    known = {option.name: option for option in entry.options}
    for name in options:
        if name not in known:
            raise CircuitError(
                f"circuit {entry.name!r}: {unknown('option', name, known)}"
                if known
                else f"circuit {entry.name!r} takes no options, {name!r} was given; values are set with values={{…}}"
            )
    return {name: option.check(options.get(name, option.default)) for name, option in known.items()}
