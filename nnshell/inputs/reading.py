"""What reading a file has in common: errors that name it, and remarks made once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nnshell.support.errors import InputError

_DAMAGED = "it is cut off or damaged"  # where a library says nothing, as at an early end


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Turns whatever a broken file makes a library raise into an InputError that names the file.

    numpy, zipfile, zlib, tokenize, Pillow's decoders: a hostile file makes them raise anything.
    """
    try:
        with _no_remarks():
            yield
    except InputError as error:
        if error.where:
            raise
        raise InputError(error.message, where=name, hint=error.hint) from error
    except OSError as error:
        reason = error.strerror or str(error) or _DAMAGED
        raise InputError(f"cannot read the {what}: {reason}", where=name) from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or _DAMAGED
        raise InputError(f"cannot read the {what}: {reason}", where=name) from error


@contextmanager
def _no_remarks() -> Iterator[None]:
    """Python's warnings about odd spellings in a file, and those of libraries, are nobody's.

    What somebody has made an error of (images of suspicious size) stays one.
    """
    errors = [
        entry for entry in warnings.filters if entry[0] == "error" and entry[2] is not Warning
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, _, category, *_ in errors:
            warnings.simplefilter("error", category)
        yield


class Caution(str):
    """A note about something that is probably not meant."""

    __slots__ = ()


class Standing(str):
    """A note on how samples are laid out, news only the first time; ``about`` tells two apart."""

    about: str

    def __new__(cls, text: str, about: str) -> Standing:
        note = super().__new__(cls, text)
        note.about = about
        return note


def remark(notes: list[str], text: str) -> None:
    """Add a note, once."""
    if text not in notes:
        notes.append(text)
