"""Tutorials in the shell: their commands run here, their text is shown, their keys read."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nnshell.shell.bookmarks import Bookmark, bookmarks_of
from nnshell.shell.lines import LineError, scan
from nnshell.shell.render import folded
from nnshell.shell.transcript import Place, Transcript
from nnshell.support.settings import Settings
from nnshell.tutorials import folder
from nnshell.tutorials.checks import Evidence
from nnshell.tutorials.tour import Kind, Reply, Tour, run_all
from nnshell.tutorials.walkthrough import Line, Walkthrough, file_of

if TYPE_CHECKING:
    from nnshell.shell.app import Shell

_WIDTH = 92  # characters in a line of prose, where the terminal has more
_ENTER = "next"
_LEAVE = ("quit", "exit", "_eof")  # the last is Ctrl-D
_STYLES = {"title": "bold reverse", "command": "bold cyan", "note": "italic"}


class ShellHost:
    """A shell as the place where a tour happens; messages name lines of the file ``name``."""

    def __init__(self, shell: Shell, name: str) -> None:
        self._shell = shell
        self._name = name

    def say(self, text: str, kind: Kind) -> None:
        """Not by `write`: what a tutorial says is not what a command printed."""
        if self._shell.stdout.isatty():
            self._draw(text, kind)
        else:
            before = {"title": "\n", "command": self._shell.prompt}.get(kind, "")
            self._shell.stdout.write(f"{before}{text}\n")
        self._shell.stdout.flush()

    def _draw(self, text: str, kind: Kind) -> None:
        from rich.markdown import Markdown
        from rich.text import Text

        if kind == "prose":
            width = min(shutil.get_terminal_size().columns, _WIDTH)
            self._shell.poutput()
            self._shell.poutput(Markdown(text), soft_wrap=False, rich_print_kwargs={"width": width})
            self._shell.poutput()
        elif kind == "title":
            self._shell.poutput("\n", Text(f" {text} ", style=_STYLES[kind]), sep="")
        elif kind == "command":
            self._shell.poutput(Text(f"    {text}", style=_STYLES[kind]))
        else:
            for line in folded([text], shutil.get_terminal_size().columns):
                self._shell.poutput(Text(line, style=_STYLES[kind]))

    def words(self, line: str) -> tuple[str, ...]:
        try:
            return tuple(scan(line, self._shell.session.variables).texts)
        except LineError:
            return (line,)

    def run(self, line: Line, *, quiet: bool = False) -> bool:
        shell, in_file = self._shell, line.number > 0
        before = shell.failures
        with contextlib.ExitStack() as around:
            if in_file:
                around.enter_context(shell.at(Place(self._name, line.number)))
            if quiet:
                around.enter_context(_silent(shell))
            shell.onecmd_plus_hooks(
                line.text, add_to_history=not in_file, raise_keyboard_interrupt=in_file
            )
        succeeded = shell.failures == before
        shell.failures = before  # whether it should have failed is the tutorial's to judge
        return succeeded

    def is_command(self, word: str) -> bool:
        return word.startswith("!") or word in self._shell.get_visible_commands()

    def keep(self, replies: Sequence[Reply]) -> None:
        """Into the graph that is open, where the page to hand in finds them; and the bookmark."""
        from nnshell.session.project import Answer

        opened = self._shell.session.opened
        if opened:
            answers = self._shell.session.project.answers
            others = [entry for entry in answers if entry.lesson != self._name]
            mine = [Answer(r.question, r.answer, r.right, r.expected, self._name) for r in replies]
            answers[:] = others + mine

    def forget_output(self) -> None:
        self._shell.transcript = Transcript()

    def evidence(self) -> Evidence:
        session = self._shell.session
        heard = self._shell.transcript or Transcript()
        opened = session.opened[session.index] if session.opened else None
        return Evidence(
            graph=opened.graph if opened else None,
            settings=session.settings,
            results="\n".join(heard.results),
            messages="\n".join(heard.messages),
            failures=tuple(heard.failures),
            unsaved=opened is not None and opened.unsaved,
        )

    def remember(self) -> Callable[[], None]:
        return self._shell.session.remember()


class TutorialGuide:
    """The keys of a tour at the prompt, until it ends."""

    def __init__(self, shell: Shell, tour: Tour, leave: Callable[[], None]) -> None:
        self.busy = False
        self._shell = shell
        self._tour = tour
        self._leave = leave
        self._bookmark()

    def read(self, line: str) -> str:
        """Enter on an empty line is a key. Ctrl-C also ends in an empty line, but is not read."""
        return line if line.strip() else _ENTER

    def run(self, line: str) -> bool:
        self.busy = True
        stop = False
        try:
            stop = self._react(line)
        except KeyboardInterrupt:
            self._shell.note("stopped")
        finally:
            self.busy = False
        self._bookmark()
        if self._tour.finished:
            self._leave()
        self._shell.refresh()
        return stop

    def _bookmark(self) -> None:
        """Keep the place for the next time, once it is worth going back to."""
        tour = self._tour
        bookmarks = bookmarks_of(self._shell)
        if tour.finished:
            bookmarks.forget(tour.walkthrough.name)
        elif tour.place > 1 or tour.replies:
            bookmarks.keep(tour.walkthrough.name, Bookmark(tour.place, tuple(tour.replies)))

    def _react(self, line: str) -> bool:
        word = line.strip()
        keys = {
            "": lambda: None,
            _ENTER: self._tour.enter,
            "back": self._tour.back,
            "skip": self._tour.skip,
            "again": self._tour.again,
        }
        if word in keys:
            keys[word]()
        elif word in _LEAVE:
            self._quit()
        else:
            self._tour.command(line)
        return False

    def _quit(self) -> None:
        name, place = self._tour.walkthrough.name, self._tour.place
        self._bookmark()
        self._leave()
        self._shell.note(f"left the tutorial; `tutorial {name} --step {place}` goes on from here")

    def toolbar(self) -> str:
        return f" {self._tour.where()}"


def guide(
    shell: Shell,
    walkthrough: Walkthrough,
    first: int | None,
    output: Path,
) -> None:
    """Begin a tour at the prompt, on a session of its own; where it was left, or at ``first``."""
    marked = bookmarks_of(shell).find(walkthrough.name) if first is None else None
    start = first or 1
    if marked is not None and marked.step <= len(walkthrough.steps):
        start = marked.step
        shell.note(
            f"on at step {start}, where you left (`tutorial {walkthrough.name} --step 1` begins "
            "anew); the steps before it run once more"
        )
    folder.prepare(output)
    restore = _set_aside(shell)

    def leave() -> None:
        restore()
        if folder.tidy(output):
            shell.note(f"its files are in {output}")

    host = ShellHost(shell, file_of(walkthrough.name))
    tour = Tour(walkthrough.written_to(str(output)), host, marked.replies if marked else ())
    try:
        tour.start(start)
    except BaseException:
        leave()
        raise
    shell.guide = TutorialGuide(shell, tour, leave)


def run_unattended(shell: Shell, walkthrough: Walkthrough, output: Path | None) -> None:
    """Take a tour without a person, on a session of its own, in ``output`` or a passing folder."""
    with contextlib.ExitStack() as around:
        if output is None:
            temporary = TemporaryDirectory(prefix="nnshell-")
            output = Path(around.enter_context(temporary))
        folder.prepare(output)
        around.callback(_set_aside(shell))
        host = ShellHost(shell, file_of(walkthrough.name))
        run_all(walkthrough.written_to(str(output)), host)


def _set_aside(shell: Shell) -> Callable[[], None]:
    """Empty the session, settings as they are at first; the function returned brings it back."""
    session, transcript = shell.session, shell.transcript
    restore_session = session.remember()
    session.opened, session.index, session.tensors = [], 0, {}
    session.settings.restore(Settings())  # log_level too: tutorials point at notes
    shell.refresh()

    def restore() -> None:
        restore_session()
        shell.transcript = transcript
        shell.guide = None
        shell.refresh()

    return restore


@contextlib.contextmanager
def _silent(shell: Shell) -> Iterator[None]:
    """Results and notes of the block are not seen; warnings and errors are."""
    output, quiet = shell.stdout, shell.quiet
    shell.stdout, shell.quiet = io.StringIO(), True
    try:
        yield
    finally:
        shell.stdout, shell.quiet = output, quiet
