"""What Tab offers for nodes, selectors and other names that depend on the session."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmd2 import Choices, CompletionItem, Completions

from nnshell.shell.api import catalogue, edits, quantization_options, select
from nnshell.support.samples import PREFIX, sample_names

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.shell.app import Shell


def _graph(shell: Shell) -> Graph | None:
    session = shell.session
    return session.graph if session.opened else None


def node_names(shell: Shell) -> Choices:
    """Names of nodes, with their operator."""
    graph = _graph(shell)
    nodes = graph.nodes.values() if graph is not None else ()
    return Choices([CompletionItem(node.name, display_meta=node.kind) for node in nodes])


def input_names(shell: Shell) -> Choices:
    """Names of the graph's inputs."""
    graph = _graph(shell)
    return Choices.from_values([node.name for node in graph.inputs] if graph is not None else [])


def end_names(shell: Shell) -> Choices:
    """Names of the graph's inputs and outputs."""
    graph = _graph(shell)
    ends = [*graph.inputs, *graph.outputs] if graph is not None else []
    return Choices.from_values([node.name for node in ends])


def fusion_names(_: Shell) -> Choices:
    """Names of all fusions, with what they do."""
    return Choices([CompletionItem(e.name, display_meta=e.summary) for e in catalogue.catalogue()])


def graph_numbers(shell: Shell) -> Choices:
    """Numbers of the open graphs."""
    return Choices.from_values(range(len(shell.session.opened)))


def complete_input(shell: Shell, text: str, line: str, begin: int, end: int) -> Completions:
    """Files and folders; after ``sample:`` what comes with the package; either after NAME=."""
    name, sign, path = text.rpartition("=")
    start = name + sign
    if path.startswith(PREFIX):
        offered = [start + PREFIX + sample for sample in sample_names()]
        return shell.basic_complete(text, line, begin, end, offered)
    result = shell.path_complete(path, line[: begin - len(start)] + path, begin - len(start), end)
    items = [replace(item, value=start + item.text, text=start + item.text) for item in result]
    return replace(result, items=items)


def complete_tuning(shell: Shell, text: str, line: str, begin: int, end: int) -> Completions:
    """A selector; then KEY= of its options, and their values."""
    words = line[:begin].split()
    if words and words[-1] == "--step":
        return complete_selector(shell, text, line, begin, end)
    accepted = quantization_options.ACCEPTED
    key, sign, _ = text.partition("=")
    values = [str(value).lower() for value in accepted.get(key, ())]
    offered = [f"{key}={value}" for value in values] if sign else [f"{name}=" for name in accepted]
    result = shell.basic_complete(text, line, begin, end, offered)
    return result if sign else replace(result, allow_finalization=False)


def complete_selector(shell: Shell, text: str, line: str, begin: int, end: int) -> Completions:
    """The name at the end of a selector: after a comma or a colon another one begins."""
    graph = _graph(shell)
    if graph is None:
        return Completions()
    start = max(text.rfind(","), text.rfind(":")) + 1
    names = [name for node in graph for name in (node.name, *_inner(node.name, graph))]
    offered = [text[:start] + name for name in names]
    return shell.basic_complete(text, line, begin, end, offered)


def _inner(name: str, graph: Graph) -> list[str]:
    return [f"{name}/{node.name}" for node in select.inner_nodes(graph[name])]


def option_names(shell: Shell, arg_tokens: dict[str, list[str]]) -> Choices:
    """AutoTiler options of the nodes that the selector on the line names."""
    graph = _graph(shell)
    if graph is None:
        return Choices()
    nodes = select.select(graph, arg_tokens["selector"][0])
    names = {name for _, node in nodes for name in edits.option_names(node)}
    return Choices.from_values(sorted(names))
