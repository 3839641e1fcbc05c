"""Variables of Makefiles: what reading them as text gives is what make itself says."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnshell.shell.makefiles.functions import Undecided
from nnshell.shell.makefiles.read import Makefile, read_makefile

Run = Any  # the fixture of conftest.py

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)


def read(text: str, given: dict[str, str] | None = None) -> Makefile:
    Path("Makefile").write_text(text)
    return read_makefile("Makefile", given, {"FROM_OUTSIDE": "outside"})


def make_says(names: list[str], given: dict[str, str]) -> dict[str, str]:
    """The values that make gives the variables of ./Makefile."""
    asked = "\n".join(f"$(info {name}=[$({name})])" for name in names)
    words = [f"{name}={value}" for name, value in given.items()]
    done = subprocess.run(
        ["make", "-s", "-f", "Makefile", "-f", "-", "nothing", *words],
        input=f"{asked}\nnothing:;@:\n",
        env={"PATH": os.environ["PATH"], "FROM_OUTSIDE": "outside"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.partition("=[") for line in done.stdout.splitlines() if "=[" in line)
    return {name: value.removesuffix("]") for name, _, value in lines}


CASES = {
    "recursive": "A = $(B)x\nB = 1\n",
    "simple": "B = 1\nA := $(B)x\nB = 2\n",
    "appended": "A = 1\nA += $(B)\nB = 2\nC := 3\nC += $(B)\n",
    "conditional assignment": "A ?= 1\nA ?= 2\nFROM_OUTSIDE ?= here\nB = $(FROM_OUTSIDE)\n",
    "environment is overridden": "FROM_OUTSIDE = here\nB = $(FROM_OUTSIDE)\n",
    "command line wins": "GIVEN = no\nB = $(GIVEN)\noverride GIVEN = yes\nC := $(GIVEN)\n",
    "command line in a condition": "ifeq ($(GIVEN),3)\nA=1\nelse\nA=2\nendif\n",
    "continued lines": "A = a \\\n   b \\\n\tc\nB = x\\\ny\n",
    "comments": "A = 1 # one\nB = a\\#b\nC =# nothing\n#D = 1\n",
    "single letters and dollars": "X = 1\nA = $X$$Y $(X)$${Z}\n",
    "braces and computed names": "N = X\nX = 1\nA = ${X} $($(N))\n$(N)_Y = 2\nB = $(X_Y)\n",
    "substitution": "F = a.c b.c d.h\nA = $(F:.c=.o)\nB = $(F:%.c=obj/%.o)\n",
    "tabs before the first rule": "ifeq (a,a)\n\tA = 1\nelse\n\tA = 2\nendif\nall:\n\tA = 3\n",
    "tabs after an assignment": "all:\n\techo\nB = 1\n\tC = 2\n",
    "quoted sides": "T = a\nifeq '$(T)' 'a'\nA=1\nelse ifeq \"$(T)\" \"b\"\nA=2\nendif\n",
    "else chain": (
        "T=c\nifeq ($(T),a)\nA=1\nelse ifeq ($(T),b)\nA=2\nelse ifdef T\nA=3\nelse\nA=4\nendif\n"
    ),
    "nested conditions": (
        "ifdef NO\nifdef T\nA=1\nelse\nA=2\nendif\nelse\nifndef T\nA=3\nendif\nendif\n"
    ),
    "defined but empty": "E =\nifdef E\nA=1\nelse\nA=2\nendif\nR = $(E)\nifdef R\nB=1\nendif\n",
    "trailing blanks count": "T = 1 # one\nifeq ($(T),1)\nA=same\nelse\nA=differs\nendif\n",
    "rules and patterns": "all: A = 5\nall: b c\n\t$(A)\n%.o: %.c ; cc\nB = 2\n",
    "exports": "export A = 1\nexport B\nB = 2\nunexport A\n",
    "words": "L = c a b a\nA = $(sort $(L)) $(words $(L)) $(word 2,$(L)) $(wordlist 2,3,$(L))\n",
    "paths": (
        "P = src/a.c b.tar.gz\nA = $(notdir $(P)) $(dir $(P)) $(suffix $(P)) $(basename $(P))\n"
    ),
    "texts": (
        "A = $(subst a,b,banana) $(strip  x  y ) $(findstring an,banana)\n"
        "B = $(filter %.c d,a.c d e)\n"
    ),
    "joined": "A = $(addsuffix .c,a b) $(addprefix x,a b) $(join a b c,1 2) $(filter-out a,a b)\n",
    "first and last": "A = $(firstword a b c) $(lastword a b c) $(patsubst %.a,%.b,x.a y.c)\n",
    "choices": "A = $(if x,yes,no) $(if ,yes,no) $(or ,b,c) [$(and a,,c)]\n",
    "loops": "A = $(foreach v,1 2 3,<$(v)>)\nF = $(2)-$(1)\nB = $(call F,x,y)\n",
    "arithmetic": (
        "S = 1024\nA = $(shell expr 60000 \\- $(S) \\* 7)\nB = $(shell expr \\( 7 + 5 \\) / 5)\n"
    ),
    "errors are passed over": "ifdef NOWHERE\n$(error no)\nendif\nA = 1\n$(info hello)\n",
    "commas": "A = $(subst a,[,a b)\nB = $(if a,b,c,d) $(subst x,$(if a,b),xyz)\n",
    "plus in a name": "A+B = 1\nC = $(A+B)\nA-B=2\nD=$(A-B)\n",
}


@needs_make
@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_values_are_those_of_make(text: str) -> None:
    given = {"GIVEN": "3"}
    makefile = read(text, given)
    names = list(makefile.variables)
    expected = make_says(names, given)
    values = {name: makefile.value(name).split() for name in names}
    assert values == {name: expected[name].split() for name in names}


def test_a_variable_of_several_lines_is_read() -> None:
    makefile = read("define A\none\ntwo $(B)\nendef\nB = 2\nifdef A\nC = 3\nendif\n")
    assert makefile.value("A") == "one\ntwo 2"
    assert makefile.value("C") == "3"


@needs_make
def test_values_of_random_makefiles_are_those_of_make() -> None:
    generator = random.Random(9)
    for _ in range(40):
        text = "".join(random_lines(generator, 3))
        makefile = read(text, {"GIVEN": "3"})
        expected = make_says(sorted(makefile.variables), {"GIVEN": "3"})
        for name in makefile.variables:
            try:
                value = makefile.value(name)
            except Undecided as undecided:
                assert "refers to itself" in str(undecided), text
                continue
            assert value.split() == expected[name].split(), (name, text)


def random_lines(generator: random.Random, depth: int) -> list[str]:
    """Assignments and conditions on A to E; none refers to a later letter, so none to itself."""
    lines: list[str] = []
    for _ in range(generator.randint(1, 6)):
        position = generator.randrange(5)
        earlier = [f"$({name})" for name in "ABCDE"[:position]] + ["x", "3", "$(GIVEN)", ""]
        value = " ".join(generator.choices(earlier, k=generator.randint(0, 3)))
        if depth and generator.random() < 0.4:
            left, right = generator.choices(["x", "3", "$(A)", "$(B)", "$(GIVEN)", ""], k=2)
            word = generator.choice(
                [f"ifeq ({left},{right})", f"ifneq '{left}' '{right}'", "ifdef A"]
            )
            other = (
                ["else\n", *random_lines(generator, depth - 1)] if generator.random() < 0.6 else []
            )
            lines += [f"{word}\n", *random_lines(generator, depth - 1), *other, "endif\n"]
        else:
            lines.append(
                f"{'ABCDE'[position]} {generator.choice(['=', ':=', '?=', '+='])} {value}\n"
            )
    return lines


def test_files_are_included() -> None:
    Path("common").mkdir()
    Path("common/decl.mk").write_text("BUILD = BUILD_MODEL$(SUFFIX)\ninclude common/more.mk\n")
    Path("common/more.mk").write_text("MORE = $(BUILD)/x\n")
    makefile = read(
        "SUFFIX = _8\ninclude common/decl.mk gone.mk\n-include $(NOWHERE)/also_gone.mk\n"
    )
    assert makefile.value("MORE") == "BUILD_MODEL_8/x"
    assert makefile.unread == ["gone.mk", "/also_gone.mk"]
    assert makefile.variables["MORE"].place == "common/more.mk:1"


UNDECIDED = {
    "a program": ("A = $(shell cat /etc/passwd)\n", "$(shell ...)"),
    "a program after a sign": ("A != ls\n", "!= runs a program"),
    "files": ("A = $(wildcard *)\n", "$(wildcard ...)"),
    "a condition on a program": (
        "ifeq ($(shell uname),Linux)\nA = 1\nelse\nA = 2\nendif\n",
        "ifeq",
    ),
    "itself": ("A = $(A) x\n", "refers to itself"),
    "each other": ("A = $(B)\nB = $(A)\n", "refers to itself"),
    "an open reference": ("A = $(B\n", "never closed"),
    "deep nesting": (f"A = {'$(B' * 100}{')' * 100}\n", "too deeply"),
    "doubling": (
        "".join(f"V{n} = $(V{n - 1})$(V{n - 1})\n" for n in range(1, 200))
        + "V0 = x\nA = $(V199)\n",
        "too",
    ),
    "doubling of nothing": (
        "".join(f"V{n} = $(V{n - 1})$(V{n - 1})\n" for n in range(1, 50)) + "A = $(V49)\n",
        "too many references",
    ),
    "a long loop": (
        f"L = {'x ' * 300}\nA = $(foreach a,$(L),$(foreach b,$(L),$(a)))\n",
        "too many",
    ),
}


@pytest.mark.parametrize(("text", "reason"), UNDECIDED.values(), ids=UNDECIDED)
def test_what_only_make_knows_is_undecided_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(Undecided, match=re.escape(reason)):
        read(text).value("A")


def test_copies_of_a_large_value_are_bounded() -> None:
    lines = [f"V{n} := $(LARGE)\n" for n in range(20_000)]
    makefile = read(f"LARGE := {'x' * 50_000}\n" + "".join(lines))
    assert sum(len(variable.text) for variable in makefile.variables.values()) < 1 << 26
    assert makefile.value("V1") == "x" * 50_000


def test_comparisons_of_all_with_all_are_bounded() -> None:
    listed = " ".join(f"w{n}" for n in range(8_000))
    makefile = read(f"L := {listed}\n" + "A += $(filter $(L),$(L))\n" * 100)
    with pytest.raises(Undecided, match="too much work"):
        makefile.value("A")


@pytest.mark.parametrize("line", ["A = $(subst a,b)", "A = $(word x,y)", "A = $(shell expr 1 / 0)"])
def test_calls_that_make_would_refuse_are_undecided(line: str) -> None:
    with pytest.raises(Undecided):
        read(f"{line}\n").value("A")


def test_any_text_is_read() -> None:
    generator = random.Random(11)
    pieces = [
        *("A", "B", " ", "\t", "\n", "=", ":=", "+=", "?=", "!=", ":", "::", "$(", "${", ")", "}"),
        *("ifeq", "ifneq", "ifdef", "ifndef", "else", "endif", "define", "endef", "include"),
        *("(", ",", "'", '"', "$", "$$", "#", "\\", "\\\n", "%", "foreach", "call", "if", "export"),
        *("shell", "subst", "patsubst", "word", "-include", "override", "\r\n", "\0", "\udcff"),
    ]
    for _ in range(400):
        text = "".join(generator.choices(pieces, k=generator.randint(1, 60)))
        Path("Makefile").write_bytes(text.encode("utf-8", "surrogateescape"))
        makefile = read_makefile("Makefile")
        for name in makefile.variables:
            with contextlib.suppress(Undecided):
                makefile.value(name)


def test_makefiles_that_include_themselves_end() -> None:
    makefile = read("A = 1\ninclude Makefile\ninclude Makefile\n")
    assert makefile.value("A") == "1"
    assert len(makefile.files) <= 100


def test_pipes_are_not_waited_for() -> None:
    os.mkfifo("pipe.mk")
    assert read("include pipe.mk\nA = 1\n").value("A") == "1"


def test_a_script_finds_variables_of_the_makefile(run: Run) -> None:
    Path("Makefile").write_text(
        "RAM_TYPE ?= HYPER\nifeq '$(RAM_TYPE)' 'HYPER'\nRAM=AT_MEM_L3_HRAM\nendif\n"
    )
    Path("s.nns").write_text("set l3_ram_device $(RAM)\nset l3_ram_device\n")
    outcome = run("-s", "s.nns")
    assert outcome.status == 0
    assert outcome.out.endswith("l3_ram_device: 'AT_MEM_L3_HRAM'\n")
    assert "$(RAM) is AT_MEM_L3_HRAM, from Makefile:3" in outcome.err


def test_d_comes_before_the_environment_before_the_makefile(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("Makefile").write_text("ONE = makefile\nTWO = makefile\nTHREE = makefile\nSEEN = $(ONE)\n")
    monkeypatch.setenv("TWO", "environment")
    monkeypatch.setenv("ONE", "environment")
    lines = [f"set_var {name}" for name in ("ONE", "TWO", "THREE", "SEEN")]
    Path("s.nns").write_text("\n".join(lines))
    outcome = run("-D", "ONE=given", "-s", "s.nns")
    assert outcome.out.splitlines() == [
        *("ONE: 'given'", "TWO: 'environment'", "THREE: 'makefile'", "SEEN: 'given'")
    ]


def test_variables_of_makes_own_command_line_count(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("Makefile").write_text("TYPE = DEFAULT\nA = $(TYPE)\n")
    monkeypatch.setenv("MAKEFLAGS", "w -j2 -- TYPE=HYPER OTHER=a\\ b")
    assert run("-e", "set_var A").out == "A: 'HYPER'\n"


def test_defaults_of_the_sdk_are_said_in_one_line(run: Run) -> None:
    outcome = run("-e", "set l3_flash_device $(MODEL_L3_FLASH)", "-e", "set_var MODEL_L3_FLASH")
    assert outcome.status == 0
    assert outcome.err == (
        "$(MODEL_L3_FLASH) is AT_MEM_L3_HFLASH, as in the GAP SDK: nothing here sets it\n"
    )


def test_an_empty_value_of_a_setting_that_does_nothing_here_is_fine(run: Run) -> None:
    outcome = run("-e", "set privileged_l3_flash_device $(MODEL_SEC_L3_FLASH)")
    assert outcome.status == 0


def test_a_value_that_only_make_knows_says_what_to_type(run: Run) -> None:
    Path("Makefile").write_text("A = $(shell date)\n")
    outcome = run("-e", "set_var B $(A)")
    assert outcome.status == 1
    assert "`--makefile Makefile` runs make to know it" in outcome.err
    assert "Makefile:1" in outcome.err


@needs_make
def test_makefile_option_asks_make(run: Run) -> None:
    Path("other.mk").write_text("A = $(shell echo hello) $(B)\nB := x\nall:;@touch ran\n")
    outcome = run("--makefile", "other.mk", "-e", "set_var A", "-e", "set_var B")
    assert outcome.out == "A: 'hello x'\nB: 'x'\n"
    assert not Path("ran").exists()


def test_a_makefile_that_is_not_there_is_an_error(run: Run) -> None:
    outcome = run("--makefile", "gone.mk", "-e", "set_var A $(X)")
    assert outcome.status == 1
    assert "there is no Makefile gone.mk" in outcome.err


RULES = """
BUILD = BUILD_MODEL$(SUFFIX)
STATE = $(BUILD)/net.json
ifeq '$(FLASH_TYPE)' 'QSPI'
  MODEL_L3_FLASH = AT_MEM_L3_QSPIFLASH
