"""The exceptions themselves."""

from __future__ import annotations

import pickle

from gradpath.errors import MissingExtraError


def test_a_missing_package_can_be_told_to_other_processes():
    error = MissingExtraError("safetensors", "build", "keeping the weights")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and type(again) is MissingExtraError
