"""The command line of the process: `nnshell [options] [GRAPH | STATE]`.

Exit status: 0 all commands succeeded, 1 a command failed, 2 wrong usage of this command line,
130 interrupted. Nothing heavy is imported before it is known to be needed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from nnshell import __version__

_INTERRUPTED = 130
_VERSION_QUESTIONS = (["-v"], ["--version"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one process; the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in _VERSION_QUESTIONS:
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more: that is no error
            print(f"nnshell {__version__}", flush=True)
        return 0
    try:
        return _run(words)
    except KeyboardInterrupt:  # before there was a shell that could have said so
        return _INTERRUPTED


def _run(words: Sequence[str]) -> int:
    from nnshell.shell.invocation import parse_command_line

    invocation = parse_command_line(words)
    from nnshell.shell.process import run

    return run(invocation)


if __name__ == "__main__":
    sys.exit(main())
