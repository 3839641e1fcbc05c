"""Looking around in folders: `ls`, `cd`, `pwd`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cmd2

from nnshell.shell.commands.base import Commands
from nnshell.shell.parser import Parser
from nnshell.support.errors import UsageError


def ls_parser() -> Parser:
    parser = Parser(description="List files and folders.", example="ls")
    parser.add_argument("path", nargs="?", default=".", completer=cmd2.Cmd.path_complete,
                        help="Folder to list.")  # fmt: skip
    return parser


def cd_parser() -> Parser:
    parser = Parser(description="Change the working folder of the session.", example="cd ..")
    parser.add_argument("path", completer=cmd2.Cmd.path_complete, help="Folder to work in.")
    return parser


def pwd_parser() -> Parser:
    return Parser(description="Show the working folder.", example="pwd")


class FolderCommands(Commands):
    """Commands about the folders of this machine."""

    DEFAULT_CATEGORY = "Session"

    @cmd2.with_argparser(ls_parser)
    def do_ls(self, args: argparse.Namespace) -> None:
        """List files and folders."""
        folder = _folder(args.path)
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        shown = [e.name + ("/" if e.is_dir() else "") for e in entries if e.name[:1] != "."]
        self.write_lines(shown or [f"{folder} is empty"])

    @cmd2.with_argparser(cd_parser)
    def do_cd(self, args: argparse.Namespace) -> None:
        """Change the working folder."""
        os.chdir(_folder(args.path))
        self.write(os.getcwd())

    @cmd2.with_argparser(pwd_parser)
    def do_pwd(self, _: argparse.Namespace) -> None:
        """Show the working folder."""
        self.write(os.getcwd())


def _folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{text} is no folder", hint="`ls` lists what is here")
    return folder
