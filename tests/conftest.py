"""Shared fixtures. Reference data is found through NNSHELL_TEST_DATA; tests skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# the same examples in every run; --hypothesis-profile=default draws new ones
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write expected results anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected results are written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with models, data and reference vectors."""
    folder = os.environ.get("NNSHELL_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set NNSHELL_TEST_DATA to the folder with models, data and vectors")
    return Path(folder)


@pytest.fixture
def samples() -> Path:
    """The sample images and model of the repository."""
    return Path(__file__).parent.parent / "sample_images"
