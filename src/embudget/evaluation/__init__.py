"""Scoring embedding models on held-out pairs."""

from embudget.evaluation.evaluate import Evaluation, evaluate
from embudget.evaluation.loading import load_model
from embudget.evaluation.ranking import Scores

__all__ = ["Evaluation", "Scores", "evaluate", "load_model"]
