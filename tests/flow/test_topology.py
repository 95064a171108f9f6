"""The model's graph in the record: against autograd's own graph walked anew, on models with known structure."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import gradpath as gp
import problems
from gradpath.errors import RecordError
from gradpath.flow import _flow_record
from gradpath.flow._forward import forward_pass
from gradpath.flow._layers import tensors
from gradpath.flow._topology import record_graph
from gradpath.record import Flow, Graph


def traced(model: nn.Module, *inputs: Tensor) -> Flow:
    torch.manual_seed(0)
    return gp.trace(model, inputs, step=lambda model, inputs: model(*inputs).square().mean(), quick=True)


def graph_of(model: nn.Module, *inputs: Tensor) -> Graph:
    found = traced(model, *inputs).graph
    assert found is not None
    return found


def names(graph: Graph) -> list[str]:
    """'scope#call: operation' of each node."""
    calls = graph.calls
    return [
        (f"{calls.name[scope]}#{calls.call[scope]}: " if scope >= 0 else "") + graph.operations[operation]
        for operation, scope in zip(graph.nodes.operation, graph.nodes.scope, strict=True)
    ]


def edges(graph: Graph) -> set[tuple[str, str]]:
    named = names(graph)
    return {(named[a], named[b]) for a, b in zip(graph.edges.source, graph.edges.target, strict=True)}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.inner(x))


class Net(nn.Module):
    """A stem, one block called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Linear(3, 4), Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.block(self.stem(x)))


def test_operations_run_in_modules_and_repeated_calls_are_told_apart():
    graph = graph_of(Net(), torch.randn(2, 3))
    assert names(graph) == [
        "stem#0: Addmm",
        "block.inner#0: Addmm", "block#0: Tanh", "block#0: Add",
        "block.inner#1: Addmm", "block#1: Tanh", "block#1: Add",
        "Pow", "Mean",
    ]  # fmt: skip
    calls = graph.calls
    assert list(zip(calls.name, calls.call, calls.module, calls.parent, strict=True)) == [
        ("", 0, "Net", -1),
        ("stem", 0, "Linear", 0),
        ("block", 0, "Block", 0),
        ("block.inner", 0, "Linear", 2),
        ("block", 1, "Block", 0),
        ("block.inner", 1, "Linear", 4),
    ]
    assert graph.shapes[graph.nodes.shape[0]] == (2, 4)


def test_edges_say_what_their_fork_says():
    flow = traced(Net(), torch.randn(2, 3))
    graph = flow.graph
    named = names(graph)
    of_forks = [
        (named[s], named[t], flow.forks[f].name, flow.forks[f].edges[e].consumer, flow.forks[f].edges[e].kind)
        for s, t, f, e in zip(*vars(graph.edges).values(), strict=True)
        if f >= 0
    ]
    assert of_forks == [
        ("stem#0: Addmm", "block.inner#0: Addmm", "stem: Addmm", "block.inner: Addmm", "branch"),
        ("stem#0: Addmm", "block#0: Add", "stem: Addmm", "block: Add", "skip"),
        ("block#0: Add", "block.inner#1: Addmm", "block: Add", "block.inner: Addmm", "branch"),
        ("block#0: Add", "block#1: Add", "block: Add", "block: Add", "skip"),
    ]
    assert len(graph.edges.source) == 10


def test_nodes_know_their_layers_calls_too():
    flow = traced(Net(), torch.randn(2, 3))
    layers = [(flow.layers[i].scope, flow.layers[i].call) if i >= 0 else None for i in flow.graph.nodes.layer]
    assert layers == [("stem", 0), ("block.inner", 0), None, None, ("block.inner", 1), None, None, None, None]


def test_what_calls_layers_is_no_layer_of_its_operations():
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.inner = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.inner(x + self.token))

    flow = traced(Token(), torch.randn(2, 4))
    assert {layer.scope for layer in flow.layers} == {"", "inner"}
    named = dict(zip(names(flow.graph), flow.graph.nodes.layer, strict=True))
    assert named["#0: Add"] == named["#0: Tanh"] == -1
    assert flow.layers[named["inner#0: Addmm"]].scope == "inner"


def test_an_input_that_needs_a_gradient_is_the_first_node():
    x = torch.randn(2, 3, requires_grad=True)
    graph = graph_of(Net(), x)
    assert names(graph)[:2] == ["Input", "stem#0: Addmm"]
    assert ("Input", "stem#0: Addmm") in edges(graph)


def test_a_tensor_used_twice_by_one_operation_has_two_edges():
    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            return y * y

    graph = graph_of(Square(), torch.randn(2, 3))
    assert [(s, t, e) for s, t, _, e in zip(*vars(graph.edges).values(), strict=True)][:2] == [(0, 1, 0), (0, 1, 1)]


def test_opaque_nodes_are_marked():
    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return -grad

    class Reversing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return Reverse.apply(self.stem(x))

    graph = graph_of(Reversing(), torch.randn(2, 3))
    assert [names(graph)[i] for i in graph.opaque] == ["#0: Reverse"]


