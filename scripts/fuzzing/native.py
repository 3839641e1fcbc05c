"""Models made to upset native code: any operator of ONNX with any shapes, attributes, functions.

The reader's child may die over them. The process that reads may not, and says so in one line.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fuzzing.cases import ACCEPTED, REFUSED, check_graph, refused
from fuzzing.mutations import ODD_INTEGERS, ODD_TEXTS
from nnshell import flow

_EXTENTS = (1, 1, 2, 3, 4, 5, 8, 9, -1, 0, 2**31, 2**62, -(2**63))
_SMALL = (0, 1, 2, 3, -1, -2, 9, *ODD_INTEGERS)
_SHAPED = (
    *("Slice", "MaxPool", "AveragePool", "LpPool", "Conv", "ConvTranspose", "Resize", "Pad"),
    *("Gather", "Reshape", "Expand", "Tile", "Split", "Squeeze", "Unsqueeze", "Range", "TopK"),
    *("OneHot", "DepthToSpace", "SpaceToDepth", "Transpose", "Concat", "MatMul", "Gemm"),
)


def native_case(random: Random, folder: Path) -> str:
    """A chain of operators over tensors of odd shapes, or functions that call each other."""
    path = folder / "model.onnx"
    model = _functions(random) if random.random() < 0.15 else _chain(random)
    path.write_bytes(model.SerializeToString())
    projects: list[Any] = []
    if refused(lambda: projects.append(flow.open_graph(path))):
        return REFUSED
    check_graph(projects[0])
    return ACCEPTED


def _chain(random: Random) -> onnx.ModelProto:
    shape = [random.choice(_EXTENTS) for _ in range(random.choice((1, 2, 3, 4, 4, 4, 4, 5)))]
    nodes, constants = [], {}
    schemas = [s for s in onnx.defs.get_all_schemas() if s.domain == ""]
    names = ["x"]
    for number in range(random.choice((1, 2, 3, 3, 5))):
        op = random.choice(_SHAPED) if random.random() < 0.8 else random.choice(schemas).name
        inputs = [random.choice(names)]
        for index in range(random.choice((0, 1, 1, 2, 3, 4))):
            name = f"c{number}_{index}"
            constants[name] = _constant(random)
            inputs.append(random.choice((name, name, name, "", random.choice(names))))
        outputs = [f"t{number}_{i}" for i in range(random.choice((1, 1, 1, 2)))]
        nodes.append(helper.make_node(op, inputs, outputs, f"n{number}", **_attributes(random, op)))
        names += outputs
    opset = random.choice((7, 9, 11, 12, 13, 17, 18, 21))
    return _model(nodes, shape, names[-1], constants, opset)


def _constant(random: Random) -> np.ndarray:
    if random.random() < 0.5:
        return np.array([random.choice(_SMALL) for _ in range(random.choice((1, 1, 2, 4)))])
    shape = [random.choice((1, 2, 3, 4)) for _ in range(random.choice((0, 1, 2, 4)))]
    return np.ones(shape, np.float32)


def _attributes(random: Random, op: str) -> dict[str, Any]:
    known = onnx.defs.get_schema(op).attributes if onnx.defs.has(op) else {}
    attributes: dict[str, Any] = {}
    for name in known:
        if random.random() < 0.5:
            continue
        kind = str(known[name].type)
        if kind.endswith("INTS"):
            count = random.choice((1, 2, 2, 4, 0))
            attributes[name] = [random.choice(_SMALL) for _ in range(count)]
        elif kind.endswith("INT"):
            attributes[name] = random.choice(_SMALL)
        elif kind.endswith("FLOAT"):
            attributes[name] = random.choice((0.0, 1.0, -1.0, 1e38, float("nan")))
        elif kind.endswith("STRING"):
            attributes[name] = random.choice(("SAME_UPPER", "VALID", "linear", *ODD_TEXTS[:8]))
    return {k: v for k, v in attributes.items() if v != [] and _fits(v)}


def _fits(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(not isinstance(n, int) or -(2**63) <= n < 2**63 for n in numbers)


def _functions(random: Random) -> onnx.ModelProto:
    """Some call themselves, in a circle or each other many times; some do nothing bad."""
    count = random.choice((1, 2, 5, 20, 40))
    functions = []
    for index in range(count):
        callees = [
            f"F{random.choice((index + 1, index + 1, index + 1, random.randrange(count)))}"
            for _ in range(random.choice((1, 2, 2, 9)))
        ]
        tensors = ["x", *(f"t{i}" for i in range(len(callees) - 1)), "y"]
        nodes = [
            helper.make_node(c, [tensors[i]], [tensors[i + 1]], domain="own")
            if c != f"F{count}"
            else helper.make_node("Relu", [tensors[i]], [tensors[i + 1]])
            for i, c in enumerate(callees)
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{index}", ["x"], ["y"], nodes, imports))
    call = helper.make_node("F0", ["x"], ["y"], domain="own")
    model = _model([call], [1, 3], "y", {}, 17)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend(functions)
    return model


def _model(
    nodes: list[Any], shape: list[int], output: str, constants: dict[str, Any], opset: int
) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "native",
        [info("x", onnx.TensorProto.FLOAT, shape)],
        [info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
