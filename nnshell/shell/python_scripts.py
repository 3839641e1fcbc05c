"""`run_pyscript`: Python files that drive the shell, with NNTool's names in reach."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmd2 import CommandResult
from cmd2.py_bridge import PyBridge

from nnshell.shell.api import compat_names
from nnshell.support.errors import NNShellError, UsageError

if TYPE_CHECKING:
    from nnshell.shell.app import Shell


_NNTOOL_INSIDE = frozenset(  # top-level modules of NNTool's own sources
    {"execution", "graph", "importer", "interpreter", "nntool", "quantization", "stats", "utils"}
)


class CommandBridge(PyBridge):
    """`app("COMMAND")`: runs a command; its result has stdout and data. A failure raises."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell, add_to_history=False)
        self._shell = shell

    def __call__(self, command: str, *, echo: bool | None = None) -> CommandResult:
        before = self._shell.failures
        self._shell.python_listens = True
        try:
            result = super().__call__(command, echo=echo)
        finally:
            self._shell.python_listens = False
        if self._shell.failures > before:
            self._shell.failures = before  # the Python script decides what a failure means
            raise NNShellError(self._shell.last_failure)
        return result


def names_for_python(shell: Shell) -> dict[str, Any]:
    """What Python code finds: the graph ``G``, all ``graphs``, stored ``tensors``."""
    graphs = [opened.project for opened in shell.session.opened]
    current = graphs[shell.session.index] if graphs else None
    return {"G": current, "graphs": graphs, "tensors": shell.session.tensors}


def run_python_script(shell: Shell, path: str, arguments: Sequence[str]) -> bool:
    """Run a Python file; True when a command in it asked to quit. Its exceptions are failures."""
    if not Path(path).is_file():
        raise UsageError(f"there is no Python script {path}", hint="give the path of a .py file")
    bridge = CommandBridge(shell)
    names = {"app": bridge, **names_for_python(shell)}
    programs = contextlib.ExitStack()
    if compat_names.imports_nntool(path):
        names |= _nntool_names(names["G"])
        programs.enter_context(compat_names.as_nntool(Path(path).resolve().parent))
    with programs, _as_program(path, arguments), contextlib.redirect_stdout(shell.stdout):
        try:
            runpy.run_path(path, init_globals=names, run_name="__main__")
        except SystemExit as left:
            if left.code not in (None, 0):
                raise NNShellError(f"{path} ended with exit status {left.code}") from None
        except ModuleNotFoundError as error:
            raise NNShellError(
                _first_line(error), where=_line_of(error, path), hint=_instead_of(error.name or "")
            ) from error
        except Exception as error:
            raise NNShellError(_first_line(error), where=_line_of(error, path)) from error
    return bridge.stop


def _nntool_names(project: Any) -> dict[str, Any]:
    """``G`` as NNTool's class, for files that import its interface."""
    from nnshell.compat import NNGraph

    return {"G": None if project is None else NNGraph(project)}


def _instead_of(module: str) -> str:
    inside = module.partition(".")[0] in _NNTOOL_INSIDE
    return "NNTool's inner modules are not here: `from nntool.api import NNGraph`" if inside else ""


@contextlib.contextmanager
def _as_program(path: str, arguments: Sequence[str]) -> Iterator[None]:
    """The script's arguments and folder where Python programs find them."""
    saved_arguments, saved_path = sys.argv, list(sys.path)
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path = saved_arguments, saved_path


def _first_line(error: Exception) -> str:
    if isinstance(error, NNShellError):
        return str(error)
    what = " ".join(str(error).split())
    return f"{type(error).__name__}: {what}" if what else type(error).__name__


def _line_of(error: Exception, path: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path
