"""Laws of runs with losses by held-out group: what other groups would say of the lead of one method over another."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from embudget.choices import Candidate, Choices
from embudget.design import World, simulate
from embudget.findings import explain
from embudget.laws import Laws, fit
from embudget.laws.ensemble import surfaces_of
from embudget.laws.problem import Points
from embudget.laws.surface import Surface
from embudget.laws.weights import draws_of, rank
from embudget.methods import parse_method
from embudget.records import GroupScore, RunRecord
from embudget.runs import RunTable
from tests.laws.studies import BUDGETS, SHARED, WIDE

GROUPS, PAIRS = 60, 5
WORLD = World(
    truth={"full": SHARED["full"], "lora:32": SHARED["full"]}, models=WIDE, budgets=BUDGETS, noise=0.003, seeds=1
)
"""Two methods that are equally good at equal sizes and tokens."""
AT = 3e7, 3e6
"""N and D inside the measured ones."""


def with_groups(records: Sequence[RunRecord], seed: int, of_method: float, of_group: float = 0.3) -> list[RunRecord]:
    """Records measured on groups drawn anew, each easier or harder for all (``of_group``) and for one method.

    Both are relative standard deviations; over all groups there are, no method is better for it.
    """
    rng = np.random.default_rng([seed, 7])
    common = np.exp(of_group * rng.standard_normal(GROUPS))
    methods = sorted({record.config.method for record in records})
    own = dict(zip(methods, 1 + of_method * rng.standard_normal((len(methods), GROUPS)), strict=True))
    found = []
    for record in records:
        losses = (record.loss or 0.0) * common * own[record.config.method]
        groups = {f"demo/{place:03}": GroupScore(PAIRS, loss, 0.5) for place, loss in enumerate(losses.tolist())}
        found.append(record.model_copy(update={"loss": float(losses.mean()), "groups": groups}))
    return found


def study(seed: int, of_method: float = 0.08) -> list[RunRecord]:
    return with_groups(simulate(WORLD, seed), seed, of_method)


def without_groups(records: Sequence[RunRecord]) -> list[RunRecord]:
    return [record.model_copy(update={"groups": {}}) for record in records]


def fitted(records: Sequence[RunRecord], draws: int = 60) -> Laws:
    return fit(records, draws=draws, forms=["chinchilla"])


def choices_of(surface: Surface) -> Choices:
    """The two methods on one size, at one cost."""
    pair = [Candidate("one", parse_method(name), AT[0], 6 * AT[0]) for name in surface.methods]
    return Choices.of(surface, pair, [6 * AT[0] * AT[1]])


@functools.cache
def simulated() -> tuple[tuple[Choices, Choices], ...]:
    """The choices of 20 studies, with the error of their groups and without; surfaces alone, which are quicker."""
    found = []
    for seed in range(20):
        table = RunTable.of(study(seed))
        assert table.groups is not None
        points = Points.of(table.cells)
        drawn = draws_of(rank(points, ["chinchilla"]), 60)
        every = table.groups.moves(60, np.random.default_rng([seed, 1])), None
        surfaces = [
            surface
            for moves in every
            for surface in surfaces_of(points, drawn, None, np.random.default_rng(seed), moves).values()
        ]
        found.append((choices_of(surfaces[0]), choices_of(surfaces[1])))
    return tuple(found)


def test_a_method_that_is_as_good_on_other_groups_is_in_the_flat_set() -> None:
    """The one with the higher loss should be in it in 80 % of the studies: where it wins a tenth of the draws."""
    with_error, without = (np.mean([of.ties().all() for of in every]) for every in zip(*simulated(), strict=True))
    assert 0.65 <= with_error <= 0.95
    assert without <= 0.4, "the error of the held-out groups must matter in these studies"


def test_the_lead_of_a_method_spreads_as_it_does_over_studies_on_other_groups() -> None:
    gaps = np.array([of.log_losses[:, 0, 0] - of.log_losses[:, 1, 0] for of, _ in simulated()])
    leads, spreads = gaps.mean(axis=1), gaps.std(axis=1)
    assert np.sqrt((spreads**2).mean()) == pytest.approx(np.sqrt((leads**2).mean()), rel=0.35)


def test_without_groups_the_laws_are_the_same_to_the_last_bit() -> None:
    """And with them predictions and intervals are, which are of runs measured on the same pairs."""
    records = study(0)
    plain, grouped = fitted(without_groups(records)), fitted(records)
    assert (plain.table.groups, plain.surface.by_groups, grouped.surface.by_groups) == (None, False, True)
    for one, other in zip(plain.surface.components, grouped.surface.components, strict=True):
        for mine, theirs in zip(one.branches, other.branches, strict=True):
            assert (mine.fit, mine.draws, mine.moved) == (theirs.fit, theirs.draws, ())
    for method in plain.methods:
        assert plain.predict(method, *AT) == grouped.predict(method, *AT)
        assert plain.interval(method, *AT) == pytest.approx(grouped.interval(method, *AT), rel=1e-12)
    assert choices_of(grouped.surface).predicted == pytest.approx(choices_of(plain.surface).predicted, rel=1e-12)
    assert plain.backtests == grouped.backtests


def test_groups_that_are_harder_for_all_say_nothing_of_the_choice() -> None:
    records = with_groups(simulate(WORLD, 0), 0, of_method=0.0, of_group=0.5)
    logs, plain = (choices_of(fitted(of).surface).log_losses[:, :, 0] for of in (records, without_groups(records)))
    assert (logs[:, 0] - logs[:, 1]).std() == pytest.approx((plain[:, 0] - plain[:, 1]).std(), rel=1e-3)


def test_findings_are_less_sure_where_other_groups_could_decide_otherwise() -> None:
    """The best size is decided by the measured cells, which carry the error of the groups too."""
    records, rng = study(1), np.random.default_rng(0)
    by_size = {  # so large that any size may be the best on other groups
        model: dict(zip(records[0].groups, np.exp(rng.standard_normal(GROUPS)).tolist(), strict=True)) for model in WIDE
    }
    moved = []
    for record in records:
        factors = by_size[record.config.model]
        groups = {
            name: GroupScore(one.pairs, one.loss * factors[name], one.ndcg) for name, one in record.groups.items()
        }
        moved.append(record.model_copy(update={"groups": groups}))
    sure, unsure = (explain(fitted(of))[1] for of in (without_groups(records), moved))
    assert min(claim.holds for claim in sure.claims) > 0.95
    assert min(claim.holds for claim in unsure.claims) < min(claim.holds for claim in sure.claims)


def test_laws_with_groups_can_be_saved_and_say_what_the_groups_add(tmp_path: Path) -> None:
    laws = fitted(study(0), draws=20)
    laws.save(tmp_path / "laws.json")
    again = Laws.load(tmp_path / "laws.json")
    assert again == laws
    assert np.array_equal(choices_of(again.surface).log_losses, choices_of(laws.surface).log_losses)
    assert f"losses of {GROUPS} held-out groups: by them the difference of two cells" in laws.summary()
