"""Operators that an exported file simulates step by step, kept in the file's metadata.

Other tools see a network that computes what the kernels compute; whoever opens the file as a
quantized model again finds the operators (``importers.onnx.plain``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from nnshell.exporters.onnx import node_proto, renamed_node
from nnshell.importers.onnx.plain import KEY
from nnshell.ir.foreign import ForeignGraph, ForeignNode


@dataclass(slots=True)
class PlainForms:
    """``tensors``: by what simulates it the tensor meant, which ``nodes`` or the graph make."""

    nodes: list[ForeignNode] = field(default_factory=list)
    tensors: dict[str, str] = field(default_factory=dict)

    def rename(self, names: Mapping[str, str]) -> None:
        """Follow a renaming of the graph's tensors."""
        self.nodes = [renamed_node(node, names) for node in self.nodes]
        self.tensors = {
            names.get(simulated, simulated): names.get(plain, plain)
            for simulated, plain in self.tensors.items()
        }

    def write(self, model: onnx.ModelProto, build: ForeignGraph) -> None:
        """Add the metadata to ``model``; constants of the nodes are in ``build``."""
        if not self.tensors:
            return
        used = {tensor for node in self.nodes for tensor in node.inputs}
        constants = [
            onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in build.constants.items()
            if name in used
        ]
        nodes = [node_proto(node) for node in self.nodes]
        graph = onnx.helper.make_graph(nodes, "plain", [], [], constants)
        text = base64.b64encode(graph.SerializeToString(deterministic=True)).decode("ascii")
        entry = json.dumps({"tensors": self.tensors, "graph": text})
        model.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=entry))
