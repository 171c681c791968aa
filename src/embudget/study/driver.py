"""Running a study: the driver hands out the runs that are missing and writes each record as it comes."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path

from embudget.errors import ConfigError
from embudget.evaluation.of_run import RunScorer
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.claims import Claims, checkpoints_name
from embudget.study.execution import Orders
from embudget.study.executors.base import CrewOf
from embudget.study.executors.crews import CrewDriver
from embudget.study.executors.local import Executor, InProcess, LocalProcesses
from embudget.study.kept import add_kept
from embudget.study.listener import SweepListener
from embudget.study.ordering import LongestFirst
from embudget.study.own_runs import OwnRuns
from embudget.study.planning import plan, settled
from embudget.study.queue import Place
from embudget.study.schedule import longest_first
from embudget.study.spec import Study
from embudget.study.store import Store
from embudget.training.mirror import Mirror, checkpoints_at
from embudget.training.resources import Resources, check_interval

LOG = logging.getLogger(__name__)


def sweep(
    study: Study,
    store: str | Path | Store,
    workers: int = 1,
    listener: SweepListener | None = None,
    retry_failed: bool = False,
    checkpoints: str | Path | None = None,
    checkpoint_seconds: float | None = None,
    executor: CrewOf | None = None,
) -> list[RunRecord]:
    """Do the runs of a study that have no record yet.

    Args:
        study: the grid.
        store: where records are kept: a SQLite file, a SQLAlchemy URL or an open store.
        workers: local processes; 1 trains in this process. With an executor, its workers at a time.
        listener: told of the progress.
        retry_failed: whether to do the study's failed runs again. Those that diverged are not, since they would do so
            again.
        checkpoints: folder or URL for what interrupted runs go on from, removed when it is empty; by default beside a
            SQLite file, `Store.checkpoints`. With another database and no folder interrupted runs start anew.
        checkpoint_seconds: time between checkpoints; by default a share of the run.
        executor: makes the crew that hires workers elsewhere (`embudget.study.executors`); None trains here.

    Returns:
        The records of all runs of the study, in the order of its grid; without those that another sweep on the same
        store still holds. Runs that failed are among them: the worker was lost three times without progress, or the
        run could not be done.

    Raises:
        ConfigError: fewer than one worker, a grid of which no run is worth doing, a folder that cannot be made, or a
            time below 0.
        StoreError: the store cannot be used, or it was in trouble for longer than ten minutes. A record that it did not
            take is kept beside the checkpoints, and the next sweep adds it.
        PairsError, ModelError, MethodError: what the study names cannot be used.
        RemoteError: a URL cannot be read or written.

    Example:
        >>> records = eb.sweep(eb.Study.from_yaml("study.yaml"), store="study.db")
        >>> [record.config.id for record in records if record.status == "failed"]
        []
    """
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    check_interval(checkpoint_seconds)
    listener = listener or SweepListener()
    pairs = load_pairs(study.pairs)
    scorer = RunScorer(study.evaluate)
    scorer.check()
    with nullcontext(store) if isinstance(store, Store) else Store(store) as opened:
        study = settled(study, pairs, opened.records())
        if retry_failed:
            opened.forget_failed(study.configs(pairs))
        folder, mirror = (opened.checkpoints, None) if checkpoints is None else checkpoints_at(checkpoints)
        resources = Resources(
            checkpoints=folder if checkpoints is None or folder is None else made_folder(folder),
            mirror=mirror,
            checkpoint_seconds=checkpoint_seconds,
            keep_checkpoints=True,
            score=scorer,
        )
        add_kept(opened, resources.checkpoints, {config.id for config in study.configs(pairs)}, mirror)
        if resources.checkpoints is None:
            LOG.warning("no checkpoints are kept: the store is no SQLite file, and no folder for checkpoints was given")
        records = _drive(study, pairs, opened, workers, listener, resources, executor)
    scorer.say_unscored(records)
    return records


def _drive(
    study: Study,
    pairs: Pairs,
    store: Store,
    workers: int,
    listener: SweepListener,
    resources: Resources,
    executor: CrewOf | None,
) -> list[RunRecord]:
    there = {record.id: record for record in store.records()}
    planned = plan(study, pairs, list(there.values()))
    for name, reason in planned.refused.items():
        LOG.warning("left out: %s: %s", name, reason)
    if not planned.runs:
        raise ConfigError(f"no run of the study is worth doing: {planned.left_out[0].reason}")
    configs = [run.config for run in planned.runs]
    listener.planned(planned, [there[config.id] for config in configs if config.id in there])
    missing = [config for config in configs if config.id not in there]
    place = place_of(study, pairs, resources)
    order = LongestFirst(store, study.flops_per_second)
    seconds = order.seconds(missing)
    missing = longest_first(missing, seconds)
    if executor is None:
        store.queue().add(missing, place, seconds)
        orders = Orders(pairs.folder, resources._replace(neighbours=workers))
        with OwnRuns(store, missing, listener, orders, order=order) as claims:
            train_all(claims, workers)
    elif missing:
        driver = CrewDriver(executor(store), store, listener, workers, order)
        driver.train(missing, place, seconds)
        driver.end()
    there = {record.id: record for record in store.records()}
    if resources.checkpoints is not None:
        _tidy(resources.checkpoints, resources.mirror, configs, there)
    return [there[config.id] for config in configs if config.id in there]


def place_of(study: Study, pairs: Pairs, resources: Resources, keep: bool = False) -> Place:
    """Where the data of a study's runs are, for whoever takes them from the queue; see `Place`."""
    checkpoints, mirror = resources.checkpoints, resources.mirror
    here = None if checkpoints is None else str(checkpoints.absolute())
    return Place(
        pairs=study.pairs if isinstance(study.pairs, str) else str(pairs.folder.absolute()),
        pairs_hash=pairs.hash,
        checkpoints=here if mirror is None else mirror.url,
        checkpoint_seconds=resources.checkpoint_seconds,
        evaluate=tuple(study.evaluate),
        keep=keep,
    )


