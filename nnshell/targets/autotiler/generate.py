"""Writing the file set: model.c, model.h, expression kernels and one file per constant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnshell.ir.graph import Graph
from nnshell.support.errors import UsageError
from nnshell.support.files import write_all_atomically
from nnshell.support.settings import Settings
from nnshell.targets.arithmetic import HELPERS
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.header import write_header
from nnshell.targets.autotiler.model import write_model
from nnshell.targets.autotiler.names import identifier
from nnshell.targets.autotiler.options import c_string
from nnshell.targets.autotiler.plan import Plan

_TENSOR_FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class GeneratedFiles:
    """What was written."""

    model: Path
    header: Path | None
    kernels: tuple[Path, Path]  # expression kernels: source and header
    tensors: tuple[Path, ...]
    constant_bytes: int  # of all tensor files

    def all(self) -> Iterable[Path]:
        yield self.model
        if self.header is not None:
            yield self.header
        yield from self.kernels
        yield from self.tensors


def generate(
    graph: Graph,
    settings: Settings | None = None,
    *,
    model_directory: str | Path | None = None,
    model_file: str | None = None,
    tensor_directory: str | Path | None = None,
    header_file: str | None = None,
    anonymise: bool | None = None,
    dump_tensors: bool = True,
) -> GeneratedFiles:
    """Write the AutoTiler files of a quantized graph.

    What is None is taken from the settings, by default those of a new session; without
    ``header_file`` there is no header. ``tensor_directory`` is relative to the working directory
    and goes into model.c as it is. Either all files are written or, with an NNShellError, none is
    changed.
    """
    settings = settings if settings is not None else Settings()
    folder = Path(settings.model_directory if model_directory is None else model_directory)
    tensors = str(settings.tensor_directory if tensor_directory is None else tensor_directory)
    hashed = settings.anonymise if anonymise is None else anonymise
    plan = build(graph, settings, anonymise=hashed)
    model = folder / (model_file or settings.model_file)
    source = folder / settings.basic_kernel_source_file
    include = folder / settings.basic_kernel_header_file
    contents = {
        model: write_model(plan, settings, tensors).encode(),
        source: expression_source(plan, include.name).encode(),
        include: expression_header(plan, include.name).encode(),
    }
    header = None
    if header_file:
        header = folder / header_file
        contents[header] = write_header(graph, plan.name, anonymise=hashed).encode()
    files = {
        Path(tensors) / f"{variable.name}.tensor": variable.file_bytes()
        for variable in (plan.constants if dump_tensors else ())
    }
    _check_distinct([model, source, include, *([header] if header else []), *files])
    fresh = bool(files) and not Path(tensors).exists()
    write_all_atomically({**contents, **files})
    if fresh:
        Path(tensors).chmod(_TENSOR_FOLDER_MODE)
    size = sum(len(content) for content in files.values())
    return GeneratedFiles(model, header, (source, include), tuple(files), size)


def _check_distinct(paths: list[Path]) -> None:
    """Two of the files cannot be one."""
    seen: set[Path] = set()
    for path in paths:
        if not path.name or path.name in (".", ".."):
            raise UsageError(f"'{path}' is no file name", hint="give model and header a name")
        if path in seen:
            raise UsageError(f"two generated files would be {path}", hint="give them other names")
        seen.add(path)


def render_model(
    graph: Graph,
    settings: Settings | None = None,
    *,
    tensor_directory: str | Path | None = None,
    anonymise: bool | None = None,
) -> str:
    """The text of model.c without writing anything."""
    settings = settings if settings is not None else Settings()
    tensors = str(settings.tensor_directory if tensor_directory is None else tensor_directory)
    hashed = settings.anonymise if anonymise is None else anonymise
    return write_model(build(graph, settings, anonymise=hashed), settings, tensors)


def expression_source(plan: Plan, header: str) -> str:
    """C functions of the expression kernels; a comment when there are none."""
    if not plan.expressions:
        return f"/* {plan.name} needs no kernels of its own. */\n"
    functions = "\n".join(expression.definition for expression in plan.expressions)
    return f"#include {c_string(header)}\n\n{HELPERS}\n{functions}"


def expression_header(plan: Plan, header: str) -> str:
    """Their prototypes and argument structures."""
    if not plan.expressions:
        return f"/* {plan.name} needs no kernels of its own. */\n"
    guard = identifier(header).upper()
    declarations = "\n".join(expression.declaration for expression in plan.expressions)
    return f'#ifndef {guard}\n#define {guard}\n\n#include "Gap.h"\n\n{declarations}\n#endif\n'
