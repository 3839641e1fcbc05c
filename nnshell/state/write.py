"""Saving: the state of a graph, written beside its model unless a path says otherwise."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import nnshell
from nnshell.ir.graph import Graph, Source, all_nodes
from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.state import checks
from nnshell.state.document import State, to_text
from nnshell.support.errors import QuantizationError, StateError
from nnshell.support.files import write_atomically

_MODEL_SUFFIXES = (".onnx", ".tflite")
_BLOCK_BYTES = 1 << 20


def save_state(project: Project, path: Path | str | None = None) -> Path:
    """Write the state of a quantized graph and return the file's path.

    ``path`` is a file, a folder (it may end with a slash and need not exist), or None for
    ``<model stem>.json`` beside the model. The file is replaced as a whole or not at all.
    """
    target = state_path(quantized_source(project), path)
    state = state_of(project, target)
    write_atomically(target, to_text(state).encode())
    return target


def quantized_source(project: Project) -> Source:
    """The model file of a quantized graph; QuantizationError when it is not quantized."""
    if not project.quantized:
        raise QuantizationError(
            "the graph is not quantized, so there is nothing to save",
            where=project.name,
            hint="type `aquant IMAGES` first",
        )
    return _source(project.graph)


def state_path(source: Source, path: Path | str | None = None) -> Path:
    """Where the state of a model goes."""
    name = source.path.stem + ".json"
    if path is None:
        return source.path.parent / name
    if str(path).endswith(("/", os.sep)) or Path(path).is_dir():
        return Path(path) / name
    path = Path(path)
    if path.suffix == ".json":
        return path
    if path.suffix in _MODEL_SUFFIXES:
        return path.with_suffix(".json")
    return path.with_name(path.name + ".json")


def state_of(project: Project, target: Path) -> State:
    """What a state file at ``target`` says about the project."""
    source = _source(project.graph)
    state = State(
        model=_relative(source.path, target.parent),
        sha256=source.sha256 or digest_of(source.path),
        nnshell=nnshell.__version__,
        graph=project.name,
        recipe=tuple(Step(step.command, plain(step.options), step.line) for step in project.recipe),
        settings={entry.name: project.settings[entry.name] for entry in project.settings.changed()},
        quantization_options=_optional(project.quantization_options),
        node_options={
            name: dict(node.options) for name, node, _ in all_nodes(project.graph) if node.options
        },
        statistics=_statistics(project),
    )
    checks.check_plain(dataclasses.asdict(state))
    return state


def _statistics(project: Project) -> dict[str, Any] | None:
    """What calibration saw; ranges that are the model file's own are read from it again."""
    if project.statistics is None or project.from_file is not None:
        return None
    return project.statistics.to_json()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """The same value in JSON's types; raises StateError for what JSON cannot say."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    raise StateError(f"a recipe cannot hold a {type(value).__name__}")


def _optional(options: Any) -> dict[str, Any] | None:
    return None if options is None else plain(options)


def _source(graph: Graph) -> Source:
    if graph.source is None:
        raise StateError("the graph comes from no model file", where=graph.name)
    return graph.source


def _relative(model: Path, folder: Path) -> str:
    """Path of the model seen from ``folder``, links resolved, with forward slashes."""
    resolved = Path(os.path.realpath(model))
    try:
        return Path(os.path.relpath(resolved, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return resolved.as_posix()
