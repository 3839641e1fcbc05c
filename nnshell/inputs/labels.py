"""Labels of samples: from file names (``cat_3.png`` is 3), class folders, or a file of labels."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nnshell.support.errors import InputError
from nnshell.support.files import read_text

Label = int | None

_NUMBER_AT_END = re.compile(r"_(\d{1,9})$")
_NAME_AND_LABEL = re.compile(r"(?:(.*)[\s,;])?\s*(\S*?)")  # the label is the last word
_SHOWN_CLASSES = 12
MAX_JSON_BYTES = 64 * 1024 * 1024


def name_label(path: str) -> Label:
    """The number after the last underscore of a file name, or None."""
    match = _NUMBER_AT_END.search(os.path.splitext(os.path.basename(path))[0])
    return int(match[1]) if match else None


def file_labels(
    paths: Sequence[str], root: str, *, folders_first: bool
) -> tuple[tuple[Label, ...], str]:
    """Labels of files under ``root``, and a note on where they come from when it is not obvious.

    When every file lies in a sub-folder these can be classes: numbers when all are named by
    numbers, else their place in sorted order. File names decide instead when each ends in ``_N``
    and, with ``folders_first``, some N repeats within a folder: a running number would not.
    """
    numbers = tuple(name_label(path) for path in paths)
    folders = [_class_folder(path, os.path.join(root, "")) for path in paths]
    if not paths or not all(folders):
        return numbers, ""
    if None not in numbers and (not folders_first or _repeats(folders, numbers)):
        return numbers, ""
    classes = _class_numbers(sorted(set(folders)))
    shown = [f"{name}={number}" for name, number in classes.items()][:_SHOWN_CLASSES]
    more = ", ..." if len(classes) > _SHOWN_CLASSES else ""
    note = f"labels are class folders: {', '.join(shown)}{more}"
    return tuple(classes[folder] for folder in folders), note


def _class_folder(path: str, start: str) -> str:
    """First folder below the root (``start``), empty for a file in the root itself."""
    folder, separator, _ = path.removeprefix(start).partition(os.sep)
    return folder if separator else ""


def _repeats(folders: Sequence[str], numbers: Sequence[Label]) -> bool:
    return max(Counter(zip(folders, numbers, strict=True)).values()) > 1


def _class_numbers(names: Sequence[str]) -> dict[str, int]:
    if all(name.isascii() and name.isdigit() and len(name) <= 9 for name in names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: place for place, name in enumerate(names)}


def read_labels(path: str, names: Sequence[str]) -> tuple[int, ...]:
    """Labels from a file: one for each sample in their order, or one for each sample name.

    JSON: a list, or an object by name. Text: a line for each label, with or without the name before
    it (``cat.png 3`` or ``cat.png,3``); empty lines and lines that begin with # do not count. A
    name may be a sample's whole name, its file name, or that without its ending.
    """
    try:
        text = read_text(path, MAX_JSON_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the labels: {error.strerror}", where=path) from error
    except ValueError as error:
        raise InputError(f"the labels are not text: {error}", where=path) from error
    content = _from_json(text, path) if text.lstrip()[:1] in ("[", "{") else _lines(text, path)
    if isinstance(content, list):
        if len(content) != len(names):
            raise InputError(f"{len(content)} labels for {len(names)} samples", where=path)
        results = content
    else:
        results = [_look_up(content, name, path) for name in names]
    return tuple(_whole_number(value, path) for value in results)


def _from_json(text: str, path: str) -> list[Any] | dict[str, Any]:
    try:
        content: list[Any] | dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the labels are not JSON: {error}", where=path) from error
    return content


def _lines(text: str, path: str) -> list[str] | dict[str, str]:
    """The labels of a text file, by name where it has names."""
    plain: list[str] = []
    named: dict[str, str] = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        name, label = _NAME_AND_LABEL.fullmatch(words).groups()  # type: ignore[union-attr]
        if not label.isascii() or not label.isdigit():
            raise InputError(
                f"line {number}: {label[:40]!r} is not a whole number",
                where=path,
                hint="write NAME LABEL, or LABEL alone, in each line",
            )
        if name:
            named[name.strip(" \t,;").strip('"')] = label
        else:
            plain.append(label)
    if named and plain:
        raise InputError("some lines have names and some have not", where=path)
    return named or plain


def _look_up(content: dict[str, Any], name: str, path: str) -> Any:
    base = os.path.basename(name)
    for key in (name, base, os.path.splitext(base)[0]):
        if key in content:
            return content[key]
    raise InputError(f"no label for {name}", where=path)


def _whole_number(value: Any, path: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if type(value) is not int:
        raise InputError(f"label {str(value)[:40]!r} is not a whole number", where=path)
    return value
