"""Taking a walkthrough: step by step with a person at the prompt, or all of it without one.

A step is *open* while its commands wait to be run, and *done* when its checks hold; then there is
something to read, and Enter goes on. Any other command may be typed at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from nnshell.support.errors import NNShellError
from nnshell.tutorials.checks import Check, Evidence
from nnshell.tutorials.walkthrough import Line, Step, Walkthrough, file_of

Kind = Literal["title", "prose", "command", "note"]

KEYS = "Enter: run it | back | skip | again | quit"


class Host(Protocol):
    """Where a tour takes place: the shell."""

    def say(self, text: str, kind: Kind) -> None:
        """Show a part of the walkthrough; prose is Markdown."""

    def words(self, line: str) -> tuple[str, ...]:
        """The words of a command line; none when it is blank or a comment."""

    def run(self, line: Line, *, quiet: bool = False) -> bool:
        """Run a command line; whether it succeeded."""

    def forget_output(self) -> None:
        """Start collecting what commands print afresh."""

    def evidence(self) -> Evidence:
        """The session now, and what was printed since ``forget_output``."""

    def remember(self) -> Callable[[], None]:
        """A function that brings the session back to what it is now."""


class Tour:
    """A walkthrough being taken by a person."""

    def __init__(self, walkthrough: Walkthrough, host: Host) -> None:
        self.walkthrough = walkthrough
        self.finished = False
        self.done = False  # with the current step
        self._host = host
        self._index = 0
        self._pending: list[Line] = []
        self._restore: list[Callable[[], None]] = []  # to the beginning of each step so far

    @property
    def step(self) -> Step:
        """The step that the tour is at."""
        return self.walkthrough.steps[self._index]

    def start(self, first: int = 1) -> None:
        """Show step ``first``; those before it run without a word."""
        count = len(self.walkthrough.steps)
        if not 1 <= first <= count:
            raise NNShellError(f"there is no step {first}", hint=f"steps go from 1 to {count}")
        for index in range(first - 1):
            self._begin(index)
            self._finish_quietly()
        self._begin(first - 1)
        self._show()

    def enter(self) -> None:
        """The Enter key: the next suggested command, or the next step."""
        if self.done:
            self._advance()
            return
        line = (self._pending or self._commands())[0]
        self._host.say(line.text, "command")
        self.command(line.text)

    def command(self, text: str) -> None:
        """A command, suggested or not."""
        host = self._host
        succeeded = host.run(Line(text, 0))
        if self.done:
            return
        words = host.words(text)
        suggested = [line for line in self._pending if host.words(line.text) == words]
        if succeeded or self._expects_failure():
            self._pending = [line for line in self._pending if line not in suggested[:1]]
        if self._pending and suggested:
            host.say(f"Next: {self._pending[0].text}", "note")
            return
        self._judge(reason=bool(suggested))

    def back(self) -> None:
        """To the step before this one, with the session as it was then."""
        if self._index == 0:
            self._host.say("This is the first step.", "note")
            return
        for _ in range(2):
            self._restore.pop()()
        self._begin(self._index - 1)
        self._show()

    def skip(self) -> None:
        """Run the rest of the step without showing it, and go on."""
        if not self.done:
            self._finish_quietly()
        self._advance()

    def again(self) -> None:
        """Show the step once more, after it is done with its answer."""
        self._show(keys=not self.done)
        if self.done:
            self._show_result()

    def where(self) -> str:
        """Place and keys in one line."""
        place = f"{self.walkthrough.name} {self._index + 1}/{len(self.walkthrough.steps)}"
        return f"{place} | {KEYS if not self.done else KEYS.replace('run it', 'next step')}"

    @property
    def place(self) -> int:
        """Number of the current step, from 1."""
        return self._index + 1

    def _commands(self) -> list[Line]:
        """The step's lines, those left out that only hold a comment."""
        return [line for line in self.step.commands if _runs(self._host, line)]

    def _begin(self, index: int) -> None:
        self._index = index
        self.done = False
        self._pending = self._commands()
        self._restore.append(self._host.remember())
        self._host.forget_output()

    def _show(self, *, keys: bool = True) -> None:
        step, host = self.step, self._host
        host.say(_title(self.walkthrough, self._index), "title")
        host.say(step.why, "prose")
        host.say("Type:", "note")
        for line in step.commands:
            host.say(line.text, "command")
        if keys:
            host.say(f"({KEYS})", "note")

    def _judge(self, *, reason: bool) -> None:
        """Whether the step is done; ``reason`` tells what is missing, not only what to type."""
        unmet = _unmet(self.step.checks, self._host.evidence())
        if not unmet:
            self.done = True
            self._show_result()
            return
        self._pending = self._pending or self._commands()
        if reason:
            self._host.say(f"Not there yet: {unmet[0]}.", "note")
        self._host.say(f"Still to do: {self._pending[0].text} (Enter runs it)", "note")

    def _show_result(self) -> None:
        self._host.say(self.step.look, "prose")
        count = len(self.step.checks)
        checked = f"{count} checks hold" if count > 1 else "the check holds"
        self._host.say(f"({checked}; Enter: next step)", "note")

    def _expects_failure(self) -> bool:
        return any(check.expects_failure for check in self.step.checks)

    def _finish_quietly(self) -> None:
        for line in self._pending:
            self._host.run(line, quiet=True)
        for reason in _unmet(self.step.checks, self._host.evidence())[:1]:
            self._host.say(f"Step {self.place} is not as it should be: {reason}.", "note")

    def _advance(self) -> None:
        if self._index + 1 == len(self.walkthrough.steps):
            self.finished = True
            self._host.say(f"This was the last step of '{self.walkthrough.title}'.", "note")
            return
        self._begin(self._index + 1)
        self._show()


def run_all(walkthrough: Walkthrough, host: Host) -> None:
    """Take a walkthrough without a person; NNShellError at the first thing that is not as told."""
    for index, step in enumerate(walkthrough.steps):
        host.forget_output()
        host.say(_title(walkthrough, index), "title")
        expects_failure = any(check.expects_failure for check in step.checks)
        for line in step.commands:
            host.say(line.text, "command")
            if _runs(host, line) and not host.run(line) and not expects_failure:
                raise _not_as_told(walkthrough, step, f"'{line.text}' failed")
        evidence = host.evidence()
        for check in step.checks:
            reason = check.unmet(evidence)
            if reason:
                raise _not_as_told(walkthrough, step, f"{reason} (check '{check.text}')")
            host.say(f"ok: {check.text}", "note")


def _runs(host: Host, line: Line) -> bool:
    return bool(host.words(line.text))


def _title(walkthrough: Walkthrough, index: int) -> str:
    return f"Step {index + 1} of {len(walkthrough.steps)}: {walkthrough.steps[index].title}"


def _unmet(checks: Sequence[Check], evidence: Evidence) -> list[str]:
    return [reason for check in checks if (reason := check.unmet(evidence))]


def _not_as_told(walkthrough: Walkthrough, step: Step, what: str) -> NNShellError:
    where = f"{file_of(walkthrough.name)}:{step.line}"
    return NNShellError(f"step '{step.title}': {what}", where=where)
