"""Parsers of the commands about scripts and leaving; the shell itself runs them."""

from __future__ import annotations

import argparse

import cmd2

from nnshell.shell.parser import Parser


def run_script_parser() -> Parser:
    parser = Parser(
        description="Run the commands in a file, up to the first that fails. "
        "In a script, the path is relative to that script.",
        example="run_script scripts/quickstart.nns",
    )
    parser.add_argument("script", completer=cmd2.Cmd.path_complete, help="Script file to run.")
    return parser


def run_pyscript_parser() -> Parser:
    parser = Parser(
        description='Run a Python file. It finds app("COMMAND"), whose result has stdout and '
        "data, the current graph G, graphs and tensors. A file that imports nntool.api "
        "finds nnshell.compat under that name, and G is its NNGraph.",
        example="run_pyscript check.py --threshold 30",
    )
    parser.add_argument("script", completer=cmd2.Cmd.path_complete, help="Python file to run.")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="Arguments for the file.")
    return parser


def quit_parser() -> Parser:
    return Parser(description="Leave nnshell.", example="quit")
