"""Bad TFLite files: spoiled bytes, and flatbuffers in order whose content is not."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.mutations import HUGE, ODD_FLOATS, ODD_TEXTS, spoiled_bytes
from fuzzing.onnx_files import opened_case
from tests.importers.test_quantized_tflite import network
from tests.importers.tflite_files import Op, Tensor, TfliteModel
from tests.importers.tflite_nets import CASES

_INTEGERS = (0, 1, -1, 2, 3, 7, 255, 65536, *(n for n in HUGE if -(2**31) <= n < 2**31))
_CODES = ("RESHAPE", "SHAPE", "PACK", "CONCATENATION", "SPLIT", "GATHER", "WHILE", "CUSTOM", "PAD")
_TYPES = ("float32", "float16", "int8", "uint8", "int32", "int64", "bool")


def some_model(random: Random) -> TfliteModel:
    if random.random() < 0.3:
        return network(dtype=random.choice(("int8", "uint8")), dynamic=random.random() < 0.1)
    return CASES[random.choice(sorted(CASES))]()


def bytes_case(random: Random, folder: Path) -> str:
    """A model with spoiled bytes: offsets, counts and tables that point anywhere."""
    path = folder / "model.tflite"
    content = some_model(random).bytes()
    if random.random() < 0.2:
        content = content[: random.randrange(len(content))]
    elif random.random() < 0.5:
        content = _spoiled_offsets(random, content)
    else:
        content = spoiled_bytes(random, content)
    path.write_bytes(content)
    return opened_case(random, path)


def structure_case(random: Random, folder: Path) -> str:
    """A model whose tables are in order and whose content is not."""
    path = folder / "model.tflite"
    model = some_model(random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        with contextlib.suppress(IndexError, ValueError, KeyError, TypeError):
            random.choice(_FAULTS)(random, model)
    try:
        content = model.bytes()
    except Exception:  # the builder refuses what no file can hold
        content = spoiled_bytes(random, some_model(random).bytes())
    path.write_bytes(content)
    return opened_case(random, path)


def _spoiled_offsets(random: Random, content: bytes) -> bytes:
    """Words of four bytes, which offsets and counts are, replaced by other numbers."""
    words = np.frombuffer(content[: len(content) // 4 * 4], "<u4").copy()
    for _ in range(random.choice((1, 1, 2, 4))):
        number = random.choice((0, 1, 2**31, 2**32 - 1, len(content), random.randrange(2**32)))
        words[random.randrange(2, len(words))] = number
    return words.tobytes()


def _tensor(random: Random, model: TfliteModel) -> Tensor:
    return random.choice(model.tensors)


def _op(random: Random, model: TfliteModel) -> Op:
    return random.choice(model.ops)


def _shape(random: Random, model: TfliteModel) -> None:
    tensor = _tensor(random, model)
    shape = list(tensor.shape)
    action = random.randrange(3)
    if action == 0:
        shape[random.randrange(len(shape))] = random.choice(_INTEGERS)
    elif action == 1:
        shape.append(random.choice((1, 2, 2**30)))
    else:
        del shape[random.randrange(len(shape))]
    tensor.shape = tuple(shape)


def _kind(random: Random, model: TfliteModel) -> None:
    _tensor(random, model).dtype = random.choice(_TYPES)


def _values(random: Random, model: TfliteModel) -> None:
    tensor = random.choice([t for t in model.tensors if t.value is not None])
    assert tensor.value is not None
    flat = np.array(tensor.value).reshape(-1)
    odd: Any = random.choice(ODD_FLOATS if flat.dtype.kind == "f" else _INTEGERS)
    with np.errstate(all="ignore"):
        flat[random.randrange(flat.size)] = np.asarray(odd).astype(flat.dtype)
    tensor.value = flat.reshape(tensor.value.shape)


def _scales(random: Random, model: TfliteModel) -> None:
    tensor = _tensor(random, model)
    count = random.choice((0, 1, 2, 3))
    tensor.scale = [random.choice((0.1, 1.0, *ODD_FLOATS[:6])) for _ in range(count)]
    tensor.zero_point = [random.choice(_INTEGERS) for _ in range(random.choice((count, 1)))]
    tensor.axis = random.choice((0, 1, -1, 9))


def _becomes_constant(random: Random, model: TfliteModel) -> None:
    tensor = _tensor(random, model)
    tensor.value = None if tensor.value is not None else np.zeros(tensor.shape, tensor.dtype)


def _name(random: Random, model: TfliteModel) -> None:
    _tensor(random, model).name = random.choice((*ODD_TEXTS, _tensor(random, model).name))


def _edge(random: Random, model: TfliteModel) -> None:
    op = _op(random, model)
    edges = op.inputs if random.random() < 0.7 else op.outputs
    numbers = (*range(len(model.tensors)), -1, -2, 10**6)
    edges[random.randrange(len(edges))] = random.choice(numbers)


def _edge_gone(random: Random, model: TfliteModel) -> None:
    op = _op(random, model)
    edges = op.inputs if random.random() < 0.7 else op.outputs
    del edges[random.randrange(len(edges))]


def _code(random: Random, model: TfliteModel) -> None:
    _op(random, model).code = random.choice((*_CODES, _op(random, model).code))


def _option(random: Random, model: TfliteModel) -> None:
    op = random.choice([op for op in model.ops if op.options])
    name = random.choice(sorted(op.options))
    op.options[name] = random.choice(_INTEGERS)


def _options_of_another(random: Random, model: TfliteModel) -> None:
    other = random.choice([op for op in model.ops if op.table])
    op = _op(random, model)
    op.table, op.options = other.table, dict(other.options)


def _options_gone(random: Random, model: TfliteModel) -> None:
    _op(random, model).table = ""


def _op_gone(random: Random, model: TfliteModel) -> None:
    del model.ops[random.randrange(len(model.ops))]


def _op_twice(random: Random, model: TfliteModel) -> None:
    op = _op(random, model)
    model.ops.append(replace(op, inputs=list(op.inputs), outputs=list(op.outputs)))


def _ends(random: Random, model: TfliteModel) -> None:
    ends = random.choice((model.inputs, model.outputs))
    if random.random() < 0.5:
        ends.append(random.choice((*range(len(model.tensors)), -1, 10**6)))
    else:
        ends.pop()


_FAULTS = (
    *(_shape, _kind, _values, _scales, _becomes_constant, _name, _edge, _edge_gone, _code),
    *(_option, _options_of_another, _options_gone, _op_gone, _op_twice, _ends),
)
