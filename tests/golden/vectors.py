"""Comparing with stored results of the real NNTool, for any folder in the format of its vectors.

A folder holds the model, the script that was run on it, calibration and test images, ``stats.json``
(ranges), ``qrecs.json`` (records), ``consts.npz`` (integers of constants) and ``acts_*.npz``
(activations of the test images).
"""

from __future__ import annotations

import hashlib
import json
import math
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
from nnshell.ir.graph import Graph, Node, all_nodes
from nnshell.ir.requests import Range
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.fixed import FixedFilterKernel
from nnshell.ops.max_pool import MaxPool
from nnshell.quantization import QuantizationOptions, calibrate_graph, load_statistics
from nnshell.session import edits
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.header import write_header

# Multipliers of a GRU, by ours.
CACHE_NAMES = {f"i_2_{gate}": f"i_2_{gate}_WR_q" for gate in "zrh"}
CACHE_NAMES |= {f"{gate}_2_int": f"{gate}_WR_2_int_q" for gate in "zrh"}
SCALE_TOLERANCE = 1e-6  # of scales from our own ranges; those from the file are equal
RANGE_TOLERANCE = 1e-6
INNER_TOLERANCE = 2e-6  # of sums inside a recurrent layer: some cancel
BIAS_TOLERANCE = 2  # of biases from our own ranges
FLIPPED = 1e-3  # share of a tensor's values that such biases may move, by one step


@dataclass(slots=True)
class Report:
    """Numbers compared by kind, and what differs, one line each."""

    compared: dict[str, int] = field(default_factory=dict)
    unequal: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    largest_bias_difference: int = 0

    def count(self, kind: str, number: int) -> None:
        self.compared[kind] = self.compared.get(kind, 0) + number

    def check(self, same: bool, what: str, kind: str = "records") -> None:
        if not same:
            self.differences.append(f"{kind}: {what}")
            self.unequal[kind] = self.unequal.get(kind, 0) + 1


def find_folders(data: Path) -> list[Path]:
    """Every folder with vectors below ``data``: those of one kind or cause lie deeper."""
    kinds = ("", "propagation/", "tflite/", "quantized/", "pow2/", "recurrent/")
    patterns = [f"{kind}*/qrecs.json" for kind in kinds]
    found = [path.parent for pattern in patterns for path in data.glob(f"vectors/{pattern}")]
    return sorted(found)


def is_calibrated(folder: Path) -> bool:
    """Whether the script calibrates, or else takes over the quantization of the model."""
    return "aquant" in (folder / "script.nns").read_text()


def model_file(folder: Path) -> Path:
    return next(folder.glob("model.tflite"), folder / "model.onnx")


def compare_with_vectors(folder: Path, *, own_ranges: bool) -> Report:
    """Quantize the folder's model as its script says and compare every number.

    With ``own_ranges`` the ranges come from our float engine over ``calib/`` instead of the file.
    """
    report = Report()
    project, options = replay(folder, own_ranges)
    graph = project.graph
    if own_ranges:
        _compare_ranges(report, project, folder)
    _compare_topology(report, graph, folder)
    nodes = {name: node for name, node, _ in all_nodes(graph)}
    stored = json.loads((folder / "qrecs.json").read_text())
    for name, node in nodes.items():
        entry = stored.get(name)
        report.check(entry is not None or node.op.boundary, f"no record is stored for {name}")
        if entry is not None:
            _compare_records(report, name, entry, node, own_ranges)
            _compare_cache(report, name, entry["cache"], node)
    _compare_constants(report, folder, nodes, own_ranges)
    if not own_ranges:
        _compare_header(report, folder, graph)
        _compare_files(report, folder, project)
    _compare_activations(report, folder, project, options, own_ranges)
    return report


# -- running the script --------------------------------------------------------------------


def replay(folder: Path, own_ranges: bool) -> tuple[Project, InputOptions]:
    """The project of the quantized graph, and how test images become its inputs."""
    lines = [shlex.split(line) for line in (folder / "script.nns").read_text().splitlines()]
    project = flow.open_graph(model_file(folder), load_quantization=not is_calibrated(folder))
    options = InputOptions()
    for words in filter(None, lines):
        command, arguments = words[0], words[1:]
        if command == "adjust":
            flow.adjust(project)
        elif command == "fusions":
            flow.fuse(project, *(word.removeprefix("--") for word in arguments))
        elif command == "set":
            project.settings.parse(arguments[0], arguments[1])
        elif command == "freeze":
            edits.freeze(project, arguments)
        elif command == "nodeoption":
            edits.node_option(project, *arguments)
        elif command == "imageformat":
            edits.image_format(project, *arguments)
        elif command == "aquant":
            patterns, options, chosen = _input_options(arguments)
            images = Images(_per_input(project.graph, folder, patterns), options)
            _quantize(project, folder, images, chosen, own_ranges)
    return project, options


