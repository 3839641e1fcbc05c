"""Commands in any order on a valid graph: after each one the graph is whole, or as it was."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuzzing.cases import (
    ACCEPTED,
    REFUSED,
    Violation,
    check_graph,
    check_message,
    check_unchanged,
    fingerprint,
    snapshot,
)
from fuzzing.models import random_model
from fuzzing.onnx_files import check_results
from fuzzing.scripts import prepare
from nnshell import flow
from nnshell.ir.graph import all_nodes
from nnshell.session.project import Project
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session
from nnshell.shell.transcript import Transcript
from nnshell.support.errors import NNShellError
from nnshell.support.settings import SETTINGS

_LINES = (
    *("adjust", "adjust -n", "adjust -o", "fusions --scale8", "fusions --scale8", "fusions --pow2"),
    *("fusions --float", "fusions -a {fusion}", "fusions -a {fusion} {fusion}", "fquant", "fquant"),
    *("fquant --uniform 2 --seed {n}", "fquant --clip_type std3", "fquant -d tensor", "undo"),
    *("undo", "remove {node}", "remove {node} {node}", "remove -u {node}", "remove --leave {node}"),
    *("extract {node}", "imageformat {in} rgb888 offset_int8", "imageformat {in} bw8 shift_int8"),
    *(
        "imageformat {in} none none",
        "imageformat {in} rgb888 none",
        "freeze {in}",
        "freeze output_1",
    ),
    *("freeze {in} --transpose 2,0,1", "nodeoption {node} ALLOCATE 1", "nodeoption {node} {n}"),
    *("qtune --step {node} clip_type=std5", "qtune --step * quantized_dimension=tensor"),
    *("qtune --step {node} narrow_weights=false", "qtune --step {node} softmax_out_8bits=true"),
    *("set l1_size {n}000", "set int8_target chip", "set check_passes on", "set check_passes off"),
    *("set input_norm_func 'x: x/{n}-1'", "set input_divisor {n}", "save_stats stats.json"),
    *("aquant --stats stats.json", "aquant img/* -M {mode} -D 255", "aquant x.npz", "verify"),
    *("open model.onnx", "open -n other.onnx", "graph {n}", "graph 0", "open model.json"),
    *("show", "qshow", "qshow --format json", "temps", "passes -a", "history", "show --origin"),
    *("simulate", "simulate --memory", "gen", "gen model.c -M out -T out -t", "save_state"),
    *("fusions --explain {node}", "weights", "stats", "statistics", "draw -q -s -f net.dot"),
    *("tensors", "dump img/* -M {mode} -S a", "dump img/* -q -M {mode} -S b", "tensors -t a b"),
    *("qerror img/* -M {mode}", "validate img/* -q -M {mode}", "astats img/* -M {mode}"),
    *("save_state new/state.json", "open new/state.json", "dump x.npz --npz d.npz -q"),
)
_SHORTEST, _LONGEST = 4, 14


def sequence_case(random: Random, folder: Path) -> str:
    """A random model, then commands; at the end what is quantized survives saving."""
    prepare(random, folder)
    (folder / "model.onnx").write_bytes(random_model(random, 5).SerializeToString())
    shell = _shell()
    if not _run(shell, "open model.onnx", folder):
        return REFUSED
    for _ in range(random.randint(_SHORTEST, _LONGEST)):
        _run(shell, _filled(random, shell, random.choice(_LINES)), folder)
    for opened in shell.session.opened:
        _check_round_trip(opened.project, folder / "trip.json")
    return ACCEPTED


def setting_case(random: Random, folder: Path) -> str:
    """A hostile value of a setting, then everything that may read it."""
    prepare(random, folder)
    shell = _shell()
    lines = ["open model.onnx", "adjust", "fusions --scale8", "fquant"]
    result = ACCEPTED
    for _ in range(random.choice((1, 1, 2, 4))):
        name = random.choice(list(SETTINGS))
        value = random.choice(("0", "1", "-1", "x", "''", "1e9", "true", "a/b", "'a b'", "'\"'"))
        lines.insert(random.randrange(len(lines) + 1), f"set {name} {value}")
    readers = ("simulate", "gen", "gen model.c -M out -t", "save_state", "qshow", "validate img/*")
    lines += random.sample((*readers, "aquant img/*", "open model.json"), 3)
    for line in lines:
        if not _run(shell, line, folder):
            result = REFUSED
    return result


def _shell() -> Shell:
    return Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())


def _run(shell: Shell, line: str, folder: Path) -> bool:
    """Run a line; False when it failed, and then nothing has changed."""
    session = shell.session
    before = [fingerprint(opened.project) for opened in session.opened]
    settings, files, failures = session.settings.copy(), snapshot(folder), shell.failures
    shell.transcript = Transcript()
    shell.onecmd_plus_hooks(line, add_to_history=False)
    for message in shell.transcript.failures:
        try:
            check_message(message)
        except Violation as violation:
            raise Violation(f"at '{line}': {violation}; steps {_steps(shell)}") from None
    if shell.failures > failures:
        if [fingerprint(opened.project) for opened in session.opened] != before:
            raise Violation(f"'{line}' failed and changed a graph")
        if settings != session.settings:
            raise Violation(f"'{line}' failed and changed settings")
        check_unchanged(folder, files)
        return False
    for opened in session.opened:
        try:
            check_graph(opened.project)
            _check_integers(opened.project)
        except Exception as error:
            raise Violation(f"after '{line}': {error}; steps {_steps(shell)}") from error
    return True


def _steps(shell: Shell) -> list[str]:
    """The commands that made the current graph."""
    return [step.line for step in shell.session.project.recipe] if shell.session.opened else []


def _filled(random: Random, shell: Shell, line: str) -> str:
    graph = shell.session.graph
    names = [key for key, _, _ in all_nodes(graph)]
    fusions = [entry.name for entry in _catalogue()]
    channels = graph.inputs[0].type.shape[:1] if graph.inputs else ()
    while "{node}" in line:
        line = line.replace("{node}", random.choice(names), 1)
    while "{fusion}" in line:
        line = line.replace("{fusion}", random.choice(fusions), 1)
    line = line.replace("{in}", random.choice(["input_1", *(n.name for n in graph.inputs)]))
    line = line.replace("{mode}", "L" if channels == (1,) else "RGB")
    return line.replace("{n}", str(random.choice((0, 1, 2, 3, 64, 255))))


def _catalogue() -> Any:
    from nnshell.passes.catalogue import catalogue

    return catalogue()


# -- what is quantized ---------------------------------------------------------------------


def _check_integers(project: Project) -> None:
    """A quantized project runs."""
    if project.quantized and project.inputs:
        check_results(project, _integers(project))


def _integers(project: Project) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(1)
    batch = [
        generator.integers(0, 256, (1, *node.type.shape)).astype(np.uint8)
        if any(
            consumer.kind == "image_format" for consumer, _ in project.graph.consumers(node.name)
        )
        else generator.normal(0, 1, (1, *node.type.shape)).astype(np.float32)
        for node in project.inputs
    ]
    return flow.run(project, batch, "int8")


def _check_round_trip(project: Project, path: Path) -> None:
    """Saved and opened again, the project computes the same integers."""
    if not project.quantized:
        return
    flow.save_state(project, path)
    try:
        again = flow.open_graph(path)
    except NNShellError as error:
        steps = [step.line or step.command for step in project.recipe]
        raise Violation(f"a saved state does not open: {error}; steps {steps}") from error
    first, second = _integers(project), _integers(again)
    different = [k for k in first if k not in second or not np.array_equal(first[k], second[k])]
    if different or first.keys() != second.keys():
        steps = [step.line or step.command for step in project.recipe]
        raise Violation(f"a saved state gives other integers at {different[:3]}; steps {steps}")
