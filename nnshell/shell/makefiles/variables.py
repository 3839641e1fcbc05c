"""What $(NAME) finds in a script: -D and set_var, the environment, a Makefile, the SDK's defaults.

NNTool asks make for the variables of the Makefile in the working folder; scripts of GAP projects
count on it. Here that Makefile is read as text. ``--makefile FILE`` asks make, as its user says so.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnshell.shell.lines import LineError
from nnshell.shell.makefiles.expand import Expander, Variable
from nnshell.shell.makefiles.functions import Undecided
from nnshell.shell.makefiles.read import Makefile, read_makefile
from nnshell.support.errors import one_line

_NAMES = ("GNUmakefile", "makefile", "Makefile")  # in the order make looks for them
_MAKE_SECONDS = 60
_MOST_OUTPUT = 1 << 24

# What the rules of the GAP SDK set where a project's own Makefile does not, for GAP8.
SDK_DEFAULTS = {
    "MODEL_L3_RAM": "AT_MEM_L3_HRAM",
    "MODEL_L3_FLASH": "AT_MEM_L3_HFLASH",
    "MODEL_SEC_L3_FLASH": "",
    "MODEL_L1_SIZE": "64000",
    "MODEL_L2_SIZE": "300000",
    "MODEL_L3_SIZE": "8000000",
    "MODEL_L1_MEMORY": "52000",
    "MODEL_L2_MEMORY": "307200",
    "MODEL_L3_MEMORY": "8388608",
    "TARGET_L1_SIZE": "64000",
    "TARGET_L2_SIZE": "300000",
    "TARGET_L3_SIZE": "8000000",
    "EXEC_FROM_FLASH": "false",
    "TARGET_CHIP_FAMILY": "GAP8",
    "TARGET_CHIP": "GAP8_V3",
}
_CHIP = ("TARGET_CHIP_FAMILY", "TARGET_CHIP")  # what Makefiles ask the environment of the SDK


@dataclass(slots=True)
class ScriptVariables(Mapping[str, str]):
    """Variables by name, from where they are first found."""

    own: dict[str, str] = field(default_factory=dict)  # -D and set_var
    makefile: str = ""  # of --makefile; "" reads the one in the working folder
    _makefile: Makefile | None = None
    _read: tuple[object, ...] = ()  # what the Makefile was read with
    _notes: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> str:
        for variables in (self.own, os.environ):
            if name in variables:
                return variables[name]
        makefile = self._project()
        if makefile is not None and name in makefile.variables:
            return self._of_makefile(makefile, name)
        value = SDK_DEFAULTS[name]
        self._tell(
            name, f"$({name}) is {value or 'empty'}, as in the GAP SDK: nothing here sets it"
        )
        return value

    def __contains__(self, name: object) -> bool:
        if name in self.own or name in os.environ or name in SDK_DEFAULTS:
            return True
        makefile = self._project()
        return makefile is not None and name in makefile.variables

    def __iter__(self) -> Iterator[str]:
        makefile = self._project()
        known = makefile.variables if makefile is not None else ()
        return iter({**self.own, **os.environ, **dict.fromkeys(known), **SDK_DEFAULTS})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def take_notes(self) -> list[str]:
        """Where values came from that no one typed; each is told once."""
        notes, self._notes = self._notes, []
        return notes

    def _tell(self, name: str, note: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self._notes.append(one_line(note))

    def _of_makefile(self, makefile: Makefile, name: str) -> str:
        place = makefile.variables[name].place
        try:
            value = makefile.value(name)
        except Undecided as undecided:
            if self.makefile:
                return _asked(self.makefile, self.own, name)
            hint = f"-D {name}=VALUE, or `--makefile {makefile.files[0]}` runs make to know it"
            message = f"the value of {name} cannot be read from the Makefile: {undecided}"
            raise LineError(message, where=place, hint=hint) from None
        self._tell(name, f"$({name}) is {value or 'empty'}, from {place}")
        return value

    def _project(self) -> Makefile | None:
        """The Makefile, read again when what it was read with has changed; None without one."""
        path = self.makefile or next((name for name in _NAMES if os.path.isfile(name)), "")
        values = {**_of_make(os.environ.get("MAKEFLAGS", "")), **self.own}
        with_ = (os.getcwd(), path, _changed(path), tuple(sorted(values.items())))
        if not path or with_ == self._read:
            return self._makefile if path else None
        self._makefile, self._read = None, with_
        if self.makefile:
            self._makefile = _database(path, values)
            return self._makefile
        environment = {name: SDK_DEFAULTS[name] for name in _CHIP} | dict(os.environ)
        try:
            self._makefile = read_makefile(path, values, environment)
        except OSError as error:
            self._notes.append(one_line(f"{path} was not read: {error.strerror}"))
        return self._makefile


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _of_make(flags: str) -> dict[str, str]:
    """Variables of make's own command line, as in MAKEFLAGS: ``w -- A=1 B=x\\ y``."""
    _, separator, argument = f" {flags}".partition(" -- ")
    try:
        pairs = [word.partition("=") for word in shlex.split(argument)] if separator else []
    except ValueError:
        return {}
    return {name.rstrip(":?+"): value for name, equals, value in pairs if equals}


