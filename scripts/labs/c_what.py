"""Lab C: quantize nothing, weights, activations, biases: what costs accuracy?

A bias is added to sums of products, whose unit is input scale x weight scale. Its integers must
have that unit. Integers of a scale of its own, added as they are, are another bias altogether.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from common import Lab, at_the_prompt, lab_options, show

from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Ref
from nnshell.session.project import Project

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]  # bias, unit of the sums -> what is added


def own_scale(bias: np.ndarray) -> float:
    return float(np.abs(bias).max()) / 127 or 1.0


def with_biases(lab: Lab, project: Project, rule: Rule) -> Project:
    """A copy whose biases are what ``rule`` makes of them."""
    twin = project.copy()
    for item in flatten(project.graph).items:
        made = item.node.quantization
        if item.node.op.parameters != (1, 2) or made is None:
            continue
        name = item.inputs[2].path
        value = project[name].op.value.astype(np.float64)
        changed = rule(value, made.inputs[2].scale).astype(np.float32)
        node = twin[name].copy()
        node.op = Constant(changed)
        twin.graph.nodes[name] = node
        assert twin.graph.type_of(Ref(name)).shape == changed.shape
    lab.quantize(twin, "lenet")
    return twin


def with_rounded_weights(project: Project) -> Project:
    """A copy whose weights are what the integers stand for; biases are as they were."""
    twin = project.copy()
    for item in flatten(project.graph).items:
        made = item.node.quantization
        if item.node.op.parameters != (1, 2) or made is None:
            continue
        name = item.inputs[1].path
        node = twin[name].copy()
        integers = made.kernel.weights.reshape(project[name].op.value.shape)
        node.op = Constant(made.inputs[1].dequantize(integers))
        twin.graph.nodes[name] = node
    return twin


lab = lab_options(__doc__, 10_000)
project = lab.open("lenet")
lab.quantize(project, "lenet", act_bits=32)
weights_only = lab.accuracy(project, "lenet")
lab.quantize(project, "lenet")
floating = with_rounded_weights(project)
lab.quantize(floating, "lenet", weight_bits=32)
wrong = with_biases(lab, project, lambda bias, unit: np.rint(bias / own_scale(bias)) * unit)
eight = with_biases(
    lab, project, lambda bias, unit: np.rint(bias / own_scale(bias)) * own_scale(bias)
)
rows = [
    ("nothing", lab.accuracy(project, "lenet", "float"), 52.07),
    ("weights", weights_only, 52.05),
    ("weights and activations, bias float", lab.accuracy(floating, "lenet"), 52.2),
    (
        "the same, bias int32 in units of the sums (chip)",
        lab.accuracy(project, "lenet", "int8"),
        52.12,
    ),
    ("the same, bias int8 with a scale of its own", lab.accuracy(eight, "lenet"), None),
    ("the same, those integers added unscaled", lab.accuracy(wrong, "lenet"), 47.58),
]
show("C. What to quantize (LeNet 16/32)", lab, ["quantized", "accuracy %", "published %"], rows)
print(f"{__doc__.split(chr(10), 2)[2].strip()}\n")
at_the_prompt(
    "lenet",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --act_bits 32",
    "validate DATA/data/cifar10_test.npz --engine simulated",
)
