"""Lab G: which layers hurt, and what mixed widths gain at equal size."""

from __future__ import annotations

from common import at_the_prompt, lab_options, show

from nnshell import flow, laboratory
from nnshell.quantization import QuantizationOptions

lab = lab_options(__doc__, 200)
graph = lab.open("resnet20")
lab.quantize(graph, "resnet20", weight_bits=4, act_bits=4, clip_type="mse")
batches = flow.batches_of(graph, lab.images("resnet20"))
rows = [
    (e.node, e.weights, e.alone.noise_db, 100 * (e.alone.accuracy or 0), e.without.noise_db)
    for e in laboratory.sensitivity(graph, batches)
]
header = ["node", "weights", "noise alone dB", "accuracy alone %", "noise without dB"]
show("G. Sensitivity (ResNet-20, 4 bits)", lab, header, rows)
lab.quantize(graph, "resnet20", weight_bits=4, clip_type="mse")
bench = laboratory.Bench(graph, batches)
rows = []
for bits in (4,):
    uniform = QuantizationOptions(weight_bits=bits, clip_type="mse")
    size = laboratory.weight_bytes(graph, uniform)
    plain, mixture = bench.try_options(uniform), laboratory.mixed(graph, batches, size_bytes=size)
    for what, outcome, total in (
        (f"all {bits} bits", plain, size),
        ("mixed", mixture.outcome, mixture.size_bytes),
    ):
        rows.append((what, total, outcome.noise_db, 100 * (outcome.accuracy or 0)))
show(
    "G. Mixed weight bits at equal size (ResNet-20, activations 8 bits)",
    lab,
    ["weights", "bytes", "noise dB", "accuracy %"],
    rows,
)
print("Published (ResNet-18): selective quantization at 25 % of the size loses 0.43 point.\n")
at_the_prompt(
    "resnet20",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --weight_bits 4 --clip_type mse",
    "sensitivity DATA/data/cifar10_test.npz --limit 200",
    "mixed DATA/data/cifar10_test.npz --limit 200 --size 140000",
)
