"""A stand-in for the training of trunks, in this process and, through the path of the pairs, in worker processes."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from embudget.errors import RunError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import own_flops
from embudget.training.resources import Resources, Scorer

FOLDER = "EMBUDGET_TEST_TRUNKS"
"""Environment variable: where the stand-in writes what it did, and reads what shall go wrong."""


def train_trunk(
    configs: Sequence[RunConfig],
    pairs: Pairs,
    on_progress: Callable[[RunConfig, float, float], None] | None = None,
    resources: Resources | None = None,
    score: Scorer | None = None,
) -> Iterator[RunRecord]:
    """Write down the budgets asked for; what goes wrong at a budget is in a file of its name: kill N, fail, diverge."""
    folder = Path(os.environ[FOLDER])
    with (folder / "asked").open("a") as log:
        log.write(" ".join(f"{config.train_flops:g}" for config in configs) + "\n")
    own = own_flops([config.train_flops for config in configs], configs[0].decay)
    for config, flops in zip(configs, own, strict=True):
        assert on_progress is not None
        shared = config.train_flops - flops
        on_progress(config, shared / config.train_flops, 2.0)
        on_progress(config, 1.0, 1.5)
        trouble = folder / f"{config.train_flops:g}"
        what = trouble.read_text().split() if trouble.exists() else []
        if what[:1] == ["kill"] and int(what[1]):
            trouble.write_text(f"kill {int(what[1]) - 1}")
            os.kill(os.getpid(), signal.SIGKILL)
        if what == ["fail"]:
            raise RunError("no more pairs")
        if what == ["diverge"]:
            yield RunRecord(config=config, status="diverged", error="the loss became nan")
        else:
            yield RunRecord(
                config=config,
                status="done",
                loss=1.0,
                train_flops=config.train_flops,
                shared_flops=shared or None,
            )


class FakingPath(type(Path())):  # type: ignore[misc]
    """A path that puts the stand-in in place wherever it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], Path], tuple[str]]:
        return _unpickled, (str(self),)


def _unpickled(path: str) -> Path:
    import embudget.training.trunk

    embudget.training.trunk.train_trunk = train_trunk
    return Path(path)
