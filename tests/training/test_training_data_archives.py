"""CIFAR's pickles and SVHN's .mat files: read as their authors wrote them, and nothing in them is ever run."""

from __future__ import annotations

import io
import pickle
import struct
import zlib

import numpy as np
import pytest

from gradpath.errors import DataError
from gradpath.training import describe, load_images
from gradpath.training._data._pickles import read_pickle


def batch(count, classes, seed, key="labels"):
    rng = np.random.default_rng(seed)
    return {"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8), key: [i % classes for i in range(count)]}


def cifar10(folder, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}").write_bytes(pickle.dumps(batch(4, 2, i), protocol))
    (folder / "test_batch").write_bytes(pickle.dumps(batch(6, 2, 9), protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}, protocol))
    return folder


@pytest.mark.parametrize("protocol", [2, 5])
def test_cifar_10_in_its_own_folder_or_the_one_above(tmp_path, protocol):
    cifar10(tmp_path / "cifar-10-batches-py", protocol)
    report, images = describe(tmp_path)
    assert report.format == "CIFAR-10 pickles"
    assert images.info.classes == ("cat", "dog")
    assert images.train_labels.tolist() == [0, 1, 0, 1] * 5
    expected = np.concatenate([batch(4, 2, i)["data"] for i in range(1, 6)]).reshape(20, 3, 32, 32)
    assert np.array_equal(images.train_images.numpy(), expected)
    assert np.array_equal(images.test_images.numpy(), batch(6, 2, 9)["data"].reshape(6, 3, 32, 32))
    assert images.train_images.numpy().flags.writeable


def test_cifar_100_takes_its_fine_labels(tmp_path):
    for name, count in (("train", 8), ("test", 4)):
        content = batch(count, 4, 0, "fine_labels") | {"coarse_labels": [0] * count, "filenames": ["x"] * count}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    names = {"fine_label_names": list("abcd"), "coarse_label_names": ["z"]}
    (tmp_path / "meta").write_bytes(pickle.dumps(names, 2))
    images = load_images(tmp_path)
    assert images.info.classes == ("a", "b", "c", "d")
    assert images.test_labels.tolist() == [0, 1, 2, 3]


def python2_pickle(array, labels):
    """As cPickle of Python 2 wrote CIFAR: byte strings for names and for the array's content."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    content = array.tobytes()
    return (
        b"\x80\x02}(" + text(b"data") + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + b"".join(b"M" + struct.pack("<H", side) for side in array.shape) + b"\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(content)) + content + b"tb"
        + text(b"labels") + b"](" + b"".join(b"K" + bytes([y]) for y in labels) + b"eu."
    )  # fmt: skip


def test_pickles_of_python_2(tmp_path):
    array = batch(4, 2, 0)["data"]
    file = tmp_path / "data_batch_1"
    file.write_bytes(python2_pickle(array, [0, 1, 0, 1]))
    content = read_pickle(file)
    assert np.array_equal(content["data"], array)
    assert content["labels"] == [0, 1, 0, 1]


def test_arrays_by_column_and_of_other_numbers(tmp_path):
    given = {
        "f": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        "big": np.arange(4, dtype=">i4"),
        "real": np.linspace(0, 1, 3),
    }
    for protocol in (2, 4):
        (tmp_path / "p").write_bytes(pickle.dumps(given, protocol))
        for name, array in read_pickle(tmp_path / "p").items():
            assert np.array_equal(array, given[name])


class Calls:
    """Pickled, it calls what it is told to."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(mark):
    write = f"open({str(mark)!r}, 'w').close()"
    return {
        "exec": pickle.dumps({"data": Calls(exec, write)}, 2),
        "eval": pickle.dumps({"data": Calls(eval, write)}, 5),
        "system": f"cos\nsystem\n(S'touch {mark}'\ntR.".encode(),
        "getattr": b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'mro'\ntR.",
        "deep name": b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.",
        "loader": b"cnumpy\nload\n(S'x'\ntR.",
        "persistent": b"Pnumber\n.",
        "extension": b"\x80\x02\x82\x01.",
    }


@pytest.mark.parametrize("kind", list(hostile("x")))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, kind):
    mark = tmp_path / "ran"
    file = cifar10(tmp_path / "c") / "data_batch_2"
    file.write_bytes(hostile(mark)[kind])
    message = "cannot be read as a pickle" if kind == "extension" else "refused: it asks for"
    with pytest.raises(DataError, match=f"data_batch_2: {message}") as error:
        load_images(tmp_path / "c")
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_the_attacks_above_are_real(tmp_path):
    mark = tmp_path / "ran"
    pickle.loads(hostile(mark)["exec"])
    assert mark.exists()


def test_what_stands_in_for_numpy_cannot_be_changed_by_a_pickle(tmp_path):
    changing = b"cnumpy\ndtype\n(N}S'made'\nS'x'\nstb."  # set an attribute of what the name stands for
    (tmp_path / "p").write_bytes(changing)
    with pytest.raises(DataError, match="cannot be read as a pickle"):
        read_pickle(tmp_path / "p")
    (tmp_path / "p").write_bytes(pickle.dumps({"a": np.arange(3)}, 2))
    assert read_pickle(tmp_path / "p")["a"].tolist() == [0, 1, 2]


