"""The fast kernels with NEON dot products, run by qemu: the reference's integers.

The engine itself needs Python on the processor; here packed filters, their inputs and the expected
results are written into a C program.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.native_packing import packed
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import GraphError
from nnshell.targets.c.memory import plan_arena
from nnshell.targets.c.network import graph_outputs, network_of
from nnshell.targets.c.source import _Constants, _Layers
from nnshell.targets.c.structs import fast_files, kernel_files, structs
from tests.passes.nets import Net

NEON: Any = SimpleNamespace(lanes=4, element_bytes=1, offset=0)
EMULATOR = "qemu-aarch64"
COMPILER = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-static"]
FLAGS = ["-O2", "-std=gnu99", "-fwrapv", "-fno-strict-aliasing", "-fno-sanitize=all"]

PROGRAM = """\
#include <stdio.h>
#include <string.h>
#include "nn_fast.h"
{constants}
{parameters}
static int8_t out[1 << 20];
static uint8_t scratch[1 << 22];
int main(void)
{{
    int wrong = nn_fast_lanes() != 4;
{calls}
    return wrong;
}}
"""


def filters() -> Iterator[Graph]:
    """Quantized convolutions of odd shapes: general, of groups, of each channel, pointwise."""
    for seed in range(40):
        random = np.random.default_rng(seed)
        channels = int(random.choice([1, 3, 4, 7, 8, 12, 17, 24]))
        groups = [1, channels, 2 - channels % 2, 1][seed % 4]
        kernel = (1, 1) if seed % 4 == 3 else tuple(random.integers(1, 4, 2).tolist())
        height, width = random.integers(1, 9, 2).tolist()
        pads, strides, dilations = (
            tuple(random.integers(low, high, count).tolist())
            for low, high, count in ((0, 3, 4), (1, 3, 2), (1, 3, 2))
        )
        net = Net(channels, height, width, seed=seed)
        count = channels if seed % 4 == 1 else groups * int(random.integers(1, 14))
        try:
            x = net.conv(
                net.x, count, kernel, pads=pads, strides=strides, dilations=dilations, groups=groups
            )
        except GraphError:  # larger than its input
            continue
        graph = net.output(x)
        quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 1, seed)]))
        yield graph


def program() -> str:
    """C that runs every filter and counts those with other results."""
    constants, parameters, calls = _Constants(), [], []
    for number, graph in enumerate(filters()):
        results = IntegerEngine(graph).run(random_inputs(graph, 1, number + 100))
        x, y = (
            np.ascontiguousarray(results[key][0].transpose(1, 2, 0)) for key in ("input_1", "conv")
        )
        network = network_of(graph, graph_outputs(graph))
        call = next(c for c in network.calls if c.kernel in ("conv2d", "depthwise"))
        layers = _Layers(network, plan_arena(network), constants)
        given = constants.name(x, f"x_{number}")
        for part, quick in enumerate(packed(call, NEON)):
            name = f"filter_{number}_{part}"
            fields = layers._initializers(structs()[quick.kernel], quick.fields, name)
            parameters.append(f"static const nn_{quick.kernel} {name} = {{{', '.join(fields)}}};")
            calls.append(f"    nn_run_{quick.kernel}(&{name}, {given}, out, scratch);")
        expected = constants.name(y, f"y_{number}")
        calls.append(f"    wrong += memcmp(out, {expected}, {y.size}) != 0;")
    return PROGRAM.format(
        constants=constants.text, parameters="\n".join(parameters), calls="\n".join(calls)
    )


def test_neon_kernels_give_the_integers_of_the_reference(tmp_path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None or not shutil.which(EMULATOR):
        pytest.skip(f"ziglang (extra native) and {EMULATOR} are needed")
    for name, text in (kernel_files() | fast_files() | {"main.c": program()}).items():
        (tmp_path / name).write_text(text)
    sources = ["main.c", "nn_fast.c"]
    subprocess.run(
        [*COMPILER, *FLAGS, "-mcpu=generic+dotprod", *sources, "-o", "neon"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    done = subprocess.run([EMULATOR, "-cpu", "max", tmp_path / "neon"], check=False)
    assert done.returncode == 0
