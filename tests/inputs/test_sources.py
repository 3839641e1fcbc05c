"""Which files a pattern means, and which labels their names and folders give."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell.inputs.input_set import open_inputs
from nnshell.inputs.labels import name_label, read_labels
from nnshell.inputs.layout import InputSpec
from nnshell.support.errors import InputError


def names(pattern: str | list[str], spec: InputSpec, root: Path) -> list[str]:
    return [str(Path(name).relative_to(root)) for name in open_inputs(pattern, [spec]).names]


def test_a_glob_is_sorted(tmp_path: Path, write_images: Any, rgb: InputSpec) -> None:
    write_images(["c.png", "a.png", "b10.png", "b9.png"])
    found = names(str(tmp_path / "*"), rgb, tmp_path)
    assert found == ["a.png", "b10.png", "b9.png", "c.png"]
    assert names(str(tmp_path / "b*.png"), rgb, tmp_path) == ["b10.png", "b9.png"]


def test_a_folder_is_read_with_all_below_it(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["z.png", "sub/b.png", "sub/deep/a.png", ".hidden/x.png", "sub/._b.png"])
    expected = ["sub/b.png", "sub/deep/a.png", "z.png"]
    assert names(str(tmp_path), rgb, tmp_path) == expected
    assert names(str(tmp_path) + "/", rgb, tmp_path) == expected
    assert sorted(names(str(tmp_path / "**"), rgb, tmp_path)) == expected
    assert names(str(tmp_path / "**" / "*.png"), rgb, tmp_path) == expected


def test_patterns_keep_the_order_they_are_given_in(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a.png", "b.png"])
    patterns = [str(tmp_path / "b.png"), str(tmp_path / "a*")]
    assert names(patterns, rgb, tmp_path) == ["b.png", "a.png"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["img[1].png", "img1.png"])
    assert names(str(tmp_path / "img[1].png"), rgb, tmp_path) == ["img[1].png"]


def test_relative_paths_and_the_home_folder(
    tmp_path: Path, write_images: Any, rgb: InputSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(["a.png"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_inputs("*.png", [rgb]).names == ("a.png",)
    assert open_inputs(".", [rgb]).names == ("./a.png",)
    assert open_inputs("~/a.png", [rgb]).names == (str(tmp_path / "a.png"),)


def test_files_that_cannot_be_inputs_are_left_out_with_a_note(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["a.png"])
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "README").write_text("")
    np.savez(tmp_path / "acts.npz", np.zeros(3))
    for pattern in (str(tmp_path), str(tmp_path / "*")):
        inputs = open_inputs(pattern, [rgb])
        assert len(inputs) == 1
        assert "left out" in inputs.notes[0]
        assert "1 .txt" in inputs.notes[0]
        assert "1 .npz" in inputs.notes[0]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.jpg", r"no file matches .*holds 2 \.png, 1 \.txt, 1 folder"),
        ("*.txt", r"no images or arrays .*give \.png"),
        ("empty", r"no images or arrays .*holds nothing"),
        ("empty/*", r"no file matches .*holds nothing"),
        ("notes.txt", r"unknown kind of input file .*\.png"),
        ("img.png", r"no such file or folder .*did you mean img[12]\.png"),
        ("nowhere/*.png", r"there is no folder"),
        ("emty/*.png", r"did you mean empty"),
        ("img1.png/a.png", r"no such file"),
        ("", r"no such file"),
        ("a" * 5000, r"too long"),
        ("a\0b.png", r"null"),
        ("a\0b*/*.png", r"null"),
        ("pipe.png", r"not a regular file"),
    ],
)
def test_finding_nothing_says_what_there_is(
    tmp_path: Path, write_images: Any, rgb: InputSpec, pattern: str, message: str
) -> None:
    write_images(["img1.png", "img2.png"])
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    if pattern == "pipe.png":
        os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=message):
        open_inputs(os.path.join(tmp_path, pattern) if pattern else "", [rgb])


def test_no_pattern_at_all_is_an_error(rgb: InputSpec) -> None:
    with pytest.raises(InputError, match="no input files"):
        open_inputs([], [rgb])


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_what_must_not_be_read_is_named(tmp_path: Path, write_images: Any, rgb: InputSpec) -> None:
    write_images(["a.png", "sub/b.png"])
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        list(open_inputs(str(tmp_path / "a.png"), [rgb]).batches(1))
    (tmp_path / "sub").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        open_inputs(str(tmp_path), [rgb])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("img000_4.ppm", 4),
        ("a/b_7/c_012.png", 12),
        ("x.y_3.png", 3),
        ("a_3b.png", None),
        ("_3.png", 3),
        ("a-3.png", None),
        ("3.png", None),
        ("a_.png", None),
        ("a_1234567890.png", None),
    ],
)
def test_the_number_behind_the_last_underscore_is_the_label(name: str, label: int | None) -> None:
    assert name_label(name) == label


def labels(pattern: Path | str, spec: InputSpec) -> tuple[int | None, ...]:
    return open_inputs(str(pattern), [spec]).labels


def test_class_folders_count_in_sorted_order(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["dog/1.png", "cat/1.png", "cat/2.png", "eel/sub/1.png"])
    expected = (0, 0, 1, 2)
    for pattern in (tmp_path, f"{tmp_path}/", tmp_path / "*", tmp_path / "**"):
        inputs = open_inputs(str(pattern), [rgb])
        assert inputs.labels == expected
        assert "labels are class folders: cat=0, dog=1, eel=2" in inputs.notes
    assert labels(tmp_path / "*" / "*.png", rgb) == (0, 0, 1)


def test_class_folders_named_by_numbers_are_these_numbers(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["10/a.png", "2/b.png", "03/c.png"])
    assert labels(tmp_path, rgb) == (3, 10, 2)


def test_running_numbers_in_class_folders_are_no_labels(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["cat/cat_1.png", "cat/cat_2.png", "dog/dog_1.png", "dog/dog_2.png"])
    assert labels(tmp_path, rgb) == (0, 0, 1, 1)


def test_repeated_numbers_are_labels_even_in_folders(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["train/a_7.png", "train/b_7.png", "val/a_3.png"])
    assert labels(tmp_path, rgb) == (7, 7, 3)


def test_a_glob_of_files_takes_the_labels_in_their_names(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["one/a_7.png", "two/b_3.png"])
    assert labels(tmp_path / "*" / "*.png", rgb) == (7, 3)


def test_files_beside_class_folders_make_them_plain_folders(
    tmp_path: Path, write_images: Any, rgb: InputSpec
) -> None:
    write_images(["cat/a.png", "b.png"])
    assert labels(tmp_path, rgb) == (None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a.png": 3, "sub/b.png": "4"}', (3, 4)),
        ('{"a": 3, "b": 4}', (3, 4)),
        ("[1, 2]", (1, 2)),
        ("[1]", "1 labels for 2 samples"),
        ('{"a": 3}', "no label for"),
        ('{"a": 3, "b": "x"}', "'x' is not a whole number"),
        ('{"a": 3, "b": 1.5}', "not a whole number"),
        ('{"a": 3, "b": true}', "not a whole number"),
        ("3", "1 labels for 2 samples"),
        ("# labels\n3\n\n4\n", (3, 4)),
        ("b.png 4\r\nsub/a.png\t3\r\n", (3, 4)),
        ("b,4\na,3", (3, 4)),
        ('"my b", 4\na, 3', "no label for sub/b.png"),
        ("a 3\n4", "some lines have names"),
        ("a 3\nb cat", "line 2: 'cat' is not a whole number"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\0", "is not a whole number"),
    ],
)
def test_labels_from_a_file(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "labels.json").write_text(text)
    path, samples = str(tmp_path / "labels.json"), ["sub/a.png", "sub/b.png"]
    if isinstance(expected, tuple):
        assert read_labels(path, samples) == expected
    else:
        with pytest.raises(InputError, match=expected):
            read_labels(path, samples)


def test_a_missing_label_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file.*labels\.json"):
        read_labels(str(tmp_path / "labels.json"), [])
