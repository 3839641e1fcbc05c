"""What is refused before a node is looked at: with the name of what it is, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx

from nnshell.importers.onnx.file import DEFAULT_DOMAINS, OnnxFile, default_opset, node_inputs
from nnshell.importers.onnx.fold import FOLDABLE
from nnshell.importers.onnx.quantized import can_be_written_out
from nnshell.importers.onnx.unsupported import advice
from nnshell.importers.problems import Problem, report
from nnshell.reading.registry import IMPORTS
from nnshell.support.errors import ModelError

_SUBGRAPHS = {"If", "Loop", "Scan"}
_PAIRS = "export QuantizeLinear/DequantizeLinear pairs and open it with -q, or the float model"


@dataclass(frozen=True, slots=True)
class Dialect:
    """Operators, by domain or by name, that hold a quantization in a tool's own form."""

    name: str
    domains: tuple[str, ...]
    operators: tuple[str, ...]
    hint: str


DIALECTS = (
    Dialect(
        "QONNX",
        ("qonnx.", "onnx.brevitas", "finn."),
        ("Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold"),
        f"{_PAIRS} (Brevitas: export_onnx_qcdq)",
    ),
    Dialect(
        "integers requantized by RequantShift, as quantlib and DORY have them",
        ("PACTOps",),
        ("RequantShift", "RequantizedConv", "RequantizedGemm", "iRMSNorm", "iSoftmax", "iGELU"),
        _PAIRS,
    ),
    Dialect("OpenVINO's fake quantization", (), ("FakeQuantize",), _PAIRS),
    Dialect("PyTorch's quantized operators", ("quantized",), (), _PAIRS),
)


def refuse_unreadable(file: OnnxFile) -> None:
    """Raise ModelError for outputs that are no tensors, dialects of quantized models, operators
    that not even the checker and the converter know, and attributes that an operator has not."""
    _refuse_other_outputs(file)
    unknown = [node for node in file.model.graph.node if not _known(node)]
    for dialect in DIALECTS:
        nodes = [node for node in unknown if _speaks(node, dialect)]
        if nodes:
            raise _quantized_already(file, dialect, nodes)
    if unknown:
        raise report(file.path.name, list(_unknown_operators(file)))
    problems = list(_unknown_attributes(file))
    if problems:
        raise report(file.path.name, problems)


def _refuse_other_outputs(file: OnnxFile) -> None:
    for value in file.model.graph.output:
        kind = value.type.WhichOneof("value")
        if kind not in (None, "tensor_type"):
            raise ModelError(
                f"output '{value.name}' is a {str(kind).removesuffix('_type')}; accepted: tensors",
                where=file.path.name,
                hint="open it with --outputs NAME, the tensors that it is made of",
            )


def _speaks(node: onnx.NodeProto, dialect: Dialect) -> bool:
    return node.op_type in dialect.operators or node.domain.startswith(dialect.domains or ("\0",))


def _quantized_already(
    file: OnnxFile, dialect: Dialect, nodes: Sequence[onnx.NodeProto]
) -> ModelError:
    first = nodes[0]
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return ModelError(
        f"the model is quantized already, in a dialect that is not read: {dialect.name}"
        f" ({first.op_type} '{_name(first)}'{more})",
        where=file.path.name,
        hint=dialect.hint,
    )


def _unknown_operators(file: OnnxFile) -> Iterator[Problem]:
    """All nodes that cannot be imported, those of known operators too."""
    accepted = IMPORTS.keys() | FOLDABLE | {"Constant"}
    inputs = {value.name for value in file.model.graph.input}
    for node in file.model.graph.node:
        if not _known(node) or not (node.op_type in accepted or can_be_written_out(node)):
            yield Problem(node.op_type, _name(node), _why_not(node, inputs), advice(node.op_type))


def _known(node: onnx.NodeProto) -> bool:
    return can_be_written_out(node) or (
        node.domain in DEFAULT_DOMAINS
        and onnx.defs.has(node.op_type)
        and node.op_type not in _SUBGRAPHS
    )


def _why_not(node: onnx.NodeProto, inputs: set[str]) -> str:
    if node.domain not in DEFAULT_DOMAINS:
        return f"operator of domain '{node.domain}'; accepted: ONNX's own"
    if node.op_type == "If" and inputs.intersection(node.input):
        return f"which branch is taken is a choice of the input '{node.input[0]}' at run time"
    return "operator not supported"


def _unknown_attributes(file: OnnxFile) -> Iterator[Problem]:
    opset = default_opset(file.model)
    for node in file.model.graph.node:
        if node.domain not in DEFAULT_DOMAINS or not node_inputs(node):
            continue
        try:
            known = sorted(onnx.defs.get_schema(node.op_type, opset).attributes)
        except onnx.defs.SchemaError:  # an operator that this opset does not have: the checker's
            continue
        for attribute in node.attribute:
            if attribute.name not in known:
                yield _unknown_attribute(node, attribute.name, known)


def _unknown_attribute(node: onnx.NodeProto, name: str, known: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=2)
    accepted = ", ".join(known) or "none"
    reason = f"it has no attribute '{name}' in this opset; accepted: {accepted}"
    hint = f"did you mean {' or '.join(near)}?" if near else "leave it out"
    return Problem(node.op_type, _name(node), reason, hint)


def _name(node: onnx.NodeProto) -> str:
    return node.name or (node.output[0] if node.output else "")
