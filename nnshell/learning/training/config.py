"""Configuration files of training: NNI's list of dictionaries in, what each layer came to out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS, QParams
from nnshell.learning.training.options import TrainingOptions
from nnshell.quantization.options import BITS
from nnshell.support.errors import UsageError

_TYPES = ("weight", "input", "output")
_KEYS = ("quant_types", "quant_bits", "op_types", "op_names", "exclude")
_ALL = "default"  # of op_types: every layer with weights
_EVERY_BITS = 8  # where quant_bits is left out


def with_config(graph: Graph, options: TrainingOptions, entries: Any) -> TrainingOptions:
    """Options that quantize what the entries name, and leave the rest in float.

    An entry has ``quant_types`` (weight, input, output), ``quant_bits`` (a number, or one for each
    type), and ``op_types`` or ``op_names``; ``exclude`` takes layers out again. Later entries count
    over earlier ones. Raises UsageError that names the entry and the key.
    """
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise UsageError(
            "the configuration is not a list of objects",
            hint='as [{"quant_types": ["weight"], "quant_bits": 4, "op_types": ["Conv2d"]}]',
        )
    flat = flatten(graph)
    nodes: dict[str, dict[str, int]] = {}
    for number, entry in enumerate(entries, 1):
        _check_keys(entry, number)
        bits = _bits(entry, number)
        for item in _named(flat, entry, number):
            for path, values in _widths(flat, item, bits):
                nodes.setdefault(path, {}).update(values)
    return replace(options, weight_bits=FLOAT_BITS, act_bits=FLOAT_BITS, nodes=nodes)


def _check_keys(entry: Mapping[str, Any], number: int) -> None:
    unknown = sorted(set(map(str, entry)) - set(_KEYS))
    if unknown:
        _refuse(number, f"there is no key '{unknown[0][:40]}'", f"one of {', '.join(_KEYS)}")
    for key in ("quant_types", "op_types", "op_names"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            _refuse(number, f"{key} is not a list of words", f'as "{key}": ["..."]')
    types = [word for word in entry.get("quant_types", []) if word not in _TYPES]
    if types:
        _refuse(number, f"there is no type '{types[0][:40]}'", f"one of {', '.join(_TYPES)}")
    if not entry.get("op_types") and not entry.get("op_names"):
        _refuse(number, "it names no layers", "op_types or op_names")


def _bits(entry: Mapping[str, Any], number: int) -> dict[str, int]:
    """Width for each type that is quantized."""
    if entry.get("exclude"):
        return dict.fromkeys(_TYPES, FLOAT_BITS)
    types, given = entry.get("quant_types", ["weight"]), entry.get("quant_bits", _EVERY_BITS)
    widths = given if isinstance(given, Mapping) else dict.fromkeys(types, given)
    for name in types:
        value = widths.get(name, _EVERY_BITS)
        if value not in BITS or isinstance(value, bool):
            accepted = ", ".join(map(str, BITS))
            _refuse(number, f"quant_bits of {name} is {str(value)[:20]}", f"one of {accepted}")
    return {name: int(widths.get(name, _EVERY_BITS)) for name in types}


def _named(flat: FlatGraph, entry: Mapping[str, Any], number: int) -> list[Item]:
    names, types = set(entry.get("op_names", [])), {w.lower() for w in entry.get("op_types", [])}
    results = [
        item
        for item in flat.items
        if not item.node.op.boundary and item.node.op.role != "constant"
        if names & _names(item) or _is_of(item, types)
    ]
    missing = names - {name for item in results for name in _names(item)}
    if missing:
        _refuse(number, f"no layer is called '{min(missing)[:60]}'", "`show` lists them")
    if not results:
        _refuse(number, "no layer is of its types", "such as Conv2d, Linear, ReLU, default")
    return results


def _names(item: Item) -> set[str]:
    """What a layer may be called: its path, its name, and that in the model file."""
    return {item.path, item.node.name, item.node.origin.foreign_name} - {""}


def _is_of(item: Item, types: set[str]) -> bool:
    words = {item.node.kind, item.node.origin.foreign_op.lower()}
    return bool(words & types) or (_ALL in types and item.node.op.role == "filter")


def _widths(
    flat: FlatGraph, item: Item, bits: Mapping[str, int]
) -> Iterable[tuple[str, dict[str, int]]]:
    if "weight" in bits and item.node.op.role == "filter":
        yield item.path, {"weight_bits": bits["weight"]}
    if "output" in bits:
        yield item.path, {"act_bits": bits["output"]}
    if "input" in bits:
        yield _maker(flat, item.inputs[0]), {"act_bits": bits["input"]}


def _maker(flat: FlatGraph, tensor: Tensor) -> str:
    """The node whose range a tensor has: past what moves values or keeps its record."""
    item = flat.maker(tensor)
    while item.inputs and item.node.op.keeps_record and item.node.op.order_preserving:
        item = flat.maker(item.inputs[0])
    return item.path


def _refuse(number: int, what: str, hint: str) -> None:
    raise UsageError(f"entry {number} of the configuration: {what}", hint=hint)


def calibration_config(graph: Graph) -> dict[str, dict[str, Any]]:
    """What each layer with weights came to: bits, scales, zero points, ranges, by its name.

    Raises QuantizationError when the graph is not quantized.
    """
    graph.require_quantized()
    result: dict[str, dict[str, Any]] = {}
    for item in flatten(graph).items:
        quantization = item.node.quantization
        if item.node.op.role != "filter" or quantization is None:
            continue
        weights, output = quantization.inputs[1], quantization.output
        result[item.path] = {
            "weight_bits": weights.bits,
            "weight_scale": [float(value) for value in np.ravel(weights.scale)],
            "weight_zero_point": weights.zero_point,
            **_activation("input", quantization.input),
            **_activation("output", output),
        }
    return result


def _activation(name: str, record: QParams) -> dict[str, Any]:
    return {
        f"{name}_bits": record.bits,
        f"{name}_scale": record.first_scale,
        f"{name}_zero_point": record.zero_point,
        f"tracked_min_{name}": float(np.min(record.minimum)),
        f"tracked_max_{name}": float(np.max(record.maximum)),
    }
