"""``python -m nnshell.compat PROGRAM ARGUMENTS...``: run a program written for ``nntool.api``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from nnshell.compat.names import as_nntool
from nnshell.support.errors import NNShellError


def main(arguments: list[str]) -> int:
    """Run the program; its exit status."""
    if not arguments:
        print("usage: python -m nnshell.compat PROGRAM.py [ARGUMENTS...]", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).resolve().parent)
    with as_nntool(sys.path[0]):
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except (NNShellError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
