"""Noise that a model file draws while it runs: an input of the graph, zeros unless it is given.

A variational autoencoder adds ``deviation * noise`` to a mean; with zeros it takes the mean, which
is what is deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnshell.ir.basic_operators import Input
from nnshell.ir.graph import Ref
from nnshell.ir.types import Layout, TensorType
from nnshell.reading.registry import imports

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@imports("RandomNormalLike")
def import_random_normal_like(ctx: ImportContext) -> None:
    """Of mean 0 and deviation 1, as exporters write it; ``seed`` does not matter."""
    if ctx.real("mean", 0.0) != 0.0:
        ctx.refuse("mean", accepted="0")
    if ctx.real("scale", 1.0) != 1.0:
        ctx.refuse("scale", accepted="1")
    value = ctx.value(0)
    inner = value.inner
    kind = TensorType(inner, Layout.CHW if len(inner) == 3 else Layout.NONE)
    ref: Ref = ctx.add(Input(kind, len(ctx.graph.inputs), optional=True), [])
    ctx.produce(ref, value.batch)
