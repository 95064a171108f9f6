"""Folders of photos: what is read, how it is decoded, what is skipped, and one clear line for what cannot be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gradpath.errors import DataError, MissingExtraError
from gradpath.training import describe, load_images, split_record, stratified
from gradpath.training._data import _cache, _workers

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "cache")


def photo(file, color, size=(12, 12), mode="RGB", **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(file, **options)


def folder_of(place, counts=(("cat", 10), ("dog", 10)), part="", **options):
    """Images of one colour each; a class's red is 100 times its number, an image's green is its own number."""
    for number, (name, count) in enumerate(counts):
        for i in range(count):
            photo(place / part / name / f"{i:03}.png", (100 * number, i, 0), **options)
    return place


def test_class_folders_become_images_and_labels(tmp_path):
    images = load_images(folder_of(tmp_path / "pets"))
    assert images.info.name == "pets"
    assert images.info.classes == ("cat", "dog")
    assert (images.info.train_images, images.info.test_images) == (16, 4)
    assert images.train_images.shape == (16, 3, 12, 12)
    for pixels, label, name in zip(images.train_images, images.train_labels, images.train_names, strict=True):
        assert name.split("/")[0] == images.info.classes[label]
        assert pixels[:, 5, 5].tolist() == [100 * int(label), int(name[-7:-4]), 0]
    assert sorted(images.test_labels.tolist()) == [0, 0, 1, 1]
    assert not set(images.train_names) & set(images.test_names)


def test_train_and_test_folders_are_kept_apart(tmp_path):
    place = folder_of(tmp_path, part="Train")
    folder_of(tmp_path, (("cat", 2), ("dog", 3)), part="val")
    (tmp_path / "test").mkdir()
    photo(tmp_path / "test" / "unknown.png", (1, 2, 3))
    report, images = describe(place)
    assert report.test_from == "val/"
    assert report.test_counts == (2, 3)
    assert report.train_counts == (10, 10)
    assert report.notes == ("test/ is not used: it has no class folders",)
    assert set(images.test_names) == {f"val/cat/00{i}.png" for i in range(2)} | {f"val/dog/00{i}.png" for i in range(3)}


def test_endings_in_any_case_and_nothing_of_the_system(tmp_path):
    for number, ending in enumerate(("png", "JPG", "Jpeg", "webp", "BMP")):
        for name in ("a", "b"):
            photo(tmp_path / name / f"{number}.{ending}", (9, 9, 9))
    for name in (".hidden.png", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / "a" / name).write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    photo(tmp_path / "__MACOSX" / "a.png", (1, 1, 1))
    photo(tmp_path / ".git" / "a.png", (1, 1, 1))
    photo(tmp_path / "b" / "deeper" / "6.png", (1, 1, 1))
    report, _ = describe(tmp_path)
    assert report.train_counts[0] + report.test_counts[0] == 5
    assert report.train_counts[1] + report.test_counts[1] == 6
    assert report.ignored == 1
    assert not report.skipped


def one_image(tmp_path, image, size, name="x.png", **options):
    """The pixels of one file (H W C), read beside a grey-free other class."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        photo(tmp_path / label / "other.png", (50, 60, 70))
    image.save(tmp_path / "a" / name, **options)
    photo(tmp_path / "b" / "third.png", (50, 60, 70))
    images = load_images(tmp_path, image_size=size)
    pixels = torch.cat([images.train_images, images.test_images])
    names = images.train_names + images.test_names
    return pixels[names.index(f"a/{name}")].permute(1, 2, 0).numpy()


def test_exif_rotation_is_applied(tmp_path):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    turned = Image.fromarray(np.rot90(upright).copy())
    seen = one_image(tmp_path, turned, 16, exif=exif)
    assert np.array_equal(seen, upright)


@pytest.mark.parametrize(
    ("mode", "color", "expected", "name"),
    [
        ("L", 77, (77, 77, 77), "x.png"),
        ("1", 1, (255, 255, 255), "x.png"),
        ("LA", (0, 0), (255, 255, 255), "x.png"),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255), "x.png"),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0), "x.png"),
        ("I;16", 257 * 200, (200, 200, 200), "x.png"),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0), "x.jpg"),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(tmp_path, mode, color, expected, name):
    seen = one_image(tmp_path, Image.new(mode, (8, 8), color), 8, name)
    assert np.abs(seen[4, 4].astype(int) - expected).max() <= 3  # JPEG


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    seen = one_image(tmp_path, image, 8, transparency=0)
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[4, 4].tolist() == [40, 50, 60]


