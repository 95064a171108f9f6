"""Records: JSON that survives NaN and infinity, in JavaScript too; versions; nothing half-written."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest

from gradpath.errors import RecordError, SpecError, UserError
from gradpath.record import Epoch, Flow, Layer, NetSpec, Unseen, read
from gradpath.record._base import KINDS
from gradpath.record._schema import json_schema

LAYER = Layer(
    scope="stem",
    call=0,
    module="Conv2d",
    weighted=True,
    shape=(2, 3, 4, 4),
    resolution="4x4",
    log10_activation_rms=0.5,
    log10_gradient_rms=-math.inf,
    log10_gradient_norm=math.nan,
    log10_parameter_gradient_norm=None,
    log10_parameter_norm=math.inf,
)
FLOW = Flow(
    model="Net",
    mode="train",
    dtype="float32",
    autocast=None,
    device="cpu",
    loss=math.nan,
    at="stem",
    stem_over_head=7.3e-24,
    log10_stem_gradient_norm=-23.1,
    gain_per_layer=(),
    skip_share=None,
    effective_depth=None,
    forks=(),
    layers=(LAYER,),
    unseen=Unseen(),
)


def test_numbers_that_are_not_finite_survive(tmp_path):
    file = FLOW.save(tmp_path / "flow.json")
    back = read(file)
    assert isinstance(back, Flow)
    assert math.isnan(back.loss)
    assert back.layers[0].log10_gradient_rms == -math.inf
    assert back.layers[0].gradient_rms == 0.0
    assert back.layers[0].log10_parameter_norm == math.inf
    assert math.isnan(back.layers[0].log10_gradient_norm)
    assert back.stem_over_head == 7.3e-24
    assert "NaN" in json.loads(file.read_text())["loss"]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_they_survive_in_javascript_too(tmp_path):
    file = FLOW.save(tmp_path / "flow.json")
    script = (
        "const r = JSON.parse(require('fs').readFileSync(process.argv[1])); const l = r.layers[0];"
        "console.log([r.loss, l.log10_gradient_rms, l.log10_parameter_norm, r.stem_over_head].map(Number).join(' '))"
    )
    out = subprocess.run(["node", "-e", script, str(file)], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["NaN", "-Infinity", "Infinity", "7.3e-24"]


def test_a_newer_schema_is_refused(tmp_path):
    file = FLOW.save(tmp_path / "flow.json")
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"schema": data["schema"] + 1}))
    with pytest.raises(RecordError, match=r"flow\.json: is of schema 2 .* upgrade gradpath"):
        read(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "flaw"}, "unknown kind 'flaw'"),
        ({"loss": "low"}, "loss: expected float, found 'low'"),
        ({"layers": 3}, "layers: expected"),
        ({"mode": "asleep"}, "mode: expected"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    file = FLOW.save(tmp_path / "flow.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(RecordError, match=message):
        read(file)


def test_hostile_files_are_refused_by_name(tmp_path):
    file = tmp_path / "x.json"
    good = json.loads(NetSpec(family="plain", depth=20).to_json())
    for content in (
        "[" * 100_000,
        json.dumps(good | {"kind": []}),
        json.dumps(good | {"schema": True}),
        json.dumps(good | {"depth": 21}),
        json.dumps(good | {"compression": 10**400}),
    ):
        file.write_text(content)
        with pytest.raises(RecordError, match=r"x\.json") as error:
            read(file)
        assert "\n" not in str(error.value)


def test_a_missing_field_is_named(tmp_path):
    file = FLOW.save(tmp_path / "flow.json")
    data = json.loads(file.read_text())
    del data["loss"]
    file.write_text(json.dumps(data))
    with pytest.raises(RecordError, match="'loss' is missing"):
        read(file)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\ufffd"])
def test_files_that_are_no_records_are_named(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(RecordError, match=r"x\.json"):
        read(file)


def test_a_folder_without_a_record_is_named(tmp_path):
    with pytest.raises(RecordError, match="holds 0 records"):
        read(tmp_path)


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    file = FLOW.save(tmp_path / "flow.json")
    before = file.read_text()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match="disk full"):
        replace(FLOW, model="Other").save(file)
    assert file.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["flow.json"]


def test_parts_of_records_are_not_files(tmp_path):
    with pytest.raises(TypeError, match="part of a record"):
        Epoch(train_loss=1.0, train_accuracy=0.5, test_accuracy=0.5, seconds=1.0).save(tmp_path / "x.json")


def test_the_published_schema_is_that_of_the_records():
    published = json.loads((files("gradpath.record") / "schema-1.json").read_text())
    assert published == json_schema()
    assert set(KINDS) == {rule["properties"]["kind"]["const"] for rule in published["oneOf"]}


def test_the_published_schema_accepts_records_and_refuses_others(tmp_path):
    validator = jsonschema.Draft202012Validator(json_schema())
    good = json.loads(FLOW.to_json())
    validator.validate(good)
    for bad in ({"loss": "low"}, {"kind": "run"}, {"schema": "1"}, {"surprise": 1}):
        assert not validator.is_valid(good | bad), bad


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"family": "residual", "depth": 57}, "6n\\+2: 56 or 62"),
        ({"family": "dense", "depth": 56, "bottleneck": True}, "6n\\+4: 52 or 58"),
        ({"family": "residual", "depth": 165, "bottleneck": True}, "9n\\+2: 164 or 173"),
        ({"family": "plain", "depth": 2}, "6n\\+2: 8"),
        ({"family": "plain", "depth": 20, "classes": 0}, "classes must be at least 1"),
    ],
)
def test_a_spec_that_makes_no_net_is_refused_with_its_neighbours(fields, message):
    with pytest.raises(SpecError, match=message) as error:
        NetSpec(**fields)
    assert "\n" not in str(error.value)
