"""AdamW by rows against `torch.optim.AdamW` over the whole table."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from embudget.training.rows import RowAdamW

ROWS, WIDTH, STEPS = 60, 5, 200
DECAY = 0.1


class Case:
    """A table, and gradients of few rows at changing rates; row 0 occurs in the first step alone, row 59 never."""

    def __init__(self, size: float, steps: int = STEPS) -> None:
        self.start_VH = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
        self.rates = [1e-2 * (0.2 + abs(np.sin(step / 15))) for step in range(steps)]
        draws = np.random.default_rng(0)
        generator = torch.Generator().manual_seed(1)
        self.batches: list[tuple[Tensor, Tensor]] = []
        for step in range(steps):
            # some rows in most steps, others every hundredth or so
            likely = np.geomspace(0.9, 0.005, ROWS - 2)
            rows = 1 + np.flatnonzero(draws.random(ROWS - 2) < likely)
            at = torch.from_numpy(np.append(rows, 0) if step == 0 else rows)
            self.batches.append((at, size * torch.randn(len(at), WIDTH, generator=generator)))

    def dense(self, kind: torch.dtype = torch.float64) -> Tensor:
        """The table that torch's own optimiser ends with, in float64."""
        table_VH = nn.Parameter(self.start_VH.to(kind, copy=True))
        optimizer = torch.optim.AdamW([table_VH], weight_decay=DECAY)
        for (at, gradient_RH), rate in zip(self.batches, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            table_VH.grad = torch.zeros_like(table_VH).index_copy(0, at, gradient_RH.to(kind))
            optimizer.step()
        return table_VH.detach()

    def new(self, kind: torch.dtype = torch.float32) -> RowAdamW:
        return RowAdamW(nn.Parameter(self.start_VH.to(kind, copy=True)), DECAY)

    def run(self, rows: RowAdamW, first: int = 0, last: int = STEPS) -> RowAdamW:
        for (at, gradient_RH), rate in zip(self.batches[first:last], self.rates[first:last], strict=True):
            rows.catch_up(at)
            rows.step(at, gradient_RH, rate)
        return rows


@pytest.mark.parametrize(("size", "within"), [(1.0, 2e-7), (1e-3, 2e-7), (1e-6, 2e-3)])
def test_the_table_is_that_of_dense_adamw(size: float, within: float) -> None:
    """Relative to how far the table moves; gradients of 1e-6 come down to eps = 1e-8, which is averaged over steps."""
    case = Case(size)
    rows = case.run(case.new(torch.float64))
    rows.catch_up_all()
    wanted_VH = case.dense()
    moved = (wanted_VH - case.start_VH).abs().max()
    assert moved > 0.3
    assert (rows.table_VH - wanted_VH).abs().max() < within * moved


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_in_float32_it_loses_no_more_than_dense_adamw(size: float) -> None:
    """Over all entries, half as much: which single entry loses most is luck, and another on every processor."""
    case = Case(size)
    rows = case.run(case.new())
    rows.catch_up_all()
    wanted_VH = case.dense()
    lost_by_dense = (case.dense(torch.float32) - wanted_VH).square().mean().sqrt()
    assert 0 < (rows.table_VH - wanted_VH).square().mean().sqrt() < 0.75 * lost_by_dense < 1e-6


def test_every_row_is_up_to_date_when_it_is_needed() -> None:
    """Not at the end alone: the forward pass of each step reads what dense AdamW has then."""
    case = Case(1.0, steps=40)
    rows = case.new()
    table_VH = nn.Parameter(case.start_VH.clone())
    optimizer = torch.optim.AdamW([table_VH], weight_decay=DECAY)
    for (at, gradient_RH), rate in zip(case.batches, case.rates, strict=True):
        rows.catch_up(at)
        torch.testing.assert_close(rows.table_VH[at], table_VH[at], rtol=1e-5, atol=1e-5)
        rows.step(at, gradient_RH, rate)
        optimizer.param_groups[0]["lr"] = rate
        table_VH.grad = torch.zeros_like(table_VH).index_copy(0, at, gradient_RH)
        optimizer.step()


def test_only_the_rows_at_hand_are_touched() -> None:
    case = Case(1.0)
    rows = case.run(case.new(), last=1)
    at = case.batches[0][0]
    untouched = torch.ones(ROWS, dtype=torch.bool).index_fill(0, at, False)
    assert untouched.sum() > 20
    assert torch.equal(rows.table_VH[untouched], case.start_VH[untouched])
    assert not torch.isclose(rows.table_VH[at], case.start_VH[at]).any()


def test_a_row_that_never_occurs_only_decays() -> None:
    case = Case(1.0)
    rows = case.run(case.new())
    rows.catch_up_all()
    kept = np.prod([1 - rate * DECAY for rate in case.rates])
    torch.testing.assert_close(rows.table_VH[-1].detach(), kept * case.start_VH[-1])


def test_reading_at_odd_moments_changes_nothing() -> None:
    case = Case(1.0)
    wanted = case.run(case.new())
    wanted.catch_up_all()
    rows = case.new()
    for first, last in [(0, 1), (1, 2), (2, 50), (50, 50), (50, 173), (173, STEPS)]:
        case.run(rows, first, last)
        rows.catch_up_all()
        rows.catch_up_all()
    moved = (wanted.table_VH - case.start_VH).abs().max()
    assert (rows.table_VH - wanted.table_VH).abs().max() < 2e-6 * moved


@pytest.mark.parametrize("at", [0, 1, 77, STEPS])
def test_it_goes_on_to_the_last_bit(at: int) -> None:
    case = Case(1.0)
    whole = case.run(case.new())
    first = case.run(case.new(), last=at)
    state = {name: value.clone() for name, value in first.state().items()}
    again = RowAdamW(nn.Parameter(first.table_VH.detach().clone()), DECAY)
    case.run(again, last=5)  # what it had before does not matter
    with torch.no_grad():
        again.table_VH.copy_(first.table_VH)
    again.restore(state)
    case.run(again, first=at)
    for rows in (whole, again):
        rows.catch_up_all()
    assert torch.equal(again.table_VH, whole.table_VH)
    assert all(torch.equal(value, whole.state()[name]) for name, value in again.state().items())


def test_rates_beyond_all_reason_do_not_raise() -> None:
    """A run at such a rate shall end as diverged by its loss."""
    case = Case(1.0, steps=3)
    case.rates = [1e30] * 3
    rows = case.run(case.new(), last=3)
    rows.catch_up_all()
    assert not (rows.table_VH.isfinite() & (rows.table_VH.abs() < 1e20)).all()
