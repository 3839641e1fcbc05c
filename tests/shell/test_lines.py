"""One scanner for all lines: quotes, comments, variables, redirection."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.shell.legacy import modernize
from nnshell.shell.lines import LineError, scan, strip_comment
from nnshell.support.errors import NNShellError

VARIABLES = {"A": "1", "LIST": "x  y z", "EMPTY": "", "PADDED": " p ", "CODE": "'q' # > | ;"}

# Text without the characters that the shell's own rules add to a POSIX shell's.
plain = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)))


def words(text: str) -> list[str]:
    return scan(text, VARIABLES).texts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("   \t", []),
        ("# a comment", []),
        ("  # a comment", []),
        ("open a.onnx # why", ["open", "a.onnx"]),
        ("open a#1.onnx", ["open", "a#1.onnx"]),
        ("open '#1.onnx'", ["open", "#1.onnx"]),
        ("open a.onnx\r\n", ["open", "a.onnx"]),
        ('set f "x: x/128-1"', ["set", "f", "x: x/128-1"]),
        ("set f '(x/255-0.5)/0.5'", ["set", "f", "(x/255-0.5)/0.5"]),
        ('set f --g="a b"c', ["set", "f", "--g=a bc"]),
        ('set f ""', ["set", "f", ""]),
        (r"open a\ b", ["open", "a b"]),
        (r'set f "a\"b\\c\d"', ["set", "f", 'a"b\\c\\d']),
        ("save {HOME} $HOME ${A}", ["save", "{HOME}", "$HOME", "${A}"]),
        ("set v $(A)", ["set", "v", "1"]),
        ("set v a$(A)b", ["set", "v", "a1b"]),
        ('set v "$(LIST)"', ["set", "v", "x  y z"]),
        ("set v $(LIST)w", ["set", "v", "x", "y", "zw"]),
        ("set v a$(PADDED)b", ["set", "v", "a", "p", "b"]),
        ("set v $(EMPTY)", ["set", "v"]),
        ("set v a$(EMPTY)b", ["set", "v", "ab"]),
        ("set v '$(A)'", ["set", "v", "$(A)"]),
        (r"set v \$(A)", ["set", "v", "$(A)"]),
        (r'set v "\$(A)"', ["set", "v", "$(A)"]),
        ("set v $(CODE)", ["set", "v", "'q'", "#", ">", "|", ";"]),
        ("set v a;b", ["set", "v", "a;b"]),
        ("set v ';'", ["set", "v", ";"]),
        ("open a\u00a0b", ["open", "a", "b"]),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "redirector", "target"),
    [
        ("show > out.txt", ">", "out.txt"),
        ("show>out.txt", ">", "out.txt"),
        ("show >> 'my out.txt' # log", ">>", "my out.txt"),
        ("show > $(A).txt", ">", "1.txt"),
        ("show | grep conv", "|", "grep conv"),
        ("show|grep 'a # b' # c", "|", "grep 'a # b'"),
        ('show | grep "$(A)" | wc -l > n', "|", 'grep "1" | wc -l > n'),
        (r'show | grep "\$(NOT)"', "|", r'grep "\$(NOT)"'),
        ("show '>' x", "", ""),
    ],
)
def test_redirection(line: str, redirector: str, target: str) -> None:
    scanned = scan(line, VARIABLES)
    assert scanned.words[0].text == "show"
    assert (scanned.redirector, scanned.target) == (redirector, target)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("set f 'x", "column 7"),
        ('set f "x', "column 7"),
        ("set f $(A", "column 7"),
        ("set f $(MISSING)", "MISSING"),
        ('set f "$(MISSING)"', "MISSING"),
        ("show | grep $(MISSING)", "MISSING"),
        ("set f $(shell ls)", "shell ls"),
        ("open a.onnx; show", "';'"),
        ("open a.onnx ; show", "';'"),
        ("open a.onnx \\", "\\"),
        ("show >", "'>'"),
        ("show > a b", "'>'"),
        ("show > a > b", "'>'"),
        ("show > ''", "'>'"),
        ("show |", "'|'"),
        ("> a", "'>'"),
        ("show \0", "NUL"),
        ("| a", "'|'"),
    ],
)
def test_a_line_that_cannot_be_read_says_what_is_wrong(line: str, named: str) -> None:
    with pytest.raises(LineError) as caught:
        scan(line, VARIABLES)
    assert named in caught.value.message
    assert caught.value.hint


def test_an_undefined_variable_lists_a_near_one() -> None:
    with pytest.raises(LineError, match="IMAGES"):
        scan("aquant $(IMAGE)", {"IMAGES": "x"})


@given(
    st.lists(st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",))))
)
def test_quoted_words_come_back_as_they_were(texts: list[str]) -> None:
    assert words(shlex.join(texts)) == texts


@given(st.lists(st.text(alphabet="ab' \"\\#\t-=")).map("".join))
def test_words_are_those_of_a_posix_shell(line: str) -> None:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="")
        lexer.whitespace_split, lexer.commenters = True, ""
        expected = list(lexer)
    except ValueError:
        with pytest.raises(LineError):
            scan(line.replace("#", "x"), VARIABLES)
        return
    assert words(line.replace("#", "x")) == [word.replace("#", "x") for word in expected]


@given(plain)
def test_any_text_is_words_or_one_error(line: str) -> None:
    try:
        scanned = scan(line, VARIABLES)
    except NNShellError as error:
        assert "\n" not in str(error)
        return
    assert all(isinstance(word.text, str) for word in scanned.words)


@given(st.lists(st.sampled_from(["open", "$(A)", "'$(A)'", '"$(LIST)"', "x#y", "#c", "a\\ b"])))
def test_a_comment_changes_nothing_before_it(parts: list[str]) -> None:
    line = " ".join(parts)
    assert words(f"{line} # $(MISSING) 'open") == words(line)


@given(st.text(alphabet="a $()AB'\"\\#", max_size=12))
def test_the_text_for_a_program_keeps_its_quotes(text: str) -> None:
    try:
        kept = strip_comment(text, {"A": "1"})
    except LineError:
        return
    assert kept.count("'") <= text.count("'")
    assert "$(A)" not in kept or "'" in text or "\\" in text


def modern(line: str) -> tuple[list[str], list[str]]:
    changed, warnings = modernize(scan(line, VARIABLES).words)
    return [word.text for word in changed], warnings


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fusions \u2013scale8", ["fusions", "--scale8"]),
        ("fusions -\u2013scale8", ["fusions", "--scale8"]),
        ("fusions \u2014scale8", ["fusions", "--scale8"]),
        ("aquant \u2013H 32", ["aquant", "-H", "32"]),
        ("show \u22121", ["show", "-1"]),
        ("fusion --scale8", ["fusions", "--scale8"]),
    ],
)
def test_old_spellings_work_with_a_warning(line: str, expected: list[str]) -> None:
    texts, warnings = modern(line)
    assert texts == expected
    assert len(warnings) == 1


@pytest.mark.parametrize("line", ["show '\u2013x'", "open a\u2013b.onnx", "open \u2013", "fusions"])
def test_a_dash_inside_quotes_or_words_stays(line: str) -> None:
    texts, warnings = modern(line)
    assert texts == words(line)
    assert not warnings


def test_a_dropped_setting_warns() -> None:
    assert modern("set gen_name_suffix _x")[1]
    assert not modern("set l1_size 1")[1]
