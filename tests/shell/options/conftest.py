"""What makes a line the same twice: times that a clock does not decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest


@pytest.fixture(autouse=True)
def _steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """`speed` runs everything once and reports times by place."""

    def seconds(runs: Sequence[Callable[[], object]]) -> list[float]:
        for run in runs:
            run()
        return [0.001 * place for place in range(1, len(runs) + 1)]

    monkeypatch.setattr("nnshell.experiments.speed._best_seconds", seconds)
