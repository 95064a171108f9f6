"""What a route from a fork to its merge is: skip, gated, projection or branch. Definitions: docs/definitions.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from gradpath.flow._graph import Graph, Node, is_custom, is_weighted, operation
from gradpath.flow._operations import Operation, said
from gradpath.flow._writes import is_write, write_kind
from gradpath.record import EdgeKind, ForkKind, Merge

# Linear in the activation and free of parameters: what a skip may consist of.
PASS_THROUGH = frozenset(
    """Add Sub Rsub Neg Cat Stack View UnsafeView ReshapeAlias AsStrided Slice Select Narrow Split SplitWithSizes Unbind
    UnsafeSplit UnsafeSplitWithSizes Chunk ConstantPadNd ReflectionPad1D ReflectionPad2D ReflectionPad3D
    ReplicationPad1D ReplicationPad2D ReplicationPad3D Clone ToCopy T Transpose Permute Squeeze Unsqueeze Expand Repeat
    RepeatInterleave Flip Roll Rot90 Diagonal Alias Detach Lift Identity AvgPool1D AvgPool2D AvgPool3D
    MkldnnAdaptiveAvgPool2D AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D Mean Sum PixelShuffle PixelUnshuffle
    NativeChannelShuffle ChannelShuffle UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D UpsampleNearestExact1D
    UpsampleNearestExact2D UpsampleNearestExact3D UpsampleLinear1D UpsampleBilinear2D UpsampleBilinear2DAa
    UpsampleTrilinear3D UpsampleBicubic2D UpsampleBicubic2DAa Tril Triu Unfold Im2Col Col2Im Cumsum NegView
    Conj ViewAsReal ViewAsComplex Index IndexSelect Gather CopyBackwards Copy BackwardHookFunction
    RegisterPostBackwardFunction Movedim Contiguous""".split()
)
_NORMS = frozenset(
    """NativeBatchNorm CudnnBatchNorm MiopenBatchNorm BatchNormImpl NativeLayerNorm NativeGroupNorm FusedRmsNorm
    BatchNormWithUpdate SyncBatchNorm""".split()
)
_SCALING = frozenset(("Mul", "Div", "NativeDropout", "MaskedFill", "Where", "IndexPut"))
_OPAQUE = tuple(
    """CompiledFunction MkldnnRnnLayer CudnnRnn MiopenRnn Lstm ThnnFusedLstmCell
    GeneratedBackwardFor""".split()  # the last: an operation registered by `torch.library`
)


def is_opaque(node: Node, graph: Graph | None = None) -> bool:
    """A node whose inside autograd does not show: a fused recurrence, a compiled region, a user's own Function; unless
    it is said what it is."""
    if said(node, graph.operations if graph else {}, operation(node)) is not None:
        return False
    return is_custom(node) or operation(node).startswith(_OPAQUE)


@dataclass
class Passed:
    """What a route has passed so far."""

    weights: int = 0
    """Convolutions and linear layers."""
    norms: bool = False
    factors: bool = False
    """Learned factors, or learned summands without a layer: affine, but no layer."""
    gates: bool = False
    """Factors that are data."""

    def add(self, graph: Graph, node: Node) -> bool:
        """Take a node in; False where it makes the route a branch."""
        told = graph.said(node)
        if told is not None:
            return self._add_said(told)
        name = operation(node)
        if is_custom(node):
            return False
        if is_weighted(node) and node in graph.parametric:
            self.weights += 1
        elif name in _NORMS:
            self.norms = True
        elif is_write(node):
            return write_kind(graph, node) != "other" and node not in graph.parametric
        elif name == "Div" and _divides_by(graph, node):
            return False
        elif node in graph.parametric:
            self.factors = self.factors or name not in ("Add", "Sub") or not self.weights
            return name in _AFFINE
        elif name in _SCALING:
            self.gates = self.gates or not _is_constant_factor(node)
        elif name not in PASS_THROUGH:
            return False
        return self.weights < 2

    def _add_said(self, told: Operation) -> bool:
        """Take in an operation by what is said of it."""
        self.weights += told == "layer"
        self.norms = self.norms or told == "norm"
        self.gates = self.gates or told == "gated"
        return told != "branch" and self.weights < 2

    @property
    def kind(self) -> RouteKind:
        if self.weights or self.norms or self.factors:
            if self.gates:
                return "branch"
            if self.weights and not self.factors:
                return "projection"
            return "normed" if self.weights or self.norms else "scaled"
        return "gated" if self.gates else "skip"


RouteKind: TypeAlias = EdgeKind | Literal["scaled", "normed"]
"""scaled: a learned factor or summand and no layer. normed: a norm without a layer, or a layer with such a factor."""
_AFFINE = frozenset(("Add", "Sub", "Mul", "Div", "Cat", "Stack"))


def classify_routes(graph: Graph, routes: Iterable[Iterable[Node]], merge: Merge) -> list[EdgeKind]:
    """The kinds of a fork's routes, each without its merge.

    Scaled routes are projections where the fork has no skip, normed ones where it has no scaled one either: then they
    are its shortest way. Else they are branches. A skip that meets its gate at the merge is gated.
    """
    found = [classify_route(graph, route) for route in routes]
    shortest = next((kind for kind in ("skip", "scaled", "normed") if kind in found), None)
    resolved: dict[RouteKind, EdgeKind] = {"scaled": "branch", "normed": "branch"}
    if shortest in resolved:
        resolved[shortest] = "projection"
    if merge == "multiply":
        resolved["skip"] = "gated"
    return [resolved.get(kind, kind) for kind in found]  # type: ignore[arg-type]


def classify_route(graph: Graph, nodes: Iterable[Node]) -> RouteKind:
    """The kind of a route by the operations on it; stops reading at the first thing that makes it a branch."""
    passed = Passed()
    return passed.kind if all(passed.add(graph, node) for node in nodes) else "branch"


def _divides_by(graph: Graph, node: Node) -> bool:
    """Whether the denominator is an activation."""
    denominators = node.next_functions[1:]
    return bool(denominators) and denominators[0][0] in graph.activations


def _is_constant_factor(node: Node) -> bool:
    """x · λ or x / λ with one number λ that needs no gradient."""
    if operation(node) not in ("Mul", "Div") or sum(source is not None for source, _ in node.next_functions) != 1:
        return False
    slot = next(i for i, (source, _) in enumerate(node.next_functions) if source is not None)
    try:
        factor = getattr(node, "_saved_other" if slot == 0 else "_saved_self", None)
    except RuntimeError:  # the factor was overwritten since: it cannot be told from data
        return False
    return not isinstance(factor, Tensor) or factor.numel() == 1


_MERGES: dict[Operation, Merge] = {"add": "add", "concat": "concat", "gated": "multiply"}


def merge_kind(graph: Graph, node: Node) -> Merge:
    """What kind of meeting a node is."""
    told = graph.said(node)
    if told is not None:
        return _MERGES.get(told, "other")
    if is_custom(node):
        return "other"
    if is_write(node):
        write = write_kind(graph, node)
        return write if write in ("add", "concat") else "other"
    name = operation(node)
    if name in ("Add", "Sub", "Rsub", "Addcmul", "Lerp"):
        return "add"
    if name in ("Cat", "Stack"):
        return "concat"
    return "multiply" if name in ("Mul", "Mm", "Bmm", "Baddbmm") else "other"


def adds_features(graph: Graph, node: Node) -> bool:
    """Whether a merge is one that a skip may end in: an add, or a concatenation of features. The outputs of a
    recurrent net that are stacked, or concatenated along the first dimension, stay apart: they are samples."""
    merge = merge_kind(graph, node)
    if merge == "concat" and not is_write(node) and graph.said(node) is None:
        return operation(node) == "Cat" and getattr(node, "_saved_dim", 1) != 0
    return merge in ("add", "concat")


def fork_kind(graph: Graph, meeting: Node, kinds: list[EdgeKind], holds_parameter: bool) -> ForkKind:
    """What a fork of an activation is: only residual forks count in path lengths."""
    if holds_parameter and {"skip", "projection"} & set(kinds) and adds_features(graph, meeting):
        return "residual"
    if "gated" in kinds and merge_kind(graph, meeting) == "multiply":
        return "inner"
    return "other" if holds_parameter else "inner"


def holds_parameter(graph: Graph, nodes: Iterable[Node]) -> bool:
    """Whether a route passes an operation that a parameter enters."""
    return any(node in graph.parametric for node in nodes)
