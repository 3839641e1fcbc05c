"""Lab I: quantizing before and after the activation.

Fused, or unfused with the same scale on both sides, the filter requantizes straight into the
relu's range: all 256 steps are positive. With a scale of its own before the relu, half of the
steps stand for values that the relu throws away, and a second rounding follows.
"""

from __future__ import annotations

from common import Lab, at_the_prompt, lab_options, show

from nnshell.ir.basic_operators import Output
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.session.project import Project


def with_own_scales(graph: Graph) -> None:
    """Make what every filter gives an output: read twice, it keeps a record of its own."""
    for node in [n for n in graph if n.op.makes_wide]:
        name, op = f"{node.name}_seen", Output(len(graph.outputs))
        graph.add(Node(name, op, [Ref(node.name)], op.infer((node.type,))))


def row(lab: Lab, model: str, what: str, project: Project) -> tuple[object, ...]:
    lab.quantize(project, model)
    ours = lab.judge(project, model, "int8")
    return (model, what, 100 * (ours.accuracy or 0), 100 * ours.agreement, ours.noise_db)


lab = lab_options(__doc__, 10_000)
rows = []
for model in ("lab4", "lenet"):
    unequal = lab.open(model, fused=False)
    with_own_scales(unequal.graph)
    rows += [
        row(lab, model, "fused", lab.open(model)),
        row(lab, model, "unfused, equal scales", lab.open(model, fused=False)),
        row(lab, model, "unfused, unequal scales", unequal),
    ]
header = ["model", "activation", "int8 accuracy %", "as float %", "noise dB"]
show("I. Before or after the activation", lab, header, rows)
print(f"{__doc__.split(chr(10), 2)[2].strip()}\n")
at_the_prompt(
    "lenet",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256",
    "qshow",
    "validate DATA/data/cifar10_test.npz -q",
)
