"""Each form of check: when it holds, and what it says when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnshell import flow
from nnshell.ir.graph import Graph
from nnshell.support.errors import UsageError
from nnshell.support.settings import Settings
from nnshell.tutorials.checks import FORMS, Evidence, parse_check


@pytest.fixture(scope="module")
def graph() -> Graph:
    opened = flow.open_graph("sample:lenet")
    flow.fuse(opened, "scale8")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1", limit=4)
    flow.quantize(opened, flow.calibrate(opened, images))
    return opened.graph


@pytest.fixture
def evidence(graph: Graph) -> Evidence:
    return Evidence(
        graph=graph,
        settings=Settings(input_divisor=255.0),
        results="lenet: steps\nTotal   accuracy: 70.0 %\nTotal accuracy: 93.46 % of 1,200",
        messages="warning: too dark",
        failures=("the graph is not quantized (lenet) - run aquant first",),
        unsaved=True,
    )


HOLDS = [
    "quantized",
    "node _conv1_Conv_fusion exists",
    "node _conv1_Conv_fusion/_Relu exists",
    "node _Relu absent",
    "steps == 17",
    "steps >= 17",
    "record input_1 scale == 0.0078",
    "record input_1 scale == 0.0078125",
    "record input_1 dtype == int8",
    "record _conv1_Conv_fusion zero_point == -128",
    "record _conv1_Conv_fusion/_conv1_Conv multiplier > 0",
    "record _conv1_Conv_fusion input_scale < 0.008",
    "setting input_divisor == 255",
    "setting check_passes == False",
    'prints "Total accuracy: 70.0 %"',
    'warns "too dark"',
    'fails "the graph is not quantized"',
    'number "Total accuracy:" == 93.5',
    'number "Total accuracy:" == 93',
    'number "of" == 1,200',
    'number "of" == 1200',
    'calculate "2 * (3 + 4)" == 14',
    'calculate "1/3" == 0.33',
    'calculate "45 * 112 // 2**4" == 315',
]
DOES_NOT = [
    ("not quantized", "the graph is quantized"),
    ("saved", "the graph has unsaved changes"),
    ("node nothing exists", "there is no node nothing"),
    ("node _conv1_Conv_fusion absent", "node _conv1_Conv_fusion is there"),
    ("steps == 3", "the number of steps is 17, not 3"),
    ("steps < 3", "the number of steps is 17, not < 3"),
    ("record input_1 scale == 0.007", "the scale of input_1 is 0.0078125, not 0.007"),
    ("record input_1 dtype == int32", "the dtype of input_1 is int8, not int32"),
    ("record input_1 multiplier == 3", "node input_1 has no multiplier"),
    ("record nothing scale == 3", "there is no node nothing"),
    ("setting input_divisor == 128", "setting input_divisor is 255, not 128"),
    ("setting nothing == 1", "there is no setting 'nothing'"),
    ('prints "Total accuracy: 12"', "no command printed"),
    ('warns "too bright"', "no command noted or warned"),
    ('fails "no graph"', "no command failed with"),
    ('number "Total accuracy:" == 93.6', "'Total accuracy:' is 93.46, not 93.6"),
    ('number "Total accuracy:" > 94', "'Total accuracy:' is 93.46, not > 94"),
    ('number "words" == 3', "no command printed a number after 'words'"),
    ('calculate "2 * 2" == 5', "2 * 2 is 4, not 5"),
]  # fmt: skip


@pytest.mark.parametrize("line", HOLDS)
def test_a_check_that_holds(line: str, evidence: Evidence) -> None:
    assert parse_check(line).unmet(evidence) == ""


@pytest.mark.parametrize(("line", "reason"), DOES_NOT)
def test_a_check_that_does_not_hold_says_why(line: str, reason: str, evidence: Evidence) -> None:
    assert reason in parse_check(line).unmet(evidence)


def test_checks_of_files(tmp_path: Path, evidence: Evidence) -> None:
    path = tmp_path / "a b.h"
    exists = parse_check('file "$(OUT)/a b.h" exists').written_to(str(tmp_path))
    contains = parse_check('file "$(OUT)/a b.h" contains "X 1"').written_to(str(tmp_path))
    assert "there is no file" in exists.unmet(evidence)
    assert "there is no file" in contains.unmet(evidence)
    path.write_text("#define X\t\t1\n")
    assert exists.unmet(evidence) == contains.unmet(evidence) == ""
    path.write_bytes(b"\xff\xfe")
    assert "does not contain 'X 1'" in contains.unmet(evidence)


def test_without_a_graph_a_check_says_so() -> None:
    nothing = Evidence(graph=None, settings=Settings())
    for line in ("quantized", "not quantized", "saved", "node x exists", "steps == 1"):
        assert parse_check(line).unmet(nothing) == "no graph is open"


def test_an_unknown_check_is_refused_with_forms_that_begin_so() -> None:
    with pytest.raises(UsageError, match="is no check - known: node NAME absent; node NAME exists"):
        parse_check("node x is red")
    with pytest.raises(UsageError, match="is no check - known: calculate"):
        parse_check("nodes 3")


def test_every_form_is_tried_here() -> None:
    tried = {parse_check(line).form.words for line in [*HOLDS, *(line for line, _ in DOES_NOT)]}
    with_files = {form.words for form in FORMS if form.words.startswith("file")}
    assert tried | with_files == {form.words for form in FORMS}
