"""Every reader of files takes or refuses what coverage-guided fuzzing kept, and pieces of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from fuzzing.mutations import spoiled_bytes
from fuzzing.readers import READERS, check

_CORPUS = Path(__file__).with_name("corpus")
_SPOILED = 3  # of each file


def test_every_reader_has_a_corpus() -> None:
    assert {path.name for path in _CORPUS.iterdir()} == READERS.keys()


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_reader_handles_all_of_its_corpus(name: str, tmp_path: Path) -> None:
    accepted = 0
    for number, path in enumerate(sorted((_CORPUS / name).iterdir())):
        data = path.read_bytes()
        accepted += check(name, data, tmp_path)
        random = Random(number)
        for _ in range(_SPOILED):
            check(name, spoiled_bytes(random, data), tmp_path)
    assert accepted, "none of the corpus is in order"
