"""The file of decisions, and the disk for trunks, without any training."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.records import RunConfig
from embudget.spending.allocation import Decision, Setting
from embudget.spending.rounds import DecisionLog, Round
from embudget.spending.trunks import Trunk, TrunkStates
from embudget.training.state import trunk_name


def setting_of(model: str, rate: float = 1e-3) -> Setting:
    return Setting(model=model, method="full", learning_rate=rate, batch_size=16)


def decision_of(number: int, chances: dict[str, float]) -> Decision:
    return Decision(
        round=number,
        purchases=(),
        best=setting_of("micro-1m"),
        probability=0.5,
        expected_loss=1.0,
        interval=(0.9, 1.1),
        standings=tuple((model, "full", chance, 1.0) for model, chance in chances.items()),
    )


def round_of(number: int) -> Round:
    decision = decision_of(number, {})
    return Round(decision=decision, changed="nothing", measured=(), spent=0.0, bought=(), dropped=())


def test_lines_are_only_added_and_a_torn_one_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    log = DecisionLog(file)
    log.add(round_of(0))
    log.add(round_of(1))
    whole = file.read_bytes()
    with file.open("ab") as torn:
        torn.write(whole[:40])
    again = DecisionLog(file)
    assert again.rounds == log.rounds and file.read_bytes() == whole
    again.add(round_of(2))
    assert file.read_bytes().startswith(whole) and len(DecisionLog(file).rounds) == 3


def test_a_line_that_somebody_changed_is_named(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(round_of(0).model_dump_json() + "\n{}\n")
    with pytest.raises(ConfigError, match=r"decisions.jsonl: line 2: decision"):
        DecisionLog(file)


def trunk_of(folder: Path, setting: Setting, size: int, train_flops: float = 1e12) -> Trunk:
    """A trunk with one state of so many bytes on the disk."""
    config = RunConfig(
        model=setting.model, method="full", train_flops=train_flops, pairs="made", batch_size=16,
        learning_rate=setting.learning_rate, schedule="wsd",
    )  # fmt: skip
    state = folder / trunk_name(config) / "step-000000001"
    state.mkdir(parents=True)
    (state / "state.json").write_text('{"numbers": {"notes": {"shared": [[%r, 1.0]]}}}'.ljust(size) % train_flops)
    return Trunk(config, 1e11, 8e11)


def test_the_least_promising_trunks_go_first(tmp_path: Path) -> None:
    """By their arm's chance, then the cheapest; the best choice and those that are about to be extended stay."""
    one, two, best = setting_of("micro-200k"), setting_of("micro-500k"), setting_of("micro-1m")
    cheap = setting_of("micro-500k", 2e-3)
    trunks = {one: trunk_of(tmp_path, one, 1000), two: trunk_of(tmp_path, two, 1000)}
    trunks |= {best: trunk_of(tmp_path, best, 1000), cheap: trunk_of(tmp_path, cheap, 1000, train_flops=1e11)}
    decision = decision_of(0, {"micro-1m": 0.5, "micro-200k": 0.3, "micro-500k": 0.1})

    def going(most: float, needed: tuple[Setting, ...] = ()) -> list[Setting]:
        return TrunkStates(tmp_path, most).too_many(trunks, decision, needed)

    assert going(1e6) == []
    assert going(3100) == [cheap]
    assert going(2100) == [cheap, two]
    assert going(2100, needed=(cheap,)) == [two, one]
    assert going(0) == [cheap, two, one]


def test_a_trunk_is_there_as_long_as_the_state_of_its_last_run_is(tmp_path: Path) -> None:
    trunk = trunk_of(tmp_path, setting_of("micro-1m"), 100)
    states = TrunkStates(tmp_path, 0)
    assert states.has(trunk)
    assert not states.has(trunk._replace(config=trunk.config.model_copy(update={"train_flops": 2e12, "warmup": 0.05})))
    states.drop(trunk)
    assert not states.has(trunk) and states.bytes_of(trunk) == 0
