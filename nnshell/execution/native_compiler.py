"""The kernels as a library for this machine: compiled at first use, kept in the user's cache.

The library's name is a hash of the sources, the flags and the compiler, so that whoever finds it
there has what would be compiled. The folder belongs to the user alone; a file appears whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nnshell.support.cores import usable_cores
from nnshell.support.errors import NNShellError
from nnshell.support.processor import AVX512_VNNI, processor_features
from nnshell.targets.c.structs import dispatcher, fast_files, kernel_files

_COMPILERS = ("gcc", "clang", "cc")
_FLAGS = (
    *("-std=gnu99", "-O3", "-fPIC", "-fwrapv", "-fno-strict-aliasing"),
    *("-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"),
)
_TIMEOUT_SECONDS = 120.0
_SUFFIX = ".dll" if os.name == "nt" else ".so"
INSTALL = "install gcc or clang, or pip install 'nnshell[native]'"


class NoCompiler(NNShellError):
    """Nothing here compiles C, or what does failed."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Instructions that kernels are compiled for: compiler flags, processor features needed."""

    name: str
    flags: tuple[str, ...]
    features: frozenset[str]

    @property
    def fast(self) -> bool:
        """Whether it is built with flags of its own."""
        return bool(self.flags)


PLAIN = Variant("plain", (), frozenset())
VARIANTS = (
    Variant(
        "avx512vnni",
        (
            "-mavx2",
            "-mfma",
            *(f"-m{feature}" for feature in AVX512_VNNI),
            "-mprefer-vector-width=512",
        ),
        frozenset(("avx2", "fma", *AVX512_VNNI)),
    ),
    Variant("avx2", ("-mavx2", "-mfma"), frozenset(("avx2", "fma"))),
    Variant("neon", ("-march=armv8.2-a+dotprod",), frozenset(("asimddp",))),
    PLAIN,
)


@cache
def variant(name: str = "") -> Variant:
    """The best variant of this processor, or the one of that name."""
    chosen = name or os.environ.get("NNSHELL_NATIVE_VARIANT", "")
    features = processor_features()
    usable = [v for v in VARIANTS if v.features <= features]
    return next((v for v in usable if v.name == chosen), usable[0])


@cache
def compiler() -> tuple[str, ...]:
    """The command of a C compiler: the system's, or the one in a wheel; () without any."""
    if platform.machine().lower() not in ("x86_64", "amd64", "aarch64", "arm64"):
        return ()
    for name in _COMPILERS:
        path = shutil.which(name)
        if path:
            return (path,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all")
    return ()


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "") or os.path.expanduser("~/.cache")
    return Path(base or tempfile.gettempdir()) / "nnshell" / "native"


def library_path(chosen: Variant) -> Path:
    """The compiled kernels' place, whether or not they are there. Raises NoCompiler without one."""
    command = compiler()
    if not command:
        raise NoCompiler("there is no C compiler", hint=INSTALL)
    digest = hashlib.sha256()
    for name, text in _sources().items():
        digest.update(f"{name}\0{text}\0".encode())
    digest.update("\0".join((*command, _identity(command[0]), *_FLAGS, *chosen.flags)).encode())
    return cache_folder() / f"kernels-{chosen.name}-{digest.hexdigest()[:32]}{_SUFFIX}"


def is_compiled(chosen: Variant) -> bool:
    """Whether the library is in the cache and belongs to the user alone."""
    try:
        path = library_path(chosen)
        _check_private(path.parent)
        _check_private(path)
    except (NNShellError, OSError):
        return False
    return True


def library(chosen: Variant) -> Path:
    """The compiled kernels, compiled now if they are not in the cache.

    Raises NoCompiler when that cannot be done.
    """
    path = library_path(chosen)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(path.parent)
        if not path.exists():
            _compile(chosen, path)
        _check_private(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise NoCompiler(
            f"cannot keep compiled kernels in {path.parent}: {reason}",
            hint="set XDG_CACHE_HOME to a folder of yours",
        ) from None
    return path


def compile_beside(chosen: Variant) -> None:
    """Start a process that compiles the kernels, and do not wait for it; it outlives this one."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-m", __name__, chosen.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def main() -> int:
    """Compile the variant named on the command line, unless another process is at it."""
    path = library_path(variant(sys.argv[1]))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_suffix(".lock")
    with contextlib.suppress(OSError):
        if time.time() - lock.stat().st_mtime > _TIMEOUT_SECONDS:
            lock.unlink()
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return 0
    try:
        library(variant(sys.argv[1]))
    except NNShellError:
        return 1
    finally:
        lock.unlink(missing_ok=True)
    return 0


def _check_private(path: Path) -> None:
    """Nobody else may have put it there or change it."""
    status = path.lstat()
    if os.name == "nt":
        return
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise NoCompiler(
            f"{path} is a link, or others may write to it",
            hint="remove it, or set XDG_CACHE_HOME to a folder of yours",
        )


def _sources() -> dict[str, str]:
    return {**kernel_files(), **fast_files(), "nn_dispatch.c": dispatcher()}


def _identity(program: str) -> str:
    """Another compiler under the same name has another one."""
    try:
        status = os.stat(program)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _compile(chosen: Variant, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as name:
        folder = Path(name)
        for file, text in _sources().items():
            (folder / file).write_text(text, encoding="utf-8")
        flags = (*_FLAGS, *chosen.flags)
        sources = [file for file in _sources() if file.endswith(".c")]
        sources.sort(key=lambda file: file != "nn_fast.c")  # the longest first
        jobs = [[*compiler(), *flags, "-c", file, "-o", f"{file}.o"] for file in sources]
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(lambda job: _run(job, folder), jobs))
        built = f"library{_SUFFIX}"
        objects = [f"{file}.o" for file in sources]
        _run([*compiler(), *flags, "-shared", *objects, "-o", built], folder)
        (folder / built).chmod(0o700)
        (folder / built).replace(target)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            list(command), cwd=folder, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompiler(f"{command[0]} does not run: {error}", hint=INSTALL) from None
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "")
        raise NoCompiler(
            f"{command[0]} cannot compile the kernels: {reason or done.returncode}", hint=INSTALL
        )


if __name__ == "__main__":
    sys.exit(main())
