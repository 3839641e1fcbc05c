"""Lab A: how are weights spread, and how many lie outside 1, 2 and 3 sigma?"""

from __future__ import annotations

from collections.abc import Sequence

from common import at_the_prompt, lab_options, show
from nnshell.reports.svg import histograms_svg

from nnshell.reports.distributions import SIGMAS, Distribution, constant_distributions
from nnshell.support.files import write_atomically

FEWEST = 100  # values of a tensor that is shown
lab = lab_options(__doc__)
header = ["model", "weights", "min", "max", "mean", "sigma", "3-sigma range"]
header += [f"outside {n} sigma %" for n in (1, 2, 3)]


def rows_of(model: str, found: Sequence[Distribution]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for entry in found:
        low, high = (entry.mean + sign * 3 * entry.sigma for sign in (-1, 1))
        outside = [100 * entry.outside[SIGMAS.index(n)] for n in (1, 2, 3)]
        numbers = (entry.minimum, entry.maximum, entry.mean, entry.sigma)
        spread = [f"{n:.3f}" for n in numbers]
        rows.append((model, entry.name, *spread, f"{low:.3f} .. {high:.3f}", *outside))
    return rows


layers: list[tuple[object, ...]] = []
for name in ("lab4", "lenet", "resnet20"):
    found = constant_distributions(lab.open(name))
    layers += rows_of(name, [entry for entry in found if entry.count >= FEWEST])
    if lab.tables is not None:
        lab.tables.mkdir(parents=True, exist_ok=True)
        write_atomically(lab.tables / f"a_{name}.svg", histograms_svg(name, found).encode())
show("A. Weights", lab, header, layers)
print("Published (another training of LeNet): conv1 -0.575..0.531, outside 3 sigma 0.0 to 0.7 %.\n")
channels = constant_distributions(lab.open("lab4"), ["_conv1_Conv_weights"], channels=True)
show("A. Weights by channel (first layer of lab4)", lab, header, rows_of("lab4", channels))
at_the_prompt("lab4", "weights", "weights --channels --svg weights.svg -c weights.csv")
