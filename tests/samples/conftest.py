"""The scripts are not a package: tests get them loaded from their files."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="session")
def drawing() -> ModuleType:
    """scripts/make_sample_images.py as a module."""
    spec = spec_from_file_location("make_sample_images", SCRIPTS / "make_sample_images.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while they are made
    spec.loader.exec_module(module)
    return module