def walked(loss: Tensor, inputs: list[Tensor]) -> tuple[int, int]:
    """Nodes and edges between these inputs and the loss, by a walk of its own."""
    order, stack, seen = [], [(loss.grad_fn, False)], set()
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((source, False) for source, _ in node.next_functions if source is not None)
    data = {node for node in order if any(getattr(node, "variable", None) is x for x in inputs)}
    for node in order:
        if any(source in data for source, _ in node.next_functions):
            data.add(node)
    return len(data), sum(source in data for node in data for source, _ in node.next_functions)


KNOWN = problems.PROBLEMS | {k: v for k, v in problems.ARCHITECTURES.items() if not k.startswith("lstm")}
"""LSTMs multiply a first state of zeros, too: activations that no data leads to."""


@pytest.mark.parametrize("name", KNOWN)
def test_it_is_all_that_a_walk_finds_between_the_data_and_the_loss(name):
    model, batch, criterion = KNOWN[name].build()
    inputs = [x for x in tensors(batch) if x.is_floating_point()]
    for x in inputs:
        x.requires_grad_()
    with forward_pass(model, batch, criterion) as forward:
        graph = record_graph(forward)
        assert (len(graph), len(graph.edges.source)) == walked(forward.loss, inputs)


def test_the_order_is_that_of_execution_or_at_least_the_graphs():
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            first, second, third = self.a(x), self.b(x), self.c(x)
            return third + second + first

    assert names(graph_of(Parallel(), torch.randn(2, 3)))[:3] == ["a#0: Addmm", "b#0: Addmm", "c#0: Addmm"]


def test_what_was_made_on_another_thread_stands_in_an_order_of_the_graph():
    class Threaded(nn.Module):
        """Numbers of nodes begin anew on each thread: later operations have smaller ones."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner = nn.Linear(3, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y, found = self.stem(x), []
            thread = threading.Thread(target=lambda: found.append(self.inner(y)))
            thread.start()
            thread.join()
            return found[0]

    graph = graph_of(Threaded(), torch.randn(2, 3))  # a Graph refuses edges that lead back
    assert [graph.operations[i] for i in graph.nodes.operation] == ["Addmm", "Addmm", "Pow", "Mean"]


def test_calls_are_counted_anew_for_every_step_of_a_users_own_loop():
    model = Net()
    with gp.trace(model, quick=True) as traced:
        for _ in range(2):
            with torch.no_grad():
                model(torch.randn(2, 3))  # a validation is no part of it
            model(torch.randn(2, 3)).square().mean().backward()
    first, second = (flow.graph for flow in traced.flows)
    assert first == second
    assert second.calls.call == (0, 0, 0, 0, 1, 1)
    assert second.nodes.layer[1] != second.nodes.layer[4] >= 0


def test_above_the_cap_there_is_no_graph_but_a_note(monkeypatch):
    monkeypatch.setattr(_flow_record, "record_graph", lambda forward: record_graph(forward, most=8))
    flow = traced(Net(), torch.randn(2, 3))
    assert flow.graph is None
    assert flow.unseen.notes == ("the graph has 9 operations, more than 8: it is not kept in the record",)


@pytest.mark.slow
def test_a_net_of_ten_thousand_layers_is_traced_without_its_graph():
    model = nn.Sequential(*(module for _ in range(10_001) for module in (nn.Linear(2, 2, bias=False), nn.Tanh())))
    flow = traced(model, torch.randn(1, 2))
    assert flow.graph is None
    assert "it is not kept in the record" in flow.unseen.notes[-1]
    assert len(flow.layers) == 10_001


def test_it_comes_back_from_its_file_and_old_files_have_none(tmp_path):
    flow = traced(Net(), torch.randn(2, 3))
    assert gp.read(flow.save(tmp_path / "flow.json")) == flow
    old = json.loads((tmp_path / "flow.json").read_text())
    del old["graph"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert gp.read(tmp_path / "old.json") == replace(flow, graph=None)


@pytest.mark.parametrize(
    ("table", "column", "entry", "message"),
    [
        ("nodes", "operation", 99, "nodes.operation names what it does not hold"),
        ("nodes", "scope", -2, "nodes.scope names what it does not hold"),
        ("edges", "source", 8, "an edge leads to an earlier node, or to its own"),
        ("edges", "target", 9, "edges.target names what it does not hold"),
        ("calls", "parent", 5, "a module call lies in a later one"),
        ("calls", "name", None, "the columns of its calls differ in length"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(tmp_path, table, column, entry, message):
    file = traced(Net(), torch.randn(2, 3)).save(tmp_path / "flow.json")
    data = json.loads(file.read_text())
    entries = data["graph"][table][column]
    entries[:1] = [] if entry is None else [entry]
    file.write_text(json.dumps(data))
    with pytest.raises(RecordError, match=rf"flow\.json\.graph: graph: {message}"):
        gp.read(file)


def test_three_thousand_operations_make_a_small_file():
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2 * (i % 24 + 1), 2) for i in range(720))

        def forward(self, x: Tensor) -> Tensor:
            for start in range(0, 720, 24):
                features = [x]
                for layer in self.layers[start : start + 24]:
                    features.append(torch.tanh(layer(torch.cat(features, 1)).square()))
                x = features[-1]
            return x

    graph = graph_of(Dense(), torch.randn(1, 2, requires_grad=True))
    assert len(graph) > 2_800
    assert len(graph.edges.source) > 10_000
    assert len(json.dumps(graph.to_dict(), indent=1)) < 1e6
