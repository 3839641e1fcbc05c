"""A pager for what is longer than the window: for a person at the prompt, nowhere else."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nnshell.shell.app import Shell

_LEFT = 2  # lines of the window that the prompt and the toolbar take


def pages(shell: Shell) -> bool:
    """Whether long results are paged: not in scripts, pipes and tutorials, nor after
    ``set pager false``."""
    return shell.use_pager and shell.at_prompt and shell.guide is None and _is_window(shell.stdout)


def _is_window(stream: TextIO) -> bool:
    """Whether a program can write to it too: a terminal of the operating system's."""
    with contextlib.suppress(OSError):  # a stream in memory has no number
        return os.isatty(stream.fileno())
    return False


def draw(shell: Shell, drawn: RenderableType, width: int) -> None:
    """Print what rich draws, through the pager where it is long and a person reads it."""
    out = shell.ppaged if pages(shell) and is_long(drawn, width) else shell.poutput
    out(drawn, soft_wrap=False, rich_print_kwargs={"width": width})


def write_styled(shell: Shell, text: str) -> None:
    """Text with a terminal's escapes for colours."""
    from rich.text import Text

    draw(shell, Text.from_ansi(text), shutil.get_terminal_size().columns)


def is_long(drawn: RenderableType, width: int) -> bool:
    """Whether it has more lines than the window."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    lines = console.render_lines(drawn, pad=False)
    return len(lines) > shutil.get_terminal_size().lines - _LEFT
