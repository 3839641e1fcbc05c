"""What is told of a processor."""

from __future__ import annotations

import pytest

from nnshell.support import processor


@pytest.mark.parametrize(
    ("machine", "features", "saturates"),
    [
        ("x86_64", {"avx2", "fma"}, True),
        ("AMD64", {"avx2", "avx512vnni"}, False),
        ("x86_64", {"avx2", "avx_vnni"}, False),
        ("aarch64", {"asimddp"}, False),
    ],
)
def test_sums_of_bytes_saturate_on_x86_without_vnni(
    machine: str, features: set[str], saturates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "processor_features", lambda: frozenset(features))
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert processor.byte_products_saturate() is saturates
