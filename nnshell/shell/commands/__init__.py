"""The commands, one CommandSet per file."""

from __future__ import annotations

from typing import Any

from cmd2 import CommandSet

from nnshell.shell.commands.chip import ChipCommands
from nnshell.shell.commands.doctor import DoctorCommands
from nnshell.shell.commands.folders import FolderCommands
from nnshell.shell.commands.graphs import GraphCommands
from nnshell.shell.commands.keep import KeepCommands
from nnshell.shell.commands.laboratory import LaboratoryCommands
from nnshell.shell.commands.labs import LabCommands
from nnshell.shell.commands.learning import LearningCommands
from nnshell.shell.commands.page import PageCommands
from nnshell.shell.commands.prepare import PrepareCommands
from nnshell.shell.commands.quantize import QuantizeCommands
from nnshell.shell.commands.results import ResultCommands
from nnshell.shell.commands.settings import SettingCommands
from nnshell.shell.commands.spread import SpreadCommands
from nnshell.shell.commands.tables import TableCommands
from nnshell.shell.commands.tensors import TensorCommands
from nnshell.shell.commands.timing import TimingCommands
from nnshell.shell.commands.training import TrainingCommands
from nnshell.shell.commands.tutorial import TutorialCommands
from nnshell.shell.commands.worked import WorkedCommands


def command_sets() -> tuple[CommandSet[Any], ...]:
    """A fresh instance of every command set, for one shell."""
    return (
        GraphCommands(),
        PrepareCommands(),
        QuantizeCommands(),
        LaboratoryCommands(),
        LearningCommands(),
        TrainingCommands(),
        ResultCommands(),
        SpreadCommands(),
        TensorCommands(),
        TimingCommands(),
        ChipCommands(),
        KeepCommands(),
        SettingCommands(),
        TutorialCommands(),
        LabCommands(),
        WorkedCommands(),
        TableCommands(),
        PageCommands(),
        FolderCommands(),
        DoctorCommands(),
    )
