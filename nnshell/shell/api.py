"""What commands call, loaded on first use: the prompt appears without numpy and onnxruntime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnshell import flow
    from nnshell import state as states
    from nnshell.cluster import dask as clusters
    from nnshell.compat import names as compat_names
    from nnshell.execution import engines, scores
    from nnshell.experiments import bench, mixed, quantized_values, sensitivity, speed
    from nnshell.experiments import sweep as sweeps
    from nnshell.importers.onnx import importer as onnx_importer
    from nnshell.importers.tflite import fold as tflite_folding
    from nnshell.importers.tflite import operators as tflite_operators
    from nnshell.inputs import arrays, labels
    from nnshell.inputs import binding as image_sets
    from nnshell.inputs import norm_parser as norm_functions
    from nnshell.ir import select
    from nnshell.ir import verify as verification
    from nnshell.learning import (
        adaround,
        outliers,
    )
    from nnshell.learning.training import config as training_config
    from nnshell.learning.training import options as training_options
    from nnshell.ops import image_format
    from nnshell.passes import catalogue, explain
    from nnshell.quantization import options as quantization_options
    from nnshell.reports import (
        distribution_tables,
        distributions,
        experiment_tables,
        formulas,
        graph_tables,
        learning_tables,
        pictures,
        quantization_tables,
        scales,
        simulation_tables,
        simulation_text,
        size_table,
        speed_table,
        sweep_tables,
        tensor_text,
        text_histogram,
        training_tables,
        value_tables,
        worked,
    )
    from nnshell.reports import drawing as drawings
    from nnshell.reports import tensors as tensors
    from nnshell.session import edits, improve, recipe, simulation, studies
    from nnshell.session import page as pages
    from nnshell.session import sizes as project_sizes
    from nnshell.session import training as trainer
    from nnshell.shell import tutor
    from nnshell.targets import autotiler as codegen
    from nnshell.tutorials import folder as tutorial_folder
    from nnshell.tutorials import lab_work, labs, lesson_data, walkthrough
else:

    class _Lazy:
        """A module that is imported when something of it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    adaround = _Lazy("nnshell.learning.adaround")
    clusters = _Lazy("nnshell.cluster.dask")
    compat_names = _Lazy("nnshell.compat.names")
    codegen = _Lazy("nnshell.targets.autotiler")
    edits = _Lazy("nnshell.session.edits")
    engines = _Lazy("nnshell.execution.engines")
    scores = _Lazy("nnshell.execution.scores")
    flow = _Lazy("nnshell.flow")
    image_sets = _Lazy("nnshell.inputs.binding")
    bench = _Lazy("nnshell.experiments.bench")
    mixed = _Lazy("nnshell.experiments.mixed")
    sensitivity = _Lazy("nnshell.experiments.sensitivity")
    speed = _Lazy("nnshell.experiments.speed")
    speed_table = _Lazy("nnshell.reports.speed_table")
    sweeps = _Lazy("nnshell.experiments.sweep")
    sweep_tables = _Lazy("nnshell.reports.sweep_tables")
    size_table = _Lazy("nnshell.reports.size_table")
    pictures = _Lazy("nnshell.reports.pictures")
    pages = _Lazy("nnshell.session.page")
    project_sizes = _Lazy("nnshell.session.sizes")
    quantized_values = _Lazy("nnshell.experiments.quantized_values")
    value_tables = _Lazy("nnshell.reports.value_tables")
    experiment_tables = _Lazy("nnshell.reports.experiment_tables")
    improve = _Lazy("nnshell.session.improve")
    studies = _Lazy("nnshell.session.studies")
    learning_tables = _Lazy("nnshell.reports.learning_tables")
    outliers = _Lazy("nnshell.learning.outliers")
    labels = _Lazy("nnshell.inputs.labels")
    norm_functions = _Lazy("nnshell.inputs.norm_parser")
    onnx_importer = _Lazy("nnshell.importers.onnx.importer")
    tflite_folding = _Lazy("nnshell.importers.tflite.fold")
    tflite_operators = _Lazy("nnshell.importers.tflite.operators")
    recipe = _Lazy("nnshell.session.recipe")
    simulation = _Lazy("nnshell.session.simulation")
    scales = _Lazy("nnshell.reports.scales")
    formulas = _Lazy("nnshell.reports.formulas")
    worked = _Lazy("nnshell.reports.worked")
    select = _Lazy("nnshell.ir.select")
    verification = _Lazy("nnshell.ir.verify")
    image_format = _Lazy("nnshell.ops.image_format")
    arrays = _Lazy("nnshell.inputs.arrays")
    catalogue = _Lazy("nnshell.passes.catalogue")
    explain = _Lazy("nnshell.passes.explain")
    quantization_options = _Lazy("nnshell.quantization.options")
    distribution_tables = _Lazy("nnshell.reports.distribution_tables")
    distributions = _Lazy("nnshell.reports.distributions")
    drawings = _Lazy("nnshell.reports.drawing")
    graph_tables = _Lazy("nnshell.reports.graph_tables")
    quantization_tables = _Lazy("nnshell.reports.quantization_tables")
    simulation_tables = _Lazy("nnshell.reports.simulation_tables")
    simulation_text = _Lazy("nnshell.reports.simulation_text")
    states = _Lazy("nnshell.state")
    trainer = _Lazy("nnshell.session.training")
    training_config = _Lazy("nnshell.learning.training.config")
    training_options = _Lazy("nnshell.learning.training.options")
    training_tables = _Lazy("nnshell.reports.training_tables")
    tensor_text = _Lazy("nnshell.reports.tensor_text")
    text_histogram = _Lazy("nnshell.reports.text_histogram")
    tensors = _Lazy("nnshell.reports.tensors")
    tutor = _Lazy("nnshell.shell.tutor")
    tutorial_folder = _Lazy("nnshell.tutorials.folder")
    lab_work = _Lazy("nnshell.tutorials.lab_work")
    labs = _Lazy("nnshell.tutorials.labs")
    lesson_data = _Lazy("nnshell.tutorials.lesson_data")
    walkthrough = _Lazy("nnshell.tutorials.walkthrough")

__all__ = [
    "adaround",
    "arrays",
    "bench",
    "catalogue",
    "clusters",
    "codegen",
    "compat_names",
    "distribution_tables",
    "distributions",
    "drawings",
    "edits",
    "engines",
    "experiment_tables",
    "explain",
    "flow",
    "formulas",
    "graph_tables",
    "image_format",
    "image_sets",
    "improve",
    "lab_work",
    "labels",
    "labs",
    "learning_tables",
    "lesson_data",
    "mixed",
    "norm_functions",
    "onnx_importer",
    "outliers",
    "pages",
    "pictures",
    "project_sizes",
    "quantization_options",
    "quantization_tables",
    "quantized_values",
    "recipe",
    "scales",
    "scores",
    "select",
    "sensitivity",
    "simulation",
    "simulation_tables",
    "simulation_text",
    "size_table",
    "speed",
    "speed_table",
    "states",
    "studies",
    "sweep_tables",
    "sweeps",
    "tensor_text",
    "tensors",
    "text_histogram",
    "tflite_folding",
    "tflite_operators",
    "trainer",
    "training_config",
    "training_options",
    "training_tables",
    "tutor",
    "tutorial_folder",
    "value_tables",
    "verification",
    "walkthrough",
    "worked",
]
