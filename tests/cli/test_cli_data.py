"""`gradpath data`, and a folder of photos as --data of the commands that train."""

from __future__ import annotations

import json

import pytest
from in_process import Shell

from gradpath.record import DataReport, read
from gradpath.training._data import _cache

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_cache, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "work").mkdir()
    return Shell(tmp_path / "work", monkeypatch, capsys)


def pets(folder, cats=30, dogs=10):
    """Dark cats and bright dogs of different sizes."""
    for name, count, level in (("cat", cats, 40), ("dog", dogs, 220)):
        (folder / "pets" / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (12 + i % 3, 12), (level, level, i)).save(folder / "pets" / name / f"{i}.png")
    return folder / "pets"


def test_the_screen_says_what_there_is(shell):
    pets(shell.folder)
    done = shell("data", "pets", check=0)
    assert "pets: 40 images of 2 classes (image folder)" in done.out
    assert "32 for training, 8 for testing (20.0 % of each class, held out by seed 0)" in done.out
    assert "files of 3 sizes: 12×12 px to 14×12 px, median 13×12 px" in done.out
    assert "imbalanced: cat has 3 times as many training images as dog; always answering cat is" in " ".join(
        done.out.split()
    )
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if line.startswith(("cat", "dog"))}
    assert rows["cat"][1:] == ["24", "6", "█" * 24]
    assert rows["dog"][1:] == ["8", "2", "█" * 8]
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_json_and_files(shell):
    pets(shell.folder)
    record = json.loads(shell("data", "pets", "--format", "json", check=0).out)
    assert record["kind"] == "data"
    assert record["train_counts"] == [24, 8]
    done = shell("data", "pets", "--image-size", "10", "--output", "out", check=0)
    assert "sheet.png" in done.err
    kept = read(shell.folder / "out" / "data.json")
    assert isinstance(kept, DataReport)
    assert (kept.info.image_size, kept.bytes) == (10, 40 * 3 * 10 * 10)
    with Image.open(shell.folder / "out" / "sheet.png") as sheet:
        assert sheet.getpixel((150, 4 + 32)) == (40, 40, 0)  # the first cat
        assert sheet.getpixel((150, 4 + 68 + 32))[:2] == (220, 220)
    shell("data", "pets", "--output", "s.PNG", "--quiet", check=0)
    assert (shell.folder / "s.PNG").read_bytes()[:4] == b"\x89PNG"
    assert "| cat | 24 | 6 |" in shell("data", "pets", "--format", "markdown", check=0).out
    for ending in ("txt", "md", "json"):
        shell("data", "pets", "--output", f"d.{ending}", check=0)
        assert "cat" in (shell.folder / f"d.{ending}").read_text(encoding="utf-8")


def test_what_was_skipped_and_why(shell):
    folder = pets(shell.folder)
    (folder / "dog" / "x.jpg").write_bytes(b"no")
    done = shell("data", "pets", check=0)
    assert "1 image could not be read (2.4 %, more than the 1.0 % that training skips):" in done.out
    assert "dog/x.jpg: not an image that Pillow can read" in done.out
    refused = shell("train", "resnet-8", "--data", "pets", "--output", "run", check=2)
    assert "dog/x.jpg" in refused.err
    assert refused.err.count("\n") == 1
    assert not (shell.folder / "run").exists()


def test_the_shipped_images_need_no_folder(shell):
    done = shell("data", check=0)
    assert "fashion-mini: 6,000 images of 10 classes (shipped)" in done.out
    assert "balanced: 500 to 500 training images a class" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent",), "absent: no such file"),
        (("empty",), "empty: holds no images in class folders"),
        (("pets", "--output", "x.gif"), "none of .png, .txt"),
        (("pets", "--image-size", "2"), "between 8 and 4096"),
        (("pets", "--image-size", "x"), "image-size"),
        (("fashion-mini", "--image-size", "32"), "images are of 28 px"),
    ],
)
def test_bad_input_is_one_line(shell, arguments, message):
    pets(shell.folder, 3, 3)
    (shell.folder / "empty").mkdir()
    done = shell("data", *arguments, check=2)
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not done.out


def test_photos_are_trained_on_compared_and_evaluated(shell):
    pets(shell.folder)
    shell(
        "train", "resnet-8", "--data", "pets", "--image-size", "16", "--epochs", "2", "--batch-size", "8",
        "--precision", "float32", "--output", "run", "--quiet", check=0,
    )  # fmt: skip
    record = read(shell.folder / "run" / "run.json")
    assert record.data.classes == ("cat", "dog")
    assert (record.data.image_size, record.spec.input_size) == (16, 16)
    weights = shell.folder / "run" / record.weights
    right = json.loads(shell("eval", weights, "--data", "pets", "--format", "json", check=0).out)
    assert right["images"] == 8
    assert right["accuracy"] == record.test_accuracy
    (shell.folder / "pets" / "dog").rename(shell.folder / "pets" / "aardvark")
    done = shell("eval", weights, "--data", "pets", check=2)
    assert "was trained on the classes cat, dog; pets has aardvark, cat" in done.err


@pytest.mark.slow
def test_photos_are_compared(shell):
    pets(shell.folder)
    shell(
        "compare", "--quick", "--depth", "8", "--epochs", "1", "--data", "pets", "--image-size", "8",
        "--output", "run", "--quiet", check=0,
    )  # fmt: skip
    assert read(shell.folder / "run" / "compare.json").data.name == "pets"
