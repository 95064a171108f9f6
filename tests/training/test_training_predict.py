"""`gradpath.training.predict`: the same pixels as in training, each file answered once, nothing fatal but nothing."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gradpath.errors import DataError, GradpathError, UserError, WeightsError
from gradpath.nets import build, resolve, save_weights
from gradpath.record import Predictions, read
from gradpath.training import load_images, predict
from gradpath.training._data import _cache
from gradpath.training._predict import files_of
from tiny_training import PETS as INFO

pytest.importorskip("safetensors")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "cache")


def photos(place, count=4, size=(12, 9)):
    """Noise as PNG, in class folders."""
    random = np.random.default_rng(0)
    for i in range(count):
        file = place / ("cat", "dog")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(file)
    return place


def net_and_file(place, info=INFO, name="resnet-8", **fields):
    """A small net with lively BatchNorm statistics, and its file."""
    torch.manual_seed(1)
    net = build(resolve(name, classes=3, input_size=8, width=4, input_channels=info.channels if info else 3, **fields))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net.eval(), save_weights(net, place / "w.safetensors", info)


def by_hand(net, folder, info=INFO):
    """file → probabilities, from the pixels that training sees."""
    images = load_images(folder, image_size=8)
    pixels = torch.cat([images.train_images, images.test_images]).float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (info.mean, info.std))
    with torch.no_grad():
        rows = net((pixels - mean) / std).double().exp()
    return dict(zip(images.train_names + images.test_names, (rows / rows.sum(1, keepdim=True)).tolist(), strict=True))


def test_predictions_are_those_of_the_net_on_the_pixels_of_training(tmp_path):
    folder = photos(tmp_path / "p")
    net, file = net_and_file(tmp_path)
    seen = predict(file, [folder], top_k=9, batch_size=3)
    assert [image.image for image in seen.images] == [str(folder / name) for name in sorted(by_hand(net, folder))]
    for image in seen.images:
        expected = by_hand(net, folder)[image.image.removeprefix(f"{folder}/")]
        assert dict(zip(image.classes, image.probabilities, strict=True)) == pytest.approx(
            dict(zip(INFO.classes, expected, strict=True)), abs=1e-5
        )
        assert list(image.probabilities) == sorted(image.probabilities, reverse=True)
    assert (seen.net, seen.weights, seen.classes, seen.image_size) == (net.spec.label, "w.safetensors", INFO.classes, 8)
    assert read(seen.save(tmp_path / "p.json")) == seen
    assert isinstance(seen, Predictions)


def test_a_mean_image_is_subtracted_pixel_by_pixel(tmp_path):
    folder = photos(tmp_path / "p", 1)
    pixels = np.random.default_rng(3).random((3, 8, 8), dtype=np.float32)
    info = replace(INFO, pixel_mean=base64.b64encode(pixels.astype("<f4").tobytes()).decode())
    net, file = net_and_file(tmp_path, info)
    seen = predict(file, [folder], top_k=3).images[0]
    image = np.asarray(Image.open(seen.image).resize((8, 8), Image.Resampling.BILINEAR, box=(1.5, 0, 10.5, 9)))
    inputs = (torch.tensor(image).permute(2, 0, 1)[None] / 255 - torch.tensor(pixels)) / torch.tensor(INFO.std).view(
        1, 3, 1, 1
    )
    with torch.no_grad():
        expected = net(inputs).softmax(1)[0].sort(descending=True).values
    assert seen.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    with pytest.raises(WeightsError, match="mean image of 8 px: leave out image_size"):
        predict(file, [folder], image_size=16)


def test_grey_nets_get_grey_images_and_unknown_classes_numbers(tmp_path):
    folder = photos(tmp_path / "p", 2)
    info = replace(INFO, channels=1, mean=(0.5,), std=(0.2,), classes=("cat", "dog"))
    _, file = net_and_file(tmp_path, info)
    assert predict(file, [folder]).classes == ("cat", "dog", "2")
    assert predict(file, [folder], classes=["x", "y", "z"]).classes == ("x", "y", "z")
    with pytest.raises(UserError, match="tells 3 classes apart, 2 names were given"):
        predict(file, [folder], classes=["x", "y"])


def test_broken_images_are_listed_and_the_others_classified(tmp_path, monkeypatch):
    monkeypatch.setattr("gradpath.training._predict._AT_ONCE", 3)
    folder = photos(tmp_path / "p", 5)
    _, file = net_and_file(tmp_path)
    whole = {image.image: image for image in predict(file, [folder]).images}
    (folder / "cat" / "2.png").write_bytes(b"no")
    news = []
    seen = predict(file, [folder], progress=lambda *done: news.append(done))
    assert [(bad.file, bad.reason) for bad in seen.skipped] == [
        (str(folder / "cat" / "2.png"), "not an image that Pillow can read")
    ]
    assert [image.image for image in seen.images] == [name for name in whole if not name.endswith("2.png")]
    for image in seen.images:
        assert image.probabilities == pytest.approx(whole[image.image].probabilities, abs=1e-6)
    assert news == [(i, 5) for i in range(1, 6)]
    with pytest.raises(DataError, match=r"no image could be read: .*2\.png \(not an image"):
        predict(file, [folder / "cat" / "2.png"])


def test_files_folders_and_patterns_each_once(tmp_path, monkeypatch):
    photos(tmp_path / "p", 4)
    (tmp_path / "p" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "p" / "cat" / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    everything = ["p/cat/0.png", "p/cat/2.png", "p/dog/1.png", "p/dog/3.png"]

    def named(*names):
        return [file.as_posix() for file in files_of(names)]

    assert named("p") == everything
    assert named("p/*/*.png") == everything
    assert named("p/dog/3.png", "p/**/*.png") == ["p/dog/3.png", *everything[:3]]
    assert named("p/c*") == everything[:2]
    assert named("p/cat/notes.txt") == ["p/cat/notes.txt"]  # what was named is tried
    for wrong, message in (
        (["p/x.png"], "no such file"),
        (["*.gif"], "no such file"),
        (["e"], "holds no image"),
        ([], "named"),
    ):
        (tmp_path / "e").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=message):
            files_of(wrong)


def test_foreign_files_are_asked_about(tmp_path):
    folder = photos(tmp_path / "p", 1)
    net, _ = net_and_file(tmp_path)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    fields = {"classes": 3, "input_size": 8, "width": 4}
    for given, message in (
        ({}, "does not say which net it is of"),
        ({"net": "resnet-8"}, "do not tell where its shortcuts pad"),
        ({"net": net.spec}, "does not say how its images were normalised"),
        ({"net": nn.Conv2d(3, 3, 1)}, "does not fit"),
    ):
        with pytest.raises(GradpathError, match=message) as error:
            predict(tmp_path / "w.pth", [folder], **given)
        assert "\n" not in str(error.value)
    seen = predict(tmp_path / "w.pth", [folder], net=resolve("resnet-8", **fields), normalise="imagenet", top_k=3)
    info = replace(INFO, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert sorted(seen.images[0].probabilities) == pytest.approx(sorted(by_hand_one(net, folder, info)), abs=1e-5)
    assert seen.classes == ("0", "1", "2")


def by_hand_one(net, folder, info):
    photos(folder, 4)  # a data set has two classes of two
    return by_hand(net, folder, info)["cat/0.png"]