else
  MODEL_L3_FLASH = AT_MEM_L3_DEFAULTFLASH
endif

$(STATE): net.onnx
\tmkdir -p $(BUILD)
\tcp net.onnx $(BUILD)/net.onnx
\t$(NNTOOL) -s model/nntool_script $(BUILD)/net.onnx

nntool_gen: $(STATE)
\t$(NNTOOL) -g -M $(BUILD) -m netModel.c -T $(BUILD)/tensors -H netInfo.h $<
"""
SCRIPT = """\
set debug true
adjust
fusions --scale8
fquant
set l3_flash_device $(MODEL_L3_FLASH)
set l3_ram_device $(MODEL_L3_RAM)
set graph_warm_construct true
save_state
"""


@needs_make
def test_the_flow_of_an_sdk_project_works_with_make(project: Path) -> None:
    Path("model").mkdir()
    Path("model/nntool_script").write_text(SCRIPT)
    Path("rules.mk").write_text(RULES)
    Path("Makefile").write_text("FLASH_TYPE = DEFAULT\nSUFFIX = _SQ8BIT\ninclude rules.mk\n")
    shutil.copy(project / "net.onnx", "net.onnx")
    done = subprocess.run(
        ["make", "FLASH_TYPE=QSPI", f"NNTOOL={sys.executable} -m nnshell", "nntool_gen"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    model = Path("BUILD_MODEL_SQ8BIT/netModel.c").read_text()
    assert "AT_MEM_L3_QSPIFLASH" in model and "AT_MEM_L3_DEFAULTFLASH" not in model
    assert list(Path("BUILD_MODEL_SQ8BIT/tensors").iterdir())
