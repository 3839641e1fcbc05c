"""Bad ONNX files: spoiled bytes, spoiled structure; what opens goes through all that follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuzzing.cases import ACCEPTED, REFUSED, Violation, check_graph, fingerprint, refused
from fuzzing.models import FIXED, random_model
from fuzzing.mutations import spoil_model, spoiled_bytes
from nnshell import flow
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

_PIPELINE = ("adjust", "fuse", "quantize", "int8", "simulate", "generate")


def some_model(random: Random) -> Any:
    """A valid model: one of the fixed ones, or a random one."""
    if random.random() < 0.6:
        return FIXED[random.choice(sorted(FIXED))](random).model()
    return random_model(random)


def bytes_case(random: Random, folder: Path) -> str:
    """A model with spoiled bytes."""
    path = folder / "model.onnx"
    content = some_model(random).SerializeToString()
    if random.random() < 0.2:
        content = content[: random.randrange(len(content))]
    else:
        content = spoiled_bytes(random, content)
    path.write_bytes(content)
    return opened_case(random, path)


def structure_case(random: Random, folder: Path) -> str:
    """A model whose bytes are in order and whose content is not."""
    path = folder / "model.onnx"
    (folder / "weights.bin").write_bytes(bytes(64))
    model = some_model(random)
    spoil_model(random, model)
    path.write_bytes(model.SerializeToString())
    return opened_case(random, path)


def opened_case(random: Random, path: Path) -> str:
    """Open a file; when it opens, every later step works or refuses and leaves the graph alone."""
    options: dict[str, Any] = {}
    if random.random() < 0.1:
        options["subs"] = {random.choice(("N", "batch", "x")): random.choice((0, -1, 1, 3, 10**9))}
    if random.random() < 0.1:
        shape = tuple(random.choice((0, -1, 1, 3, 8, 2**31)) for _ in range(random.randrange(6)))
        options["input_shapes"] = {random.choice(("in0", "input_1", "x")): shape}
    if random.random() < 0.1:
        options["fold_batchnorm"] = False
    if random.random() < 0.3:
        options["load_quantization"] = True
    try:
        project = flow.open_graph(path, **options)
    except NNShellError as error:
        return _refused(error)
    check_graph(project)
    return _pipeline(random, project, path.parent)


def _refused(error: NNShellError) -> str:
    assert refused(lambda: _raise(error))
    return REFUSED


def _raise(error: NNShellError) -> None:
    raise error


def _pipeline(random: Random, project: Project, folder: Path) -> str:
    result = ACCEPTED
    for step in _PIPELINE:
        if step in ("adjust", "fuse", "simulate") and random.random() < 0.15:
            continue
        before = fingerprint(project)
        if refused(lambda step=step: _do(step, project, folder)):  # type: ignore[misc]
            result = REFUSED
            if fingerprint(project) != before:
                raise Violation(f"'{step}' was refused and changed the graph")
        else:
            check_graph(project)
    return result


def _do(step: str, project: Project, folder: Path) -> None:
    if step == "adjust":
        flow.adjust(project)
    elif step == "fuse":
        flow.fuse(project, "scale8")
    elif step == "quantize":
        flow.quantize(project, flow.calibrate_randomly(project))
    elif step == "int8":
        for engine in ("float", "int8"):
            check_results(project, flow.run(project, zeros(project), engine))  # type: ignore[arg-type]
    elif step == "simulate":
        flow.simulate(project).to_json()
    else:
        flow.generate(project, folder / "out")


def zeros(project: Project) -> Sequence[NDArray[Any]]:
    """One sample for each graph input."""
    return [np.zeros((1, *node.type.shape), np.float32) for node in project.inputs]


def check_results(project: Project, results: dict[str, NDArray[Any]]) -> None:
    """Arrays have the shapes that the graph promises."""
    for node in project.outputs:
        found = results[node.name].shape[1:]
        if found != node.type.shape:
            raise Violation(f"{node.name} has shape {found}, not {node.type.shape}")