def test_grey_folders_have_one_channel(tmp_path):
    for name in ("a", "b"):
        for i in range(2):
            photo(tmp_path / name / f"{i}.png", 30 + i, mode="L")
    assert load_images(tmp_path).train_images.shape == (2, 1, 12, 12)


def test_the_shorter_side_is_resized_and_the_centre_kept(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 200, 30)
    seen = one_image(tmp_path, Image.fromarray(wide), 10)
    assert seen.shape == (10, 10, 3)
    assert (seen[:, 1:-1] == (10, 200, 30)).all()


def test_a_large_jpeg_is_reduced_as_it_is_decoded_and_looks_the_same(tmp_path):
    rows, columns = np.mgrid[0:600, 0:900]
    waves = 128 + 100 * np.sin(rows / 5) * np.cos(columns / 7)
    photo_ = np.stack([waves, waves, rows * 255 / 600], -1).astype(np.uint8)
    seen = one_image(tmp_path, Image.fromarray(photo_), 100, "x.jpg", quality=95)
    expected = np.asarray(Image.fromarray(photo_[:, 150:750]).resize((100, 100), Image.Resampling.BILINEAR))
    assert np.abs(seen.astype(int) - expected).mean() <= 4


def test_a_strip_of_one_row_takes_no_memory(tmp_path):
    strip = np.zeros((1, 30_001, 3), np.uint8)
    strip[0, 14_998:15_003] = 200
    assert (one_image(tmp_path, Image.fromarray(strip), 16) == 200).all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_and_links_to_nowhere(tmp_path):
    place = folder_of(tmp_path, (("cat", 99), ("dog", 99)))
    (place / "dog" / "gone.png").symlink_to(tmp_path / "absent.png")
    Path(place / "cat").rename(os.fsdecode(os.fsencode(place) + b"/c\xff"))
    report, images = describe(place)
    assert report.info.classes == ("c\ufffd", "dog")
    assert [(f.file, f.reason) for f in report.skipped] == [("dog/gone.png", "No such file or directory")]
    report.save(tmp_path / "data.json")
    split_record(images.train_names, range(5), 0, 0.2).save(tmp_path / "split.json")


def test_the_default_size_is_the_median_of_the_shorter_sides_or_224(tmp_path):
    small = folder_of(tmp_path / "small", size=(40, 30))
    photo(small / "cat" / "large.png", (1, 1, 1), size=(400, 500))
    report, images = describe(small)
    assert images.info.image_size == 30
    assert (report.sizes.smallest, report.sizes.largest, report.sizes.different) == ((40, 30), (400, 500), 2)
    large = folder_of(tmp_path / "large", (("a", 2), ("b", 2)), size=(300, 260))
    assert load_images(large).info.image_size == 224


def test_corrupt_images_are_listed_and_skipped_up_to_one_in_a_hundred(tmp_path):
    place = folder_of(tmp_path / "p", (("cat", 100), ("dog", 100)))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place / "cat" / "007.png")
    whole = (place / "cat" / "007.png").read_bytes()
    (place / "cat" / "007.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    (place / "dog" / "003.png").write_bytes(b"hello")
    for _ in range(2):  # decoded, then from the cache
        report, images = describe(place)
        assert [file.file for file in report.skipped] == ["cat/007.png", "dog/003.png"]
        assert report.skipped[1].reason == "not an image that Pillow can read"
        assert load_images(place).info.train_images + images.info.test_images == 198
        for pixels, name in zip(images.train_images, images.train_names, strict=True):
            assert int(pixels[1, 0, 0]) == int(name[-7:-4])
    (place / "dog" / "004.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3 of 200 images .*1\.0 %.*cat/007\.png \(.*dog/003\.png") as error:
        load_images(place)
    assert "\n" not in str(error.value)
    assert len(describe(place)[0].skipped) == 3


def test_a_file_that_kills_its_worker_is_named_and_the_rest_read(tmp_path, monkeypatch):
    place = folder_of(tmp_path)
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys\n"
        "for index, file in json.load(sys.stdin)['files']:\n"
        "    if file.endswith('003.png'): os._exit(9)\n"
        "    print(json.dumps([index, [12, 12, False]]), flush=True)\n"
    )
    monkeypatch.setattr(_workers, "_SCRIPT", str(script))
    files = sorted((place / "cat").iterdir())
    answers = _workers.for_each(files)
    assert answers[3] == "reading it ended the worker (exit code 9)"
    assert answers[:3] + answers[4:] == [[12, 12, False]] * 9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "bird").mkdir(), r"bird: holds no image"),
        (lambda p: [f.unlink() for f in (p / "dog").iterdir()] and (p / "dog").rmdir(), "one class only"),
        (lambda p: [f.unlink() for f in list((p / "dog").iterdir())[1:]], "class dog has 1 readable image"),
        (lambda p: [f.write_bytes(b"x") for f in p.rglob("*.png")], "20 of 20 images cannot be read"),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path, spoil, message):
    place = folder_of(tmp_path / "p")
    spoil(place)
    with pytest.raises(DataError, match=message) as error:
        load_images(place)
    assert str(place) in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("cache/.decoding-*"))


