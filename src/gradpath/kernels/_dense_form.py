"""Which modules are layers of a dense block: proved from exact types and settings, never guessed from names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gradpath.kernels._fused_module import Fusion
from gradpath.nets import DenseBottleneckLayer, DenseLayer

LIBRARY_LAYERS = {
    ("torchvision.models.densenet", "_DenseBlock"): ("torchvision.models.densenet", "_DenseLayer"),
    ("timm.models.densenet", "DenseBlock"): ("timm.models.densenet", "DenseLayer"),
}
"""Dense blocks of other libraries, by where they are defined (they are not imported), and the layers in them."""
_TIMM_NORM = "timm.layers.norm_act", "BatchNormAct2d"
_CALLS = "forward", "_compiled_call_impl"  # patched, compiled, or (the latter) called by a plan
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class DenseLayerForm:
    """H of a dense layer [x, H(x)]: norm, ReLU, 3×3; or norm, ReLU, 1×1, norm, ReLU, 3×3; then dropout."""

    norm1: nn.BatchNorm2d
    conv1: nn.Conv2d
    norm2: nn.BatchNorm2d | None
    conv2: nn.Conv2d | None
    layer: nn.Module
    rate: float = 0.0
    """Probability of dropping a new feature in training mode."""

    @property
    def drop_rate(self) -> float:
        """The same for a forward now: 0 in eval mode."""
        return self.rate if self.rate and self.layer.training else 0.0

    @property
    def channels_in(self) -> int:
        return self.norm1.num_features

    @property
    def growth(self) -> int:
        """New channels."""
        return self.last.out_channels

    @property
    def last(self) -> nn.Conv2d:
        """The 3×3 convolution."""
        return self.conv1 if self.conv2 is None else self.conv2

    @property
    def norms(self) -> tuple[nn.BatchNorm2d, ...]:
        return (self.norm1,) if self.norm2 is None else (self.norm1, self.norm2)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Weight and bias of a norm, weight of the convolution after it; once or twice."""
        found = (self.norm1.weight, self.norm1.bias, self.conv1.weight)
        if self.norm2 is None or self.conv2 is None:
            return found
        return (*found, self.norm2.weight, self.norm2.bias, self.conv2.weight)


def is_our_layer(module: nn.Module) -> bool:
    """Whether this is one of our dense layers, which return all channels, not a subclass."""
    return type(module) in (DenseLayer, DenseBottleneckLayer)


def library_layers(module: nn.Module) -> list[nn.Module]:
    """The layers of torchvision's or timm's dense block, by exact types; none where it is something else."""
    fusion = module.__dict__.get("fusion")
    kind = fusion.original if isinstance(fusion, Fusion) else type(module)
    layer = LIBRARY_LAYERS.get(class_name(kind))
    children = list(module.children())
    return children if layer is not None and all(class_name(type(child)) == layer for child in children) else []


def layer_form(module: nn.Module) -> DenseLayerForm | str:
    """What a dense layer computes, or in a few words why that is not known."""
    children: dict[str, nn.Module | None] = module._modules
    if has_hooks(module):
        return "has hooks"
    if any(vars(part).get(call) is not None for part in module.modules() for call in _CALLS):
        return "is called in another way than by its own forward"
    if isinstance(module, DenseLayer) and not module.as_published:
        return "has another nonlinearity than ReLU, dropout, or its new channels first"
    bottleneck = type(module) is not DenseLayer
    reason = _unknown_norm(children.get("norm1")) or _unknown_conv(children.get("conv1"), 1 if bottleneck else 3)
    if not reason and bottleneck:
        reason = _unknown_norm(children.get("norm2")) or _unknown_conv(children.get("conv2"), 3)
    reason = reason or _unknown_activation(children)
    rate = 0.0 if is_our_layer(module) else float(module.drop_rate)  # type: ignore[arg-type]
    if reason or not 0 <= rate < 1:
        return reason or f"has a dropout rate of {rate}"
    return DenseLayerForm(
        norm1=children["norm1"],  # type: ignore[arg-type]
        conv1=children["conv1"],  # type: ignore[arg-type]
        norm2=children["norm2"] if bottleneck else None,  # type: ignore[arg-type]
        conv2=children["conv2"] if bottleneck else None,  # type: ignore[arg-type]
        layer=module,
        rate=rate,
    )


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody listens to this module or to one inside it: a fused block would not call them."""
    for part in module.modules():
        attributes = part.__dict__
        if any(attributes[hooks] for hooks in _HOOKS):
            return True
    return False


def block_form(modules: Sequence[nn.Module]) -> tuple[DenseLayerForm, ...] | str:
    """The layers of one dense block, each reading all that the ones before it wrote; or why they are none."""
    forms: list[DenseLayerForm] = []
    for index, module in enumerate(modules):
        form = layer_form(module)
        if isinstance(form, str):
            return f"layer {index} {form}"
        if forms and form.channels_in != forms[-1].channels_in + forms[-1].growth:
            return f"layer {index} takes {form.channels_in} channels, not those of the layers before it"
        if _broken(form):
            return f"layer {index} has sizes that do not fit"
        forms.append(form)
    norms = [norm for form in forms for norm in form.norms]
    if len(set(norms)) < len(norms):  # its running statistics move one after the other
        return "has a norm that is used twice"
    return tuple(forms) if forms else "has no dense layers"


def _broken(form: DenseLayerForm) -> bool:
    conv1, conv2, norm2 = form.conv1, form.conv2, form.norm2
    if conv1.in_channels != form.channels_in:
        return True
    return conv2 is not None and norm2 is not None and not conv1.out_channels == norm2.num_features == conv2.in_channels


def _unknown_norm(norm: nn.Module | None) -> str:
    if norm is None or (type(norm) is not nn.BatchNorm2d and class_name(type(norm)) != _TIMM_NORM):
        return f"normalises by {type(norm).__name__}, not by BatchNorm2d"
    if norm.weight is None or norm.bias is None:
        return "has a norm without weight and bias"
    if type(norm) is nn.BatchNorm2d:
        return ""
    drop, act = norm._modules.get("drop"), norm._modules.get("act")
    return "" if type(drop) is nn.Identity and type(act) is nn.ReLU else "has a norm with another activation than ReLU"


def _unknown_conv(conv: nn.Module | None, size: int) -> str:
    if type(conv) is not nn.Conv2d:
        return f"has a {type(conv).__name__} for a convolution"
    settings = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    if settings != ((size, size), (1, 1), (size // 2, size // 2), (1, 1), 1, "zeros"):
        return f"has another convolution than a plain {size}×{size}"
    return "has a convolution with a bias" if conv.bias is not None else ""


def _unknown_activation(children: dict[str, nn.Module | None]) -> str:
    """torchvision keeps its ReLUs as modules; the others have none of their own, and no other children."""
    for name, child in children.items():
        if name in ("relu1", "relu2"):
            if type(child) is not nn.ReLU:
                return f"has a {type(child).__name__} for a ReLU"
        elif name not in ("norm1", "conv1", "norm2", "conv2"):
            return f"has a part that is not known: {name}"
    return ""


def class_name(kind: type) -> tuple[str, str]:
    """Where a class is defined, and its name."""
    return kind.__module__, kind.__qualname__
