"""Checked reading of JSON from strangers: types, sizes, depth, numbers and text.

Each function takes a value and the place it stands at (``recipe[3].options``) and raises
StateError naming that place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from nnshell.support.errors import StateError

MAX_DEPTH = 24  # a state nests 4 deep; options of future commands may nest more
MAX_TEXT = 100_000  # characters of one string; a typed command line is far shorter


def parse(text: str) -> Any:
    """JSON without duplicate keys, NaN or infinities; raises StateError."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise StateError("it nests too deeply") from None
    except ValueError as error:
        raise StateError(f"it is not JSON: {error}") from None
    check_plain(value)
    return value


def check_plain(root: Any) -> None:
    """Finite numbers, printable text and no more than MAX_DEPTH levels, anywhere in ``root``."""
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list | tuple):
                following.extend(value)
            else:
                _check_leaf(value)
        level = following
    if level:
        raise StateError(f"it nests more than {MAX_DEPTH} levels deep")


def _check_leaf(value: object) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise StateError(f"a text in it has {len(value)} characters")
        if any(character < " " and character not in "\t\n" for character in value):
            raise StateError(f"a text in it has a control character: {value[:40]!r}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise StateError(
                f"a state file cannot hold a text that is not valid Unicode: {value[:80]!r}",
                hint="give files and folders names in UTF-8",
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise StateError("a number in it is not finite")
    elif isinstance(value, int):
        if abs(value) >= 1 << 63:
            raise StateError("a whole number in it needs more than 64 bits")
    elif value is not None:
        raise StateError(f"a {type(value).__name__} is no JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def mapping(value: Any, place: str) -> dict[str, Any]:
    """The value, which must be an object; StateError names ``place``."""
    if not isinstance(value, dict):
        raise StateError(f"{place} is {kind(value)}, not an object")
    return value


def sequence(value: Any, place: str) -> list[Any]:
    """The value, which must be a list; StateError names ``place``."""
    if not isinstance(value, list):
        raise StateError(f"{place} is {kind(value)}, not a list")
    return value


def text(value: Any, place: str) -> str:
    """The value, which must be a text; StateError names ``place``."""
    if not isinstance(value, str):
        raise StateError(f"{place} is {kind(value)}, not a text")
    return value


def exact_keys(value: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    """Neither more nor fewer keys than ``keys``."""
    missing = [key for key in keys if key not in value]
    if missing:
        raise StateError(f"{place} has no '{missing[0]}'")
    unknown = sorted(set(value) - set(keys))
    if unknown:
        raise StateError(f"{place} has an unknown key '{unknown[0][:60]}'")


def kind(value: Any) -> str:
    """What a JSON value is, as a reader of the file would say."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "something else")
