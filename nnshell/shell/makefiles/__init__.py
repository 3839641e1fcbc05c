"""Variables of Makefiles, read as text: no rule is followed and no program is started."""

from nnshell.shell.makefiles.read import Makefile, read_makefile

__all__ = ["Makefile", "read_makefile"]
