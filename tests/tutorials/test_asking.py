"""Questions of a walkthrough: read, judged, kept; other data, other languages, places kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.shell.app import Shell
from nnshell.shell.bookmarks import Bookmark, Bookmarks
from nnshell.shell.history import HistoryFile
from nnshell.shell.tutor import guide
from nnshell.support.errors import UsageError
from nnshell.support.settings import Settings
from nnshell.tutorials import lesson_data, walkthrough
from nnshell.tutorials.asking import number_of, parse_question, translated_question
from nnshell.tutorials.checks import Evidence
from nnshell.tutorials.tour import Reply
from nnshell.tutorials.walkthrough import parse, translated
from nnshell.tutorials.words import words

from .conftest import Output

Type = Callable[..., str]
NOTHING = Evidence(None, Settings())

LESSON = """# Lesson

A summary.

```sample
MODEL sample:mlp
CALIBRATION sample:mlp_inputs
TEST sample:mlp_inputs
NORM x: x
```

## Weights

Why to look at weights.

```ask
How many values has the first layer?
choice 5
right 6
hint 2 x 3
```

```nnshell
open $(MODEL)
weights 1
```

```ask
What is the largest of them?
number weights 1 maximum
within 0.005
hint the column Max
```

```ask
What do you think of it?
free
```

What is to be seen: 0.6.

```check
prints "hidden1_weights"
```

## Integers

Why to quantize.

```nnshell
adjust
fusions --scale8
aquant $(CALIBRATION)
```

```ask
How many bits?
number 8
```

What became of it.

```check
quantized
node hidden1_fusion exists
```
"""

TRANSLATION = """# Leçon

Un résumé.

## Poids

Pourquoi regarder les poids.

```ask
Combien de valeurs ?
choice cinq
right six
```

***

```ask
Quelle est la plus grande ?
```

```ask
Qu'en pensez-vous ?
```

Ce qu'on voit : 0.6.

## Entiers

Pourquoi quantifier.

***

```ask
Combien de bits ?
hint un octet
```

