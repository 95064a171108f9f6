"""Compiling, caching and falling back: with compilers that are absent, broken, slow or liars, and caches that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fused import passes_or_skip, skip_without_compiler

from gradpath.errors import KernelError, UserError
from gradpath.kernels import _build, norm_passes
from gradpath.nets import TorchPasses

SOURCE = """
extern "C" int answer(void) { return 42; }
#ifdef _OPENMP
extern "C" int team(int n) {
  int seen = 0;
#pragma omp parallel num_threads(n)
#pragma omp atomic
  ++seen;
  return seen;
}
#endif
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A small source and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    file = tmp_path / "_answer.cpp"
    file.write_text(SOURCE)
    return file


@pytest.fixture
def compiled(source):
    """The same, where there is a compiler; its first binary in the cache."""
    try:
        assert _build.load(source).answer() == 42
    except KernelError as error:
        skip_without_compiler(error)
        raise
    return source


def kept() -> list[Path]:
    return sorted(_build.cache_folder().iterdir())


def fake(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def only(monkeypatch, tmp_path: Path, script: str | None) -> Path:
    """The one compiler in PATH does what the script says; it notes that it was started."""
    if script is not None:
        fake(tmp_path / "bin", "g++", f"echo x >> {tmp_path}/started\n{script}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "started"


def test_a_source_is_compiled_once_and_then_comes_from_the_cache(compiled, monkeypatch, tmp_path):
    files = kept()
    assert [file.name.startswith("answer-") and file.suffix == ".so" for file in files] == [True]
    monkeypatch.setattr(_build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert _build.load(compiled).answer() == 42
    assert kept() == files


def test_what_decides_the_binary_is_in_its_name(compiled, monkeypatch):
    compiled.write_text(SOURCE.replace("42", "43"))
    assert _build.load(compiled).answer() == 43
    monkeypatch.setattr(_build, "cpu_features", lambda: ("another", "machine"))
    assert _build.load(compiled).answer() == 43
    assert len(kept()) == 3


def test_threads_are_those_of_the_openmp_library_that_torch_has_loaded(compiled):
    if sys.platform != "linux":
        pytest.skip("threads are for Linux")
    library = _build.load(compiled)
    assert library.team(2) == 2
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libgomp" in line}
    assert len(mapped) == 1


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_binary_is_seen_and_built_again(compiled, damage):
    (file,) = kept()
    whole = file.read_bytes()
    file.unlink()  # this process has the file mapped: it is replaced, not changed
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert _build.load(compiled).answer() == 42
    assert [f.read_bytes() == whole or f.stem.endswith(_build._digest(f.read_bytes())) for f in kept()] == [True]


def test_processes_that_build_at_once_all_get_it_and_leave_one_file(compiled):
    for file in kept():
        file.unlink()
    code = f"""
import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("build", {_build.__file__!r})  # by itself: the package loads torch
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
print(build.load(Path({str(compiled)!r})).answer())
"""
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate()[0].strip() for run in runs] == ["42"] * 3
    names = [file.name for file in kept()]
    assert names and all(name.startswith("answer-") and name.endswith(".so") for name in names)


@pytest.mark.parametrize("way", ["a file in the way", "no home"])
def test_a_cache_that_cannot_be_written_means_a_binary_for_this_process_alone(compiled, monkeypatch, tmp_path, way):
    if way == "no home":
        monkeypatch.setattr(_build, "cache_folder", lambda: Path("~nobody-of-this-name").expanduser())
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = set(Path(_build.tempfile.gettempdir()).glob("gradpath-*"))
    assert _build.load(compiled).answer() == 42
    assert set(Path(_build.tempfile.gettempdir()).glob("gradpath-*")) <= before


def test_another_users_files_are_not_run(compiled, monkeypatch):
    monkeypatch.setattr(_build.os, "getuid", lambda: 12345)
    built = []
    compile_ = _build._compile
    monkeypatch.setattr(_build, "_compile", lambda *a: built.append(a) or compile_(*a))
    assert _build.load(compiled).answer() == 42
    assert built


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, r"no C\+\+ compiler found"),
        (
            "echo warning: fine; echo 'x.cpp:1: fatal error: no headers' >&2; exit 3",
            "g\\+\\+ failed with 3: .*no headers",
        ),
        ("exit 1", "said nothing"),
        ("exit 0", "wrote nothing"),
        ('while [ "$1" != -o ]; do shift; done; echo junk > "$2"', "could not be loaded"),
        ("exec /bin/sleep 30", "took longer than"),
    ],
    ids=["absent", "broken", "silent", "lazy", "liar", "slow"],
)
def test_compilers_that_do_not_work_are_one_line(source, monkeypatch, tmp_path, script, says):
    only(monkeypatch, tmp_path, script)
    monkeypatch.setattr(_build, "COMPILE_SECONDS", 0.3 if script and "sleep" in script else 20.0)
    with pytest.raises(KernelError, match=says) as caught:
        _build.load(source)
    assert "\n" not in str(caught.value)
    assert not _build.cache_folder().exists() or all(file.suffix == ".so" for file in kept())


