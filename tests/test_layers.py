"""The architecture, held by test: imports point one way, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nnshell

PACKAGE = Path(nnshell.__file__).parent

# Rooms from the ground up; a module imports from its own room or from one that stands above here.
ROOMS = (
    "support",
    "ir",
    "numeric",
    "lowering",
    "reading",
    "ops",
    "importers",
    "exporters",
    "inputs",
    "passes",
    "targets",
    "execution",
    "quantization",
    "experiments",
    "learning",
    "chips",
    "reports",
    "session",
    "state",
    "flow",
    "cluster",
    "compat",
    "tutorials",
    "shell",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, name in enumerate(ROOMS)}
AT_THE_ROOT = {"__init__", "__main__", "cli", "flow"}

ONLY_IN = {
    "onnx": ("importers", "exporters"),
    "tflite": ("importers",),
    "onnxruntime": ("execution",),
    "ai_edge_litert": ("execution",),
    "cmd2": ("shell",),
    "rich": ("shell",),
    "prompt_toolkit": ("shell",),
    "PIL": ("inputs",),
    "distributed": ("cluster",),
    "torch": ("learning",),
    "matplotlib": ("reports",),
    "jinja2": ("reports",),
    "fast_sugiyama": ("reports",),
}
FORBIDDEN = {"pickle", "cPickle", "dill", "marshal", "shelve"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).with_suffix("")
        if relative.parts[0] != "samples":
            yield relative.parts[0], path


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return tuple(found)


@pytest.mark.parametrize("room", sorted(RANK))
def test_imports_point_one_way(room: str) -> None:
    for owner, path in modules():
        for name in imports(path):
            parts = name.split(".")
            if owner == room and parts[0] == "nnshell" and len(parts) > 1:
                assert RANK[parts[1]] <= RANK[room], f"{path.name} imports {name}"


def test_the_model_of_a_chip_knows_nothing_of_what_is_made_of_its_reports() -> None:
    for path in sorted((PACKAGE / "chips" / "model").glob("*.py")):
        for name in imports(path):
            assert not name.startswith("nnshell.chips.insight"), f"{path.name} imports {name}"


def test_one_function_is_called_simulate() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for _, path in modules()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and node.name == "simulate"
    }
    assert found == {"flow.py"}


def test_every_module_belongs_to_a_room() -> None:
    assert {owner for owner, _ in modules()} - {"__init__"} == set(RANK)


MOST_ASKED_BY_CLASS = 80  # patterns of fusions, and what builds another operator of the same class


def operator_classes() -> set[str]:
    """Names of all classes that derive from Operator, by their bases as they are written."""
    bases: dict[str, set[str]] = {}
    for owner, path in modules():
        for node in nodes(path) if owner in ("ir", "ops") else ():
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    found = {"Operator"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def test_operators_are_asked_for_facts_and_not_for_their_class() -> None:
    classes = operator_classes()
    places = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for owner, path in modules()
        if owner not in ("ir", "ops") and "norm" not in path.stem  # a grammar with a Constant
        for call in nodes(path)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "isinstance"
        if {n.id for n in ast.walk(call.args[1]) if isinstance(n, ast.Name)} & classes
    ]
    assert {"Conv2D", "Relu6", "Constant", "FusionInput"} <= classes
    assert len(places) < MOST_ASKED_BY_CLASS, "\n".join(places)


def test_only_the_entrances_are_modules_at_the_root() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == AT_THE_ROOT


def test_heavy_libraries_stay_in_their_room() -> None:
    for owner, path in modules():
        for name in imports(path):
            allowed = ONLY_IN.get(name.split(".")[0])
            assert allowed is None or owner in allowed, f"{path} imports {name}"


def test_nothing_unpickles_or_evaluates() -> None:
    for _, path in modules():
        called = {n.func.id for n in nodes(path) if _is_plain_call(n)}  # type: ignore[attr-defined]
        assert not called & {"eval", "exec"}, path
        assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN, path


def _is_plain_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import nnshell, sys; print([m for m in ('numpy', 'onnx', 'cmd2') if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


# What stands on one line is one room: its parts from the ground up, in the same sense.
INSIDE = {
    "chips": ("tables", "model", "insight", "tiled"),
    "quantization": ("ranges", "solving"),
    "targets": ("arithmetic", "autotiler"),
    "importers": ("problems", "onnx"),
    "numeric": ("fixed_point", "records", "kernels"),
    "session": ("steps", "project", "recipe", "losses", "edits", "improve", "studies"),
}


@pytest.mark.parametrize("room", sorted(INSIDE))
def test_parts_of_a_room_are_in_order(room: str) -> None:
    rank = {part: number for number, part in enumerate(INSIDE[room])}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        part = path.relative_to(PACKAGE / room).with_suffix("").parts[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] != ["nnshell", room] or len(parts) < 3:
                continue
            if part in rank and parts[2] in rank:
                assert rank[parts[2]] <= rank[part], f"{path.name} imports {name}"


def loaded(path: Path) -> set[str]:
    """Modules that are imported while this one is, not those for types or in functions."""
    names: set[str] = set()

    def visit(statements: list[ast.stmt]) -> None:
        for node in statements:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.If | ast.Try | ast.With):
                typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
                visit([] if typing_only else node.body)

    visit(ast.parse(path.read_text()).body)
    return names


def test_no_modules_import_one_another_in_a_circle() -> None:
    files = {
        ".".join(("nnshell", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for _, path in modules()
        if path.name != "__init__.py"
    }
    edges = {name: loaded(path) & set(files) - {name} for name, path in files.items()}
    while edges:
        free = {name for name, needs in edges.items() if not needs & set(edges)}
        assert free, f"a circle among {sorted(edges)[:8]}"
        edges = {name: needs for name, needs in edges.items() if name not in free}
