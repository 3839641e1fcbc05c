"""MNIST idx files and CIFAR-10 batches."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from nnshell.inputs.input_set import InputSet, open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.support.errors import InputError

MNIST = InputSpec("input_1", (1, 28, 28))
CIFAR = InputSpec("input_1", (3, 32, 32))


def all_of(inputs: InputSet) -> Any:
    return np.concatenate([batch.arrays[0] for batch in inputs.batches(4)])


def idx(array: Any) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def digits(pixels: Any) -> Any:
    return pixels(6, 28, 28)


LABELS = np.array([7, 2, 1, 0, 4, 1])


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images-idx3-ubyte", ""),
    ],
)
def test_idx_images_find_their_labels(
    tmp_path: Path, digits: Any, images: str, labels: str
) -> None:
    for name, array in ((images, digits), (labels, LABELS)):
        if name:
            data = idx(array)
            packed = gzip.compress(data) if name.endswith(".gz") else data
            (tmp_path / name).write_bytes(packed)
    inputs = open_inputs(str(tmp_path / images), [MNIST])
    np.testing.assert_array_equal(all_of(inputs)[:, 0], digits)
    assert inputs.labels == (tuple(LABELS) if labels else (None,) * 6)
    assert len(open_inputs(str(tmp_path), [MNIST])) == 6
    assert len(open_inputs(str(tmp_path / "*"), [MNIST])) == 6


def test_a_split_chooses_among_the_files_of_a_folder(tmp_path: Path, digits: Any) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(digits))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(digits[:2]))
    assert len(open_inputs(str(tmp_path), [MNIST])) == 8
    assert len(open_inputs(str(tmp_path), [MNIST], split="train")) == 6
    test = open_inputs(str(tmp_path), [MNIST], split="test")
    assert len(test) == 2
    assert "reading t10k-images-idx3-ubyte" in test.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0",
        b"PK\x03\x04" * 9,
        struct.pack(">BBBB3I", 0, 0, 0x0D, 3, 1, 28, 28) + bytes(4 * 784),
        struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 28, 28) + bytes(784),
        struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31),
        struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 28, 28),
        struct.pack(">BBBB", 0, 0, 8, 0),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_idx_files_are_named(tmp_path: Path, data: bytes, packed: bool) -> None:
    path = tmp_path / ("images-idx3-ubyte" + ".gz" * packed)
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(InputError) as raised:
        all_of(open_inputs(str(path), [MNIST]))
    assert raised.value.where == str(path)


def test_a_truncated_gz_is_named(tmp_path: Path, digits: Any) -> None:
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(digits))[:-200])
    assert all_of(open_inputs(str(path), [MNIST], InputOptions(limit=1))).shape == (1, 1, 28, 28)
    with pytest.raises(InputError, match="cannot read the idx file"):
        all_of(open_inputs(str(path), [MNIST]))


def test_labels_of_another_count_are_refused(tmp_path: Path, digits: Any) -> None:
    (tmp_path / "a-images-idx3-ubyte").write_bytes(idx(digits))
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx(LABELS[:4]))
    with pytest.raises(InputError, match="4 labels for 6 samples"):
        open_inputs(str(tmp_path / "a-images-idx3-ubyte"), [MNIST])


def test_a_label_file_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(InputError, match="these are labels"):
        open_inputs(str(tmp_path / "a-labels-idx1-ubyte"), [MNIST])


@pytest.fixture
def planes(pixels: Any) -> Any:
    return pixels(5, 3, 32, 32)


CLASSES = [3, 8, 8, 0, 6]


def write_binary(path: Path, planes: Any, classes: list[int]) -> None:
    rows = np.concatenate([np.array(classes, np.uint8)[:, None], planes.reshape(-1, 3072)], 1)
    path.write_bytes(rows.tobytes())


def test_the_binary_folder_is_read_in_order(tmp_path: Path, planes: Any) -> None:
    for number in (2, 1):
        write_binary(tmp_path / f"data_batch_{number}.bin", planes[::number], CLASSES[::number])
    write_binary(tmp_path / "test_batch.bin", planes[:1], CLASSES[:1])
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    train = open_inputs(str(tmp_path), [CIFAR], split="train")
    np.testing.assert_array_equal(all_of(train), np.concatenate([planes, planes[::2]]))
    assert train.labels == (*CLASSES, *CLASSES[::2])
    assert len(open_inputs(str(tmp_path), [CIFAR])) == 9
    assert open_inputs(str(tmp_path), [CIFAR], split="test").labels == (3,)


def test_a_batch_that_is_missing_from_the_folder_is_named(tmp_path: Path, planes: Any) -> None:
    for number in (1, 2, 4, 5):
        write_binary(tmp_path / f"data_batch_{number}.bin", planes, CLASSES)
    notes = open_inputs(str(tmp_path), [CIFAR], split="train").notes
    assert [note for note in notes if "data_batch_3.bin" in note and "no " in note]
    write_binary(tmp_path / "data_batch_3.bin", planes, CLASSES)
    write_binary(tmp_path / "test_batch.bin", planes, CLASSES)
    for split in ("train", "test"):
        found = open_inputs(str(tmp_path), [CIFAR], split=split)  # type: ignore[arg-type]
        assert not any("batches: no" in note for note in found.notes)


def test_the_folder_of_a_data_set_is_no_class(tmp_path: Path, planes: Any) -> None:
    inner = tmp_path / "given" / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    write_binary(inner / "test_batch.bin", planes[:1], [7])
    found = open_inputs(str(inner.parent), [CIFAR])
    assert found.labels == (7,)
    assert not any("class folders" in note for note in found.notes)


@pytest.mark.parametrize("size", [0, 100, 3073 * 2 + 1])
def test_a_binary_batch_of_odd_size_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "test_batch.bin").write_bytes(bytes(size))
    with pytest.raises(InputError, match="not records of 3073"):
        open_inputs(str(tmp_path / "test_batch.bin"), [CIFAR])


def test_cifar_100_records_are_not_taken_for_cifar_10(tmp_path: Path, planes: Any) -> None:
    write_binary(tmp_path / "test_batch.bin", planes, [3, 99, 1, 1, 1])
    with pytest.raises(InputError, match="label 99"):
        open_inputs(str(tmp_path / "test_batch.bin"), [CIFAR])


def string_2(text: bytes) -> bytes:
    """A string as Python 2's pickle wrote it."""
    if len(text) < 256:
        return b"U" + bytes([len(text)]) + text
    return b"T" + struct.pack("<i", len(text)) + text


