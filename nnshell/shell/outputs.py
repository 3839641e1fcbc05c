"""Where the results of a line go instead of the screen: a file (`>`, `>>`) or a program (`|`)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
from pathlib import Path
from typing import TextIO

from nnshell.support.errors import NNShellError, UsageError
from nnshell.support.files import append_atomically, write_atomically

_NOT_RUN = (126, 127)  # a shell's exit status when the program cannot be started


class Collected(io.StringIO):
    """Results on their way; ``encoded`` keeps file names that are no UTF-8 as they are."""

    def encoded(self) -> bytes:
        return self.getvalue().encode(errors="surrogateescape")


def check_target(target: str) -> Path:
    """The file of `>`; NNShellError where it cannot be written, before a command takes its time."""
    path = Path(os.path.expanduser(target))
    refused = None
    with contextlib.suppress(OSError, ValueError):  # reported when the file is written
        held = path if path.exists() else path.parent
        if path.is_dir():
            refused = errno.EISDIR
        elif not held.exists():
            refused = errno.ENOENT
        elif not os.access(held, os.W_OK):
            refused = errno.EACCES
    if refused is not None:
        raise NNShellError(
            f"cannot write {target}: {os.strerror(refused)}", hint="give another path"
        )
    return path


def write_results(path: Path, results: Collected, *, append: bool) -> None:
    """All of the results, or none."""
    write = append_atomically if append else write_atomically
    write(path, results.encoded())


def pipe_results(program: str, results: Collected, output: TextIO) -> None:
    """Run a program of the operating system on them; NNShellError when it fails."""
    try:
        target: int | None = output.fileno()
    except OSError:  # not a file: what it prints is collected
        target = None
    done = subprocess.run(
        program,
        shell=True,
        executable=os.environ.get("SHELL") or None,
        input=results.encoded(),
        stdout=subprocess.PIPE if target is None else target,
    )
    if target is None:
        output.write(done.stdout.decode(errors="replace"))
    if done.returncode in _NOT_RUN:
        raise UsageError(f"cannot run '{program}'", hint="is the program installed?")
    if done.returncode:
        raise NNShellError(f"'{program}' ended with exit status {done.returncode}")