def test_a_class_of_the_test_images_alone_is_named(tmp_path):
    folder_of(tmp_path, part="train")
    folder_of(tmp_path, (("cat", 2), ("fish", 2)), part="test")
    with pytest.raises(DataError, match=r"fish: is a class that .*train does not have: cat, dog"):
        load_images(tmp_path)


def test_a_folder_around_the_folder_is_suggested(tmp_path):
    place = folder_of(tmp_path / "zip" / "pets")
    with pytest.raises(DataError, match=f"is it {place} that was meant"):
        load_images(tmp_path / "zip")


def test_more_than_memory_and_disk_hold_says_which_size_fits(tmp_path, monkeypatch):
    place = folder_of(tmp_path / "p", size=(64, 64))
    (tmp_path / "file").write_text("")
    for nowhere in (lambda: tmp_path / "file" / "cache", lambda: tmp_path / "cache"):
        monkeypatch.setattr(_cache, "cache_folder", nowhere)
        monkeypatch.setattr(_cache, "_SHARE_STREAMED", 0.0)
        with pytest.raises(DataError, match=r"20 images of 64 px take 240 KiB.*no room.*image_size 40 fits"):
            load_images(place, memory_bytes=100_000)
    assert not list(tmp_path.glob("cache/*.npy"))


def test_the_cache_is_used_until_a_file_changes(tmp_path, monkeypatch):
    place = folder_of(tmp_path / "p")
    first = load_images(place)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(_workers, "_SCRIPT", "absent.py")  # whoever decodes now fails
        again = load_images(place)
        assert torch.equal(first.train_images, again.train_images)
        assert first.test_names == again.test_names
        photo(place / "cat" / "005.png", (1, 2, 3), size=(13, 12))
        with pytest.raises(DataError, match="no worker could start"):
            load_images(place)
    changed = load_images(place)
    assert any(pixels[:, 5, 5].tolist() == [1, 2, 3] for pixels in [*changed.train_images, *changed.test_images])
    for pixels in (tmp_path / "cache").glob("*.npy"):
        pixels.write_bytes(pixels.read_bytes()[:-5])
    assert torch.equal(load_images(place).train_images, changed.train_images)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "file" / "cache")
    assert load_images(folder_of(tmp_path / "p")).info.train_images == 16


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    place = folder_of(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"needs pillow.*gradpath\[build\]"):
        load_images(place)


def test_a_stratified_split_holds_out_of_each_class_and_keeps_its_choice():
    labels = np.repeat([0, 1, 2], (100, 10, 2))
    names = [f"{i}.png" for i in range(112)]
    train, held = stratified(labels, 0.2, seed=3, names=names)
    assert np.bincount(labels[held]).tolist() == [20, 2, 1]
    assert sorted([*train, *held]) == list(range(112))
    assert held.tolist() == stratified(labels, 0.2, seed=3, names=names)[1].tolist()
    assert held.tolist() != stratified(labels, 0.2, seed=4, names=names)[1].tolist()
    order = np.random.default_rng(0).permutation(112)
    again = stratified(labels[order], 0.2, seed=3, names=[names[i] for i in order])[1]
    assert {names[i] for i in order[again]} == {names[i] for i in held}
    more = stratified(np.append(labels, [0] * 5), 0.2, seed=3, names=[*names, *"abcde"])[1]
    assert len(set(more.tolist()) ^ set(held.tolist())) <= 11  # five new files push out at most as many
    record = split_record(names, held, 3, 0.2)
    assert json.loads(record.to_json())["held_out"] == [names[i] for i in held]
    with pytest.raises(DataError, match="class 1 has 1 image"):
        stratified([0, 0, 1], 0.2)


def test_images_are_given_back_as_they_are(tmp_path):
    images = load_images(folder_of(tmp_path))
    assert load_images(images) is images
