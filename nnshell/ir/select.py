"""Selectors: how commands name nodes.

5            the node of step 5; -1 is the last step
name         the node of that name
pre*         every name that matches
a:b          steps a to b, both included; a and b are steps or names, either may be left out
3_0          inner node 0 of the fusion at step 3
FUSION/INNER an inner node by name; both may be patterns
a, b, c      a list; spaces around the commas are allowed
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase

from nnshell.ir.graph import Graph, Node
from nnshell.support.errors import GraphError

Selection = list[tuple[str, Node]]

_STEP = re.compile(r"-?\d+")
_INNER_STEP = re.compile(r"(\d+)_(\d{1,12})")


def select(graph: Graph, text: str) -> Selection:
    """(key, node) of every node that ``text`` selects, in the order given, each once.

    The key is the node's name, or ``FUSION/INNER`` for an inner node. Raises GraphError when a
    part of the selector matches nothing.
    """
    steps = graph.steps()
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise GraphError(
            f"'{text}' is not a selector",
            hint="type a step (5, -1), a name, a pattern (conv*), a range (2:7), or a list of them",
        )
    results: dict[str, Node] = {}
    for part in parts:
        results.update(_select_part(graph, steps, part))
    return list(results.items())


def select_one(graph: Graph, text: str) -> tuple[str, Node]:
    """The one node that ``text`` selects; raises GraphError when there are several."""
    result = select(graph, text)
    if len(result) > 1:
        names = ", ".join(key for key, _ in result[:3])
        raise GraphError(f"'{text}' selects {len(result)} nodes ({names} ...), one is wanted here")
    return result[0]


def inner_nodes(node: Node) -> list[Node]:
    """The computing nodes of a fusion's body, in step order."""
    return [n for n in node.body.steps() if not n.op.boundary] if node.body is not None else []


def near_names(graph: Graph, name: str) -> str:
    """A hint that lists node names like ``name``."""
    keys = [*graph.nodes, *_inner_keys(graph)]
    short = {key.lower(): key for key in keys}
    near = [short[key] for key in get_close_matches(name.lower(), short, n=3, cutoff=0.5)]
    inside = [key for key in keys if name.strip("*").lower() in key.lower()] if name != "*" else []
    candidates = list(dict.fromkeys([*near, *inside]))[:4]
    if candidates:
        return f"did you mean {', '.join(candidates)}?"
    return "`show` lists the nodes"


def _select_part(graph: Graph, steps: list[Node], part: str) -> Selection:
    if ":" in part:
        return _select_range(graph, steps, part)
    if _STEP.fullmatch(part):
        node = steps[_step_index(steps, part)]
        return [(node.name, node)]
    if part in graph:
        return [(part, graph[part])]
    if match := _INNER_STEP.fullmatch(part):
        return _select_inner_step(steps, match[1], int(match[2]))
    result = _select_pattern(graph, steps, part) or _select_inside(steps, part)
    if not result:
        raise GraphError(f"no node matches '{part}'", hint=near_names(graph, part))
    return result


def _select_range(graph: Graph, steps: list[Node], part: str) -> Selection:
    first_text, _, last_text = part.partition(":")
    first = _range_end(graph, steps, first_text.strip()) if first_text.strip() else 0
    last = _range_end(graph, steps, last_text.strip()) if last_text.strip() else len(steps) - 1
    if first > last:
        raise GraphError(
            f"the range '{part}' is empty: it goes from step {first} to {last}",
            hint=f"type {last}:{first}",
        )
    return [(node.name, node) for node in steps[first : last + 1]]


def _range_end(graph: Graph, steps: list[Node], text: str) -> int:
    if _STEP.fullmatch(text):
        return _step_index(steps, text)
    for number, node in enumerate(steps):
        if node.name == text:
            return number
    raise GraphError(f"no node is called '{text}'", hint=near_names(graph, text))


def _step_index(steps: list[Node], text: str) -> int:
    number = int(text) if len(text) < 12 else len(steps)
    index = number + len(steps) if number < 0 else number
    if not 0 <= index < len(steps):
        raise GraphError(f"there is no step {text}", hint=f"steps go from 0 to {len(steps) - 1}")
    return index


def _select_inner_step(steps: list[Node], step: str, inner: int) -> Selection:
    fusion = steps[_step_index(steps, step)]
    nodes = inner_nodes(fusion)
    if not nodes:
        raise GraphError(f"step {step} ({fusion.name}) is not a fusion, it has no inner nodes")
    if inner >= len(nodes):
        raise GraphError(
            f"the fusion at step {step} has no inner node {inner}",
            where=fusion.name,
            hint=f"it has {step}_0 to {step}_{len(nodes) - 1}",
        )
    return [(f"{fusion.name}/{nodes[inner].name}", nodes[inner])]


def _select_pattern(graph: Graph, steps: list[Node], part: str) -> Selection:
    """Names by pattern; inner nodes too when the pattern has a slash or names one exactly."""
    if "/" in part:
        return [(key, node) for key, node in _inner_keys(graph).items() if fnmatchcase(key, part)]
    outer = [(node.name, node) for node in steps if fnmatchcase(node.name, part)]
    if outer:
        return outer
    return [(key, n) for key, n in _inner_keys(graph).items() if key.rpartition("/")[2] == part]


def _select_inside(steps: list[Node], part: str) -> Selection:
    """The only computing node whose name contains the text, when there is just one."""
    text = part.lower()
    nodes = [n for n in steps if n.inputs and not n.op.boundary and text in n.name.lower()]
    return [(n.name, n) for n in nodes] if len(nodes) == 1 and len(text) > 1 else []


def _inner_keys(graph: Graph) -> dict[str, Node]:
    return {f"{f.name}/{node.name}": node for f in graph for node in inner_nodes(f)}
