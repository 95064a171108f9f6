"""Quantities as text, and back."""

from __future__ import annotations

import pytest

from gradpath import units
from gradpath.errors import UserError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("512 MiB", 512 * 2**20),
        ("2.5GB", 2_500_000_000),
        ("2.5gb", 2_500_000_000),
        (".5 kib", 512),
        ("1e9", 10**9),
        ("1.5e3 kB", 1_500_000),
        ("12345", 12345),
        (12345, 12345),
        (1e6, 10**6),
        ("3TiB", 3 * 2**40),
        ("100 B", 100),
        ("7 bytes", 7),
    ],
)
def test_memory_is_read(text, size):
    assert units.parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "4 GiB free", "-1GiB", "0", "four", "4Gb/s", True, "80%", "auto", "1e40", "nan", "inf"]
)
def test_what_is_no_memory_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="is no amount of memory") as caught:
        units.parse_memory(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 1000, 1024, 123_456_789, 13_207_024_435])
def test_what_is_printed_is_read_back_to_three_digits(size):
    assert units.parse_memory(units.memory(size)) == pytest.approx(size, rel=0.005)
