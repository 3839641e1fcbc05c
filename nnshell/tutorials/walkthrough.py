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
Blocks ```` ```ask ```` (``nnshell/tutorials/asking.py``) ask before the commands, or after them and
before what to look at is told. ``$(OUT)`` in text and commands is the folder that the walkthrough
writes to; a block ```` ```sample ```` after the summary names the model and the data that stand for
``$(MODEL)``, ``$(CALIBRATION)``, ``$(TEST)`` and ``$(NORM)`` unless somebody brings their own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files

from nnshell.support.errors import UsageError
from nnshell.support.files import read_text
from nnshell.tutorials.asking import Question, parse_question, translated_question
from nnshell.tutorials.checks import Check, parse_check

COMMANDS, CHECKS, QUOTATION, QUESTION, SAMPLE = "nnshell", "check", "text", "ask", "sample"
VARIABLES = ("MODEL", "CALIBRATION", "TEST", "NORM")
_FENCE = re.compile(r"```(?P<kind>.*)")
_NAMES = (  # in the order in which they are best taken; those of courses come last
    *("lenet", "mistakes", "questions", "slow"),
    *("tp4", "homework", "vae", "resnet18", "resnet50"),
)
_COMMANDS_STAND_HERE = "***"  # in a translation, which has no commands of its own
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
    before: tuple[Question, ...] = ()  # asked before the commands
    after: tuple[Question, ...] = ()  # asked when they have run


@dataclass(frozen=True, slots=True)
class Walkthrough:
    """A tutorial; ``name`` is what `tutorial` takes: a name, or the path of a file."""

    name: str
    title: str
    summary: str
    steps: tuple[Step, ...]
    sample: Mapping[str, str] = field(default_factory=dict)  # what VARIABLES stand for
    language: str = ""
    own_data: bool = False  # what the texts say of the sample data does not hold then

    def written_to(self, folder: str) -> Walkthrough:
        """The same with ``$(OUT)`` and the data replaced: quoted where a line is a command."""
        values = {"OUT": folder, **self.sample}
        return replace(self, steps=tuple(_filled_in(step, values) for step in self.steps))

    def with_data(self, data: Mapping[str, str]) -> Walkthrough:
        """The same on other data; checks of numbers and names of the sample are left out.

        Raises UsageError when the walkthrough is about its own data only.
        """
        if not self.sample:
            raise UsageError(f"tutorial {self.name} has no place for other data")
        steps = tuple(
            replace(step, checks=tuple(check for check in step.checks if check.of_any_data))
            for step in self.steps
        )
        return replace(self, steps=steps, sample={**self.sample, **data}, own_data=True)


def names() -> tuple[str, ...]:
    """The walkthroughs that come with nnshell."""
    return _NAMES


def languages(name: str) -> tuple[str, ...]:
    """Languages other than English that there is a translation of a walkthrough in."""
    if name.endswith(_SUFFIX):
        return ()
    folder, ends = files("nnshell.tutorials"), re.compile(rf"{name}\.([a-z]+)\{_SUFFIX}")
    matches = (ends.fullmatch(entry.name) for entry in folder.iterdir())
    return tuple(sorted(match[1] for match in matches if match))


def load(name: str, language: str = "") -> Walkthrough:
    """A walkthrough by name, or from a file (.md); UsageError when there is none.

    ``language`` (fr, zh) takes the texts from a file beside it (tp4.fr.md).
    """
    if language in ("", "en"):
        return _load(name)
    if language not in languages(name):
        known = ", ".join(("en", *languages(name)))
        raise UsageError(f"tutorial {name} is not there in '{language}'", hint=f"it is in {known}")
    file = f"{name}.{language}{_SUFFIX}"
    text = (files("nnshell.tutorials") / file).read_text(encoding="utf-8")
    return translated(_load(name), text, file, language)


def _load(name: str) -> Walkthrough:
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
    kinds = [block.kind for block in head]
    if kinds not in (["title", "prose"], ["title", "prose", SAMPLE]):
        raise _malformed(name, 1, "it does not begin with '# Title' and a summary")
    if not starts:
        raise _malformed(name, head[-1].line, "it has no step ('## ...')")
    ends = [*starts[1:], len(blocks)]
    steps = [_step(blocks[a:b], name) for a, b in zip(starts, ends, strict=True)]
    sample = _sample(head[2], name) if len(head) > 2 else {}
    return Walkthrough(name, head[0].text, head[1].text, tuple(steps), sample)


