"""Bit for bit what NNTool computes, on every folder of stored results."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .vectors import compare_with_vectors, find_folders, is_calibrated

FOLDERS = find_folders(Path(os.environ.get("NNSHELL_TEST_DATA") or "/nonexistent"))
NAMES = [folder.name for folder in FOLDERS]
CALIBRATED = [folder for folder in FOLDERS if is_calibrated(folder)]


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_every_number_equals_with_the_stored_ranges(folder: Path) -> None:
    report = compare_with_vectors(folder, own_ranges=False)
    assert report.differences == []
    assert report.compared["activations"] > 0
    assert report.largest_bias_difference == 0


@pytest.mark.parametrize("folder", CALIBRATED, ids=[folder.name for folder in CALIBRATED])
def test_all_but_the_last_bits_of_biases_equals_with_our_own_ranges(folder: Path) -> None:
    report = compare_with_vectors(folder, own_ranges=True)
    assert report.differences == []
    assert report.compared["ranges"] > 0


def test_there_are_vectors_to_compare_with(test_data: Path) -> None:
    assert find_folders(test_data), "the folder of reference data holds no vectors"
