from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
from circuit_oracle import assert_agrees

from gradpath.circuits import circuit, names
from gradpath.circuits._engine import Circuit, Part, Walk
from gradpath.errors import CircuitError


def test_same_node_twice_is_two_wires():
    square = Circuit("square", (Part("x", "input", value=3.0), Part("y", "multiply", ("x", "x"))), "y")
    walk = Walk(square)
    assert len(list(walk.steps())) == 2
    assert walk.edges("x") == {("y", 0): 3.0, ("y", 1): 3.0}
    assert walk.gradients["x"] == 6.0
    assert_agrees(square, {"x": 3.0})


@pytest.mark.parametrize("name", names())
def test_edges_sum_to_nodes(name):
    record = circuit(name)
    for node in record.nodes:
        parts = [wire.gradient for wire in record.wires if wire.source == node.name]
        seed = [next(s.value for s in record.steps if s.direction == "backward")] if node.name == record.output else []
        assert node.gradient == math.fsum(parts + seed), node.name


def test_every_wire_is_upstream_times_local():
    record = circuit("dense", layers=4)
    gradients = {node.name: node.gradient for node in record.nodes}
    for wire in record.wires:
        assert wire.gradient == gradients[wire.target] * wire.local


def test_steps_come_one_at_a_time_and_forward_first():
    walk = Walk(Circuit("c", (Part("x", "input", value=2.0), Part("a", "exp", ("x",)), Part("b", "log", ("a",))), "b"))
    steps = walk.steps()
    assert next(steps).node == "a"
    assert "b" not in walk.values
    rest = [(step.direction, step.node) for step in steps]
    assert rest == [("forward", "b"), ("backward", "b"), ("backward", "a")]


def test_chain_of_100_000_gates():
    parts = [Part("n0", "input", value=0.5)]
    parts += [Part(f"n{i}", "tanh" if i % 2 else "copy", (f"n{i - 1}",)) for i in range(1, 100_001)]
    began = time.monotonic()
    walk = Walk(Circuit("long", tuple(parts), "n100000"))
    assert sum(1 for _ in walk.steps()) == 200_000
    assert time.monotonic() - began < 60  # a few seconds; the bound is for a machine under load
    assert 0 < walk.gradients["n0"] < 1e-3


def test_what_leads_nowhere_gets_zero():
    parts = (Part("x", "input", value=2.0), Part("a", "exp", ("x",)), Part("b", "copy", ("x",)))
    walk = Walk(Circuit("c", parts, "b"))
    list(walk.steps())
    assert (walk.gradients["a"], walk.gradients["x"]) == (0.0, 1.0)


def test_output_that_is_used_again_keeps_its_upstream():
    parts = (Part("x", "input", value=2.0), Part("a", "square", ("x",)), Part("b", "exp", ("a",)))
    assert_agrees(Circuit("c", parts, "a", upstream=3.0), {"x": 2.0})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"w5": 1.0}, "did you mean 'w"),
        ({"nonsense": 1.0}, "unknown value 'nonsense'; there are: x, w1, w2, w3, w4"),
        ({"z1": 1.0}, "'z1' is computed, by the gate multiply; you can set x, w1"),
        ({"x": math.inf}, "x must be a finite number, not inf"),
        ({"x": "abc"}, "x must be a finite number, not 'abc'"),
        ({"x": None}, "x must be a finite number, not None"),
    ],
)
def test_values_that_cannot_be_set(values, says):
    with pytest.raises(CircuitError) as caught:
        circuit("plain", values=values)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_lists_of_names_are_shortened():
    with pytest.raises(CircuitError, match=r"… \(989 more\)"):
        circuit("plain-chain", blocks=1000, values={"nonsense": 1})


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((Part("x", "input"), Part("x", "input")), "two parts are called 'x'"),
        ((Part("a", "multply", ("a",)),), "did you mean 'multiply'"),
        ((Part("a", "exp", ("b",)), Part("b", "input")), "its input 'b' does not come before it"),
        ((Part("x", "input"), Part("a", "exp", ("x", "x"))), "takes 1 input, not 2"),
        ((Part("a", "add"),), "takes at least 1 input, not 0"),
        ((Part("x", "input"), Part("a", "dot", ("x",))), "as many weights as values"),
        ((Part("x", "input"), Part("a", "concat", ("x",), index=1)), "no component 1 of 1"),
        ((Part("x", "input"),), "its output 'out' is not among its parts"),
    ],
)
def test_circuits_that_cannot_be(parts, says):
    with pytest.raises(CircuitError) as caught:
        Circuit("c", parts, "out")
    assert says in str(caught.value)


def test_gradients_that_overflow_are_refused():
    parts = (Part("x", "input", value=1e-200), Part("w", "weight", value=1e200), Part("y", "multiply", ("x", "w")))
    with pytest.raises(CircuitError, match="no finite gradient at x = 1e-200, w = 1e200"):
        list(Walk(Circuit("c", parts, "y", upstream=1e200)).steps())
    fork = (*parts[:2], Part("y", "multiply", ("x", "w")), Part("z", "add", ("y", "y")))
    with pytest.raises(CircuitError, match="no finite sum"):
        list(Walk(Circuit("c", fork, "z", upstream=1.5e308)).steps())


@pytest.mark.parametrize("layers", [3, 8])
def test_terms_that_cancel_leave_0(layers):
    record = circuit("dense", layers=layers, values={"w1": -1})
    assert next(node.gradient for node in record.nodes if node.name == "x") == 0.0
    thirds = (Part("x", "input", value=0.1), Part("y", "input", value=0.2), Part("z", "input", value=-0.3))
    walk = Walk(Circuit("c", (*thirds, Part("s", "add", ("x", "y", "z"))), "s"))
    list(walk.steps())
    assert walk.values["s"] == 0.0


@pytest.mark.parametrize("small", [1e-12, 1e-300])
def test_a_small_sum_of_small_terms_is_kept(small):
    parts = (Part("x", "input", value=small), Part("y", "input", value=small / 2), Part("s", "add", ("x", "y")))
    walk = Walk(Circuit("c", parts, "s"))
    list(walk.steps())
    assert walk.values["s"] == 1.5 * small


def test_no_torch():
    code = "import sys, gradpath.circuits as c, gradpath.report.circuit as r; r.circuit_text(c.circuit('plain')); "
    code += "r.circuit_svg(c.circuit('dense')); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