def test_without_the_openmp_library_it_is_built_without_threads(compiled, monkeypatch):
    open_ = _build._open
    refused = []

    def refusing(file):
        if not refused:
            refused.append(file)
            raise KernelError("symbol not found: GOMP_parallel")
        return open_(file)

    monkeypatch.setattr(_build, "THREADS", ("-fopenmp", "-DOTHER"))
    monkeypatch.setattr(_build, "_open", refusing)
    library = _build.load(compiled)
    assert library.answer() == 42 and not hasattr(library, "team")


def test_cxx_names_the_compiler(source, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(fake(tmp_path / "own", "mine", "exit 0")))
    assert _build.find_compiler().name == "mine"
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(KernelError, match="install g"):
        _build.find_compiler()


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_CACHE_HOME", "CACHE/gradpath/kernels"),
        ("linux", None, "HOME/.cache/gradpath/kernels"),
        ("darwin", None, "HOME/Library/Caches/gradpath/kernels"),
        ("win32", "LOCALAPPDATA", "CACHE/gradpath/kernels"),
        ("win32", None, "HOME/AppData/Local/gradpath/kernels"),
    ],
)
def test_the_cache_is_where_the_system_has_it(monkeypatch, tmp_path, platform, variable, folder):
    monkeypatch.setattr(_build.sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path / "HOME"))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "CACHE"))
    assert _build.cache_folder() == tmp_path / folder


CHOICES = """
import torch, gradpath.kernels as kernels
from pathlib import Path
print("started" if Path({started!r}).exists() else "quiet")
for _ in range(2):
    chosen = kernels.norm_passes()
    print(chosen.passes.name, "|", chosen.line)
try:
    kernels.norm_passes("compiled")
except kernels._choose.KernelError as error:
    print(error)
print(len(Path({started!r}).read_text().split()))
"""


def test_a_broken_compiler_is_asked_once_in_a_process_and_never_by_an_import(source, monkeypatch, tmp_path):
    started = only(monkeypatch, tmp_path, "echo 'error: disk full'; exit 1")
    code = CHOICES.format(started=str(started))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    reason = "compiled kernels: g++ failed with 1: error: disk full"
    line = f"torch | norm passes: plain torch ({reason})"
    assert done.stdout.splitlines() == ["quiet", line, line, f"{reason}; backend 'reference' works everywhere", "2"]
    assert done.stderr == ""


def test_the_choice_is_what_was_asked_for():
    assert isinstance(norm_passes("reference").passes, TorchPasses)
    with pytest.raises(UserError, match="backend 'quick': unknown, choose from auto, compiled, torch, triton, ref"):
        norm_passes("quick")
    passes_or_skip()
    chosen = norm_passes("auto")
    assert chosen.passes.name == "fused C++" and "fused C++" in chosen.line
    assert norm_passes("compiled").passes is chosen.passes
