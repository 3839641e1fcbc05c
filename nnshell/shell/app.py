"""The prompt: runs lines from the keyboard and from scripts, and reports what goes wrong.

Every line ends in one of three ways: done, failed (one message on standard error, and a script
stops) or quit. cmd2 alone reports some failures without telling anybody; here all of them pass
through ``fail``, which counts them, and ``run_lines`` looks at the count.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, TextIO

import cmd2
from cmd2 import Cmd2Style, CommandSet, Settable, Statement
from cmd2 import rich_utils as styles
from cmd2.exceptions import Cmd2ArgparseError

from nnshell.reports.table import Table
from nnshell.shell import outputs, pager, python_scripts, render, suggestions
from nnshell.shell.commands import help, scripting, settings
from nnshell.shell.commands import history as history_command
from nnshell.shell.history import HistoryFile
from nnshell.shell.lines import LineError
from nnshell.shell.parser import Parser
from nnshell.shell.session import Session
from nnshell.shell.statements import FOR_ANOTHER_PROGRAM, SHORTCUTS, LineParser, destination_of
from nnshell.shell.transcript import Guide, Place, Transcript
from nnshell.support.errors import NNShellError, UsageError, one_line
from nnshell.support.files import read_text, written_together
from nnshell.support.interrupts import ENDING_SIGNALS, Terminated
from nnshell.support.text import in_one_line, printable

cmd2.set_default_argument_parser(Parser)
cmd2.Cmd.DEFAULT_CATEGORY = "Scripts and help"  # cmd2's own commands

# Commands that run other commands: each of those is undone by itself when it fails.
_RUNS_OTHERS = frozenset({"run_script", "tutorial", "py", "run_pyscript"})
_HIDDEN = ("_eof", "_relative_run_script", "shortcuts")
_UNUSED_SETTABLES = (
    *("scripts_add_to_history", "traceback_show_locals", "traceback_width", "timing"),
)


class ScriptStopped(Exception):
    """A script ended at a failing line; its message has been printed."""


class Shell(cmd2.Cmd):
    """The application; commands are in ``shell/commands``, what they work on is ``session``."""

    def __init__(
        self,
        session: Session,
        command_sets: Iterable[CommandSet[Any]] = (),
        *,
        keep_going: bool = False,
        history: HistoryFile | None = None,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
    ) -> None:
        if os.environ.get("NO_COLOR"):
            styles.ALLOW_STYLE = styles.AllowStyle.NEVER
        self.session = session
        self.keep_going = keep_going
        self.failures = 0
        self.terminated = 0  # the signal that ends the process
        self.last_failure = ""
        self.show_timing = False
        self.use_pager = True
        self._leaving = False  # `quit` was typed, and unsaved changes were pointed out
        self.python_listens = False  # whether a Python script takes what commands compute
        self.guide: Guide | None = None
        self.transcript: Transcript | None = None
        self._places: list[Place] = []
        self._scripts: list[Path] = []
        super().__init__(
            stdin=stdin,
            stdout=stdout,
            allow_cli_args=False,
            enable_bottom_toolbar=True,
            include_py=True,
            shortcuts=SHORTCUTS,
            terminators=(),
        )
        self._lines = LineParser(session)
        self.statement_parser = self._lines
        self._configure()
        for commands in command_sets:
            self.register_command_set(commands)
        self._load_history(history)
        self.refresh()

    def _configure(self) -> None:
        self.hidden_commands = list(_HIDDEN)
        for name in _UNUSED_SETTABLES:
            self.remove_settable(name)
        self.add_settable(
            Settable(
                "timing", bool, "print how long each command took", self,
                settable_attrib_name="show_timing",
            )
        )  # fmt: skip
        text = "page results that are longer than the window"
        self.add_settable(Settable("pager", bool, text, self, settable_attrib_name="use_pager"))
        self.interactive_pipe = self.stdin.isatty() and not self.stdout.isatty()

    def _load_history(self, history: HistoryFile | None) -> None:
        self._history = history
        self._typed = history.load() if history else []
        for line in self._typed:
            self.main_session.history.append_string(line)

    @property
    def history_path(self) -> Path | None:
        """The file of typed lines; None when they are not kept."""
        return self._history.path if self._history else None

    def _remember(self, line: str) -> None:
        """Keep a typed line before it runs: whatever happens then, it is not lost."""
        if not line.strip() or line == "_eof":
            return
        self._typed.append(line)
        if self._history:
            self._history.append(line)

    def typed_lines(self) -> list[str]:
        """Lines typed at the prompt, those of earlier sessions first."""
        return list(self._typed)

    # -- what the screen shows -------------------------------------------------------------

    def refresh(self) -> None:
        """Make the prompt name the current graph, and let nobody wait for output."""
        current = self.session.opened[self.session.index] if self.session.opened else None
        name = f"{in_one_line(Path(current.file).name)} {self.session.index}" if current else ""
        self.prompt = f"(NNT {name}) " if name else "(NNT) "
        logging.getLogger("nnshell").setLevel(self.session.settings.log_level)
        with contextlib.suppress(BrokenPipeError):
            self.stdout.flush()

    def get_bottom_toolbar(self) -> str:
        """Steps, quantization, unsaved changes."""
        if self.guide is not None:
            return self.guide.toolbar()
        if not self.session.opened:
            return " no graph is open: `open MODEL.onnx`, or `tutorial` for a walkthrough"
        current = self.session.current
        state = "quantized" if current.graph.quantized else "float"
        saved = "unsaved changes" if current.unsaved else current.unchanged
        return f" {len(current.graph)} steps | {state} | {saved}"

    def write(self, text: str) -> None:
        """Results, exactly as they are, to wherever the command's output goes."""
        if self.transcript is not None:
            self.transcript.results.append(text)
        self._print(text)

    def write_lines(self, lines: Sequence[str]) -> None:
        """Results in sentences: on a terminal, what is too long for it goes on below, indented."""
        if self.transcript is not None:
            self.transcript.results.append("\n".join(lines))
        if self.stdout.isatty():
            lines = render.folded(lines, shutil.get_terminal_size().columns)
        self._print("\n".join(lines))

    def _print(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdout.write(f"{printable(text)}\n")

    def print_to(self, file: IO[str], *objects: Any, **options: Any) -> None:
        """As cmd2's, for all that it prints; texts are made safe, what is drawn already is."""
        safe = (printable(entry) if isinstance(entry, str) else entry for entry in objects)
        super().print_to(file, *safe, **options)

    def show(self, table: Table, form: str = "table", width: int | None = None) -> None:
        """A table: drawn on a terminal, aligned text in a pipe, or in the form asked for."""
        if form == "table" and self.stdout.isatty():
            room = width or shutil.get_terminal_size().columns
            pager.draw(self, render.terminal_table(table, room), room)
            if self.transcript is not None:
                self.transcript.results.append(render.plain_text(table))
        else:
            writers = {"csv": render.csv_text, "json": render.json_text}
            writers |= {"blocks": render.block_text}
            self.write_long(writers.get(form, render.plain_text)(table))

    def write_long(self, text: str) -> None:
        """Results as they are; a person at the prompt reads what is long in a pager."""
        from rich.text import Text

        if pager.pages(self):
            pager.draw(self, Text(printable(text)), shutil.get_terminal_size().columns)
            if self.transcript is not None:
                self.transcript.results.append(text)
        else:
            self.write(text)

    @property
    def at_prompt(self) -> bool:
        """Whether a person types: false in scripts and without a terminal."""
        return self.stdin.isatty() and not self._places

    # -- what goes wrong -------------------------------------------------------------------

    def fail(self, message: str) -> None:
        """Print what went wrong after the script lines that led here, and remember it."""
        self.failures += 1
        self.last_failure = message
        if self.transcript is not None:
            self.transcript.failures.append(message)
        self.message(message, Cmd2Style.ERROR)

    def note(self, message: str) -> None:
        """Something worth knowing that is not a result; log_level and quiet silence it."""
        if self.transcript is not None:
            self.transcript.messages.append(message)
        if logging.getLogger("nnshell").isEnabledFor(logging.INFO) and not self.quiet:
            self._to_stderr(message)

    def warn(self, message: str) -> None:
        if self.transcript is not None:
            self.transcript.messages.append(message)
        self.message(f"warning: {message}", Cmd2Style.WARNING)

    def message(self, message: str, style: str = "") -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdout.flush()  # results before the message that follows them
        places = "".join(f"{place}: " for place in self._places)
        self._to_stderr(f"{places}{message}", style)

    def _to_stderr(self, message: str, style: str = "") -> None:
        if hasattr(sys.stderr, "rich_proxied_file"):
            sys.stderr.write(
                f"{printable(message)}\n"
            )  # a progress bar is there: above it, not behind it
            return
        lines = message.split("\n")
        if sys.stderr.isatty():
            lines = render.folded(lines, shutil.get_terminal_size().columns)
        self.print_to(sys.stderr, "\n".join(lines), style=style or None)

    @contextlib.contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Messages in the block name this line of a script."""
        self._places.append(place)
        try:
            yield
        finally:
            self._places.pop()

    def perror(self, *objects: Any, **_: Any) -> None:
        self.fail(" ".join(map(str, objects)))

    def pwarning(self, *objects: Any, **_: Any) -> None:
        self.warn(" ".join(map(str, objects)))

    def pexcept(self, exception: BaseException, **_: Any) -> None:
        if isinstance(exception, ScriptStopped):
            return
        self.fail(_describe(exception))
        if self.debug and not _of_the_user(exception):
            self.print_to(sys.stderr, "".join(traceback.format_exception(exception)).rstrip())

    def default(self, statement: Statement) -> bool | None:
        raise suggestions.unknown_command(statement.command, self.get_visible_commands())

    # -- running lines ---------------------------------------------------------------------

    def _read_command_line(self, prompt: str) -> str:
        line = super()._read_command_line(prompt)
        return line if self.guide is None else self.guide.read(line)

    def onecmd_plus_hooks(
        self,
        line: str,
        *,
        add_to_history: bool = True,
        raise_keyboard_interrupt: bool = False,
        py_bridge_call: bool = False,
    ) -> bool:
        """Run one line; True when it asks to quit. A failure counts in ``failures``."""
        if self.guide is not None and not self.guide.busy and not self._places:
            return self.guide.run(line)
        started = time.perf_counter()
        if add_to_history and not self._places:
            self._remember(line)
        if not self._readable(line):
            return False
        stop = False
        try:
            stop = super().onecmd_plus_hooks(
                line,
                add_to_history=add_to_history,
                raise_keyboard_interrupt=True,
                py_bridge_call=py_bridge_call,
            )
        except KeyboardInterrupt:
            if raise_keyboard_interrupt:
                raise
            if sys.stderr.isatty():
                sys.stderr.write("\r")  # over the ^C that the terminal shows
            self.message("stopped; graph and settings are as before the command", "")
        if self.show_timing:
            self.message(f"{time.perf_counter() - started:.3f} s", "")
        self.refresh()
        return stop or bool(self.terminated)

    def termination_signal_handler(self, signum: int, _: FrameType | None) -> None:
        """SIGTERM or SIGHUP: leave every block as an exception does, then the process."""
        self.terminated = signum
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # the end is under way
        raise Terminated(signum)

    def _raise_keyboard_interrupt(self) -> None:
        """As cmd2's without its new line, which would leave half a progress bar behind."""
        raise KeyboardInterrupt

    def _readable(self, line: str) -> bool:
        try:
            self.statement(line)
        except LineError as error:
            self.pexcept(error)
            return False
        return True

    def statement(self, line: str) -> Statement:
        """A line as a statement, with a warning for each old spelling; LineError if unreadable."""
        statement = self.statement_parser.parse(line)
        for warning in self._lines.warnings(line):
            self.warn(warning)
        for note in self.session.variables.take_notes():
            self.note(note)
        return statement

    def parsed_arguments(self, statement: Statement) -> argparse.Namespace | None:
        """The options of a statement, read but not acted on; None for commands without a parser."""
        function = self.get_command_func(statement.command)
        if function is None:
            self.default(statement)
            return None
        parser = self.command_parsers.get(function)
        if parser is None or statement.command == FOR_ANOTHER_PROGRAM:
            return None
        words = self.statement_parser.get_command_arg_list(statement.command, statement, False)[1]
        try:
            with parser.output_to(self.stdout):
                return parser.parse_args(words)
        except SystemExit as asked_for_help:
            raise Cmd2ArgparseError from asked_for_help

    def onecmd(self, statement: Statement | str, *, add_to_history: bool = True) -> bool:
        """Run a command; when it fails or is interrupted, graphs, settings, files are as before."""
        if not isinstance(statement, Statement):
            statement = self.statement_parser.parse(statement)
        if statement.command not in ("quit", "exit", "_eof"):
            self._leaving = False
        if statement.command == "py":
            self.py_locals.update(python_scripts.names_for_python(self))
        outside = statement.command in _RUNS_OTHERS
        with contextlib.ExitStack() as whole:
            if not outside:
                whole.enter_context(self.session.transaction())
                whole.enter_context(written_together())
            whole.enter_context(self._results_to(*destination_of(statement)))
            stop = super().onecmd(statement, add_to_history=add_to_history)
        if not outside:
            self.session.note_line(statement.command_and_args)
        return stop

    @contextlib.contextmanager
    def _results_to(self, sign: str, target: str) -> Iterator[None]:
        """Collect the block's results and give them to a file or a program."""
        if not sign:
            yield
            return
        path = outputs.check_target(target) if sign != "|" else None
        output, self.stdout = self.stdout, outputs.Collected()
        results = self.stdout
        try:
            yield
        finally:
            self.stdout = output
        output.flush()
        if path is not None:
            outputs.write_results(path, results, append=sign == ">>")
            return
        with self.sigint_protection:  # Ctrl-C is the program's
            outputs.pipe_results(target, results, output)

    def run_lines(self, lines: Iterable[str], name: str, *, first: int = 1) -> bool:
        """Run a script's lines, numbered from ``first``; True when one of them quits.

        Raises ScriptStopped at the first line that fails, unless ``keep_going``.
        """
        for number, line in enumerate(lines, start=first):
            before = self.failures
            with self.at(Place(name, number)):
                stop = self._run_script_line(line)
            if stop:
                return True
            if self.failures > before and not self.keep_going:
                raise ScriptStopped
        return False

    def _run_script_line(self, line: str) -> bool:
        if self.echo:
            self.write(f"{self.prompt}{line.rstrip()}")
        self.session.partial = False
        try:
            stop = self.onecmd_plus_hooks(line, add_to_history=False, raise_keyboard_interrupt=True)
            if self.session.partial:  # what there was has been shown, as partial
                raise KeyboardInterrupt
            return stop
        except KeyboardInterrupt as interrupt:
            if interrupt.args != ("reported",):
                self.message("interrupted", Cmd2Style.ERROR)
            raise KeyboardInterrupt("reported") from None

    def run_script(self, path: str) -> bool:
        """Run a script file; inside a script the path is relative to that script."""
        directory = os.path.dirname(self._places[-1].file) if self._scripts else ""
        shown = os.path.join(directory, os.path.expanduser(path))
        lines = read_script(shown)
        with self._running(Path(shown).resolve()):
            return self.run_lines(lines, shown)

    # -- commands that cmd2 has in another form --------------------------------------------

    @cmd2.with_category("Session")
    @cmd2.with_argparser(settings.set_parser)
    def do_set(self, args: argparse.Namespace) -> None:
        """Show or change settings."""
        settings.run_set(self, args)

    @cmd2.with_argparser(help.help_parser)
    def do_help(self, args: argparse.Namespace) -> None:
        """List the commands by task, or explain one."""
        help.run_help(self, args.topic, verbose=args.verbose)

    @cmd2.with_category("Session")
    @cmd2.with_argparser(history_command.history_parser)
    def do_history(self, args: argparse.Namespace) -> None:
        """Show the commands that made the graph."""
        history_command.run_history(self, args)

    @cmd2.with_argparser(scripting.run_script_parser)
    def do_run_script(self, args: argparse.Namespace) -> bool:
        """Run the commands in a file."""
        return self.run_script(args.script)

    @cmd2.with_argparser(scripting.run_pyscript_parser)
    def do_run_pyscript(self, args: argparse.Namespace) -> bool:
        """Run a Python file that drives nnshell."""
        path = os.path.expanduser(args.script)
        return python_scripts.run_python_script(self, path, args.arguments)

    @cmd2.with_argparser(scripting.quit_parser)
    def do_quit(self, _: argparse.Namespace) -> bool:
        """Leave nnshell."""
        typed = sys.stdin.isatty() and not self._places
        if typed and not self._leaving and self._unsaved():
            self._leaving = True
            names = ", ".join(self._unsaved())
            self.warn(f"{names}: unsaved changes, `save_state` keeps them; quit again leaves")
            return False
        return True

    do_exit = do_quit

    def _unsaved(self) -> list[str]:
        """Names of the graphs with changes that no state file has."""
        return [opened.graph.name for opened in self.session.opened if opened.unsaved]

    def do_shell(self, statement: Statement | str) -> None:
        """Run a program of the operating system: `shell ls img` or `!ls img`."""
        super().do_shell(statement)
        if self.last_result:
            raise NNShellError(f"the program ended with exit status {self.last_result}")

    @contextlib.contextmanager
    def _running(self, script: Path) -> Iterator[None]:
        if script in self._scripts:
            raise UsageError("a script cannot run itself", where=str(script))
        self._scripts.append(script)
        try:
            yield
        finally:
            self._scripts.pop()


def read_script(path: str) -> list[str]:
    """The lines of a script; UsageError when it cannot be read as text."""
    try:
        return read_text(path).split("\n")
    except OSError as error:
        message = f"cannot read script {path}: {error.strerror}"
        raise UsageError(message, hint="give the path of a script") from None
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"script {path} is not UTF-8 text", hint="save it as UTF-8") from None


def _of_the_user(exception: BaseException) -> bool:
    """Whether the message alone says what to do: debugging shows more about faults of nnshell."""
    return isinstance(exception, NNShellError | Cmd2ArgparseError) or (
        isinstance(exception, OSError) and bool(exception.strerror)
    )


def _describe_refusal(error: OSError) -> str:
    """What the operating system refused; with no file named, the folder we are in or output."""
    if error.filename is not None:
        return one_line(f"{error.strerror}: {error.filename}")
    if isinstance(error, FileNotFoundError):
        return "the working folder does not exist any more - start nnshell in another one"
    return f"cannot write the output: {error.strerror}"


def _describe(exception: BaseException) -> str:
    if isinstance(exception, NNShellError):
        return str(exception)
    if isinstance(exception, OSError) and exception.strerror:
        return _describe_refusal(exception)
    what = " ".join(str(exception).split())
    name = type(exception).__name__
    return f"{name}: {what} - `set debug true` shows where" if what else name
