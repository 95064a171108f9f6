"""Libraries of models, where they are installed. None is a dependency: `pip install timm torchvision transformers`."""

from __future__ import annotations

import contextlib

import pytest

from sweep.libraries import load, load_torchvision


def _need(name: str):
    try:
        return load(name)
    except ImportError as error:
        return pytest.skip(f"{name} is not installed: {error}")


@pytest.fixture(scope="session")
def _torchvision_imports() -> None:
    """A torchvision wheel made for CUDA imports beside CPU-only torch once two of its operators are defined. The other
    libraries import it where they find it."""
    with contextlib.suppress(ImportError):
        load_torchvision()


@pytest.fixture(scope="session")
def torchvision_models(_torchvision_imports):
    return _need("torchvision.models")


@pytest.fixture(scope="session")
def timm(_torchvision_imports):
    return _need("timm")


@pytest.fixture(scope="session")
def transformers(_torchvision_imports):
    found = _need("transformers")
    found.logging.set_verbosity_error()
    return found
