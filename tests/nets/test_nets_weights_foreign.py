"""Weights of other libraries: their names and their code's answers, frozen; written and read again; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import arithmetic_weights as arithmetic
import pytest
import torch
from foreign_nets import NETS, STAGES, TINY_DENSE, TINY_RESNEXT, Foreign
from torch import Tensor, nn

from gradpath.errors import WeightsError
from gradpath.nets import Library, Network, build, build_from, load_body, load_weights, read_weights, save_weights
from gradpath.nets._foreign import NAMINGS, foreign_state, tensor_names

FROZEN = json.loads(Path(__file__).with_name("foreign_logits.json").read_text(encoding="utf-8"))["nets"]
TINY = [
    ("torchvision", "resnet-50", TINY_RESNEXT),
    ("torchvision", "resnet-18", STAGES | {"depth": 10, "width": 4}),
    ("timm", "densenet-121", TINY_DENSE),
    ("timm", "resnetv2-50", STAGES | {"depth": 14, "width": 8}),
    ("timm", "resnetv2-18", STAGES | {"depth": 10, "width": 4}),
    ("akamaster", "resnet-14", {"width": 4, "shortcut": "B"}),
    ("kuangliu", "resnet-18", STAGES | {"depth": 10, "width": 4, "stem": "cifar"}),
    ("kuangliu", "densenet-121", TINY_DENSE | {"stem": "cifar", "concat": "prepend"}),
    ("gpleiss", "densenet-bc-16-8", {}),
]


def made(net: Foreign) -> Network:
    return build(net.ours, init="default", **net.overrides).eval()


def shapes_of(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def logits(net: Network, size: int) -> Tensor:
    with torch.no_grad(), pytest.warns(UserWarning) if net.spec.input_size != size else torch.no_grad():
        return net.eval()(arithmetic.image(size))


def close(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-5 * theirs.abs().max())


@pytest.mark.parametrize(
    "net", [pytest.param(n, marks=[pytest.mark.slow] * n.slow, id=f"{n.library} {n.theirs}") for n in NETS]
)
def test_names_shapes_and_logits_are_those_of_their_code(net: Foreign, tmp_path: Path) -> None:
    frozen = FROZEN[f"{net.library}, {net.theirs}"]
    ours = made(net)
    shapes = shapes_of(foreign_state(ours, net.library))
    assert (len(shapes), arithmetic.digest(shapes)) == (frozen["entries"], frozen["digest"])
    state = {
        f"module.{name}": value
        for name, value in arithmetic.state(shapes).items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save({"state_dict": state}, tmp_path / "theirs.pth")
    assert close(logits(load_weights(ours, tmp_path / "theirs.pth"), net.size), torch.tensor(frozen["logits"]))


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, {"stride_on": "1x1"}),
        (3, {"padding": "end"}),
        (1, {"nonlinearity": "silu"}),
    ],
)
def test_what_names_do_not_tell_changes_the_logits(index: int, change: dict[str, str], tmp_path: Path) -> None:
    net = NETS[index]
    torch.save(arithmetic.state(shapes_of(foreign_state(made(net), net.library))), tmp_path / "theirs.pth")
    other = load_weights(build(net.ours, init="default", **net.overrides | change), tmp_path / "theirs.pth")
    assert not close(logits(other, net.size), torch.tensor(FROZEN[f"{net.library}, {net.theirs}"]["logits"]))


def used(name: str, **overrides: Any) -> Network:
    """A small net whose running statistics and counters have moved."""
    net = build(name, **overrides | {"input_size": 32})
    net(torch.randn(2, 3, 32, 32))
    return net


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("library", "name", "overrides"), TINY, ids=lambda value: value if type(value) is str else "")
def test_written_with_their_names_and_read_again(
    library: Library, name: str, overrides: dict[str, Any], tmp_path: Path
) -> None:
    net = used(name, **overrides)
    file = save_weights(net, tmp_path / "theirs.safetensors", names=library)
    assert set(read_weights(file)[0]).isdisjoint(key for key in net.state_dict() if key.startswith("stages."))
    assert_same(load_weights(build(net.spec), file), net)
    again = build_from(file)
    assert again.spec == net.spec
    assert_same(again, net)


@pytest.mark.parametrize(("library", "name", "overrides"), TINY, ids=lambda value: value if type(value) is str else "")
def test_every_renaming_is_one_to_one(library: str, name: str, overrides: dict[str, Any]) -> None:
    net = build(name, **overrides, init="default")
    found = [names for naming in NAMINGS[library] if (names := tensor_names(net, naming)) is not None]
    assert len(found) == 1
    assert list(found[0]) == list(net.state_dict())
    assert len(set(found[0].values())) == len(found[0])


def test_every_library_is_tested() -> None:
    assert set(get_args(Library)) == set(NAMINGS) == {library for library, *_ in TINY} == {net.library for net in NETS}


def test_torchvisions_files_say_norm_dot_1(tmp_path: Path) -> None:
    net = used("densenet-121", **TINY_DENSE)
    state = foreign_state(net, "torchvision")
    legacy = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for name, value in state.items()}
    assert "features.denseblock1.denselayer2.norm.1.weight" in legacy
    torch.save(legacy, tmp_path / "densenet.pth")
    assert_same(load_weights(build(net.spec), tmp_path / "densenet.pth"), net)


@pytest.mark.parametrize(
    ("library", "name", "overrides", "message"),
    [
        ("torchvision", "resnet-50-v1", {}, r"residual 50: its own has stride_on='3x3', this one stride_on='1x1'"),
        (
            "torchvision",
            "plain-18",
            {},
            r"torchvision has no plain 18: its own has family='residual', shortcut='B', this one",
        ),
        (
            "torchvision",
            "resnet-20",
            {},
            r"own has stem='imagenet', shortcut='B', this one stem='cifar', shortcut='A'$",
        ),
        ("torchvision", "densenet-40-12", {}, r"torchvision has no DenseNet 40 of this kind"),
        ("torchvision", "preresnet-20", {}, r"torchvision has no residual 20 of this kind"),
        ("timm", "preresnet-20", {}, r"timm has no residual 20: its own has stem='imagenet'"),
        ("akamaster", "resnet-20", {"padding": "end"}, r"its own has padding='both', this one padding='end'"),
        ("akamaster", "resnet-20", {"norm": "layer"}, r"its own has norm='batch', this one norm='layer'"),
        ("akamaster", "resnet-20", {"stochastic_depth": 0.5}, r"stochastic_depth=0.0, this one stochastic_depth=0.5"),
        (
            "gpleiss",
            "densenet-bc-16-8",
            {"concat": "prepend"},
            r"its own has concat='append', this one concat='prepend'",
        ),
        ("akamaster", "resnet-20", {"gate": "shortcut"}, r"akamaster has no residual 20 of this kind"),
        ("keras", "resnet-20", {}, r"names of 'keras' are not known: they are torchvision, timm, akamaster"),
    ],
)
def test_names_of_a_library_whose_net_computes_something_else_are_refused(
    library: Library, name: str, overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with torch.device("meta"):
        net = build(name, **overrides)
    with pytest.raises(WeightsError, match=message):
        save_weights(net, tmp_path / "net.safetensors", names=library)
    assert not list(tmp_path.iterdir())


def test_names_of_a_library_are_for_our_nets(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"only nets of gradpath\.build"):
        save_weights(nn.Linear(1, 1), tmp_path / "net.safetensors", names="timm")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("resnet-11", {"bottleneck": True, "stride_on": "1x1"}, r"stride_on='3x3', this one has stride_on='1x1'"),
        ("densenet-bc-16-8", {"concat": "prepend"}, r"concat='append', this one has concat='prepend'"),
        ("resnet-8", {"nonlinearity": "tanh"}, r"nonlinearity='relu', this one has nonlinearity='tanh'"),
        ("resnet-8", {"shortcut_scale": 0.5}, r"shortcut_scale=1.0, this one has shortcut_scale=0.5"),
        ("resnet-8", {"stochastic_depth": 0.2}, r"stochastic_depth=0.0, this one has stochastic_depth=0.2"),
    ],
)
def test_files_of_ours_say_what_their_net_computes(
    name: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = save_weights(build(name, width=8), tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_weights(build(name, **{"width": 8} | change), file)


def test_dropout_and_stochastic_depth_of_samples_change_nothing_in_evaluation(tmp_path: Path) -> None:
    net = used("resnet-8", width=4)
    file = save_weights(net, tmp_path / "net.safetensors")
    row = {"dropout": 0.3, "stochastic_depth": 0.2, "stochastic_depth_mode": "row"}
    assert_same(load_weights(build("resnet-8", width=4, **row), file), net)


def test_dense_layers_that_join_the_other_way_round_are_refused(tmp_path: Path) -> None:
    spec = TINY_DENSE | {"stem": "cifar", "concat": "prepend"}
    torch.save(foreign_state(build("densenet-121", **spec), "kuangliu"), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"its layers prepend new features, .* build it with concat='prepend'"):
        load_weights(build("densenet-121", **spec | {"concat": "append"}), tmp_path / "net.pth")


def test_a_misfit_is_told_in_the_names_of_the_file(tmp_path: Path) -> None:
    torch.save(foreign_state(build("resnet-8", width=4), "akamaster"), tmp_path / "net.th")
    with pytest.raises(WeightsError, match=r"30 of 80 are missing, the first layer1\.1\.conv1\.weight"):
        load_weights(build("resnet-14", width=4), tmp_path / "net.th")


# ---- another number of classes

HEAD = ("head.linear.weight", "head.linear.bias")


@pytest.mark.parametrize("library", [None, "timm"])
def test_the_head_of_another_number_of_classes_stays_as_it_was(library: Library | None, tmp_path: Path) -> None:
    overrides = STAGES | {"depth": 14, "width": 8}
    net = used("resnetv2-50", **overrides)
    file = save_weights(net, tmp_path / "net.safetensors", names=library)
    other = build("resnetv2-50", **overrides | {"classes": 3, "input_size": 32})
    before = {key: value.clone() for key, value in other.state_dict().items()}
    assert load_body(other, file) == HEAD
    for key, value in other.state_dict().items():
        assert torch.equal(value, before[key] if key in HEAD else net.state_dict()[key])
    same = build(net.spec)
    assert load_body(same, file) == ()
    assert_same(same, net)


def test_a_body_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = save_weights(build("resnet-8", width=4), tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"have another shape, the first stem\.conv\.weight \(4×3×3×3 in the file"):
        load_body(build("resnet-8", width=8, classes=3), file)


def test_any_module_keeps_the_head_that_is_named(tmp_path: Path) -> None:
    theirs, ours = (nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, classes)) for classes in (5, 3))
    torch.save({f"module.{key}": value for key, value in theirs.state_dict().items()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"2 of 4 have another shape, the first 2\.weight"):
        load_body(ours, tmp_path / "net.pth")
    assert load_body(ours, tmp_path / "net.pth", head="2") == ("2.weight", "2.bias")
    assert torch.equal(ours[0].weight, theirs[0].weight)
