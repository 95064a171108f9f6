"""Weights: round trips, files that do not fit, damaged files, published weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gradpath.errors import MissingExtraError, WeightsError
from gradpath.nets import Network, build, build_from, data_of, load_weights, read_weights, save_weights
from gradpath.record import DataInfo

DATA = DataInfo(
    name="test",
    train_images=4,
    test_images=2,
    image_size=32,
    channels=3,
    classes=("猫", "dog"),
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
)


def used(name: str, **overrides: object) -> Network:
    """A small net whose running statistics have moved."""
    net = build(name, width=4, **overrides)
    net(torch.randn(4, 3, 32, 32))
    return net


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", ["plain-8", "preresnet-11", "densenet-bc-10-4"])
def test_a_round_trip(name: str, tmp_path: Path) -> None:
    net = used(name)
    file = save_weights(net, tmp_path / "net.safetensors", DATA)
    assert_same(load_weights(build(net.spec), file), net)
    again = build_from(file)
    assert again.spec == net.spec
    assert_same(again, net)
    assert data_of(file) == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_channels_last_and_double_come_back(tmp_path: Path) -> None:
    net = used("resnet-8")
    file = save_weights(net.to(memory_format=torch.channels_last), tmp_path / "net.safetensors")
    assert_same(load_weights(build(net.spec).double().float(), file), net)
    assert data_of(file) is None


def test_any_module_is_saved_without_a_specification(tmp_path: Path) -> None:
    file = save_weights(nn.Linear(2, 3), tmp_path / "linear.safetensors")
    load_weights(nn.Linear(2, 3), file)
    with pytest.raises(WeightsError, match=r"linear\.safetensors: does not say which network it is of"):
        build_from(file)


@pytest.mark.parametrize(
    ("ending", "wrapper"), [("pt", "model"), ("pth", "net"), ("th", "state_dict"), ("dat", "state_dict")]
)
def test_torch_files_with_wrappers_and_prefixes(ending: str, wrapper: str, tmp_path: Path) -> None:
    net = used("resnet-8")
    state = {f"module._orig_mod.{key}": tensor for key, tensor in net.state_dict().items()}
    file = tmp_path / f"net.{ending}"
    torch.save({wrapper: state, "epoch": 3}, file)
    assert_same(load_weights(build(net.spec), file), net)
    torch.save(net.state_dict(), file)
    assert_same(load_weights(build(net.spec), file), net)


def akamaster_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our ResNet's weights under the names of akamaster/pytorch_resnet_cifar10 (option B: shortcut.0 and .1)."""
    names = {}
    for key, tensor in state.items():
        part, *rest = key.split(".")
        if part == "stages":
            stage, block, module, *rest = rest
            module = module.replace("norm", "bn")
            rest = [{"conv": "0", "norm": "1"}.get(word, word) for word in rest]
            names[".".join([f"layer{int(stage) + 1}", block, module, *rest])] = tensor
        elif part == "stem":
            names[".".join([{"conv": "conv1", "norm": "bn1"}[rest[0]], *rest[1:]])] = tensor
        else:
            names[".".join(rest)] = tensor
    return {key: tensor for key, tensor in names.items() if "num_batches" not in key}


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_foreign_names(shortcut: str, tmp_path: Path) -> None:
    net = used("resnet-14", shortcut=shortcut)
    torch.save(akamaster_names(net.state_dict()), tmp_path / "net.pth")
    loaded = load_weights(build(net.spec), tmp_path / "net.pth")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.eval()(x), net.eval()(x))


