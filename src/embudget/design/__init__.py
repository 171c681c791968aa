"""Which runs to pay for: a study is simulated before it is run, and judged by the recipes that it would give.

simulate    a known law with noise in place of training
judge       many simulated studies of one design, their recipes held against the truth
"""

from embudget.design.judge import DRAWS, Judgement, check, judge
from embudget.design.simulate import TrueRate, World, planned, simulate

__all__ = ["DRAWS", "Judgement", "TrueRate", "World", "check", "judge", "planned", "simulate"]
