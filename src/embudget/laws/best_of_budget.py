"""What is the best choice of one lineage at a budget: a measured cell, or else the lowest prediction?"""

from collections.abc import Callable

from embudget.choices import Candidate, Choices
from embudget.laws.fitted import Fitted
from embudget.laws.frontier import FrontierRow
from embudget.methods import parse_method


def best_of(laws: Fitted, budget: float, extrapolation: Callable[[float, str], float], level: float) -> FrontierRow:
    """The best measured cell of a budget in FLOP, or the cell whose model and method are predicted to be best there.

    ``extrapolation`` says how far a budget lies outside those measured of a method.
    """
    measured = [cell for cell in laws.cells if cell.budget == budget]
    if measured:
        cell = min(measured, key=lambda cell: cell.loss)
        tokens, law = cell.tokens, laws.on(cell.unique_tokens)
    else:
        law = laws.on_study
        candidates = [  # each at its own FLOP per token
            Candidate(cell.model, parse_method(cell.method), cell.model_params, cell.flops_per_token)
            for cell in laws.cells
        ]
        cell = laws.cells[Choices.of(law, candidates, [budget]).best()[0]]
        tokens = budget / cell.flops_per_token
    return FrontierRow(
        budget=budget,
        method=cell.method,
        model=cell.model,
        measured_loss=cell.loss if measured else None,
        predicted_loss=law.predict(cell.method, cell.model_params, tokens),
        interval=law.interval(cell.method, cell.model_params, tokens, level),
        extrapolation=extrapolation(budget, cell.method),
        lineage=laws.lineage,
    )
