"""TARGET: what a user wants looked at, from a word on the command line to a model, a batch and a loss."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from gradpath.errors import GradpathError, SpecError, TraceError

PROBE = '''"""What `gradpath trace {name}` looks at: your model, one batch, your loss."""
import torch
import torch.nn.functional as F


def probe():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    inputs = torch.randn(8, 3, 32, 32)  # one batch, as your training loop gives it
    targets = torch.randint(10, (8,))
    return model, (inputs, targets), F.cross_entropy  # or (model, batch); or the model alone, with --input 8x3x32x32
'''
FUNCTION = "probe"
"""The function that is called where TARGET names a file alone."""
BATCH = 8
"""Samples of a default input: BatchNorm needs several."""
FORMS = "file.py:function, package.module:function, a name such as resnet-110, timm:NAME or torchvision:NAME"


@dataclass(frozen=True)
class Target:
    """What TARGET gave."""

    model: nn.Module
    batch: Any = None
    """As the function returned it; None where there is none."""
    criterion: Callable[..., Any] | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of a default input, for models whose input is known."""
    name: str | None = None
    """What records call it; None: the model's class."""


def load_target(text: str) -> Target:
    """The model that TARGET means. The caller has seeded the random state. Raises TraceError for what is none."""
    place, colon, name = text.rpartition(":")
    if place in _LIBRARIES:
        return _LIBRARIES[place](name)
    if not colon and not text.endswith(".py"):
        return _ours(text)
    file, function = (text, FUNCTION) if text.endswith(".py") else (place, name)
    if not (file and function):
        raise TraceError(f"TARGET {text!r} names no function: TARGET is {FORMS}")
    with _importable(file):
        module = _module(file)
        maker = getattr(module, function, None)
        if not callable(maker):
            raise TraceError(f"{text}: {file} has no function {function!r}{_there_are(module, function)}")
        if isinstance(maker, nn.Module):
            return Target(maker)
        if needed := _needed(maker):
            raise TraceError(
                f"{text} takes {needed}, but is called without arguments: give each of them a default value"
            )
        with users_code(f"{text} raised"):
            return _returned(text, maker())


def write_probe(file: Path) -> Path:
    """A probe to start from. Raises TraceError where the file exists already."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(PROBE.format(name=file))
    except FileExistsError:
        raise TraceError(f"{file} exists already and is left as it is: gradpath trace --init OTHER.py") from None
    except OSError as error:
        raise TraceError(f"{file}: cannot be written ({error.strerror}): name a file in a folder that exists") from None
    return file


@contextlib.contextmanager
def users_code(what: str) -> Iterator[None]:
    """What the user's code prints goes to stderr; what it raises becomes one line that names the user's own line."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (GradpathError, AssertionError):
        raise
    except Exception as error:
        raise users_error(what, error) from error
    except SystemExit as error:
        raise TraceError(
            f"{what} SystemExit({error.code}): does it parse a command line or end the program?"
        ) from error


def users_error(what: str, error: BaseException) -> TraceError:
    """'train.py:probe raised ValueError: … (train.py, line 12)'."""
    return TraceError(f"{what} {type(error).__name__}: {_first_line(error)}{_users_line(error)}")


def _first_line(error: BaseException) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # str() would name the line a second time
    return next(iter(said.strip().splitlines()), "no message")[:200]


def _users_line(error: BaseException) -> str:
    """' (train.py, line 12)': the deepest line that is neither in an installed package nor in Python itself."""
    apart = ("site-packages", "dist-packages", "importlib", "<frozen", str(Path(__file__).parents[1]), "contextlib.py")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(part in frame.filename for part in apart):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    return ""


@contextlib.contextmanager
def _importable(file: str) -> Iterator[None]:
    """The current folder, and the file's own, importable as in `python file.py`; no arguments for a parser to find."""
    folders = [str(Path.cwd()), *([str(Path(file).resolve().parent)] if file.endswith(".py") else [])]
    path, arguments = list(sys.path), sys.argv
    sys.path[:0] = list(dict.fromkeys(reversed(folders)))
    sys.argv = [file]
    try:
        yield
    finally:
        sys.path[:], sys.argv = path, arguments


