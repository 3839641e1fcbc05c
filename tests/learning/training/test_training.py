"""Training as a whole: what comes back into the graph, what decides, what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra train")

from nnshell import flow
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import flatten
from nnshell.learning.training import run as runs
from nnshell.learning.training import train as trainer
from nnshell.learning.training.model import TrainedModel
from nnshell.learning.training.options import TrainingOptions, rate_at
from nnshell.learning.training.samples import (
    Augmentation,
    StoredSamples,
    shares_of,
    steps_of,
)
from nnshell.session.project import Project
from nnshell.session.recipe import undo
from nnshell.session.samples import batches_of
from nnshell.session.training import Progress, initialize, train
from nnshell.support.errors import InputError, QuantizationError, StateError, UsageError
from tests.learning.nets import pictures, residual

QUANTIZERS = ("lsq", "lsq+", "qat", "pact", "dorefa")


def labelled(count: int, seed: int = 0) -> list[Batch]:
    """Pictures; the label says in which quarter they are brightest."""
    batch = pictures(count, seed)
    maps = batch.arrays[0].mean(axis=1)
    quarters = [maps[:, y : y + 3, x : x + 3].mean(axis=(1, 2)) for y in (0, 3) for x in (0, 3)]
    labels = np.argmax(quarters, axis=0)
    return [Batch(batch.arrays, batch.names, tuple(int(n) for n in labels))]


def net() -> Project:
    return Project(residual())


def trained(quantizer: str = "lsq", **options: Any) -> tuple[Project, Any]:
    project = net()
    values: dict[str, Any] = {"epochs": 2, "batch": 16, "weight_bits": 4, "act_bits": 4}
    result = train(project, labelled(120), quantizer, **{**values, **options})
    return project, result


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_records_after_training_are_those_it_was_trained_with(
    quantizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[TrainedModel] = []
    build = trainer.trained_model
    monkeypatch.setattr(
        trainer, "trained_model", lambda *given: models.append(build(*given)) or models[-1]
    )
    project, result = trained(quantizer, rate=3e-3)
    assert result.best > 0
    flat = flatten(project.graph)
    for group, rounding in models[0].grouped():
        for tensor in group.tensors:
            quantization = flat.by_path[tensor.path].node.quantization
            assert quantization is not None
            record = quantization.outputs[tensor.index]
            assert record.first_scale == pytest.approx(float(rounding.step().detach()), rel=1e-5)
            assert record.zero_point == int(rounding.zero)
    for path, chosen in models[0].learned().filters.items():
        quantization = flat.by_path[path].node.quantization
        assert quantization is not None and chosen.integers is not None
        integers = quantization.kernel.weights.reshape(chosen.integers.shape)
        assert np.array_equal(integers, chosen.integers)


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_training_makes_the_loss_on_what_is_held_out_less(quantizer: str) -> None:
    _, result = trained(quantizer, rate=3e-3, epochs=3)
    assert result.epochs[result.best].held_out_loss < result.epochs[0].held_out_loss


def test_the_first_and_the_last_filter_keep_8_bits_unless_told_otherwise() -> None:
    project, _ = trained(weight_bits=3)
    flat = flatten(project.graph)
    bits = [
        item.node.quantization.inputs[1].bits
        for item in flat.items
        if item.node.op.role == "filter" and item.node.quantization
    ]
    assert bits[0] == bits[-1] == 8 and set(bits[1:-1]) == {3}
    project, _ = trained(weight_bits=3, end_bits=3)
    item = flatten(project.graph).by_path["stem"]
    assert item.node.quantization is not None and item.node.quantization.inputs[1].bits == 3


def test_single_nodes_have_widths_of_their_own() -> None:
    project, _ = trained(nodes={"second": {"weight_bits": 6}})
    item = flatten(project.graph).by_path["second"]
    assert item.node.quantization is not None and item.node.quantization.inputs[1].bits == 6


def test_equal_seeds_give_equal_numbers_and_others_do_not() -> None:
    first, second, other = (trained(seed=seed, crop=1, flip=True)[1] for seed in (3, 3, 4))
    values = [[e.held_out_loss for e in r.epochs] for r in (first, second, other)]
    assert values[0] == values[1] != values[2]


def test_labels_are_not_needed_for_distillation() -> None:
    project = net()
    result = train(
        project, [pictures(200)], "lsq", weight_bits=3, act_bits=4, epochs=3, batch=8, rate=3e-4
    )
    assert result.loss == "Distillation"
    assert result.epochs[result.best].held_out_loss < result.epochs[0].held_out_loss
    with pytest.raises(UsageError, match="no float model"):
        train(net(), [pictures(80)], "none", loss="distill")
    with pytest.raises(InputError, match="label"):
        train(net(), [pictures(80)], "lsq", loss="cross_entropy")


def test_float_training_starts_from_he_weights_and_leaves_a_float_graph() -> None:
    project = net()
    paths = initialize(project, "all", seed=1)
    assert len(paths) == 4
    weights = project.graph["stem_weights"].op.known_value
    assert weights is not None
    assert float(weights.std()) == pytest.approx(np.sqrt(2 / weights[0].size), rel=0.25)
    result = train(project, labelled(200), "none", epochs=4, batch=16, rate=1e-2)
    assert result.applied and not project.quantized
    assert result.epochs[-1].loss < result.epochs[1].loss
    undo(project)
    assert np.array_equal(project.graph["stem_weights"].op.known_value, weights)  # type: ignore[arg-type]


def test_training_that_never_gets_better_keeps_the_start() -> None:
    project = net()
    before = project.graph["stem_weights"].op.known_value
    result = train(project, labelled(60), "none", epochs=1, batch=16, rate=1e-30)
    assert not result.applied and not project.recipe
    assert np.array_equal(project.graph["stem_weights"].op.known_value, before)  # type: ignore[arg-type]
    project = net()
    result = train(project, labelled(60), "lsq", epochs=1, batch=16, rate=1e-12, optimizer="sgd")
    assert project.quantized  # at the widths that were asked for, trained or not


def test_ctrl_c_keeps_the_best_so_far() -> None:
    project, epochs = net(), []

    def stop(epoch: Any) -> None:
        epochs.append(epoch)
        if epoch.number == 2:
            raise KeyboardInterrupt

    result = train(project, labelled(120), "lsq", epochs=9, batch=16, rate=3e-3,
                   weight_bits=4, act_bits=4, progress=Progress(epoch=stop))  # fmt: skip
    assert result.interrupted and [e.number for e in result.epochs] == [0, 1, 2]
    assert result.best > 0 and project.quantized


def test_ctrl_c_before_the_first_epoch_changes_nothing() -> None:
    project = net()

    def stop(moment: Any) -> None:
        raise KeyboardInterrupt

    result = train(project, labelled(60), "lsq", progress=Progress(step=stop))
    assert result.interrupted and not result.applied and not project.quantized


def test_a_run_without_progress_ends_early() -> None:
    _, result = trained(epochs=9, patience=2, rate=1e-12, optimizer="sgd")
    assert len(result.epochs) < 9


def test_a_loss_that_is_no_number_is_an_error() -> None:
    project = net()
    with pytest.raises(QuantizationError, match="no number"):
        train(project, labelled(60), "none", rate=1e30, optimizer="sgd", clip_norm=0, epochs=9)
    assert not project.recipe


# -- going on --------------------------------------------------------------------------------

SCRIPT = """
import sys, time
from pathlib import Path
from tests.learning.training.test_training import labelled, net
from nnshell.learning.training import run as runs
from nnshell.session.training import Progress, train
runs._CHECKPOINT_SECONDS = 0.0
file, slow = sys.argv[1], float(sys.argv[2])
def step(moment):
    print(moment.epoch, flush=True)
    time.sleep(slow)
