"""The best of each budget, what ties with it, and each kind's lowest loss, from given log losses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from embudget.choices import Candidate, Choices, budgets_between
from embudget.choices.table import Array
from embudget.methods import Full, LoRA

CANDIDATES = [Candidate("a", LoRA(8), 1e6, 4e6), Candidate("b", Full(), 1e6, 6e6), Candidate("c", LoRA(32), 2e6, 8e6)]


@dataclass(frozen=True)
class Given:
    """Laws with a table of log losses (draws, c, b), each looked up by its place, which stands for its tokens."""

    logs: Array
    noise: float = 0.0

    def log_draws(self, methods: Sequence[str], model_params: Array, tokens: Array) -> Array:
        return self.logs.reshape(len(self.logs), -1)[:, tokens.astype(int)]

    def with_discrepancy(self, gaps: Array, mean: Array, times: Array) -> Array:
        return gaps


def choices(logs: Array, noise: float = 0.0, missing: Sequence[int] = ()) -> Choices:
    tokens = np.arange(logs[0].size, dtype=float)
    tokens[list(missing)] = np.nan
    budgets = np.geomspace(1e12, 1e13, logs.shape[2])
    return Choices(Given(logs, noise), CANDIDATES[: logs.shape[1]], budgets, tokens.reshape(logs.shape[1:]))


def test_the_best_has_the_lowest_mean_over_the_draws_among_what_is_considered() -> None:
    logs = np.array([[[0.0, 0.3], [0.1, 0.0], [0.5, 0.1]], [[0.4, 0.3], [0.1, 0.4], [0.5, 0.1]]])
    every = choices(logs)
    assert every.best() == [1, 2]
    assert every.predicted[:, 0] == pytest.approx(np.exp([0.2, 0.1, 0.5]))
    without = choices(logs, missing=[2, 5])  # the second candidate at the first budget, the third at the second
    assert without.best() == [0, 1]
    assert np.isinf(without.log_losses[:, 1, 0]).all()
    assert without.predicted[1, 0] == np.inf


def test_what_is_within_the_noise_or_wins_in_a_tenth_of_the_draws_ties() -> None:
    draws = np.zeros((100, 3, 1))
    draws[:, 1] = 0.05
    draws[:10, 2], draws[10:, 2] = -0.01, 0.2  # the better one in exactly a tenth
    assert choices(draws).ties()[:, 0].tolist() == [True, False, True]
    assert choices(draws, noise=0.06).ties()[:, 0].tolist() == [True, True, True]
    draws[9, 2] = 0.2
    assert choices(draws).ties()[:, 0].tolist() == [True, False, False]


def test_a_candidate_that_is_not_considered_never_ties() -> None:
    tied = choices(np.zeros((20, 3, 1)), noise=1.0, missing=[1]).ties()
    assert tied[:, 0].tolist() == [True, False, True]


def test_a_kind_is_as_good_as_its_best_candidate() -> None:
    logs = np.array([[[0.0], [0.1], [0.5]], [[0.4], [0.1], [0.2]]])
    found = choices(logs)
    assert found.kinds == ("full", "lora")
    assert found.of_kinds(found.log_losses)[:, :, 0].tolist() == [[0.1, 0.0], [0.1, 0.2]]
    assert found.lowest()[:, 0].tolist() == [0.0, 0.1]
    assert np.exp(found.best_log_sizes()[:, 0]) == pytest.approx([1e6, 1e6])


def test_where_nothing_is_considered_there_is_no_loss() -> None:
    found = choices(np.zeros((5, 3, 2)), missing=range(6))
    assert found.log_losses.shape == (1, 3, 2)
    assert np.isinf(found.predicted).all()


def test_a_budget_buys_tokens_at_the_candidates_own_cost_within_its_budgets() -> None:
    narrow = CANDIDATES[0]._replace(budgets=(1e12, 2e12))
    found = Choices.of(Given(np.zeros((1, 1, 1))), [narrow, CANDIDATES[1]], [1e12, 4e12])
    assert found.tokens[0, 0] == 1e12 / 4e6
    assert np.isnan(found.tokens[0, 1])
    assert found.tokens[1].tolist() == [1e12 / 6e6, 4e12 / 6e6]


def test_the_grid_has_both_ends_and_steps_of_at_most_a_half() -> None:
    grid = budgets_between(1e12, 1e14)
    assert (grid[0], grid[-1]) == pytest.approx((1e12, 1e14))
    assert max(grid[1:] / grid[:-1]) <= 1.5
