"""Count warnings of quantization on random healthy networks, where each is a false one.

python scripts/count_false_warnings.py [NETWORKS]
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import nnshell

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.quantization.healthy import write


def main() -> None:
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(networks):
            path, samples = write(Path(folder), number)
            project = nnshell.open_graph(path)
            nnshell.adjust(project)
            nnshell.fuse(project, "scale8")
            nnshell.quantize(project, nnshell.calibrate(project, samples))
            for loss in nnshell.losses(project):
                print(number, loss)
                counts[loss.kind] += 1
    print(f"{networks} networks: {counts.total()} warnings", dict(counts))


if __name__ == "__main__":
    main()
