"""The installation as a table: packages, extras, tools, cores."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from nnshell import __version__
from nnshell.execution import native_compiler
from nnshell.reports.table import Column, Table
from nnshell.shell.history import default_path
from nnshell.support.cores import usable_cores

_COLUMNS = (Column("What"), Column("Found"), Column("For", wraps=True), Column("Do", wraps=True))
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package: what it is for, and the extra that installs it ("" for required ones)."""

    name: str
    minimum: str
    purpose: str
    extra: str = ""


PACKAGES = (
    Package("numpy", "2.0", "arrays"),
    Package("onnx", "1.18", "reading and writing ONNX models"),
    Package("onnxruntime", "1.22", "running float graphs"),
    Package("tflite", "2.18", "reading TFLite models"),
    Package("cmd2", "4.3.1", "the prompt"),
    Package("rich", "14.0", "tables and progress bars"),
    Package("prompt_toolkit", "3.0.50", "editing and completion"),
    Package("pillow", "11.0", "reading images"),
    Package("torch", "2.4", "adaround brecq and network, training the sample model", "train"),
    Package("distributed", "2025.1", "--cluster: evaluation on many machines", "cluster"),
    Package("jinja2", "3.1", "the page of report", "report"),
    Package("matplotlib", "3.8", "pictures: --svg, report, draw", "report"),
    Package("fast-sugiyama", "0.5", "pictures of graphs: report, draw", "report"),
    Package("ziglang", "0.13", "a C compiler, where the system has none", "native"),
    Package("pytest", "8.0", "running the tests", "test"),
    Package("hypothesis", "6.100", "running the tests", "test"),
)
_COMPILERS = ("cc", "gcc", "clang")


def report() -> Table:
    """Everything `doctor` prints; the notes name what is missing."""
    rows = [*_system(), *map(_package_row, PACKAGES), *_tools()]
    missing = [row for row in rows if row[3]]
    required = [p.name for p in PACKAGES if not p.extra and not _satisfied(p)]
    note = f"missing: {', '.join(required)}" if required else "nothing that is required is missing"
    optional = f"; {len(missing) - len(required)} optional parts are not there" if missing else ""
    return Table("nnshell's surroundings", _COLUMNS, tuple(rows), notes=(note + optional,))


def _system() -> Iterator[tuple[str, str, str, str]]:
    yield ("nnshell", __version__, os.path.dirname(os.path.dirname(__file__)), "")
    yield ("Python", platform.python_version(), sys.executable, "")
    yield ("system", platform.platform(), platform.machine(), "")
    yield ("cores", str(usable_cores()), f"of {os.cpu_count()} in the machine", "")
    yield ("history", "kept", str(default_path()), "")


def _version(package: Package) -> str:
    try:
        return importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _satisfied(package: Package) -> bool:
    result = _version(package)
    return bool(result) and _numbers(result) >= _numbers(package.minimum)


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (release[0] if release else "").split(".") if part)


def _package_row(package: Package) -> tuple[str, str, str, str]:
    install = f"pip install 'nnshell[{package.extra}]'" if package.extra else ""
    install = install or f"pip install '{package.name}>={package.minimum}'"
    result = _version(package) or "-"
    return (package.name, result, package.purpose, "" if _satisfied(package) else install)


def _tools() -> Iterator[tuple[str, str, str, str]]:
    compiler = next((name for name in _COMPILERS if shutil.which(name)), "")
    result = _first_line([compiler, "--version"]) if compiler else "-"
    yield (
        "C compiler",
        result,
        "compiling what gen and export c write",
        "" if compiler else "install gcc",
    )
    yield _int8_engine()
    dot = shutil.which("dot")
    result = _first_line(["dot", "-V"]) if dot else "-"
    yield ("Graphviz", result, "pictures with draw, instead of the extra report", "")


def _int8_engine() -> tuple[str, str, str, str]:
    """Which engine int8 is, and what would make it faster."""
    chosen, purpose = native_compiler.variant(), "running int8 graphs"
    if not native_compiler.compiler():
        return ("int8 engine", "lowered", purpose, native_compiler.INSTALL)
    if not chosen.fast:
        return ("int8 engine", "lowered: no fast kernels for this processor", purpose, "")
    state = "compiled" if native_compiler.is_compiled(chosen) else "compiled when it pays"
    return ("int8 engine", f"native, {chosen.name}, {state}", purpose, "")


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return "does not run"
    return next(iter((done.stdout or done.stderr).splitlines()), "?")
