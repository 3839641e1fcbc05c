"""Maximum pools beyond what the examples show."""

from __future__ import annotations

import numpy as np

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.examples import graph_of
from nnshell.ir.operator import Example
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.max_pool import MaxPool


def test_pads_may_be_as_large_as_the_kernel_and_never_win() -> None:
    """A dilated window reaches further than its kernel is large."""
    pool = MaxPool(Window((2, 2), (2, 2), (3, 3), (0, 0, 2, 3)))
    graph = graph_of(Example(pool, (TensorType((1, 4, 4), Layout.CHW),)))
    image = -np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    found = FloatEngine(graph, threads=1).run([image])["output_1"]
    assert found.tolist() == [[[[-1.0, -3.0], [-9.0, -11.0]]]]