def stored_patterns(graph: Graph, folder: Path) -> tuple[str, ...]:
    """The images whose activations are stored: a folder for each graph input."""
    count = len(graph.inputs)
    tests = ["test/*"] if count == 1 else [f"test{index}/*" for index in range(count)]
    return _per_input(graph, folder, tests)


def _per_input(graph: Graph, folder: Path, patterns: list[str]) -> tuple[str, ...]:
    """One pattern for each graph input."""
    if len(graph.inputs) == 1:
        return tuple(str(folder / pattern) for pattern in patterns)
    named = zip(graph.inputs, patterns, strict=True)
    return tuple(f"{node.name}={folder / pattern}" for node, pattern in named)


def _input_options(words: list[str]) -> tuple[list[str], InputOptions, QuantizationOptions]:
    flags = {"-D": "divisor", "-O": "offset", "-H": "height", "-W": "width", "-M": "mode"}
    found: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
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
            chosen["scheme"] = next(rest)
        elif word in ("-f", "--force_width", "-b", "--bits"):
            chosen["bits"] = int(next(rest))
        elif word == "--pow2_biases":
            chosen["pow2_biases"] = int(next(rest))
        else:
            patterns.append(word)
    return patterns, InputOptions(**found), QuantizationOptions.from_mapping(chosen)


def _quantize(
    project: Project, folder: Path, images: Images, options: QuantizationOptions, own_ranges: bool
) -> None:
    if not own_ranges:
        flow.quantize(project, load_statistics(folder / "stats.json"), options)
        return
    batches = bind(project, images).batches(16)
    flow.quantize(project, calibrate_graph(project.graph, batches, everything=True), options)


# -- comparing -----------------------------------------------------------------------------


def _compare_ranges(report: Report, project: Project, folder: Path) -> None:
    graph = project.graph
    stored, own = load_statistics(folder / "stats.json"), project.statistics
    padded = {name for name, node, _ in all_nodes(graph) if _is_padded_max_pool(node)}
    resized = _after_resizes(graph)
    for key in stored:
        if key in padded:  # NNTool pads it with 0, also in float
            continue
        if key.partition("/")[0] in resized:  # NNTool has coordinates of its own, also in float
            continue
        if key not in graph and "/" not in key:
            continue  # of a node that quantizing has taken out again
        report.check(key in own, f"no own range for {key}", "ranges")
        if key in own:
            pairs = [
                (stored[key].minimum, own[key].minimum),
                (stored[key].maximum, own[key].maximum),
            ]
            extent = max(abs(value) for value, _ in pairs)
            worst = max(abs(one - other) for one, other in pairs)
            report.count("ranges", 1)
            report.check(worst <= RANGE_TOLERANCE * extent, f"{key}: {pairs}", "ranges")
            _compare_inner_ranges(report, key, stored[key].inside, own[key].inside)


def _after_resizes(graph: Graph) -> set[str]:
    """Nodes at top level whose values depend on where a resize reads."""
    affected: set[str] = set()
    for node in graph.steps():
        if node.op.role == "resize" or any(ref.node in affected for ref in node.inputs):
            affected.add(node.name)
    return affected


def _compare_inner_ranges(
    report: Report, key: str, stored: Mapping[str, Range], own: Mapping[str, Range]
) -> None:
    """Ranges within a recurrent layer: its states, its cell, its gates."""
    for name, expected in stored.items():
        report.count("ranges", 1)
        seen = own.get(name)
        extent = max(abs(expected.minimum), abs(expected.maximum))
        near = seen is not None and all(
            abs(one - other) <= INNER_TOLERANCE * extent
            for one, other in (
                (seen.minimum, expected.minimum),
                (seen.maximum, expected.maximum),
            )
        )
        report.check(near, f"{key}: {name} {seen} is not {expected}", "ranges")


