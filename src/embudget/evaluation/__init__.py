"""Scoring embedding models: on held-out pairs, and on benchmarks by mteb."""

from embudget.evaluation.benchmark import benchmark
from embudget.evaluation.evaluate import Evaluation, evaluate
from embudget.evaluation.leaderboard import Leaderboard
from embudget.evaluation.ranking import Scores
from embudget.suite.embedders import load_model

__all__ = ["Evaluation", "Leaderboard", "Scores", "benchmark", "evaluate", "load_model"]
