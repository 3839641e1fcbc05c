"""Lab H: how many calibration images, and which?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import CALIBRATION, MODELS, Lab, at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.quantization import QuantizationOptions
from nnshell.session.project import Project

NAME = "lenet"
ONE_CLASS = 100


def row(
    lab: Lab, project: Project, what: str, file: Path, count: int, norm: str
) -> tuple[object, ...]:
    """Ranges are those of the first layer's relu and of the network's output."""
    seen = flow.calibrate(project, flow.load_inputs(file, norm=norm, limit=count))
    flow.quantize(project, seen, QuantizationOptions())
    first = next(entry for key, entry in seen.tensors.items() if "/" in key)
    last = seen[project.outputs[0].inputs[0].node]
    ours = lab.judge(project, NAME, "int8")
    lab.say(f"{what}, {count} images")
    ranges = (f"0 .. {first.maximum:.2f}", f"{last.minimum:.1f} .. {last.maximum:.1f}")
    return (what, count, *ranges, 100 * (ours.accuracy or 0), 100 * ours.agreement)


lab = lab_options(__doc__, 10_000)
project, norm, balanced = lab.open(NAME), MODELS[NAME].norm, lab.data / CALIBRATION
rows = [("float", None, "", "", lab.accuracy(project, NAME, "float"), 100.0)]
rows += [
    row(lab, project, "balanced", balanced, count, norm) for count in (1, 3, 10, 30, 100, 1000)
]
with np.load(balanced) as data, tempfile.TemporaryDirectory() as folder:
    pictures, labels = data["images"][:5000], data["labels"][:5000]
    for which, title in ((0, "one class: airplanes"), (6, "one class: frogs")):
        chosen = pictures[labels == which][:ONE_CLASS]
        one = Path(folder) / f"class_{which}.npz"
        np.savez(one, images=chosen, labels=np.full(len(chosen), which))
        rows.append(row(lab, project, title, one, ONE_CLASS, norm))
rows.append(row(lab, project, "dark (a third of the light)", balanced, 100, "x: x/3/127.5-1"))
rows.append(row(lab, project, "not normalized", balanced, 100, "x: x"))
header = ["calibration images", "count", "first layer", "output", "int8 accuracy %", "as float %"]
show("H. The calibration set (LeNet 16/32)", lab, header, rows)
print(
    "Recommendation: 10 to 100 images of all classes, prepared exactly as in training. One image\n"
    "may miss the extremes of the layers after; hundreds add outliers that widen the steps and\n"
    "gain nothing (a clip type takes them away again). The class matters little here, the\n"
    "preparation more than all else: images prepared otherwise give ranges of another network.\n"
)
at_the_prompt(
    NAME,
    "aquant DATA/data/cifar10_train_25k.npz --limit 100",
    "validate DATA/data/cifar10_test.npz -q",
)
