"""Sets of inputs: batches, subsets, several graph inputs, and memory that does not grow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell.inputs.input_set import InputSet, inputs_from_arrays, open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.ir.types import Layout
from nnshell.support.errors import InputError


def test_batches_hold_all_samples_in_order(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    arrays = write_images([f"i{n}_{n % 3}.png" for n in range(7)])
    inputs = open_inputs(str(tmp_path / "*.png"), [rgb], InputOptions(norm_func="x: x/128-1"))
    batches = list(inputs.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert sum((batch.names for batch in batches), ()) == inputs.names
    assert sum((batch.labels for batch in batches), ()) == (0, 1, 2, 0, 1, 2, 0)
    values = np.concatenate([batch.arrays[0] for batch in batches])
    assert values.dtype == np.float32
    expected = np.stack(arrays).transpose(0, 3, 1, 2) / 128 - 1
    np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_the_batch_size_does_not_change_the_numbers(
    tmp_path: Path, write_images: Any, rgb: InputSpec, size: int
) -> None:
    write_images([f"{n}.png" for n in range(7)])
    norm = "x: np.exp(x/255) - np.array([1/3,2,3]).reshape(3,1,1)"
    inputs = open_inputs(str(tmp_path), [rgb], InputOptions(norm_func=norm))
    whole = np.concatenate([inputs[n].arrays[0] for n in range(7)])
    parts = np.concatenate([batch.arrays[0] for batch in inputs.batches(size)])
    assert whole.tobytes() == parts.tobytes()


def test_items_are_batches_of_one_and_slices_are_sets(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images([f"{n}_{n}.png" for n in range(5)])
    inputs = open_inputs(str(tmp_path), [rgb])
    assert inputs[-1].labels == (4,)
    assert inputs[1].arrays[0].shape == (1, 3, 8, 6)
    part = inputs[1:4:2]
    assert isinstance(part, InputSet)
    assert part.labels == (1, 3)
    assert [batch.labels for batch in part.batches(8)] == [(1, 3)]
    assert len(inputs[5:]) == 0
    assert list(inputs[5:].batches(2)) == []
    with pytest.raises(IndexError):
        inputs[5]


def test_a_batch_of_nothing_is_a_mistake_of_the_caller(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a.png"])
    with pytest.raises(ValueError, match="batch of 0"):
        list(open_inputs(str(tmp_path), [rgb]).batches(0))


def test_a_limit_takes_the_first_and_a_seed_chooses(rgb: InputSpec) -> None:
    stack = np.arange(50.0)[:, None] * np.ones(4)
    spec = InputSpec("x", (4,))

    def chosen(**options: Any) -> list[float]:
        inputs = inputs_from_arrays([stack], [spec], InputOptions(**options))
        return [float(batch.arrays[0][0, 0]) for batch in inputs.batches(1)]

    assert chosen(limit=3) == [0, 1, 2]
    assert chosen(limit=99) == list(range(50))
    first = chosen(limit=10, seed=1)
    assert first == chosen(limit=10, seed=1) == sorted(set(first))
    assert first != chosen(limit=10, seed=2)
    assert len(first) == 10


def test_labels_follow_the_chosen_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.arange(80.0).reshape(20, 4), labels=np.arange(20))
    options = InputOptions(limit=5, seed=3)
    inputs = open_inputs(str(tmp_path / "a.npz"), [InputSpec("x", (4,))], options)
    (batch,) = inputs.batches(8)
    assert tuple(batch.arrays[0][:, 0] / 4) == batch.labels == inputs.labels


@pytest.mark.parametrize("labelled", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_labels_come_from_the_first_graph_input_that_has_any(
    tmp_path: Path, labelled: tuple[int, ...]
) -> None:
    specs = [InputSpec(f"in_{place}", (4,), Layout.NONE) for place in range(3)]
    for place in range(3):
        folder = tmp_path / f"in_{place}"
        folder.mkdir()
        for number in range(3):
            ending = f"_{10 * place + number}" if place in labelled else ""
            np.save(folder / f"{chr(97 + number)}{ending}.npy", np.full(4, number, np.float32))
    inputs = open_inputs([f"in_{place}={tmp_path}/in_{place}/*" for place in range(3)], specs)
    first = 10 * labelled[0]
    assert inputs.labels == (first, first + 1, first + 2)


def test_labels_can_be_replaced(tmp_path: Path, write_images: Any, rgb: InputSpec) -> None:
    write_images(["a.png", "b.png"])
    inputs = open_inputs(str(tmp_path), [rgb])
    assert inputs.with_labels([4, None])[0].labels == (4,)
    with pytest.raises(InputError, match="3 labels for 2 samples"):
        inputs.with_labels([1, 2, 3])


LEFT, RIGHT = InputSpec("left", (3, 8, 6), aliases=("l.0",)), InputSpec("right", (1, 8, 6))


def test_several_inputs_are_named_in_patterns(tmp_path: Path, write_images: Any) -> None:
    colours = write_images(["c/a_1.png", "c/b_2.png"])
    greys = write_images(["g/a.png", "g/b.png"], (8, 6))
    patterns = [f"right={tmp_path}/g/*", f"l.0={tmp_path}/c/b_2.png", f"left={tmp_path}/c/a_1.png"]
    (batch,) = open_inputs(patterns, [LEFT, RIGHT]).batches(4)
    np.testing.assert_array_equal(batch.arrays[0][1], colours[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(batch.arrays[1][:, 0], np.stack(greys))
    assert batch.labels == (2, 1)


def test_several_inputs_take_equal_parts_of_the_files(tmp_path: Path, write_images: Any) -> None:
    write_images(["a1.png", "a2.png"])
    write_images(["b1.png", "b2.png"], (8, 6))
    inputs = open_inputs(str(tmp_path / "*"), [LEFT, RIGHT])
    (batch,) = inputs.batches(4)
    assert [array.shape for array in batch.arrays] == [(2, 3, 8, 6), (2, 1, 8, 6)]
    assert "2 files for each graph input" in inputs.notes[0]
    write_images(["c.png"])
    with pytest.raises(InputError, match="5 files for 2 graph inputs"):
        open_inputs(str(tmp_path / "*"), [LEFT, RIGHT])


def test_several_inputs_from_one_npz(tmp_path: Path) -> None:
    left, right = np.random.default_rng(0).normal(size=(2, 5, 3, 8, 6))
    path = tmp_path / "a.npz"
    np.savez(path, **{"l.0": left, "right": right[:, :1], "labels": np.arange(5)})
    (batch,) = open_inputs(str(path), [LEFT, RIGHT]).batches(8)
    np.testing.assert_array_equal(batch.arrays[0], left.astype(np.float32))
    np.testing.assert_array_equal(batch.arrays[1], right[:, :1].astype(np.float32))
    assert batch.labels == (0, 1, 2, 3, 4)
    with pytest.raises(InputError, match="no array for graph input other"):
        open_inputs(str(path), [LEFT, InputSpec("other", (4,))])


def test_the_mistakes_with_several_inputs_are_told(tmp_path: Path, write_images: Any) -> None:
    write_images(["a.png", "b.png"])
    path = str(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"no graph input named .*begin with left=, right="):
        open_inputs([f"left={path}", path], [LEFT, RIGHT])
    with pytest.raises(InputError, match=r"without files .*right"):
        open_inputs([f"left={path}"], [LEFT, RIGHT])
    with pytest.raises(InputError, match="left: 2, right: 1"):
        open_inputs([f"left={tmp_path}/*", f"right={path}"], [LEFT, RIGHT])


def test_an_equals_sign_in_a_path_is_no_input_name(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a=b.png"])
    assert len(open_inputs(str(tmp_path / "a=b.png"), [rgb])) == 1
    assert len(open_inputs(f"input_1={tmp_path}/a=b.png", [rgb])) == 1


def test_arrays_in_memory_are_preprocessed_like_files(rgb: InputSpec, pixels: Any) -> None:
    images = pixels(5, 8, 6, 3)
    inputs = inputs_from_arrays([images], [rgb], InputOptions(divisor=255.0), labels=range(5))
    (batch,) = inputs.batches(5)
    expected = (images.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    np.testing.assert_array_equal(batch.arrays[0], expected)
    assert batch.names[2] == "input_1[2]"
    assert batch.labels == (0, 1, 2, 3, 4)
    with pytest.raises(InputError, match="not a stack"):
        inputs_from_arrays([np.array(["a"])], [rgb])


def peak_bytes(path: Path, spec: InputSpec, limit: int) -> int:
    tracemalloc.start()
    try:
        inputs = open_inputs(str(path), [spec], InputOptions(limit=limit, norm_func="x: x/255"))
        for batch in inputs.batches(16):
            assert len(batch.names) <= 16
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_floats_of_a_stack_never_live_all_at_once(tmp_path: Path) -> None:
    stack = np.zeros((2000, 3, 32, 32), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=stack)
    spec = InputSpec("x", (3, 32, 32))
    peak_bytes(tmp_path / "a.npz", spec, 16)
    growth = peak_bytes(tmp_path / "a.npz", spec, 2000) - peak_bytes(tmp_path / "a.npz", spec, 100)
    assert growth < 2 * stack.nbytes  # the bytes as stored; as floats they would be four times


def test_files_leave_nothing_behind(tmp_path: Path, write_images: Any) -> None:
    write_images([f"{n:03}.png" for n in range(120)], (32, 32, 3))
    spec = InputSpec("x", (3, 32, 32))
    peak_bytes(tmp_path, spec, 16)
    growth = peak_bytes(tmp_path, spec, 120) - peak_bytes(tmp_path, spec, 20)
    assert growth < 100 * 3072  # less than even one byte for each pixel


def test_axes_that_shapes_cannot_tell_apart_are_turned_as_the_graph_turned_them() -> None:
    """Rows of as many columns as there are channels: 5x3x3 in the file and in the graph."""
    swapped = InputSpec("x", (5, 3, 3), order=(0, 2, 1))
    assert swapped.turns_unseen
    assert not InputSpec("x", (3, 8, 8), order=(2, 0, 1)).turns_unseen
    assert not InputSpec("x", (3, 3, 3), order=(0, 1, 2)).turns_unseen
