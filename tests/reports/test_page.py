"""The page of `report`: whole, self-contained, and what it says is what the project is."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import nnshell
from nnshell.reports import plots
from nnshell.reports.graph_layout import Arrow, Box, GraphPicture
from nnshell.reports.page import content
from nnshell.reports.page.render import page_html
from nnshell.reports.table import Column, Table, with_bars
from nnshell.session.page import page_of
from nnshell.session.project import Answer, Project
from nnshell.support.errors import NNShellError

for _name in ("jinja2", "matplotlib", "fast_sugiyama"):
    pytest.importorskip(_name)

HOSTILE = (
    '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&{{ 7*7 }}'
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def quantized() -> Project:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1")
    nnshell.quantize(project, nnshell.calibrate(project, images))
    return project


@pytest.fixture(scope="module")
def project() -> Project:
    project = quantized()
    project.answers.append(Answer(f"What? {HOSTILE}", "this", True, "indeed", "lab 1"))
    project.answers.append(Answer("Why?", "because", False))
    return project


@pytest.fixture(scope="module")
def page(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "lenet.html"
    return nnshell.report(project, path, "sample:test")


class Tags(HTMLParser):
    """Every element with its attributes, and whether all that open are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_a_page_of_lenet_is_small_and_loads_nothing(page: Path) -> None:
    text = page.read_text()
    assert len(text) < 1_000_000
    for tag, attributes in Tags(text).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "default-src 'none'" in text


def test_a_page_says_what_the_project_is(page: Path, project: Project) -> None:
    text = html.unescape(page.read_text())
    report = nnshell.validate(project, "sample:test", "int8")
    assert report.accuracy is not None and f"{100 * report.accuracy:.2f} %" in text
    assert f"{nnshell.simulate(project).total_cycles:,} cycles" in text
    for node in project:
        if node.op.role != "constant":
            assert node.name in text


def test_names_of_any_kind_are_text(page: Path) -> None:
    text = page.read_text()
    assert HOSTILE not in text and "<img" not in text
    assert html.escape(HOSTILE, quote=False)[:20] in text.replace("&#34;", '"').replace(
        "&#39;", "'"
    )


def hostile_page() -> str:
    """Every kind of part, with names that would like to be more than names."""
    histogram = plots.Histogram(HOSTILE, -1, 1, (1, 2), 0.0, 0.5, (-1, 1))
    columns = (Column(HOSTILE), Column("Size", "right"))
    table = with_bars(Table(HOSTILE, columns, ((HOSTILE, 1),), notes=(HOSTILE,)), HOSTILE, "Size")
    box = Box(HOSTILE, (HOSTILE,), "fusion", 100, 30, 40, HOSTILE)
    picture = GraphPicture((box,), (Arrow(((0, 0), (9, 9)), HOSTILE),), 200, 80)
    parts = (
        content.Drawn(HOSTILE, plots.Histograms((histogram,)), HOSTILE),
        content.Drawn(HOSTILE, plots.Curves(HOSTILE, (1, 2), HOSTILE, {HOSTILE: (1.0, 2.0)})),
        content.Drawn(HOSTILE, plots.HeatMap((HOSTILE,), (HOSTILE,), ((3,),), HOSTILE, HOSTILE)),
        content.Drawn(HOSTILE, plots.Roofline((plots.RooflinePoint(HOSTILE, 2, 1, 1),), 32)),
        content.Tabulated(table),
        content.Tabulated(table, folded=True),
        content.Graphs(((HOSTILE, picture), ("now", picture))),
        content.Code(HOSTILE),
        content.Warned((HOSTILE,)),
        content.Questions((content.Question(HOSTILE, HOSTILE, None, HOSTILE, HOSTILE),)),
    )
    section = content.Section("layers", HOSTILE, parts, HOSTILE)
    fact = content.Fact(HOSTILE, HOSTILE, HOSTILE)
    return page_html(content.Page(HOSTILE, HOSTILE, (fact,), (section,)))


def test_no_part_takes_a_name_for_markup() -> None:
    text = hostile_page()
    assert "<img" not in text and "<script>document" not in text and "49 }}" not in text
    scripts = [tag for tag, attributes in Tags(text).elements if tag == "script"]
    assert len(scripts) == 3 + 2  # the page's own, and the data of two plots


def test_plots_are_json_that_cannot_end_its_script(project: Project, tmp_path: Path) -> None:
    copy = project.copy()
    names = {node.name: node for node in copy.graph}
    assert "_conv1_Conv_weights" in names
    text = nnshell.report(copy, tmp_path / "page.html").read_text()
    blocks = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    plots = [json.loads(block) for block in blocks]
    entries = [entry for plot in plots for entry in plot.get("entries", ())]
    assert {"_conv1_Conv_weights", "_fc1_Gemm_biases"} <= {entry["name"] for entry in entries}
    weights = nnshell.weights(project, "_conv1_Conv_weights")[0]
    (drawn,) = [entry for entry in entries if entry["name"] == "_conv1_Conv_weights"]
    assert sum(drawn["counts"]) == weights.count and not any("<" in block for block in blocks)


