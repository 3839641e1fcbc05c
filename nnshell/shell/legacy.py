"""Old and copied spellings that still work, each with a warning.

Web pages turn hyphens into dashes, notes on the web spell some commands wrongly, and scripts of
older NNTool versions use forms that newer ones have not; all of these run here. Anything else that
is unknown stays an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from nnshell.shell.lines import Word
from nnshell.support.settings import current_names, why_without_effect

Words = tuple[Word, ...]

_DASHES = "\u2012\u2013\u2014\u2212"  # figure dash, en dash, em dash, minus sign
_DASHED = re.compile(rf"(?=-*[{_DASHES}])[-{_DASHES}]+(?P<name>[^-{_DASHES}].*)")
_NUMBER = re.compile(r"\d*\.?\d+(?:[eE][-+]?\d+)?")

_COMMANDS = {
    "fusion": "fusions",
    "validation": "validate",
    "accuracy": "validate",
    "histogram": "weights",
    "load": "open",
    "version": "doctor",
}
_SCHEMES = frozenset({"scaled", "sq8", "pow2", "symmetric", "float"})
_NORMS = frozenset({"-N", "--norm_func", "--norm-func", "input_norm_func"})


def modernize(words: Words) -> tuple[Words, list[str]]:
    """The words as they are spelled today, and a warning for each that was not."""
    changed = tuple(_modern_option(word) for word in words)
    if changed and changed[0].text in _COMMANDS:
        changed = (_spelled(_COMMANDS[changed[0].text]), *changed[1:])
    warnings = [
        f"'{old.raw}' is read as '{new.text}'"
        for old, new in zip(words, changed, strict=True)
        if old is not new
    ]
    rewrite = _FORMS.get(changed[0].text) if changed else None
    if rewrite is not None:
        changed, warning = rewrite(changed)
        warnings += [warning] if warning else []
    return changed, warnings + _idle_setting(changed) + _shifts(changed)


def _modern_option(word: Word) -> Word:
    match = _DASHED.fullmatch(word.raw) if word.plain else None
    if match is None:
        return word
    name = match["name"]
    short = len(name.partition("=")[0]) == 1 or name[0].isdigit()
    return _spelled(f"-{name}" if short else f"--{name}")


def _spelled(text: str) -> Word:
    return Word(text, text)


def _line(words: Words) -> str:
    return " ".join(word.text for word in words)


def _qtune(words: Words) -> tuple[Words, str]:
    """`qtune STEPS ...` of NNTool before 4.0: a scheme, an option, or double precision."""
    if len(words) < 3 or any(word.text.startswith("--") for word in words[1:3]):
        return words, ""
    selector, form, rest = words[1], words[2].text.lower(), words[3:]
    if form == "dp" and not rest:
        reason = "the kernels accumulate in 32 bits anyway"
        return (), f"'{_line(words)}' does nothing here: {reason}"
    if form in _SCHEMES and len(rest) <= 1:
        values = [f"scheme={form}", *(f"float_type={word.text}" for word in rest)]
    elif form == "option" and rest and rest[0].text.startswith("--"):
        values = _options(rest)
    else:
        return words, ""
    today = (words[0], _spelled("--step"), selector, *map(_spelled, values))
    return today, f"'{_line(words)}' is read as '{_line(today)}'"


def _options(words: Words) -> list[str]:
    """`--hwc --weight_bits 4` as `hwc=true weight_bits=4`."""
    values: list[str] = []
    for word in words:
        if word.text.startswith("--"):
            values.append(f"{word.text[2:].replace('-', '_')}=true")
        elif values:
            values[-1] = values[-1].removesuffix("true") + word.text
    return values


def _weight_equalization(words: Words) -> tuple[Words, str]:
    """`weight_equalization 0.001`: the threshold without its option."""
    if len(words) != 2 or not _NUMBER.fullmatch(words[1].text):
        return words, ""
    today = (words[0], _spelled("--threshold"), words[1])
    return today, f"'{_line(words)}' is read as '{_line(today)}'"


def _set(words: Words) -> tuple[Words, str]:
    """Settings of older versions under the names, and with the values, that they have today."""
    if len(words) < 2:
        return words, ""
    name, names = words[1].text, current_names(words[1].text)
    if names != (name,):
        today = (words[0], _spelled(names[0]), *words[2:]) if len(names) == 1 else words
        return today, f"'set {name}' is read as 'set {' and '.join(names)}'"
    if name == "graph_warm_construct" and len(words) == 3:
        level = {"true": "1", "false": "0"}.get(words[2].text.lower())
        if level is not None:
            changed = (*words[:2], _spelled(level))
            return changed, f"'set {name} {words[2].text}' is read as '{_line(changed)}'"
    return words, ""


_FORMS: dict[str, Callable[[Words], tuple[Words, str]]] = {
    "qtune": _qtune,
    "weight_equalization": _weight_equalization,
    "set": _set,
}


def _idle_setting(words: Words) -> list[str]:
    if len(words) < 3 or words[0].text != "set":
        return []
    reason = why_without_effect(words[1].text, words[2].text)
    return [f"setting {words[1].text} does nothing here: {reason}"] if reason else []


def _shifts(words: Words) -> list[str]:
    """A word on norm functions that shift: NNTool's saw bytes, here they see real numbers."""
    norms = (b.text for a, b in pairwise(words) if a.text in _NORMS)
    if not any("<<" in norm or ">>" in norm for norm in norms):
        return []
    return [
        "in a norm function, a >> n is a/2**n rounded down and a << n is a*2**n, on real numbers"
    ]
