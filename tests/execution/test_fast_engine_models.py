"""The fast engine on stored results and on real networks, where reference data is given."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.engines import tensor_keys
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.inputs.binding import Images, bind
from nnshell.quantization import calibrate_graph
from tests.golden.vectors import find_folders, replay, stored_patterns

DATA = Path(os.environ.get("NNSHELL_TEST_DATA") or "/nonexistent")
FOLDERS = find_folders(DATA)
MODELS = sorted(DATA.glob("models/**/*.onnx"))
SAMPLES = 2


def _engine_key(stored: str) -> str:
    """``NODE[1]`` of ``q__NODE#1``."""
    name, _, output = stored.removeprefix("q__").partition("#")
    return f"{name}[{output}]" if output else name


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_stored_activations_are_met_to_the_bit(folder: Path) -> None:
    project, options = replay(folder, own_ranges=False)
    graph = project.graph
    stored = [np.load(path) for path in sorted(folder.glob("acts_*.npz"))]
    images = bind(project, Images(stored_patterns(graph, folder), options))
    batch = next(images.batches(len(stored)))
    names = {_engine_key(key): key for key in stored[0].files if key.startswith("q__")}
    recurrent = any(node.op.sequence_axis is not None for node in graph)
    for wanted in (list(names), None):
        engine = FastEngine(graph, wanted, threads=1)
        reason = engine.fallback_reason
        assert ("step by step" in reason) if recurrent else (reason == "")
        for key, found in engine.run(batch.arrays).items():
            if key not in names:
                continue
            expected = np.stack([sample[names[key]] for sample in stored])
            np.testing.assert_array_equal(found.reshape(expected.shape), expected, err_msg=key)


@pytest.mark.parametrize("model", MODELS, ids=[model.stem for model in MODELS])
def test_real_networks_give_the_integers_of_the_reference(model: Path) -> None:
    project = flow.open_graph(model)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    graph = project.graph
    random = np.random.default_rng(0)
    batch = [_smooth(random, (SAMPLES, *node.type.shape)) for node in graph.inputs]
    flow.quantize(project, calibrate_graph(graph, [batch]))
    keys = tensor_keys(graph)
    wanted = IntegerEngine(graph).run([array[:1] for array in batch], keys)
    for chosen in (keys, None):
        engine = FastEngine(graph, chosen, threads=1)
        assert engine.fallback_reason == ""
        for key, found in engine.run(batch).items():
            np.testing.assert_array_equal(found[:1], wanted[key], err_msg=key)


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values of about -1 to 1 in which neighbours are alike, as in images."""
    steps = random.normal(size=shape).cumsum(axis=-1).cumsum(axis=-2)
    steps -= steps.mean(axis=(-1, -2), keepdims=True)
    return (steps / np.abs(steps).max(axis=(-1, -2), keepdims=True)).astype(np.float32)
