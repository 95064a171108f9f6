"""What a route from a fork to its merge is: skip, gated, projection or branch. Definitions: docs/definitions.md."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from gradpath.flow._graph import Graph, Node, is_weighted, operation
from gradpath.record import EdgeKind, ForkKind, Merge

# Linear in the activation and free of parameters: what a skip may consist of.
_PASS = frozenset(
    """Add Sub Rsub Neg Cat Stack View UnsafeView ReshapeAlias AsStrided Slice Select Narrow Split SplitWithSizes Unbind
    Chunk ConstantPadNd ReflectionPad1D ReflectionPad2D ReplicationPad1D ReplicationPad2D Clone ToCopy T Transpose
    Permute Squeeze Unsqueeze Expand Repeat Flip Roll Alias AvgPool1D AvgPool2D AvgPool3D MkldnnAdaptiveAvgPool2D
    AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D Mean Sum PixelShuffle PixelUnshuffle UpsampleNearest1D
    UpsampleNearest2D UpsampleBilinear2D UpsampleLinear1D UpsampleNearest3D
    UpsampleTrilinear3D UpsampleBicubic2D Tril Triu Unfold Im2Col Col2Im Cumsum NegView
    Conj Index IndexSelect Gather CopySlices CopyBackwards
    BackwardHookFunction Movedim Contiguous""".split()
)
_NORMS = frozenset(
    """NativeBatchNorm CudnnBatchNorm MiopenBatchNorm BatchNormImpl NativeLayerNorm NativeGroupNorm FusedRmsNorm
    BatchNormWithUpdate""".split()
)
_SCALING = frozenset(("Mul", "Div", "NativeDropout"))
_OPAQUE = ("CompiledFunction", "MkldnnRnnLayer", "CudnnRnn", "Lstm", "ThnnFusedLstmCell")


def is_opaque(node: Node) -> bool:
    """A node whose inside autograd does not show."""
    return operation(node).startswith(_OPAQUE)


def classify_route(graph: Graph, nodes: Iterable[Node]) -> EdgeKind:
    """The kind of a route by the operations on it; stops reading at the first thing that makes it a branch."""
    weights, gates, norms = 0, False, False
    for node in nodes:
        name = operation(node)
        if is_weighted(node) and node in graph.parametric:
            weights += 1
        elif name in _NORMS:
            norms = True
        elif node in graph.parametric or name not in _PASS | _SCALING:
            return "branch"
        elif name in _SCALING:
            if name == "Div" and node.next_functions[1:] and node.next_functions[1][0] is not None:
                return "branch"  # a division by an activation
            gates = gates or not _is_constant_factor(node)
        if weights > 1:
            return "branch"
    if weights == 1:
        return "branch" if gates else "projection"
    return "branch" if norms else ("gated" if gates else "skip")


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


def merge_kind(node: Node) -> Merge:
    """What kind of meeting a node is."""
    name = operation(node)
    if name in ("Add", "Sub", "Addcmul"):
        return "add"
    if name in ("Cat", "Stack"):
        return "concat"
    return "multiply" if name in ("Mul", "Mm", "Bmm", "Baddbmm") else "other"


def fork_kind(merge: Merge, kinds: list[EdgeKind], holds_parameter: bool) -> ForkKind:
    """What a fork of an activation is: only residual forks count in path lengths."""
    if merge in ("add", "concat") and holds_parameter and {"skip", "projection"} & set(kinds):
        return "residual"
    return "other" if holds_parameter else "inner"


def holds_parameter(graph: Graph, nodes: Iterable[Node]) -> bool:
    """Whether a route passes an operation that a parameter enters."""
    return any(node in graph.parametric for node in nodes)
