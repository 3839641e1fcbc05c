"""Random networks in C, fused or not, with extreme weights: the reference's integers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import ADJUST, SCALE8
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import InputError, QuantizationError
from tests.passes.nets import random_graph, stretched
from tests.targets.c.building import assert_project_computes, compiler, side_by_side

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
NETWORKS = 24  # in one program


def usable_network(seed: int) -> Graph | None:
    """A random network that can be quantized."""
    random = Random(seed)
    graph = random_graph(random, 14)
    if seed % 3 == 0:
        stretched(graph, random)
    if seed % 2 == 0:
        run_passes(graph, (*ADJUST, *SCALE8))
    try:
        quantize_graph(graph.copy(), calibrate_graph(graph, [random_inputs(graph, 3, seed)]))
    except (QuantizationError, InputError):
        return None
    return graph


@needs_compiler
@pytest.mark.parametrize("start", [0, 1000])
def test_random_networks_give_the_integers_of_the_reference(tmp_path: Path, start: int) -> None:
    networks = [usable_network(seed) for seed in range(start, start + NETWORKS)]
    graph = side_by_side([network for network in networks if network is not None])
    batch = random_inputs(graph, 3)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    wild = [array * np.float32(3) for array in random_inputs(graph, 3, 1)]
    assert_project_computes(graph, wild, tmp_path)
