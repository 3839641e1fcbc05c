"""Lab J: how few bits are enough when integers are chosen by what layers make of samples?

No labels are read but to count right answers. Rows say how many test images they are of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Any

from common import Lab, at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.inputs.input_set import Batch
from nnshell.learning.adaround import learn_rounding
from nnshell.learning.bias_correction import corrected_by_means
from nnshell.learning.layers import search_scales
from nnshell.quantization import Learned
from nnshell.session.improve import apply_learned
from nnshell.session.project import Project

Learn = Callable[[Project, Sequence[Batch]], Learned]

MODEL = "resnet20"
WHOLE = 10_000  # test images of the rows that are the lab's answer
ENDS = {"conv_1": {"weight_bits": 8}, "Gemm_output": {"weight_bits": 8}}
PUBLISHED = {4: "64.62 to 88.55", 3: "50.76"}  # ResNet-50 on CIFAR-10, float 93.62
TARGETS = {4: 90.0, 3: 84.0}


def network(project: Project, batches: Sequence[Batch]) -> Learned:
    return learn_rounding(project.graph, project.basis, batches, "network")


# How, with which training images, measured on the whole test set or on some of it
METHODS: dict[str, tuple[Learn | None, int, bool]] = {
    "nearest integers, mse clipping": (None, 0, False),
    "bcorr": (corrected_by_means, 128, False),
    "scale_search, weights": (search_scales, 128, False),
    "adaround": (learn_rounding, 512, True),
    "adaround --method network": (network, 4096, True),
}


def run(lab: Lab) -> None:
    project = lab.open(MODEL)
    most = max(count for _, count, _ in METHODS.values())
    batches = flow.batches_of(project, lab.training_images(MODEL, most))
    rows = []
    for bits in (4, 3):
        for method in METHODS:
            if method.endswith("network") and find_spec("torch") is None:
                lab.say("adaround --method network is left out: pip install 'nnshell[train]'")
                continue
            rows.append(row(lab, project, batches, bits, method, {}))
        rows.append(row(lab, project, batches, bits, rows[-1][1], ENDS))
    header = ["bits", "method", "training images", "at those bits", "ResNet-20 %"]
    header += ["points from float", "test images", "seconds", "published, ResNet-50 %"]
    show("J. Learned integers (weights and activations, all layers)", lab, header, rows)
    count = max(lab.count, WHOLE)
    floating = lab.accuracy(project, MODEL, "float", count=count)
    print(f"Float: {floating:.2f} % of {count:,}. The graph's input and output have 8 bits.")
    for bits, target in TARGETS.items():
        full = [entry for entry in rows if entry[6] == count and entry[3] == "all layers"]
        best = max(entry[4] for entry in full if entry[0] == bits)
        print(f"{bits} bits in all layers: {best:.2f} %, wanted {target} % or more.")
    print()


def row(
    lab: Lab,
    project: Project,
    batches: Sequence[Batch],
    bits: int,
    method: str,
    nodes: Mapping[str, Mapping[str, Any]],
) -> tuple[Any, ...]:
    """Quantize, choose integers, and measure."""
    learn, images, whole = METHODS[method]
    lab.quantize(project, MODEL, weight_bits=bits, act_bits=bits, clip_type="mse", nodes=nodes)
    started = perf_counter()
    if learn is not None:
        few = batches[: -(-images // len(batches[0]))]
        apply_learned(project, "adaround", learn(project, few))
    seconds = round(perf_counter() - started)
    count = max(lab.count, WHOLE) if whole else lab.count
    ours = lab.accuracy(project, MODEL, count=count)
    lab.say(f"{bits} bits, {method}{' (ends 8 bits)' if nodes else ''}: {ours:.2f} %")
    floating = lab.accuracy(project, MODEL, "float", count=count)
    layers = "all but first and last weights (8 bits)" if nodes else "all layers"
    known = PUBLISHED[bits]
    return (bits, method, images, layers, ours, ours - floating, count, seconds, known)


run(lab_options(__doc__, 2000))
at_the_prompt(
    MODEL,
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --weight_bits 4 --act_bits 4"
    " --clip_type mse",
    "adaround DATA/data/cifar10_train_25k.npz --limit 4096 --method network",
    "validate DATA/data/cifar10_test.npz --engine simulated",
)
