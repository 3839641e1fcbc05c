"""Lab E: does the model shrink? Bytes of the file and of the parameters, float and int8."""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import at_the_prompt, lab_options, show

from nnshell import flow
from nnshell.exporters.onnx import to_bytes
from nnshell.exporters.simulated import export_simulated
from nnshell.ir.flat import flatten
from nnshell.numeric.kernels.filters import FilterKernel

lab = lab_options(__doc__)
rows = []
for name in ("lab4", "lenet", "resnet20"):
    project = lab.open(name)
    lab.quantize(project, name)
    floats = 4 * project.graph.parameters()
    kernels = [
        i.node.quantization.kernel for i in flatten(project.graph).items if i.node.quantization
    ]
    filters = [kernel for kernel in kernels if isinstance(kernel, FilterKernel)]
    weights = sum(kernel.weights.nbytes for kernel in filters)
    others = sum(k.bias.nbytes + k.multiplier.nbytes + k.shift.nbytes for k in filters)
    with tempfile.TemporaryDirectory() as folder:
        flow.export(project, Path(folder) / "float.onnx", "float")
        flow.export(project, Path(folder) / "qdq.onnx", "qdq")
        sizes = [(Path(folder) / file).stat().st_size for file in ("float.onnx", "qdq.onnx")]
    simulated = len(to_bytes(export_simulated(project.graph)))
    share = 100 * weights / floats
    chip = flow.simulate(project)
    rows.append(
        (name, floats, weights, others, share, sizes[0], simulated, sizes[1],
         chip.l3_bytes, chip.l2_peak_bytes)
    )  # fmt: skip
header = ["model", "float parameters", "int8 weights", "biases, multipliers, shifts"]
header += ["int8 / float %", "float file", "file with int8 values in floats"]
header += ["QDQ file with int8", "int8 in L3", "int8 in L2, at most"]
show("E. Memory (bytes)", lab, header, rows)
print("Published: 0.2356 MB before and after when int values sit in floats; 25.24 % as int8.")
print("GAP8 has no float kernels here: floats would need four times the L3 and L2 of int8.\n")
at_the_prompt("lab4", "aquant DATA/data/cifar10_train_25k.npz --limit 256", "export q.onnx")
