"""One run of the program: scripts, standard input or the prompt, and the exit status."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from nnshell import __version__
from nnshell.shell.app import ScriptStopped, Shell
from nnshell.shell.check import Checker
from nnshell.shell.commands import command_sets
from nnshell.shell.history import HistoryFile, default_path
from nnshell.shell.invocation import Generate, Invocation, Source
from nnshell.shell.makefiles.variables import ScriptVariables
from nnshell.shell.session import Session
from nnshell.support.errors import NNShellError
from nnshell.support.interrupts import ENDING_SIGNALS, Terminated
from nnshell.support.units import clean_all

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130
TERMINATED = 128  # and the number of the signal
LONGEST_LINE = 1 << 20


class _ToShell(logging.Handler):
    """Log records as messages of the shell."""

    def __init__(self, shell: Shell) -> None:
        super().__init__()
        self._shell = shell

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._shell.warn(record.getMessage())
        else:
            self._shell.note(record.getMessage())


def run(invocation: Invocation) -> int:
    """Do what the command line asks for; the exit status."""
    _prepare_streams()
    status = FAILURE
    try:
        status = _run_shell(invocation)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more (`nnshell ... | head`): that is no error
        _give_up_output()
    except OSError as error:  # a full disk behind `nnshell ... > FILE`
        _give_up_output()
        with contextlib.suppress(OSError):
            sys.stderr.write(f"cannot write the output: {error.strerror or error}\n")
        return FAILURE
    return status


def _run_shell(invocation: Invocation) -> int:
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    prompted = at_terminal and (invocation.interactive or not invocation.sources)
    prompted = prompted and invocation.generate is None
    variables = ScriptVariables(dict(invocation.variables), invocation.makefile)
    session = Session(variables=variables)
    if invocation.log_level:
        session.settings.assign("log_level", invocation.log_level)
    history = HistoryFile(default_path()) if prompted and sys.stdout.isatty() else None
    shell = Shell(
        session,
        command_sets(),
        keep_going=invocation.keep_going,
        history=history,
        stdin=sys.stdin if prompted else io.StringIO(),  # no prompt, no terminal modes
    )
    with _logging_to(shell), _ending_signals(shell):
        try:
            status = _run(shell, invocation, prompted=prompted)
        except ScriptStopped:
            status = FAILURE
        except KeyboardInterrupt:
            status = INTERRUPTED
        except Terminated:
            status = FAILURE
        shell.refresh()
    if shell.terminated:
        clean_all()
        shell.message(f"ended by {signal.Signals(shell.terminated).name}")
        return TERMINATED + shell.terminated
    return status


@contextlib.contextmanager
def _ending_signals(shell: Shell) -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as an exception does; who ignores them still does."""
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    handled = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        handled = []
    for number in handled:
        signal.signal(number, shell.termination_signal_handler)
    try:
        yield
    finally:
        for number in handled if not shell.terminated else ():
            signal.signal(number, before[number])


def _prepare_streams() -> None:
    """Streams that take any text: closed ones (None in Python) lose it."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error does, in any language
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(shell: Shell, invocation: Invocation, *, prompted: bool) -> int:
    if invocation.check:
        return _check(shell, invocation.sources)
    if invocation.generate is not None:
        return _generate(shell, invocation.open_words, invocation.generate)
    quits = False
    try:
        quits = _run_given(shell, invocation)
    except (ScriptStopped, KeyboardInterrupt):
        if not prompted:
            raise
    if prompted and not quits:
        return shell.cmdloop(f"nnshell {__version__} - `help` lists the commands")
    if not quits and (not invocation.sources or invocation.interactive):
        shell.run_lines(_given_lines(), "<stdin>")
    return _status(shell)


def _given_lines() -> Iterator[str]:
    """The lines of standard input as they come; one without an end comes in pieces."""
    while sys.stdin is not None and (line := sys.stdin.readline(LONGEST_LINE)):
        yield line


def _status(shell: Shell) -> int:
    return FAILURE if shell.failures else SUCCESS


def _run_given(shell: Shell, invocation: Invocation) -> bool:
    """The file to open, then scripts and commands in their order; True when one of them quits."""
    if invocation.open_words:
        _run_words(shell, invocation.open_words)
    commands = 0
    for source in invocation.sources:
        if source.kind == "script":
            quits = _run_script(shell, source.text)
        else:
            commands += 1
            quits = shell.run_lines([source.text], "-e", first=commands)
        if quits:
            return True
    return False


def _run_words(shell: Shell, words: Sequence[str]) -> None:
    before = shell.failures
    shell.onecmd_plus_hooks(shlex.join(words), add_to_history=False, raise_keyboard_interrupt=True)
    if shell.failures > before and not shell.keep_going:
        raise ScriptStopped


def _run_script(shell: Shell, path: str) -> bool:
    try:
        return shell.run_script(path)
    except NNShellError as error:  # the script itself cannot be read
        shell.fail(str(error))
        if shell.keep_going:
            return False
        raise ScriptStopped from None


def _generate(shell: Shell, open_words: Sequence[str], options: Generate) -> int:
    """`gen` with the options of -g, on the graph of a state."""
    _run_words(shell, open_words)
    words = ["gen", options.model_file or shell.session.settings.model_file]
    if options.model_directory is not None:
        words += ["-M", options.model_directory]
    if options.tensor_directory is not None:
        words += ["-T", options.tensor_directory]
    if options.header_file is not None:
        words += ["--header_file", options.header_file]
    for kind, name in (("source", options.kernel_source), ("header", options.kernel_header)):
        words += [f"--basic_kernel_{kind}_file", name] if name is not None else []
    words += ["-t"] if options.dump_tensors else []
    words += ["--anonymise"] if options.anonymise else []
    _run_words(shell, words)
    return _status(shell)


def _check(shell: Shell, sources: Sequence[Source]) -> int:
    checker = Checker(shell)
    commands = 0
    for source in sources:
        if source.kind == "script":
            checker.script(source.text)
        else:
            commands += 1
            checker.lines([source.text], "-e", first=commands)
    return _status(shell)


@contextlib.contextmanager
def _logging_to(shell: Shell) -> Iterator[None]:
    logger, handler = logging.getLogger("nnshell"), _ToShell(shell)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _give_up_output() -> None:
    """What is left in the buffer goes nowhere: Python would try to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
