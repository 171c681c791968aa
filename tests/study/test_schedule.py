"""The order of runs, and the time that a study has left: on studies played in simulated time, whose end is known."""

import math
from collections import Counter

import numpy as np
import pytest

from embudget.records import RunConfig
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.schedule import Busy, expected_seconds, longest_first, tells, time_left
from embudget.study.trunks import Task, tasks
from tests.study.simulated_sweep import Machine, estimate, play

MEMBERS = (
    "smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8", "micro-200k", "micro-1m", "micro-3m",
    "smollm2-360m:2",
)  # fmt: skip
BUDGETS = (1e12, 4e12, 1.6e13)
ASSUMED = 4e10


def config(
    model: str, method: str = "full", train_flops: float = 1e12, rate: float = 1e-3, **more: object
) -> RunConfig:
    values = {"model": model, "method": method, "train_flops": train_flops, "learning_rate": rate, "batch_size": 16}
    return RunConfig.read(values | {"pairs": "0" * 16} | more, "run")


def grid(schedule: str) -> list[RunConfig]:
    """216 runs: 8 members of very different speeds, 3 methods, 3 rates, 3 budgets."""
    return [
        config(member, method, budget, rate, schedule=schedule, warmup=0.1 * BUDGETS[0] / budget)
        for budget in BUDGETS
        for member in MEMBERS
        for method in ("full", "freeze:0.5", "lora:32")
        for rate in (1e-4, 3e-4, 1e-3)
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["cosine", "wsd"])
def study(request: pytest.FixtureRequest) -> list[Task]:
    return tasks(grid(request.param))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_the_time_left_is_known_within_a_quarter_after_a_tenth_of_the_work(study: list[Task], workers: int) -> None:
    """Nothing is known at first but a speed that is wrong by a factor of 10 for some members."""
    for seed in range(2):
        sweep = play(study, Machine(seed, spread=0.15, noise=0.1), workers, ASSUMED)
        now = sweep.after(0.1)
        told, true = estimate(sweep, now, ASSUMED), sweep.ends - now
        assert told == pytest.approx(true, rel=0.25), f"seed {seed}: {told:.0f} s told, {true:.0f} s left"


def test_workers_of_different_speeds_are_known_by_their_pace(study: list[Task]) -> None:
    """A third of the workers takes three times as long as the others."""
    slowness = [3.0 if worker % 3 == 0 else 1.0 for worker in range(9)]
    sweep = play(study, Machine(0, spread=0.15, noise=0.1), 9, ASSUMED, slowness)
    now = sweep.after(0.1)
    assert estimate(sweep, now, ASSUMED) == pytest.approx(sweep.ends - now, rel=0.25)


def test_halfway_the_estimate_is_closer(study: list[Task]) -> None:
    sweep = play(study, Machine(1, spread=0.15, noise=0.1), 4, ASSUMED)
    now = sweep.after(0.5)
    assert estimate(sweep, now, ASSUMED) == pytest.approx(sweep.ends - now, rel=0.1)


def test_the_longest_task_comes_first() -> None:
    runs = [config("micro-1m", train_flops=budget) for budget in (1e12, 9e12, 3e12)]
    order = longest_first(runs, expected_seconds(runs, RunTimes([], ASSUMED)))
    assert [run.train_flops for run in order] == [9e12, 3e12, 1e12]


def test_runs_of_one_trunk_stay_together_and_count_what_they_share_once() -> None:
    trunk = [config("micro-1m", train_flops=c, schedule="wsd", warmup=1e11 / c) for c in (1e12, 4e12)]
    alone = config("micro-200k", train_flops=4.5e12)
    seconds = expected_seconds([*trunk, alone], RunTimes([], ASSUMED))
    assert sum(seconds[run.id] for run in trunk) == pytest.approx((0.2 * 1e12 + 4e12) / ASSUMED)
    assert longest_first([*trunk, alone], seconds) == [alone, *trunk]


