"""`gen_project`: a folder with everything that an application for the GAP SDK starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nnshell.importers.model_file import MAX_FILE_BYTES
from nnshell.importers.onnx.file import files_beside
from nnshell.session.project import Project
from nnshell.state.document import to_text
from nnshell.state.write import quantized_source, state_of
from nnshell.support.files import read_bounded, write_all_atomically
from nnshell.targets.autotiler import application_files


def generate_project(
    project: Project, directory: str | Path, *, overwrite: bool = False
) -> dict[Path, bool]:
    """Write model, state, Makefile, main.c and README for the GAP SDK; returns what was written.

    Files in which an ONNX model keeps its weights go along. The state needs no images. Files that
    are there already are kept (False in the result) unless ``overwrite``; the state is always
    written. All files are written or, with an error, none.
    """
    folder, model = Path(directory), quantized_source(project).path
    state_name = model.with_suffix(".json").name
    state = dataclasses.replace(state_of(project, folder / state_name), model=model.name)
    texts = application_files(
        project.graph,
        project.settings,
        model=model.name,
        state=state_name,
        lines=[step.line or step.command for step in project.recipe if step.command != "open"],
    )
    contents = {folder / name: text.encode() for name, text in texts.items()}
    for name in (model.name, *_data_files(model)):
        copy, source = folder / name, model.parent / name
        if not (copy.exists() and copy.samefile(source)):
            contents[copy] = read_bounded(source, MAX_FILE_BYTES)
    written = {path: overwrite or not path.exists() for path in contents}
    files = {path: content for path, content in contents.items() if written[path]}
    write_all_atomically({**files, folder / state_name: to_text(state).encode()})
    return {**written, folder / state_name: True}


def _data_files(model: Path) -> list[str]:
    """What an ONNX model needs beside it: large weights may lie in files of their own."""
    return files_beside(model) if model.suffix.lower() == ".onnx" else []
