"""What is timed, what is kept, and what follows of it for members that were not timed; no speed is asserted."""

from pathlib import Path

import pytest

from embudget.errors import InfeasibleError
from embudget.means import find_means
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending.allocation import Arm
from embudget.spending.fitting import arm_bytes, arms_that_fit
from embudget.spending.probe import Probe, Timing, known_timings, probe, wanted
from embudget.spending.random_texts import RandomTexts
from embudget.spending.speed_cache import Conditions, Kept, keep, kept
from embudget.spending.timed import TimedArms
from embudget.study import Study
from embudget.suite import find_shape
from embudget.training.job import lengths_of

CONDITIONS = Conditions("a device", "float32", 1, 75, "0", "2")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("embudget.spending.probe.SECONDS", 3.0)


def configs(pairs: Pairs, *names: str, methods: tuple[str, ...] = ("full", "lora:8")) -> list[RunConfig]:
    counts = {"eval_pairs": 16, "eval_candidates": 8}
    return [
        RunConfig(
            model=name, method=method, train_flops=1e9, pairs=pairs.hash, batch_size=4, learning_rate=1e-3, **counts
        )
        for name in names
        for method in methods
    ]  # fmt: skip


def timing(model: str, method: str, seconds: float, tokens: float = 880, loading: float = 0.5) -> Timing:
    return Timing(model=model, method=method, tokens=tokens, seconds=seconds, loading=loading, embedding=1e-5)


def test_a_second_look_times_nothing_and_a_third_with_more_members_only_these(tiny_pairs: Pairs) -> None:
    asked: list[str] = []
    first = probe(configs(tiny_pairs, "micro-200k"), tiny_pairs, progress=asked.append)
    assert asked and first.timings
    assert first.conditions.file.exists()
    again: list[str] = []
    second = probe(configs(tiny_pairs, "micro-200k"), tiny_pairs, progress=again.append)
    assert again == []
    assert second.timings == first.timings
    more: list[str] = []
    probe(configs(tiny_pairs, "micro-200k", "micro-1m"), tiny_pairs, progress=more.append)
    assert more and all(name.startswith("micro-1m") for name in more)


def test_other_conditions_are_another_file_and_a_damaged_one_is_none() -> None:
    others = (
        CONDITIONS._replace(device="another"), CONDITIONS._replace(precision="bf16"), CONDITIONS._replace(threads=2),
        CONDITIONS._replace(max_length=512), CONDITIONS._replace(embudget="1"), CONDITIONS._replace(torch="3"),
    )  # fmt: skip
    assert len({one.file for one in (CONDITIONS, *others)}) == 7
    keep(CONDITIONS, Kept([{"model": "micro-1m"}], ["one"]))
    assert kept(CONDITIONS) == Kept([{"model": "micro-1m"}], ["one"])
    assert kept(CONDITIONS._replace(threads=2)) == Kept([], [])
    CONDITIONS.file.write_text(CONDITIONS.file.read_text()[:-9])
    assert kept(CONDITIONS) == Kept([], [])


def test_timings_of_another_version_are_timed_again_instead_of_failing() -> None:
    """A field that was renamed must not end a command."""
    keep(CONDITIONS, Kept([{"model": "micro-1m", "method": "full", "speed": 3}], []))
    assert known_timings(CONDITIONS) == []


def test_the_widest_and_the_narrowest_are_timed_first_and_cut_to_two_blocks(tiny_pairs: Pairs) -> None:
    names = [
        (one.model, one.method) for one in wanted(configs(tiny_pairs, "smollm2-135m:8", "micro-200k", "minilm-l6"))
    ]
    assert names[:2] == [("micro-200k:2", "full"), ("smollm2-135m:2", "full")]
    assert len(set(names)) == len(names)
    assert ("smollm2-135m:8", "full") in names
    assert ("micro-200k:2", "lora:8") in names


def test_a_deep_member_follows_from_its_first_blocks(tiny_pairs: Pairs) -> None:
    """A step of 0.1 s and 0.2 s a block: 30 blocks take 6.1 s, and are loaded in proportion to their size."""
    timings = [timing(f"smollm2-135m:{depth}", "full", 0.1 + 0.2 * depth) for depth in (1, 2, 4)]
    found = Probe(CONDITIONS, tuple(timings))
    (config,) = configs(tiny_pairs, "smollm2-135m", methods=("full",))
    cost = found.seconds_per_flop(config.model_copy(update={"batch_size": 16}), 55)
    flops = parse_method("full").flops_per_token(find_shape("smollm2-135m")) * 880
    assert cost * flops == pytest.approx(6.1, rel=0.05)
    assert found.seconds_per_run(config, 55) > found.seconds_per_run(
        config.model_copy(update={"model": "smollm2-135m:2"}), 55
    )


def test_the_batch_of_hours_on_several_devices_is_that_of_the_hours_which_runs_are_charged() -> None:
    """Each run has one device. By the hours of all four the rule gave a batch that the budget is too small for."""
    arms = TimedArms((), Probe(CONDITIONS, ()), 1e10)
    assert arms.flops(find_means(hours=1, devices=4)) == arms.flops(find_means(hours=1)) == 3.6e13
    assert arms.flops(find_means(2e13)) == 2e13


def test_random_texts_are_as_long_as_the_pairs_and_no_two_alike(tiny_pairs: Pairs) -> None:
    (config,) = configs(tiny_pairs, "micro-200k", methods=("full",))
    lengths = lengths_of(config, tiny_pairs)
    texts = RandomTexts(1000, lengths, 75)
    batch = texts.batch(range(400))
    assert batch.tokens / 400 == pytest.approx(lengths.tokens_per_pair, rel=0.15)
    assert all(text.min() >= 0 and text.max() < 1000 and len(text) <= 75 for text in batch.texts)


def test_no_member_that_fits_says_the_least_memory_that_would() -> None:
    study = Study(suite="micro", methods=["full"], budgets=[1e12], pairs="pairs")
    arms = [
        Arm(
            model=name, method="full", lineage="micro", model_params=find_shape(name).model_params, flops_per_token=1e6,
            default_rate=1e-3,
        )
        for name in ("micro-200k", "micro-3m")
    ]  # fmt: skip
    small, large = (arm_bytes(arm, study, 16, bf16=False) for arm in arms)
    assert arms_that_fit(arms, study, 16, small / 0.9 * 1.01, bf16=False) == (arms[0],)
    assert arms_that_fit(arms, study, 16, large / 0.9 * 1.01, bf16=False) == tuple(arms)
    with pytest.raises(InfeasibleError, match=r"the least that would do is [0-9.]+ MB, for micro-200k full") as caught:
        arms_that_fit(arms, study, 16, "2MB", bf16=False)
    least = str(caught.value).rpartition("would do is ")[2].partition(",")[0].replace(" ", "")
    assert arms_that_fit(arms, study, 16, least, bf16=False) == (arms[0],)
