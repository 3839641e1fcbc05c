"""What the nodes of a TFLite file are called: as NNTool calls them, so that its scripts fit."""

from __future__ import annotations

import hashlib
import re

from nnshell.importers.tflite.file import OperatorEntry, TfliteFile

_LONGEST_OPERATOR = 40
_LONGEST_CONSTANT = 30
_HASH_DIGITS = 8


def operator_name(operator: OperatorEntry) -> str:
    """``CONV_2D_0_3``: the schema's name, the subgraph, the position in the file."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", operator.op)
    return f"{name}_0_{operator.index}"[:_LONGEST_OPERATOR]


def tensor_keys(file: TfliteFile) -> list[str]:
    """A name for each tensor that no other has: its own, numbered where it is not alone."""
    count: dict[str, int] = {}
    for tensor in file.tensors:
        count[tensor.name] = count.get(tensor.name, 0) + 1
    return [
        tensor.name
        if tensor.name and count[tensor.name] == 1
        else f"{tensor.name or 'tensor'}#{tensor.index}"
        for tensor in file.tensors
    ]


def constant_names(file: TfliteFile) -> dict[int, str]:
    """Names of the tensors that lie in a buffer, by tensor index.

    A name is stripped of what does not belong in an identifier and cut; a name that is taken gets
    the first digits of the SHA-1 of the whole, then a number. Operators' names come first.
    Activations that have a buffer of their own, though an empty one, take part: converters write
    files so, and which of two tensors gets the short name depends on it.
    """
    taken = {operator_name(operator) for operator in file.operators}
    names: dict[int, str] = {}
    for tensor in file.tensors:
        if not tensor.buffer:
            continue
        name = re.sub(r"[^0-9A-Za-z_]", "", tensor.name)[:_LONGEST_CONSTANT] or "constant"
        if name in taken:
            digest = hashlib.sha1(tensor.name.encode(), usedforsecurity=False).hexdigest()
            name = f"{name}_{digest[:_HASH_DIGITS]}"
        stem, number = name, 0
        while name in taken:
            name = f"{stem}_{number}"
            number += 1
        taken.add(name)
        names[tensor.index] = name
    return names
