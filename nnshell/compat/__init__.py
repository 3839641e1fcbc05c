"""Python programs written for NNTool's ``nntool.api``: the same class, over nnshell's functions.

    from nnshell.compat import NNGraph          instead of   from nntool.api import NNGraph
    from nnshell.compat.utils import ...        instead of   from nntool.api.utils import ...

``python -m nnshell.compat PROGRAM ARGUMENTS...`` runs a program as it is, and so does
`run_pyscript`: while it runs, ``nntool.api`` is this package.
"""

from __future__ import annotations

from nnshell.compat.graph import NNGraph

__all__ = ["NNGraph"]
