"""What is read of `--slurm` without a Slurm; what needs one is in `tests/cluster/test_slurm.py`."""

import pytest

from embudget.errors import ConfigError
from embudget.study.executors.slurm_options import DEFAULT_MINUTES, SlurmOptions


def test_every_word_of_ours_is_read() -> None:
    read = SlurmOptions.read("partition=gpu, gpus=a100:2,cpus=8,memory=32GB,time=1.5d")
    assert read == SlurmOptions("gpu", "a100:2", 8, 32 * 1024, 36 * 60, {})


@pytest.mark.parametrize(
    ("written", "minutes"),
    [("4h", 240), ("90m", 90), ("300s", 5), ("2d", 2880), ("4:00:00", 240), ("1-12:30:00", 2190), ("45", 45)],
)
def test_a_time_is_read_as_people_and_as_slurm_write_it(written: str, minutes: int) -> None:
    assert SlurmOptions.read(f"time={written}").minutes == minutes


@pytest.mark.parametrize(
    ("written", "megabytes"), [("32GB", 32768), ("32G", 32768), ("1.5gib", 1536), ("500MB", 500), ("1TB", 1024**2)]
)
def test_a_size_is_read_with_its_unit(written: str, megabytes: int) -> None:
    assert SlurmOptions.read(f"memory={written}").memory_mb == megabytes


def test_slurms_own_words_mean_the_same() -> None:
    assert SlurmOptions.read("--mem=8G,cpus_per_task=4,gpus-per-node=1") == SlurmOptions.read("memory=8G,cpus=4,gpus=1")


def test_what_is_not_given_is_left_to_slurm_but_the_time() -> None:
    assert SlurmOptions.read("gpus=0").parameters() == {
        "time": DEFAULT_MINUTES,
        "additional_parameters": {"requeue": True},
    }


def test_a_step_gets_the_cores_of_its_job() -> None:
    assert SlurmOptions.read("cpus=6").parameters()["srun_args"] == ["--cpus-per-task=6"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "slurm must be options as in partition=gpu,gpus=1,time=4h, got ''"),
        ("gpu", "slurm must be options as in"),
        ("partition=", "slurm: partition needs a value, got ''"),
        ("partition=a\x1b", "slurm: partition needs a value"),
        ("gpus=1,gpus=2", "slurm: gpus is given twice"),
        ("mem=1G,memory=2G", "slurm: memory is given twice"),
        ("gpus=all", "slurm: gpus must be a number, or a type and a number as in a100:1, got 'all'"),
        ("gpus=-1", "slurm: gpus must be a number"),
        ("cpus=0", "slurm: cpus must be a whole number >= 1, got '0'"),
        ("cpus=2.5", "slurm: cpus must be a whole number"),
        ("memory=lots", "slurm: memory must be a size such as 32GB or 500MB, got 'lots'"),
        ("memory=0GB", "slurm: memory must be a size"),
        ("time=soon", "slurm: time must be a duration such as 4h, 90m or 1-12:00:00, got 'soon'"),
        ("time=1m", "slurm: time must be at least 5m"),
        ("nodes=2", "slurm: nodes cannot be given, since each worker is a job of its own, on one node"),
        ("output=x", "slurm: output cannot be given"),
    ],
)
def test_a_wrong_option_is_one_line_with_its_rule(written: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        SlurmOptions.read(written)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_without_slurm_its_options_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="slurm needs the command sbatch: start this on a login node"):
        SlurmOptions.read("partition=gpu,account=nlp")
