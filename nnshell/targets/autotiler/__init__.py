"""AutoTiler files: model.c, model.h, expression kernels and one file per constant."""

from nnshell.targets.autotiler.application import application_files
from nnshell.targets.autotiler.generate import GeneratedFiles, generate, render_model

__all__ = ["GeneratedFiles", "application_files", "generate", "render_model"]
