"""Small quantized graphs of any operator, and a C compiler to check what is generated from them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.basic_operators import Constant, Output
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph, all_nodes
from nnshell.quantization import QuantizationOptions, quantize_graph
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics

STUBS = Path(__file__).parent / "stubs"

Compiler = Callable[..., None]
Quantizer = Callable[..., Graph]


@pytest.fixture(scope="session")
def quantized() -> Quantizer:
    """Quantize a graph with the ranges that random inputs give."""

    def quantize(graph: Graph, options: QuantizationOptions | None = None) -> Graph:
        quantize_graph(graph, _ranges(graph), options)
        return graph

    return quantize


def _ranges(graph: Graph) -> Statistics:
    keys = [
        key if index == 0 else f"{key}[{index}]"
        for key, node, _ in all_nodes(graph)
        if not isinstance(node.op, Constant | Output)
        for index in range(len(node.outputs))
    ]
    batch = random_inputs(graph, 4)
    values = FloatEngine(graph, keys, threads=1).run(batch)
    seen = {key: TensorStatistics(float(v.min()), float(v.max())) for key, v in values.items()}
    for key, node, _ in all_nodes(graph):
        if isinstance(node.op, Constant):
            value = node.op.value
            seen[key] = TensorStatistics(float(value.min()), float(value.max()))
        elif isinstance(node.op, Output):
            ref = node.inputs[0]
            seen[key] = seen[ref.node if ref.index == 0 else f"{ref.node}[{ref.index}]"]
    return Statistics(seen)


@pytest.fixture(scope="session")
def gcc() -> str:
    found = shutil.which("gcc")
    if found is None:
        pytest.skip("no gcc")
    return found


@pytest.fixture
def check_syntax(gcc: str) -> Compiler:
    """Compile generated sources against the stub headers; warnings are errors."""

    def check(*sources: Path) -> None:
        for source in sources:
            flags = ["-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
            paths = [f"-I{STUBS}", f"-I{source.parent}"]
            done = subprocess.run(
                [gcc, *flags, *paths, str(source)], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

    return check


@pytest.fixture
def build_library(gcc: str) -> Callable[[Path, Path], None]:
    """Build expression kernels for the host, with signed overflow checked at run time."""

    def build(source: Path, library: Path) -> None:
        flags = ["-std=gnu11", "-O1", "-shared", "-fPIC", "-fsanitize=undefined"]
        flags += ["-fsanitize-undefined-trap-on-error", f"-I{STUBS}", f"-I{source.parent}"]
        done = subprocess.run(
            [gcc, *flags, str(source), "-o", str(library)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return build
