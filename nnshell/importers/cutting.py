"""Where a network ends: at the tensors that the user names, and before what an application does.

The class of the largest output, the boxes that are left: such last steps choose among numbers and
have no arithmetic of their own. A file that ends in one is read up to what that step reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nnshell.support.errors import ModelError


@dataclass(frozen=True, slots=True)
class FileNode:
    """A node of a model file: ``names`` are what it may be called, ``outputs`` all its tensors."""

    op: str
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """New outputs in order, and the nodes that are left to the application."""

    outputs: tuple[str, ...]
    left_out: tuple[FileNode, ...] = ()

    def note(self, file_name: str) -> str:
        """What was cut, in one line."""
        first = self.left_out[0]
        more = f" and {len(self.left_out) - 1} more" if len(self.left_out) > 1 else ""
        return (
            f"{file_name}: {first.op} '{first.names[0]}'{more} at its end left to the application;"
            f" outputs are now {', '.join(self.outputs)} (open --outputs chooses others)"
        )


def chosen_outputs(
    names: Sequence[str], nodes: Sequence[FileNode], outputs: Sequence[str], file_name: str
) -> tuple[str, ...]:
    """The tensors that ``names`` stand for, in their order, each once.

    A name is that of a tensor which a node makes, of a node (its first output), or ``output_2``,
    an output that the file has. Raises ModelError with near names for any other.
    """
    known = _by_name(nodes, outputs)
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None or not names:
        raise ModelError(
            f"the model makes no tensor and has no node called '{unknown or ''}'",
            where=file_name,
            hint=_near(unknown or "", known),
        )
    return tuple(dict.fromkeys(known[name] for name in names))


def _by_name(nodes: Sequence[FileNode], outputs: Sequence[str]) -> dict[str, str]:
    """Tensors by all names; of names that are given twice the tensor's, then the first node's."""
    known = {name: name for node in nodes for name in node.outputs if name}
    for node in nodes:
        tensor = next((name for name in node.outputs if name), "")
        for name in node.names if tensor else ():
            known.setdefault(name, tensor)
    for number, name in enumerate(outputs):
        known.setdefault(f"output_{number + 1}", name)
    return known


def _near(name: str, known: Mapping[str, str]) -> str:
    folded = {key.lower(): key for key in known}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(folded[key] for key in near)}?"
    last = list(dict.fromkeys(known.values()))[-3:]
    return f"it makes, among others, {', '.join(last)}; `show --origin` lists nodes"


def without_application(
    nodes: Sequence[FileNode],
    inputs: Iterable[str],
    outputs: Sequence[str],
    choosing: Collection[str],
    layers: Collection[str],
) -> Cut | None:
    """The network without final ``choosing`` operators and what reads them; None if it has none.

    ``nodes`` come after what they read, and lead to ``outputs``. An operator of ``layers`` after
    one that chooses shows that it is not the end: nothing is cut then. What the nodes left out
    read of the network takes the place of the outputs that they made.
    """
    made = set(inputs)  # by the network, from its inputs
    left_out: list[FileNode] = []
    gone: set[str] = set()
    for node in nodes:
        if gone.intersection(node.inputs) or (
            node.op in choosing and made.intersection(node.inputs)
        ):
            if node.op in layers:
                return None
            left_out.append(node)
            gone.update(name for name in node.outputs if name)
        elif made.intersection(node.inputs):
            made.update(name for name in node.outputs if name)
    if not left_out:
        return None
    inner = made.difference(inputs)
    ends = _ends(left_out, inner, gone)
    kept: list[str] = []
    for name in outputs:
        kept += ends[name] if name in gone else [name]
    new = tuple(dict.fromkeys(kept))
    return Cut(new, tuple(left_out)) if inner.intersection(new) else None


def _ends(
    left_out: Sequence[FileNode], inner: Collection[str], gone: Collection[str]
) -> dict[str, list[str]]:
    """By tensor of the nodes left out, the network's tensors that it is made of, in order."""
    ends: dict[str, list[str]] = {}
    for node in left_out:
        sources: list[str] = []
        for name in node.inputs:
            sources += ends[name] if name in gone else [name] if name in inner else []
        sources = list(dict.fromkeys(sources))
        ends.update((key, sources) for key in node.outputs)
    return ends