def _is_padded_max_pool(node: Node) -> bool:
    return isinstance(node.op, MaxPool) and node.op.window.padded


def _compare_topology(report: Report, graph: Graph, folder: Path) -> None:
    """Names, what each node reads, and steps."""
    stored = json.loads((folder / "topology.json").read_text())
    expected = {entry["name"]: entry for entry in stored if entry["fusion"] is None}
    report.count("nodes", len(expected))
    for name in sorted(set(expected) ^ {node.name for node in graph}):
        report.check(False, f"{name} is in only one of the two", "names")
    for name, step in graph.step_numbers().items():
        entry = expected.get(name)
        if entry is None:
            continue
        inputs = [[ref.node, ref.index] for ref in graph[name].inputs]
        report.check(inputs == entry["inputs"], f"{name} reads {inputs}", "names")
        report.check(step == entry["step"], f"{name}: {step} is not {entry['step']}", "steps")


def _compare_header(report: Report, folder: Path, graph: Graph) -> None:
    """Every macro of model.h, apart from what NNTool writes wrongly."""
    stored = json.loads((folder / "model_h.json").read_text())
    try:
        text = write_header(graph, "model")
    except NNShellError as error:
        report.check(False, f"no header: {error}", "header")
        return
    lines = [line.split() for line in text.splitlines() if line.startswith("#define ")]
    found = {words[1]: float(words[2]) for words in lines if len(words) == 3}
    report.count("macros", len(stored))
    for name in sorted(set(stored) ^ set(found)):
        report.check(False, f"{name} is in only one of the two", "header")
    for name in stored.keys() & found.keys():
        ends = name.rpartition("_OUT_")
        if stored[name] != found[name] and not _mantissa_of_128(stored, ends[0], ends[2]):
            report.check(False, f"{name}: {found[name]} is not {stored[name]}", "header")


def _mantissa_of_128(stored: Mapping[str, Any], name: str, field_name: str) -> bool:
    """NNTool's pair is 4 times too small where the mantissa rounds up to 128."""
    mantissa = math.frexp(stored[f"{name}_OUT_SCALE"])[0]
    rounded = math.floor(float(np.float32(mantissa)) * 128 + 0.5)
    return rounded == 128 and field_name in ("QSCALE", "QNORM")


def _compare_files(report: Report, folder: Path, project: Project) -> None:
    """Names and contents of the tensor files."""
    lines = (folder / "tensors.sha256").read_text().splitlines()
    stored = {name: digest for digest, name in (line.split() for line in lines)}
    try:
        plan = build(project.graph, project.settings)
    except NNShellError as error:
        report.check(False, f"not generated: {error}", "files")
        return
    report.count("files", len(stored))
    found = {
        f"{variable.name}.tensor": hashlib.sha256(variable.file_bytes()).hexdigest()
        for variable in plan.constants
    }
    for name in sorted(set(stored) ^ set(found)):
        report.check(False, f"{name} is in only one of the two", "files")
    for name in stored.keys() & found.keys():
        report.check(stored[name] == found[name], f"{name} differs", "files")


