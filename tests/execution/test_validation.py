"""Accuracy, top 5, agreement and confusion against counting one sample at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.execution.validation import Threshold, validate
from nnshell.inputs.input_set import Batch


class Table:
    """An engine whose outputs are its inputs, plus what it is off by."""

    def __init__(self, error: float = 0.0) -> None:
        self.error = error

    def run(self, batch: Sequence[NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        noise = np.random.default_rng(len(batch[0])).normal(size=batch[0].shape)
        return {"y": batch[0] + self.error * noise}


def batches(scores: NDArray[Any], labels: Sequence[int | None], size: int) -> list[Batch]:
    names = [f"s{number}" for number in range(len(scores))]
    return [
        Batch(
            (scores[at : at + size],), tuple(names[at : at + size]), tuple(labels[at : at + size])
        )
        for at in range(0, len(scores), size)
    ]


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 17), st.integers(1, 5))
def test_figures_are_those_of_counting_sample_by_sample(
    seed: int, classes: int, count: int, size: int
) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(-3, 4, (count, classes)).astype(np.float64)  # with equal ones
    labels = [None if random.random() < 0.2 else int(random.integers(classes)) for _ in scores]
    report = validate(batches(scores, labels, size), Table(), "y", reference=Table(2.0))
    right, among_five, confusion = 0, 0, np.zeros((classes, classes), np.int64)
    for row, label in zip(scores.tolist(), labels, strict=True):
        order = sorted(range(classes), key=lambda number: (-row[number], number))
        if label is not None:
            right += order[0] == label
            among_five += label in order[:5]
            confusion[label, order[0]] += 1
    labelled = sum(label is not None for label in labels)
    assert (report.images, report.labelled, report.classes) == (count, labelled, classes)
    assert np.array_equal(report.confusion(), confusion)
    assert report.accuracy == (right / labelled if labelled else None)
    assert report.to_json()["top5"] == (among_five / labelled if labelled else None)
    noisy = [
        Table(2.0).run(batch.arrays)["y"].argmax(axis=1) for batch in batches(scores, labels, size)
    ]
    agreed = (np.concatenate(noisy) == scores.argmax(axis=1)).mean()
    assert report.agreement_with_float == pytest.approx(agreed)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12), st.integers(-20, 20))
def test_above_a_threshold_an_output_of_one_value_is_class_1(values: list[int], limit: int) -> None:
    scores = np.array(values, np.float64)[:, np.newaxis]
    labels = [int(value > limit) for value in values]
    threshold = Threshold(float(limit), float(limit))
    report = validate(batches(scores, labels, 4), Table(), "y", threshold=threshold)
    assert report.accuracy == 1.0
    assert [entry.predicted for entry in report.predictions] == labels


def test_margins_are_how_far_the_first_leads() -> None:
    report = validate(batches(np.array([[1.0, 4.0, 2.5]]), [1], 1), Table(), "y")
    (entry,) = report.predictions
    assert (entry.predicted, entry.margin, entry.rank, entry.correct) == (1, 1.5, 0, True)
