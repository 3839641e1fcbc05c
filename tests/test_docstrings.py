"""Public functions say what they take and give: the share that does never falls below a bound."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).parents[1] / "nnshell"
_LEAST_SHARE = 0.70  # without contracts of an operator, which say it once, it would be more


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Public functions of a module and methods of its classes; not those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            overload = any("overload" in ast.dump(entry) for entry in node.decorator_list)
            if not node.name.startswith("_") and not overload:
                yield node


def test_most_public_functions_have_a_docstring() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _PACKAGE.rglob("*.py")]
    functions = [function for tree in trees for function in _functions(tree)]
    described = sum(ast.get_docstring(function) is not None for function in functions)
    assert described >= _LEAST_SHARE * len(functions)


def test_every_module_and_every_public_class_has_one() -> None:
    for path in _PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree) or not tree.body, path
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"