def _module(file: str) -> ModuleType:
    """The module of 'train.py' or 'package.module'."""
    if not file.endswith(".py"):
        if importlib.util.find_spec(file.partition(".")[0]) is None:
            raise TraceError(f"TARGET: no module {file!r} in this folder or installed; TARGET is {FORMS}")
        with users_code(f"importing {file} raised"):
            return importlib.import_module(file)
    if not Path(file).is_file():
        raise TraceError(f"{file}: there is no such file; gradpath trace --init writes one to start from")
    name = Path(file).stem if Path(file).stem not in sys.modules else f"gradpath_target_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TraceError(f"{file}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles in the file look themselves up there
    with users_code(f"importing {file} raised"):
        spec.loader.exec_module(module)
    return module


def _needed(maker: Any) -> str:
    """The arguments that have no default: 'config, size'; '' where none is needed or nothing is known."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return ""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return ", ".join(p.name for p in parameters if p.default is p.empty and p.kind not in variadic)


def _there_are(module: ModuleType, asked: str) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    ]
    near = difflib.get_close_matches(asked, own, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    more = f" … ({len(own)} in all)" if len(own) > 6 else ""
    return f"; it has: {', '.join(own[:6])}{more}" if own else ""


def _returned(text: str, value: Any) -> Target:
    """What a function gave: a model, (model, batch) or (model, batch, loss)."""
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not 1 <= len(parts) <= 3 or not isinstance(parts[0], nn.Module):
        seen = " and ".join("None" if part is None else type(part).__name__ for part in parts) or "nothing"
        raise TraceError(f"{text} returned {seen}: return a model, (model, batch) or (model, batch, loss)")
    if len(parts) == 3 and not callable(parts[2]):
        raise TraceError(
            f"{text}: the third thing returned is a {type(parts[2]).__name__}, not a loss(output, target): "
            "return a function or a module such as torch.nn.functional.cross_entropy"
        )
    return Target(*parts)


def _ours(name: str) -> Target:
    from gradpath.nets import build

    try:
        net = build(name)
    except SpecError as error:
        raise TraceError(f"{error}; or TARGET is file.py:function, timm:NAME, torchvision:NAME") from error
    spec = net.spec
    shape = (BATCH, spec.input_channels, spec.input_size, spec.input_size)
    return Target(net, shapes=(shape,), name=name)


def _timm(name: str) -> Target:
    timm = _library("timm", f"timm:{name}")
    with _suggesting(name, timm), users_code(f"timm:{name} raised"):
        model = timm.create_model(name, pretrained=False)
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    size = config.get("input_size", (3, 224, 224)) if isinstance(config, Mapping) else config.input_size
    return Target(model, shapes=((BATCH, *size),), name=name)


def _torchvision(name: str) -> Target:
    models = _library("torchvision.models", f"torchvision:{name}")
    with _suggesting(name, models), users_code(f"torchvision:{name} raised"):
        model = models.get_model(name, weights=None)
    size = 299 if name.startswith("inception") else 224
    return Target(model, shapes=((BATCH, 3, size, size),), name=name)


@contextlib.contextmanager
def _suggesting(name: str, library: Any) -> Iterator[None]:
    """Names the nearest model that the library has, where it has none of this name."""
    try:
        yield
    except TraceError as error:
        known = library.list_models() if hasattr(library, "list_models") else []
        near = difflib.get_close_matches(name, known, 1)
        if name in known or not near:
            raise
        raise TraceError(f"{error}: did you mean {near[0]!r}?") from error


_LIBRARIES: dict[str, Callable[[str], Target]] = {"timm": _timm, "torchvision": _torchvision}


def _library(module: str, target: str) -> Any:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name not in (None, package):
            raise TraceError(f"{target}: {package} is installed but does not import: {_first_line(error)}") from error
        raise TraceError(f"{target} needs {package}, which is not installed: pip install {package}") from error
    except Exception as error:  # a torchvision of another torch raises RuntimeError
        raise TraceError(f"{target}: {package} does not import beside this torch: {_first_line(error)}") from error
