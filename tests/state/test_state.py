"""Saving a session's work and restoring it from the model file alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnshell
from nnshell.ir.graph import all_nodes
from nnshell.session.project import Project
from nnshell.session.steps import Step
from nnshell.state import Replay, load_state, read_state, save_state
from nnshell.support.errors import NNShellError, QuantizationError, StateError
from nnshell.support.settings import Settings


def test_a_state_is_saved_beside_its_model(project: Project, model: Path) -> None:
    assert save_state(project) == model.with_suffix(".json")
    assert sorted(path.name for path in model.parent.iterdir()) == ["net.json", "net.onnx"]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("other.json", "other.json"),
        ("other", "other.json"),
        ("other.onnx", "other.json"),
        ("v1.2", "v1.2.json"),
        ("folder", "folder/net.json"),
        ("new/", "new/net.json"),
        ("new/deep/x.json", "new/deep/x.json"),
    ],
)
def test_a_path_is_a_folder_or_a_file(
    given: str, made: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    assert save_state(project, f"{tmp_path}/{given}") == tmp_path / made
    assert (tmp_path / made).is_file()


def test_the_file_holds_recipe_statistics_and_no_weights(project: Project, model: Path) -> None:
    document = json.loads(save_state(project).read_text())
    assert document["format"] == "nnshell-state" and document["version"] == 1
    assert document["nnshell"] == nnshell.__version__
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert document["model"] == {"path": "net.onnx", "sha256": digest}
    assert document["settings"] == {"input_norm_func": "x: x/128-1"}
    assert document["node_options"] == {"input_1": {"ALLOCATE": "1"}}
    assert document["quantization_options"]["quantized_dimension"] == "tensor"
    assert [step["command"] for step in document["recipe"]] == [s.command for s in project.recipe]
    assert document["recipe"][2] == {
        "command": "fusions",
        "options": {"names": ["scale8"]},
        "line": "fusions --scale8",
    }
    assert set(document["statistics"]["input_1"]) == {"min", "max"}


def test_loading_restores_records_integers_and_options(project: Project, replay: Replay) -> None:
    path = save_state(project)
    restored = load_state(path, replay)
    assert restored.quantized and restored.name == project.name
    for (key, before, _), (other, after, _) in zip(
        all_nodes(project.graph), all_nodes(restored.graph), strict=True
    ):
        assert key == other and before.options == after.options
        assert before.quantization is not None and after.quantization is not None
        for one, two in zip(before.quantization.outputs, after.quantization.outputs, strict=True):
            assert one.same_record(two)
        for array, twin in zip(
            before.quantization.constants, after.quantization.constants, strict=True
        ):
            assert array is None or np.array_equal(array, twin)
    assert restored.recipe == project.recipe
    assert restored.quantization_options == project.quantization_options
    assert restored.settings.input_norm_func == "x: x/128-1"


def test_saving_what_was_loaded_gives_the_same_bytes(project: Project, replay: Replay) -> None:
    path = save_state(project)
    before = path.read_bytes()
    for _ in range(2):
        save_state(load_state(path, replay))
        assert path.read_bytes() == before


def test_the_settings_of_a_session_take_the_saved_values(project: Project, replay: Replay) -> None:
    session = Settings()
    session.assign("l1_size", 32000)
    restored = load_state(save_state(project), replay, settings=session)
    assert restored.settings is session
    assert session.input_norm_func == "x: x/128-1" and session.l1_size == 32000


def test_model_and_state_can_move_together(
    project: Project, replay: Replay, tmp_path: Path
) -> None:
    save_state(project, tmp_path / "states" / "s.json")
    assert read_state(tmp_path / "states" / "s.json").model == "../net.onnx"
    (tmp_path / "moved").mkdir()
    for name in ("states", "net.onnx"):
        shutil.move(str(tmp_path / name), str(tmp_path / "moved" / name))
    assert load_state(tmp_path / "moved" / "states" / "s.json", replay).quantized


def test_a_path_through_a_link_finds_the_model(
    project: Project, replay: Replay, tmp_path: Path
) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    path = save_state(project, tmp_path / "link" / "s.json")
    assert load_state(path, replay).quantized
    assert load_state(tmp_path / "real" / "deep" / "s.json", replay).quantized


def test_a_moved_model_is_asked_for(project: Project, replay: Replay, model: Path) -> None:
    path = save_state(project)
    elsewhere = model.parent / "elsewhere.onnx"
    model.rename(elsewhere)
    with pytest.raises(StateError, match=r"net\.onnx") as caught:
        load_state(path, replay)
    assert f"open {path} --orgmodel_path PATH" in str(caught.value)
    assert load_state(path, replay, model_path=elsewhere).quantized


def test_a_changed_model_is_named_with_both_hashes(
    project: Project, replay: Replay, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_state(project)
    expected = hashlib.sha256(model.read_bytes()).hexdigest()
    model.write_bytes(model.read_bytes() + b"\x00")
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    with pytest.raises(StateError, match="has changed") as caught:
        load_state(path, replay)
    message = str(caught.value)
    assert found[:16] in message and expected[:16] in message and str(model) in message
    assert "--orgmodel_path" in message and "\n" not in message


def test_a_model_given_by_hand_may_be_another_one_with_a_warning(
    project: Project, replay: Replay, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = save_state(project)
    content = json.loads(state.read_text())
    content["model"]["sha256"] = "0" * 64
    state.write_text(json.dumps(content))
    assert load_state(state, replay, model_path=model).quantized
    assert "is not the model of" in caplog.text


def test_a_graph_that_is_not_quantized_is_not_saved(project: Project, model: Path) -> None:
    project.graph.clear_quantization()
    with pytest.raises(QuantizationError, match="not quantized"):
        save_state(project)
    assert not model.with_suffix(".json").exists()


def test_an_interrupted_save_leaves_the_old_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_state(project)
    before = path.read_bytes()
    project.recipe.append(Step("qtune", {"step": "1"}, "qtune --step 1"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fdopen", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_state(project)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.json", "net.onnx"]


def test_a_folder_that_cannot_be_written_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NNShellError, match="cannot write"):
        save_state(project, tmp_path / "net.onnx" / "s.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800", b"x"])
def test_what_json_cannot_say_is_not_saved(value: object, project: Project, model: Path) -> None:
    project.recipe.append(Step("odd", {"value": value}))
    with pytest.raises(StateError):
        save_state(project)
    assert not model.with_suffix(".json").exists()


# -- replay --------------------------------------------------------------------------------


def test_an_unknown_step_names_the_version_that_wrote_it(project: Project, replay: Replay) -> None:
    project.recipe.append(Step("transmogrify", {}, "transmogrify"))
    path = save_state(project)
    with pytest.raises(StateError, match=r"step 4 .*'transmogrify'") as caught:
        load_state(path, replay)
    assert nnshell.__version__ in str(caught.value)


def test_a_step_that_fails_is_named(project: Project, replay: Replay) -> None:
    project.recipe[2] = Step("fusions", {"wrong": 1}, "fusions --wrong")
    path = save_state(project)
    with pytest.raises(StateError, match="options do not fit") as caught:
        load_state(path, replay)
    assert "fusions --wrong" in str(caught.value)


def test_a_failed_load_leaves_the_settings(project: Project, replay: Replay) -> None:
    project.recipe[2] = Step("fusions", {"wrong": 1})
    session = Settings()
    with pytest.raises(StateError):
        load_state(save_state(project), replay, settings=session)
    assert session == Settings()


def test_an_interruption_of_loading_leaves_the_settings(project: Project, replay: Replay) -> None:
    def interrupt(project: Project, step: Step) -> None:
        raise KeyboardInterrupt

    session = Settings()
    interrupted = replace(replay, commands={**replay.commands, "aquant": interrupt})
    with pytest.raises(KeyboardInterrupt):
        load_state(save_state(project), interrupted, settings=session)
    assert session == Settings()


def test_options_of_a_node_that_is_gone_are_an_error(project: Project, replay: Replay) -> None:
    path = save_state(project)
    content = json.loads(path.read_text())
    content["node_options"]["ghost"] = {"ALLOCATE": "1"}
    path.write_text(json.dumps(content))
    with pytest.raises(StateError, match="ghost"):
        load_state(path, replay)


def test_a_recipe_without_an_open_step_opens_the_model(project: Project, replay: Replay) -> None:
    project.recipe = project.recipe[1:]
    assert load_state(save_state(project), replay).quantized
