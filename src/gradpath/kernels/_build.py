"""C++ beside this package, compiled at first use, cached, loaded by ctypes. Nothing is compiled by an import.

    lib = library("_norm.cpp")                      # a ctypes.CDLL; KernelError says in one line why there is none
    lib.act.argtypes = [c_void_p, c_int64, …]       # plain C functions: pointers, sizes, strides

Write the source against a plain C ABI (`extern "C"`, no torch headers): it compiles in seconds, one binary serves every
version of torch, and ctypes lets go of Python's lock during a call. Compile flags are `FLAGS` below; what they mean for
the source:

- No -ffast-math, and -ffp-contract=off: say `fma` where one rounding is meant, so that every loop, its tail and every
  function round the same expression the same way.
- Vectorise with `#pragma omp simd`, run threads with `#pragma omp parallel num_threads(n)`; pass
  `torch.get_num_threads()`. The binary names no OpenMP library: its symbols are found in the one that torch has loaded,
  whatever that file is called, so that there is one pool of threads. Where torch brings none that fits (clang's code
  beside GNU's library), and on macOS, the same source is built without threads: `_OPENMP` is then not defined. Declare
  `extern "C" int omp_get_thread_num(void);` yourself if it is needed: no header is.

The cache is one file per (source and headers, compiler, flags, CPU features), `NAME-KEY-DIGEST.so`, under the user's
cache folder. DIGEST is of the file's own content, so a damaged file is seen before it is loaded (loading a truncated
one can kill the process) and built anew. Files appear by renaming: processes that build at once do not disturb each
other. Where the folder cannot be written, the binary is built for this process alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from gradpath.errors import KernelError, UserError, first_line
from gradpath.record import user_cache, write_whole

COMPILERS = ("g++", "clang++", "c++")  # tried in this order; the variable CXX goes first
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
THREADS, NO_THREADS = ("-fopenmp",), ("-fopenmp-simd",)
COMPILE_SECONDS = 120.0  # longest wait for the compiler
HERE = Path(__file__).parent


@cache
def library(name: str) -> ctypes.CDLL:
    """The compiled form of the source file `name` in this package; the same object for the rest of the process.

    Raises KernelError, in one line, where there is no compiler, it fails or takes longer than COMPILE_SECONDS, or the
    result cannot be loaded.
    """
    return load(HERE / name)


def load(source: Path) -> ctypes.CDLL:
    """`source` compiled, or found in the cache, and loaded: with threads where torch's OpenMP fits, else without."""
    compiler = find_compiler()
    if sys.platform == "darwin":  # a symbol that is missing shows only at its call there
        return _load(source, compiler, NO_THREADS)
    try:
        return _load(source, compiler, THREADS)
    except KernelError:
        return _load(source, compiler, NO_THREADS)


def find_compiler() -> Path:
    """The C++ compiler to use, symbolic links resolved. Raises KernelError where there is none."""
    if os.name == "nt":
        raise KernelError("compiled kernels: not built on Windows")
    asked = os.environ.get("CXX", "")
    for name in (asked, *COMPILERS) if asked else COMPILERS:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise KernelError(f"compiled kernels: no C++ compiler found (looked for {', '.join(COMPILERS)}): install g++")


def cache_folder() -> Path:
    """Where binaries are kept between processes: the user's cache folder as the system has it."""
    return user_cache("kernels")


def _load(source: Path, compiler: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    command = [str(compiler), *FLAGS, *flags, _all_instructions()]
    stem = f"{source.stem.lstrip('_')}-{_key(source, compiler, command)}"
    kept = _cached(stem)
    if kept is not None:
        return _open(kept)
    binary = _compile(command, source)
    try:
        kept = write_whole(cache_folder() / f"{stem}-{_digest(binary)}.so", binary)
    except (UserError, OSError, RuntimeError):  # no folder to write to; RuntimeError: not even a home
        with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:  # what is loaded stays when its file is gone
            return _open(write_whole(Path(folder) / f"{stem}.so", binary))
    return _open(kept)


def _all_instructions() -> str:
    """The flag for this very CPU: the cache's key names its features, so another machine builds its own."""
    return "-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"


def _key(source: Path, compiler: Path, command: list[str]) -> str:
    """Of all that decides the binary. The compiler counts by its file's path, size and time: nothing is started."""
    about = compiler.resolve().stat()
    headers = sorted(source.parent.glob("*.h"))
    parts = [
        *(file.read_bytes() for file in (source, *headers)),
        *command,
        compiler.resolve(),
        about.st_size,
        about.st_mtime_ns,
        *cpu_features(),
    ]
    return _digest("\0".join(str(part) for part in parts).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def cpu_features() -> tuple[str, ...]:
    """What names this machine's instruction set: its kind, and on Linux the kernel's list of CPU flags."""
    lines = []
    info = Path("/proc/cpuinfo")
    if info.is_file():
        wanted = ("flags", "Features", "model name", "cpu family", "model\t")
        first_cpu = info.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        lines = [line for line in first_cpu.splitlines() if line.startswith(wanted)]
    return (platform.system(), platform.machine(), platform.processor(), *lines)


def _cached(stem: str) -> Path | None:
    """The kept binary whose content is what its name says; damaged ones are removed."""
    try:
        folder = cache_folder()
        if folder.stat().st_uid != os.getuid():  # somebody else's files are not run
            return None
        for file in sorted(folder.glob(f"{stem}-*.so")):
            if file.stem == f"{stem}-{_digest(file.read_bytes())}":
                return file
            file.unlink()
    except (OSError, RuntimeError):
        return None
    return None


def _compile(command: list[str], source: Path) -> bytes:
    """The shared library's bytes. Two steps: -fopenmp in the second would name the compiler's own OpenMP library."""
    link = ["-shared", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:
        compiled, linked = Path(folder) / "built.o", Path(folder) / "built.so"
        _run([*command, "-c", str(source), "-o", str(compiled)], Path(folder))
        _run([command[0], *link, str(compiled), "-o", str(linked)], Path(folder))
        if not linked.is_file():
            raise KernelError(f"compiled kernels: {Path(command[0]).name} ended well and wrote nothing")
        return linked.read_bytes()


def _run(command: list[str], folder: Path) -> None:
    log, name = folder / "log", Path(command[0]).name
    environment = os.environ | {"LC_ALL": "C"}
    try:
        with log.open("wb") as said:  # no pipe: after a timeout the compiler's children may hold its other end
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment,
                timeout=COMPILE_SECONDS, check=True,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise KernelError(f"compiled kernels: {name} took longer than {COMPILE_SECONDS:.0f} s") from None
    except subprocess.CalledProcessError as error:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reason = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "said nothing")
        raise KernelError(f"compiled kernels: {name} failed with {error.returncode}: {reason.strip()}") from None
    except OSError as error:
        raise KernelError(f"compiled kernels: {name} could not be started ({error.strerror})") from error


def _open(file: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(file))  # all symbols are looked up now
    except OSError as error:
        raise KernelError(f"compiled kernels: {file.name} could not be loaded: {first_line(error)}") from error
