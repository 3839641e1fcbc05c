"""Comparing with stored results of the real NNTool, for any folder in the format of its vectors.

A folder holds the model, the script that was run on it, calibration and test images, ``stats.json``
(ranges), ``qrecs.json`` (records), ``consts.npz`` (integers of constants) and ``acts_*.npz``
(activations of the test images).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnshell import flow
from nnshell.execution.engines import Engine, make_engine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.inputs.binding import Images, bind
from nnshell.inputs.options import InputOptions
from nnshell.ir.basic_operators import Constant
from nnshell.ir.graph import Node, all_nodes
from nnshell.numeric.fixed_point import Multiplier
from nnshell.quantization import calibrate_graph, load_statistics
from nnshell.session import edits
from nnshell.session.project import Project

SCALE_TOLERANCE = 1e-6  # of scales from our own ranges; those from the file are equal
RANGE_TOLERANCE = 1e-6
BIAS_TOLERANCE = 2  # of biases from our own ranges


@dataclass(slots=True)
class Report:
    """Numbers compared by kind, and what differs, one line each."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    largest_bias_difference: int = 0

    def count(self, kind: str, number: int) -> None:
        self.compared[kind] = self.compared.get(kind, 0) + number

    def check(self, same: bool, what: str) -> None:
        if not same:
            self.differences.append(what)


def find_folders(data: Path) -> list[Path]:
    """Every folder with vectors below ``data``."""
    return sorted(path.parent for path in data.glob("vectors/*/qrecs.json"))


def compare_with_vectors(folder: Path, *, own_ranges: bool) -> Report:
    """Quantize the folder's model as its script says and compare every number.

    With ``own_ranges`` the ranges come from our float engine over ``calib/`` instead of the file.
    """
    report = Report()
    project, options = replay(folder, own_ranges)
    if own_ranges:
        _compare_ranges(report, project, folder)
    nodes = {name: node for name, node, _ in all_nodes(project.graph)}
    stored = json.loads((folder / "qrecs.json").read_text())
    missing = sorted(set(stored) ^ set(nodes))
    report.check(not missing, f"nodes in only one of the two: {missing}")
    for name in stored.keys() & nodes.keys():
        _compare_records(report, name, stored[name], nodes[name], own_ranges)
        _compare_cache(report, name, stored[name]["cache"], nodes[name])
    _compare_constants(report, folder, nodes, own_ranges)
    _compare_activations(report, folder, project, options)
    return report


# -- running the script --------------------------------------------------------------------


def replay(folder: Path, own_ranges: bool) -> tuple[Project, InputOptions]:
    """The project of the quantized graph, and how test images become its inputs."""
    lines = [shlex.split(line) for line in (folder / "script.nns").read_text().splitlines()]
    project = flow.open_graph(folder / "model.onnx")
    options = InputOptions()
    for words in filter(None, lines):
        command, arguments = words[0], words[1:]
        if command == "adjust":
            flow.adjust(project)
        elif command == "fusions":
            flow.fuse(project, *(word.removeprefix("--") for word in arguments))
        elif command == "set":
            project.settings.parse(arguments[0], arguments[1])
        elif command == "imageformat":
            edits.image_format(project, *arguments)
        elif command == "aquant":
            pattern, options = _input_options(arguments)
            _quantize(project, folder, Images((str(folder / pattern),), options), own_ranges)
    return project, options


def _input_options(words: list[str]) -> tuple[str, InputOptions]:
    flags = {"-D": "divisor", "-O": "offset", "-H": "height", "-W": "width", "-M": "mode"}
    found: dict[str, Any] = {}
    patterns = []
    rest = iter(words)
    for word in rest:
        if word in ("-T", "--transpose"):
            found["transpose"] = True
        elif word in flags:
            value = next(rest)
            number = {"-D": float, "-O": float, "-H": int, "-W": int}.get(word, str)
            found[flags[word]] = number(value)
        elif word in ("-s", "--scheme"):
            next(rest)
        else:
            patterns.append(word)
    return patterns[0], InputOptions(**found)


def _quantize(project: Project, folder: Path, images: Images, own_ranges: bool) -> None:
    if not own_ranges:
        flow.quantize(project, load_statistics(folder / "stats.json"))
        return
    batches = bind(project, images).batches(16)
    flow.quantize(project, calibrate_graph(project.graph, batches, everything=True))


# -- comparing -----------------------------------------------------------------------------


def _compare_ranges(report: Report, project: Project, folder: Path) -> None:
    stored, own = load_statistics(folder / "stats.json"), project.statistics
    for key in stored:
        report.check(key in own, f"no own range for {key}")
        if key in own:
            pairs = [
                (stored[key].minimum, own[key].minimum),
                (stored[key].maximum, own[key].maximum),
            ]
            extent = max(abs(value) for value, _ in pairs)
            worst = max(abs(one - other) for one, other in pairs)
            report.count("ranges", 1)
            report.check(worst <= RANGE_TOLERANCE * extent, f"range of {key}: {pairs}")


