"""The exported project on other processors: 32-bit RISC-V and Cortex-M, run by qemu."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.targets.c.project import c_project
from tests.targets.c.building import STRICT, build, run, side_by_side
from tests.targets.c.test_networks import usable_network
from tests.targets.c.test_operators import examples

# Compilers of microcontrollers have no operating system: the network alone is compiled.
BARE = {
    "riscv32": [
        "riscv64-unknown-elf-gcc",
        "-march=rv32imac",
        "-mabi=ilp32",
        "-specs=picolibc.specs",
    ],
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"],
    "cortex-m0": ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"],
}
# zig brings a C library for Linux on these, and qemu runs it.
LINUX = {
    "riscv32": ("riscv32-linux-musl", "qemu-riscv32"),
    "arm": ("arm-linux-musleabi", "qemu-arm"),
}


def network() -> Graph:
    """Every operator and some random networks, quantized."""
    networks = [usable_network(seed) for seed in range(6)]
    graph = side_by_side([examples(), *(net for net in networks if net is not None)])
    quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 3)]))
    return graph


@pytest.mark.parametrize("name", BARE)
def test_microcontroller_compilers_have_no_word_to_say(name: str, tmp_path: Path) -> None:
    command = BARE[name]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    project = c_project(network())
    for file, text in project.files.items():
        (tmp_path / file).write_text(text)
    sources = [f for f in project.files if f.endswith(".c") and f != "main.c"]
    done = subprocess.run(
        [*command, *STRICT, "-Os", "-c", *sources], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr[:4000]


@pytest.mark.parametrize("name", LINUX)
def test_other_processors_give_the_integers_of_the_reference(name: str, tmp_path: Path) -> None:
    target, emulator = LINUX[name]
    if importlib.util.find_spec("ziglang") is None or not shutil.which(emulator):
        pytest.skip(f"ziglang (extra native) and {emulator} are needed")
    graph = network()
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-static"]
    program = build(c_project(graph), tmp_path, command, ["-O1"])
    batch = random_inputs(graph, 2, 3)
    expected = IntegerEngine(graph).run(batch, [node.name for node in graph.outputs])
    for key, values in run([emulator, program], graph, batch).items():
        np.testing.assert_array_equal(values, expected[key], err_msg=key)
