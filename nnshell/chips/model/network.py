"""What the simulator sees of a network: layers in execution order and the tensors between them.

The tiler, the planner and the cost model work on this description alone, so that they do not
depend on the graph; :func:`nnshell.chips.model.from_graph.network_from_graph` makes it from one.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnshell.ir.work import Work
from nnshell.support.errors import GraphError


@dataclass(frozen=True, slots=True)
class Layer:
    """One kernel call. ``inputs`` and ``output`` name activations, never constants.

    There may be more inputs than the work has when parts of a joined tensor are read as one.
    ``name`` is that in the model file; the graph's node is ``output``, at step ``step``.
    """

    name: str
    op: str
    work: Work
    inputs: tuple[str, ...]
    output: str
    step: int = -1  # of layers that no graph has

    @property
    def constant_bytes(self) -> int:
        """Weights, biases and scales."""
        return self.work.weight_bytes + self.work.constant_bytes


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in execution order; ``inputs`` and ``outputs`` belong to the application.

    ``input_bytes`` are the sizes of the inputs where they are known; a reader may take a part only.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    input_bytes: tuple[int, ...] = ()

    @property
    def macs(self) -> int:
        """Multiplications of all layers for one inference."""
        return sum(layer.work.macs for layer in self.layers)

    @property
    def constant_bytes(self) -> int:
        """Bytes of all weights, biases and kernel parameters."""
        return sum(layer.constant_bytes for layer in self.layers)

    def tensor_bytes(self) -> dict[str, int]:
        """Size of every activation: as its maker states it, as its reader for network inputs."""
        sizes = {layer.output: layer.work.output_bytes for layer in self.layers}
        read: dict[str, int] = {}
        for layer in self.layers:
            for name, size in zip(layer.inputs, layer.work.input_bytes, strict=False):
                if name not in sizes:
                    read[name] = max(read.get(name, 0), size)
        return read | dict(zip(self.inputs, self.input_bytes, strict=False)) | sizes


def check(network: Network) -> None:
    """Refuse a network whose layers have empty maps, use a tensor before it exists or make one
    twice.

    Raises:
        GraphError: naming the layer and the tensor.
    """
    known = set(network.inputs)
    for layer in network.layers:
        work = layer.work
        if min(min(shape) for shape in (work.output, work.filter_output, *work.inputs)) < 1:
            raise GraphError("a feature map has no elements", where=layer.name)
        for tensor in layer.inputs:
            if tensor not in known:
                raise GraphError(f"tensor {tensor} is used before it is made", where=layer.name)
        if layer.output in known:
            raise GraphError(f"tensor {layer.output} is made twice", where=layer.name)
        known.add(layer.output)
