"""Two models of a study against each other, and whether they differ by more than noise.

sides     what is compared: a run, or the best setting of a member and a method at a budget, with its seeds
noise     the luck of training: how far seeds of one setting lie apart
compare   the differences, their errors from held-out groups and from seeds, and what would resolve them
"""

from embudget.comparison.compare import Contrasts, compare
from embudget.comparison.contrast import Contrast, Tuned
from embudget.comparison.noise import SeedNoise, seed_noise

__all__ = ["Contrast", "Contrasts", "SeedNoise", "Tuned", "compare", "seed_noise"]
