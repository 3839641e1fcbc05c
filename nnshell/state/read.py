"""Reading a state file: everything in it is checked before anything is done with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nnshell
from nnshell.session.steps import Step
from nnshell.state import checks
from nnshell.state.document import FORMAT, VERSION, State
from nnshell.support.errors import NNShellError, StateError
from nnshell.support.files import read_bounded
from nnshell.support.settings import describe

MAX_FILE_BYTES = 64 << 20  # the statistics of a network of 100,000 nodes are below this

MAX_STEPS = 10_000

_KEYS = (
    "format",
    "version",
    "nnshell",
    "graph",
    "model",
    "settings",
    "recipe",
    "quantization_options",
    "node_options",
    "statistics",
)


def read_state(path: Path | str) -> State:
    """The state in a file; raises StateError, one line, when it is anything but a valid state."""
    path = Path(path)
    content = _read(path)
    try:
        document = checks.mapping(checks.parse(content), "the file")
        _check_format(document)
        return _to_state(document)
    except StateError as error:
        hint = error.hint or "write it again with save_state"
        message = f"{path.name} is not a usable state file: {error.message}"
        raise StateError(message, where=str(path), hint=hint) from None


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise StateError(f"there is no state file {path}")
        return read_bounded(path, MAX_FILE_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise StateError(f"{path} is not a text file, so no state file") from None
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise StateError(f"cannot read {path}: {error}") from None


def _check_format(document: dict[str, Any]) -> None:
    if "history" in document and "format" not in document:
        raise StateError(
            "NNTool wrote it, and nnshell does not replay NNTool's history",
            hint="open the model, type its commands, and take its statistics with"
            " `aquant --stats FILE`",
        )
    if document.get("format") != FORMAT:
        raise StateError("nnshell did not write it", hint="give a file that save_state wrote")
    version = document.get("version")
    if type(version) is not int:
        raise StateError("it has no version number")
    if version != VERSION:
        writer = str(document.get("nnshell"))[:40]
        raise StateError(
            f"it has version {version}, written by nnshell {writer}; nnshell"
            f" {nnshell.__version__} reads version {VERSION}",
            hint=f"use nnshell {writer}, or replay its commands and save_state again",
        )


def _to_state(document: dict[str, Any]) -> State:
    checks.exact_keys(document, _KEYS, "the file")
    model = checks.mapping(document["model"], "model")
    checks.exact_keys(model, ("path", "sha256"), "model")
    options = document["quantization_options"]
    statistics = document["statistics"]
    return State(
        model=_path(model["path"]),
        sha256=_digest(model["sha256"]),
        nnshell=checks.text(document["nnshell"], "nnshell"),
        graph=checks.text(document["graph"], "graph"),
        recipe=_recipe(document["recipe"]),
        settings=_settings(document["settings"]),
        quantization_options=(
            None if options is None else checks.mapping(options, "quantization_options")
        ),
        node_options=_node_options(document["node_options"]),
        statistics=None if statistics is None else checks.mapping(statistics, "statistics"),
    )


def _path(value: Any) -> str:
    path = checks.text(value, "model.path")
    if not path or "\n" in path:
        raise StateError("model.path is no path")
    return path


def _digest(value: Any) -> str:
    digest = checks.text(value, "model.sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise StateError("model.sha256 is no SHA-256 in hexadecimal")
    return digest


def _recipe(value: Any) -> tuple[Step, ...]:
    entries = checks.sequence(value, "recipe")
    if len(entries) > MAX_STEPS:
        raise StateError(f"the recipe has {len(entries)} steps")
    steps = []
    for number, entry in enumerate(entries):
        place = f"recipe[{number}]"
        entry = checks.mapping(entry, place)
        checks.exact_keys(entry, ("command", "options", "line"), place)
        command = checks.text(entry["command"], f"{place}.command")
        options = checks.mapping(entry["options"], f"{place}.options")
        steps.append(Step(command, options, checks.text(entry["line"], f"{place}.line")))
    return tuple(steps)


def _settings(value: Any) -> dict[str, Any]:
    settings = checks.mapping(value, "settings")
    for name, setting in settings.items():
        try:
            describe(name).check(setting)
        except NNShellError as error:
            raise StateError(f"settings: {error.message}", hint=error.hint) from None
    return settings


def _node_options(value: Any) -> dict[str, dict[str, str]]:
    options = checks.mapping(value, "node_options")
    for name, entries in options.items():
        place = f"node_options['{name[:60]}']"
        for key, entry in checks.mapping(entries, place).items():
            checks.text(entry, f"{place}.{key[:60]}")
    return options
