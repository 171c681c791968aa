"""Which runs to pay for: a study is simulated before it is run, and judged by the recipes that it would give.

simulate    a known law with noise in place of training
judge       many simulated studies of one design, their recipes held against the truth
pilots      the study that would support a recipe where the measured runs do not: laid out (layout), simulated (guesses)
designs     the study that teaches most about a target within a budget: the best of many such layouts
"""

from embudget.design.designs import design
from embudget.design.judge import DRAWS, Judgement, check, judge
from embudget.design.pilot_study import Pilot
from embudget.design.pilots import pilot
from embudget.design.simulate import TrueRate, World, planned, simulate

__all__ = [
    "DRAWS", "Judgement", "Pilot", "TrueRate", "World", "check", "design", "judge", "pilot", "planned", "simulate",
]  # fmt: skip
