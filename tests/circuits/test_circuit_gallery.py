from __future__ import annotations

import math
from itertools import combinations

import pytest
from circuit_oracle import assert_agrees, random_leaves
from hypothesis import given, settings
from hypothesis import strategies as st

from gradpath.circuits import circuit, describe, names, option_names
from gradpath.circuits._gallery import GALLERY
from gradpath.circuits._words import LANGUAGES, show
from gradpath.errors import CircuitError
from gradpath.record import CircuitRecord, read

VARIANTS = [
    *((name, {}) for name in names()),
    ("plain-chain", {"blocks": 1}),
    ("residual-chain", {"blocks": 1}),
    ("residual-chain", {"blocks": 7, "w": 0.9}),
    ("dense", {"layers": 1}),
    ("dense", {"layers": 6}),
    ("vanishing-forward", {"steps": 1}),
    ("normalised-forward", {"steps": 4}),
    ("truck", {"lane": "none"}),
    ("truck", {"customers": 1}),
]


def built(name: str, options: dict[str, object]):
    entry = GALLERY[name]
    return entry.build({option.name: options.get(option.name, option.default) for option in entry.options})


def gradients(record: CircuitRecord) -> dict[str, str]:
    return {node.name: show(node.gradient) for node in record.nodes}


def values(record: CircuitRecord) -> dict[str, str]:
    return {node.name: show(node.value) for node in record.nodes}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_agrees_with_autograd(name, options, seed):
    one = built(name, options)
    assert_agrees(one, {} if seed == 0 else random_leaves(one, seed))


@given(st.dictionaries(st.sampled_from(["x", "w1", "w2", "w3", "w4"]), st.floats(-50, 50)))
@settings(max_examples=60, deadline=None)
def test_residual_agrees_with_autograd_at_any_value(changed):
    assert_agrees(built("residual", {}), changed)


def test_plain_block_is_the_articles():
    record = circuit("plain")
    chain = ["x", "z1", "z2", "z3", "z4"]
    assert [values(record)[name] for name in chain] == ["10", "1", "0.1", "0.01", "0.001"]
    assert [gradients(record)[name] for name in reversed(chain)] == ["1", "0.1", "0.01", "0.001", "0.0001"]
    assert [gradients(record)[f"w{i}"] for i in (1, 2, 3, 4)] == ["0.01"] * 4
    assert "(0.01)" in record.findings[2]


def test_residual_block_is_the_articles():
    record = circuit("residual")
    edges = {wire.target: show(wire.gradient) for wire in record.wires if wire.source == "x"}
    assert edges == {"h": "1", "z1": "0.0001"}
    assert gradients(record)["x"] == "1.0001"
    assert values(record)["h"] == "10.001"
    assert [gradients(record)[f"w{i}"] for i in (1, 2, 3, 4)] == ["0.01"] * 4
    assert record.findings[0] == "What reaches x: 1 over the skip + 0.0001 through the block = 1.0001 in all."
    assert "[1, 0.0001, 0.01]" in record.findings[-1]
    assert "0.01 is dL/dw1" in record.findings[-1]
    assert "[1, 0.0001, 0.01]" in circuit("residual", language="zh").findings[-1]


def test_skip_changes_nothing_inside_the_block():
    changed = {"x": 2.0, "w1": 0.5, "w3": -3.0}
    plain, residual = (gradients(circuit(name, values=changed)) for name in ("plain", "residual"))
    assert all(residual[name] == plain[name] for name in ("w1", "w2", "w3", "w4", "z1", "z2", "z3", "z4"))
    assert residual["x"] != plain["x"]


def test_chains_are_a_product_and_a_sum_over_paths():
    factors = [0.3, -0.5, 2.0, 0.1]
    changed = {f"F{i}": factor for i, factor in enumerate(factors, 1)}
    plain = circuit("plain-chain", blocks=4, values=changed)
    residual = circuit("residual-chain", blocks=4, values=changed)
    sums = [sum(math.prod(chosen) for chosen in combinations(factors, k)) for k in range(5)]
    assert next(n.gradient for n in plain.nodes if n.name == "x") == pytest.approx(sums[4], rel=1e-12)
    assert next(n.gradient for n in residual.nodes if n.name == "x") == pytest.approx(sum(sums), rel=1e-12)
    for k in range(3):
        paths = math.comb(4, k)
        assert residual.findings[k + 1].startswith(f"{paths} path{'s' if paths > 1 else ''} through {k} of 4 blocks: ")
        assert residual.findings[k + 1].endswith(f": {show(sums[k])} in all.")
    assert "2^4 = 16 paths" in residual.findings[0]


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_dense_block_has_all_connections_to_later_layers(layers):
    record = circuit("dense", layers=layers)
    layer_of = {"x": 0} | {f"{kind}{i}": i for i in range(1, layers + 1) for kind in "hs"}
    links = {
        (layer_of[wire.source], layer_of[wire.target])
        for wire in record.wires
        if wire.source in layer_of and layer_of[wire.source] < layer_of[wire.target]
    }
    assert links == {(i, j) for j in range(1, layers + 1) for i in range(j)}
    assert f"makes {layers * (layers + 1) // 2} connection" in record.findings[-2]
    assert f"to x: {2 ** (layers - 1)} path" in record.findings[-1]


