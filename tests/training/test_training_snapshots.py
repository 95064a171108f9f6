"""Snapshots: a state comes back to the bit, half a file is refused, a full disk takes nothing away."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from gradpath.errors import SnapshotError, UserError
from gradpath.record import _base
from gradpath.training._snapshots import Snapshots, from_bytes, to_bytes

pytest.importorskip("safetensors")


def state(step: int = 0):
    """What a loop keeps, in all kinds of values and memory formats."""
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    return {
        "step": step,
        "rate": 0.1 + step / 3,
        "texts": ["", 'ü, \'"sha256":"', None, True],
        "not finite": (math.inf, -math.inf),
        "net": {"weight": weight.to(memory_format=torch.channels_last), "one": torch.zeros(4, 1, 3, 3)[:, :, ::2]},
        "optimizer": {
            "state": {0: {"momentum": weight * 2, "step": torch.tensor(3)}, 1: {}},
            "groups": [{"lr": 1e-300}],
        },
        "slice of a larger one": weight[:2],
        "half": weight.bfloat16(),
        "random": torch.get_rng_state(),
        "flag": torch.tensor(True),
        "nothing": torch.zeros(0, 3),
    }


def same(left, right):
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def test_a_state_comes_back_to_the_bit():
    first = state()
    again = from_bytes(to_bytes(first), Path("f"))
    assert same(first, again)
    assert again["net"]["weight"].stride() == first["net"]["weight"].stride() != (27, 9, 3, 1)
    assert math.isnan(from_bytes(to_bytes({"loss": math.nan}), Path("f"))["loss"])
    with pytest.raises(TypeError, match="no set"):
        to_bytes({"x": {1, 2}})


def test_the_digest_is_that_of_the_file_without_it():
    content = to_bytes(state())
    digest = re.search(rb'"sha256":"([0-9a-f]{64})"', content)[1]
    assert hashlib.sha256(content.replace(digest, b"0" * 64)).hexdigest() == digest.decode()


def test_any_change_and_any_cut_is_refused():
    content, rng = to_bytes(state()), random.Random(0)
    places = [0, 7, 8, 20, len(content) - 1, *(rng.randrange(len(content)) for _ in range(200))]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises(SnapshotError, match=r"^dir/f: "):
            from_bytes(bytes(changed), Path("dir/f"))
        with pytest.raises(SnapshotError, match=r"^dir/f: .*cut short"):
            from_bytes(content[:place], Path("dir/f"))
    with pytest.raises(SnapshotError, match="cut short"):
        from_bytes(content + b"x", Path("f"))


def test_a_newer_format_is_refused():
    content = to_bytes(state()).replace(b'"gradpath_snapshot":"1"', b'"gradpath_snapshot":"9"')
    digest = re.search(rb'"sha256":"([0-9a-f]{64})"', content)[1]
    blank = content.replace(digest, b"0" * 64)
    with pytest.raises(SnapshotError, match="upgrade gradpath"):
        from_bytes(content.replace(digest, hashlib.sha256(blank).hexdigest().encode()), Path("f"))


def test_the_last_two_are_kept(tmp_path):
    snapshots = Snapshots(tmp_path)
    assert snapshots.newest() is None
    for step in (9, 10, 11):
        snapshots.write(state(step), step)
    assert [file.name for file in snapshots.files()] == ["step-00000011.safetensors", "step-00000010.safetensors"]
    found = Snapshots(tmp_path).newest()
    assert same(found.state, state(11))
    assert found.refused == ()
    snapshots.clear()
    assert not (tmp_path / "snapshots").exists()


def test_the_one_before_is_used_where_the_newest_is_broken(tmp_path):
    writer = Snapshots(tmp_path)
    before, newest = writer.write(state(1), 1), writer.write(state(2), 2)
    newest.write_bytes(newest.read_bytes()[:-1])
    snapshots = Snapshots(tmp_path)
    found = snapshots.newest()
    assert found.file == before
    assert same(found.state, state(1))
    assert found.refused == (f"{newest}: its content is not what its digest says: it was cut short or changed",)
    snapshots.write(state(2), 2)  # as a resumed run comes by again
    assert snapshots.newest().file == newest
    assert len(snapshots.files()) == 2
    before.write_bytes(b"")
    newest.write_bytes(b"nothing")
    with pytest.raises(SnapshotError, match=r"step-00000002.*\(and 1 more\); there is no other"):
        Snapshots(tmp_path).newest()


def test_a_broken_newer_one_does_not_outlive_the_next(tmp_path):
    writer = Snapshots(tmp_path)
    writer.write(state(1), 1)
    writer.write(state(9), 9).write_bytes(b"")
    (tmp_path / "snapshots" / ".step-00000010.safetensors.ab12").write_bytes(b"of a killed process")
    snapshots = Snapshots(tmp_path)
    snapshots.newest()
    snapshots.write(state(2), 2)
    names = sorted(file.name for file in (tmp_path / "snapshots").iterdir())
    assert names == ["step-00000001.safetensors", "step-00000002.safetensors"]


def test_a_full_disk_takes_nothing_away(tmp_path, monkeypatch):
    snapshots = Snapshots(tmp_path)
    for step in (1, 2):
        snapshots.write(state(step), step)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_base.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written .No space left"):
        snapshots.write(state(3), 3)
    monkeypatch.undo()
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    assert same(Snapshots(tmp_path).newest().state, state(2))
    snapshots.write(state(4), 4)
    assert [file.name for file in snapshots.files()] == ["step-00000004.safetensors", "step-00000002.safetensors"]


def test_a_disk_that_is_really_full(tmp_path):
    if os.name == "nt" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        snapshots, large = Snapshots(disk), {"x": torch.zeros(25_000)}  # 100 kB: two fit, three do not
        for step in (1, 2):
            snapshots.write(large, step)
        with pytest.raises(UserError, match=r"cannot be written .No space left"):
            snapshots.write(large, 3)
        assert len(list(snapshots.folder.iterdir())) == 2
        assert same(Snapshots(disk).newest().state, large)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
