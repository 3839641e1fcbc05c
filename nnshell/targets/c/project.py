"""The exported project: the network's sources, the kernels that it calls, a program around them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nnshell.ir.graph import Graph
from nnshell.support.errors import UsageError
from nnshell.support.files import write_all_atomically
from nnshell.targets.c.main_program import main_source
from nnshell.targets.c.memory import plan_arena
from nnshell.targets.c.names import comment
from nnshell.targets.c.network import graph_outputs, network_of
from nnshell.targets.c.program import Program
from nnshell.targets.c.source import render
from nnshell.targets.c.structs import kernel_files

Layout = Literal["planned", "simple"]
LARGEST_BATCH = 1 << 16
_INCLUDES = ("nn_kernels.h", "nn_arithmetic.h")
_FLAGS = "-std=c99 -O2 -Wall -Wextra -Wpedantic -Wconversion"


@dataclass(frozen=True, slots=True)
class CProject:
    """What was written: file contents by name, and the memory that the network takes."""

    files: Mapping[str, str]
    arena_bytes: int
    live_bytes: int  # no plan can have a smaller arena
    constant_bytes: int
    macs: int


def c_project(
    graph: Graph, *, batch: int = 1, layout: Layout = "planned", target: str = "simulation"
) -> CProject:
    """The project of a quantized graph; ``batch`` samples are run by one call.

    ``target`` is whose integers count, as in ``IntegerEngine``.

    Raises QuantizationError when the graph is not quantized or a node has no C form.
    """
    if not 1 <= batch <= LARGEST_BATCH:
        raise UsageError(f"no batch of {batch}", hint=f"1 to {LARGEST_BATCH} samples")
    program = network_of(graph, graph_outputs(graph), chip=target == "chip")
    arena = plan_arena(program, shared=layout == "planned")
    sources = render(program, arena, batch)
    kernels = _needed_kernels(program)
    files = {
        "model.h": sources.header,
        "model.c": sources.model,
        "model_data.c": sources.data,
        "main.c": main_source(program),
        **kernels,
    }
    c_files = sorted(name for name in files if name.endswith(".c"))
    files |= {"Makefile": _makefile(c_files), "CMakeLists.txt": _cmake(c_files)}
    project = CProject(
        files, arena.size_bytes, arena.live_bytes, sources.constant_bytes, program.macs
    )
    return replace(project, files={**files, "README.md": _readme(program, project, batch)})


def export_c(
    graph: Graph,
    folder: Path | str,
    *,
    batch: int = 1,
    layout: Layout = "planned",
    target: str = "simulation",
) -> CProject:
    """Write the project to a folder: all of its files or none."""
    project = c_project(graph, batch=batch, layout=layout, target=target)
    root = Path(folder)
    write_all_atomically(
        {root / name: text.encode("utf-8") for name, text in project.files.items()}
    )
    return project


def _needed_kernels(program: Program) -> dict[str, str]:
    """The headers, and the files that define a kernel which is called."""
    called = {call.kernel for call in program.calls}
    files = kernel_files()
    needed = {name: files[name] for name in _INCLUDES}
    for name, text in files.items():
        if called & set(re.findall(r"^void nn_run_(\w+)\(", text, re.MULTILINE)):
            needed[name] = text
    return needed


def _makefile(c_files: list[str]) -> str:
    return f"""\
CC ?= cc
CFLAGS ?= {_FLAGS}
OBJECTS = {" ".join(name.replace(".c", ".o") for name in c_files)}

model_main: $(OBJECTS)
\t$(CC) $(CFLAGS) -o $@ $(OBJECTS) $(LDFLAGS)

%.o: %.c $(wildcard *.h)
\t$(CC) $(CFLAGS) -c -o $@ $<

clean:
\trm -f model_main $(OBJECTS)

.PHONY: clean
"""


def _cmake(c_files: list[str]) -> str:
    return f"""\
cmake_minimum_required(VERSION 3.13)
project(model C)
set(CMAKE_C_STANDARD 99)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
add_executable(model_main {" ".join(c_files)})
"""


def _readme(program: Program, project: CProject, batch: int) -> str:
    ports = [
        f"| {kind} | {comment(port.key)} | {'x'.join(map(str, port.type.shape)) or '1'} "
        f"| {port.dtype} | {port.scale!r} | {port.zero_point} |"
        for kind, side in (("input", program.inputs), ("output", program.outputs))
        for port in side
    ]
    return "\n".join(
        [
            f"# {comment(program.name)} in C",
            "",
            "Integers only: C99, no heap, nothing but `string.h` and `stdint.h` (`main.c` also "
            "reads a file).",
            "",
            f"    make                            # model_main; a call runs {batch} samples",
            "    ./model_main samples.raw        # outputs' integers to standard output",
            "    ./model_main --predict samples.raw",
            "",
            "`samples.raw` holds whole samples, each the inputs' integers in C order.",
            "",
            "| | name | shape | type | scale | zero point |",
            "|---|---|---|---|---|---|",
            *ports,
            "",
            "| | |",
            "|---|---|",
            f"| RAM of tensors (arena) | {project.arena_bytes:,} bytes |",
            f"| alive at the fullest step | {project.live_bytes:,} bytes |",
            f"| flash of constants | {project.constant_bytes:,} bytes |",
            f"| multiply-accumulates | {project.macs:,} |",
            "",
            "Inputs and outputs are the caller's memory. `model.c` is the network, `model_data.c` "
            "its constants, `nn_*` the kernels; compile all of them and call `model_run`.",
            "",
        ]
    )
