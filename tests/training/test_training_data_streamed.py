"""Photos that do not fit into the memory: read from disk as they are asked for, the same as those that do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradpath.nets import read_weights
from gradpath.record import Execution, Recipe
from gradpath.training import describe, load_images, train
from gradpath.training._data import Streamed, _cache, _streamed, hold_out, with_channels

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "cache")


def photos(place, count=40, mode="RGB"):
    """Noise, brighter for the second class."""
    random = np.random.default_rng(0)
    shape = (8, 8) if mode == "L" else (8, 8, 3)
    for i in range(count):
        file = place / ("cat", "dog")[i % 2] / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(100 * (i % 2), 150 + 100 * (i % 2), shape, dtype=np.uint8)).save(file)
    return place


def both(place, **options):
    """In memory, and streamed."""
    return load_images(place, **options), load_images(place, memory_bytes=1000, **options)


@pytest.mark.parametrize("first", ["held", "streamed"])
def test_they_are_the_same_images(tmp_path, first):
    place = photos(tmp_path / "p")
    if first == "held":
        held, streamed = both(place)  # decoded for the memory, then read from the cache
    else:
        streamed = load_images(place, memory_bytes=1000)
        held = load_images(place)
    assert isinstance(streamed.train_images, Streamed)
    assert isinstance(held.train_images, torch.Tensor)
    assert streamed.info == held.info
    assert streamed.train_names == held.train_names
    for part in ("train", "test"):
        whole, lazy = (getattr(images, f"{part}_images") for images in (held, streamed))
        assert torch.equal(lazy.read(), whole)
        index = torch.tensor([5, 0, 5, 3])
        assert torch.equal(lazy[index], whole[index])
        assert torch.equal(lazy[2:7].read(), whole[2:7])
        assert torch.equal(lazy[3], whole[3])
        assert torch.equal(lazy[:4].float(), whole[:4].float())
        assert torch.equal(torch.cat([part_.read() for part_ in torch.split(lazy, 3)]), whole)
        assert (lazy.shape, len(lazy), lazy.device, lazy.dtype) == (whole.shape, len(whole), whole.device, whole.dtype)
    assert held.bytes - streamed.bytes == held.train_images.nbytes + held.test_images.nbytes


def test_parts_of_them_read_nothing(tmp_path, monkeypatch):
    held, streamed = both(photos(tmp_path / "p", mode="L"))
    monkeypatch.setattr(Streamed, "_from_file", None)  # whoever reads fails
    inside, listed = hold_out(with_channels(streamed, 3), 0.25, seed=3)
    inside = inside.to(torch.device("cpu"))
    monkeypatch.undo()
    expected, expected_list = hold_out(with_channels(held, 3), 0.25, seed=3)
    assert listed == expected_list
    assert inside.info == expected.info
    for part in ("train_images", "validation_images", "test_images"):
        assert isinstance(getattr(inside, part), Streamed)
        assert torch.equal(getattr(inside, part).read(), getattr(expected, part))
    prints = {getattr(images, "train_images").fingerprint for images in (inside, streamed)}  # noqa: B009
    assert len(prints) == 2
    assert (
        inside.train_images.fingerprint
        == hold_out(with_channels(streamed, 3), 0.25, seed=3)[0].train_images.fingerprint
    )


@pytest.mark.parametrize("limit", [1, 2**20])
def test_reading_ahead_changes_nothing(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(_streamed, "AHEAD_BYTES", limit)
    held, streamed = both(photos(tmp_path / "p"))
    images = streamed.train_images
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0)).view(8, 4)
    for _ in range(2):  # the second time with the thread at work on another order
        images.prefetch(order)
        for step, batch in enumerate(order[:5]):
            for index in (batch, batch[:2], batch[2:], batch[torch.tensor([3, 0, 0])]):  # whole, in parts, mixed
                assert torch.equal(images[index], held.train_images[index])
            if step == 2:  # what was not announced
                assert torch.equal(images[torch.tensor([31, 0])], held.train_images[torch.tensor([31, 0])])
        order = order.flip(0)
    images.prefetch(torch.empty(0, 4, dtype=torch.int64))
    assert torch.equal(images[order[0]], held.train_images[order[0]])


def test_batches_that_were_announced_are_read_once(tmp_path, monkeypatch):
    images = load_images(photos(tmp_path / "p"), memory_bytes=1000).train_images
    read, really = [], Streamed._from_file
    monkeypatch.setattr(Streamed, "_from_file", lambda self, index: read.append(index) or really(self, index))
    order = torch.arange(32).view(8, 4)
    images.prefetch(order)
    for batch in order:
        images[batch]
        images[batch[:2]]
    assert torch.equal(torch.stack(read), order)


def test_training_on_them_gives_the_same_weights_bit_for_bit(tmp_path):
    place = photos(tmp_path / "p", 48)
    runs = []
    for name, images in zip(("held", "streamed"), both(place), strict=True):
        recipe = Recipe(epochs=2, batch_size=8, accumulate=2, augment="crop-flip", mixup=0.2)
        execution = Execution(precision="float32", layout="channels_last", reason="asked for")
        record = train("resnet-8", images, recipe=recipe, execution=execution, output=tmp_path / name, device="cpu")
        runs.append((record, read_weights(tmp_path / name / record.weights)[0]))
    (held, held_weights), (streamed, streamed_weights) = runs
    assert held_weights.keys() == streamed_weights.keys()
    assert all(torch.equal(held_weights[key], streamed_weights[key]) for key in held_weights)
    assert [e.train_loss for e in held.epochs] == [e.train_loss for e in streamed.epochs]
    assert held.test == streamed.test


def test_the_description_says_so(tmp_path, monkeypatch):
    place = photos(tmp_path / "p")
    monkeypatch.setattr("gradpath.training._data._decoded._available", lambda: 1000)
    report, images = describe(place)
    assert isinstance(images.train_images, Streamed)
    assert any("too many for the memory" in note for note in report.notes)
    assert report.bytes == 40 * 8 * 8 * 3
