"""Every setting, by discovery: a command after `set NAME VALUE` does something else than before.

Settings that are accepted for old scripts must change nothing, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from nnshell.support.settings import SETTINGS, Value

from .cases import FUSED, OPEN, QUANTIZED
from .harness import COLUMNS, Place, at_terminal_width, begin
from .models import write_files

_IDLE = "for old scripts"
_SETUPS = {
    "nothing": (),
    "open": OPEN,
    "fused": FUSED,
    "quantized": QUANTIZED,
    "relu6": ("open relu6.onnx", "fusions --scale8", "aquant relu6.npz"),
    "kernel": ("open kernel.onnx", "fusions --scale8", "aquant kernel.npz"),
    "softened": ("open softened.onnx", "fusions --scale8", "aquant softened.npz"),
}
_GENERATED = "gen"
_SIMULATED = "simulate"
_INPUTS = "astats {inputs}"

# What to set, the lines in which it must show where they are not `gen`, and the session.
_VALUES: dict[str, tuple[str, ...]] = {
    "load_quantization": ("true", "open integers.onnx; qshow", "nothing"),
    "adjust_order": ("true", "open last.onnx; show", "nothing"),
    "image_width": ("3", _INPUTS.format(inputs="wide/* -D 255"), "fused"),
    "image_height": ("3", _INPUTS.format(inputs="tall/* -D 255"), "fused"),
    "image_mode": ("HSV", _INPUTS.format(inputs="square/* -D 255"), "fused"),
    "input_divisor": ("2", _INPUTS.format(inputs="data.npz"), "fused"),
    "input_offset": ("1", _INPUTS.format(inputs="data.npz"), "fused"),
    "input_norm_func": ('"x: -x"', _INPUTS.format(inputs="data.npz"), "fused"),
    "input_transpose": ("true", _INPUTS.format(inputs="cube.npy"), "fused"),
    "graph_name": ("other",),
    "anonymise": ("true",),
    "tensor_directory": ("there", "gen -M out -t"),
    "model_directory": ("there", "gen other.c"),
    "model_file": ("other.c", "gen -M out"),
    "basic_kernel_source_file": ("own.c", "gen -M out", "kernel"),
    "basic_kernel_header_file": ("own.h", "gen -M out", "kernel"),
    "l1_size": ("20000",),
    "l2_size": ("200000",),
    "l3_size": ("4000000",),
    "l3_flash_mb": ("32",),
    "cluster_stack_size": ("8192", _SIMULATED),
    "cluster_slave_stack_size": ("2048", _SIMULATED),
    "cluster_num_cores": ("4", _SIMULATED),
    "fc_freq": ("100M", _SIMULATED),
    "cl_freq": ("100M", _SIMULATED),
    "AT_force_relu": ("false", "gen", "relu6"),
    "l3_ram_device": ("AT_MEM_L3_QSPIRAM",),
    "l3_flash_device": ("AT_MEM_L3_QSPIFLASH",),
    "graph_pref_l3_exec": ("AT_MEM_L3_QSPIRAM",),
    "graph_pref_l3_home": ("AT_MEM_L3_QSPIFLASH",),
    "default_global_home_location": ("AT_MEM_L2",),
    "graph_monitor_cvar_name": ("Own",),
    "graph_produce_node_cvar_name": ("Own",),
    "graph_produce_operinfos_cvar_name": ("Own",),
    "graph_dump_one_node": ("S3",),
    "kernels": ("pulp-nn", _SIMULATED),
    "chip": ("half.toml", _SIMULATED),
    "int8_target": ("chip", "dump softened.npz -q --checksum", "softened"),
}
# Shown by messages, or by what they refuse: tests/shell and tests/passes have them.
_ELSEWHERE = {"log_level", "check_passes"}


def _other(value: Value, name: str) -> str:
    """Another value of a setting that needs no thought."""
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int | float):
        return str(value + 1)
    return "AT_MEM_L3_HRAM" if name.endswith("_location") else "other"


def _case(name: str) -> tuple[str, str, str]:
    given = _VALUES.get(name, (_other(SETTINGS[name].default, name),))
    value, line, setup = (*given, *("", _GENERATED, "quantized")[len(given) :])
    return value, line, setup


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("settings").resolve()
    write_files(path)
    with chdir(path), at_terminal_width(COLUMNS):
        yield path


@pytest.fixture(scope="module")
def places(folder: Path) -> dict[str, Place]:
    return {}


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - _ELSEWHERE))
def test_a_setting_changes_what_a_command_does(
    name: str, folder: Path, places: dict[str, Place]
) -> None:
    value, line, setup = _case(name)
    if setup not in places:
        lines = ["set quiet true", *(text.format(model="data") for text in _SETUPS[setup])]
        places[setup] = begin(lines, folder, terminal=False)
    without = places[setup].outcome(line.split("; "))
    with_it = places[setup].outcome([f"set {name} {value}", *line.split("; ")])
    assert not with_it.failures
    idle = _IDLE in SETTINGS[name].doc
    assert (with_it == without) is idle


def test_every_case_is_of_a_setting() -> None:
    assert set(_VALUES) | _ELSEWHERE <= set(SETTINGS)
