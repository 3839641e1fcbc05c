"""The AutoTiler's names of operations, and shapes as its generators count them."""

from __future__ import annotations

from math import inf

from nnshell.ir.graph import Node
from nnshell.numeric.kernels.rectifiers import RectifierKernel
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler.unit import Unit, quantization_of

NONE = "KOP_NONE"

_ACTIVATIONS = {
    "hsigmoid": "KOP_HSIGMOID",
    "hswish": "KOP_HSWISH",
    "leaky": "KOP_LEAKYRELU",
    "sigmoid": "KOP_SIGMOID",
    "tanh": "KOP_TANH",
}


def activation_name(node: Node) -> str:
    """The enumerator of an activation that is no rectifier."""
    return _ACTIVATIONS[node.kind]


def rectifies(node: Node) -> bool:
    """Whether the node is a rectifier, with or without an upper limit."""
    limits = node.op.clips_to
    return limits is not None and limits.minimum == 0.0


def has_operator(node: Node) -> bool:
    """Whether the AutoTiler has an enumerator for the node's activation."""
    return rectifies(node) or node.kind in _ACTIVATIONS


def activation_operator(unit: Unit, settings: Settings) -> str:
    """The activation's enumerator.

    A rectifier whose input has a zero point other than 0 is the M variant, which takes its lower
    limit from Infos. An upper limit is left out where it is the largest integer, which saturation
    applies anyway, unless AT_force_relu is off.
    """
    node = unit.activation
    if node is None:
        return NONE
    if node.kind in _ACTIVATIONS:
        return _ACTIVATIONS[node.kind]
    if not rectifies(node):
        raise GraphError(
            f"no AutoTiler kernel applies '{node.kind}' after another operator",
            where=f"node {node.name}",
            hint="fuse the graph again with `fusions --scale8`",
        )
    kernel = quantization_of(node).kernel
    assert isinstance(kernel, RectifierKernel)
    reachable = kernel.upper is not None and kernel.upper < quantization_of(node).input.limits[1]
    limits = node.op.clips_to
    bounded = limits is not None and limits.maximum < inf
    limited = bounded and (reachable or not settings.AT_force_relu)
    return ("KOP_RELUN" if limited else "KOP_RELU") + ("M" if _shifted(unit, node) else "")


def _shifted(unit: Unit, node: Node) -> bool:
    """Whether the rectifier's 0 is not the integer 0; an add's kernel has no M variant."""
    return unit.main.op.role != "sum" and quantization_of(node).inputs[0].zero_point != 0


def pool_operator(node: Node) -> str:
    return "KOP_MAXPOOL" if node.op.role == "max_pool" else "KOP_AVGPOOL"


def balanced_factors(number: int) -> tuple[int, int]:
    """Two factors as near to each other as can be, the larger one first."""
    smaller = next(n for n in range(int(number**0.5), 0, -1) if number % n == 0)
    return number // smaller, smaller


def three_axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape as channels, height, width: ones before, inner axes merged into two."""
    if len(shape) <= 3:
        first, second, third = (1,) * (3 - len(shape)) + shape
        return first, second, third
    rest = 1
    for extent in shape[1:]:
        rest *= extent
    return shape[0], *balanced_factors(rest)


def channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape whose first axis is the channels, as channels, height, width."""
    channels, *rest = shape
    height = rest[0] if rest else 1
    width = 1
    for extent in rest[1:]:
        width *= extent
    return channels, height, width