def test_normalisation_keeps_signal_and_weight_gradients():
    def size(record: CircuitRecord, *stems: str) -> float:
        return max(abs(n.gradient if n.gate == "weight" else n.value) for n in record.nodes if n.name.startswith(stems))

    vanishing, normalised = circuit("vanishing-forward"), circuit("normalised-forward")
    assert size(vanishing, "a3", "b3") < 0.05 < 0.9 < size(normalised, "a3", "b3")
    for step in ("w1", "w2", "w3"):
        assert size(vanishing, step) < 0.01 < 0.5 < size(normalised, step)
        assert all(abs(n.gradient) > 0.1 for n in normalised.nodes if n.name.startswith(step))


def test_caption_is_right_about_a_chain_of_one_unit():
    """One unit wide, the gradient of the weight is 0 but for ε; that is why the gallery's circuit has two."""
    from gradpath.circuits._engine import Circuit, Walk
    from gradpath.circuits._entry import gate, leaf

    samples = range(4)
    parts = [leaf("w", "weight", 0.8, 0)]
    parts += [leaf(f"x{s}", "input", value, 0) for s, value in enumerate((0.5, 1.0, -1.5, 2.0))]
    parts += [gate(f"z{s}", "multiply", f"x{s}", "w", column=1) for s in samples]
    parts += [gate(f"r{s}", "relu", f"z{s}", column=2) for s in samples]
    relus = [f"r{s}" for s in samples]
    parts += [gate(f"n{s}", "normalise", *relus, column=3, index=s) for s in samples]
    parts += [gate(f"q{s}", "square" if s else "copy", f"n{s}", column=4) for s in samples]
    parts.append(gate("L", "add", *(f"q{s}" for s in samples), column=5))
    walk = Walk(Circuit("one", tuple(parts), "L"))
    list(walk.steps())
    assert abs(walk.gradients["w"]) < 1e-3 < 0.1 < abs(walk.gradients["n0"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_record_comes_back_from_its_file(name, options, language, tmp_path):
    record = circuit(name, language=language, **options)
    assert read(record.save(tmp_path / "circuit.json")) == record
    assert record.language == language
    assert record.title
    assert record.findings
    assert not any("{" in text for text in (record.title, record.caption, *record.findings))


def test_languages_tell_the_same_numbers():
    english, chinese = circuit("dense"), circuit("dense", language="zh")
    assert [(s.node, s.value, s.sent) for s in english.steps] == [(s.node, s.value, s.sent) for s in chinese.steps]
    assert len(english.findings) == len(chinese.findings)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("plane", {}, "unknown circuit 'plane': did you mean 'plain'"),
        ("nope", {}, "unknown circuit 'nope'; there are: gate, plain, "),
        ("plain-chain", {"blocks": 0}, "blocks takes a whole number from 1 to 10000; it was 0"),
        ("plain-chain", {"blocks": 2.5}, "it was 2.5"),
        ("plain-chain", {"blocks": "2.5"}, "it was '2.5'"),
        ("plain-chain", {"blocks": True}, "it was True"),
        ("plain-chain", {"w": math.nan}, "the option w takes a number; it was nan"),
        ("plain-chain", {"block": 3}, "unknown option 'block': did you mean 'blocks'"),
        ("plain", {"blocks": 3}, "takes no options"),
        ("gate", {"gate": "maximum"}, "one of: add, subtract"),
        ("truck", {"lane": "fast"}, "one of: express, none; it was 'fast'"),
        ("plain", {"language": "de"}, "unknown language 'de'"),
        ("plain-chain", {"w": 1e100}, "must be a finite number|no finite value"),
    ],
)
def test_what_is_refused(name, options, says):
    with pytest.raises(CircuitError) as caught:
        circuit(name, **options)
    assert any(part in str(caught.value) for part in says.split("|"))
    assert "\n" not in str(caught.value)


def test_numbers_may_come_as_text():
    assert circuit("dense", layers="4", values={"x": "3"}) == circuit("dense", layers=4, values={"x": 3})


def test_listing():
    assert {"gate", "plain", "residual", "plain-chain", "residual-chain", "dense", "truck"} <= set(names())
    assert describe("dense") == "The dense block: every layer is fed by all before it [layers=3]"
    assert option_names("residual-chain") == ("blocks", "w")
    assert option_names("plain") == ()
