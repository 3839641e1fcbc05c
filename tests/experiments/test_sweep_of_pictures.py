"""Outputs that are no classes: judged by noise and by the error to the input, not by an argmax."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell import flow
from nnshell.experiments.bench import Bench
from nnshell.reports.experiment_tables import before_and_after


def test_an_autoencoder_is_judged_by_its_error_to_the_input() -> None:
    project = flow.open_graph("sample:vae")
    images = flow.load_inputs("sample:vae_test", norm="x: x/255", limit=20)
    flow.quantize(project, flow.calibrate(project, images))
    batches = flow.batches_of(project, images)
    bench = Bench(project.graph, project.basis, batches)
    outcome = bench.try_options(bench.options)
    assert outcome.accuracy is None and outcome.agreement is None
    floats = flow.run(project, batches[0].arrays, engine="float")[project.outputs[0].name]
    target = batches[0].arrays[0].reshape(floats.shape)
    expected = float(np.square(floats.astype(np.float64) - target).mean())
    assert bench.float_outcome.error == pytest.approx(expected, rel=1e-6)
    text = before_and_after(bench.float_outcome, outcome)
    assert "mean squared error to the input" in text and "accuracy" not in text
