"""Old and copied spellings that still work, each with a warning.

Web pages turn hyphens into dashes, and notes on the web spell some commands wrongly; scripts made
from them run here. Anything else that is unknown stays an error.
"""

from __future__ import annotations

import re

from nnshell.shell.lines import Word
from nnshell.support.settings import why_without_effect

_DASHES = "\u2012\u2013\u2014\u2212"  # figure dash, en dash, em dash, minus sign
_DASHED = re.compile(rf"(?=-*[{_DASHES}])[-{_DASHES}]+(?P<name>[^-{_DASHES}].*)")

_COMMANDS = {"fusion": "fusions"}


def modernize(words: tuple[Word, ...]) -> tuple[tuple[Word, ...], list[str]]:
    """The words as they are spelled today, and a warning for each that was not."""
    changed = tuple(_modern_option(word) for word in words)
    if changed and changed[0].text in _COMMANDS:
        changed = (_spelled(_COMMANDS[changed[0].text]), *changed[1:])
    warnings = [
        f"'{old.raw}' is read as '{new.text}'"
        for old, new in zip(words, changed, strict=True)
        if old is not new
    ]
    return changed, warnings + _idle_setting(changed)


def _modern_option(word: Word) -> Word:
    match = _DASHED.fullmatch(word.raw) if word.plain else None
    if match is None:
        return word
    name = match["name"]
    short = len(name.partition("=")[0]) == 1 or name[0].isdigit()
    return _spelled(f"-{name}" if short else f"--{name}")


def _spelled(text: str) -> Word:
    return Word(text, text)


def _idle_setting(words: tuple[Word, ...]) -> list[str]:
    if len(words) < 3 or words[0].text != "set":
        return []
    reason = why_without_effect(words[1].text, words[2].text)
    return [f"setting {words[1].text} does nothing here: {reason}"] if reason else []
