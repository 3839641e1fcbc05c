"""Compiling and running exported projects in tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.integer_engine import IntegerEngine, quantize_input
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.targets.c.project import CProject, c_project

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiler() -> str | None:
    """A C compiler that sanitizes, or None."""
    return next((name for name in ("gcc", "clang") if shutil.which(name)), None)


def build(project: CProject, folder: Path, command: Sequence[str], flags: Sequence[str]) -> Path:
    """The project's program; the compiler has no word to say."""
    for name, text in project.files.items():
        (folder / name).write_text(text)
    sources = sorted(name for name in project.files if name.endswith(".c"))
    done = subprocess.run(
        [*command, *STRICT, *flags, *sources, "-o", "model_main"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr[:4000]
    return folder / "model_main"


def raw_samples(graph: Graph, batch: Sequence[NDArray[Any]]) -> bytes:
    """The inputs' integers, sample by sample."""
    engine = IntegerEngine(graph)
    integers = [
        quantize_input(array, engine.record(name)).astype(engine.record(name).dtype)
        for array, (name, _) in zip(batch, engine.inputs, strict=True)
    ]
    return b"".join(array[n].tobytes() for n in range(len(batch[0])) for array in integers)


def split_outputs(graph: Graph, raw: bytes, samples: int) -> dict[str, NDArray[Any]]:
    """What a program wrote, by output, samples first."""
    engine = IntegerEngine(graph)
    types = [(n.name, n.type.shape, np.dtype(engine.record(n.name).dtype)) for n in graph.outputs]
    sizes = [int(np.prod(shape)) * dtype.itemsize for _, shape, dtype in types]
    assert len(raw) == samples * sum(sizes)
    rows = np.frombuffer(raw, np.uint8).reshape(samples, -1)
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    return {
        name: np.ascontiguousarray(part).view(dtype).reshape(samples, *shape)
        for (name, shape, dtype), part in zip(types, parts, strict=True)
    }


def run(
    program: Sequence[str | Path], graph: Graph, batch: Sequence[NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Outputs of a built program."""
    file = Path(program[-1]).parent / "samples.raw"
    file.write_bytes(raw_samples(graph, batch))
    done = subprocess.run([*map(str, program), str(file)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:4000]
    return split_outputs(graph, done.stdout, len(batch[0]))


def assert_project_computes(
    graph: Graph, batch: Sequence[NDArray[Any]], folder: Path, target: str = "simulation"
) -> CProject:
    """Sanitized and without a warning, the project gives the reference's integers."""
    name = compiler()
    assert name is not None
    project = c_project(graph, batch=2, target=target)
    program = build(project, folder, [name], SANITIZED)
    expected = IntegerEngine(graph, target).run(batch, [node.name for node in graph.outputs])
    for key, values in run([program], graph, batch).items():
        np.testing.assert_array_equal(values, expected[key], err_msg=key)
    return project


def side_by_side(graphs: Sequence[Graph]) -> Graph:
    """One graph of many that have nothing to do with each other."""
    whole = Graph("side_by_side")
    for number, graph in enumerate(graphs):
        for node in graph:
            twin = node.copy()
            twin.name = f"g{number}_{node.name}"
            twin.inputs = [Ref(f"g{number}_{ref.node}", ref.index) for ref in node.inputs]
            twin.op = _renumbered(node, whole)
            whole.add(twin)
    return whole


def _renumbered(node: Node, whole: Graph) -> Any:
    if isinstance(node.op, Input):
        return Input(node.op.type, len(whole.inputs))
    return Output(len(whole.outputs)) if isinstance(node.op, Output) else node.op


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
