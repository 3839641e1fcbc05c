"""What commands call, loaded on first use: the prompt appears without numpy and onnxruntime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnshell import (
        bias_correction,
        codegen,
        edits,
        engines,
        flow,
        laboratory,
        recipe,
        simulation,
    )
    from nnshell import cluster as clusters
    from nnshell import images as image_sets
    from nnshell.importers import onnx_fold as onnx_folding
    from nnshell.inputs import labels
    from nnshell.inputs import norm_parser as norm_functions
    from nnshell.ir import select
    from nnshell.ir import verify as verification
    from nnshell.learning import adaround, equalization, judged, layers, outliers, ranges
    from nnshell.ops import image_format
    from nnshell.ops import registry as operator_registry
    from nnshell.passes import catalogue, explain
    from nnshell.quantization import options as quantization_options
    from nnshell.reports import (
        distributions,
        graph_tables,
        laboratory_tables,
        learning_tables,
        quantization_tables,
        scales,
        simulation_tables,
        simulation_text,
        svg,
        tensor_text,
    )
    from nnshell.reports import drawing as drawings
    from nnshell.reports import tensors as tensors
    from nnshell.shell import tutor
    from nnshell.tutorials import folder as tutorial_folder
    from nnshell.tutorials import walkthrough
else:

    class _Lazy:
        """A module that is imported when something of it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    adaround = _Lazy("nnshell.learning.adaround")
    bias_correction = _Lazy("nnshell.bias_correction")
    clusters = _Lazy("nnshell.cluster")
    codegen = _Lazy("nnshell.codegen")
    edits = _Lazy("nnshell.edits")
    engines = _Lazy("nnshell.engines")
    equalization = _Lazy("nnshell.learning.equalization")
    flow = _Lazy("nnshell.flow")
    image_sets = _Lazy("nnshell.images")
    laboratory = _Lazy("nnshell.laboratory")
    laboratory_tables = _Lazy("nnshell.reports.laboratory_tables")
    judged = _Lazy("nnshell.learning.judged")
    layers = _Lazy("nnshell.learning.layers")
    learning_tables = _Lazy("nnshell.reports.learning_tables")
    outliers = _Lazy("nnshell.learning.outliers")
    ranges = _Lazy("nnshell.learning.ranges")
    labels = _Lazy("nnshell.inputs.labels")
    norm_functions = _Lazy("nnshell.inputs.norm_parser")
    onnx_folding = _Lazy("nnshell.importers.onnx_fold")
    operator_registry = _Lazy("nnshell.ops.registry")
    recipe = _Lazy("nnshell.recipe")
    simulation = _Lazy("nnshell.simulation")
    scales = _Lazy("nnshell.reports.scales")
    select = _Lazy("nnshell.ir.select")
    verification = _Lazy("nnshell.ir.verify")
    image_format = _Lazy("nnshell.ops.image_format")
    catalogue = _Lazy("nnshell.passes.catalogue")
    explain = _Lazy("nnshell.passes.explain")
    quantization_options = _Lazy("nnshell.quantization.options")
    distributions = _Lazy("nnshell.reports.distributions")
    drawings = _Lazy("nnshell.reports.drawing")
    graph_tables = _Lazy("nnshell.reports.graph_tables")
    quantization_tables = _Lazy("nnshell.reports.quantization_tables")
    simulation_tables = _Lazy("nnshell.reports.simulation_tables")
    simulation_text = _Lazy("nnshell.reports.simulation_text")
    svg = _Lazy("nnshell.reports.svg")
    tensor_text = _Lazy("nnshell.reports.tensor_text")
    tensors = _Lazy("nnshell.reports.tensors")
    tutor = _Lazy("nnshell.shell.tutor")
    tutorial_folder = _Lazy("nnshell.tutorials.folder")
    walkthrough = _Lazy("nnshell.tutorials.walkthrough")

__all__ = [
    "adaround",
    "bias_correction",
    "catalogue",
    "clusters",
    "codegen",
    "distributions",
    "drawings",
    "edits",
    "engines",
    "equalization",
    "explain",
    "flow",
    "graph_tables",
    "image_format",
    "image_sets",
    "judged",
    "labels",
    "laboratory",
    "laboratory_tables",
    "layers",
    "learning_tables",
    "norm_functions",
    "onnx_folding",
    "operator_registry",
    "outliers",
    "quantization_options",
    "quantization_tables",
    "ranges",
    "recipe",
    "scales",
    "select",
    "simulation",
    "simulation_tables",
    "simulation_text",
    "svg",
    "tensor_text",
    "tensors",
    "tutor",
    "tutorial_folder",
    "verification",
    "walkthrough",
]