def test_a_page_without_samples_has_what_needs_none(project: Project) -> None:
    keys = [section.key for section in page_of(project).sections]
    assert keys == ["questions", "script", "graph", "layers", "weights", "chip"]
    more = [section.key for section in page_of(project, "sample:test").sections]
    assert set(more) - set(keys) == {"accuracy", "activations", "errors"}


def test_a_float_graph_has_a_page(tmp_path: Path) -> None:
    project = nnshell.open_graph("sample:lenet")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 3, 32, 32)).astype(np.float32)
    text = nnshell.report(project, tmp_path / "page.html", noise).read_text()
    assert "not quantized yet" in text and "Error by layer" not in text


def test_a_page_without_its_packages_is_refused_before_anything_runs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "fast_sugiyama", None)
    with pytest.raises(NNShellError, match="a page needs jinja2, fast-sugiyama") as refusal:
        nnshell.report(project, tmp_path / "page.html", "sample:test")
    assert refusal.value.hint == "pip install 'nnshell[report]'"
    assert not list(tmp_path.iterdir())


# -- in a browser ----------------------------------------------------------------------------

_TRIAL = """
<script>addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector("#layers table.sortable"), said = {};
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((cell) => cell.textContent.startsWith("Cycles"));
  const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
  table.tHead.rows[0].cells[column].click();
  said.once = cells();
  table.tHead.rows[0].cells[column].click();
  said.twice = cells();
  dispatchEvent(new Event("beforeprint"));
  said.canvases = document.querySelectorAll(".histogram canvas").length;
  said.histograms = document.querySelectorAll(".histogram").length;
  dispatchEvent(new Event("afterprint"));
  document.querySelector("[role=tab]").click();
  said.stages = [...document.querySelectorAll(".stage")].map((x) => x.classList.contains("hidden"));
  document.getElementById("theme").click();
  said.theme = document.documentElement.dataset.theme;
  said.title = document.title;
  said.wide = document.documentElement.scrollWidth - innerWidth;
  document.body.innerHTML = "";
  document.body.dataset.said = JSON.stringify(said);
}, 300));</script>
"""


def browser() -> str:
    path = next((shutil.which(name) for name in BROWSERS if shutil.which(name)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    return path


def chromium(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    common = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *(f"--user-data-dir={folder}/profile", "--virtual-time-budget=3000"),
    )
    return subprocess.run(
        [browser(), *common, *options], capture_output=True, text=True, timeout=120
    )


def test_a_browser_opens_sorts_and_draws_without_an_error(page: Path, tmp_path: Path) -> None:
    trial = tmp_path / "trial.html"
    trial.write_text(page.read_text().replace("</body>", f"{_TRIAL}</body>"))
    done = chromium(tmp_path, "--window-size=500,900", "--dump-dom", trial.as_uri())
    assert "CONSOLE" not in done.stderr, done.stderr
    match = re.search(r'data-said="([^"]*)"', done.stdout)
    assert match, done.stdout[-2000:]
    said = json.loads(html.unescape(match[1]))
    numbers = [int(text.replace(",", "") or -1) for text in said["once"]]
    assert numbers == sorted(numbers) or numbers == sorted(numbers, reverse=True)
    first, second = ([text for text in said[key] if text] for key in ("once", "twice"))
    assert second == first[::-1] and len(first) > 3
    assert said["canvases"] == said["histograms"] > 20
    assert said["stages"] == [False, True] and said["theme"] in ("dark", "light")
    assert said["title"] == "lenet" and said["wide"] <= 0


def test_a_browser_runs_nothing_that_a_name_holds(tmp_path: Path) -> None:
    trial = tmp_path / "hostile.html"
    trial.write_text(hostile_page())
    done = chromium(tmp_path, "--dump-dom", trial.as_uri())
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "<title>owned</title>" not in done.stdout and 'src="x"' not in done.stdout
    assert "<canvas" in done.stdout


def test_a_browser_prints_it(page: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.pdf"
    done = chromium(tmp_path, f"--print-to-pdf={target}", page.as_uri())
    assert "CONSOLE" not in done.stderr, done.stderr
    assert target.read_bytes().startswith(b"%PDF") and target.stat().st_size > 50_000


def test_a_study_is_kept_once_and_shown_with_its_curves(project: Project) -> None:
    copy = project.copy()
    copy.tables = []
    curve = plots.Curves("bits", (8, 4), "accuracy [%]", {"all": (1.0, 2.0)})
    for value in (1, 2):
        table = Table("lenet: bits", (Column("bits", "right"),), ((value,),), plots=(curve,))
        assert copy.keep(table) is table
    copy.keep(with_bars(Table("other", (Column("A"), Column("B", "right")), (("x", 3),)), "A", "B"))
    (section,) = [entry for entry in page_of(copy).sections if entry.key == "studies"]
    assert [part.table.rows for part in section.parts if isinstance(part, content.Tabulated)] == [
        ((2,),),
        (("x", 3),),
    ]
    titles = [part.title for part in section.parts if isinstance(part, content.Drawn)]
    assert titles == ["lenet: bits: accuracy [%]"]