def test_weights_of_another_net_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    file = save_weights(used("resnet-14"), tmp_path / "net.safetensors")
    net = used("resnet-8")
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    with pytest.raises(
        WeightsError, match=r"does not fit this residual 8: 36 of 80 in the file are unknown, the first stages\.0\.1"
    ):
        load_weights(net, file)
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    with pytest.raises(WeightsError, match=r"30 of 116 are missing, the first stages\.0\.2\.conv1\.weight"):
        load_weights(build("resnet-20", width=4), file)


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    file = save_weights(used("resnet-8"), tmp_path / "net.safetensors")
    message = r"2 of 44 have another shape, the first head\.linear\.weight \(10×16 in the file, 7×16 in the net\)"
    with pytest.raises(WeightsError, match=message):
        load_weights(build("resnet-8", width=4, classes=7), file)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("plain-8", {}, r"holds weights of a net with family='residual', this one has family='plain'"),
        ("resnet-8", {"padding": "end"}, r"padding='both', this one has padding='end'"),
    ],
)
def test_same_shapes_of_another_function_are_refused(
    name: str, overrides: dict[str, str], message: str, tmp_path: Path
) -> None:
    file = save_weights(used("resnet-8"), tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_weights(build(name, width=4, **overrides), file)


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, -1])
@pytest.mark.parametrize("ending", ["safetensors", "pt", "th"])
def test_a_truncated_file_is_one_line_that_names_it(ending: str, kept: float, tmp_path: Path) -> None:
    net, file = used("resnet-8"), tmp_path / f"net.{ending}"
    if ending == "safetensors":
        save_weights(net, file)
    else:
        torch.save(net.state_dict(), file, _use_new_zipfile_serialization=ending == "pt")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(WeightsError, match=rf"net\.{ending}: cannot be read as weights") as error:
        load_weights(build(net.spec), file)
    assert "\n" not in str(error.value)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pt: there is no such file"):
        read_weights(tmp_path / "gone.pt")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"net\.onnx: weights are read from \.safetensors, \.pt"):
        read_weights(tmp_path / "net.onnx")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"list\.pt: holds no weights"):
        read_weights(tmp_path / "list.pt")
    torch.save(nn.Linear(1, 1), tmp_path / "object.pt")
    torch.save({0: torch.zeros(1)}, tmp_path / "numbered.pt")
    with pytest.raises(WeightsError, match=r"numbered\.pt: holds no weights"):
        read_weights(tmp_path / "numbered.pt")
    with pytest.raises(WeightsError, match=r"object\.pt: cannot be read as weights: .* save the state_dict\(\) alone$"):
        read_weights(tmp_path / "object.pt")  # whole objects are never unpickled
    with pytest.raises(WeightsError, match=r"ends in \.safetensors"):
        save_weights(nn.Linear(1, 1), tmp_path / "net.pt")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 1, "family": "residual", "depth": 57}'])
def test_a_damaged_specification_is_refused(text: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors", {"gradpath_spec": text})
    with pytest.raises(WeightsError, match=r"net\.safetensors: its gradpath_spec cannot be read"):
        build_from(tmp_path / "net.safetensors")


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    text = '{"schema": 99, "family": "residual", "depth": 56, "new_field": 1}'
    save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors", {"gradpath_spec": text})
    with pytest.raises(WeightsError, match=r"newer gradpath \(schema 99\): upgrade"):
        build_from(tmp_path / "net.safetensors")


def test_without_safetensors_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_weights(nn.Linear(1, 1), tmp_path / "net.safetensors")
    for name in ("safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gradpath\[build\]'"):
        read_weights(file)
    with pytest.raises(MissingExtraError):
        save_weights(nn.Linear(1, 1), file)


def data_folder() -> Path:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("GRADPATH_TEST_DATA", root.parent / "shared" / "data"))
    if not (folder / "weights" / "resnet20-12fca82f.th").is_file():
        pytest.skip(f"{folder} does not hold the published weights (set GRADPATH_TEST_DATA)")
    return folder


@pytest.mark.parametrize("padding", ["both", "end"])
def test_published_weights_classify_as_recorded(padding: str) -> None:
    np = pytest.importorskip("numpy")
    folder = data_folder()
    with np.load(folder / "cifar10_subset.npz") as arrays:
        images, labels = torch.from_numpy(arrays["test_images"]), torch.from_numpy(arrays["test_labels"])
    net = load_weights(build("resnet-20", padding=padding), folder / "weights" / "resnet20-12fca82f.th").eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        right = int((net((images / 255 - mean) / std).argmax(1) == labels).sum())
    assert right == 776 if padding == "both" else right < 300
