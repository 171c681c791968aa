"""Whether the rule finds steps that it was not given, from steps made by a machine that we know."""

import numpy as np
import pytest

from embudget.methods import parse_method
from embudget.speed import Speeds, Step, TimedStep
from embudget.suite import find_shape

PEAK, LAUNCH, A_STEP = 2e11, 3e-5, 0.004


def step(name: str, method: str = "full", tokens: float = 880) -> Step:
    return Step(find_shape(name), parse_method(method), tokens)


def truth(one: Step) -> float:
    """A machine with a peak that narrow models fall short of, that pays for each step and for each block in it."""
    passed = one.shape.layers + 2 * one.method.backward_layers(one.shape)
    return A_STEP + LAUNCH * passed + one.train_flops / PEAK * (1 + 300 / one.shape.hidden)


def timed(*steps: Step, noise: float = 0.0) -> list[TimedStep]:
    rng = np.random.default_rng(0)
    return [TimedStep(one, truth(one) * float(np.exp(noise * rng.standard_normal()))) for one in steps]


def test_a_step_that_was_timed_takes_what_it_took() -> None:
    steps = [step("smollm2-135m:1"), step("smollm2-135m:2", "lora:8"), step("micro-1m")]
    known = timed(*steps, noise=0.3)
    speeds = Speeds(known)
    for one in known:
        assert speeds.step_seconds(one.step) == pytest.approx(one.seconds)


def test_deeper_members_and_other_batches_follow_from_shallow_ones() -> None:
    """Blocks cost alike, so that a whole model's step follows from those of its first one and two."""
    known = timed(
        step("smollm2-135m:1"), step("smollm2-135m:2"), step("smollm2-135m:2", tokens=220),
        step("smollm2-360m:1"), step("smollm2-360m:2"), step("micro-1m"),
    )  # fmt: skip
    speeds = Speeds(known)
    for asked in (step("smollm2-135m"), step("smollm2-135m:8", tokens=3520), step("smollm2-360m:12")):
        assert speeds.step_seconds(asked) == pytest.approx(truth(asked), rel=0.05)


def test_a_small_model_pays_for_what_it_leaves_idle() -> None:
    known = timed(*(step(name) for name in ("micro-200k", "micro-450k", "micro-3m", "smollm2-135m:2")))
    speeds = Speeds(known)
    small, large = (speeds.seconds_per_flop(step(name)) for name in ("micro-200k", "smollm2-135m:2"))
    true = [truth(step(name)) / step(name).train_flops for name in ("micro-200k", "smollm2-135m:2")]
    assert small / large == pytest.approx(true[0] / true[1], rel=0.05)
    assert small > 3 * large


def test_the_error_says_how_far_the_rule_is_off() -> None:
    names = ("micro-200k", "micro-450k", "micro-1m", "micro-3m", "smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4")
    exact, noisy = (Speeds(timed(*map(step, names), noise=noise)).error for noise in (0.0, 0.2))
    assert exact is not None
    assert noisy is not None
    assert exact < 0.1 < noisy < 0.8
    assert Speeds(timed(step("micro-1m"), step("micro-3m"))).error is None


def test_one_timed_step_scales_with_the_work() -> None:
    """All that is known then is a throughput."""
    speeds = Speeds(timed(step("smollm2-135m:2")))
    assert speeds.step_seconds(step("smollm2-135m:4")) > 1.2 * speeds.step_seconds(step("smollm2-135m:2"))


def test_a_member_ten_times_as_large_takes_longer_though_all_timed_steps_took_as_long() -> None:
    """On a machine that is busy with something else the timed steps may tell nothing of the work."""
    small = [step("smollm2-135m:2"), step("smollm2-135m:4"), step("smollm2-135m:2", "lora:8")]
    speeds = Speeds([TimedStep(one, 0.5) for one in small])
    fastest = max(one.train_flops for one in small) / 0.5
    large = step("smollm2-1.7b")
    assert large.train_flops / speeds.step_seconds(large) < 5 * fastest
    assert speeds.step_seconds(small[0]) == pytest.approx(0.5)
