"""Saving and loading a session's work as recipe plus statistics, in one small JSON file."""

from nnshell.state.document import State
from nnshell.state.load import Replay, load_state
from nnshell.state.project_folder import generate_project
from nnshell.state.read import read_state
from nnshell.state.write import save_state

__all__ = ["Replay", "State", "generate_project", "load_state", "read_state", "save_state"]
