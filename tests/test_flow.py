"""The Python API as a notebook uses it: arrays in memory, results as arrays."""

from __future__ import annotations

import numpy as np
import pytest

import nnshell
from nnshell.support.errors import InputError, UsageError


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def test_arrays_in_memory_calibrate_run_and_validate() -> None:
    graph = nnshell.open_graph("sample:lenet")
    nnshell.adjust(graph)
    nnshell.fuse(graph, "scale8")
    given = nnshell.load_inputs(images(10), norm="x: x/128-1", transpose=True, labels=range(10))
    nnshell.quantize(graph, nnshell.calibrate(graph, given))
    tensors = nnshell.run(graph, given[0], engine="int8")
    assert tensors[graph.outputs[0].name].dtype == np.int8
    report = nnshell.validate(graph, given, "int8")
    assert report.images == 10
    assert report.accuracy is not None


def test_arrays_that_do_not_fit_are_refused() -> None:
    graph = nnshell.open_graph("sample:lenet")
    with pytest.raises(UsageError, match="arrays and files"):
        nnshell.load_inputs([images(1), "a.png"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="2 arrays for the graph inputs input_1"):
        nnshell.run(graph, nnshell.load_inputs([images(1), images(1)]))
