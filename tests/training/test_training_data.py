"""Images: what is read, and one clear line for everything that cannot be."""

from __future__ import annotations

import gzip
import shutil
import struct

import numpy as np
import pytest
import torch

from gradpath.errors import DataError
from gradpath.training import load_images
from gradpath.training._batches import Batches


def arrays(**changes):
    rng = np.random.default_rng(0)
    good = {
        "train_images": rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8),
        "train_labels": np.arange(20) % 4,
        "test_images": rng.integers(0, 256, (8, 1, 8, 8), dtype=np.uint8),
        "test_labels": np.arange(8) % 4,
    }
    return good | changes


def npz(folder, **changes):
    file = folder / "images.npz"
    np.savez(file, **{k: v for k, v in arrays(**changes).items() if v is not None})
    return file


def idx(array):
    array = np.asarray(array, np.uint8)
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_folder(folder, zipped=False):
    data = arrays()
    for name, key in (
        ("train-images-idx3-ubyte", "train_images"),
        ("train-labels-idx1-ubyte", "train_labels"),
        ("t10k-images-idx3-ubyte", "test_images"),
        ("t10k-labels-idx1-ubyte", "test_labels"),
    ):
        array = data[key][:, 0] if data[key].ndim == 4 else data[key]
        content = idx(array)
        file = folder / (f"{name}.gz" if zipped else name)
        file.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def test_the_shipped_images_are_balanced():
    images = load_images()
    assert images.train_images.shape == (5000, 1, 28, 28)
    assert images.test_images.shape == (1000, 1, 28, 28)
    assert images.train_labels.bincount().tolist() == [500] * 10
    assert images.test_labels.bincount().tolist() == [100] * 10
    pixels = images.train_images.double() / 255
    assert images.info.mean[0] == pytest.approx(float(pixels.mean()), rel=1e-9)
    assert images.info.std[0] == pytest.approx(float(pixels.std(correction=0)), rel=1e-9)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_of_idx_files(tmp_path, zipped):
    images = load_images(idx_folder(tmp_path, zipped))
    assert torch.equal(images.train_images, torch.from_numpy(arrays()["train_images"]))
    assert images.info.classes == ("0", "1", "2", "3")


def test_an_npz_file_without_a_channel_axis(tmp_path):
    file = npz(tmp_path, train_images=arrays()["train_images"][:, 0], test_images=arrays()["test_images"][:, 0])
    assert load_images(file).train_images.shape == (20, 1, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "no array 'test_labels'"),
        ({"train_images": np.zeros((20, 1, 8, 8))}, "expected uint8"),
        ({"train_images": np.zeros((20, 1, 8, 9), np.uint8)}, "square"),
        ({"train_images": np.zeros((20, 8, 8, 3), np.uint8)}, "square"),
        ({"train_images": np.zeros((20, 2, 8, 8), np.uint8)}, "1 or 3 channels"),
        ({"train_images": np.zeros((0, 1, 8, 8), np.uint8), "train_labels": np.zeros(0, int)}, "empty"),
        ({"train_labels": np.arange(19) % 4}, "19 labels for 20 images"),
        ({"train_labels": np.arange(20) % 4 - 1}, "label -1 is out of range"),
        ({"test_labels": np.arange(8)}, "label 7, out of range for 4 classes"),
        ({"train_labels": np.zeros(20, int), "test_labels": np.zeros(8, int)}, "one class only"),
        ({"train_labels": np.where(np.arange(20) % 4 == 2, 3, np.arange(20) % 4)}, "class 2 has no training image"),
        ({"train_labels": np.arange(20) * 100}, "out of range"),
        ({"train_labels": np.arange(20) / 2}, "whole numbers"),
        ({"train_labels": np.full(20, 2**63 + 9, np.uint64)}, "9223372036854775817 is out of range"),
        ({"train_images": np.zeros((20, 1, 0, 0), np.uint8)}, "is empty"),
        ({"test_images": np.zeros((8, 1, 9, 9), np.uint8)}, "differ in shape"),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path, changes, message):
    file = npz(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as error:
        load_images(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_missing_truncated_or_corrupt_are_named(tmp_path):
    file = npz(tmp_path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    folder = idx_folder(tmp_path)
    (tmp_path / "part").mkdir()
    part = idx_folder(tmp_path / "part")
    (part / "t10k-labels-idx1-ubyte").unlink()
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x14abc")
    (tmp_path / "zip").mkdir()
    broken = idx_folder(tmp_path / "zip", zipped=True)
    label = broken / "t10k-labels-idx1-ubyte.gz"
    label.write_bytes(label.read_bytes()[:-6])
    (tmp_path / "none").mkdir()
    (tmp_path / "x.txt").write_text("hello")
    (tmp_path / "text.npz").write_text("hello")
    for path, message in (
        (file, "images.npz: cannot be read"),
        (folder, "train-labels-idx1-ubyte: is truncated"),
        (part, r"has no t10k-labels-idx1-ubyte \(or"),
        (broken, "t10k-labels-idx1-ubyte.gz: cannot be read"),
        (tmp_path / "none", "none of the known data sets; expected .*photos"),
        (tmp_path / "absent", "no such file"),
        (tmp_path / "x.txt", "unknown kind of data"),
        (tmp_path / "text.npz", "cannot be read"),
    ):
        with pytest.raises(DataError, match=message) as error:
            load_images(path)
        assert "\n" not in str(error.value)


def test_a_corrupt_member_of_an_npz_is_named(tmp_path):
    file = tmp_path / "images.npz"
    np.savez_compressed(file, **arrays())
    content = bytearray(file.read_bytes())
    content[120:160] = b"\xff" * 40
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.npz"):
        load_images(file)


def test_arrays_are_not_resized():
    assert load_images(image_size=28).info.image_size == 28
    with pytest.raises(DataError, match="fashion-mini: its images are of 28 px; image_size is for"):
        load_images(image_size=32)


def test_an_idx_file_of_another_type_is_refused(tmp_path):
    folder = idx_folder(tmp_path)
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(b"\0\0\x0d" + file.read_bytes()[3:])
    with pytest.raises(DataError, match="not an IDX file of unsigned bytes"):
        load_images(folder)


def test_normalised_training_images_have_mean_0_and_deviation_1():
    images = load_images()
    batches = Batches(images.info, torch.device("cpu"), torch.channels_last, seed=0)
    values = batches.normalise(images.train_images)
    assert values.is_contiguous(memory_format=torch.channels_last)
    assert float(values.mean()) == pytest.approx(0, abs=1e-4)
    assert float(values.std()) == pytest.approx(1, abs=1e-4)


def test_a_wrong_path_leaves_nothing_behind(tmp_path):
    from gradpath.training import compare

    with pytest.raises(DataError):
        compare(tmp_path / "absent", output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    shutil.rmtree(tmp_path)
