"""Small quantized graphs of any operator, and a C compiler to check what is generated from them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.quantization import QuantizationOptions, calibrate_graph, quantize_graph

STUBS = Path(__file__).parent / "stubs"

Compiler = Callable[..., None]
Quantizer = Callable[..., Graph]


@pytest.fixture(scope="session")
def quantized() -> Quantizer:
    """Quantize a graph with the ranges that random inputs give."""

    def quantize(graph: Graph, options: QuantizationOptions | None = None) -> Graph:
        statistics = calibrate_graph(graph, [random_inputs(graph, 4)], everything=True)
        quantize_graph(graph, statistics, options)
        return graph

    return quantize


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
