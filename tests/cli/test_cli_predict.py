"""`gradpath predict` and `gradpath export` as a user meets them."""

from __future__ import annotations

import json

import pytest
import torch
from in_process import Shell

from gradpath.nets import build, resolve, save_weights
from tiny_training import PETS as INFO

pytest.importorskip("safetensors")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    torch.manual_seed(1)
    save_weights(build(resolve("resnet-8", classes=3, input_size=8, width=4)), tmp_path / "w.safetensors", INFO)
    for i in range(3):
        (tmp_path / "new").mkdir(exist_ok=True)
        Image.new("RGB", (9, 8), (80 * i, 40, 10)).save(tmp_path / "new" / f"{i}.png")
    return Shell(tmp_path, monkeypatch, capsys)


def test_a_row_for_each_image(shell):
    done = shell("predict", "w.safetensors", "new", check=0)
    lines = done.out.splitlines()
    assert lines[0] == "3 images by residual 8 (w.safetensors), 3 classes, at 8 px"
    assert [line.split()[0] for line in lines[-3:]] == ["new/0.png", "new/1.png", "new/2.png"]
    assert all(line.split()[1] in INFO.classes and line.count("%") == 3 for line in lines[-3:])
    assert max(map(len, lines)) <= 80
    assert not done.err
    assert shell("predict", "w.safetensors", "new", "--top-k", 1, check=0).out.splitlines()[-1].count("%") == 1


def test_formats_and_files(shell):
    record = json.loads(shell("predict", "w.safetensors", "new/0.png", "--format", "json", check=0).out)
    assert record["kind"] == "predictions"
    assert record["images"][0]["image"] == "new/0.png"
    best = record["images"][0]["classes"][0]
    assert f"| new/0.png | {best} |" in shell("predict", "w.safetensors", "new", "--format", "markdown", check=0).out
    done = shell("predict", "w.safetensors", "new", "--output", "p.csv", check=0)
    assert "written to p.csv" in done.err
    rows = (shell.folder / "p.csv").read_text().splitlines()
    assert rows[0] == "image,rank,class,probability"
    assert len(rows) == 1 + 3 * 3
    assert rows[1].startswith(f"new/0.png,1,{best},0.")
    shell("predict", "w.safetensors", "new", "--output", "out", "--quiet", check=0)
    assert json.loads((shell.folder / "out" / "predictions.json").read_text())["images"][0]["classes"][0] == best


def test_what_cannot_be_read_is_listed(shell):
    (shell.folder / "new" / "1.png").write_bytes(b"no")
    done = shell("predict", "w.safetensors", "new", check=0)
    assert done.out.endswith("\n1 image could not be read:\nnew/1.png: not an image that Pillow can read\n")


def test_class_names_from_a_file(shell):
    shell.write("names.txt", "un\ndeux\n\ntrois\n")
    done = shell("predict", "w.safetensors", "new", "--classes", "names.txt", "--format", "json", check=0)
    assert json.loads(done.out)["classes"] == ["un", "deux", "trois"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["w.safetensors", "away.png"], "away.png: there is no such file"),
        (["away.safetensors", "new"], "away.safetensors: there is no such file"),
        (["new/0.png", "new"], "weights are read from"),
        (["w.safetensors", "new", "--classes", "away.txt"], "--classes away.txt: cannot be read"),
        (["w.safetensors", "new", "--classes", "w.safetensors"], "cannot be read as text"),
        (["w.safetensors", "new", "--output", "p.html"], "the ending is none of"),
        (["w.safetensors", "new", "--net", "resnet-9"], "depth 9 does not make"),
        (["w.safetensors"], "Missing argument 'IMAGE...'"),
    ],
)
def test_wrong_input_is_one_line(shell, arguments, message):
    done = shell("predict", *arguments, check=2)
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not done.out


def test_export_says_what_the_file_takes(shell):
    pytest.importorskip("onnxruntime")
    done = shell("export", "w.safetensors", check=0)
    assert "residual 8: float32 N×3×8×8, pixels from 0 to 1 (normalised inside)" in done.out
    assert "checked on random images in batches of 1 and 3" in done.out
    assert done.err == "written to w.onnx\n"
    told = json.loads(shell("export", "w.safetensors", "--format", "json", "--quiet", check=0).out)
    assert told["file"] == "w.onnx"
    assert told["difference"] < told["tolerance"]
    wrong = shell("export", "w.safetensors", "--output", "w.tflite", check=2)
    assert wrong.err.count("\n") == 1
