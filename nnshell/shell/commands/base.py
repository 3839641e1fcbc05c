"""What every command set has: the shell it belongs to, its session, its tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmd2 import CommandSet

from nnshell.reports.table import Table
from nnshell.shell.api import clusters, flow, pictures
from nnshell.shell.options import input_options
from nnshell.shell.progress import Progress, progress
from nnshell.shell.render import chosen_columns, csv_text
from nnshell.support.files import write_atomically

if TYPE_CHECKING:
    from nnshell.cluster.dask import Cluster
    from nnshell.inputs.input_set import Batch, InputSet
    from nnshell.inputs.sources import Split
    from nnshell.ir.graph import Graph
    from nnshell.session.project import Project
    from nnshell.shell.app import Shell  # noqa: F401 - names the type in the string below
    from nnshell.shell.session import Session


def write_json(path: str, content: Any) -> None:
    """What --json FILE asks for, on one line."""
    write_atomically(Path(path), (json.dumps(content) + "\n").encode())


class Commands(CommandSet["Shell"]):
    """Commands of one task; a command parses, calls the API and hands rows to the shell."""

    @property
    def session(self) -> Session:
        return self._cmd.session

    def project(self) -> Project:
        """The current project; GraphError when no graph is open."""
        return self._cmd.session.project

    def graph(self) -> Graph:
        """The current graph; GraphError when none is open."""
        return self._cmd.session.graph

    @contextmanager
    def cluster(self, args: argparse.Namespace) -> Iterator[Cluster | None]:
        """The cluster that --cluster names, while it is used."""
        if args.cluster is None:
            yield None
            return
        self.graph()
        with clusters.Cluster(args.cluster) as result:
            yield result

    def write(self, text: str) -> None:
        self._cmd.write(text)

    def write_lines(self, lines: Sequence[str]) -> None:
        self._cmd.write_lines(lines)

    def show(self, table: Table, args: argparse.Namespace) -> None:
        """A table in the form that the options of tables ask for."""
        if getattr(args, "columns", None):
            table = chosen_columns(table, args.columns)
        if getattr(args, "svg", None):
            self._draw(table, Path(args.svg))
            self._cmd.note(f"wrote {args.svg}")
        if getattr(args, "csv", None):
            write_atomically(Path(args.csv), (csv_text(table) + "\n").encode())
        else:
            self.show_beside(table, args)

    def _draw(self, table: Table, path: Path) -> None:
        """The table's plots as a picture in the format of the file's ending."""
        content = pictures.picture(table.title, table.plots, path.suffix)
        write_atomically(path, content)

    def show_beside(self, table: Table, args: argparse.Namespace) -> None:
        """A further table of a command, which does not go to the file of the first."""
        self._cmd.show(table, args.format, getattr(args, "table_width", None))

    @contextmanager
    def inputs(
        self, args: argparse.Namespace, doing: str, split: Split = "test"
    ) -> Iterator[tuple[InputSet, Progress]]:
        """The inputs that the options name, and a progress bar (unless "") while they are used."""
        images = flow.load_inputs(args.input_files, options=input_options(args), split=split)
        inputs = images.open(self.project())
        if not doing:
            yield inputs, lambda _: None
            return
        with progress(doing, len(inputs)) as done:
            yield inputs, done

    def batches(self, args: argparse.Namespace, split: Split = "test") -> list[Batch]:
        """All samples that the options name, for commands that run them many times."""
        with self.inputs(args, "reading", split) as (inputs, _):
            return flow.batches_of(self.project(), inputs)
