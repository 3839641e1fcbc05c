"""Lab H: how many calibration images, and which?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import CALIBRATION, MODELS, Lab, at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.ir.graph import Graph
from nnshell.quantization import QuantizationOptions

NAME = "lenet"


def row(lab: Lab, graph: Graph, what: str, file: Path, count: int, norm: str) -> tuple[object, ...]:
    graph.statistics = None
    seen = flow.calibrate(graph, flow.load_inputs(file, norm=norm, limit=count))
    flow.quantize(graph, seen, QuantizationOptions())
    report = flow.validate(graph, lab.images(NAME), "int8")
    first = next(entry for key, entry in seen.tensors.items() if "/" in key)
    widest = f"{first.minimum:.2f} .. {first.maximum:.2f}"
    agreement = 100 * (report.agreement_with_float or 0)
    return (what, count, widest, 100 * (report.accuracy or 0), agreement)


lab = lab_options(__doc__)
graph, norm, balanced = lab.open(NAME), MODELS[NAME].norm, lab.data / CALIBRATION
rows = [row(lab, graph, "balanced", balanced, count, norm) for count in (1, 10, 100, 1000)]
with np.load(balanced) as data, tempfile.TemporaryDirectory() as folder:
    pictures, labels = data["images"][:5000], data["labels"][:5000]
    one = Path(folder) / "one_class.npz"
    np.savez(one, images=pictures[labels == 0][:100], labels=labels[labels == 0][:100])
    rows.append(row(lab, graph, "one class", one, 100, norm))
rows.append(row(lab, graph, "dark (a third of the light)", balanced, 100, "x: x/3/127.5-1"))
rows.append(row(lab, graph, "not normalized", balanced, 100, "x: x"))
header = ["calibration images", "count", "range of the first layer", "int8 accuracy %"]
show("H. The calibration set (LeNet 16/32)", lab, [*header, "as float %"], rows)
print(
    "Recommendation: 100 images of all classes, prepared exactly as in training. A few images\n"
    "miss the extremes, and more than some hundred only add outliers that widen the steps; images\n"
    "prepared otherwise give ranges of another network.\n"
)
at_the_prompt(
    NAME,
    "aquant DATA/data/cifar10_train_25k.npz --limit 100",
    "validate DATA/data/cifar10_test.npz --limit 1000 -q",
)
