"""Computed tensors as data: an .npz file, real values of integers, comparisons."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph, all_nodes
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.execution.metrics import Comparison

Tensors = Mapping[str, NDArray[Any]]


def write_npz(tensors: Tensors, stream: IO[bytes]) -> None:
    """An .npz file with one array per key, whatever characters the keys have; one at a time."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        for key, array in tensors.items():
            entry = zipfile.ZipInfo(f"{key}.npy")  # without the time: the same bytes each time
            with file.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def joined(parts: Iterable[Tensors]) -> dict[str, NDArray[Any]]:
    """The tensors of all batches, along the sample axis."""
    lists: dict[str, list[NDArray[Any]]] = {}
    for tensors in parts:
        for key, array in tensors.items():
            lists.setdefault(key, []).append(array)
    return {key: np.concatenate(lists.pop(key)) for key in list(lists)}


def dequantized(graph: Graph, tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The real values that integers stand for."""
    nodes = {key: node for key, node, _ in all_nodes(graph)}
    real = {}
    for key, array in tensors.items():
        name, _, index = key.partition("[")
        records = nodes[name].quantization
        assert records is not None, "integers come from quantized graphs"
        real[key] = records.outputs[int(index.rstrip("]") or 0)].dequantize(array)
    return real


def compare_stored(first: Tensors, second: Tensors) -> list[Comparison]:
    """Every tensor that both hold; UsageError when there is none of the same size."""
    from nnshell.execution.metrics import compare_arrays

    common = [key for key in first if key in second and first[key].size == second[key].size]
    if not common:
        raise UsageError("the two hold no tensor of the same name and size")
    return [compare_arrays(first[key], second[key], key) for key in common]
