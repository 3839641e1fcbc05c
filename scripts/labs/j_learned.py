"""Lab J: how few bits are enough when integers are chosen by what layers make of samples?

No labels are read but to count right answers. Rows say how many test images they are of.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from common import at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.bias_correction import corrected_by_means
from nnshell.learning.adaround import learn_rounding
from nnshell.learning.layers import search_scales
from nnshell.learning.trial import apply_learned

LEARNED_FROM = 1024  # training images, without their labels
FEW = 2  # batches of 64 that the quicker methods take
SEVERAL = 10_000  # test images of the rows that are the lab's answer
ENDS = {"conv_1": {"weight_bits": 8}, "Gemm_output": {"weight_bits": 8}}
METHODS: dict[str, Any] = {
    "nearest integers, mse clipping": None,
    "bcorr": corrected_by_means,
    "scale_search, weights": search_scales,
    "adaround": learn_rounding,
}

lab = lab_options(__doc__, 2000)
graph = lab.open("resnet20")
batches = flow.batches_of(graph, lab.training_images("resnet20", LEARNED_FROM))
rows = []
for bits in (4, 3):
    for method, learn in METHODS.items():
        for layers, nodes in (("all", {}), ("first and last weights 8 bits", ENDS)):
            if nodes and method != "adaround":
                continue
            options = {"weight_bits": bits, "act_bits": bits, "clip_type": "mse", "nodes": nodes}
            lab.quantize(graph, "resnet20", **options)
            started = perf_counter()
            if learn is not None:
                given = batches if method == "adaround" else batches[:FEW]
                apply_learned(graph, "adaround", learn(graph, given))
            seconds = perf_counter() - started
            count = max(lab.count, SEVERAL) if method == "adaround" else lab.count
            ours = lab.accuracy(graph, "resnet20", count=count)
            rows.append((bits, method, layers, ours, count, round(seconds)))
            lab.say(f"{bits} bits, {method}: {ours:.2f} %")
header = ["bits", "method", "at those bits", "ResNet-20 %", "test images", "seconds"]
show(
    f"J. Learned integers (weights and activations; adaround from {LEARNED_FROM} training images)",
    lab,
    header,
    rows,
)
print("Float: 91.73 %. Graph input and output have 8 bits, every other tensor the bits named.\n")
at_the_prompt(
    "resnet20",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --weight_bits 4 --act_bits 4"
    " --clip_type mse",
    f"adaround DATA/data/cifar10_train_25k.npz --limit {LEARNED_FROM}",
    "validate DATA/data/cifar10_test.npz --engine simulated",
)
