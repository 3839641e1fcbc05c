"""Layers to simulate: one of every kind of work, from a few sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from nnshell.chips import Layer, Network
from nnshell.ir.work import Window, Work

Shape = tuple[int, int, int]


def conv_work(
    shape: Shape,
    out: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    depthwise: bool = False,
    pads: tuple[int, int, int, int] | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> Work:
    """A convolution with SAME padding unless pads are given."""
    half = dilation * (kernel - 1) // 2
    window = Window(
        (kernel, kernel),
        (stride, stride),
        (dilation, dilation),
        pads if pads is not None else (half,) * 4,
    )
    height, width = window.output_size(*shape[1:])
    output = (out, height, width)
    depth = 1 if depthwise else shape[0] // groups
    weights = out * depth * kernel * kernel
    return Work(
        kind="depthwise" if depthwise else "grouped" if groups > 1 else "conv",
        inputs=(shape,),
        output=output,
        filter_output=output,
        window=window,
        groups=out if depthwise else groups,
        macs=weights * height * width,
        input_bytes=(math.prod(shape),),
        output_bytes=math.prod(output),
        weight_bytes=weights,
        constant_bytes=6 * out + 13,
    )


def vector_work(kind: str, shape: Shape, inputs: int = 1) -> Work:
    """Work on every element of feature maps of one size."""
    size = math.prod(shape)
    return Work(
        kind=kind,  # type: ignore[arg-type]
        inputs=(shape,) * inputs,
        output=shape,
        filter_output=shape,
        input_bytes=(size,) * inputs,
        output_bytes=size,
        constant_bytes=13,
    )


def linear_work(inputs: int, outputs: int) -> Work:
    shape = (outputs, 1, 1)
    return Work(
        kind="linear",
        inputs=((inputs, 1, 1),),
        output=shape,
        filter_output=shape,
        macs=inputs * outputs,
        input_bytes=(inputs,),
        output_bytes=outputs,
        weight_bytes=inputs * outputs,
        constant_bytes=6 * outputs + 13,
    )


def chain(*works: Work, name: str = "chain") -> Network:
    """The works one after the other."""
    layers = []
    for number, work in enumerate(works):
        source = f"layer{number - 1}" if number else "input"
        inputs = (source,) * len(work.inputs)
        layers.append(Layer(f"layer{number}", work.kind, work, inputs, f"layer{number}"))
    return Network(name, tuple(layers), ("input",), (f"layer{len(works) - 1}",))


@pytest.fixture
def conv() -> Callable[..., Work]:
    return conv_work


@pytest.fixture
def linear() -> Callable[..., Work]:
    return linear_work


@pytest.fixture
def vector() -> Callable[..., Work]:
    return vector_work


@pytest.fixture
def network() -> Callable[..., Network]:
    return chain
