"""Lab F: which calibrator keeps accuracy at 8, 6, 4 and 3 bits?"""

from __future__ import annotations

from common import at_the_prompt, lab_options, show

lab = lab_options(__doc__, 500)
CLIPS = ("none", "percentile", "entropy", "mse", "histogram", "kth", "std3", "std5")
CLIPS += ("laplace", "gaus", "mix", "whiskers")
PUBLISHED = {(8, "histogram"): 93.52, (8, "kth"): 93.41, (8, "none"): 93.62}
PUBLISHED |= {(4, "histogram"): 64.62, (4, "kth"): 88.55, (3, "kth"): 50.76}
graph = lab.open("resnet20")
rows = [("float", "", lab.accuracy(graph, "resnet20", "float"), 93.62)]
for bits in (8, 6, 4, 3):
    for clip in CLIPS:
        lab.quantize(graph, "resnet20", weight_bits=bits, act_bits=bits, clip_type=clip)
        ours = lab.accuracy(graph, "resnet20")
        rows.append((bits, clip, ours, PUBLISHED.get((bits, clip))))
header = ["bits", "calibrator", "ResNet-20 %", "published, ResNet-50 %"]
show("F. Calibrators (weights and activations, all layers)", lab, header, rows)
at_the_prompt(
    "resnet20",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 --weight_bits 4 --act_bits 4"
    " --clip_type mse",
    "validate DATA/data/cifar10_test.npz --limit 500 --engine simulated",
)
