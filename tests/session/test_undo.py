"""Commands on a project: taken back, refused and replayed, each leaves exactly what it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nnshell
from nnshell.ir.text import print_graph
from nnshell.session import edits, recipe
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

Command = Callable[[Project], object]


def _fused() -> Project:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    return project


def _quantized() -> Project:
    project = _fused()
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1", limit=4)
    nnshell.quantize(project, nnshell.calibrate(project, images))
    return project


def _first_filter(project: Project) -> str:
    return next(node.name for node in project.graph.steps() if node.body is not None)


COMMANDS: dict[str, tuple[Callable[[], Project], Command]] = {
    "adjust": (lambda: nnshell.open_graph("sample:lenet"), nnshell.adjust),
    "fusions": (lambda: nnshell.open_graph("sample:lenet"), lambda p: nnshell.fuse(p, "scale8")),
    "freeze": (_fused, lambda p: edits.freeze(p, ["input_1"])),
    "nodeoption": (_fused, lambda p: edits.node_option(p, "input_1", "ALLOCATE", "1")),
    "remove": (_fused, lambda p: edits.remove(p, _first_filter(p), None)),
    "extract": (_fused, lambda p: edits.extract(p, _first_filter(p))),
    "imageformat": (_quantized, lambda p: edits.image_format(p, "input_1", "rgb888", "none")),
    "qtune": (_quantized, lambda p: edits.tune(p, {"*": {"quantized_dimension": "tensor"}})),
    "aquant": (_fused, lambda p: nnshell.quantize(p, nnshell.calibrate_randomly(p))),
}


def _content(project: Project) -> tuple[object, ...]:
    """Everything that a command may change, as text and numbers."""
    records = [
        (node.name, None if node.quantization is None else node.quantization.output.first_scale)
        for node in project.graph
    ]
    options = [(node.name, dict(node.options)) for node in project.graph]
    steps = [(step.command, step.options) for step in project.recipe]
    return print_graph(project.graph), records, options, repr(steps), project.quantization_options


@pytest.mark.parametrize("name", COMMANDS)
def test_undo_brings_back_what_was_before(name: str) -> None:
    make, command = COMMANDS[name]
    project = make()
    before = _content(project)
    command(project)
    after = _content(project)
    assert after != before
    recipe.undo(project)
    assert _content(project) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_the_step_of_a_command_is_the_last_of_the_recipe(name: str) -> None:
    make, command = COMMANDS[name]
    project = make()
    steps = len(project.recipe)
    command(project)
    assert project.recipe[-1].command == name
    assert len(project.recipe) == steps + 1


@pytest.mark.parametrize(
    "command",
    [
        lambda p: nnshell.fuse(p, "scale8", "no_such_fusion"),
        lambda p: edits.freeze(p, ["input_1", "nobody"]),
        lambda p: edits.node_option(p, "input_1", "NONSENSE", "1"),
        lambda p: edits.remove(p, "nobody", None),
        lambda p: edits.extract(p, "nobody"),
        lambda p: edits.image_format(p, "input_1", "rgb888", "nonsense"),
        lambda p: edits.tune(p, {"*": {"nonsense": 1}}),
        lambda p: edits.tune(p, {"nobody": {"act_bits": 4}}),
    ],
)
def test_a_command_that_fails_changes_nothing(command: Command) -> None:
    project = _quantized()
    before = _content(project)
    with pytest.raises(NNShellError):
        command(project)
    assert _content(project) == before


def test_a_state_makes_the_same_graph_and_integers_again(tmp_path: Path) -> None:
    project = _quantized()
    edits.tune(project, {_first_filter(project): {"quantized_dimension": "tensor"}})
    path = nnshell.save_state(project, tmp_path / "lenet.json")
    again = nnshell.open_graph(path)
    assert print_graph(again.graph) == print_graph(project.graph)
    image = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=2)
    integers, others = (nnshell.run(p, image, engine="int8") for p in (project, again))
    assert list(integers) == list(others)
    for key, value in integers.items():
        np.testing.assert_array_equal(value, others[key])