def train_all(claims: Claims, workers: int) -> None:
    """Train the runs that claims give, in this process or in several, and have each record written as it comes.

    Args:
        claims: which runs there are; it may ask for more of them while the workers wait.
        workers: local processes; 1 trains in this process.

    Raises:
        StoreError: a record could not be stored.
        EmbudgetError: trouble that all runs would meet, such as pairs that cannot be read.
    """
    executor: Executor = InProcess() if workers == 1 else LocalProcesses(workers)
    # closed before the claims, so that workers have saved their runs before their leases are let go
    with closing(executor.run(claims.next_task, claims.orders, claims.progress)) as outcomes:
        for outcome in outcomes:
            claims.settle(outcome)


def made_folder(checkpoints: Path) -> Path:
    """Make the folder before anything is trained, so that its failure does not come after hours of training."""
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"checkpoints must be a folder that can be made, got {checkpoints}: {reason}") from None
    return checkpoints


def _tidy(
    checkpoints: Path, mirror: Mirror | None, configs: Sequence[RunConfig], there: Mapping[str, RunRecord]
) -> None:
    """Remove the checkpoints that a killed sweep left of runs with records, and the folder if it is empty."""
    ended = {config.id for config in configs if config.id in there and there[config.id].status != "failed"}
    # several runs share the checkpoints of a trunk: they stay while one of them needs them
    names = {checkpoints_name(config) for config in configs}
    unwanted = names - {checkpoints_name(config) for config in configs if config.id not in ended}
    for name in unwanted:
        shutil.rmtree(checkpoints / name, ignore_errors=True)
    if mirror is not None:
        for name in unwanted & mirror.runs():
            mirror.remove(name)
    with suppress(OSError):  # there are none, or another sweep has some
        checkpoints.rmdir()
