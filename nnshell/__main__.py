"""``python -m nnshell`` is the command ``nnshell``."""

import sys

from nnshell.cli import main

if __name__ == "__main__":
    sys.exit(main())
