"""Lab A: how are weights spread, and how many lie outside 1, 2 and 3 sigma?"""

from __future__ import annotations

from common import at_the_prompt, lab_options, show

from nnshell.reports.distributions import SIGMAS, constant_distributions

lab = lab_options(__doc__)
header = ["model", "weights", "min", "max", "mean", "sigma", "3-sigma range"]
header += [f"outside {n} sigma %" for n in (1, 2, 3)]
rows = []
for name in ("lab4", "lenet"):
    for entry in constant_distributions(lab.open(name)):
        if entry.count < 100:
            continue
        low, high = (entry.mean + sign * 3 * entry.sigma for sign in (-1, 1))
        outside = [100 * entry.outside[SIGMAS.index(n)] for n in (1, 2, 3)]
        numbers = (entry.minimum, entry.maximum, entry.mean, entry.sigma)
        spread = [f"{n:.3f}" for n in numbers]
        rows.append((name, entry.name, *spread, f"{low:.3f} .. {high:.3f}", *outside))
show("A. Weights", lab, header, rows)
print("Published (another training of LeNet): conv1 -0.575..0.531, outside 3 sigma 0.0 to 0.7 %.\n")
at_the_prompt("lab4", "weights", "weights --channels --svg weights.svg -c weights.csv")