def _compare_records(
    report: Report, name: str, stored: Mapping[str, Any], node: Node, own_ranges: bool
) -> None:
    made = node.quantization
    assert made is not None
    given = stored["in_qs"]
    if len(given) > len(made.inputs):  # inputs that are left out have a place there
        given = [expected for expected in given if expected is not None]
    inputs = () if isinstance(node.op, Constant) else zip(given, made.inputs, strict=True)
    for expected, record in (*inputs, *zip(stored["out_qs"], made.outputs, strict=True)):
        if expected is None:
            continue
        scale = np.array(expected["scale"])
        tolerance = SCALE_TOLERANCE * scale if own_ranges else 0.0
        near = record.scale.shape == scale.shape and np.all(
            np.abs(record.scale - scale) <= tolerance
        )
        if not own_ranges:
            for bound, found in (("min", record.minimum), ("max", record.maximum)):
                close = np.allclose(found.reshape(-1)[0], expected[bound][0], 1e-6, 1e-12)
                report.check(bool(close), f"{name}: {bound} {found[:1]} {expected[bound][:1]}")
        facts = (
            (record.forced, expected["forced"]),
            (record.dtype, expected["dtype"]),
            ([record.zero_point] * len(expected["zero_point"]), expected["zero_point"]),
            (record.asymmetric, expected["asym"]),
            (str(record.scale.dtype), expected["scale_dtype"]),
            (record.fraction_bits, expected.get("q")),
            (record.width, expected.get("bits", record.width)),
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
    for scaled, scaling in getattr(kernel, "scalings", {}).items():
        entry = CACHE_NAMES.get(scaled, f"{scaled}_q")
        report.check(entry in cache, f"{name}: no {entry} is stored")
        if entry in cache:
            _compare_multiplier(report, f"{name}: {entry}", cache[entry], scaling)
    for entry, attribute in (
        ("lower_bound", "lower"),
        ("upper_bound", "upper"),
        ("scaled_idx", "scaled_input"),
    ):
        if cache.get(entry) is not None and hasattr(kernel, attribute):
            found = getattr(kernel, attribute)
            report.count("bounds", 1)
            report.check([found] == list(cache[entry]), f"{name}: {entry} {found}")

    for entry in ("calc_q", "acc_q"):
        if "q" in (cache.get(entry) or ()):
            accumulator = kernel.accumulator if isinstance(kernel, FixedFilterKernel) else None
            found = (accumulator.fraction_bits, accumulator.width) if accumulator else None
            expected = (cache[entry]["q"], cache[entry]["bits"])
            report.count("accumulators", 1)
            report.check(found == expected, f"{name}: {entry} {found} is not {expected}")


def _compare_multiplier(
    report: Report, what: str, stored: Mapping[str, Any], scaling: Multiplier
) -> None:
    report.count("multipliers", len(stored["qbiases"]))
    report.check(scaling.multiplier.tolist() == stored["qbiases"], f"{what}: multipliers")
    report.check(scaling.shift.tolist() == stored["qnorms"], f"{what}: shifts")
    if stored["available_bits"] is None:
        return
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
        report.check(values.dtype == expected.dtype, f"{name}: {values.dtype}", "constants")
        if values.shape != expected.shape:
            text = f"{name}: shape {values.shape} is not {expected.shape}"
            report.check(False, text, "constants")
            continue
        worst = int(np.abs(values.astype(np.int64) - expected).max(initial=0))
        if expected.dtype == np.int32:
            report.largest_bias_difference = max(report.largest_bias_difference, worst)
        wide = own_ranges and expected.dtype == np.int32
        far = np.abs(expected.astype(np.float64)) * SCALE_TOLERANCE  # of nearly dead channels
        allowed = np.maximum(BIAS_TOLERANCE, far) if wide else np.zeros(1)
        off = np.abs(values.astype(np.int64) - expected)
        same = bool((off <= allowed).all())
        report.check(same, f"{name}: differs by {worst}", "constants")


def _compare_activations(
    report: Report, folder: Path, project: Project, options: InputOptions, own_ranges: bool
) -> None:
    graph = project.graph
    samples = [np.load(path) for path in sorted(folder.glob("acts_*.npz"))]
    images = bind(project, Images(stored_patterns(graph, folder), options))
    batch = next(images.batches(len(samples)))
    engines: dict[str, Engine] = {
        "reference": IntegerEngine(graph),
        "fast": make_engine(graph, "int8", everything=True),
    }
    for name, engine in engines.items():
        results = engine.run(batch.arrays)
        for position, key, expected in _stored_activations(samples):
            report.check(key in results, f"{name}: no tensor {key}", "activations")
            if key not in results:
                continue
            found = results[key][position]
            report.count("activations", expected.size)
            same = found.dtype == expected.dtype
            report.check(same, f"{name}: {key}: {found.dtype}", "activations")
            off = np.abs(found.reshape(expected.shape).astype(np.int64) - expected)
            wrong = int(np.count_nonzero(off))
            where = f"{key}: {wrong} of {expected.size} values in image {position}"
            flipped = own_ranges and report.largest_bias_difference and off.max(initial=0) <= 1
            allowed = FLIPPED * expected.size if flipped else 0
            report.check(wrong <= allowed, f"{name}: {where}", "activations")


def _stored_activations(samples: list[Any]) -> Iterator[tuple[int, str, Any]]:
    for position, sample in enumerate(samples):
        for key in sample.files:
            if key.startswith("q__"):
                name, _, output = key.removeprefix("q__").partition("#")
                yield position, f"{name}[{output}]" if output else name, sample[key]
