"""Data sets of Hugging Face's library, from local folders: the same images as from files, or one clear line."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys

import numpy as np
import pytest
import torch

from gradpath.errors import DataError, MissingExtraError
from gradpath.training import describe, load_images
from gradpath.training._data import Streamed, _cache

Image = pytest.importorskip("PIL.Image")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs gradpath[hf]"),
]


class _Library:
    """The library, imported when a test asks for something of it: that takes seconds."""

    def __getattr__(self, name):
        return getattr(importlib.import_module("datasets"), name)


datasets = _Library()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


def pictures(count, seed=0):
    """Encoded images of several sizes."""
    random = np.random.default_rng(seed)
    for i in range(count):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (10 + i % 3, 12, 3), dtype=np.uint8)).save(file, "PNG")
        yield file.getvalue()


def table(images, labels, feature=None, name="image", label="label"):
    features = datasets.Features({name: datasets.Image(), label: feature or datasets.ClassLabel(names=["cat", "dog"])})
    rows = {name: [{"bytes": image, "path": None} for image in images], label: labels}
    return datasets.Dataset.from_dict(rows, features=features)


def saved(place, **splits):
    datasets.DatasetDict(splits).save_to_disk(str(place))
    return f"hf:{place}"


def alternating(count):
    return [i % 2 for i in range(count)]


def test_the_images_are_those_of_the_same_files_in_a_folder(tmp_path):
    train, test = list(pictures(20)), list(pictures(6, 1))
    source = saved(tmp_path / "pets", train=table(train, alternating(20)), test=table(test, alternating(6)))
    for part, images in (("train", train), ("test", test)):
        for i, image in enumerate(images):
            file = tmp_path / "files" / part / ("cat", "dog")[i % 2] / f"{i:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image)
    report, images = describe(source)
    expected = load_images(tmp_path / "files")
    assert (report.format, report.test_from, report.info.name) == ("Hugging Face data set", "split test", "pets")
    assert images.info.classes == ("cat", "dog")
    assert images.info.image_size == expected.info.image_size == 11
    assert images.train_names[3] == "train/000003"
    place = {f"{name.split('/')[0]}/{int(name[-7:-4]):06}": i for i, name in enumerate(expected.train_names)}
    order = torch.tensor([place[name] for name in images.train_names])
    assert torch.equal(images.train_images, expected.train_images[order])
    assert torch.equal(images.train_labels, expected.train_labels[order])
    assert images.info.mean == expected.info.mean
    again = load_images(source)  # from the cache
    assert torch.equal(again.train_images, images.train_images)
    assert torch.equal(again.test_images, images.test_images)
    assert isinstance(load_images(source, memory_bytes=100).train_images, Streamed)


def test_without_a_test_split_some_are_held_out(tmp_path):
    train = table(pictures(20), alternating(20))
    unlabelled = table(pictures(4), [-1] * 4)
    source = saved(tmp_path / "pets", train=train, test=unlabelled, extra=train)
    report, images = describe(source, seed=1)
    assert (report.train_counts, report.test_counts) == ((8, 8), (2, 2))
    assert report.test_from == "20.0 % of each class, held out by seed 1"
    assert report.notes == ("split test is not used: its labels are missing", "split extra is not used")
    validated = saved(tmp_path / "more", train=train, test=unlabelled, validation=train)
    assert describe(validated)[0].test_from == "split validation"
    assert set(images.test_names) < {f"train/{i:06}" for i in range(20)}


def test_broken_images_are_listed_and_names_may_be_labels(tmp_path):
    images = [*pictures(99), b"no"]
    labels = [("b", "a", "c")[i % 3] for i in range(100)]
    source = saved(tmp_path / "p", train=table(images, labels, datasets.Value("string"), "img", "fine_label"))
    report, found = describe(source)
    assert [(file.file, file.reason) for file in report.skipped] == [
        ("train/000099", "not an image that Pillow can read")
    ]
    assert found.info.classes == ("a", "b", "c")
    assert [found.info.classes[label] for label in found.train_labels[:2]] == ["b", "a"]
    assert load_images(source).info.train_images == report.info.train_images


def test_a_folder_of_parquet_files_is_read_without_a_network(tmp_path):
    (tmp_path / "p").mkdir()
    table(pictures(10), alternating(10)).to_parquet(str(tmp_path / "p" / "train.parquet"))
    images = load_images(f"hf:{tmp_path / 'p'}", image_size=8)
    assert images.train_images.shape == (8, 3, 8, 8)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (lambda: {"all": table(pictures(1), [0])}, "has no split 'train', but all"),
        (
            lambda: {"train": datasets.Dataset.from_dict({"text": ["a"], "label": [1]})},
            r"no column of images.*text \(Value\)",
        ),
        (lambda: {"train": table([b""] * 4, alternating(4))}, "4 of 4 images cannot be read"),
        (lambda: {"train": table(pictures(4), [0.5] * 4, datasets.Value("float32"))}, "whole numbers or names"),
        (lambda: {"train": table(pictures(3), [0, 0, 1])}, "class dog has 1 readable images"),
        (lambda: {"train": table(pictures(4), [0] * 4)}, "class dog has 0 readable images"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(tmp_path, splits, message):
    source = saved(tmp_path / "p", **splits())
    with pytest.raises(DataError, match=message) as error:
        load_images(source)
    assert str(error.value).startswith(source)
    assert "\n" not in str(error.value)


def test_what_the_library_cannot_load_is_one_line(tmp_path, monkeypatch):
    for away in ("./away", "~/no/such/folder", str(tmp_path / "away")):
        with pytest.raises(DataError, match=r"hf:.*: there is no such folder"):
            load_images(f"hf:{away}")

    def offline(*name):
        raise ConnectionError(f"Couldn't reach {name}\non the Hub")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(DataError, match=r"some/one:small: cannot be loaded \(ConnectionError: .*'some/one', 'small'"):
        load_images("hf:some/one:small")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"needs datasets.*gradpath\[hf\]"):
        load_images("hf:mnist")
