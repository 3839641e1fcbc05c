"""Lab B: what does accuracy lose when weights are clipped at 3, 2, 1 sigma?"""

from __future__ import annotations

from common import at_the_prompt, lab_options, show

lab = lab_options(__doc__, 10_000)
graph = lab.open("lab4")
PUBLISHED = {"none": 53.41, "std3": 52.67, "std2": 51.33, "std1": 41.4}
rows = []
for bits, engine in ((8, "int8"), (4, "simulated")):
    for clip in ("none", "std3", "std2", "std1", "mse"):
        options = {"weight_clip": clip, "weight_bits": bits, "quantized_dimension": "tensor"}
        lab.quantize(graph, "lab4", **options)
        ours = lab.accuracy(graph, "lab4", engine)
        rows.append((bits, clip, ours, PUBLISHED.get(clip) if bits == 8 else None))
show(
    "B. Clipping at n sigma (LeNet lab4, one scale per tensor)",
    lab,
    ["weight bits", "weights kept", "accuracy %", "published %"],
    rows,
)
at_the_prompt(
    "lab4",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256 -d tensor --weight_clip std2",
    "validate DATA/data/cifar10_test.npz -q",
)