def _database(path: str, values: Mapping[str, str]) -> Makefile:
    """The variables that `make -pn` lists."""
    makefile = _printed_variables(_make(path, values, "-pn"))
    if not makefile.variables:
        raise LineError(f"make lists no variables of {path}", hint="try `make -pn` by hand")
    return makefile


def _printed_variables(printed: str) -> Makefile:
    """Variables of make's printed database: plain assignments, each after a line on its origin."""
    listed = re.findall(r"^# (\w[^\n]*)\n([^\s:#=]+) (:?:?=) ?(.*)$", printed, re.MULTILINE)
    variables = {
        name: Variable(
            value.replace("$$", "$") if ":" in sign else value, _place(origin), ":" not in sign
        )
        for origin, name, sign, value in listed
    }
    return Makefile(variables, Expander(variables.get), files=["make -pn"])


def _place(origin: str) -> str:
    """`makefile (from 'Makefile', line 3)` as Makefile:3; other origins as make calls them."""
    match = re.fullmatch(r"makefile \(from '(.*)', line (\d+)\)", origin)
    return f"{match[1]}:{match[2]}" if match else origin


def _asked(path: str, values: Mapping[str, str], name: str) -> str:
    """The value that make itself gives a variable."""
    question = f"\nnnshell-asks:;@:\n$(info nnshell:$({name}))\n"
    printed = _make(path, values, "-n", "-f", "-", "nnshell-asks", text=question)
    match = re.search(r"^nnshell:(.*)$", printed, re.MULTILINE)
    if match is None:
        raise LineError(f"make does not tell the value of {name}", where=path)
    return match[1].strip()


def _make(path: str, values: Mapping[str, str], *options: str, text: str = "") -> str:
    """What make prints; LineError when it cannot be run, says nothing or takes too long."""
    if not Path(path).is_file():
        raise LineError(f"there is no Makefile {path}", hint="give its path: --makefile FILE")
    words = ["make", "-f", path, *options, *(f"{name}={value}" for name, value in values.items())]
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, errors="replace",
            timeout=_MAKE_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise LineError("make is not installed", hint="leave --makefile out") from None
    except subprocess.TimeoutExpired:
        raise LineError(f"make took more than {_MAKE_SECONDS} s", where=path) from None
    if len(done.stdout) > _MOST_OUTPUT or ("*** " in done.stderr and not done.stdout):
        reason = next(iter(done.stderr.splitlines()), "it prints too much")
        raise LineError(f"make cannot read {path}: {reason}")
    return done.stdout
