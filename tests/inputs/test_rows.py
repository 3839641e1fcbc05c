"""Arrays of files are read in pieces, forwards, with gaps and again from the start."""

from __future__ import annotations

import io
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnshell.inputs.arrays import Archive
from nnshell.inputs.images import ImageReader
from nnshell.inputs.input_set import open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.inputs.rows import NpyRows, NpzRows, Rows
from nnshell.support.errors import InputError

ARRAY = np.random.default_rng(0).integers(0, 255, (500, 4, 3)).astype(np.uint8)
Save = Callable[[Path, Any], None]


def npy(path: Path, array: Any) -> Rows:
    np.save(path / "x.npy", array)
    return NpyRows(str(path / "x.npy"))


def npz(path: Path, array: Any) -> Rows:
    np.savez_compressed(path / "x.npz", images=array)
    return NpzRows(Archive.open(str(path / "x.npz")), "images")


@pytest.mark.parametrize("make", [npy, npz])
@pytest.mark.parametrize("dtype", ["u1", ">f4", "f8"])
def test_any_rows_in_any_passes_are_those_of_the_array(
    tmp_path: Path, make: Callable[[Path, Any], Rows], dtype: str
) -> None:
    array, random = ARRAY.astype(dtype), Random(1)
    rows = make(tmp_path, array)
    for _ in range(30):
        chosen = sorted(random.sample(range(500), random.choice((1, 7, 499, 500))))
        np.testing.assert_array_equal(rows.take(chosen), array[chosen])
    for start in (0, 100, 200, 490, 0):
        part = list(range(start, start + 10))
        np.testing.assert_array_equal(rows.take(part), array[start : start + 10])


def test_an_npy_array_by_columns_is_read_too(tmp_path: Path) -> None:
    rows = npy(tmp_path, np.asfortranarray(ARRAY))
    np.testing.assert_array_equal(rows.take([3, 4, 9]), ARRAY[[3, 4, 9]])


@pytest.mark.parametrize("make", [npy, npz])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, make: Callable[[Path, Any], Rows]
) -> None:
    rows = make(tmp_path, np.zeros((20_000, 1000), np.uint8))
    tracemalloc.start()
    try:
        for start in range(0, 20_000, 100):
            rows.take(range(start, start + 100))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_a_damaged_end_is_found_in_the_pass_that_reaches_it(tmp_path: Path) -> None:
    rows = npz(tmp_path, ARRAY)
    path = tmp_path / "x.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"cannot read the array"):
        for row in range(500):
            rows.take([row])


def test_a_file_that_becomes_another_while_it_is_read_is_refused(tmp_path: Path) -> None:
    rows = npz(tmp_path, ARRAY)
    rows.take([0])
    np.savez_compressed(tmp_path / "x.npz", images=ARRAY[:3])
    with pytest.raises(InputError):
        rows.take([0])


def _notes(path: Path, shape: tuple[int, ...]) -> list[str]:
    inputs = open_inputs([str(path)], [InputSpec("input_1", shape)], InputOptions())
    list(inputs.batches(1))
    return [str(note) for note in inputs.notes]


def test_an_entry_that_is_there_twice_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for value in (1, 2):
            stream = io.BytesIO()
            np.save(stream, np.full((2, 3), value, np.float32))
            archive.writestr("images.npy", stream.getvalue())
    assert any("holds images more than once: the last counts" in n for n in _notes(path, (3,)))


@pytest.mark.parametrize(("orientation", "noted"), [(1, False), (6, True)])
def test_a_photograph_that_viewers_turn_is_noted(
    tmp_path: Path, orientation: int, noted: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    notes: list[str] = []
    assert ImageReader(notes=notes).read(str(path)).shape == (8, 8, 3)
    assert any("EXIF orientation" in note for note in notes) == noted


def test_no_warning_of_python_gets_through(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, ARRAY)
    content = path.read_bytes().replace(b"(500, 4, 3)", b"(500,4,3or3)")
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError):
            NpyRows(str(path)).take([0])
