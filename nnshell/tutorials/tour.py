"""Taking a walkthrough: step by step with a person at the prompt, or all of it without one.

A step is *open* while its commands wait to be run, and *done* when its checks hold; then there is
something to read, and Enter goes on. Any other command may be typed at any time. Questions are
asked before the commands, or before what to look at is told; what answers one is judged and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nnshell.support.errors import NNShellError
from nnshell.tutorials.asking import Question
from nnshell.tutorials.checks import Check, Evidence
from nnshell.tutorials.walkthrough import Line, Step, Walkthrough, file_of
from nnshell.tutorials.words import words

Kind = Literal["title", "prose", "command", "note"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to a question; ``right`` is None where nothing could judge it."""

    question: str
    answer: str
    right: bool | None
    expected: str


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

    def is_command(self, word: str) -> bool:
        """Whether a command has this name."""

    def keep(self, replies: Sequence[Reply]) -> None:
        """All answers so far: the session's graph is to know them."""

    def evidence(self) -> Evidence:
        """The session now, and what was printed since ``forget_output``."""

    def remember(self) -> Callable[[], None]:
        """A function that brings the session back to what it is now."""


class Tour:
    """A walkthrough being taken by a person."""

    def __init__(self, walkthrough: Walkthrough, host: Host, replies: Sequence[Reply] = ()) -> None:
        self.walkthrough = walkthrough
        self.replies = list(replies)
        self.finished = False
        self.done = False  # with the current step
        self._host = host
        self._index = 0
        self._words = words(walkthrough.language)
        self._questions: list[Question] = []  # still to be answered, the open one first
        self._tries = 0  # at the open question
        self._ran = False  # whether the commands of the step have done what they should
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
        answered = {reply.question for reply in self.replies if reply.answer}
        self._questions = [q for q in self._questions if q.text not in answered]
        self._show()

    def enter(self) -> None:
        """The Enter key: a hint, the next suggested command, or the next step."""
        if self.done:
            self._advance()
            return
        if self._questions:
            self._help(self._questions[0])
            return
        line = (self._pending or self._commands())[0]
        self._host.say(line.text, "command")
        self.command(line.text)

    def command(self, text: str) -> None:
        """A command, suggested or not; or an answer, while a question is open."""
        host = self._host
        if self._questions:
            typed = self._questions[0].reads(text, host.is_command)
            if typed is not None:
                self._answer(self._questions[0], typed)
                return
        host.keep(self.replies)
        succeeded = host.run(Line(text, 0))
        host.keep(self.replies)
        if self.done:
            return
        typed_words = host.words(text)
        suggested = [line for line in self._pending if host.words(line.text) == typed_words]
        if succeeded or self._expects_failure():
            self._pending = [line for line in self._pending if line not in suggested[:1]]
        if self._questions:
            self._ask()
            return
        if self._pending and suggested:
            self._say("next", text=self._pending[0].text)
            return
        self._judge(reason=bool(suggested))

    def back(self) -> None:
        """To the step before this one, with the session as it was then."""
        if self._index == 0:
            self._say("first")
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
        return f"{place} | {self._keys()}"

    def _keys(self) -> str:
        asking = "keys_question" if self._questions else "keys"
        return self._words["keys_done" if self.done else asking]

    def _say(self, phrase: str, **values: object) -> None:
        self._host.say(self._words[phrase].format(**values), "note")

    @property
    def place(self) -> int:
        """Number of the current step, from 1."""
        return self._index + 1

    def _commands(self) -> list[Line]:
        """The step's lines, those left out that only hold a comment."""
        return [line for line in self.step.commands if _runs(self._host, line)]

    def _begin(self, index: int) -> None:
        self._index = index
        self.done = self._ran = False
        self._questions, self._tries = list(self.step.before), 0
        self._pending = self._commands()
        self._restore.append(self._host.remember())
        self._host.forget_output()

    def _show(self, *, keys: bool = True) -> None:
        self._host.say(_title(self.walkthrough, self._index), "title")
        self._host.say(self.step.why, "prose")
        if self._questions:
            self._ask()
        else:
            self._suggest(keys=keys)

    def _suggest(self, *, keys: bool) -> None:
        """The commands of the step."""
        self._say("type")
        for line in self.step.commands:
            self._host.say(line.text, "command")
        if keys:
            self._host.say(f"({self._keys()})", "note")

    # -- questions -------------------------------------------------------------------------

    def _ask(self) -> None:
        """The open question, with its choices."""
        question = self._questions[0]
        self._say("question", text=question.text)
        for choice in question.lettered():
            self._host.say(f"  {choice}", "note")
        self._host.say(f"({self._words['keys_question']})", "note")

    def _answer(self, question: Question, typed: str) -> None:
        """Judge an answer and keep it; after a right one, go on."""
        if question.kind == "free":
            self._close(question, typed, None, "")
            self._say("kept")
        else:
            expected = self._expected(question)
            judged = expected is not None and not (question.literal and self._own_data)
            if not judged:
                self._close(question, typed, None, expected or "")
                self._say("own" if expected else "unknown", text=expected)
            elif question.is_right(typed, self._host.evidence()):
                self._close(question, typed, True, expected or "")
                self._say("right")
            else:
                self._refuse(question, typed)
                return
        self._go_on()

    def _refuse(self, question: Question, typed: str) -> None:
        """Say that an answer is wrong, with the hint at the first time; it stays open."""
        self._tries += 1
        self._note(question, typed, False, self._expected(question) or "")
        self._say(question.direction(typed, self._host.evidence()) or "wrong")
        if question.hint and self._tries == 1:
            self._say("hint", text=question.hint)
        self._say("again")

    def _help(self, question: Question) -> None:
        """A hint at the first time, then the answer, and on."""
        if question.hint and not self._tries:
            self._tries += 1
            self._say("hint", text=question.hint)
            return
        expected = self._expected(question)
        if expected:
            self._say("told", text=expected)
        if all(reply.question != question.text for reply in self.replies):
            self._note(question, "", None if not expected else False, expected or "")
        self._close_question()
        self._go_on()

    def _expected(self, question: Question) -> str | None:
        """The right answer as text; None when the session does not have it."""
        try:
            expected = question.expected(self._host.evidence())
        except NNShellError:
            return None
        return f"{expected:.6g}" if isinstance(expected, float) else expected

    @property
    def _own_data(self) -> bool:
        return self.walkthrough.own_data

    def _note(self, question: Question, typed: str, right: bool | None, expected: str) -> None:
        """The last answer to a question counts."""
        self.replies = [reply for reply in self.replies if reply.question != question.text]
        answer = question.shown(typed) if typed else ""
        self.replies.append(Reply(question.text, answer, right, expected))
        self._host.keep(self.replies)

    def _close(self, question: Question, typed: str, right: bool | None, expected: str) -> None:
        self._note(question, typed, right, expected)
        self._close_question()

    def _close_question(self) -> None:
        self._questions, self._tries = self._questions[1:], 0

    def _go_on(self) -> None:
        """To the next question, the commands, or what to look at."""
        if self._questions:
            self._ask()
        elif self._ran:
            self._finish()
        elif self._pending:
            self._suggest(keys=True)
        else:  # they were typed before the question was answered
            self._judge(reason=True)

    # -- the end of a step -----------------------------------------------------------------

    def _judge(self, *, reason: bool) -> None:
        """Whether the step is done; ``reason`` tells what is missing, not only what to type."""
        unmet = _unmet(self.step.checks, self._host.evidence())
        if not unmet and not (self._pending and self._own_data):
            self._ran, self._questions = True, list(self.step.after)
            self._go_on()
            return
        self._pending = self._pending or self._commands()
        if reason and unmet:
            self._say("not_yet", reason=unmet[0])
        self._say("todo", text=self._pending[0].text)

    def _finish(self) -> None:
        self.done = True
        self._show_result()

    def _show_result(self) -> None:
        self._host.say(self.step.look, "prose")
        count = len(self.step.checks)
        self._say("checks" if count > 1 else "checks_one" if count else "done", count=count)

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
            self._say("last", title=self.walkthrough.title)
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
        for question in (*step.before, *step.after):
            _answer_by_itself(question, evidence, walkthrough, step, host)


def _answer_by_itself(
    question: Question, evidence: Evidence, walkthrough: Walkthrough, step: Step, host: Host
) -> None:
    """Without a person: every answer has to be there."""
    try:
        expected = question.expected(evidence)
    except NNShellError as error:
        raise _not_as_told(walkthrough, step, f"{error} (question '{question.text}')") from None
    shown = f"{expected:.6g}" if isinstance(expected, float) else expected
    host.say(f"{question.text} {shown or '(free)'}", "note")


def _runs(host: Host, line: Line) -> bool:
    return bool(host.words(line.text))


def _title(walkthrough: Walkthrough, index: int) -> str:
    phrase, title = words(walkthrough.language)["step"], walkthrough.steps[index].title
    return phrase.format(number=index + 1, count=len(walkthrough.steps), title=title)


def _unmet(checks: Sequence[Check], evidence: Evidence) -> list[str]:
    return [reason for check in checks if (reason := check.unmet(evidence))]


def _not_as_told(walkthrough: Walkthrough, step: Step, what: str) -> NNShellError:
    where = f"{file_of(walkthrough.name)}:{step.line}"
    return NNShellError(f"step '{step.title}': {what}", where=where)
