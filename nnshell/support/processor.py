"""What the processor can do, by the names that Linux has for it."""

from __future__ import annotations

import importlib
import platform
from functools import cache
from pathlib import Path

AVX512_VNNI = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")


@cache
def processor_features() -> frozenset[str]:
    """Names as Linux spells them; elsewhere what numpy found out."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(name.replace("avx512_vnni", "avx512vnni") for name in value.split())
    return _features_by_numpy()


def _features_by_numpy() -> frozenset[str]:
    try:
        module = importlib.import_module("numpy._core._multiarray_umath")
    except ImportError:
        return frozenset()
    features = getattr(module, "__cpu_features__", {})
    names = {"FMA3": "fma", "AVX2": "avx2", "ASIMDDP": "asimddp"}
    results = {spelled for name, spelled in names.items() if features.get(name)}
    if features.get("AVX512_ICL"):  # these processors have VNNI
        results.update(AVX512_VNNI)
    return frozenset(results)


def byte_products_saturate() -> bool:
    """Whether ONNX Runtime's kernels of signed int8 weights may cut off sums of two products.

    Without VNNI they add pairs of products of bytes in 16 bits (vpmaddubsw).
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not {"avx512vnni", "avx_vnni"} & processor_features()
