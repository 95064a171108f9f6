"""`gradpath.training.export`: files that other runtimes run, equal to the net, or no file at all."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gradpath.errors import MissingExtraError, UserError
from gradpath.nets import build, resolve, save_weights
from gradpath.training import TOLERANCE, _export, export
from tiny_training import PETS

pytest.importorskip("safetensors")
INFO = replace(PETS, classes=("cat", "dog", "été"))
SMALL = {"classes": 3, "input_size": 8}
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")), reason="needs gradpath[export]"
)


def weights_of(place, name="resnet-8", info=INFO, **fields):
    torch.manual_seed(2)
    net = build(resolve(name, **SMALL, **fields))
    with torch.no_grad():
        net(torch.randn(16, 3, 8, 8))  # lively running statistics
    return net.eval(), save_weights(net, place / "w.safetensors", info)


def onnx_logits(file, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def by_hand(net, pixels):
    """Logits of pixels in 0..1, normalised here."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (INFO.mean, INFO.std))
    with torch.no_grad():
        return net((pixels - mean) / std).numpy()


@needs_onnx
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet-8", {"width": 4}),
        ("resnet-8", {"width": 4, "norm": "none"}),
        ("preresnet-8", {"width": 4}),
        ("plain-8", {"width": 4}),
        ("densenet-bc-10-4", {}),
    ],
)
def test_onnx_gives_the_nets_logits_for_any_batch(tmp_path, name, fields):
    net, file = weights_of(tmp_path, name, **fields)
    done = export(file, tmp_path / "x.onnx")
    for count in (1, 5):
        pixels = torch.rand(count, 3, 8, 8)
        np.testing.assert_allclose(onnx_logits(done.file, pixels.numpy()), by_hand(net, pixels), atol=1e-4, rtol=1e-4)
    assert done.takes == "float32 N×3×8×8, pixels from 0 to 1 (normalised inside)"
    assert 0 < done.difference < TOLERANCE
    assert (done.bytes, done.classes) == (done.file.stat().st_size, 3)


@needs_onnx
def test_bytes_may_go_in_and_the_metadata_says_what_the_file_takes(tmp_path):
    import onnx

    net, file = weights_of(tmp_path, width=4)
    done = export(file, tmp_path / "x.onnx", pixels="uint8")
    pixels = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    np.testing.assert_allclose(onnx_logits(done.file, pixels.numpy()), by_hand(net, pixels / 255), atol=1e-4, rtol=1e-4)
    (entry,) = onnx.load(done.file).metadata_props
    told = json.loads(entry.value)
    assert entry.key == "gradpath"
    assert told["classes"] == ["cat", "dog", "été"]
    assert told["input"] == "uint8 N×3×8×8, pixels from 0 to 255 (normalised inside)"
    assert (told["image_size"], told["channels"], told["normalised_inside"]) == (8, "RGB", True)
    assert told["mean"] == pytest.approx(INFO.mean)


@pytest.mark.slow
def test_pt2_gives_the_nets_logits_and_leaves_the_normalisation_to_the_caller_when_asked(tmp_path):
    net, file = weights_of(tmp_path, width=4)
    done = export(file, tmp_path / "x.pt2", normalise="none")
    extra = {"gradpath.json": ""}
    program = torch.export.load(done.file, extra_files=extra).module()
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(program(images), net(images), atol=1e-5, rtol=1e-5)
    told = json.loads(extra["gradpath.json"])
    assert (told["normalised_inside"], told["mean"], told["std"]) == (False, list(INFO.mean), list(INFO.std))
    assert done.takes.endswith("normalised by the caller")


def test_a_file_that_differs_from_the_net_is_not_kept(tmp_path, monkeypatch):
    _, file = weights_of(tmp_path, width=4)
    (tmp_path / "x.pt2").write_text("the one before")
    wrong = (lambda *_: b"wrong", lambda content: lambda images: F.one_hot(torch.arange(len(images)) % 3, 3).float())
    monkeypatch.setitem(_export._WRITERS, ".pt2", wrong)
    with pytest.raises(
        UserError, match=r"x\.pt2: not written: its logits differ from the net's by .* more than 0\.0001"
    ):
        export(file, tmp_path / "x.pt2")
    assert (tmp_path / "x.pt2").read_text() == "the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors", "x.pt2"]
    for give, message in (
        (lambda images: torch.zeros(1, 3), r"it gives \(1, 3\) for 3 images"),
        (lambda images: torch.full((len(images), 3), torch.nan), "differ from the net's by nan"),
    ):
        monkeypatch.setitem(_export._WRITERS, ".pt2", (lambda *_: b"", lambda content, give=give: give))
        with pytest.raises(UserError, match=message):
            export(file, tmp_path / "y.pt2")
        assert not (tmp_path / "y.pt2").exists()


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    _, file = weights_of(tmp_path, width=4)
    with pytest.raises(UserError, match=r"x\.tflite: the ending is neither \.onnx nor \.pt2"):
        export(file, tmp_path / "x.tflite")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"needs onnxruntime.*gradpath\[export\]"):
        export(file, tmp_path / "x.onnx")
    monkeypatch.setattr(torch.export, "export", lambda *a, **k: exec("raise ValueError('no\\nway')"))
    with pytest.raises(UserError, match=r"x\.pt2: this net cannot be exported \(ValueError: no\)"):
        export(file, tmp_path / "x.pt2")
    assert not (tmp_path / "x.pt2").exists()


@needs_onnx
@pytest.mark.slow
def test_where_the_tracer_fails_torch_export_writes_the_onnx(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    net, file = weights_of(tmp_path, width=4)
    monkeypatch.setattr(_export, "_traced", lambda *_: exec("raise TypeError('gone')"))
    done = export(file, tmp_path / "x.onnx")
    pixels = torch.rand(5, 3, 8, 8)
    np.testing.assert_allclose(onnx_logits(done.file, pixels.numpy()), by_hand(net, pixels), atol=1e-4, rtol=1e-4)


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet-20", "preresnet-20", "densenet-bc-40-12", "resnet-110"])
@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_nets_of_the_papers(tmp_path, name, ending):
    torch.manual_seed(0)
    file = save_weights(build(resolve(name)), tmp_path / "w.safetensors")
    assert export(file, tmp_path / f"x{ending}", normalise="imagenet").difference < 1e-5
