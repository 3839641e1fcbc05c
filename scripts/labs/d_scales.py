"""Lab D: where the integers of a layer come from, formula by formula."""

from __future__ import annotations

from common import at_the_prompt, lab_options

from nnshell.ir.flat import flatten
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.reports.scales import scales_text

lab = lab_options(__doc__)
project = lab.open("lenet")
lab.quantize(project, "lenet")
print("## D. Scales by hand (LeNet 16/32)\n")
for item in flatten(project.graph).items:
    made = item.node.quantization
    if made is not None and isinstance(made.kernel, FilterKernel):
        print(
            "\n".join(f"    {line}" for line in scales_text(project.graph, item.path).splitlines())
            + "\n"
        )
at_the_prompt(
    "lenet",
    "aquant DATA/data/cifar10_train_25k.npz --limit 256",
    "explain scales Conv_0_fusion",
)
