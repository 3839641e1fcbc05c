"""What a case is and what must hold for each: refusals in one line, nothing half-written."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from nnshell.ir.basic_operators import Constant
from nnshell.ir.graph import all_nodes
from nnshell.ir.text import print_graph
from nnshell.ir.verify import verify
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

REFUSED, ACCEPTED = "refused", "accepted"
LONGEST_MESSAGE = 1700  # characters of a message about one thing

_LISTS_NODES = re.compile(r"\d+ nodes of .* cannot be imported( - [^\n]*)?\n", re.DOTALL)
_PYTHON = re.compile(
    r"Traceback|\b[A-Z]\w*(?:Error|Exception|Warning)\b(?!')| object at 0x|<class '|\bdtype\("
)

Case = Callable[[Random, Path], str]


class Violation(AssertionError):
    """What must hold did not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Category:
    """Bad inputs of one kind; ``share`` is how many of a hundred or so cases are of it."""

    name: str
    share: int
    run: Case


def refused(act: Callable[[], Any]) -> bool:
    """Whether ``act`` raised NNShellError; its message is checked. Other exceptions pass."""
    try:
        act()
    except NNShellError as error:
        check_message(str(error))
        return True
    return False


def check_message(text: str) -> None:
    """One line in the user's words; a list of nodes has a line for each."""
    lines = [text] if not _LISTS_NODES.match(text) else text.splitlines()
    for line in lines:
        if not line.strip() or len(line.splitlines()) != 1:
            raise Violation(f"a message of several lines: {line[:600]!r}")
        if len(line) > LONGEST_MESSAGE:
            raise Violation(f"a message of {len(line)} characters: {line[:300]!r}")
        if found := _PYTHON.search(line):
            raise Violation(f"a message in Python's words ({found[0]}): {line[:600]!r}")


def check_printed(text: str) -> None:
    """What went to standard error: no traceback, and no exception by its Python name."""
    for line in text.splitlines():
        if found := _PYTHON.search(line):
            raise Violation(f"standard error in Python's words ({found[0]}): {text[-1500:]!r}")


# -- folders -------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, str]:
    """What lies in a folder: digests by path, folders included."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in sorted(folder.rglob("*"))
        if ".fuzz" not in path.parts
    }


def _content(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "folder"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_no_leftovers(folder: Path) -> None:
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".part")]
    if left:
        raise Violation(f"temporary files are left: {left[:3]}")


def check_unchanged(folder: Path, before: dict[str, str]) -> None:
    """A command that failed has written nothing."""
    after = snapshot(folder)
    if after != before:
        different = [name for name in after | before if after.get(name) != before.get(name)]
        raise Violation(f"a failed command changed {different[:5]}")


# -- graphs --------------------------------------------------------------------------------


def check_graph(project: Project) -> None:
    """A graph that a command returned is whole."""
    try:
        verify(project.graph)
    except NNShellError as error:
        raise Violation(f"the graph is broken: {error}") from error


def fingerprint(project: Project) -> str:
    """A digest of everything that a command may change in a project."""
    digest = hashlib.sha256(print_graph(project.graph).encode("utf-8", "replace"))
    for key, node, _ in all_nodes(project.graph):
        digest.update(f"{key} {node.origin} {sorted(node.options.items())}".encode())
        if isinstance(node.op, Constant):
            digest.update(np.ascontiguousarray(node.op.value).tobytes())
        for piece in _pieces(node.quantization):
            digest.update(piece)
    others = (project.recipe, project.settings, project.statistics, project.quantization_options)
    for piece in _pieces((*others, project.input_options)):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield repr(key).encode()
            yield from _pieces(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _pieces(entry)
    else:
        yield repr(value).encode()
