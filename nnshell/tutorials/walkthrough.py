"""Walkthroughs: Markdown files whose steps hold commands to run and checks of what came out.

    # Title                     once, with a summary below it

    ## What this step is about
    Why it is needed.           text before the commands

    ```nnshell
    show                        the lines to type, as in a script
    ```

    What to look at.            text after the commands, read when they have run

    ```check
    node input_1 exists         one check on a line (nnshell/tutorials/checks.py lists them)
    ```

Every step has all four parts. ```` ```text ```` blocks are quotations and may stand in any text.
``$(OUT)`` in text and commands is the folder that the walkthrough writes to.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files

from nnshell.support.errors import UsageError
from nnshell.support.files import read_text
from nnshell.tutorials.checks import Check, parse_check

COMMANDS, CHECKS, QUOTATION = "nnshell", "check", "text"
_FENCE = re.compile(r"```(?P<kind>.*)")
_NAMES = ("lenet", "mistakes", "questions", "slow")  # in the order in which they are best taken
_FOLDER = "$(OUT)"
_SUFFIX = ".md"


@dataclass(frozen=True, slots=True)
class Block:
    """A run of lines of one kind; ``line`` is the number of its first line in the file."""

    kind: str  # "prose", "title", "step", or what stands after ```
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Line:
    """A command, and its line in the file."""

    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step: why, what to type, what to look at, and what must hold then."""

    title: str
    why: str
    commands: tuple[Line, ...]
    look: str
    checks: tuple[Check, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Walkthrough:
    """A tutorial; ``name`` is what `tutorial` takes: a name, or the path of a file."""

    name: str
    title: str
    summary: str
    steps: tuple[Step, ...]

    def written_to(self, folder: str) -> Walkthrough:
        """The same with ``$(OUT)`` replaced: quoted where a line is a command."""
        return replace(self, steps=tuple(_written_to(step, folder) for step in self.steps))


def names() -> tuple[str, ...]:
    """The walkthroughs that come with nnshell."""
    return _NAMES


def load(name: str) -> Walkthrough:
    """A walkthrough by name, or from a file (.md); UsageError when there is none."""
    if name.endswith(_SUFFIX):
        return parse(_read(name), name)
    if name not in _NAMES:
        hint = f"tutorials: {', '.join(_NAMES)}, or the path of a file ({_SUFFIX})"
        raise UsageError(f"there is no tutorial '{name}'", hint=hint)
    path = files("nnshell.tutorials") / file_of(name)
    return parse(path.read_text(encoding="utf-8"), name)


def file_of(name: str) -> str:
    """The file of a walkthrough, as messages name it."""
    return name if name.endswith(_SUFFIX) else f"{name}{_SUFFIX}"


def _read(path: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise UsageError(f"cannot read the tutorial {path}: {error.strerror}") from None
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"the tutorial {path} is not UTF-8 text") from None


def parse(text: str, name: str) -> Walkthrough:
    """Read a walkthrough; UsageError names the line that is not as it should be."""
    blocks = list(_blocks(text, name))
    starts = [index for index, block in enumerate(blocks) if block.kind == "step"]
    head = blocks[: starts[0]] if starts else blocks
    if [block.kind for block in head] != ["title", "prose"]:
        raise _malformed(name, 1, "it does not begin with '# Title' and a summary")
    if not starts:
        raise _malformed(name, head[-1].line, "it has no step ('## ...')")
    ends = [*starts[1:], len(blocks)]
    steps = [_step(blocks[a:b], name) for a, b in zip(starts, ends, strict=True)]
    return Walkthrough(name, head[0].text, head[1].text, tuple(steps))


def _blocks(text: str, name: str) -> Iterator[Block]:
    """The file cut at headings and fences; a quotation stays in the prose around it."""
    lines = text.splitlines()
    prose: list[str] = []
    number = start = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.fullmatch(line.rstrip())
        if fence or line.startswith("#"):
            end = _end_of_fence(lines, number, name) if fence else number
            if fence and fence["kind"] == QUOTATION:
                prose += lines[number : end + 1]
                number = end + 1
                continue
            yield from _prose(prose, start)
            yield _fenced(lines, number, end, name) if fence else _heading(line, number, name)
            number, prose = end + 1, []
            start = number
            continue
        prose.append(line)
        number += 1
    yield from _prose(prose, start)


def _prose(lines: list[str], start: int) -> Iterator[Block]:
    text = "\n".join(lines).strip()
    if text:
        yield Block("prose", text, start + 1)


def _end_of_fence(lines: list[str], first: int, name: str) -> int:
    for number in range(first + 1, len(lines)):
        if lines[number].rstrip() == "```":
            return number
    raise _malformed(name, first + 1, "a block is never closed by ```")


def _fenced(lines: list[str], first: int, end: int, name: str) -> Block:
    kind = lines[first].strip().removeprefix("```")
    if kind not in (COMMANDS, CHECKS):
        known = f"{COMMANDS}, {CHECKS} or {QUOTATION}"
        raise _malformed(name, first + 1, f"a block is '{kind}', not {known}")
    return Block(kind, "\n".join(lines[first + 1 : end]), first + 2)


def _heading(line: str, number: int, name: str) -> Block:
    marks, _, title = line.partition(" ")
    if marks not in ("#", "##") or not title.strip():
        raise _malformed(name, number + 1, "a heading is '# Title' or '## Step'")
    return Block("title" if marks == "#" else "step", title.strip(), number + 1)


def _step(blocks: list[Block], name: str) -> Step:
    title, *parts = blocks
    kinds = [block.kind for block in parts]
    if kinds != ["prose", COMMANDS, "prose", CHECKS]:
        expected = f"text, ```{COMMANDS}, text, ```{CHECKS}"
        result = ", ".join(kinds) or "nothing"
        raise _malformed(name, title.line, f"step '{title.text}' is not {expected} but {result}")
    why, commands, look, checks = parts
    numbered = enumerate(commands.text.splitlines(), start=commands.line)
    lines = tuple(Line(text, number) for number, text in numbered if text.strip())
    if not lines:
        raise _malformed(name, commands.line, "a step without commands")
    return Step(title.text, why.text, lines, look.text, _checks(checks, name), title.line)


def _checks(block: Block, name: str) -> tuple[Check, ...]:
    results = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if line.strip() and not line.startswith("#"):
            try:
                results.append(parse_check(line.strip()))
            except UsageError as error:
                raise _malformed(name, number, error.message, error.hint) from None
    if not results:
        raise _malformed(name, block.line, "a step without checks")
    return tuple(results)


def _malformed(name: str, line: int, what: str, hint: str = "") -> UsageError:
    where = f"{file_of(name)}:{line}"
    return UsageError(f"the tutorial is malformed: {what}", where=where, hint=hint)


def _written_to(step: Step, folder: str) -> Step:
    quoted = shlex.quote(folder)
    return replace(
        step,
        why=step.why.replace(_FOLDER, folder),
        commands=tuple(
            Line(line.text.replace(_FOLDER, quoted), line.number) for line in step.commands
        ),
        look=step.look.replace(_FOLDER, folder),
        checks=tuple(check.written_to(folder) for check in step.checks),
    )