def python_2_batch(planes: Any, classes: list[int]) -> bytes:
    """What CIFAR-10's own data_batch files hold: a dictionary, by Python 2, protocol 2."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K"
        + bytes([len(planes)])
        + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        + b"J\xff\xff\xff\xffK\x00tb\x89"
        + string_2(planes.tobytes())
        + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in classes) + b"e"
    names = b"](" + b"".join(string_2(b"cat_s_%d.png" % number) for number in classes) + b"e"
    pairs = [(b"data", array), (b"labels", labels), (b"batch_label", string_2(b"testing batch"))]
    body = b"".join(string_2(key) + value for key, value in [*pairs, (b"filenames", names)])
    return b"\x80\x02}(" + body + b"u."


def python_3_batch(
    planes: Any, classes: list[int], protocol: int, order: Literal["C", "F"] = "C"
) -> bytes:
    rows = np.array(planes.reshape(-1, 3072), order=order)
    names = [f"cat_{number}.png".encode() for number in classes]
    return pickle.dumps(
        {b"labels": classes, b"batch_label": b"test", b"data": rows, b"filenames": names},
        protocol=protocol,
    )


@pytest.mark.parametrize("writer", ["python 2", 2, 3, 4, 5])
def test_python_batches_are_read_without_unpickling(
    tmp_path: Path, planes: Any, writer: Any
) -> None:
    data = (
        python_2_batch(planes, CLASSES)
        if writer == "python 2"
        else python_3_batch(planes, CLASSES, writer)
    )
    assert len(pickle.loads(data, encoding="bytes")[b"labels"]) == 5
    (tmp_path / "data_batch_1").write_bytes(data)
    (tmp_path / "batches.meta").write_bytes(b"")
    inputs = open_inputs(str(tmp_path), [CIFAR], split="train")
    np.testing.assert_array_equal(all_of(inputs), planes)
    assert inputs.labels == tuple(CLASSES)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_python_batches_stored_by_columns_have_the_same_pixels(
    tmp_path: Path, planes: Any, protocol: int
) -> None:
    batch = tmp_path / "test_batch"
    batch.write_bytes(python_3_batch(planes, CLASSES, protocol, order="F"))
    np.testing.assert_array_equal(all_of(open_inputs(str(batch), [CIFAR])), planes)


class Hostile:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_a_hostile_batch_is_refused_and_not_executed(
    tmp_path: Path, planes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good = python_3_batch(planes, CLASSES, 2)
    for data in (pickle.dumps(Hostile()), b"", b"\x80\x02}.", good[:5000], b"\xff" * 99):
        (tmp_path / "test_batch").write_bytes(data)
        with pytest.raises(InputError) as raised:
            open_inputs(str(tmp_path / "test_batch"), [CIFAR])
        assert raised.value.where == str(tmp_path / "test_batch")
    assert capsys.readouterr().out == ""