def _compare_records(
    report: Report, name: str, stored: Mapping[str, Any], node: Node, own_ranges: bool
) -> None:
    made = node.quantization
    assert made is not None
    inputs = () if isinstance(node.op, Constant) else zip(stored["in_qs"], made.inputs, strict=True)
    for expected, record in (*inputs, *zip(stored["out_qs"], made.outputs, strict=True)):
        if expected is None:
            continue
        scale = np.array(expected["scale"])
        tolerance = SCALE_TOLERANCE * scale if own_ranges else 0.0
        near = record.scale.shape == scale.shape and np.all(
            np.abs(record.scale - scale) <= tolerance
        )
        facts = (
            (record.dtype, expected["dtype"]),
            ([record.zero_point] * len(expected["zero_point"]), expected["zero_point"]),
            (record.asymmetric, expected["asym"]),
            (str(record.scale.dtype), expected["scale_dtype"]),
        )
        report.count("scales", scale.size)
        report.check(bool(near), f"{name}: scale {record.scale[:2]} is not {scale[:2]}")
        for found, wanted in facts:
            report.check(found == wanted, f"{name}: {found} is not {wanted}")


def _compare_cache(report: Report, name: str, cache: Mapping[str, Any], node: Node) -> None:
    kernel = node.quantization.kernel if node.quantization is not None else None
    for entry, attribute in (
        ("mul_biases_q", "scaling"),
        ("scale_mul_biases_q", "scaling"),
        ("scale_in_mul_biases_q", "input_scaling"),
    ):
        scaling = getattr(kernel, attribute, None)
        if entry in cache and isinstance(scaling, Multiplier):
            _compare_multiplier(report, f"{name}: {entry}", cache[entry], scaling)
    for entry, attribute in (
        ("lower_bound", "lower"),
        ("upper_bound", "upper"),
        ("scaled_idx", "scaled_input"),
    ):
        if entry in cache and hasattr(kernel, attribute):
            found = getattr(kernel, attribute)
            report.count("bounds", 1)
            report.check([found] == list(cache[entry]), f"{name}: {entry} {found}")


def _compare_multiplier(
    report: Report, what: str, stored: Mapping[str, Any], scaling: Multiplier
) -> None:
    report.count("multipliers", len(stored["qbiases"]))
    report.check(scaling.multiplier.tolist() == stored["qbiases"], f"{what}: multipliers")
    report.check(scaling.shift.tolist() == stored["qnorms"], f"{what}: shifts")
    bits = np.broadcast_to(np.array(stored["available_bits"]), scaling.available_bits.shape)
    report.check(np.array_equal(scaling.available_bits, bits), f"{what}: available bits")


def _compare_constants(
    report: Report, folder: Path, nodes: Mapping[str, Node], own_ranges: bool
) -> None:
    stored = np.load(folder / "consts.npz")
    for name in stored.files:
        if name.endswith("__float") or name not in nodes:
            continue
        made = nodes[name].quantization
        assert made is not None
        values = made.kernel.values
        expected = stored[name]
        report.count(f"{expected.dtype} constants", expected.size)
        report.check(values.dtype == expected.dtype, f"{name}: {values.dtype}")
        if values.shape != expected.shape:
            report.check(False, f"{name}: shape {values.shape} is not {expected.shape}")
            continue
        worst = int(np.abs(values.astype(np.int64) - expected).max(initial=0))
        if expected.dtype == np.int32:
            report.largest_bias_difference = max(report.largest_bias_difference, worst)
        allowed = BIAS_TOLERANCE if own_ranges and expected.dtype == np.int32 else 0
        report.check(worst <= allowed, f"{name}: differs by {worst}")


def _compare_activations(
    report: Report, folder: Path, project: Project, options: InputOptions
) -> None:
    samples = [np.load(path) for path in sorted(folder.glob("acts_*.npz"))]
    images = bind(project, Images((str(folder / "test" / "*"),), options))
    batch = next(images.batches(len(samples)))
    engines: dict[str, Engine] = {
        "reference": IntegerEngine(project.graph),
        "fast": make_engine(project.graph, "int8", everything=True),
    }
    for name, engine in engines.items():
        results = engine.run(batch.arrays)
        for position, key, expected in _stored_activations(samples):
            report.check(key in results, f"{name}: no tensor {key}")
            if key not in results:
                continue
            found = results[key][position]
            report.count("activations", expected.size)
            report.check(found.dtype == expected.dtype, f"{name}: {key}: {found.dtype}")
            wrong = int(np.count_nonzero(found.reshape(expected.shape) != expected))
            where = f"{key}: {wrong} of {expected.size} values in image {position}"
            report.check(wrong == 0, f"{name}: {where}")


def _stored_activations(samples: list[Any]) -> Iterator[tuple[int, str, Any]]:
    for position, sample in enumerate(samples):
        for key in sample.files:
            if key.startswith("q__"):
                yield position, key.removeprefix("q__"), sample[key]
