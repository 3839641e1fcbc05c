"""Labs: all run, on samples and other data, and their numbers are those of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.reports.table import Table
from nnshell.shell.app import Shell
from nnshell.support.errors import UsageError
from nnshell.support.samples import resolve
from nnshell.tutorials import lesson_data
from nnshell.tutorials.lab_work import LabWork, kl_divergence
from nnshell.tutorials.labs import LABS, find, labs_table
from nnshell.tutorials.lesson_data import LessonData

from .conftest import Output

SMALL = LessonData("sample:mlp", "sample:mlp_inputs", "sample:mlp_inputs")


@pytest.mark.parametrize("name", LABS)
def test_every_lab_makes_its_table(name: str) -> None:
    lab = find(name.upper())
    data = SMALL if name in ("b", "f", "g", "j") else lab.sample  # learning takes its time
    parts = list(lab.run(LabWork(data, limit=12, images=6)))
    tables = [part for part in parts if isinstance(part, Table)]
    assert all(table.rows for table in tables)
    assert tables or any(isinstance(part, str) and len(part) > 100 for part in parts)
    assert lab.published and lab.conclusion and lab.prompt


def test_the_list_names_all_labs() -> None:
    assert [row[0] for row in labs_table().rows] == list(LABS)
    with pytest.raises(UsageError, match="there is no lab 'z'"):
        find("z")


def test_a_lab_s_accuracy_is_that_of_validate() -> None:
    work = LabWork(LABS["c"].sample, limit=40, images=10)
    (table,) = LABS["c"].run(work)
    assert isinstance(table, Table)
    project = work.quantized(work.project())
    images = flow.load_inputs("sample:test", norm="x: x/128-1", limit=40)
    report = flow.validate(project, images, "int8")
    row = next(row for row in table.rows if row[0] == "all")
    assert row[1] == pytest.approx(100 * (report.accuracy or 0))


def test_the_kl_divergence_is_that_of_a_sum_over_samples() -> None:
    generator = np.random.default_rng(0)
    mean, logvar = np.array([[0.5]]), np.array([[-1.0]])
    x = mean[0, 0] + np.exp(-0.5) * generator.standard_normal(200_000)
    inside = -0.5 * ((x - 0.5) ** 2 / np.exp(-1.0)) - 0.5 * -1.0
    outside = -0.5 * x**2
    assert kl_divergence(mean, logvar) == pytest.approx(float((inside - outside).mean()), abs=0.01)


def test_the_losses_of_floats_are_those_of_the_float_network() -> None:
    work = LabWork(LABS["vae"].sample, limit=20, images=10)
    (table,) = LABS["vae"].run(work)
    assert isinstance(table, Table)
    project = flow.open_graph("sample:vae")
    batches = work.tests(project)
    keys = [node.name for node in project.outputs]
    outputs = flow.run(project, batches[0].arrays, engine="float")
    t = batches[0].arrays[0].reshape(20, -1)
    y = outputs[keys[0]].reshape(20, -1)
    assert table.rows[0][1] == pytest.approx(float(np.square(y - t).mean()), rel=1e-4)
    assert table.rows[0][3] == pytest.approx(
        kl_divergence(outputs[keys[1]], outputs[keys[2]]), rel=1e-4
    )


def test_a_lab_takes_a_folder(shell: Shell, output: Output, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "test").mkdir(parents=True)
    (folder / "net.onnx").write_bytes(resolve("sample:mlp").read_bytes())
    inputs = np.load(resolve("sample:mlp_inputs") / "inputs.npy")
    for name in ("train.npy", "test/all.npy"):
        np.save(folder / name, inputs)
    assert lesson_data.find(folder).norm == ""
    for name in ("e", "h"):
        shell.onecmd_plus_hooks(f"lab {name} --data mine")
        assert shell.failures == 0, shell.last_failure
    shown = output.new()
    assert "17 parameters" in shown and f"open {folder.name}/net.onnx" in shown
    assert " only" not in shown.partition("Lab h")[2].partition("published")[0]  # no labels


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lab z", "there is no lab 'z'"),
        ("lab --data .", "which lab?"),
        ("lab a --limit 0", "--limit is at least 1"),
        ("lab vae --data mlp", "no model"),
    ],
)
def test_mistakes_are_one_line(
    shell: Shell, line: str, message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mlp").mkdir()
    shell.onecmd_plus_hooks(line)
    assert message in capfd.readouterr().err
    assert shell.failures == 1


def test_the_session_is_left_alone(shell: Shell) -> None:
    shell.onecmd_plus_hooks("open sample:mlp")
    graph: Any = shell.session.graph
    shell.onecmd_plus_hooks("lab a --format json")
    assert shell.session.graph is graph and shell.failures == 0