train(net(), labelled(120), "lsq", epochs=3, batch=16, rate=3e-3, weight_bits=4, act_bits=4,
      checkpoint=file, progress=Progress(step=step))
"""


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch": 16, "rate": 3e-3}
    options |= {"weight_bits": 4, "act_bits": 4}
    whole = net()
    expected = train(whole, labelled(120), "lsq", **options)
    file = tmp_path / "run.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(file), "0.05"],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("2"):
            time.sleep(0.12)  # a few steps into the second epoch
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    project = net()
    result = train(project, labelled(120), "lsq", checkpoint=file, resume=True, **options)
    pairs = zip(result.epochs, expected.epochs, strict=True)
    assert all(a.held_out_loss == b.held_out_loss and a.loss == b.loss for a, b in pairs)
    for path, value in TrainedModel(project.graph).trained():
        twin = flatten(whole.graph).by_path[path].node.op.known_value
        assert twin is not None and np.array_equal(value, twin)
    with pytest.raises(StateError, match="another run"):
        train(net(), labelled(120), "lsq", checkpoint=file, resume=True, **{**options, "seed": 1})
    file.write_bytes(b"PK damaged")
    with pytest.raises(StateError, match="no checkpoint"):
        train(net(), labelled(120), "lsq", checkpoint=file, resume=True, **options)


# -- from a model file -----------------------------------------------------------------------


def test_a_trained_graph_is_saved_loaded_and_still_8_bits_exact(tmp_path: Path) -> None:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    data = flow.load_inputs("sample:calibration", norm="x: x/128-1")
    test = flow.load_inputs("sample:test", norm="x: x/128-1")
    result = train(project, data, "lsq", epochs=1, batch=20, rate=1e-4, held_out=0.2)
    assert result.loss == "CrossEntropy"
    model = TrainedModel(project.graph, "lsq").eval()
    hits = [0, 0]
    import torch

    for batch in batches_of(project, test):
        labels = np.array(batch.labels)
        with torch.no_grad():
            rounded = model(torch.from_numpy(batch.arrays[0]))[0].numpy()
        integers = flow.run(project, [batch], engine="int8")[project.outputs[0].name]
        for place, output in enumerate((rounded, integers)):
            hits[place] += int((output.reshape(len(labels), -1).argmax(axis=1) == labels).sum())
    assert abs(hits[0] - hits[1]) <= 0.002 * 200  # of 200 images
    path = flow.save_state(project, tmp_path / "state.json")
    again = flow.open_graph(path)
    batch = next(iter(batches_of(project, test)))
    first, second = (flow.run(p, [batch], engine="int8") for p in (project, again))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    flow.quantize(again, flow.calibrate(again, data))  # the weights stay, what was learned goes
    assert again.learned is None
    text = json.loads(path.read_text())
    step = next(step for step in text["recipe"] if step["command"] == "qat")
    next(iter(step["options"]["weights"].values()))["float32"] = ["AAAA"]
    path.write_text(json.dumps(text))
    with pytest.raises(StateError, match="do not fit"):
        flow.open_graph(path)


# -- parts -----------------------------------------------------------------------------------


def test_schedules_warm_up_and_fall() -> None:
    cosine = TrainingOptions(epochs=10, warm_up=2)
    assert [rate_at(cosine, t) for t in (1, 2, 6, 10)] == pytest.approx([0.5, 1, 0.5, 0])
    step = TrainingOptions(epochs=8, schedule="step")
    assert [rate_at(step, t) for t in (0, 3.9, 4, 6)] == [1, 1, 0.1, 0.01]


def test_every_sample_is_trained_on_once_an_epoch_and_none_that_is_held_out() -> None:
    shares = shares_of(53, 0.2, seed=1)
    assert len(shares.held_out) == 11
    epochs = [np.concatenate(steps_of(shares.training, 8, 1, epoch)) for epoch in (1, 2)]
    assert all(np.array_equal(np.sort(e), shares.training) for e in epochs)
    assert not np.array_equal(*epochs)
    assert set(shares.training.tolist()) | set(shares.held_out.tolist()) == set(range(53))


def test_crops_move_images_and_flips_mirror_them() -> None:
    batches = labelled(40)
    samples = StoredSamples.of(residual(), batches)
    draw = samples.take(np.arange(40))
    np.testing.assert_array_equal(draw.arrays[0], batches[0].arrays[0])
    flipped = Augmentation(0, True, 1).apply(draw, samples.types, 1, 0)
    mirrored = 0
    for before, after in zip(draw.arrays[0], flipped.arrays[0], strict=True):
        assert np.array_equal(after, before) or np.array_equal(after, before[:, :, ::-1])
        mirrored += not np.array_equal(after, before)
    assert 5 < mirrored < 35
    moved = Augmentation(2, False, 1).apply(draw, samples.types, 1, 0)
    padded = np.pad(draw.arrays[0], ((0, 0), (0, 0), (2, 2), (2, 2)))
    for image, after in zip(padded, moved.arrays[0], strict=True):
        places = [(y, x) for y in range(5) for x in range(5)]
        assert any(np.array_equal(after, image[:, y : y + 6, x : x + 6]) for y, x in places)
    with pytest.raises(UsageError, match="too small"):
        Augmentation(6, False, 1).check(samples.types)


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantizer", "xyz"), ("epochs", 0), ("rate", float("nan")), ("held_out", 1.0),
     ("weight_bits", 9), ("loss", "x"), ("seed", -1), ("batch", -3)],
)  # fmt: skip
def test_options_that_do_not_exist_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        TrainingOptions(**{name: value})  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    import tracemalloc

    batch = labelled(50)[0]
    sizes = []
    for count in (4, 400):
        tracemalloc.start()
        samples = StoredSamples.of(residual(), iter([batch] * count))
        samples.take(np.arange(16))
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    held = 400 * batch.arrays[0].nbytes
    assert sizes[1] < sizes[0] + held / 10  # a label for each sample is kept


def test_checkpoints_are_written_every_minute() -> None:
    assert runs._CHECKPOINT_SECONDS == 60.0
