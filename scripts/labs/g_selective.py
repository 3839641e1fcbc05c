"""Lab G: which layers hurt, and what mixed widths gain at equal size.

Widths are chosen on training images; the test images only judge them.
"""

from __future__ import annotations

from common import at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.experiments import mixed, sensitivity
from nnshell.reports.experiment_tables import advice_lines

MODEL = "resnet20"
CHOOSING = 128  # training images that choose
WIDTHS = (5, 4, 3)

lab = lab_options(__doc__, 2000)
project = lab.open(MODEL)
lab.quantize(project, MODEL, weight_bits=4, act_bits=4, clip_type="mse")
batches = flow.batches_of(project, lab.training_images(MODEL, CHOOSING))
found = sensitivity.sensitivity(project.graph, project.basis, batches)
rows = [
    (e.node, e.weights, e.alone.noise_db, 100 * e.alone.agreement, e.without.noise_db)
    for e in found
]
header = ["node", "weights", "noise alone dB", "agreement alone %", "noise without dB"]
show("G. Sensitivity (ResNet-20, 4 bits)", lab, header, rows, CHOOSING, "training")
advice = sensitivity.advise(project.graph, project.basis, batches, found)
print("What to try with the worst:\n")
print("\n".join(f"    {line}" for line in advice_lines(advice)) + "\n")
lab.say("sensitivity is done")

lab.quantize(project, MODEL, clip_type="mse")
mixer = mixed.Mixer(project.graph, project.basis, batches)
lab.say("all nodes were tried at all widths")
floating = lab.judge(project, MODEL, "float")
rows = [("float", 4 * project.graph.parameters(), None, 100 * (floating.accuracy or 0), 100.0)]
for bits in (8, *WIDTHS):
    uniform = mixer.uniform(bits)
    for what, mixture in ((f"all {bits} bits", uniform), ("mixed", None)):
        if mixture is None:
            if bits == 8:
                continue
            mixture = mixer.within_size(uniform.size_bytes)
        nodes = {name: {"weight_bits": width} for name, width in mixture.bits.items()}
        lab.quantize(project, MODEL, clip_type="mse", nodes=nodes)
        ours = lab.judge(project, MODEL)
        accuracy, agreement = 100 * (ours.accuracy or 0), 100 * ours.agreement
        rows.append((what, mixture.size_bytes, ours.noise_db, accuracy, agreement))
        lab.say(f"{what}: {accuracy:.2f} % in {mixture.size_bytes} bytes")
show(
    "G. Mixed weight bits at equal size (ResNet-20, activations 8 bits)",
    lab,
    ["weights", "bytes", "noise dB", "accuracy %", "as float %"],
    rows,
)
print("Published (ResNet-18): selective quantization at 25 % of the size loses 0.43 point.\n")
at_the_prompt(
    MODEL,
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --weight_bits 4 --clip_type mse",
    "sensitivity DATA/data/cifar10_train_25k.npz --limit 128",
    "mixed DATA/data/cifar10_train_25k.npz --limit 128 --size 138000",
    "validate DATA/data/cifar10_test.npz --engine simulated",
)