def test_an_array_of_objects_is_refused(tmp_path):
    (tmp_path / "p").write_bytes(pickle.dumps({"a": np.array([{}, []], object)}, 2))
    with pytest.raises(DataError, match="not of plain numbers"):
        read_pickle(tmp_path / "p")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "may be truncated"),
        (pickle.dumps(batch(4, 2, 1), 2)[:-700], "may be truncated"),
        (pickle.dumps([1], 2), "expected a pickled mapping, found a list"),
        (pickle.dumps({"data": 1}, 2), "has no 'labels'"),
        (pickle.dumps(batch(4, 2, 1) | {"labels": [0]}, 2), "1 labels for 4 images"),
        (pickle.dumps(batch(4, 2, 1) | {"labels": ["a"] * 4}, 2), "not whole numbers"),
        (pickle.dumps(batch(4, 2, 1) | {"data": np.zeros((4, 9), np.uint8)}, 2), r"uint8 \(4, 9\), expected"),
        (pickle.dumps(batch(4, 2, 1) | {"labels": [0, 1, 0, 7]}, 2), "label 7, out of range for 2 classes"),
        (None, "no such file, one of those of CIFAR-10"),
    ],
)
def test_broken_batches_are_named(tmp_path, content, message):
    file = cifar10(tmp_path) / "data_batch_3"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        load_images(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def mat(arrays, packed=True, order="<", cut=0):
    """A .mat file of version 5, written from the format's description."""

    def element(kind, content):
        return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)

    mark = b"IM" if order == "<" else b"MI"
    file = io.BytesIO()
    file.write(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark)
    for name, array in arrays.items():
        kind, klass = {"uint8": (2, 9), "float64": (9, 6), "int32": (5, 12)}[array.dtype.name]
        short = struct.pack(f"{order}HH" if order == ">" else "<HH", *((1, len(name))[:: 1 if order == "<" else -1]))
        matrix = element(6, struct.pack(f"{order}II", klass, 0))
        matrix += element(5, np.array(array.shape, f"{order}i4").tobytes())
        matrix += short + name.encode().ljust(4, b"\0")  # a small element: tag and content in eight bytes
        matrix += element(kind, array.astype(array.dtype.newbyteorder(order)).tobytes("F"))
        whole = element(14, matrix)
        if packed:
            content = zlib.compress(whole)
            content = content[: len(content) - cut]
            whole = struct.pack(f"{order}II", 15, len(content)) + content
        file.write(whole)
    return file.getvalue()


def svhn(folder, packed=True, order="<", labels=(1, 10, 2, 3, 4, 5, 6, 7, 8, 9)):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 3, len(labels)), dtype=np.uint8)
    content = mat({"X": images, "y": np.array(labels, np.uint8)[:, None]}, packed, order)
    for part in ("train", "test"):
        (folder / f"{part}_32x32.mat").write_bytes(content)
    return images


@pytest.mark.parametrize(("packed", "order"), [(True, "<"), (False, "<"), (True, ">")])
def test_svhn(tmp_path, packed, order):
    expected = svhn(tmp_path, packed, order)
    images = load_images(tmp_path)
    assert images.info.name == "SVHN"
    assert images.train_labels.tolist() == [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert np.array_equal(images.test_images.numpy(), expected.transpose(3, 2, 0, 1))


def test_mat_files_as_scipy_writes_them(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    from gradpath.training._data._mat import read_mat

    arrays = {"X": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.array([[1.5], [2.0]]), "text": "words"}
    for packed in (True, False):
        scipy_io.savemat(tmp_path / "a.mat", arrays, do_compression=packed)
        found = read_mat(tmp_path / "a.mat")
        assert set(found) == {"X", "y"}
        assert np.array_equal(found["X"], arrays["X"])
        assert np.array_equal(found["y"], arrays["y"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-9], "test_32x32.mat: cannot be read as a MATLAB file, it may be truncated"),
        (lambda content: content[:60], "not a MATLAB file of version 5"),
        (lambda content: b"MATLAB 7.3 MAT-file" + content[19:], "HDF5"),
        (lambda content: mat({"X": np.zeros((2, 2), np.uint8)}, cut=4), "a compressed array ends early"),
        (lambda content: mat({"X": np.zeros((2, 2), np.uint8)}), "has no arrays X and y, found X"),
        (lambda content: mat({"X": np.zeros((2, 2)), "y": np.zeros(2, np.uint8)}), "X is float64"),
        (lambda content: None, "no such file"),
    ],
)
def test_broken_mat_files_are_named(tmp_path, spoil, message):
    svhn(tmp_path)
    file = tmp_path / "test_32x32.mat"
    content = spoil(file.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        load_images(tmp_path)
    assert "\n" not in str(error.value)


def test_a_digit_out_of_range_is_named(tmp_path):
    svhn(tmp_path, labels=(1, 2, 11))
    with pytest.raises(DataError, match="label 11 is out of range: y counts from 1 to 10"):
        load_images(tmp_path)
