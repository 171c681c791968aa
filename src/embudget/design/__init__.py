"""Which runs to pay for: a study is simulated before it is run, and judged by the recipes that it would give.

simulate    a known law with noise in place of training
judge       many simulated studies of one design, their recipes held against the truth
pilots      the study that would support a recipe where the measured runs do not: laid out (layout), simulated (guesses)
"""

from embudget.design.judge import DRAWS, Judgement, check, judge
from embudget.design.pilots import Pilot, pilot
from embudget.design.simulate import TrueRate, World, planned, simulate

__all__ = ["DRAWS", "Judgement", "Pilot", "TrueRate", "World", "check", "judge", "pilot", "planned", "simulate"]
