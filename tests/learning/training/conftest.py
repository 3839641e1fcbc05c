"""Small networks run faster on one thread, and equal seeds give equal numbers at one count."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)