def test_tasks_that_take_as_long_come_from_every_member_in_turn() -> None:
    """Or else nothing would be known of the other members when the first has used up a tenth of the time."""
    runs = [run for run in grid("cosine") if run.train_flops == BUDGETS[-1]]
    order = longest_first(runs, expected_seconds(runs, RunTimes([], ASSUMED)))
    assert {run.model for run in order[: len(MEMBERS)]} == set(MEMBERS)
    methods = Counter(run.method for run in order[: len(MEMBERS)])
    assert max(methods.values()) - min(methods.values()) <= 1


def test_the_order_waits_for_every_member() -> None:
    runs = [config("micro-1m"), config("micro-3m")]
    first = [RunTime(StepKind.of(runs[0]), 1e-11)]
    assert not tells(first, runs)
    assert tells([*first, RunTime(StepKind.of(runs[1]), 1e-11)], runs)


def test_what_was_measured_is_expected_again() -> None:
    kinds = [StepKind.of(config(member)) for member in MEMBERS]
    times = [RunTime(kind, 1e-11 * (1 + index)) for index, kind in enumerate(kinds) for _ in range(5)]
    known = RunTimes(times, ASSUMED)
    for index, kind in enumerate(kinds):
        assert known.seconds_per_flop(kind) == pytest.approx(1e-11 * (1 + index), rel=0.1)


def test_a_member_that_was_not_measured_is_expected_as_those_like_it() -> None:
    measured = [config("smollm2-135m:2"), config("smollm2-135m:8"), config("micro-200k")]
    times = [RunTime(StepKind.of(run), seconds) for run, seconds in zip(measured, (1e-11, 1e-11, 6e-11), strict=True)]
    known = RunTimes(times, ASSUMED)
    assert known.seconds_per_flop(StepKind.of(config("smollm2-135m:4"))) == pytest.approx(1e-11, rel=0.3)


def test_another_device_is_told_apart() -> None:
    """Ten runs on one and one on a device ten times as fast: what is expected is for the first."""
    kind, other = StepKind.of(config("micro-1m")), StepKind.of(config("micro-3m"))
    times = [RunTime(kind, 1e-11, device="slow")] * 10 + [RunTime(kind, 1e-12, device="fast")]
    known = RunTimes([*times, RunTime(other, 1e-12, device="fast")], ASSUMED)
    assert known.seconds_per_flop(kind) == pytest.approx(1e-11, rel=0.1)
    assert known.seconds_per_flop(other) == pytest.approx(1e-11, rel=0.2), "carried over by the member they share"


def test_a_model_that_is_not_on_this_machine_is_expected_like_the_others() -> None:
    known = RunTimes([RunTime(StepKind.of(config("micro-1m")), 1e-11)], ASSUMED)
    elsewhere = StepKind("/only/there", "full", 16, 75, 0, "float32")
    assert math.log(known.seconds_per_flop(elsewhere) / 1e-11) == pytest.approx(0, abs=0.5)


def test_the_time_beside_training_goes_with_the_size() -> None:
    measured = {"micro-200k": 2.0, "smollm2-135m:8": 12.0}
    times = [RunTime(StepKind.of(config(model)), 1e-11, beside=seconds) for model, seconds in measured.items()]
    known = RunTimes(times, ASSUMED)
    assert known.beside("micro-200k") == 2.0
    assert 2.0 < known.beside("smollm2-135m:2") < known.beside("smollm2-135m:8") < known.beside("smollm2-360m")
    assert RunTimes([], ASSUMED).beside("micro-200k") == 0.0


def test_whoever_is_free_takes_the_next() -> None:
    assert time_left([30, 20, 10], [Busy(5), Busy(0)]) == 35
    assert time_left([30, 20, 10], [Busy(0)]) == 60
    assert time_left([10], [Busy(0, slowness=3)]) == 30
    assert time_left([], [Busy(7), Busy(2)]) == 7
    assert time_left([], []) == 0
    assert time_left([1], []) is None


def test_time_left_of_many_tasks_on_many_workers() -> None:
    rng = np.random.default_rng(0)
    waiting = sorted(rng.uniform(1, 10, 10_000), reverse=True)
    left = time_left(waiting, [Busy(0.0)] * 100)
    assert left == pytest.approx(sum(waiting) / 100, rel=0.01)
