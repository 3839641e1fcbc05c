"""What a tour says by itself, in the language of the walkthrough: one TOML file a language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_ENGLISH = {
    "step": "Step {number} of {count}: {title}",
    "type": "Type:",
    "keys": "Enter: run it | back | skip | again | quit",
    "keys_done": "Enter: next step | back | skip | again | quit",
    "keys_question": "type your answer | Enter: a hint, then the answer | back | skip | quit",
    "question": "Question: {text}",
    "next": "Next: {text}",
    "todo": "Still to do: {text} (Enter runs it)",
    "not_yet": "Not there yet: {reason}.",
    "checks_one": "(the check holds; Enter: next step)",
    "checks": "({count} checks hold; Enter: next step)",
    "done": "(Enter: next step)",
    "first": "This is the first step.",
    "last": "This was the last step of '{title}'.",
    "right": "Right.",
    "kept": "Kept.",
    "wrong": "No.",
    "large": "No: too large.",
    "small": "No: too small.",
    "hint": "Hint: {text}",
    "again": "Try again, or Enter tells the answer.",
    "told": "The answer: {text}",
    "own": "Kept; on the sample data it is {text}.",
    "unknown": "Kept; it cannot be judged here.",
}


@cache
def words(language: str) -> Mapping[str, str]:
    """The phrases of a language; those that its file lacks are English."""
    if not language:
        return _ENGLISH
    path = files("nnshell.tutorials") / f"words.{language}.toml"
    return {**_ENGLISH, **tomllib.loads(path.read_text(encoding="utf-8"))}
