"""The argument parser of every command: one-line errors and tolerant option spelling.

``--no_postprocess`` and ``--no-postprocess`` are the same option, in full or shortened. What starts
with "-" and a digit is a value (a step counted from the end), never an option.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from cmd2 import Cmd2ArgumentParser

from nnshell.support.errors import UsageError

_NEGATIVE = re.compile(r"-\.?\d.*")


class Parser(Cmd2ArgumentParser):
    """Parser of one command; ``example`` is a line that works, shown by help and tried by tests.

    ``checks`` refuse options that are well spelled but never work, whatever the graph: a line is
    refused before it runs, and `--check` finds it.
    """

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        if example:
            kwargs["epilog"] = f"Example: {example}"
        super().__init__(*args, **kwargs)
        self.example = example
        self.checks: list[Callable[[argparse.Namespace], object]] = []
        self._negative_number_matcher = _NEGATIVE

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        return super().parse_known_args(self._respelled(args or ()), namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        parsed, extra = self.parse_known_args(args, namespace)
        if extra:
            raise self._unexpected(extra)
        for check in self.checks:
            check(parsed)
        return parsed

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, where=self.prog, hint=f"`help {self.prog}` explains it")

    def _respelled(self, args: Iterable[str]) -> list[str]:
        words = list(args)
        end = words.index("--") if "--" in words else len(words)
        return [self._respell(word) for word in words[:end]] + words[end:]

    def _respell(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name in self._option_string_actions or " " in name:
            return word
        options = [o for o in self._option_string_actions if o.startswith("--")]
        results = [o for o in options if _same(o) == _same(name)]
        results = results or [o for o in options if _same(o).startswith(_same(name))]
        if len({id(self._option_string_actions[o]) for o in results}) > 1:
            raise UsageError(f"{name} could be {' or '.join(results)}", where=self.prog)
        return f"{results[0]}{equals}{value}" if results else word

    def _unexpected(self, extra: Sequence[str]) -> UsageError:
        word = extra[0]
        if not word.startswith("-") or len(word) == 1 or _NEGATIVE.fullmatch(word):
            hint = f"`help {self.prog}` shows what it takes; quote a value with blanks"
            return UsageError(f"unexpected argument '{word}'", where=self.prog, hint=hint)
        name = word.partition("=")[0]
        known = {_same(o): o for o in self._option_string_actions}
        near = difflib.get_close_matches(_same(name), known, n=2)
        if not name.startswith("--") and f"-{name}" in self._option_string_actions:
            near = [_same(f"-{name}")]
        hint = f"did you mean {' or '.join(known[n] for n in near)}?" if near else ""
        hint = hint or f"`help {self.prog}` lists its options"
        return UsageError(f"unknown option {name}", where=self.prog, hint=hint)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = None if action.choices is None else list(action.choices)
        if choices is None or value in choices:
            return
        names = [str(choice) for choice in choices]
        near = difflib.get_close_matches(str(value), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentError(action, f"'{value}' is not one of {', '.join(names)}{hint}")


def _same(option: str) -> str:
    return option.replace("_", "-")


class _NotHere(argparse.Action):
    """An option of NNTool's that nnshell does not have; ``const`` says why."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        message = f"option {option_string} is not part of nnshell"
        raise UsageError(message, where=parser.prog, hint=self.const)


def not_here(parser: Parser, reason: str, *options: str, nargs: int = 0) -> None:
    """Answer NNTool's options that are not had with the reason instead of "unknown option"."""
    for option in options:
        parser.add_argument(
            option,
            action=_NotHere,
            nargs=nargs,
            const=reason,
            dest="_",
            default=None,
            help=argparse.SUPPRESS,
        )