Ce que cela donne.
"""


# -- one question ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" -0.5 ", -0.5),
        ("0,44", 0.44),
        ("-0,467", -0.467),
        ("62,714", 62714),
        ("1,062,714", 1062714),
        ("25 %", 25),
        ("25%", 25),
        ("450 bytes", 450),
        ("-33.5 dB", -33.5),
        ("1/128", 1 / 128),
        ("2^-7", 1 / 128),
        ("0.5 * 0.25 + 1", 1.125),
        ("1e-3", 0.001),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    assert number_of(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text", ["", "weights 1", "show", "1/0", "9**9**9**9", "__import__", "e", "1 2", "0x10"]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert number_of(text) is None


def test_a_number_is_right_within_its_tolerance() -> None:
    absolute = parse_question(["How many?", "number 100", "within 2"], 1)
    assert [absolute.is_right(t, NOTHING) for t in ("98", "102", "97.9", "102.1")] == [
        *(True, True, False, False)
    ]
    relative = parse_question(["How many?", "number 200", "within 5 %"], 1)
    assert [relative.is_right(t, NOTHING) for t in ("190", "210", "189", "211")] == [
        *(True, True, False, False)
    ]
    assert relative.direction("300", NOTHING) == "large"
    assert relative.direction("3", NOTHING) == "small"


def test_a_choice_is_a_letter_or_its_text() -> None:
    question = parse_question(["Which?", "choice one", "right two", "choice three"], 1)
    assert question.lettered() == ["a) one", "b) two", "c) three"]
    for typed in ("b", "B)", "b.", "two", "Two"):
        assert question.reads(typed, lambda _: False) is not None
        assert question.is_right(typed, NOTHING)
    assert not question.is_right("a", NOTHING)
    assert question.reads("d", lambda _: False) is None
    assert question.shown("b") == "two"


def test_commands_are_no_answers_to_a_free_question_unless_said() -> None:
    question = parse_question(["What do you think?", "free"], 1)
    assert question.reads("show 3", lambda word: word == "show") is None
    assert question.reads("answer show it", lambda word: word == "show") == "show it"
    assert question.reads("because", lambda _: False) == "because"


def test_quantities_are_those_of_the_session() -> None:
    project = flow.open_graph("sample:lenet")
    evidence = Evidence(project.graph, Settings(), results="Total accuracy: 93.50 % of 1,234")
    value = project["_conv1_Conv_weights"].op.known_value.astype(np.float64)
    for field, expected in (
        ("count", value.size),
        ("minimum", value.min()),
        ("sigma", value.std()),
        ("high_3", value.mean() + 3 * value.std()),
        ("outside_2", 100 * (np.abs(value - value.mean()) > 2 * value.std()).mean()),
    ):
        question = parse_question(["?", f"number weights 1 {field}"], 1)
        assert question.expected(evidence) == pytest.approx(float(expected), rel=1e-5)
    assert parse_question(["?", 'number printed "% of"'], 1).expected(evidence) == 1234
    assert parse_question(["?", 'number calculate "2 ** 8"'], 1).expected(evidence) == 256


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Which?"], "has a number, choices, or is free"),
        (["Which?", "number 1", "free"], "has a number, choices, or is free"),
        (["Which?", "choice a", "choice b"], "one of them right"),
        (["Which?", "right a"], "two to nine"),
        (["number 1"], "has a number"),
        (["Which?", "number guess x"], "no quantity"),
        (["Which?", "number 1", "within much"], "no tolerance"),
        (["Which?", "number 1", "about 3"], "none of number"),
        (["Which?", 'number calculate "1 +"'], "no value"),
    ],
)
def test_malformed_questions_are_refused(lines: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_question(lines, 1).expected(NOTHING)


# -- at the prompt -----------------------------------------------------------------------------


@pytest.fixture
def typed(shell: Shell, tmp_path: Path, output: Output) -> Type:
    guide(shell, parse(LESSON, "lesson"), None, tmp_path / "out")
    return _typing(shell, output)


def _typing(shell: Shell, output: Output) -> Type:
    def _type(*lines: str) -> str:
        output.new()
        for line in lines:
            shell.onecmd_plus_hooks(shell.guide.read(line) if shell.guide else line)
        return output.new()

    return _type


def test_it_asks_before_the_commands_and_before_it_tells(typed: Type, shell: Shell) -> None:
    assert "type your answer" in shell.get_bottom_toolbar()
    shown = typed("a")
    assert "No." in shown and "Hint: 2 x 3" in shown and "Type:" not in shown
    assert "open sample:mlp" in (shown := typed("b")) and "Right." in shown
    shown = typed("", "")
    assert "What is the largest of them?" in shown and "What is to be seen" not in shown
    assert "No: too large." in typed("0.7")
    assert "No: too small." in typed("0,5")
    assert "What do you think" in typed("0.6")
    assert "What is to be seen" in typed("it is small")
    answers = shell.session.project.answers
    assert [(a.answer, a.right) for a in answers] == [
        *(("6", True), ("0.6", True), ("it is small", None))
    ]
    assert {a.lesson for a in answers} == {"lesson.md"}


def test_commands_may_be_typed_while_a_question_is_open(typed: Type) -> None:
    shown = typed("doctor")
    assert "How many values" in shown and "Type:" not in shown
    assert "What is the largest" in typed("6", "", "", "weights 1")


def test_enter_gives_a_hint_and_then_the_answer(typed: Type, shell: Shell) -> None:
    assert "Hint: 2 x 3" in typed("")
    shown = typed("")
    assert "The answer: 6" in shown and "Type:" in shown
    typed("", "")
    (answer,) = shell.session.project.answers
    assert answer.answer == "" and answer.right is False


def test_answers_follow_to_the_next_graph_and_leave_with_the_session(
    typed: Type, shell: Shell
) -> None:
    typed("b", "open sample:lenet", "open sample:mlp")
    assert [a.answer for a in shell.session.project.answers] == ["6"]
    typed("back", "quit")
    assert shell.guide is None and not shell.session.opened


def test_the_page_to_hand_in_has_questions_and_answers(typed: Type, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the page is made of templates")
    typed("b", "", "", "0.6", "it is <small>", f"report {tmp_path}/page.html")
    page = (tmp_path / "page.html").read_text()
    assert "How many values has the first layer?" in page and "it is &lt;small&gt;" in page


def test_skip_leaves_questions_out(typed: Type, shell: Shell) -> None:
    assert "Integers" in typed("skip")
    assert "What became of it." in typed("", "", "", "8")


@pytest.fixture
def kept(shell: Shell, tmp_path: Path) -> Shell:
    shell._history = HistoryFile(tmp_path / "state" / "history")
    return shell


def test_the_place_and_the_answers_are_kept(
    kept: Shell, tmp_path: Path, output: Output, capfd: pytest.CaptureFixture[str]
) -> None:
    lesson = tmp_path / "lesson.md"
    lesson.write_text(LESSON)
    typed = _typing(kept, output)
    typed("tutorial lesson.md", "b", "", "", "0.6", "fine", "", "_eof")
    assert "goes on from here" in capfd.readouterr().err
    assert kept.guide is None
    shown = typed("tutorial lesson.md")
    assert "Step 2 of 2" in shown and "Step 1 of 2" not in shown
    assert "where you left" in capfd.readouterr().err
    assert [a.answer for a in kept.session.project.answers] == []  # until something is done
    typed("", "", "")
    assert [a.answer for a in kept.session.project.answers] == ["6", "0.6", "fine"]
    typed("8", "")
    assert kept.guide is None
    assert "Step 1 of 2" in typed("tutorial lesson.md")


def test_a_tutorial_can_begin_anew(kept: Shell, tmp_path: Path, output: Output) -> None:
    (tmp_path / "lesson.md").write_text(LESSON)
    typed = _typing(kept, output)
    typed("tutorial lesson.md", "skip", "quit")
    assert "Step 1 of 2" in typed("tutorial lesson.md --step 1")


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{", '{"x": 3}', '{"x": {"step": 0, "answers": []}}'),
        *('{"x": {"step": 2, "answers": [{}]}}', '{"x": {"step": "a", "answers": []}}'),
    ],
)
def test_bookmarks_that_cannot_be_read_count_as_absent(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tutorials.json"
    path.write_text(content)
    bookmarks = Bookmarks(path)
    assert bookmarks.find("x") is None
    mark = Bookmark(3, (Reply("q", "a", None, ""),))
    bookmarks.keep("x", mark)
    assert Bookmarks(path).find("x") == mark
    bookmarks.forget("x")
    assert json.loads(path.read_text()).get("x") is None


# -- own data ----------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    from nnshell.support.samples import resolve

    folder = tmp_path / "own"
    (folder / "train").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(resolve("sample:mlp").read_bytes())
    inputs = np.load(resolve("sample:mlp_inputs") / "inputs.npy")
    np.save(folder / "train" / "inputs.npy", inputs)
    np.save(folder / "test.npy", inputs)
    yield folder


def test_a_folder_s_names_say_what_it_holds(own: Path) -> None:
    data = lesson_data.find(own)
    assert data.model == str(own / "model.onnx") and data.norm == ""
    assert data.calibration == str(own / "train") and data.test == str(own / "test.npy")
    (own / "lesson.toml").write_text('test = "train"\nnorm = "x: x/2"\n')
    assert lesson_data.find(own).variables() == {
        "MODEL": str(own / "model.onnx"),
        "CALIBRATION": str(own / "train"),
        "TEST": str(own / "train"),
        "NORM": "x: x/2",
    }


def test_a_model_may_lie_elsewhere(own: Path, tmp_path: Path) -> None:
    (own / "model.onnx").rename(tmp_path / "net.onnx")
    (own / "lesson.toml").write_text('model = "../net.onnx"\n')
    assert Path(lesson_data.find(own).model).resolve() == tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: (own / "model.onnx").unlink(), "no model"),
        (lambda own: (own / "b.tflite").touch(), "2 models"),
        (lambda own: (own / "test.npy").unlink(), "nothing called test or val"),
        (lambda own: (own / "lesson.toml").write_text("x = 1"), "'x' is not known"),
        (lambda own: (own / "lesson.toml").write_text("x ="), "not TOML"),
        (lambda own: (own / "lesson.toml").write_text("norm = 3"), "no text"),
    ],
)
def test_what_a_folder_lacks_is_said(
    own: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(own)
    with pytest.raises(UsageError, match=message):
        lesson_data.find(own)


def test_on_own_data_numbers_of_the_session_are_judged_and_written_ones_are_kept(
    shell: Shell, own: Path, output: Output
) -> None:
    tour = parse(LESSON, "lesson").with_data(lesson_data.find(own).variables())
    assert [check.text for step in tour.steps for check in step.checks] == ["quantized"]
    guide(shell, tour, None, own / "out")
    typed = _typing(shell, output)
    typed("6")
    assert "Still to do: weights 1" in typed("", "pwd")
    assert "largest" in typed("")
    assert "too large" in typed("12")
    typed("0.6", "fine", "", "", "", "")
    assert "on the sample data it is 8" in typed("7")


def test_a_tutorial_without_a_place_for_data_refuses_it(
    shell: Shell, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shell.onecmd_plus_hooks(f"tutorial slow --auto --data {own}")
    assert "has no place for other data" in capfd.readouterr().err


# -- other languages ---------------------------------------------------------------------------


def test_a_translation_is_a_file_of_texts(shell: Shell, tmp_path: Path, output: Output) -> None:
    tour = translated(parse(LESSON, "lesson"), TRANSLATION, "lesson.fr.md", "fr")
    assert tour.title == "Leçon" and tour.steps[0].commands[0].text == "open $(MODEL)"
    assert tour.steps[0].after[0].hint == "the column Max"  # kept where none is written
    guide(shell, tour, None, tmp_path / "out")
    typed = _typing(shell, output)
    assert "Exact." in typed("b")
    assert "Non : trop grand." in typed("", "", "9")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("## Entiers", "Entiers", "and 2 steps"),
        ("***", "", "is not that of"),
        ("choice cinq\n", "", "has 2 choices"),
        ("# Leçon\n", "", "a title"),
    ],
)
def test_a_translation_that_does_not_fit_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        translated(parse(LESSON, "lesson"), TRANSLATION.replace(old, new), "lesson.fr.md", "fr")


def test_a_translated_question_keeps_what_is_right() -> None:
    base = parse_question(["Which?", "choice one", "right two"], 1)
    other = translated_question(base, ["Lequel ?", "choice un", "choice deux"])
    assert other.choices == ("un", "deux") and other.right == 1


TRANSLATIONS = [
    (name, code) for name in walkthrough.names() for code in walkthrough.languages(name)
]


@pytest.mark.parametrize(("name", "code"), TRANSLATIONS)
def test_every_translation_fits_its_tutorial(name: str, code: str) -> None:
    base, tour = walkthrough.load(name), walkthrough.load(name, code)
    assert len(tour.steps) == len(base.steps)
    for one, other in zip(base.steps, tour.steps, strict=True):
        assert other.why != one.why and other.look != one.look
        decimals = [set(re.findall(r"\d+\.\d+", step.look)) for step in (one, other)]
        assert decimals[0] == decimals[1], one.title
        assert [q.text for q in other.before + other.after] != [
            q.text for q in one.before + one.after
        ] or not one.before + one.after


def test_phrases_of_every_language_have_the_same_places() -> None:
    english = words("")
    for code in {code for _, code in TRANSLATIONS}:
        for key, phrase in words(code).items():
            values = dict.fromkeys(("number", "count", "title", "text", "reason"), "X")
            assert phrase.format(**values).count("X") == english[key].format(**values).count("X")


def test_a_language_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="not there in 'xx'"):
        walkthrough.load("slow", "xx")
