"""Array files: .npy, .npz and raw data, as samples and stacks, good and bad."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnshell.inputs.input_set import InputSet, open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.inputs.reading import reading
from nnshell.ir.types import Layout
from nnshell.support.errors import InputError


def all_of(inputs: InputSet) -> Any:
    return np.concatenate([batch.arrays[0] for batch in inputs.batches(4)])


def open_one(path: Path, spec: InputSpec, **options: Any) -> InputSet:
    return open_inputs(str(path), [spec], InputOptions(**options))


def test_an_npz_of_images_is_preprocessed_like_images(
    tmp_path: Path, rgb: InputSpec, pixels: Callable[..., Any]
) -> None:
    images = pixels(10, 8, 6, 3)
    np.savez_compressed(tmp_path / "set.npz", images=images, labels=np.arange(10) % 4)
    inputs = open_one(tmp_path / "set.npz", rgb, norm_func="x: x/128-1")
    expected = (images.transpose(0, 3, 1, 2) / 128 - 1).astype(np.float32)
    np.testing.assert_array_equal(all_of(inputs), expected)
    assert inputs.labels == (0, 1, 2, 3) * 2 + (0, 1)
    assert inputs.names[7] == f"{tmp_path / 'set.npz'}[7]"
    assert any("by itself" in note for note in inputs.notes)


def test_npz_images_are_resized_and_change_mode(
    tmp_path: Path, grey: InputSpec, pixels: Callable[..., Any]
) -> None:
    images = pixels(3, 16, 9, 3)
    np.savez(tmp_path / "set.npz", images=images)
    inputs = open_one(tmp_path / "set.npz", grey, mode="L", height=8, width=6)
    expected = [np.asarray(Image.fromarray(i).convert("L").resize((6, 8))) for i in images]
    np.testing.assert_array_equal(all_of(inputs)[:, 0], np.stack(expected))


@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 8, 6, 1), (5, 1, 8, 6)])
def test_grey_stacks_fit_with_or_without_a_channel_axis(
    tmp_path: Path, grey: InputSpec, pixels: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    images = pixels(*shape)
    np.savez(tmp_path / "set.npz", images=images)
    np.save(tmp_path / "set.npy", images)
    for name in ("set.npz", "set.npy"):
        result = all_of(open_one(tmp_path / name, grey))
        np.testing.assert_array_equal(result, images.reshape(5, 1, 8, 6))


def test_a_float_npz_that_fits_is_taken_as_it_is(tmp_path: Path, rgb: InputSpec) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 8, 6))
    np.savez(tmp_path / "set.npz", values)
    np.testing.assert_array_equal(
        all_of(open_one(tmp_path / "set.npz", rgb)), values.astype(np.float32)
    )
    scaled = all_of(open_one(tmp_path / "set.npz", rgb, norm_func="x: x*3"))
    np.testing.assert_array_equal(scaled, (values * 3).astype(np.float32))
    inputs = open_one(tmp_path / "set.npz", rgb, transpose=True)
    np.testing.assert_array_equal(all_of(inputs), values.astype(np.float32))
    assert "-T is not applied" in inputs.notes[0]


def test_arrays_in_the_other_order_are_turned_to_hwc(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 8, 6)).astype(np.float32)
    np.savez(tmp_path / "set.npz", images=values)
    spec = InputSpec("input_1", (8, 6, 3), Layout.HWC)
    np.testing.assert_array_equal(
        all_of(open_one(tmp_path / "set.npz", spec)), values.transpose(0, 2, 3, 1)
    )


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("images", "input_1"), "images"),
        (("other", "input_1"), "input_1"),
        (("other", "pixels"), "pixels"),  # an alias of the graph's input
        (("only", "labels"), "only"),
        (("a", "b"), None),
    ],
)
def test_the_array_of_an_npz_is_chosen_by_name(
    tmp_path: Path, names: tuple[str, ...], taken: str | None
) -> None:
    arrays = {name: np.full((2, 4), place) for place, name in enumerate(names)}
    if "labels" in arrays:
        arrays["labels"] = np.array([[5], [6]])
    np.savez(tmp_path / "set.npz", **arrays)
    spec = InputSpec("input_1", (4,), aliases=("pixels",))
    if taken is None:
        with pytest.raises(InputError, match=r"no array for graph input input_1; it holds a 2x4"):
            open_one(tmp_path / "set.npz", spec)
        return
    assert (all_of(open_one(tmp_path / "set.npz", spec)) == names.index(taken)).all()


def test_only_the_rows_asked_for_are_unpacked(tmp_path: Path, rgb: InputSpec) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 6, 3), np.uint8)
    np.savez_compressed(tmp_path / "set.npz", images=images)
    data = bytearray((tmp_path / "set.npz").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    (tmp_path / "set.npz").write_bytes(bytes(data))
    first = all_of(open_one(tmp_path / "set.npz", rgb, limit=5))
    np.testing.assert_array_equal(first, images[:5].transpose(0, 3, 1, 2))
    with pytest.raises(InputError, match="cannot read the array") as raised:
        all_of(open_one(tmp_path / "set.npz", rgb))
    assert str(tmp_path / "set.npz") in raised.value.where


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([3, 1, 2]), (3, 1, 2)),
        (np.array([[3], [1], [2]], np.uint8), (3, 1, 2)),
        (np.array([3.0, 1.0, 2.0]), (3, 1, 2)),
        (np.eye(4)[[3, 1, 2]], (3, 1, 2)),
        (np.array([1, 2]), None),
        (np.array([1, 2, 3, 4]), None),
        (np.array([1.5, 2, 3]), None),
        (np.array([np.inf, 2, 3]), None),
        (np.array(["a", "b", "c"]), None),
        (np.float64(3), None),
    ],
)
def test_npz_labels(tmp_path: Path, labels: Any, expected: tuple[int, ...] | None) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((3, 4)), labels=labels)
    if expected is None:
        with pytest.raises(InputError, match=r"set\.npz: labels"):
            open_one(tmp_path / "set.npz", InputSpec("x", (4,)))
    else:
        assert open_one(tmp_path / "set.npz", InputSpec("x", (4,))).labels == expected


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    hostile = np.array([{"a": 1}, None], dtype=object)
    np.savez(tmp_path / "set.npz", images=hostile)
    np.save(tmp_path / "a.npy", hostile)
    for name in ("set.npz", "a.npy"):
        with pytest.raises(InputError, match="not one of numbers"):
            open_one(tmp_path / name, InputSpec("x", (2,)))


@pytest.mark.parametrize("dtype", ["complex64", "U3", "M8[s]", [("a", "u1")]])
def test_arrays_that_are_no_numbers_are_refused(tmp_path: Path, dtype: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 4), dtype))
    with pytest.raises(InputError, match="not one of numbers"):
        open_one(tmp_path / "a.npy", InputSpec("x", (4,)))


def npy_claiming(shape: tuple[int, ...], content: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


@pytest.mark.parametrize(
    "shape", [(10**12, 4), (1000, 4), (0, 4), (2**62, 2**62), (3, -4), (2**33,)]
)
def test_headers_that_claim_what_is_not_there_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    data = npy_claiming(shape, bytes(12))
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", data)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError):
            all_of(open_one(tmp_path / name, InputSpec("x", (4,))))


def test_a_changed_byte_in_a_stored_npz_is_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4), np.uint8))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    place = data.index(b"\n", data.index(b"shape")) + 1
    data[place] = 1
    (tmp_path / "a.npz").write_bytes(bytes(data))
    with pytest.raises(InputError, match="CRC"):
        all_of(open_one(tmp_path / "a.npz", InputSpec("x", (4,))))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_broken_array_files_are_named(tmp_path: Path, name: str) -> None:
    array = np.random.default_rng(0).integers(0, 9, (5, 4))
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", images=array, labels=np.arange(5))
    whole = (tmp_path / name).read_bytes()
    random = np.random.default_rng(5)
    for _ in range(150):
        data = bytearray(whole[: random.integers(0, len(whole) + 1)])
        for place in random.integers(0, max(len(data), 1), 4) if data else ():
            data[place] = random.integers(0, 256)
        (tmp_path / name).write_bytes(bytes(data))
        try:
            all_of(open_one(tmp_path / name, InputSpec("x", (4,))))
        except InputError as error:
            assert name in error.where


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((3, 8, 6), 1),
        ((8, 6, 3), 1),
        ((1, 3, 8, 6), 1),
        ((7, 3, 8, 6), 7),
        ((7, 8, 6, 3), 7),
    ],
)
def test_an_npy_is_a_sample_or_a_stack(
    tmp_path: Path, rgb: InputSpec, shape: tuple[int, ...], count: int
) -> None:
    np.save(tmp_path / "a_5.npy", np.random.default_rng(0).normal(size=shape))
    inputs = open_one(tmp_path / "a_5.npy", rgb)
    assert len(inputs) == count
    assert all_of(inputs).shape == (count, 3, 8, 6)
    assert inputs.labels[0] == (5 if count == 1 else None)


def test_an_npy_image_is_resized(tmp_path: Path, rgb: InputSpec, pixels: Any) -> None:
    array = pixels(20, 9, 3)
    np.save(tmp_path / "a.npy", array)
    expected = np.asarray(Image.fromarray(array).resize((6, 8))).transpose(2, 0, 1)
    result = all_of(open_one(tmp_path / "a.npy", rgb, height=8, width=6))
    np.testing.assert_array_equal(result[0], expected)


def test_a_grey_uint8_npy_stack_is_resized_image_by_image(
    tmp_path: Path, grey: InputSpec, pixels: Any
) -> None:
    np.save(tmp_path / "a.npy", pixels(5, 20, 9))
    assert all_of(open_one(tmp_path / "a.npy", grey, height=8, width=6)).shape == (5, 1, 8, 6)


def test_fortran_order_is_read(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", images=array)
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(
            all_of(open_one(tmp_path / name, InputSpec("x", (4,), raw=False))), array
        )


def test_nan_in_a_stack_names_file_and_row(tmp_path: Path) -> None:
    array = np.zeros((9, 4))
    array[6, 1] = np.nan
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=r"NaN or infinite values .*a\.npy\[6\]"):
        all_of(open_one(tmp_path / "a.npy", InputSpec("x", (4,)), norm_func="x: x/2"))


def test_raw_data_is_float32_unless_told_otherwise(tmp_path: Path, grey: InputSpec) -> None:
    values = np.arange(48, dtype=np.float32) / 7
    values.tofile(tmp_path / "a_3.dat")
    inputs = open_one(tmp_path / "a_3.dat", grey)
    np.testing.assert_array_equal(all_of(inputs)[0], values.reshape(1, 8, 6))
    assert inputs.labels == (3,)
    values.astype(np.int16).tofile(tmp_path / "b.dat")
    result = all_of(open_one(tmp_path / "b.dat", grey, nptype="int16", divisor=2.0))
    np.testing.assert_array_equal(result.ravel(), (values.astype(np.int16) / 2).astype(np.float32))
    with pytest.raises(InputError, match=r"96 bytes are not the 48 float32 numbers"):
        all_of(open_one(tmp_path / "b.dat", grey))


def test_raw_inputs_refuse_floats(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((8, 6, 3)))
    with pytest.raises(InputError, match="raw pixels, not float64"):
        all_of(open_one(tmp_path / "a.npy", InputSpec("x", (8, 6, 3), raw=True)))


def test_a_header_that_is_no_header_is_refused_in_plain_words(
    tmp_path: Path, rgb: InputSpec
) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 8, 6), np.float32))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content.replace(b"(3, 8, 6)", b"1 and (2)"))
    with pytest.raises(InputError) as caught:
        all_of(open_one(tmp_path / "x.npy", rgb))
    assert "header of the array is damaged" in str(caught.value)
    assert "object at" not in str(caught.value)


@pytest.mark.parametrize("error", [EOFError(), OSError(), ValueError()])
def test_an_error_without_words_is_told_in_words(error: Exception) -> None:
    damaged = pytest.raises(InputError, match=r"the array: it is cut off or damaged \(a.npz\)")
    with damaged, reading("a.npz", "array"):
        raise error