def translated(base: Walkthrough, text: str, file: str, language: str) -> Walkthrough:
    """``base`` with the texts of a file that has no commands and checks, step by step.

    A line ``***`` stands where the commands are. Raises UsageError when parts do not fit.
    """
    blocks = list(_blocks(text, file))
    starts = [index for index, block in enumerate(blocks) if block.kind == "step"]
    if len(starts) != len(base.steps) or [b.kind for b in blocks[:2]] != ["title", "prose"]:
        raise _malformed(file, 1, f"it has not a title, a summary and {len(base.steps)} steps")
    ends = [*starts[1:], len(blocks)]
    steps = [
        _translated_step(step, blocks[a:b], file)
        for step, a, b in zip(base.steps, starts, ends, strict=True)
    ]
    return replace(
        base,
        title=blocks[0].text,
        summary=blocks[1].text,
        steps=tuple(steps),
        language=language,
    )


def _translated_step(step: Step, blocks: list[Block], file: str) -> Step:
    title, *parts = blocks
    before, after = ([QUESTION] * len(group) for group in (step.before, step.after))
    if [part.kind for part in parts] != ["prose", *before, COMMANDS, *after, "prose"]:
        raise _malformed(file, title.line, f"step '{title.text}' is not that of '{step.title}'")
    asked = [part for part in parts if part.kind == QUESTION]
    questions = [
        _question(block, file, partial(_in_other_words, base))
        for base, block in zip((*step.before, *step.after), asked, strict=True)
    ]
    cut = len(step.before)
    return replace(
        step,
        title=title.text,
        why=parts[0].text,
        look=parts[-1].text,
        before=tuple(questions[:cut]),
        after=tuple(questions[cut:]),
    )


def _in_other_words(base: Question, lines: list[str], _: int) -> Question:
    return translated_question(base, lines)


def _question(
    block: Block, name: str, reader: Callable[[list[str], int], Question] = parse_question
) -> Question:
    try:
        return reader(block.text.splitlines(), block.line)
    except UsageError as error:
        raise _malformed(name, block.line, error.message, error.hint) from None


def _sample(block: Block, name: str) -> dict[str, str]:
    """``NAME VALUE`` on a line each."""
    values = {}
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        variable, _, value = line.strip().partition(" ")
        if variable not in VARIABLES or not value:
            raise _malformed(name, number, f"a line is not {' or '.join(VARIABLES)} and a value")
        values[variable] = value.strip()
    return values


def _blocks(text: str, name: str) -> Iterator[Block]:
    """The file cut at headings and fences; a quotation stays in the prose around it."""
    lines = text.splitlines()
    prose: list[str] = []
    number = start = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.fullmatch(line.rstrip())
        if line.strip() == _COMMANDS_STAND_HERE:
            yield from _prose(prose, start)
            yield Block(COMMANDS, "", number + 1)
            number, prose = number + 1, []
            start = number
            continue
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
    if kind not in (COMMANDS, CHECKS, QUESTION, SAMPLE):
        known = f"{COMMANDS}, {CHECKS}, {QUESTION} or {QUOTATION}"
        raise _malformed(name, first + 1, f"a block is '{kind}', not {known}")
    return Block(kind, "\n".join(lines[first + 1 : end]), first + 2)


def _heading(line: str, number: int, name: str) -> Block:
    marks, _, title = line.partition(" ")
    if marks not in ("#", "##") or not title.strip():
        raise _malformed(name, number + 1, "a heading is '# Title' or '## Step'")
    return Block("title" if marks == "#" else "step", title.strip(), number + 1)


def _step(blocks: list[Block], name: str) -> Step:
    title, *parts = blocks
    asked = [block for block in parts if block.kind == QUESTION]
    kinds = [block.kind for block in parts if block.kind != QUESTION]
    if kinds != ["prose", COMMANDS, "prose", CHECKS] or parts[0].kind == QUESTION:
        expected = f"text, ```{COMMANDS}, text, ```{CHECKS}"
        result = ", ".join(kinds) or "nothing"
        raise _malformed(name, title.line, f"step '{title.text}' is not {expected} but {result}")
    why, commands, look, checks = (block for block in parts if block.kind != QUESTION)
    if any(block.line > look.line for block in asked):
        raise _malformed(name, look.line, "a question stands after what to look at")
    numbered = enumerate(commands.text.splitlines(), start=commands.line)
    lines = tuple(Line(text, number) for number, text in numbered if text.strip())
    if not lines:
        raise _malformed(name, commands.line, "a step without commands")
    early = tuple(_question(b, name) for b in asked if b.line < commands.line)
    late = tuple(_question(b, name) for b in asked if b.line > commands.line)
    return Step(
        title.text, why.text, lines, look.text, _checks(checks, name), title.line, early, late
    )


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


def _filled_in(step: Step, values: Mapping[str, str]) -> Step:
    def plain(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"$({name})", value)
        return text

    def command(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"$({name})", shlex.quote(value) if value else "''")
        return text

    return replace(
        step,
        why=plain(step.why),
        commands=tuple(Line(command(line.text), line.number) for line in step.commands),
        look=plain(step.look),
        checks=tuple(check.written_to(values["OUT"]) for check in step.checks),
    )
